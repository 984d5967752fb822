/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One target of a running job: its thread, its queue, its verdict. runner.c moves the data,
 * requests.c keeps what is in flight, ends.c keeps the promise that a half-written target never
 * looks whole, readback.c proves what is on the medium. */
#ifndef ENGINE_RUNNER_H
#define ENGINE_RUNNER_H

#include <pthread.h>
#include <stdatomic.h>

#include <isomorph/job.h>

#include "device/device.h"
#include "engine/cursor.h"
#include "engine/lane.h"
#include "engine/pool.h"
#include "engine/undo.h"
#include "format/native_write.h"

#define RUNNER_SLOTS 8 /* requests in flight, a MiB each */
#define RUNNER_OWN   6 /* buffers of a target that reads for itself */
#define RECORDS_MAX \
	(1 << 18) /* digests kept at most: 6 MiB, 256 GiB of pieces, then they are verified */
#define HEAD_LEN       ((uint64_t)MIB) /* written last, DESIGN §4.3 */
#define MISMATCHES_MAX 256 /* after so many pieces that differ, nobody needs to know more */

/** struct policy - what a runner does with the pieces it gets */
struct policy {
	bool compare; /* read the target first; equal pieces are left alone */
	bool write;
	bool verify;
	bool keep_tail;
	bool probe;  /* fake-capacity probe first */
	bool rescan; /* the system is told of the new table */
};

enum source_state { SOURCE_READING, SOURCE_PROVEN, SOURCE_FAILED };

/** struct shared - what all runners and the reader of a job have in common */
struct shared {
	struct medium *source;
	struct pool *pool;
	enum ism_unused unused; /* what becomes of what the source leaves out */
	atomic_bool stop;
	/* Reads [offset, offset + len) of the source once more, for a diagnosis; false when it
	 * cannot be had. */
	bool (*reread)(struct shared *shared, uint64_t offset, size_t len, uint8_t *buf);
	/* A sentence for the user; from any thread. */
	void (*notice)(struct shared *shared, const char *path, const char *sentence);
	pthread_mutex_t lock; /* guards the two below */
	pthread_cond_t changed;
	enum source_state state;
	uint64_t size; /* of the source; valid once it is proven */
};

/** struct record - a piece that was written and is to be read back */
struct record {
	uint64_t offset;
	uint32_t len;
	bool again; /* read once more after the very last write: see readback_again() */
	uint64_t digest;
};

enum slot_use {
	SLOT_FREE,
	SLOT_COMPARE,
	SLOT_DIFFERS, /* compared; its piece is to be written, see write_pending() */
	SLOT_WRITE,
	SLOT_VERIFY,
};

struct slot {
	struct lane_request rq;
	enum slot_use use;
	struct piece *piece;
	size_t record; /* SLOT_VERIFY: index */
	uint8_t *buf;  /* PIECE_LEN; for SLOT_COMPARE and SLOT_VERIFY */
	size_t to; /* SLOT_WRITE: what is behind this in the piece has yet to be compared again */
	size_t written; /* bytes of the piece */
};

/** enum ends_state - what the target looks like to whoever finds it */
enum ends_state {
	ENDS_OLD,    /* as it was before the job */
	ENDS_UNSURE, /* its first block is being changed */
	ENDS_BLANK,  /* its first block is zero */
	ENDS_WHOLE,  /* all of it is written, and read back if that was wanted */
};

struct runner {
	struct shared *shared;
	struct target *target;
	struct medium *medium;
	struct lane *lane;
	struct policy policy;
	struct undo *undo; /* or NULL; not owned */
	const struct capture
		*capture;            /* or NULL; not owned: the target is an image, see append.h */
	bool check;                  /* there is no target: the source is read and proven */
	struct native_totals totals; /* of that image */
	struct piece_queue queue;
	pthread_t thread;
	bool started;
	/* the thread's own */
	struct slot slots[RUNNER_SLOTS];
	unsigned n_slots;
	uint8_t *bufs;          /* of all slots; made when first needed */
	unsigned n_pending;     /* slots in SLOT_DIFFERS */
	struct lane_request io; /* of runner_io() */
	uint64_t next_offset;   /* where it would go on reading for itself */
	bool own_pace;
	struct cursor cursor;
	struct pool *own_pool;
	struct record *records;
	size_t n_records, records_cap;
	struct record *kept; /* a few records of earlier windows, for the last look */
	size_t n_kept;
	struct piece **head; /* pieces held to the end */
	size_t n_head, head_cap;
	struct piece **tail;
	size_t n_tail, tail_cap;
	uint64_t tail_start; /* bytes; the last MiB of the target */
	uint64_t end;        /* bytes; behind the last piece of the source */
	uint64_t bad;        /* bytes of the pieces it got that could not be read */
	uint64_t first_bad;  /* valid when bad > 0 */
	bool wiped;
	atomic_int ends; /* enum ends_state */
	unsigned mismatches;
	/* read by the thread that watches */
	atomic_int phase;
	atomic_ullong done;  /* bytes of the phase */
	atomic_ullong total; /* bytes of the phase */
	atomic_ullong written, equal;
	atomic_bool detach;  /* set by the reader: read for yourself from now on */
	atomic_bool give_up; /* set by the watcher: the device is stalled */
	atomic_bool ended;
	bool abandoned; /* the watcher's: thread or requests are stuck; nothing of it is freed */
	struct ism_target_report report;
	uint64_t started_ms;
};

/** runner_start() - the medium is open; the thread begins; @r->report tells the end once @r->ended
 * is set */
int runner_start(struct runner *r, struct ism_error *err);
/** runner_stopping() - the user, or the watcher, wants it to end */
bool runner_stopping(struct runner *r);
/** runner_fail() - the error of a request on the target, with what is behind it: gone, full,
 * damaged */
int runner_fail(struct runner *r, int code, uint64_t offset, const char *what);
/** runner_next_piece() - 1 = *ret is a piece, 0 = none in time, -ENODATA = the source has ended */
int runner_next_piece(struct runner *r, unsigned timeout_ms, struct piece **ret);
/** runner_await_source() - until the whole source was read and proven */
int runner_await_source(struct runner *r);
void runner_phase(struct runner *r, enum ism_phase phase, uint64_t total);
/** runner_stop_code() - -ETIMEDOUT when it was given up, -ECANCELED when the user stopped it */
int runner_stop_code(struct runner *r);
/** runner_wait_failed() - it is to end: *ret gets the reason */
bool runner_wait_failed(struct runner *r, int *ret);
/** runner_add_record() - these bytes were written and are to be read back */
int runner_add_record(struct runner *r, uint64_t offset, size_t len, uint64_t digest);
/** runner_write_pending() - write the pieces that were found to differ; before the very first the
 * ends are wiped */
int runner_write_pending(struct runner *r);
/** runner_compare_piece() - start reading what the target holds there (reference taken over) */
int runner_compare_piece(struct runner *r, struct piece *piece);
/** runner_has_slot() - another request can be started without waiting */
bool runner_has_slot(struct runner *r);
/** runner_drain() - wait until nothing is in flight; differences found meanwhile stay pending */
int runner_drain(struct runner *r);
/** runner_calm() - wait for what is in flight, after a failure too; false if it does not come back
 */
bool runner_calm(struct runner *r);
/** runner_settle() - wait until nothing is in flight and nothing is pending */
int runner_settle(struct runner *r);
/** runner_write_piece() - start writing @piece (reference taken over); waits for a free slot */
int runner_write_piece(struct runner *r, struct piece *piece);
/** runner_io() - one request, waited for; op as in lane.h. A read that comes short is -EBADMSG */
int runner_io(struct runner *r, enum lane_op op, const void *buf, size_t len, uint64_t offset);
/** runner_write_now() - past the lane, also after a failure or a wish to stop; no error is kept */
int runner_write_now(struct runner *r, const void *buf, size_t len, uint64_t offset);
/** runner_flush_now() - likewise */
int runner_flush_now(struct runner *r);
/** runner_flush() - all that was written is on the medium */
int runner_flush(struct runner *r);
/** runner_slot() - a free slot, with its buffer if asked for; waits for one */
int runner_slot(struct runner *r, bool with_buf, struct slot **ret);
/** runner_reap() - handle one finished request if there is one in time; 1 = handled, 0 = none */
int runner_reap(struct runner *r, unsigned timeout_ms);

/** ends_wipe() - the first and last MiB become zero, durable, before the first changed byte */
int ends_wipe(struct runner *r);
/** ends_finish() - everything from the end of the source to the last block of the target */
int ends_finish(struct runner *r);

/** readback_records() - read back what was written and forget it */
int readback_records(struct runner *r);
/** readback_drop_cache() - later reads come from the medium; the report says how */
int readback_drop_cache(struct runner *r);
/** readback_narrow() - where in [offset, offset + len), whose read gave @code, the first sector is
 * that cannot be read; @offset itself if that cannot be told */
uint64_t readback_narrow(struct runner *r, int code, uint64_t offset, size_t len);
/** readback_done() - a SLOT_VERIFY request has ended */
int readback_done(struct runner *r, struct slot *slot);
/** readback_range() - [offset, offset + len) of the target must be @want, now */
int readback_range(struct runner *r, const uint8_t *want, size_t len, uint64_t offset);
/** readback_again() - after the last write: have a few pieces changed that were right before? */
int readback_again(struct runner *r);
/** readback_mismatch() - note and explain that @got is not what belongs at @offset; @want NULL =
 * not at hand */
void readback_mismatch(struct runner *r, const uint8_t *got, const uint8_t *want, size_t len,
                       uint64_t offset);

#endif
