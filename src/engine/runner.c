/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The thread of one target: takes pieces, compares, writes, retries, and hands over to ends.c and
 * readback.c. */
#include "engine/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "engine/diagnose.h"
#include "engine/append.h"
#include "engine/check.h"

#define TRIES        3
#define TRY_PAUSE_US 100000
#define TRY_STEP     (64 * KIB)
#define DISCARD_UNIT MIB  /* larger than the granularity of devices */
#define CALM_MS      1000 /* how long a stopped runner waits for what is in flight */

static const _Alignas(MEDIUM_BUFFER_ALIGN) uint8_t zeros[PIECE_LEN];

static const uint8_t *piece_bytes(const struct piece *piece)
{
	return piece->data ? piece->data : zeros;
}

bool runner_stopping(struct runner *r)
{
	return atomic_load(&r->shared->stop) || atomic_load(&r->give_up);
}

void runner_phase(struct runner *r, enum ism_phase phase, uint64_t total)
{
	atomic_store(&r->done, 0);
	atomic_store(&r->total, total);
	atomic_store(&r->phase, (int)phase);
}

/* The kernel's word for it comes before the size becomes zero. */
static bool is_gone(struct runner *r, int code)
{
	if (code == -ENODEV || code == -ENXIO || code == -ENOMEDIUM)
		return true;
	return r->medium && target_gone(r->target, r->medium);
}

int runner_fail(struct runner *r, int code, uint64_t offset, const char *what)
{
	struct ism_error *err = &r->report.error;
	const char *path = r->target->path;

	if (code == -ECANCELED) {
		ism_error_set(err, code, path, offset, "stopped");
		return code;
	}
	if (is_gone(r, code)) {
		ism_error_set(err, -ENODEV, path, offset, "cannot %s: the device is gone", what);
		return ism_error_hint(err, "plug it in again and repeat the command with --delta");
	}
	ism_error_errno(err, code, path, offset, "cannot %s", what);
	if (code == -ENOSPC && r->target->is_file)
		ism_error_hint(err, "the file system that holds it is full");
	else if (is_bad_sector(code))
		ism_error_hint(
			err, "the device is damaged or badly connected; try another port or cable, "
			     "and do not trust it");
	return code;
}

static int stop_code(struct runner *r)
{
	return atomic_load(&r->give_up) ? -ETIMEDOUT : -ECANCELED;
}

static void add_written(struct runner *r, size_t len)
{
	r->report.changed = true;
	atomic_fetch_add(&r->written, len);
	atomic_fetch_add(&r->done, len);
}

static int add_record(struct runner *r, uint64_t offset, size_t len, uint64_t digest)
{
	if (!r->policy.verify)
		return 0;
	if (r->n_records == r->records_cap) {
		size_t cap = MAX(r->records_cap * 2, (size_t)1024);
		struct record *records = realloc(r->records, cap * sizeof(*records));

		if (!records)
			return ism_error_oom(&r->report.error);
		r->records = records;
		r->records_cap = cap;
	}
	r->records[r->n_records++] =
		(struct record){ .offset = offset, .len = (uint32_t)len, .digest = digest };
	return 0;
}

static bool wait_failed(struct runner *r, int *ret)
{
	if (!runner_stopping(r))
		return false;
	*ret = stop_code(r);
	return true;
}

int runner_write_now(struct runner *r, const void *buf, size_t len, uint64_t offset)
{
	int status;

	lane_asking(r->lane, true);
	status = medium_write(r->medium, buf, len, offset, NULL);
	lane_asking(r->lane, false);
	return status;
}

int runner_flush_now(struct runner *r)
{
	int status;

	lane_asking(r->lane, true);
	status = medium_flush(r->medium, NULL);
	lane_asking(r->lane, false);
	return status;
}

/* One step of a piece, several times. */
static int try_write(struct runner *r, const uint8_t *data, size_t len, uint64_t offset, int code)
{
	for (int i = 0; i < TRIES && code < 0; i++) {
		if (runner_stopping(r))
			return stop_code(r);
		if (target_gone(r->target, r->medium))
			return -ENODEV;
		usleep(TRY_PAUSE_US * (unsigned)i);
		code = runner_write_now(r, data, len, offset);
	}
	return code;
}

/* [data, len) once more in steps, and a step that fails sector by sector: what the device can take
 * gets written. */
static int retry_write(struct runner *r, const uint8_t *data, size_t len, uint64_t offset, int code)
{
	size_t step = MAX((size_t)TRY_STEP, (size_t)r->medium->physical_size);
	_free_ char *text =
		text_format("write failed at byte %llu (%s), trying again in smaller requests",
	                    (unsigned long long)offset, strerror(-code));

	r->shared->notice(r->shared, r->target->path, text ? text : "write failed, trying again");
	for (size_t done = 0; done < len;) {
		size_t n = MIN(step, len - done);
		int why = try_write(r, data + done, n, offset + done, code);

		if (why == 0) {
			done += n;
			continue;
		}
		if (step <= r->medium->physical_size || !is_bad_sector(why))
			return runner_fail(r, why, offset + done, "write");
		step = r->medium->physical_size; /* to the end of it; it is the last anyway */
	}
	return 0;
}

static void slot_write(struct runner *r, struct slot *slot, size_t from, size_t to)
{
	struct piece *piece = slot->piece;

	slot->use = SLOT_WRITE;
	slot->to = to;
	slot->written += to - from;
	slot->rq = (struct lane_request){ .op = LANE_WRITE,
		                          .buf = (uint8_t *)piece_bytes(piece) + from,
		                          .len = to - from,
		                          .offset = piece->offset + from };
	lane_submit(r->lane, &slot->rq);
}

/* Of a piece that was compared only the blocks that differ are written; false when none is left. */
static bool slot_write_next(struct runner *r, struct slot *slot)
{
	const struct piece *piece = slot->piece;
	size_t from, to;

	if (!next_differing_range(slot->buf, piece_bytes(piece), piece->len, slot->to, &from, &to))
		return false;
	slot_write(r, slot, from, to);
	return true;
}

static int note_range(struct runner *r, const struct slot *slot)
{
	const struct piece *piece = slot->piece;
	const struct lane_request *rq = &slot->rq;

	add_written(r, rq->len);
	return add_record(r, rq->offset, rq->len,
	                  rq->len == piece->len ? piece->digest : digest_of(rq->buf, rq->len));
}

static int piece_written(struct runner *r, struct slot *slot)
{
	struct piece *piece = slot->piece;
	size_t equal = piece->len - slot->written;
	int status = 0;

	if (r->undo)
		status = undo_note_new(r->undo, piece->offset, piece_bytes(piece), piece->len,
		                       &r->report.error);
	atomic_fetch_add(&r->equal, equal);
	atomic_fetch_add(&r->done, equal);
	return status;
}

static int write_done(struct runner *r, struct slot *slot)
{
	struct piece *piece = slot->piece;
	int code = slot->rq.result, status = 0;

	if (code == -EIO || code == -EREMOTEIO || code == -ETIMEDOUT)
		status = retry_write(r, slot->rq.buf, slot->rq.len, slot->rq.offset, code);
	else if (code < 0)
		status = runner_fail(r, code, slot->rq.offset, "write");
	if (status == 0)
		status = note_range(r, slot);
	if (status == 0 && slot->to < piece->len && slot_write_next(r, slot))
		return 0;
	if (status == 0)
		status = piece_written(r, slot);
	slot->use = SLOT_FREE;
	piece_put(take(slot->piece));
	return status;
}

/* What is about to be overwritten becomes durable in the undo file, all that is pending at once. */
static int keep_pending(struct runner *r)
{
	int status = 0;

	if (!r->undo)
		return 0;
	for (unsigned i = 0; i < r->n_slots && status == 0; i++)
		if (r->slots[i].use == SLOT_DIFFERS)
			status = undo_keep(r->undo, r->slots[i].piece->offset, r->slots[i].buf,
			                   r->slots[i].piece->len, &r->report.error);
	return status < 0 ? status : undo_commit(r->undo, &r->report.error);
}

static void write_differing(struct runner *r, struct slot *slot)
{
	slot->written = slot->to = 0;
	if (slot->rq.result < 0 || slot->rq.done < slot->piece->len)
		slot_write(r, slot, 0, slot->piece->len);
	else
		slot_write_next(r, slot);
}

/* Write the pieces that were found to differ; before the very first of them the ends are wiped. */
static int write_pending(struct runner *r)
{
	int status = 0;

	if (!r->wiped) {
		status = runner_drain(r);
		if (status == 0)
			status = ends_wipe(r);
	}
	if (status == 0)
		status = keep_pending(r);
	for (unsigned i = 0; i < r->n_slots && status == 0; i++)
		if (r->slots[i].use == SLOT_DIFFERS) {
			r->n_pending--;
			write_differing(r, &r->slots[i]);
		}
	return status;
}

static void note_equal(struct runner *r, struct slot *slot)
{
	atomic_fetch_add(&r->equal, slot->piece->len);
	atomic_fetch_add(&r->done, slot->piece->len);
	slot->use = SLOT_FREE;
	piece_put(take(slot->piece));
}

/* What the target holds has been read: leave it, note the difference, or write. */
static int compare_done(struct runner *r, struct slot *slot)
{
	struct piece *piece = slot->piece;
	int code = slot->rq.result, status;
	bool whole = code >= 0 && slot->rq.done >= piece->len;

	if (whole && memcmp(slot->buf, piece_bytes(piece), piece->len) == 0) {
		note_equal(r, slot);
		return 0;
	}
	if (!r->policy.write) {
		slot->use = SLOT_FREE;
		slot->piece = NULL;
		status = 0;
		if (code < 0)
			status = runner_fail(r, code,
			                     readback_narrow(r, code, piece->offset, piece->len),
			                     "read");
		else if (!whole)
			status = ism_error_set(&r->report.error, -EBADMSG, r->target->path,
			                       piece->offset + slot->rq.done,
			                       "ends before the image does");
		else
			readback_mismatch(r, slot->buf, piece_bytes(piece), piece->len,
			                  piece->offset);
		atomic_fetch_add(&r->done, piece->len);
		piece_put(piece);
		return status;
	}
	if (code < 0 && r->undo) {
		uint64_t offset = piece->offset;

		slot->use = SLOT_FREE;
		piece_put(take(slot->piece));
		return runner_fail(r, code, offset, "read what is to be kept for undo");
	}
	/* A place that cannot be read may still be written: sticks remap then. */
	slot->use = SLOT_DIFFERS;
	r->n_pending++;
	return 0;
}

int runner_reap(struct runner *r, unsigned timeout_ms)
{
	struct lane_request *rq = lane_reap(r->lane, timeout_ms);
	struct slot *slot = (struct slot *)rq; /* rq is its first member */
	int status;

	if (!rq)
		return 0;
	switch (slot->use) {
	case SLOT_COMPARE:
		status = compare_done(r, slot);
		break;
	case SLOT_WRITE:
		status = write_done(r, slot);
		break;
	case SLOT_VERIFY:
		status = readback_done(r, slot);
		break;
	default:
		slot->use = SLOT_FREE;
		status = 0;
	}
	return status < 0 ? status : 1;
}

int runner_drain(struct runner *r)
{
	while (lane_in_flight(r->lane)) {
		int status = runner_reap(r, 100);

		if (status < 0)
			return status;
		if (status == 0 && wait_failed(r, &status))
			return runner_fail(r, status, ISM_NO_OFFSET, "go on");
	}
	return 0;
}

bool runner_calm(struct runner *r)
{
	uint64_t until = now_ms() + CALM_MS;

	while (lane_in_flight(r->lane) && now_ms() < until) {
		struct lane_request *rq = lane_reap(r->lane, 50);

		if (rq && rq != &r->io) {
			struct slot *slot = (struct slot *)rq;

			slot->use = SLOT_FREE;
			piece_put(take(slot->piece));
		}
	}
	return lane_in_flight(r->lane) == 0;
}

int runner_settle(struct runner *r)
{
	int status = runner_drain(r);

	while (status == 0 && r->n_pending) {
		status = write_pending(r);
		if (status == 0)
			status = runner_drain(r);
	}
	return status;
}

static struct slot *free_slot(struct runner *r)
{
	for (unsigned i = 0; i < r->n_slots; i++)
		if (r->slots[i].use == SLOT_FREE)
			return &r->slots[i];
	return NULL;
}

int runner_slot(struct runner *r, bool with_buf, struct slot **ret)
{
	struct slot *slot;
	int status;

	/* A medium that does all at once never makes us wait below. */
	if (wait_failed(r, &status))
		return runner_fail(r, status, ISM_NO_OFFSET, "go on");
	while (!(slot = free_slot(r))) {
		status = r->n_pending ? write_pending(r) : runner_reap(r, 100);

		if (status < 0)
			return status;
		if (wait_failed(r, &status))
			return runner_fail(r, status, ISM_NO_OFFSET, "go on");
	}
	if (with_buf && !r->bufs)
		r->bufs = medium_buffer(r->n_slots * PIECE_LEN);
	if (with_buf && !r->bufs)
		return ism_error_oom(&r->report.error);
	if (with_buf)
		slot->buf = r->bufs + (size_t)(slot - r->slots) * PIECE_LEN;
	*ret = slot;
	return 0;
}

int runner_write_piece(struct runner *r, struct piece *piece)
{
	struct slot *slot = NULL;
	int status = 0;

	/* A part of a block is read, changed and written: nothing else may be under way there. */
	if (!lane_fits(r->lane, piece_bytes(piece), piece->len, piece->offset))
		status = runner_settle(r);
	if (status == 0)
		status = runner_slot(r, false, &slot);
	if (status < 0) {
		piece_put(piece);
		return status;
	}
	slot->piece = piece;
	slot->written = 0;
	slot_write(r, slot, 0, piece->len);
	return 0;
}

static int compare_piece(struct runner *r, struct piece *piece)
{
	struct slot *slot = NULL;
	int status = runner_slot(r, true, &slot);

	if (status < 0) {
		piece_put(piece);
		return status;
	}
	slot->use = SLOT_COMPARE;
	slot->piece = piece;
	slot->rq = (struct lane_request){
		.op = LANE_READ, .buf = slot->buf, .len = piece->len, .offset = piece->offset
	};
	lane_submit(r->lane, &slot->rq);
	return 0;
}

int runner_io(struct runner *r, enum lane_op op, const void *buf, size_t len, uint64_t offset)
{
	static const char *const words[] = {
		[LANE_READ] = "read back",
		[LANE_WRITE] = "write",
		[LANE_FLUSH] = "make the written data durable",
	};
	struct lane_request *rq = &r->io;
	int status = runner_drain(r);

	if (status == 0 && wait_failed(r, &status))
		status = runner_fail(r, status, offset, words[op]);
	if (status < 0)
		return status;
	*rq = (struct lane_request){
		.op = op, .buf = (uint8_t *)buf, .len = len, .offset = offset
	};
	lane_submit(r->lane, rq);
	while (!lane_reap(r->lane, 100))
		if (wait_failed(r, &status))
			return runner_fail(r, status, offset, words[op]);
	if (rq->result < 0)
		return runner_fail(r, rq->result, op == LANE_FLUSH ? ISM_NO_OFFSET : offset,
		                   words[op]);
	if (op == LANE_READ && rq->done < len)
		return ism_error_set(&r->report.error, -EBADMSG, r->target->path, offset + rq->done,
		                     "ends before its time");
	return 0;
}

int runner_flush(struct runner *r)
{
	return runner_io(r, LANE_FLUSH, NULL, 0, 0);
}

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
		return compare_piece(r, piece);
	else if (status == 0 && !(piece->kind == ISM_EXTENT_ZERO && r->target->is_new))
		return runner_write_piece(r, piece);
	else if (status == 0) { /* a hole of a new file is zero already */
		atomic_fetch_add(&r->done, piece->len);
		status = add_record(r, piece->offset, piece->len, piece->digest);
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

		if (wait_failed(r, &status))
			return runner_fail(r, status, r->next_offset, "go on");
		if (r->n_records >= RECORDS_MAX) {
			status = close_window(r);
			if (status < 0)
				return status;
		}
		status = free_slot(r) ? runner_next_piece(r, busy ? 2 : 100, &piece) : 0;
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
			status = lane_in_flight(r->lane) ? runner_reap(r, free_slot(r) ? 0 : 100)
			                                 : 0;
		while (status > 0);
		if (status == 0 && r->n_pending)
			status = write_pending(r);
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
		return runner_fail(r, stop_code(r), r->next_offset, "go on");
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
			return runner_fail(r, stop_code(r), at, "go on");
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
