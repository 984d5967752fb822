/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is an image whole? One of ours is decoded and proven chunk by chunk, so that all that is damaged
 * can be told; any other is read to its end, where its own checksums are. And for every job: what
 * an image could not give, in the report. */
#include "engine/check.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job.h"
#include "format/native_read.h"
#include "table/table.h"

#define DAMAGES_MAX 1000

int check_new(struct ism_job *job, struct ism_error *err)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return ism_error_oom(err);
	job->targets[0].target = t;
	t->lock_fd = -1;
	t->ref = strdup(job->options.source);
	t->path = strdup(job->options.source);
	t->is_file = true;
	return t->ref && t->path ? 0 : ism_error_oom(err);
}

/* All chunks, in use or not. What cannot be had is noted by the medium. */
static int read_chunks(struct runner *r)
{
	struct medium *source = r->shared->source;
	_free_ uint8_t *buf = medium_buffer(PIECE_LEN);
	int status = buf ? 0 : ism_error_oom(&r->report.error);

	for (uint64_t at = 0; at < source->size && status == 0; at += PIECE_LEN) {
		size_t len = (size_t)MIN((uint64_t)PIECE_LEN, source->size - at);

		status = medium_read_all(source, buf, len, at, &r->report.error);
		atomic_fetch_add(&r->done, len);
		r->next_offset = at + len;
	}
	return status;
}

static int read_pieces(struct runner *r)
{
	int status = 0;

	while (status >= 0) {
		struct piece *piece = NULL;

		status = runner_next_piece(r, 100, &piece);
		if (piece) {
			atomic_fetch_add(&r->done, piece->len);
			r->next_offset = piece->offset + piece->len;
			piece_put(piece);
		}
		if (runner_stopping(r))
			return runner_fail(r, -ECANCELED, r->next_offset, "go on");
	}
	return status == -ENODATA ? 0 : status;
}

int check_run(struct runner *r)
{
	const struct native_image *image = native_image_of(r->shared->source);
	uint64_t lost;
	int status;

	runner_phase(r, ISM_PHASE_VERIFY, r->shared->source->size);
	status = image ? read_chunks(r) : read_pieces(r);
	if (status == 0 && image && !image->salvaged &&
	    !native_lost(r->shared->source, NULL, 0, &lost))
		status = native_image_prove(image, &r->report.error);
	return status < 0 ? status : runner_await_source(r);
}

/* Which partitions a damaged range touches; none if the table is part of what was lost. */
static void find_partitions(struct ism_damage *d, const struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct table_entry *e = &t->entries[i];

		if (e->extended || e->offset >= d->offset + d->len ||
		    e->offset + e->size <= d->offset)
			continue;
		if (!d->first_part || e->number < d->first_part)
			d->first_part = e->number;
		d->last_part = MAX(d->last_part, e->number);
	}
}

static int list_damage(struct ism_job *job, uint64_t *ret_bytes)
{
	_free_ struct ism_extent *lost = calloc(DAMAGES_MAX, sizeof(*lost));
	CLEANUP(table_freep) struct table *t = NULL;
	size_t n = lost ? native_lost(job->source, lost, DAMAGES_MAX, ret_bytes) : 0;

	if (!n)
		return lost ? 0 : -ENOMEM;
	n = MIN(n, (size_t)DAMAGES_MAX);
	job->damaged = calloc(n, sizeof(*job->damaged));
	if (!job->damaged)
		return -ENOMEM;
	atomic_store(&job->shared.stop, false); /* all threads have ended; the table is read */
	if (table_read(job->source, &t, NULL) < 0)
		t = NULL;
	for (size_t i = 0; i < n; i++) {
		job->damaged[i] =
			(struct ism_damage){ .offset = lost[i].offset, .len = lost[i].len };
		if (t)
			find_partitions(&job->damaged[i], t);
	}
	job->report.damaged = job->damaged;
	job->report.n_damaged = n;
	job->report.damaged_bytes = *ret_bytes;
	return 0;
}

/* What reading the image alone has found is the verdict of the job. */
static void take_verdict(struct ism_job *job)
{
	struct ism_report *report = &job->report;
	struct ism_target_report *t = &job->target_reports[0];
	bool other = report->error.code != 0;

	if (other && report->error.status == ISM_INCOMPLETE) /* bad sectors: no whole image */
		ism_error_status(&report->error, ISM_FAILED);
	if (t->error.code && (!other || t->error.code == -ECANCELED))
		ism_error_move(&report->error, &t->error);
	t->status = report->error.code ? (enum ism_status)report->error.status : ISM_DONE;
}

/* Not all of the disk could be had. */
static void tell_damage(struct ism_job *job, const struct native_image *image)
{
	struct ism_report *report = &job->report;

	ism_error_set(&report->error, -EBADMSG, job->source->name, ISM_NO_OFFSET,
	              "is %s: %llu bytes of the disk %s, the first at byte %llu of the disk",
	              image->salvaged ? "no complete image" : "damaged",
	              (unsigned long long)report->damaged_bytes,
	              job->alone ? "cannot be had" : "could not be had and are zeros in the copy",
	              (unsigned long long)report->damaged[0].offset);
	ism_error_status(&report->error, job->alone ? ISM_FAILED : ISM_INCOMPLETE);
}

void check_conclude(struct ism_job *job)
{
	const struct native_image *image = job->source ? native_image_of(job->source) : NULL;
	struct ism_report *report = &job->report;
	uint64_t bytes = 0;

	if (job->alone)
		take_verdict(job);
	if (!image || job->leaked || report->error.code)
		return;
	if (list_damage(job, &bytes) < 0) {
		ism_error_oom(&report->error);
	} else if (bytes) {
		tell_damage(job, image);
	} else if (job->alone && image->salvaged) {
		ism_error_set(&report->error, -EBADMSG, job->source->name, ISM_NO_OFFSET,
		              "is no complete image, but all of the disk can be had from it");
		ism_error_hint(&report->error, "isomorph restore --damaged");
		ism_error_status(&report->error, ISM_FAILED);
	}
}
