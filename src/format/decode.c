/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The runs of a compressed stream: proposed, decoded by workers, chained in order, and handed to
 * the reader. */
#include "format/decode_impl.h"

#include <string.h>
#include <time.h>

#define STOP_MS 100 /* how soon a wish to stop is seen */

bool decoder_is_narrow(const struct decoder *d)
{
	return d->reserved > DECODE_STATE;
}

struct run *decoder_first_unfinished(struct decoder *d)
{
	struct run *run = d->first;

	while (run->state == RUN_DONE)
		run = run->next; /* a run is done only where another one starts */
	return run;
}

/* What the runs noted, in order, as far as the chain is whole. */
static void decoder_settle(struct decoder *d)
{
	for (struct run *run = d->first; run->state == RUN_DONE; run = run->next)
		if (!run->settled) {
			if (d->codec->settle)
				d->codec->settle(d->shared, run->note);
			run->settled = true;
		}
}

static void outputs_give_back(struct run *run)
{
	while (run->outputs) {
		struct output *o = run->outputs;

		run->outputs = o->next;
		output_give_back(run->decoder, o);
	}
}

static void run_free(struct run *run)
{
	if (run->filling)
		output_give_back(run->decoder, run->filling);
	outputs_give_back(run);
	free(run->note);
	ism_error_clear(&run->error);
	free(run);
}

static struct run *run_new(struct decoder *d, uint64_t start, unsigned param)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->decoder = d;
	run->param = param;
	run->start = run->mark = run->cursor = run->low = start;
	run->outputs_end = &run->outputs;
	return run;
}

/* A proposal that comes too late, or for which there is no memory, is no loss. */
void decode_split(struct decoder *d, uint64_t offset, unsigned param)
{
	pthread_mutex_lock(&d->lock);

	struct run *run = offset > d->last->mark ? run_new(d, offset, param) : NULL;

	if (run) {
		d->last->next = run;
		d->last = run;
		pthread_cond_broadcast(&d->worker_wake);
	}
	pthread_mutex_unlock(&d->lock);
}

/* The run behind @run started in the middle of one of its pieces. */
static void run_drop_next(struct run *run)
{
	struct run *gone = run->next;

	run->next = gone->next;
	if (run->decoder->last == gone)
		run->decoder->last = run;
	if (gone->state == RUN_ACTIVE)
		gone->state = RUN_DROPPED;
	else
		run_free(gone);
	pthread_cond_broadcast(&run->decoder->worker_wake);
}

static void run_finish(struct run *run, enum run_state state)
{
	struct decoder *d = run->decoder;

	run_flush(run);
	run->state = state;
	decoder_settle(d);
	pthread_cond_broadcast(&d->worker_wake);
	pthread_cond_signal(&d->feeder_wake);
	pthread_cond_signal(&d->reader_wake);
}

/* Between two pieces: false when the next run has started here, or this one is not wanted. */
static bool run_goes_on(struct run *run)
{
	struct decoder *d = run->decoder;
	bool go_on;

	pthread_mutex_lock(&d->lock);
	go_on = run_wanted(run, NULL) == 0;
	run->mark = run->cursor;
	while (go_on && run->next && run->next->start < run->cursor)
		run_drop_next(run);
	if (run->next && run->next->start == run->cursor)
		go_on = false;
	pthread_mutex_unlock(&d->lock);
	return go_on;
}

/* 1 when the next run has started where it stopped, 0 at the end of the stream. */
static int run_decode(struct worker *w, struct run *run, struct ism_error *err)
{
	const struct codec *codec = run->decoder->codec;
	int r = 1;

	if (!w->state)
		w->state = codec->worker_new();
	if (!w->state)
		return ism_error_oom(err);
	if (codec->begin)
		codec->begin(w->state, run->param);
	while (r > 0 && run_goes_on(run))
		r = codec->piece(w->state, run, err);
	return r;
}

/* Under the lock again: what became of the run; a decoder too large to keep is given up. */
static void worker_end(struct worker *w, struct run *run, int r, struct ism_error *err)
{
	struct decoder *d = w->decoder;

	if (w->reserved > DECODE_STATE / d->n_workers) {
		d->codec->worker_free(take(w->state));
		d->reserved -= w->reserved;
		w->reserved = 0;
	}
	w->run = NULL;
	run->worker = NULL;
	if (r > 0 && atomic_load(&d->quit))
		r = ism_error_canceled(err);
	if (run->state == RUN_DROPPED) {
		run_free(run);
	} else {
		while (r == 0 && run->next)
			run_drop_next(run);
		ism_error_move(&run->error, err);
		run_finish(run, r > 0 ? RUN_DONE : r == 0 ? RUN_ENDED : RUN_FAILED);
	}
	ism_error_clear(err);
	pthread_cond_signal(&d->feeder_wake);
	pthread_cond_broadcast(&d->worker_wake);
}

/* The first run that nobody is at: those before it have all been started, which is why waiting for
 * them ends. */
static struct run *worker_next(struct decoder *d)
{
	struct run *run = d->first;

	while (run && run->state != RUN_PENDING)
		run = run->next;
	return run;
}

static void *worker_main(void *worker)
{
	struct worker *w = worker;
	struct decoder *d = w->decoder;

	pthread_mutex_lock(&d->lock);
	while (!atomic_load(&d->quit)) {
		struct run *run = worker_next(d);
		struct ism_error err = { 0 };
		int r;

		if (!run) {
			pthread_cond_wait(&d->worker_wake, &d->lock);
			continue;
		}
		run->state = RUN_ACTIVE;
		run->worker = w;
		w->run = run;
		pthread_mutex_unlock(&d->lock);
		r = run_decode(w, run, &err);
		pthread_mutex_lock(&d->lock);
		worker_end(w, run, r, &err);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static int decoder_start(struct decoder *d, struct ism_error *err)
{
	int r;

	if (d->has_feeder)
		return 0;
	for (unsigned i = d->n_workers; i < d->n_threads; i++) {
		d->workers[i].decoder = d;
		r = pthread_create(&d->workers[i].thread, NULL, worker_main, &d->workers[i]);
		if (r && i == 0)
			return ism_error_errno(err, -r, NULL, ISM_NO_OFFSET,
			                       "cannot start a decoding thread");
		if (r)
			break;
		pthread_mutex_lock(&d->lock);
		d->n_workers = i + 1;
		pthread_mutex_unlock(&d->lock);
	}
	r = pthread_create(&d->feeder, NULL, window_feed, d);
	if (r)
		return ism_error_errno(err, -r, NULL, ISM_NO_OFFSET,
		                       "cannot start a reading thread");
	d->has_feeder = true;
	return 0;
}

static void reader_wait(struct decoder *d)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += STOP_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&d->reader_wake, &d->lock, &until);
}

/* 1 with the run that has bytes for the reader, 0 at the end of the stream. Lock held. */
static int reader_next(struct decoder *d, struct ism_error *err)
{
	for (;;) {
		struct run *run = d->first;

		if (d->failed.code)
			return ism_error_copy(err, &d->failed);
		if (run->outputs)
			return 1;
		if (run->state == RUN_ENDED)
			return 0;
		if (run->state == RUN_FAILED)
			return ism_error_copy(err, &run->error);
		if (run->state == RUN_DONE) {
			d->first = run->next;
			run_free(run);
			pthread_cond_broadcast(&d->worker_wake);
			continue;
		}
		if (medium_stopped(d->medium))
			return ism_error_canceled(err);
		reader_wait(d);
	}
}

/* A stream that says how long it is, and is not. Lock held. */
static int reader_wrong_size(struct decoder *d, bool longer, struct ism_error *err)
{
	format_error(&d->failed, d->carrier, d->carrier->size,
	             "holds %s than the %llu bytes that its headers state",
	             longer ? "more" : "less", (unsigned long long)d->medium->size);
	return ism_error_copy(err, &d->failed);
}

/* Lock held; let go while the bytes are copied: nobody else touches the first chunk. */
static size_t reader_copy(struct decoder *d, void *buf, size_t len)
{
	struct run *run = d->first;
	struct output *o = run->outputs;
	size_t n = MIN(len, o->len - o->taken);

	pthread_mutex_unlock(&d->lock);
	memcpy(buf, o->bytes + o->taken, n);
	pthread_mutex_lock(&d->lock);
	o->taken += n;
	if (o->taken == o->len) {
		run->outputs = o->next;
		if (!run->outputs)
			run->outputs_end = &run->outputs;
		output_give_back(d, o);
	}
	return n;
}

int decode_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                struct ism_error *err)
{
	struct decoder *d = m->priv;
	size_t n = 0;
	int r = decoder_start(d, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&d->lock);
	r = reader_next(d, err);
	if (r > 0)
		n = reader_copy(d, buf, len);
	if (r >= 0 && m->size != ISM_SIZE_UNKNOWN) {
		if (n > m->size - offset)
			r = reader_wrong_size(d, true, err);
		else if (r == 0 && offset < m->size)
			r = reader_wrong_size(d, false, err);
	}
	pthread_mutex_unlock(&d->lock);
	*ret_len = n;
	return r < 0 ? r : 0;
}

static void decoder_stop(struct decoder *d)
{
	pthread_mutex_lock(&d->lock);
	atomic_store(&d->quit, true);
	pthread_cond_broadcast(&d->feeder_wake);
	pthread_cond_broadcast(&d->worker_wake);
	pthread_mutex_unlock(&d->lock);
	if (d->has_feeder)
		pthread_join(d->feeder, NULL);
	for (unsigned i = 0; i < d->n_workers; i++) {
		pthread_join(d->workers[i].thread, NULL);
		d->codec->worker_free(d->workers[i].state);
	}
}

static void decoder_free(struct decoder *d)
{
	while (d->first) {
		struct run *run = d->first;

		d->first = run->next;
		run_free(run);
	}
	outputs_free(d);
	window_free(&d->window);
	ism_error_clear(&d->failed);
	pthread_cond_destroy(&d->feeder_wake);
	pthread_cond_destroy(&d->worker_wake);
	pthread_cond_destroy(&d->reader_wake);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

void decode_close(struct medium *m)
{
	struct decoder *d = m->priv;

	if (!d)
		return;
	decoder_stop(d);
	if (d->codec->free)
		d->codec->free(d->shared);
	medium_close(d->carrier);
	decoder_free(d);
}

static struct decoder *decoder_new(const struct codec *codec, unsigned threads)
{
	struct decoder *d = calloc(1, sizeof(*d));
	pthread_condattr_t monotonic;

	if (!d)
		return NULL;
	d->codec = codec;
	d->n_threads = codec->scan && threads > 1 ? MIN(threads, (unsigned)DECODE_THREADS_MAX) : 1;
	d->first = d->last = run_new(d, 0, 0);
	if (!d->first) {
		free(d);
		return NULL;
	}
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->feeder_wake, NULL);
	pthread_cond_init(&d->worker_wake, NULL);
	pthread_cond_init(&d->reader_wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return d;
}

int decode_open(const struct codec *codec, struct medium *carrier, void *shared, uint64_t size,
                const struct ism_open_options *options, struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(codec->ops, carrier->name);
	struct decoder *d = m ? decoder_new(codec, options->threads) : NULL;

	if (!d)
		return ism_error_oom(err);
	m->priv = d;
	m->forward = true;
	m->size = size;
	m->stop = carrier->stop;
	d->medium = m;
	d->shared = shared;
	d->carrier = carrier;
	carrier->stop = &d->quit; /* closing ends a read that waits, too */
	*ret = take(m);
	return 0;
}
