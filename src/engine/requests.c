/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The requests of a runner: what is in flight, what was compared or written, what is tried again,
 * and what a failed one means. */
#include "engine/job.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/hash.h"
#include "engine/diagnose.h"

#define TRIES        3
#define TRY_PAUSE_US 100000
#define TRY_STEP     (64 * KIB)
#define CALM_MS      1000 /* how long a stopped runner waits for what is in flight */

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

int runner_stop_code(struct runner *r)
{
	return atomic_load(&r->give_up) ? -ETIMEDOUT : -ECANCELED;
}

static void add_written(struct runner *r, size_t len)
{
	r->report.changed = true;
	atomic_fetch_add(&r->written, len);
	atomic_fetch_add(&r->done, len);
}

int runner_add_record(struct runner *r, uint64_t offset, size_t len, uint64_t digest)
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

bool runner_wait_failed(struct runner *r, int *ret)
{
	if (!runner_stopping(r))
		return false;
	*ret = runner_stop_code(r);
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
			return runner_stop_code(r);
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
		                          .buf = (uint8_t *)piece_data(piece) + from,
		                          .len = to - from,
		                          .offset = piece->offset + from };
	lane_submit(r->lane, &slot->rq);
}

/* Of a piece that was compared only the blocks that differ are written; false when none is left. */
static bool slot_write_next(struct runner *r, struct slot *slot)
{
	const struct piece *piece = slot->piece;
	size_t from, to;

	if (!next_differing_range(slot->buf, piece_data(piece), piece->len, slot->to, &from, &to))
		return false;
	slot_write(r, slot, from, to);
	return true;
}

static int note_range(struct runner *r, const struct slot *slot)
{
	const struct piece *piece = slot->piece;
	const struct lane_request *rq = &slot->rq;

	add_written(r, rq->len);
	return runner_add_record(r, rq->offset, rq->len,
	                         rq->len == piece->len ? piece->digest
	                                               : digest_of(rq->buf, rq->len));
}

static int piece_written(struct runner *r, struct slot *slot)
{
	struct piece *piece = slot->piece;
	size_t equal = piece->len - slot->written;
	int status = 0;

	if (r->undo)
		status = undo_note_new(r->undo, piece->offset, piece_data(piece), piece->len,
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
int runner_write_pending(struct runner *r)
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

	if (whole && memcmp(slot->buf, piece_data(piece), piece->len) == 0) {
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
			readback_mismatch(r, slot->buf, piece_data(piece), piece->len,
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
		if (status == 0 && runner_wait_failed(r, &status))
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
		status = runner_write_pending(r);
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

bool runner_has_slot(struct runner *r)
{
	return free_slot(r);
}

int runner_slot(struct runner *r, bool with_buf, struct slot **ret)
{
	struct slot *slot;
	int status;

	/* A medium that does all at once never makes us wait below. */
	if (runner_wait_failed(r, &status))
		return runner_fail(r, status, ISM_NO_OFFSET, "go on");
	while (!(slot = free_slot(r))) {
		status = r->n_pending ? runner_write_pending(r) : runner_reap(r, 100);

		if (status < 0)
			return status;
		if (runner_wait_failed(r, &status))
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
	if (!lane_fits(r->lane, piece_data(piece), piece->len, piece->offset))
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

int runner_compare_piece(struct runner *r, struct piece *piece)
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

	if (status == 0 && runner_wait_failed(r, &status))
		status = runner_fail(r, status, offset, words[op]);
	if (status < 0)
		return status;
	*rq = (struct lane_request){
		.op = op, .buf = (uint8_t *)buf, .len = len, .offset = offset
	};
	lane_submit(r->lane, rq);
	while (!lane_reap(r->lane, 100))
		if (runner_wait_failed(r, &status))
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
