/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a job: one reader feeds all targets, each at its own pace; the calling thread watches and
 * tells. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job.h"
#include "medium/faulty.h"

#define TICK_MS          100
#define STALL_TELL_MS    10000 /* a request that takes so long is worth a sentence */
#define STALL_TIMEOUT_S  120
#define GIVE_UP_GRACE_MS 1500 /* a thread that was told to end and does not */
#define STARVED_MS       200  /* others wait so long for a buffer that one holds */
#define ZERO_QUEUE_MAX   256  /* pieces without buffers in a queue at most */

static void tell(struct shared *shared, const char *path, const char *sentence)
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
		found = piece->offset == offset && piece->len == len && piece->data;
		if (found)
			memcpy(buf, piece->data, len);
		piece_put(piece);
	}
	pool_free(pool);
	return found;
}

static bool is_live(const struct job_target *t)
{
	return t->runner && t->runner->started && !atomic_load(&t->runner->ended) &&
	       !atomic_load(&t->runner->give_up) && !t->reported;
}

static bool is_fed(const struct job_target *t)
{
	return is_live(t) && !atomic_load(&t->runner->detach);
}

/* One target holds all the buffers while another has nothing to do: from now on it reads for
 * itself. */
static void detach_laggard(struct ism_job *job)
{
	struct job_target *laggard = NULL;
	size_t longest = 0;
	bool starved = false;

	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];
		size_t n;

		if (!is_fed(t))
			continue;
		n = queue_len(&t->runner->queue);
		starved |= n == 0 && atomic_load(&t->runner->phase) == ISM_PHASE_DATA;
		if (n > longest) {
			longest = n;
			laggard = t;
		}
	}
	if (starved && laggard)
		atomic_store(&laggard->runner->detach, true);
}

static size_t longest_queue(struct ism_job *job)
{
	size_t longest = 0;

	for (size_t i = 0; i < job->n_targets; i++)
		if (is_fed(&job->targets[i]))
			longest = MAX(longest, queue_len(&job->targets[i].runner->queue));
	return longest;
}

static bool anyone_fed(struct ism_job *job)
{
	for (size_t i = 0; i < job->n_targets; i++)
		if (is_fed(&job->targets[i]))
			return true;
	return false;
}

static void feed(struct ism_job *job, struct piece *piece)
{
	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];

		if (is_fed(t) && !queue_put(&t->runner->queue, piece_ref(piece)))
			piece_put(piece);
	}
	piece_put(piece);
}

/* The whole source, once. Ends early when nobody needs it any more. */
static int read_source(struct ism_job *job, struct ism_error *err)
{
	bool must_hash = job->proof.wanted && !job->proof.proven;
	struct cursor *c = &job->cursor;

	c->source = job->source;
	for (;;) {
		struct piece *piece = NULL;
		enum cursor_result result;

		if (atomic_load(&job->shared.stop))
			return ism_error_canceled(err);
		if (!anyone_fed(job)) /* all have failed, or read for themselves */
			return must_hash ? -ECANCELED : 0;
		if (longest_queue(job) > ZERO_QUEUE_MAX) {
			usleep(1000);
			continue;
		}
		result = cursor_next(c, job->shared.pool, STARVED_MS, &piece, err);
		if (result == CURSOR_ERROR)
			return err->code;
		if (result == CURSOR_END)
			return 0;
		if (result == CURSOR_WAIT) {
			if (!job->source->forward)
				detach_laggard(job);
			continue;
		}
		if (must_hash)
			proof_see(job, piece);
		feed(job, piece);
	}
}

static void *reader_main(void *arg)
{
	struct ism_job *job = arg;
	int r = read_source(job, &job->source_error);

	if (r == 0)
		r = proof_finish(job, &job->source_error);
	pthread_mutex_lock(&job->shared.lock);
	job->shared.state = r == 0 ? SOURCE_PROVEN : SOURCE_FAILED;
	job->shared.size =
		job->source->size != ISM_SIZE_UNKNOWN ? job->source->size : job->cursor.offset;
	pthread_cond_broadcast(&job->shared.changed);
	pthread_mutex_unlock(&job->shared.lock);
	for (size_t i = 0; i < job->n_targets; i++)
		if (job->targets[i].runner && job->targets[i].runner->started)
			queue_end(&job->targets[i].runner->queue);
	atomic_store(&job->reader_ended, true);
	return NULL;
}

static int open_target(struct ism_job *job, struct job_target *t, struct medium **ret,
                       struct ism_error *err)
{
	_free_ char *faults = faulty_spec_for(t->target->path);
	int r;

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
	p->verify = p->write && !o->no_verify;
	p->keep_tail = o->keep_tail;
	if (undo) /* the tail is put back only if it was kept */
		p->keep_tail = !undo_covers(
			undo, job->source->size > HEAD_LEN ? job->source->size - HEAD_LEN : 0,
			job->source->size);
	p->probe = o->verb == ISM_VERB_WRITE && !o->no_probe && !t->target->is_file &&
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
	if (t->target->is_new && job->source->size != ISM_SIZE_UNKNOWN)
		status = r->medium->ops->resize(r->medium, job->source->size, err);
	if (status == 0 && job->options.undo) {
		status = undo_create(job->options.undo, t->target, r->medium->size,
		                     r->medium->sector_size, &t->undo, err);
		r->undo = t->undo;
	}
	return status < 0 ? status : runner_start(r, err);
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
                            bool is_new)
{
	bool writing = job->options.verb != ISM_VERB_VERIFY;

	if (!writing)
		return "unchanged: it was only read";
	if (report->status == ISM_DONE)
		return report->changed ? "complete" : "complete: it held the image already";
	if (!report->changed)
		return "unchanged";
	if (is_new)
		return "unfinished: what was written is in the .part file beside it";
	return "unfinished: its first MiB is blank, so that nothing takes it for whole";
}

/* Take over what the runner says; it has ended, or is never heard of again. */
static void report_target(struct ism_job *job, struct job_target *t, size_t i)
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
		report->written = atomic_load(&r->written);
		report->equal = atomic_load(&r->equal);
		report->compared = report->equal;
		report->unused = job->cursor.unused;
	}
	report->path = t->target->path;
	if (!report->read_back)
		report->read_back = "none";
	report->status = status_of(report, job->options.verb == ISM_VERB_VERIFY);
	if (report->status == ISM_DONE && job->options.verb == ISM_VERB_VERIFY)
		report->verified = true;
	report->state = state_of(job, report, t->target->is_new);
}

static bool is_over(struct ism_job *job)
{
	for (size_t i = 0; i < job->n_targets; i++)
		if (!job->targets[i].reported)
			return false;
	return true;
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
		tell(&job->shared, t->target->path, text ? text : "does not answer");
	}
	if (waited >= (uint64_t)limit_s * 1000)
		atomic_store(&t->runner->give_up, true);
	if (waited >= (uint64_t)limit_s * 1000 + GIVE_UP_GRACE_MS) {
		job->leaked = true;
		report_target(job, t, i);
	}
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

static void fill_progress(struct job_target *t, struct ism_target_progress *p)
{
	struct runner *r = t->runner;
	int phase = r ? atomic_load(&r->phase) : ISM_PHASE_FAILED;

	*p = (struct ism_target_progress){ .path = t->target->path,
		                           .phase = (enum ism_phase)phase,
		                           .total = ISM_SIZE_UNKNOWN,
		                           .eta_s = UINT_MAX };
	if (!r || !r->started) {
		p->phase = t->reported ? ISM_PHASE_FAILED : ISM_PHASE_WAIT;
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

static void show(struct ism_job *job, const struct ism_observer *o, bool last)
{
	_free_ struct ism_target_progress *p = calloc(job->n_targets + 1, sizeof(*p));
	struct ism_progress progress = { .elapsed_ms = now_ms() - job->started_ms,
		                         .targets = p,
		                         .n_targets = job->n_targets,
		                         .last = last };

	for (size_t i = 0; p && i < job->n_targets; i++)
		fill_progress(&job->targets[i], &p[i]);
	if (p && o && o->progress)
		o->progress(&progress, o->data);
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
			report_target(job, &job->targets[i], i);
		}
}

static void watch(struct ism_job *job, const struct ism_observer *o)
{
	uint64_t stop_since = 0;

	while (!is_over(job)) {
		usleep(TICK_MS * 1000);
		for (size_t i = 0; i < job->n_targets; i++) {
			struct job_target *t = &job->targets[i];

			if (t->reported)
				continue;
			if (atomic_load(&t->runner->ended))
				report_target(job, t, i);
			else
				watch_stall(job, t, i);
		}
		watch_stop(job, &stop_since);
		show(job, o, false);
	}
}

static void join_all(struct ism_job *job)
{
	for (int i = 0; job->reader_started && i < GIVE_UP_GRACE_MS / 10; i++) {
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

static void conclude(struct ism_job *job)
{
	struct ism_report *report = &job->report;
	enum ism_status status = ISM_DONE;

	report->verb = job->options.verb;
	report->size = job->shared.state == SOURCE_PROVEN ? job->shared.size : job->source->size;
	report->seconds = (double)(now_ms() - job->started_ms) / 1000;
	report->targets = job->target_reports;
	report->n_targets = job->n_targets;
	if (job->proof.proven) {
		report->hash = job->proof.hex;
		report->hash_name = hash_label(job->proof.algorithm);
		report->hash_from = job->proof.from;
		report->signer = job->proof.signer;
	}
	if (!job->leaked && job->source_error.code && job->source_error.code != -ECANCELED &&
	    !report->error.code)
		ism_error_move(&report->error, &job->source_error);
	if (job->cursor.bad && !report->error.code) {
		ism_error_set(&report->error, -EIO, job->source->name, job->cursor.first_bad,
		              "could not be read: %llu bytes in all are zeros in the copy",
		              (unsigned long long)job->cursor.bad);
		ism_error_status(&report->error, ISM_INCOMPLETE);
	}
	if (report->error.code)
		status = report->error.status;
	for (size_t i = 0; i < job->n_targets; i++)
		if (rank(job->target_reports[i].status) < rank(status))
			status = job->target_reports[i].status;
	report->status = status;
}

static void seen_check(struct ism_job *job, uint64_t done, uint64_t total)
{
	(void)job;
	(void)done;
	(void)total;
}

static void start_all(struct ism_job *job)
{
	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];

		if (start_target(job, t, &job->target_reports[i].error) < 0)
			report_target(job, t, i);
	}
	if (is_over(job))
		return;
	if (pthread_create(&job->reader, NULL, reader_main, job) == 0)
		job->reader_started = true;
	else
		atomic_store(&job->shared.stop, true);
}

enum ism_status ism_job_run(struct ism_job *job, const struct ism_observer *observer)
{
	job->started_ms = now_ms();
	job->shared.notice = tell;
	job->shared.reread = reread;
	if (proof_check_file(job, seen_check, &job->report.error) == 0) {
		start_all(job);
		watch(job, observer);
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
	show(job, observer, true);
	return job->report.status;
}
