/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was written is read back past the page cache and compared with digests kept from writing.
 * DESIGN §4.2. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/diagnose.h"
#include "engine/runner.h"

#define NARROW_STEP (64 * KIB)

/* Another piece of this window has just what was found here: the medium answers with a wrong
 * address. */
static bool found_elsewhere(const struct runner *r, uint64_t digest, uint64_t offset, uint64_t *ret)
{
	for (size_t i = 0; i < r->n_records; i++)
		if (r->records[i].digest == digest && r->records[i].offset != offset) {
			*ret = r->records[i].offset;
			return true;
		}
	for (size_t i = 0; i < r->n_head; i++)
		if (r->head[i]->digest == digest && r->head[i]->offset != offset) {
			*ret = r->head[i]->offset;
			return true;
		}
	return false;
}

void readback_mismatch(struct runner *r, const uint8_t *got, const uint8_t *want, size_t len,
                       uint64_t offset)
{
	struct ism_mismatch *m = &r->report.mismatch;
	_free_ uint8_t *again = NULL;
	size_t at = 0;

	r->mismatches++;
	m->total += len;
	if (m->kind != ISM_MISMATCH_NONE && m->offset <= offset)
		return;
	if (!want && (again = medium_buffer(len)) &&
	    r->shared->reread(r->shared, offset, len, again))
		want = again;
	if (want) {
		at = first_difference(got, want, len);
		if (at ==
		    len) { /* the medium gave other bytes a moment ago, or the source has changed */
			want = NULL;
			at = 0;
		}
	}
	m->exact = want != NULL;
	m->offset = offset + at;
	m->len = len - at;
	m->kind = diagnose(got, want, len, at);
	if (m->kind == ISM_MISMATCH_OLD_DATA &&
	    found_elsewhere(r, digest_of(got, len), offset, &m->elsewhere))
		m->kind = ISM_MISMATCH_WRAPPED;
}

static const char *mismatch_hint(enum ism_mismatch_kind kind)
{
	switch (kind) {
	case ISM_MISMATCH_WRAPPED:
		return "the device is smaller than it claims (a fake); do not use it";
	case ISM_MISMATCH_BIT_FLIPS:
		return "the device, its cable or this computer's memory is faulty; try another "
		       "port, and do not "
		       "trust it";
	case ISM_MISMATCH_ZEROS:
	case ISM_MISMATCH_ONES:
		return "the device did not store what it acknowledged: worn out, or smaller than "
		       "it claims";
	default:
		return "the device did not store what it acknowledged, or another program wrote to "
		       "it";
	}
}

static int mismatch_error(struct runner *r)
{
	const struct ism_mismatch *m = &r->report.mismatch;
	struct ism_error *err = &r->report.error;

	ism_error_set(err, -EIO, r->target->path, m->offset,
	              "reads back different from what was written: %s%s",
	              ism_mismatch_name(m->kind), m->exact ? "" : " in the MiB that starts there");
	return ism_error_hint(err, "%s", mismatch_hint(m->kind));
}

uint64_t readback_narrow(struct runner *r, int code, uint64_t offset, size_t len)
{
	size_t step = MAX((size_t)NARROW_STEP, (size_t)r->medium->sector_size);
	_free_ uint8_t *buf = medium_buffer(step);
	uint64_t end = offset + len;

	while (buf && is_bad_sector(code) && offset < end && !runner_stopping(r)) {
		size_t n = (size_t)MIN((uint64_t)step, end - offset), got = 0;

		lane_asking(r->lane, true);
		int status = medium_read(r->medium, buf, n, offset, &got, NULL);
		lane_asking(r->lane, false);
		if (status == 0 && got == n) {
			offset += n;
			continue;
		}
		if (step <= r->medium->sector_size)
			break;
		step = r->medium->sector_size;
	}
	return offset;
}

int readback_done(struct runner *r, struct slot *slot)
{
	const struct record *record = &r->records[slot->record];
	int code = slot->rq.result;

	slot->use = SLOT_FREE;
	if (code < 0)
		return runner_fail(r, code, readback_narrow(r, code, record->offset, record->len),
		                   "read back what was written");
	if (slot->rq.done < record->len)
		return ism_error_set(&r->report.error, -EIO, r->target->path,
		                     record->offset + slot->rq.done,
		                     "ends there when it is read back");
	atomic_fetch_add(&r->done, record->len);
	if (digest_of(slot->buf, record->len) != record->digest)
		readback_mismatch(r, slot->buf, NULL, record->len, record->offset);
	return 0;
}

int readback_drop_cache(struct runner *r)
{
	const char *how = "none";
	int status = medium_drop_cache(r->medium, 0, r->medium->size, &how, &r->report.error);

	r->report.read_back = how;
	return status;
}

/* A few pieces are looked at again at the very end: the powers of two, where a fake stick wraps,
 * and the last. */
static int keep_some(struct runner *r)
{
	for (size_t i = 0; i < r->n_records; i++) {
		uint64_t slot = r->records[i].offset / PIECE_LEN;
		struct record *kept;

		if (r->records[i].again || ((slot & (slot - 1)) && i + 1 < r->n_records))
			continue;
		kept = realloc(r->kept, (r->n_kept + 1) * sizeof(*kept));
		if (!kept)
			return ism_error_oom(&r->report.error);
		r->kept = kept;
		kept[r->n_kept] = r->records[i];
		kept[r->n_kept++].again = true;
	}
	return 0;
}

int readback_records(struct runner *r)
{
	bool again = atomic_load(&r->phase) == ISM_PHASE_LAST;
	uint64_t total = 0;
	int status = readback_drop_cache(r);

	for (size_t i = 0; i < r->n_records; i++)
		total += r->records[i].len;
	runner_phase(r, again ? ISM_PHASE_LAST : ISM_PHASE_VERIFY, total);
	for (size_t i = 0; i < r->n_records && status == 0 && r->mismatches < MISMATCHES_MAX; i++) {
		const struct record *record = &r->records[i];
		struct slot *slot = NULL;

		status = runner_slot(r, true, &slot);
		if (status < 0)
			break;
		slot->use = SLOT_VERIFY;
		slot->record = i;
		slot->rq = (struct lane_request){ .op = LANE_READ,
			                          .buf = slot->buf,
			                          .len = record->len,
			                          .offset = record->offset };
		lane_submit(r->lane, &slot->rq);
	}
	if (status == 0)
		status = runner_drain(r);
	if (status == 0 && r->mismatches)
		status = mismatch_error(r);
	if (status == 0)
		status = keep_some(r);
	r->n_records = 0;
	return status;
}

int readback_range(struct runner *r, const uint8_t *want, size_t len, uint64_t offset)
{
	_free_ uint8_t *got = NULL;
	int status;

	if (len == 0)
		return 0;
	status = readback_drop_cache(r);
	if (status < 0)
		return status;
	got = medium_buffer(len);
	if (!got)
		return ism_error_oom(&r->report.error);
	status = runner_io(r, LANE_READ, got, len, offset);
	if (status == 0 && memcmp(got, want, len) != 0) {
		readback_mismatch(r, got, want, len, offset);
		status = mismatch_error(r);
	}
	return status;
}

int readback_again(struct runner *r)
{
	free(r->records);
	r->records = take(r->kept);
	r->n_records = r->records_cap = r->n_kept;
	r->n_kept = 0;
	return readback_records(r);
}
