/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Walks over a source in pieces: the reader that serves all targets has one, and so has each target
 * that fell behind and reads for itself. */
#ifndef ENGINE_CURSOR_H
#define ENGINE_CURSOR_H

#include "engine/pool.h"
#include "medium/medium.h"

/**
 * struct cursor - where a walk is; zero but for @source at its start
 * @offset: bytes; the next piece starts there or behind it
 * @unused: bytes passed over so far because the source leaves them out
 * @bad:    bytes that could not be read so far; they are zeros in the pieces
 */
struct cursor {
	struct medium *source;
	bool zero_unused; /* what the source leaves out comes as zeros */
	bool leave_bad;   /* what the source's own source could not give is left out too */
	uint64_t offset;
	struct ism_extent extent;
	uint64_t unused;
	uint64_t bad;
	uint64_t first_bad; /* valid when bad > 0 */
	uint64_t read_end;  /* bytes; behind the last byte that was read */
	bool ended;
};

enum cursor_result {
	CURSOR_PIECE, /* *ret is the caller's */
	CURSOR_WAIT,  /* no buffer came free in time */
	CURSOR_END,   /* source->size or cursor->offset is the size */
	CURSOR_ERROR, /* @err is set */
};

/** cursor_next() - the next piece of data or zeros; waits for a buffer up to @timeout_ms */
enum cursor_result cursor_next(struct cursor *c, struct pool *pool, unsigned timeout_ms,
                               struct piece **ret, struct ism_error *err);

/** is_bad_sector() - this errno of a read means: these sectors are damaged, others may be fine */
bool is_bad_sector(int code);

#endif
