/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The thread of one target: takes pieces as they come, or reads for itself, and hands over to
 * ends.c and readback.c.
 */
#include "engine/job.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "engine/append.h"
#include "engine/check.h"

#define DISCARD_UNIT MIB /* larger than the granularity of devices */

/* Keep the piece to the end, not its buffer: an image may be in many small pieces there. The
 * reference is taken over. */
static int hold(struct piece ***list, size_t *n, size_t *cap, struct piece *piece)
{
	struct piece *copy = piece_copy(piece);

	if (copy && *n == *cap) {
		size_t more = *cap ? *cap * 2 : 8;
		struct piece **bigger = realloc(*list, more * sizeof(*bigger));

		if (bigger) {
			*list = bigger;
			*cap = more;
		}
	}
	if (!copy || *n == *cap) {
		piece_put(copy);
		return -ENOMEM;
	}
	copy->digest = piece->digest;
	(*list)[(*n)++] = copy;
	piece_put(piece);
	return 0;
}

static int check_fits(struct runner *r, const struct piece *piece)
{
	uint64_t size = r->medium->size;

	if (r->target->is_new || piece->offset + piece->len <= size)
		return 0;
	if (!r->policy.write)
		return ism_error_set(&r->report.error, -EBADMSG, r->target->path, size,
		                     "is shorter than the image");
	ism_error_set(&r->report.error, -ENOSPC, r->target->path, size,
	              "is too small: the image goes on behind its %llu bytes",
	              (unsigned long long)size);
	return ism_error_hint(&r->report.error,
	                      "use a larger target; this one has been left wiped");
}

/* Takes over the caller's reference to the piece. */
static int dispatch(struct runner *r, struct piece *piece)
{
	int status = check_fits(r, piece);

	r->next_offset = piece->offset + piece->len;
	r->end = r->next_offset;
	if (status == 0 && r->policy.write && piece->offset < HEAD_LEN)
		status = hold(&r->head, &r->n_head, &r->head_cap, piece);
	else if (status == 0 && r->policy.write && r->policy.compare && r->end > r->tail_start)
		status = hold(&r->tail, &r->n_tail, &r->tail_cap, piece);
	else if (status == 0 && r->policy.compare)
		return runner_compare_piece(r, piece);
	else if (status == 0 && !(piece->kind == ISM_EXTENT_ZERO && r->target->is_new))
		return runner_write_piece(r, piece);
	else if (status == 0) { /* a hole of a new file is zero already */
		atomic_fetch_add(&r->done, piece->len);
		status = runner_add_record(r, piece->offset, piece->len, piece->digest);
		piece_put(piece);
		return status;
	}
	if (status == -ENOMEM)
		ism_error_oom(&r->report.error);
	if (status < 0)
		piece_put(piece);
	return status;
}

/* Too slow for the others, and the source can be read anywhere: go on alone from where we are. */
static int start_own_pace(struct runner *r)
{
	queue_close(&r->queue);
	r->own_pool = pool_new(RUNNER_OWN);
	if (!r->own_pool)
		return ism_error_oom(&r->report.error);
	r->cursor = (struct cursor){ .source = r->shared->source,
		                     .zero_unused = r->shared->unused == ISM_UNUSED_ZERO,
		                     .leave_bad = !r->policy.write,
		                     .offset = r->next_offset };
	r->own_pace = true;
	return 0;
}

static void note_bad(struct runner *r, const struct piece *piece)
{
	for (size_t i = 0; i < piece->n_bad; i++) {
		if (!r->bad)
			r->first_bad = piece->offset + piece->bad[i].offset;
		r->bad += piece->bad[i].len;
	}
}

int runner_next_piece(struct runner *r, unsigned timeout_ms, struct piece **ret)
{
	if (!r->own_pace && atomic_load(&r->detach) && start_own_pace(r) < 0)
		return -ENOMEM;
	if (r->own_pace)
		switch (cursor_next(&r->cursor, r->own_pool, timeout_ms, ret, &r->report.error)) {
		case CURSOR_PIECE:
			note_bad(r, *ret);
			return 1;
		case CURSOR_WAIT:
			return 0;
		case CURSOR_END:
			return -ENODATA;
		default:
			return ism_error_prefix(&r->report.error, "cannot read the source");
		}
	switch (queue_get(&r->queue, timeout_ms, ret)) {
	case QUEUE_PIECE:
		note_bad(r, *ret);
		return 1;
	case QUEUE_EMPTY:
		return 0;
	default:
		return atomic_load(&r->detach) ? 0 : -ENODATA;
	}
}

/* The digest list is full: prove this part now, then go on. */
static int close_window(struct runner *r)
{
	uint64_t done = atomic_load(&r->done), total = atomic_load(&r->total);
	int status = runner_settle(r);

	if (status == 0) {
		runner_phase(r, ISM_PHASE_FLUSH, ISM_SIZE_UNKNOWN);
		status = runner_flush(r);
	}
	if (status == 0)
		status = readback_records(r);
	runner_phase(r, ISM_PHASE_DATA, total);
	atomic_store(&r->done, done);
	return status;
}

static int move_data(struct runner *r)
{
	runner_phase(r, ISM_PHASE_DATA, r->shared->source->size);
	for (;;) {
		struct piece *piece = NULL;
		unsigned busy = lane_in_flight(r->lane);
		int status = 0;

		if (runner_wait_failed(r, &status))
			return runner_fail(r, status, r->next_offset, "go on");
		if (r->n_records >= RECORDS_MAX) {
			status = close_window(r);
			if (status < 0)
				return status;
		}
		status = runner_has_slot(r) ? runner_next_piece(r, busy ? 2 : 100, &piece) : 0;
		if (status == -ENODATA)
			return runner_settle(r);
		if (status < 0)
			return status;
		if (piece)
			status = dispatch(r, piece);
		if (status < 0)
			return status;
		/* With no free slot wait for one, else only take what is there. */
		do
			status = lane_in_flight(r->lane)
			                 ? runner_reap(r, runner_has_slot(r) ? 0 : 100)
			                 : 0;
		while (status > 0);
		if (status == 0 && r->n_pending)
			status = runner_write_pending(r);
		if (status < 0)
			return status;
		if (r->mismatches >= MISMATCHES_MAX)
			return runner_drain(r);
	}
}

/* Nothing is made to look whole before the whole source was read and proven. */
int runner_await_source(struct runner *r)
{
	struct shared *s = r->shared;
	enum source_state state;

	pthread_mutex_lock(&s->lock);
	while ((state = s->state) == SOURCE_READING && !runner_stopping(r)) {
		struct timespec until = deadline_in(100);

		pthread_cond_timedwait(&s->changed, &s->lock, &until);
	}
	pthread_mutex_unlock(&s->lock);
	if (state == SOURCE_PROVEN)
		return 0;
	if (runner_stopping(r))
		return runner_fail(r, runner_stop_code(r), r->next_offset, "go on");
	return ism_error_set(&r->report.error, -EBADMSG, r->target->path, ISM_NO_OFFSET,
	                     "not finished, because of the image");
}

/* What the image leaves out is given back to the device, before anything is written; never relied
 * on for content. */
static int discard_unused(struct runner *r)
{
	struct medium *source = r->shared->source;
	struct ism_extent e;

	for (uint64_t at = 0; at < source->size && source->size != ISM_SIZE_UNKNOWN;
	     at = e.offset + e.len) {
		uint64_t from, to;
		int status = medium_next_extent(source, at, &e, &r->report.error);

		if (status < 0)
			return status;
		from = round_up_u64(e.offset, DISCARD_UNIT);
		to = round_down_u64(e.offset + e.len, DISCARD_UNIT);
		if (e.kind == ISM_EXTENT_UNUSED && from < to)
			medium_discard(r->medium, from, to - from, NULL);
		if (runner_stopping(r))
			return runner_fail(r, runner_stop_code(r), at, "go on");
	}
	return 0;
}

static int run(struct runner *r)
{
	int status = 0;

	if (r->policy.probe)
		status = probe_capacity(r);
	/* A discard changes bytes, before any difference is known. */
	if (status == 0 && r->policy.write &&
	    (!r->policy.compare || r->shared->unused == ISM_UNUSED_DISCARD))
		status = ends_wipe(r);
	if (status == 0 && r->policy.write && r->shared->unused == ISM_UNUSED_DISCARD)
		status = discard_unused(r);
	/* What an earlier run left in a cache is flushed: nothing else is, if all is equal. */
	if (status == 0 && r->policy.write && r->policy.compare)
		status = runner_flush(r);
	if (status == 0 && r->policy.write && r->policy.compare)
		status = readback_drop_cache(r);
	if (status == 0)
		status = move_data(r);
	/* Too many differences: the rest of the source is not waited for, nobody takes it. */
	if (status == 0 && r->mismatches < MISMATCHES_MAX)
		status = runner_await_source(r);
	if (status == 0 && r->policy.write)
		status = ends_finish(r);
	return status;
}

/* Give what is in flight a moment; what does not come back is left to the kernel for ever. */
static void leave(struct runner *r)
{
	if (!runner_calm(r)) {
		r->abandoned = true;
		pool_abandon(r->shared->pool, lane_in_flight(r->lane));
	}
	for (unsigned i = 0; i < r->n_slots; i++)
		if (r->slots[i].use == SLOT_DIFFERS)
			piece_put(take(r->slots[i].piece));
	queue_close(&r->queue);
	for (size_t i = 0; i < r->n_head; i++)
		piece_put(r->head[i]);
	for (size_t i = 0; i < r->n_tail; i++)
		piece_put(r->tail[i]);
	r->n_head = r->n_tail = 0;
}

static void *runner_main(void *arg)
{
	struct runner *r = arg;
	int status = r->check ? check_run(r) : r->capture ? append_run(r) : run(r);

	leave(r);
	r->report.seconds = (double)(now_ms() - r->started_ms) / 1000;
	r->report.reached = r->next_offset;
	r->report.wiped = r->wiped;
	atomic_store(&r->phase, (int)(status < 0 ? ISM_PHASE_FAILED : ISM_PHASE_DONE));
	pthread_mutex_lock(&r->shared->lock);
	atomic_store(&r->ended, true);
	pthread_cond_broadcast(&r->shared->changed);
	pthread_mutex_unlock(&r->shared->lock);
	return NULL;
}

static int prepare_lane(struct runner *r, struct ism_error *err)
{
	unsigned depth = r->medium->depth ? r->medium->depth : RUNNER_SLOTS;

	r->n_slots = MIN(depth, (unsigned)RUNNER_SLOTS);
	r->lane = lane_new(r->medium, r->n_slots + 1);
	r->tail_start = r->medium->size > HEAD_LEN ? r->medium->size - HEAD_LEN : 0;
	return r->lane ? 0 : ism_error_oom(err);
}

int runner_start(struct runner *r, struct ism_error *err)
{
	r->started_ms = now_ms();
	if (!r->capture && !r->check && prepare_lane(r, err) < 0)
		return -ENOMEM;
	if (queue_init(&r->queue) < 0)
		return ism_error_oom(err);
	if (pthread_create(&r->thread, NULL, runner_main, r) != 0)
		return ism_error_set(err, -EAGAIN, NULL, ISM_NO_OFFSET, "cannot start a thread");
	r->started = true;
	return 0;
}
