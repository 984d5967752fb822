/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pieces of a source on their way to the targets, in buffers from a bounded pool. */
#ifndef ENGINE_POOL_H
#define ENGINE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <isomorph/medium.h>

#include "base/bytes.h"

#define PIECE_LEN ((size_t)MIB) /* a piece never crosses a multiple of this */

struct pool;

/** struct piece_bad - bytes of a piece that could not be read; they are zeros in it */
struct piece_bad {
	uint32_t offset, len;
};

/**
 * struct piece - bytes [offset, offset + len) of the source
 * @data:   NULL for ISM_EXTENT_ZERO
 * @digest: XXH3-64 of the content; also of zeros
 * A piece is shared by all targets; it goes back when the last one puts it.
 */
struct piece {
	uint64_t offset;
	size_t len;
	enum ism_extent_kind kind;
	uint64_t digest;
	uint8_t *data;
	struct piece_bad *bad; /* in order, apart from each other */
	size_t n_bad, bad_cap;
	atomic_uint refs;
	struct pool *pool;
};

/** pool_new() - at most @buffers buffers of PIECE_LEN bytes; made when first needed */
struct pool *pool_new(unsigned buffers);
struct pool *pool_free(struct pool *pool);
/**
 * piece_get() - a piece with a buffer; waits until one is free
 * @timeout_ms: 0 = do not wait
 * Return: NULL when none came free in time or memory is out.
 */
struct piece *piece_get(struct pool *pool, unsigned timeout_ms);
/** piece_zero() - a piece of zeros, without a buffer; NULL when out of memory */
struct piece *piece_zero(uint64_t offset, size_t len);
/** piece_copy() - the same in memory of its own, for what is held long; NULL when out of memory */
struct piece *piece_copy(const struct piece *piece);
/** piece_data() - its bytes; of zeros too */
const uint8_t *piece_data(const struct piece *piece);
struct piece *piece_ref(struct piece *piece);
/** piece_put() - one user less; NULL is allowed */
void piece_put(struct piece *piece);
/** pool_abandon() - @n buffers are with a dead device for ever: as many others may be made */
void pool_abandon(struct pool *pool, unsigned n);

/** struct piece_queue - pieces for one target, in order; any number, the pool is the bound */
struct piece_queue {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t filled;
	struct piece **ring;
	size_t cap, first, n;
	bool ended;
	bool closed; /* nobody takes anything any more */
};

int queue_init(struct piece_queue *q);
/** queue_destroy() - puts what is left */
void queue_destroy(struct piece_queue *q);
/** queue_put() - takes over the caller's reference, also when it is closed; false when out of
 * memory (the reference stays)
 */
bool queue_put(struct piece_queue *q, struct piece *piece);
/** queue_end() - nothing comes any more */
void queue_end(struct piece_queue *q);
enum queue_result { QUEUE_PIECE, QUEUE_EMPTY, QUEUE_ENDED };
/** queue_get() - the next piece; waits up to @timeout_ms */
enum queue_result queue_get(struct piece_queue *q, unsigned timeout_ms, struct piece **ret);
size_t queue_len(struct piece_queue *q);
/** queue_close() - put all pieces in it, and whatever comes from now on; its reader sees the end.
 * From any thread */
void queue_close(struct piece_queue *q);

/** deadline_in() - the CLOCK_MONOTONIC time @ms from now */
struct timespec deadline_in(unsigned ms);
uint64_t now_ms(void);

#endif
