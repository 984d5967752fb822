/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Watches the targets of a running job: stalls, wishes to stop, what became of each; and tells of
 * it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job.h"

#define TICK_MS          100
#define STALL_TELL_MS    10000 /* a request that takes so long is worth a sentence */
#define STALL_TIMEOUT_S  120
#define GIVE_UP_GRACE_MS 1500 /* a thread that was told to end and does not */

void job_tell(struct shared *shared, const char *path, const char *sentence)
{
	struct ism_job *job = (struct ism_job *)((char *)shared - offsetof(struct ism_job, shared));
	char **told;

	pthread_mutex_lock(&job->told_lock);
	told = realloc(job->told, (job->n_told + 2) * sizeof(*told));
	if (told) {
		job->told = told;
		told[job->n_told++] = strdup(path ? path : "");
		told[job->n_told++] = strdup(sentence);
	}
	pthread_mutex_unlock(&job->told_lock);
}

static enum ism_status status_of(const struct ism_target_report *report, bool differs_is_3)
{
	if (report->error.code)
		return report->error.status ? report->error.status : ISM_FAILED;
	if (report->mismatch.kind != ISM_MISMATCH_NONE)
		return differs_is_3 ? ISM_DIFFERS : ISM_FAILED;
	return ISM_DONE;
}

static const char *state_of(const struct ism_job *job, const struct ism_target_report *report,
                            bool is_new, int ends)
{
	bool writing = job->options.verb != ISM_VERB_VERIFY;

	if (!writing)
		return "unchanged: it was only read";
	if (report->status == ISM_DONE)
		return report->changed ? "complete" : "complete: it held the image already";
	if (!report->changed)
		return is_new ? "not there: nothing was written" : "unchanged";
	if (ends == ENDS_WHOLE)
		return "complete, but what was to follow failed";
	if (job->options.verb == ISM_VERB_CAPTURE && !is_new)
		return "cut off: what was given out is no whole image";
	if (is_new)
		return "unfinished: what was written is in the .part file beside it";
	if (!report->wiped && report->error.code != -ECANCELED)
		return "damaged: its first MiB could not be made blank";
	if (ends == ENDS_BLANK)
		return "unfinished: its first MiB is blank, so that nothing takes it for whole";
	return "unfinished, and it cannot be said what its first MiB holds: do not use it";
}

/* Take over what the runner says; it has ended, or is never heard of again. */
/* It never began, or its runner came to a bad end. Whatever forgot to say why must not pass for
 * success. */
static void never_done_unsaid(const struct job_target *t, struct ism_target_report *report)
{
	const struct runner *r = t->runner;
	bool failed = !r || !r->started || atomic_load(&r->phase) == ISM_PHASE_FAILED;

	if (failed && !report->error.code && report->mismatch.kind == ISM_MISMATCH_NONE)
		ism_error_set(&report->error, -EIO, t->target->path, ISM_NO_OFFSET,
		              "failed, and nothing is known of why");
}

void job_report_target(struct ism_job *job, struct job_target *t, size_t i)
{
	struct ism_target_report *report = &job->target_reports[i];
	struct runner *r = t->runner;

	if (t->reported)
		return;
	t->reported = true;
	if (r && r->started) {
		if (atomic_load(&r->ended)) {
			*report = r->report;
			r->report.error = (struct ism_error){ 0 };
		} else {
			report->changed = true;
			report->wiped = r->wiped;
			report->seconds = (double)(now_ms() - r->started_ms) / 1000;
			if (atomic_load(&r->give_up) && !atomic_load(&job->shared.stop)) {
				ism_error_set(&report->error, -ETIMEDOUT, t->target->path,
				              ISM_NO_OFFSET, "does not answer any more");
				ism_error_hint(&report->error,
				               "unplug it, and repeat the command with --delta");
			} else {
				ism_error_canceled(&report->error);
			}
		}
		if (r->capture && report->error.code == 0) {
			report->file_size = r->totals.file_size;
			for (int k = 0; k < 32; k++)
				sprintf(report->fingerprint + 2 * k, "%02x",
				        r->totals.fingerprint[k]);
		}
		report->written = atomic_load(&r->written);
		report->equal = atomic_load(&r->equal);
		report->compared = report->equal;
		report->unused = job->cursor.unused;
	}
	never_done_unsaid(t, report);
	report->path = t->target->path;
	if (!report->read_back)
		report->read_back = "none";
	report->status = status_of(report, job->options.verb == ISM_VERB_VERIFY);
	if (report->status == ISM_DONE && job->options.verb == ISM_VERB_VERIFY)
		report->verified = true;
	report->state =
		state_of(job, report, t->target->is_new, r ? atomic_load(&r->ends) : ENDS_OLD);
}

bool job_is_over(struct ism_job *job)
{
	for (size_t i = 0; i < job->n_targets; i++)
		if (!job->targets[i].reported)
			return false;
	return true;
}

/* Its thread is stuck and never heard of again: what it holds must not keep the others waiting. */
static void forsake(struct ism_job *job, struct job_target *t, size_t i)
{
	job->leaked = true;
	queue_close(&t->runner->queue);
	pool_abandon(job->shared.pool, RUNNER_SLOTS);
	job_report_target(job, t, i);
}

/* A stalled request: first a sentence, then the target is given up, then its thread too. */
static void watch_stall(struct ism_job *job, struct job_target *t, size_t i)
{
	unsigned limit_s =
		job->options.stall_timeout_s ? job->options.stall_timeout_s : STALL_TIMEOUT_S;
	uint64_t tell_ms = MIN((uint64_t)STALL_TELL_MS, (uint64_t)limit_s * 500);
	uint64_t since = lane_busy_since(t->runner->lane), now = now_ms(), waited;

	waited = since && now > since ? now - since : 0;
	if (!waited || waited < tell_ms) {
		if (!atomic_load(&t->runner->give_up))
			t->stall_told_ms = 0;
	} else if (!t->stall_told_ms) {
		_free_ char *words = target_kernel_words(t->target);
		_free_ char *text =
			text_format("has not answered for %llu s; waiting up to %u s%s%s",
		                    (unsigned long long)(waited / 1000), limit_s,
		                    words ? "; the kernel says: " : "", words ? words : "");

		t->stall_told_ms = now;
		job_tell(&job->shared, t->target->path, text ? text : "does not answer");
	}
	if (waited >= (uint64_t)limit_s * 1000)
		atomic_store(&t->runner->give_up, true);
	if (waited >= (uint64_t)limit_s * 1000 + GIVE_UP_GRACE_MS)
		forsake(job, t, i);
}

static uint64_t speed_of(struct job_target *t, uint64_t done, int phase)
{
	size_t cap = ARRAY_LEN(t->samples);
	uint64_t oldest;
	unsigned n;

	if (phase != t->sampled_phase) {
		t->sampled_phase = phase;
		t->n_samples = 0;
	}
	oldest = t->n_samples < cap ? t->samples[0] : t->samples[t->n_samples % cap];
	n = (unsigned)MIN((size_t)t->n_samples, cap);
	t->samples[t->n_samples++ % cap] = done;
	return n && done > oldest ? (done - oldest) * (1000 / TICK_MS) / n : 0;
}

/* Share of the job: writing and reading back count alike; the ends are the last hundredth. */
static double fraction_of(const struct job_target *t, int phase, uint64_t done, uint64_t total)
{
	bool verify = t->runner->policy.verify && !t->runner->policy.compare;
	double part =
		total && total != ISM_SIZE_UNKNOWN ? MIN(1.0, (double)done / (double)total) : 0;

	switch (phase) {
	case ISM_PHASE_DATA:
		return part * (verify ? 0.5 : 0.98);
	case ISM_PHASE_FLUSH:
		return verify ? 0.5 : 0.98;
	case ISM_PHASE_VERIFY:
		return verify ? 0.5 + part * 0.48 : 0.98;
	case ISM_PHASE_FIRST:
	case ISM_PHASE_LAST:
		return 0.99;
	case ISM_PHASE_DONE:
		return 1;
	default:
		return 0;
	}
}

static unsigned eta_of(const struct ism_target_progress *p, bool verify)
{
	uint64_t left;

	if (p->total == ISM_SIZE_UNKNOWN || !p->speed || p->done > p->total)
		return UINT_MAX;
	left = p->total - p->done;
	if (p->phase == ISM_PHASE_DATA && verify)
		left += p->total / 2; /* media read faster than they write */
	return (unsigned)MIN(left / p->speed, (uint64_t)UINT_MAX - 1);
}

static void fill_progress(const struct ism_job *job, struct job_target *t,
                          struct ism_target_progress *p)
{
	struct runner *r = t->runner;
	int phase = r ? atomic_load(&r->phase) : ISM_PHASE_CHECK;

	*p = (struct ism_target_progress){ .path = t->target->path,
		                           .phase = (enum ism_phase)phase,
		                           .total = ISM_SIZE_UNKNOWN,
		                           .eta_s = UINT_MAX };
	if (!r || !r->started) {
		p->phase = t->reported ? ISM_PHASE_FAILED : ISM_PHASE_CHECK;
		p->done = job->check_done;
		p->total = job->check_total;
		return;
	}
	p->done = atomic_load(&r->done);
	p->total = atomic_load(&r->total);
	p->written = atomic_load(&r->written);
	p->speed = speed_of(t, p->done, phase);
	p->eta_s = eta_of(p, r->policy.verify);
	t->fraction = MAX(t->fraction, fraction_of(t, phase, p->done, p->total));
	p->fraction = t->fraction;
}

void job_show(struct ism_job *job, const struct ism_observer *o, bool last)
{
	_free_ struct ism_target_progress *p = calloc(job->n_targets + 1, sizeof(*p));
	struct ism_progress progress = { .elapsed_ms = now_ms() - job->started_ms,
		                         .targets = p,
		                         .n_targets = job->n_targets,
		                         .last = last };

	for (size_t i = 0; p && i < job->n_targets; i++)
		fill_progress(job, &job->targets[i], &p[i]);
	if (p && o && o->progress)
		o->progress(&progress, o->data);
	job->shown_ms = now_ms();
	pthread_mutex_lock(&job->told_lock);
	for (size_t i = 0; i + 1 < job->n_told; i += 2) {
		if (o && o->notice && job->told[i] && job->told[i + 1])
			o->notice(job->told[i][0] ? job->told[i] : NULL, job->told[i + 1], o->data);
		free(job->told[i]);
		free(job->told[i + 1]);
	}
	job->n_told = 0;
	pthread_mutex_unlock(&job->told_lock);
}

/* After a wish to stop threads have a moment; what is stuck then stays behind. */
static void watch_stop(struct ism_job *job, uint64_t *stop_since)
{
	if (!atomic_load(&job->shared.stop))
		return;
	if (!*stop_since)
		*stop_since = now_ms();
	if (now_ms() - *stop_since < GIVE_UP_GRACE_MS)
		return;
	for (size_t i = 0; i < job->n_targets; i++)
		if (!job->targets[i].reported) {
			job->leaked = true;
			job_report_target(job, &job->targets[i], i);
		}
}

static bool anyone_ended(const struct ism_job *job)
{
	for (size_t i = 0; i < job->n_targets; i++)
		if (!job->targets[i].reported && atomic_load(&job->targets[i].runner->ended))
			return true;
	return false;
}

/* A tenth of a second, or until a target has ended. */
static void wait_tick(struct ism_job *job)
{
	struct timespec until = deadline_in(TICK_MS);

	pthread_mutex_lock(&job->shared.lock);
	while (!anyone_ended(job) &&
	       pthread_cond_timedwait(&job->shared.changed, &job->shared.lock, &until) == 0)
		;
	pthread_mutex_unlock(&job->shared.lock);
}

void job_watch(struct ism_job *job, const struct ism_observer *o)
{
	uint64_t stop_since = 0;

	while (!job_is_over(job)) {
		wait_tick(job);
		for (size_t i = 0; i < job->n_targets; i++) {
			struct job_target *t = &job->targets[i];

			if (t->reported)
				continue;
			if (atomic_load(&t->runner->ended))
				job_report_target(job, t, i);
			else
				watch_stall(job, t, i);
		}
		watch_stop(job, &stop_since);
		if (!job_is_over(job)) /* else the last one comes */
			job_show(job, o, false);
	}
}
