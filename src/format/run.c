/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run as its codec sees it: compressed bytes come in, decoded ones go out, memory is asked for.
 */
#include "format/decode_impl.h"

#include <string.h>

#define OUTPUTS_MAX     (DECODE_POOL / DECODE_OUTPUT_CHUNK)
#define OUTPUTS_NARROW  (DECODE_NARROW / DECODE_OUTPUT_CHUNK)
#define OUTPUTS_RESERVE 4  /* kept for the run that the reader waits for */
#define IDLE_MAX        16 /* steps without progress before a decompressor counts as stuck */

uint64_t run_offset(const struct run *run)
{
	return run->cursor;
}

const struct medium *run_carrier(const struct run *run)
{
	return run->decoder->carrier;
}

void *run_shared(const struct run *run)
{
	return run->decoder->shared;
}

void **run_note(struct run *run)
{
	return &run->note;
}

int run_wanted(const struct run *run, struct ism_error *err)
{
	if (run->state == RUN_DROPPED || atomic_load(&run->decoder->quit))
		return ism_error_canceled(err);
	return 0;
}

int run_wait(struct run *run, struct ism_error *err)
{
	int r = run_wanted(run, err);

	if (r < 0)
		return r;
	pthread_cond_wait(&run->decoder->worker_wake, &run->decoder->lock);
	return run_wanted(run, err);
}

int run_truncated(struct run *run, const char *what, struct ism_error *err)
{
	return format_error(err, run_carrier(run), run->cursor,
	                    "ends in the middle of %s: it is truncated", what);
}

int run_input(struct run *run, struct span *ret, struct ism_error *err)
{
	if (!run->ahead.len) {
		int r = window_get(run, &run->ahead, err);

		if (r < 0)
			return r;
	}
	*ret = run->ahead;
	return 0;
}

void run_consume(struct run *run, size_t len)
{
	run->ahead = (struct span){ run->ahead.p + len, run->ahead.len - len };
	run->cursor += len;
}

int run_bytes(struct run *run, void *buf, size_t len, const char *what, struct ism_error *err)
{
	uint8_t *to = buf;

	while (len) {
		struct span in;
		int r = run_input(run, &in, err);

		if (r < 0)
			return r;
		if (!in.len)
			return run_truncated(run, what, err);

		size_t n = MIN(len, in.len);

		memcpy(to, in.p, n);
		run_consume(run, n);
		to += n;
		len -= n;
	}
	return 0;
}

int run_skip(struct run *run, uint64_t len, const char *what, struct ism_error *err)
{
	while (len) {
		struct span in;
		int r = run_input(run, &in, err);

		if (r < 0)
			return r;
		if (!in.len)
			return run_truncated(run, what, err);

		size_t n = (size_t)MIN(len, (uint64_t)in.len);

		run_consume(run, n);
		len -= n;
	}
	return 0;
}

int run_padding(struct run *run, const char *format, struct ism_error *err)
{
	struct span in;
	int r;

	while ((r = run_input(run, &in, err)) == 0 && in.len) {
		size_t n = 0;

		while (n < in.len && in.p[n] == 0)
			n++;
		run_consume(run, n);
		if (n < in.len)
			return format_error(err, run_carrier(run), run_offset(run),
			                    "has a byte 0x%02x behind its %s data", in.p[n],
			                    format);
	}
	return r;
}

/* Beside a large decoder each run counts its own: those behind it may hold all the rest. */
static bool output_may_take(const struct run *run)
{
	const struct decoder *d = run->decoder;
	unsigned own = 0;

	for (const struct output *o = run->outputs; o; o = o->next)
		own++;
	if (decoder_is_narrow(d) && own >= OUTPUTS_NARROW)
		return false;
	return d->n_outputs < (run == d->first ? OUTPUTS_MAX : OUTPUTS_MAX - OUTPUTS_RESERVE);
}

/* A chunk out of the pool, or a new one; *ret stays NULL if there is none to have now. */
static int output_take(struct run *run, struct output **ret, struct ism_error *err)
{
	struct decoder *d = run->decoder;
	struct output *o = d->pool;

	if (!output_may_take(run))
		return 0;
	if (o) {
		d->pool = o->next;
	} else {
		o = calloc(1, sizeof(*o));
		if (o)
			o->bytes = medium_buffer(DECODE_OUTPUT_CHUNK);
		if (!o || !o->bytes) {
			free(o);
			return ism_error_oom(err);
		}
	}
	o->next = NULL;
	o->len = o->taken = 0;
	d->n_outputs++;
	*ret = o;
	return 0;
}

void run_flush(struct run *run)
{
	struct output *o = take(run->filling);

	if (!o)
		return;
	if (!o->len) {
		output_give_back(run->decoder, o);
		return;
	}
	*run->outputs_end = o;
	run->outputs_end = &o->next;
	pthread_cond_signal(&run->decoder->reader_wake);
}

void outputs_free(struct decoder *d)
{
	while (d->pool) {
		struct output *o = d->pool;

		d->pool = o->next;
		free(o->bytes);
		free(o);
	}
}

void output_give_back(struct decoder *d, struct output *o)
{
	o->next = d->pool;
	d->pool = o;
	d->n_outputs--;
	if (decoder_is_narrow(d))
		outputs_free(d);
	pthread_cond_broadcast(&d->worker_wake);
}

int run_output(struct run *run, uint8_t **ret, size_t *ret_len, struct ism_error *err)
{
	struct decoder *d = run->decoder;
	struct output *o = run->filling;
	int r;

	if (!o || o->len == DECODE_OUTPUT_CHUNK) {
		o = NULL;
		pthread_mutex_lock(&d->lock);
		run_flush(run);
		r = run_wanted(run, err);
		while (r == 0 && (r = output_take(run, &o, err)) == 0 && !o)
			r = run_wait(run, err);
		run->filling = o;
		pthread_mutex_unlock(&d->lock);
		if (r < 0)
			return r;
	}
	*ret = o->bytes + o->len;
	*ret_len = DECODE_OUTPUT_CHUNK - o->len;
	return 0;
}

void run_produce(struct run *run, size_t len)
{
	run->filling->len += len;
}

int decode_check_state(const struct medium *carrier, uint64_t offset, uint64_t bytes,
                       struct ism_error *err)
{
	if (bytes <= DECODE_STATE_MAX)
		return 0;
	ism_error_set(err, -EOPNOTSUPP, carrier->name, offset,
	              "needs %llu MiB of memory to be decoded; at most %llu MiB are given",
	              (unsigned long long)(bytes / MIB),
	              (unsigned long long)(DECODE_STATE_MAX / MIB));
	return ism_error_hint(err, "compress it anew with a smaller window or dictionary");
}

int run_reserve(struct run *run, uint64_t bytes, struct ism_error *err)
{
	struct decoder *d = run->decoder;
	struct worker *w = run->worker;
	int r = decode_check_state(run_carrier(run), run->mark, bytes, err);

	if (r < 0 || bytes <= w->reserved)
		return r;
	pthread_mutex_lock(&d->lock);
	while (r == 0 && d->reserved - w->reserved + bytes > DECODE_STATE &&
	       decoder_first_unfinished(d) != run)
		r = run_wait(run, err);
	if (r == 0) {
		d->reserved += bytes - w->reserved;
		w->reserved = bytes;
	}
	pthread_mutex_unlock(&d->lock);
	return r;
}

int run_wait_first(struct run *run, struct ism_error *err)
{
	struct decoder *d = run->decoder;
	int r;

	pthread_mutex_lock(&d->lock);
	r = run_wanted(run, err);
	while (r == 0 && decoder_first_unfinished(d) != run)
		r = run_wait(run, err);
	pthread_mutex_unlock(&d->lock);
	return r;
}

void coder_consumed(struct coder *c, size_t len)
{
	c->in = (struct span){ c->in.p + len, c->in.len - len };
	c->offset += len;
}

void coder_produced(struct coder *c, size_t len)
{
	if (len) /* out may be NULL */
		c->out += len;
	c->out_len -= len;
}

/* Room and, unless the decompressor may still hold decoded bytes back, input. */
static int coder_fill(struct run *run, struct coder *c, bool held_back, const char *what,
                      struct ism_error *err)
{
	int r = run_output(run, &c->out, &c->out_len, err);

	if (r < 0)
		return r;
	c->in = run->ahead;
	if (!held_back) {
		r = run_input(run, &c->in, err);
		if (r < 0)
			return r;
		if (!c->in.len)
			return run_truncated(run, what, err);
	}
	c->offset = run->cursor;
	return 0;
}

int run_code(struct run *run, run_step *step, void *worker, const char *what, struct ism_error *err)
{
	bool held_back = false;
	unsigned idle = 0;
	int r = 0;

	while (r == 0) {
		struct coder c;
		size_t in, room;

		r = coder_fill(run, &c, held_back, what, err);
		if (r < 0)
			return r;
		in = c.in.len;
		room = c.out_len;
		r = step(worker, run, &c, err);
		run_consume(run, in - c.in.len);
		run_produce(run, room - c.out_len);
		held_back = c.out_len == 0;
		idle = c.in.len == in && c.out_len == room ? idle + 1 : 0;
		if (r == 0 && idle > IDLE_MAX)
			r = format_error(err, run_carrier(run), run->cursor, "is damaged");
	}
	return r;
}
