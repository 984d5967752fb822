/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The sliding window of compressed bytes: one thread reads the carrier, ahead of all workers and
 * never further than the window is wide. */
#include "format/decode_impl.h"

#include <sys/mman.h>

/* The first byte that somebody may still look at. A worker whose run was dropped counts until it
 * has seen that. */
static uint64_t window_needed(struct decoder *d)
{
	uint64_t low = decoder_first_unfinished(d)->low;

	for (unsigned i = 0; i < d->n_workers; i++)
		if (d->workers[i].run)
			low = MIN(low, d->workers[i].run->low);
	return low;
}

/* Straight from the kernel: what is given up must not stay with malloc(). */
static uint8_t *chunk_new(void)
{
	void *chunk = mmap(NULL, DECODE_INPUT_CHUNK, PROT_READ | PROT_WRITE,
	                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return chunk == MAP_FAILED ? NULL : chunk;
}

static void chunk_free(uint8_t **chunk)
{
	if (*chunk)
		munmap(take(*chunk), DECODE_INPUT_CHUNK);
}

/* How many chunks may be kept; beside a large decoder those that hold nothing are given up. */
static size_t window_width(struct decoder *d, uint64_t number)
{
	struct window *w = &d->window;

	if (!decoder_is_narrow(d))
		return ARRAY_LEN(w->chunks);
	for (uint64_t n = number + 1; n < w->low + ARRAY_LEN(w->chunks); n++) {
		chunk_free(&w->chunks[n % ARRAY_LEN(w->chunks)]);
	}
	return DECODE_NARROW / DECODE_INPUT_CHUNK;
}

/* The buffer for the next chunk; NULL when it is time to quit. Lock held. */
static uint8_t **window_room(struct decoder *d)
{
	struct window *w = &d->window;

	for (;;) {
		if (atomic_load(&d->quit))
			return NULL;
		w->low = window_needed(d) / DECODE_INPUT_CHUNK;

		uint64_t number = w->high / DECODE_INPUT_CHUNK;

		if (number - w->low < window_width(d, number))
			return &w->chunks[number % ARRAY_LEN(w->chunks)];
		pthread_cond_wait(&d->feeder_wake, &d->lock);
	}
}

/* One chunk from the carrier; what scan() proposes is known before any worker sees the bytes. */
static int window_fill(struct decoder *d, uint8_t **chunk, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	int r;

	if (!*chunk)
		*chunk = chunk_new();
	if (!*chunk)
		return ism_error_oom(err);
	r = medium_read(d->carrier, *chunk, DECODE_INPUT_CHUNK, offset, ret_len, err);
	if (r < 0)
		return r;
	if (d->codec->scan)
		d->codec->scan(d->shared, d, (struct span){ *chunk, *ret_len }, offset);
	return 0;
}

void *window_feed(void *decoder)
{
	struct decoder *d = decoder;
	struct window *w = &d->window;
	uint8_t **chunk;

	pthread_mutex_lock(&d->lock);
	while (!w->ended && (chunk = window_room(d))) {
		uint64_t offset = w->high;
		size_t len = 0;
		struct ism_error err = { 0 };
		int r;

		pthread_mutex_unlock(&d->lock);
		r = window_fill(d, chunk, offset, &len, &err);
		pthread_mutex_lock(&d->lock);
		w->high += len;
		w->ended = len < DECODE_INPUT_CHUNK;
		if (r < 0)
			w->error = err;
		pthread_cond_broadcast(&d->worker_wake);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* 1 with *ret, 0 if it has to wait. Lock held. */
static int window_look(struct run *run, struct span *ret, struct ism_error *err)
{
	const struct window *w = &run->decoder->window;

	if (run->cursor < w->high) {
		size_t skip = (size_t)(run->cursor % DECODE_INPUT_CHUNK);
		uint64_t number = run->cursor / DECODE_INPUT_CHUNK;
		uint64_t len = MIN(DECODE_INPUT_CHUNK - skip, w->high - run->cursor);

		/* The run before has gone past its start, and drops it at the next boundary. */
		if (number < w->low)
			return ism_error_canceled(err);
		*ret = (struct span){ w->chunks[number % ARRAY_LEN(w->chunks)] + skip,
			              (size_t)len };
		return 1;
	}
	if (w->error.code)
		return ism_error_copy(err, &w->error);
	*ret = (struct span){ 0 };
	return w->ended;
}

int window_get(struct run *run, struct span *ret, struct ism_error *err)
{
	struct decoder *d = run->decoder;
	int r;

	pthread_mutex_lock(&d->lock);
	run->low = run->cursor;
	pthread_cond_signal(&d->feeder_wake);
	r = run_wanted(run, err);
	while (r == 0) {
		r = window_look(run, ret, err);
		if (r == 0)
			r = run_wait(run, err);
	}
	pthread_mutex_unlock(&d->lock);
	return r < 0 ? r : 0;
}

void window_free(struct window *w)
{
	for (size_t i = 0; i < ARRAY_LEN(w->chunks); i++)
		chunk_free(&w->chunks[i]);
	ism_error_clear(&w->error);
}
