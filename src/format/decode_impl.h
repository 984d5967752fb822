/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What decode.c (the runs in order), window.c (compressed bytes) and run.c (what a codec sees)
 * share.
 */
#ifndef FORMAT_DECODE_IMPL_H
#define FORMAT_DECODE_IMPL_H

#include <pthread.h>

#include "format/decode.h"

enum run_state {
	RUN_PENDING,
	RUN_ACTIVE,  /* a worker is at it */
	RUN_DONE,    /* ended a piece exactly where the next run starts */
	RUN_ENDED,   /* reached the end of the stream */
	RUN_FAILED,  /* see error */
	RUN_DROPPED, /* started in the middle of a piece; unlinked, its worker frees it */
};

/* Decoded bytes on their way to the reader. */
struct output {
	struct output *next;
	size_t len, taken;
	uint8_t *bytes;
};

struct run {
	struct decoder *decoder;
	struct worker *worker; /* while RUN_ACTIVE */
	struct run *next;
	enum run_state state;
	unsigned param;
	uint64_t start;
	uint64_t mark;          /* where the piece being decoded starts */
	uint64_t cursor;        /* next compressed byte; the worker's own, published in `low` */
	uint64_t low;           /* compressed bytes before this are not needed by it any more */
	struct span ahead;      /* bytes at cursor that need no lock; the worker's own */
	struct output *filling; /* the worker's own */
	struct output *outputs, **outputs_end;
	void *note;
	bool settled;
	struct ism_error error;
};

struct worker {
	pthread_t thread;
	struct decoder *decoder;
	struct run *run;   /* what it is at */
	void *state;       /* the codec's */
	uint64_t reserved; /* bytes that state holds */
};

struct window {
	uint8_t *chunks[DECODE_WINDOW / DECODE_INPUT_CHUNK];
	uint64_t low;  /* first chunk kept, by number */
	uint64_t high; /* bytes read from the carrier */
	bool ended;
	struct ism_error error; /* the carrier's; code 0 = none */
};

/*
 * lock guards all that follows it, and the runs but for what is a worker's own. No I/O and no
 * decoding is done under it.
 */
struct decoder {
	const struct codec *codec;
	struct medium *carrier;
	struct medium *medium;
	void *shared; /* the codec's */
	atomic_bool quit;
	unsigned n_threads;
	struct worker workers[DECODE_THREADS_MAX];
	unsigned n_workers; /* that run */
	pthread_t feeder;
	bool has_feeder;

	pthread_mutex_t lock;
	pthread_cond_t feeder_wake, worker_wake, reader_wake;
	struct window window;
	struct run *first, *last; /* in the order of their start */
	struct output *pool;      /* chunks not in use */
	unsigned n_outputs;       /* chunks in use */
	uint64_t reserved;        /* by all workers' decoders */
	struct ism_error failed;  /* what the reader was told; stays */
};

void *window_feed(void *decoder); /* the reading thread */
/* Bytes from @offset on that lie in one piece in memory; waits; none at the end. Lock not held. */
int window_get(struct run *run, struct span *ret, struct ism_error *err);
void window_free(struct window *w);

/* All of these: lock held. */
bool decoder_is_narrow(const struct decoder *d);
struct run *decoder_first_unfinished(struct decoder *d);
void output_give_back(struct decoder *d, struct output *o);
void outputs_free(struct decoder *d); /* those in the pool */
/* -ECANCELED when the run is not wanted any more; run_wait() waits for a change before. */
int run_wanted(const struct run *run, struct ism_error *err);
int run_wait(struct run *run, struct ism_error *err);
/* What was produced goes to the reader. */
void run_flush(struct run *run);

#endif
