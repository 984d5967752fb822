/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a job: one reader feeds all targets, each at its own pace; the calling thread watches and
 * tells. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job.h"
#include "format/native_read.h"
#include "medium/faulty.h"

#define JOIN_MS 1500 /* threads have had their time; what is stuck is left behind */

/* Read a range of the source again: at once if it is random, by opening it anew if it is a stream
 * with a name. */
static bool reread(struct shared *shared, uint64_t offset, size_t len, uint8_t *buf)
{
	struct ism_job *job = (struct ism_job *)((char *)shared - offsetof(struct ism_job, shared));
	struct ism_open_options open = { .threads = 1, .stop = &shared->stop };
	_medium_ struct medium *again = NULL;
	struct cursor c = { 0 };
	struct pool *pool;
	bool found = false;

	if (!job->source->forward)
		return medium_read_all(job->source, buf, len, offset, NULL) == 0;
	if (strcmp(job->facts.carrier, "pipe") == 0 ||
	    source_open(job->options.source, &open, &again, NULL, NULL) < 0)
		return false;
	pool = pool_new(1);
	c.source = again;
	for (struct piece *piece;
	     pool && !found && cursor_next(&c, pool, 0, &piece, NULL) == CURSOR_PIECE;) {
		found = piece->data && offset >= piece->offset &&
		        offset + len <= piece->offset + piece->len;
		if (found)
			memcpy(buf, piece->data + (offset - piece->offset), len);
		piece_put(piece);
	}
	pool_free(pool);
	return found;
}

static int open_target(struct ism_job *job, struct job_target *t, struct medium **ret,
                       struct ism_error *err)
{
	_free_ char *faults = faulty_spec_for(t->target->path);
	int r;

	if ((job->options.verb == ISM_VERB_CAPTURE && !t->target->is_new) || job->alone)
		return 0; /* standard output, or none at all */
	if (job->options.verb == ISM_VERB_VERIFY) {
		const char *how;

		r = carrier_open(t->target->path, NULL, ret, err);
		if (r == 0)
			r = medium_drop_cache(*ret, 0, (*ret)->size, &how, err);
		if (r == 0)
			t->runner->report.read_back = how;
	} else {
		r = target_open(t->target, &job->guard, ret, err);
	}
	if (r == 0 && faults)
		r = faulty_wrap(ret, faults, err);
	return r;
}

static void set_policy(struct ism_job *job, struct job_target *t)
{
	const struct ism_job_options *o = &job->options;
	const struct undo_index *undo = undo_index_of(job->source);
	struct policy *p = &t->runner->policy;

	p->write = o->verb != ISM_VERB_VERIFY;
	p->compare = !p->write || ((o->delta || o->undo) && !t->target->is_new);
	p->verify = p->write && !o->no_verify && t->runner->medium;
	p->keep_tail = o->keep_tail;
	p->rescan =
		o->verb != ISM_VERB_CLONE; /* its ids are those of the source, which is attached */
	if (undo)                          /* the tail is put back only if it was kept */
		p->keep_tail = !undo_covers(
			undo, job->source->size > HEAD_LEN ? job->source->size - HEAD_LEN : 0,
			job->source->size);
	p->probe = p->write && !p->compare && o->verb != ISM_VERB_ERASE &&
	           o->verb != ISM_VERB_UNDO && !o->no_probe && !t->target->is_file &&
	           !t->target->is_partition &&
	           (t->target->device.removable ||
	            (t->target->device.bus && strcmp(t->target->device.bus, "usb") == 0));
}

static int start_target(struct ism_job *job, struct job_target *t, struct ism_error *err)
{
	struct runner *r = calloc(1, sizeof(*r));
	int status;

	if (!r)
		return ism_error_oom(err);
	t->runner = r;
	r->shared = &job->shared;
	r->target = t->target;
	status = open_target(job, t, &r->medium, err);
	if (status < 0)
		return status;
	set_policy(job, t);
	if (job->alone) {
		r->check = true;
		/* The chunks of an image of ours are all looked at, also those out of use. */
		atomic_store(&r->detach, native_image_of(job->source) != NULL);
		return runner_start(r, err);
	}
	if (job->options.verb == ISM_VERB_CAPTURE) {
		r->capture = &job->capture;
		return runner_start(r, err);
	}
	if (t->target->is_new && job->source->size != ISM_SIZE_UNKNOWN)
		status = r->medium->ops->resize(r->medium, job->source->size, err);
	if (status == 0 && job->options.undo) {
		status = undo_create(job->options.undo, t->target, r->medium->size,
		                     r->medium->sector_size, &t->undo, err);
		r->undo = t->undo;
	}
	return status < 0 ? status : runner_start(r, err);
}

static void join_all(struct ism_job *job)
{
	for (int i = 0; job->reader_started && i < JOIN_MS / 10; i++) {
		if (atomic_load(&job->reader_ended))
			break;
		usleep(10000);
	}
	if (job->reader_started && atomic_load(&job->reader_ended))
		pthread_join(job->reader, NULL);
	else if (job->reader_started)
		job->leaked = true; /* stuck in a source that does not answer */
	for (size_t i = 0; i < job->n_targets; i++) {
		struct runner *r = job->targets[i].runner;

		if (!r || !r->started)
			continue;
		if (atomic_load(&r->ended))
			pthread_join(r->thread, NULL);
		if (r->abandoned || !atomic_load(&r->ended))
			job->leaked = true;
	}
}

/* Devices are closed, so unlocked, and only then ejected. */
static void release_targets(struct ism_job *job)
{
	static const enum target_after after[] = {
		[ISM_AFTER_STAY] = TARGET_STAY,
		[ISM_AFTER_EJECT] = TARGET_EJECT,
		[ISM_AFTER_POWER_OFF] = TARGET_POWER_OFF,
	};

	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];
		struct ism_target_report *report = &job->target_reports[i];

		if (report->status == ISM_DONE && t->undo &&
		    undo_finish(t->undo, &report->error) < 0)
			report->status = ISM_FAILED;
		if (t->runner && !job->leaked)
			t->runner->medium = medium_close(t->runner->medium);
		if (t->target->is_new && report->status != ISM_DONE && !report->changed)
			target_abandon(t->target);
		if (report->status == ISM_DONE && job->options.after != ISM_AFTER_STAY &&
		    target_release(t->target, after[job->options.after], &report->error) < 0)
			report->status = ISM_FAILED;
	}
}

static int rank(enum ism_status s)
{
	static const enum ism_status order[] = {
		ISM_REFUSED, ISM_USAGE,      ISM_INTERRUPTED, ISM_FAILED,
		ISM_DIFFERS, ISM_INCOMPLETE, ISM_DONE,
	};

	for (size_t i = 0; i < ARRAY_LEN(order); i++)
		if (order[i] == s)
			return (int)i;
	return (int)ARRAY_LEN(order);
}

/* Bytes that the reader, or a target that read for itself, could not read, whichever missed most.
 */
static uint64_t most_bad(const struct ism_job *job, uint64_t *ret_first)
{
	uint64_t most = job->cursor.bad;

	*ret_first = job->cursor.first_bad;
	for (size_t i = 0; i < job->n_targets; i++) {
		const struct runner *r = job->targets[i].runner;

		if (!r || !r->started || !atomic_load(&r->ended) || r->bad <= most)
			continue;
		most = r->bad;
		*ret_first = r->first_bad;
	}
	return most;
}

static void conclude(struct ism_job *job)
{
	struct ism_report *report = &job->report;
	uint64_t bad, first_bad;
	enum ism_status status = ISM_DONE;

	report->verb = job->options.verb;
	report->size = job->shared.state == SOURCE_PROVEN ? job->shared.size : job->source->size;
	report->seconds = (double)(now_ms() - job->started_ms) / 1000;
	report->targets = job->target_reports;
	report->n_targets = job->alone ? 0 : job->n_targets;
	if (job->proof.proven) {
		report->hash = job->proof.hex;
		report->hash_name = hash_label(job->proof.algorithm);
		report->hash_from = job->proof.from;
		report->signer = job->proof.signer;
	}
	if (!job->leaked && job->source_error.code && job->source_error.code != -ECANCELED &&
	    !report->error.code)
		ism_error_move(&report->error, &job->source_error);
	bad = most_bad(job, &first_bad);
	if (bad && !report->error.code) {
		ism_error_set(
			&report->error, -EIO, job->source->name, first_bad,
			job->alone ? "could not be read: %llu bytes in all"
				   : "could not be read: %llu bytes in all are zeros in the copy",
			(unsigned long long)bad);
		ism_error_status(&report->error, ISM_INCOMPLETE);
	}
	check_conclude(job);
	if (report->error.code)
		status = report->error.status;
	for (size_t i = 0; i < job->n_targets; i++)
		if (rank(job->target_reports[i].status) < rank(status))
			status = job->target_reports[i].status;
	report->status = status;
}

static void start_all(struct ism_job *job)
{
	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];

		if (start_target(job, t, &job->target_reports[i].error) < 0)
			job_report_target(job, t, i);
	}
	if (job_is_over(job))
		return;
	if (pthread_create(&job->reader, NULL, job_reader, job) == 0)
		job->reader_started = true;
	else
		atomic_store(&job->shared.stop, true);
}

enum ism_status ism_job_run(struct ism_job *job, const struct ism_observer *observer)
{
	job->started_ms = now_ms();
	job->shared.notice = job_tell;
	job->shared.reread = reread;
	if (proof_check_file(job, observer, &job->report.error) == 0) {
		start_all(job);
		job_watch(job, observer);
		atomic_store(&job->shared.stop, true); /* nobody needs the rest of the source */
		join_all(job);
		release_targets(job);
	}
	for (size_t i = 0; i < job->n_targets; i++)
		if (!job->targets[i].reported) {
			job->target_reports[i].status = job->report.error.status;
			job->target_reports[i].path = job->targets[i].target->path;
			job->target_reports[i].state = "unchanged";
			job->target_reports[i].read_back = "none";
		}
	conclude(job);
	job_show(job, observer, true);
	return job->report.status;
}
