/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machinery that the compressed stream formats share: one thread reads the carrier into a
 * sliding window, workers decode runs of it at the same time, the reader gets the bytes in order.
 */
#ifndef FORMAT_DECODE_H
#define FORMAT_DECODE_H

#include "base/bytes.h"
#include "format/format.h"

/*
 * A compressed stream is a chain of pieces (gz member, xz block, zst frame …), each of which can be
 * decoded without its predecessors. A *run* is one or more whole pieces; the first starts at byte
 * 0. The format's scan() proposes bytes where another run may start. A proposal may be wrong: it
 * counts only when the run before it ends a piece exactly there, else what was decoded from there
 * on is thrown away. So no proposal can change the result, and a stream with none is decoded by one
 * worker.
 *
 * Memory: DECODE_WINDOW of compressed bytes, DECODE_POOL of decoded ones, and DECODE_STATE for all
 * the decoders' own memory together. Only the run whose bytes are wanted next may have a decoder
 * that is larger, up to DECODE_STATE_MAX; no other run gets on meanwhile, so that one needs neither
 * window nor pool: they shrink to DECODE_NARROW.
 */
#define DECODE_INPUT_CHUNK  (256 * KIB)
#define DECODE_WINDOW       (20 * MIB)
#define DECODE_OUTPUT_CHUNK MIB
#define DECODE_POOL         (28 * MIB)
#define DECODE_STATE        (24 * MIB)
#define DECODE_STATE_MAX    (130 * MIB) /* a window of 128 MiB, and what goes with it */
#define DECODE_NARROW       (2 * MIB)   /* of both beside a larger decoder */
#define DECODE_THREADS_MAX  8

struct decoder;
struct run;

/**
 * struct codec - one compressed format
 * @scan:    called by the reading thread with all compressed bytes in order; calls decode_split()
 * [no proposals: one worker decodes]
 * @worker_new, @worker_free: what one worker keeps from run to run; worker_free also takes NULL
 * @begin:   a run starts; @param is what scan() proposed it with, 0 for the first [nothing]
 * @piece:   decode one piece: 1, or 0 if the stream has rightly ended before it, or an error
 * @settle:  the run that kept @note is whole, and so is all before it; called in order, under the
 * decoder's lock [nothing]
 * @free:    free the @shared of decode_open() [nothing]
 */
struct codec {
	const char *name;
	void (*scan)(void *shared, struct decoder *d, struct span bytes, uint64_t offset);
	void *(*worker_new)(void);
	void (*worker_free)(void *worker);
	void (*begin)(void *worker, unsigned param);
	int (*piece)(void *worker, struct run *run, struct ism_error *err);
	void (*settle)(void *shared, void *note);
	void (*free)(void *shared);
	const struct medium_ops *ops;
};

/** The hooks of a codec's medium; `name` is all that differs */
int decode_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                struct ism_error *err);
void decode_close(struct medium *m);

/**
 * decode_open() - the medium that decodes @carrier; no thread is started before the first read
 * @carrier: taken over on success
 * @shared:  the format's own, handed to scan() and settle(); taken over on success; may be NULL
 * @size:    decoded bytes if known for certain, else ISM_SIZE_UNKNOWN: a stream that turns out
 * longer or shorter is an error
 */
int decode_open(const struct codec *codec, struct medium *carrier, void *shared, uint64_t size,
                const struct ism_open_options *options, struct medium **ret, struct ism_error *err);

/** decode_split() - a run may start at @offset, which must grow from call to call */
void decode_split(struct decoder *d, uint64_t offset, unsigned param);

/* For piece(): where it stands in the compressed stream, and whose. */
uint64_t run_offset(const struct run *run);
const struct medium *run_carrier(const struct run *run);
void *run_shared(const struct run *run);
/** run_note() - where the run keeps what settle() is for; free()d with the run */
void **run_note(struct run *run);

/** run_input() - compressed bytes that lie ahead, not yet consumed; none only at the stream's end
 */
int run_input(struct run *run, struct span *ret, struct ism_error *err);
void run_consume(struct run *run, size_t len);
/** run_bytes() - consume @len bytes into @buf; a stream that ends before is an error that says
 * "ends in the middle of @what" */
int run_bytes(struct run *run, void *buf, size_t len, const char *what, struct ism_error *err);
/** run_skip() - the same without keeping them */
int run_skip(struct run *run, uint64_t len, const char *what, struct ism_error *err);
/** run_padding() - zeros up to the end, as tapes and block devices leave them, and nothing else: 0
 */
int run_padding(struct run *run, const char *format, struct ism_error *err);
/** run_truncated() - the error for a stream that ends in the middle of @what */
int run_truncated(struct run *run, const char *what, struct ism_error *err);

/** run_output() - room for decoded bytes, at least one; run_produce() says how many were put there
 */
int run_output(struct run *run, uint8_t **ret, size_t *ret_len, struct ism_error *err);
void run_produce(struct run *run, size_t len);

/**
 * run_reserve() - the decoder needs @bytes of memory of its own for this piece
 * Waits until there is room for it. More than DECODE_STATE_MAX is -EOPNOTSUPP.
 */
int run_reserve(struct run *run, uint64_t bytes, struct ism_error *err);
/** decode_check_state() - the same refusal for a need that shows when the stream is opened */
int decode_check_state(const struct medium *carrier, uint64_t offset, uint64_t bytes,
                       struct ism_error *err);
/** run_wait_first() - wait until all runs before this one are whole and settled */
int run_wait_first(struct run *run, struct ism_error *err);

/** struct coder - one step of a decompressor, in the manner of all their libraries */
struct coder {
	struct span in; /* what is consumed is cut off its front */
	uint8_t *out;   /* moves on by what is produced */
	size_t out_len;
	uint64_t offset; /* of in, in the compressed stream */
};
void coder_consumed(struct coder *c, size_t len);
void coder_produced(struct coder *c, size_t len);

/**
 * run_step - one call of a decompressor; 1 when the piece ends, 0 to go on, or an error
 * Called with room for output always, and with no input only while it may still hold some back.
 */
typedef int run_step(void *worker, struct run *run, struct coder *c, struct ism_error *err);
/** run_code() - feed a decompressor until @step says that the piece, called @what, ends */
int run_code(struct run *run, run_step *step, void *worker, const char *what,
             struct ism_error *err);

#endif
