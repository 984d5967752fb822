/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A half-written target never looks whole: its ends are wiped before the first changed byte, and
 * its first block is the last thing that is written. DESIGN §4.3. */
#include <stdlib.h>
#include <string.h>

#include "engine/runner.h"

static const _Alignas(MEDIUM_BUFFER_ALIGN) uint8_t zeros[PIECE_LEN];

/* Where the part of the last MiB starts that is wiped; the size if none is. */
static uint64_t tail_from(const struct runner *r)
{
	uint64_t size = r->medium->size, head = MIN(HEAD_LEN, size);

	return r->policy.keep_tail ? size : MAX(r->tail_start, head);
}

static int keep_range(struct runner *r, uint8_t *buf, uint64_t from, uint64_t to)
{
	int status;

	if (to <= from)
		return 0;
	status = runner_io(r, LANE_READ, buf, (size_t)(to - from), from);
	if (status == 0)
		status = undo_keep(r->undo, from, buf, (size_t)(to - from), &r->report.error);
	return status;
}

/* What is wiped, and what the pieces that are held to the end will overwrite: the last MiB, and
 * what lies before it in the piece that reaches into it. */
static int keep_ends(struct runner *r)
{
	uint64_t head = MIN(HEAD_LEN, r->medium->size), tail = MAX(r->tail_start, head);
	_free_ uint8_t *buf = NULL;
	int status;

	if (!r->undo)
		return 0;
	buf = medium_buffer(HEAD_LEN);
	if (!buf)
		return ism_error_oom(&r->report.error);
	status = keep_range(r, buf, 0, head);
	if (status == 0)
		status = keep_range(r, buf, MAX(round_down_u64(tail, PIECE_LEN), head), tail);
	if (status == 0)
		status = keep_range(r, buf, tail, r->medium->size);
	return status < 0 ? status : undo_commit(r->undo, &r->report.error);
}

int ends_wipe(struct runner *r)
{
	int phase = atomic_load(&r->phase);
	uint64_t done = atomic_load(&r->done), total = atomic_load(&r->total);
	uint64_t size = r->medium->size, from = tail_from(r);
	int status;

	if (r->wiped || r->target->is_new) {
		r->wiped = true;
		return 0;
	}
	runner_phase(r, ISM_PHASE_WIPE, ISM_SIZE_UNKNOWN);
	status = keep_ends(r);
	if (status == 0)
		status = target_drop_partitions(r->target, r->medium, &r->report.error);
	if (status < 0)
		return status;
	r->report.changed = true;
	atomic_store(&r->ends, ENDS_UNSURE);
	status = runner_io(r, LANE_WRITE, zeros, (size_t)MIN(HEAD_LEN, size), 0);
	if (status == 0 && size > from)
		status = runner_io(r, LANE_WRITE, zeros, (size_t)(size - from), from);
	if (status == 0)
		status = runner_flush(r);
	r->wiped = status == 0;
	if (r->wiped)
		atomic_store(&r->ends, ENDS_BLANK);
	runner_phase(r, (enum ism_phase)phase, total);
	atomic_store(&r->done, done);
	return status;
}

/* 1 = [offset, offset + len) of the target is other than `want`, 0 = equal. */
static int range_differs(struct runner *r, const uint8_t *want, size_t len, uint64_t offset)
{
	_free_ uint8_t *buf = medium_buffer(len);
	int status;

	if (!buf)
		return ism_error_oom(&r->report.error);
	status = runner_io(r, LANE_READ, buf, len, offset);
	return status < 0 ? status : memcmp(buf, want, len) != 0;
}

static int held_differ(struct runner *r, struct piece **held, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int status = range_differs(r, piece_data(held[i]), held[i]->len, held[i]->offset);

		if (status != 0)
			return status;
	}
	return 0;
}

/* Nothing differed so far: do the held pieces, or what lies in the last MiB behind the image? */
static int ends_differ(struct runner *r)
{
	uint64_t from = MAX(tail_from(r), r->shared->size), size = r->medium->size;
	int status = held_differ(r, r->tail, r->n_tail);

	if (status == 0)
		status = held_differ(r, r->head, r->n_head);
	if (status == 0 && size > from)
		status = range_differs(r, zeros, (size_t)(size - from), from);
	return status;
}

static void count_held_equal(struct runner *r, struct piece **held, size_t n)
{
	for (size_t i = 0; i < n; i++)
		atomic_fetch_add(&r->equal, held[i]->len);
}

static int write_tail(struct runner *r)
{
	int status = 0;

	for (size_t i = 0; i < r->n_tail && status == 0; i++)
		status = runner_write_piece(r, piece_ref(r->tail[i]));
	if (status == 0)
		status = runner_settle(r);
	return status;
}

/* Bytes of the piece that belong to the target's first block, which comes last. */
static size_t first_block_part(const struct runner *r, const struct piece *piece)
{
	uint64_t block = r->medium->physical_size;

	return piece->offset >= block ? 0
	                              : (size_t)MIN(block - piece->offset, (uint64_t)piece->len);
}

/* Write the held head: the first block of it, or all but that. */
static int write_head_part(struct runner *r, bool first_block)
{
	int status = 0;

	for (size_t i = 0; i < r->n_head && status == 0; i++) {
		const struct piece *piece = r->head[i];
		size_t cut = first_block_part(r, piece);
		size_t from = first_block ? 0 : cut, to = first_block ? cut : piece->len;

		if (to == from)
			continue;
		status = runner_io(r, LANE_WRITE, piece_data(piece) + from, to - from,
		                   piece->offset + from);
		if (status == 0) {
			atomic_fetch_add(&r->written, to - from);
			atomic_fetch_add(&r->done, to - from);
			r->report.changed = true;
		}
	}
	if (status == 0)
		status = runner_flush(r);
	for (size_t i = 0; i < r->n_head && status == 0 && r->policy.verify; i++) {
		const struct piece *piece = r->head[i];
		size_t from = first_block ? 0 : first_block_part(r, piece);

		status = readback_range(r, piece_data(piece) + from, piece->len - from,
		                        piece->offset + from);
	}
	return status;
}

/* What the ends hold now is known to the undo file too. */
static int note_ends(struct runner *r)
{
	uint64_t from = MAX(tail_from(r), r->shared->size), size = r->medium->size;
	int status = 0;

	if (!r->undo)
		return 0;
	for (size_t i = 0; i < r->n_head && status == 0; i++)
		status = undo_note_new(r->undo, r->head[i]->offset, piece_data(r->head[i]),
		                       r->head[i]->len, &r->report.error);
	if (status == 0 && size > from)
		status = undo_note_new(r->undo, from, zeros, (size_t)(size - from),
		                       &r->report.error);
	return status;
}

/* The last look failed: what is there must not boot. */
static void unmake(struct runner *r)
{
	size_t len = (size_t)MIN((uint64_t)r->medium->physical_size, r->medium->size);

	if (r->target->is_new || !runner_calm(r) || runner_write_now(r, zeros, len, 0) < 0)
		return;
	if (runner_flush_now(r) == 0)
		atomic_store(&r->ends, ENDS_BLANK);
}

static int write_head(struct runner *r)
{
	int status;

	runner_phase(r, ISM_PHASE_FIRST, HEAD_LEN);
	status = write_head_part(r, false);
	if (status < 0)
		return status;
	runner_phase(r, ISM_PHASE_LAST, r->medium->physical_size);
	atomic_store(&r->ends, ENDS_UNSURE);
	status = write_head_part(r, true);
	if (status == 0 && r->policy.verify)
		status = readback_again(r);
	if (status < 0)
		unmake(r);
	else
		atomic_store(&r->ends, ENDS_WHOLE);
	return status;
}

static int write_ends(struct runner *r)
{
	int status = ends_wipe(r);

	if (status == 0)
		status = write_tail(r);
	if (status == 0 && r->target->is_new && r->medium->size != r->shared->size)
		status = r->medium->ops->resize(r->medium, r->shared->size, &r->report.error);
	if (status == 0) {
		runner_phase(r, ISM_PHASE_FLUSH, ISM_SIZE_UNKNOWN);
		status = runner_flush(r);
	}
	if (status == 0 && r->policy.verify)
		status = readback_records(r);
	if (status == 0)
		status = write_head(r);
	if (status == 0)
		status = note_ends(r);
	return status;
}

int ends_finish(struct runner *r)
{
	int status = 0;

	if (r->policy.compare && !r->wiped) {
		status = ends_differ(r);
		if (status < 0)
			return status;
		if (status == 0) {
			count_held_equal(r, r->head, r->n_head);
			count_held_equal(r, r->tail, r->n_tail);
			r->report.verified =
				true; /* every byte was read past the cache, and was right */
			return target_commit(r->target, &r->report.error);
		}
	}
	status = write_ends(r);
	if (status == 0)
		status = target_commit(r->target, &r->report.error);
	if (status == 0)
		r->report.verified = r->policy.verify;
	if (status == 0 && r->policy.rescan)
		status = target_rescan(r->target, r->medium, &r->report.error);
	return status;
}
