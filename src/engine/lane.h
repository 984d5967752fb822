/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests in flight on one medium: io_uring where the medium has a descriptor, else its own hooks
 * one by one. */
#ifndef ENGINE_LANE_H
#define ENGINE_LANE_H

#include <stdatomic.h>
#include <stdint.h>

#include "medium/medium.h"

enum lane_op { LANE_READ, LANE_WRITE, LANE_FLUSH };

/**
 * struct lane_request - one request; the caller's, untouchable from submit to reap
 * @result: 0, or a negative errno; a read may be short: @done bytes
 */
struct lane_request {
	enum lane_op op;
	uint8_t *buf;
	size_t len;
	uint64_t offset;
	size_t done;
	int result;
	struct lane_request *next; /* the lane's */
};

/** struct lane - used by one thread, the atomics read by others */
struct lane;

/** lane_new() - @depth requests at once at most */
struct lane *lane_new(struct medium *m, unsigned depth);
/** lane_free() - only when nothing is in flight */
struct lane *lane_free(struct lane *lane);
/** lane_in_flight() - 0 for NULL */
unsigned lane_in_flight(const struct lane *lane);
/** lane_fits() - this request can go in parallel: it is aligned for the medium */
bool lane_fits(const struct lane *lane, const void *buf, size_t len, uint64_t offset);
/** lane_submit() - start @rq; at most `depth` at once. Failures are told by lane_reap() */
void lane_submit(struct lane *lane, struct lane_request *rq);
/**
 * lane_reap() - one finished request
 * @timeout_ms: 0 = do not wait
 * Return: NULL when none finished in time.
 */
struct lane_request *lane_reap(struct lane *lane, unsigned timeout_ms);
/** lane_asking() - the lane's thread asks the medium itself, or has its answer: counts as a request
 * in flight. NULL is allowed */
void lane_asking(struct lane *lane, bool asking);
/** lane_busy_since() - when the oldest request in flight was started, in now_ms() time; 0 = none
 * is. Any thread */
uint64_t lane_busy_since(const struct lane *lane);

#endif
