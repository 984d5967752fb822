/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A job before it runs: options checked, source opened, targets resolved and guarded, the plan
 * made. */
#include "boot/media.h"
#include "engine/capture.h"
#include "engine/job.h"
#include "format/native_read.h"
#include "medium/faulty.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define POOL_BASE      16 /* buffers of a MiB, and POOL_EACH more a target */
#define POOL_EACH      4
#define MEDIA_HEAD_LEN ((size_t)MIB)

int job_note(struct ism_job *job, const char *fmt, ...)
{
	char **notes = realloc(job->notes, (job->n_notes + 2) * sizeof(*notes));
	va_list args;

	if (!notes)
		return -ENOMEM;
	job->notes = notes;
	va_start(args, fmt);
	if (vasprintf(&notes[job->n_notes], fmt, args) < 0)
		notes[job->n_notes] = NULL;
	va_end(args);
	if (!notes[job->n_notes])
		return -ENOMEM;
	notes[++job->n_notes] = NULL;
	job->plan.notes = notes;
	return 0;
}

/* Verbs whose targets must be there before. */
static bool wants_old(enum ism_verb verb)
{
	return verb == ISM_VERB_VERIFY || verb == ISM_VERB_ERASE || verb == ISM_VERB_UNDO;
}

static bool is_writing(const struct ism_job *job)
{
	return job->options.verb != ISM_VERB_VERIFY;
}

static int check_options(const struct ism_job_options *o, struct ism_error *err)
{
	if (o->n_targets == 0 && o->verb != ISM_VERB_VERIFY)
		return ism_error_usage(err, NULL, "no target is named");
	if (o->verb != ISM_VERB_ERASE && !o->source)
		return ism_error_usage(err, NULL, "no image is named");
	if (o->undo && o->n_targets > 1)
		return ism_error_usage(err, NULL,
		                       "--undo keeps what one target held: name one target");
	if (o->undo && o->unused == ISM_UNUSED_DISCARD)
		return ism_error_usage(err, NULL, "--undo cannot give back what is discarded");
	if (o->verb == ISM_VERB_ERASE && o->n_targets > 1)
		return ism_error_usage(err, NULL, "one disk is erased at a time");
	if (o->keyring && !o->checksums)
		return ism_error_usage(err, NULL,
		                       "--keyring is for the signature of --checksums FILE");
	if (o->sha256 && strlen(o->sha256) != 64)
		return ism_error_usage(err, NULL,
		                       "a SHA-256 has 64 hexadecimal digits, this one %zu",
		                       strlen(o->sha256));
	return 0;
}

/* For tests: a source disk with faults, like a target. */
static int add_faults(struct ism_job *job, struct ism_error *err)
{
	_free_ char *spec = faulty_spec_for(job->options.source);

	return spec ? faulty_wrap(&job->source, spec, err) : 0;
}

static int open_source(struct ism_job *job, struct ism_error *err)
{
	struct ism_open_options open = job->options.open;
	const struct ism_device *device = &job->targets[0].target->device;
	int r;

	open.stop = &job->shared.stop;
	open.tap = job->proof.tap;
	open.damaged |= job->alone;
	if (job->options.verb == ISM_VERB_ERASE)
		return blank_open(device, job->targets[0].target->size, device->sector_size,
		                  &job->source, err);
	r = source_open(job->options.source, &open, &job->source, &job->facts, err);
	if (r < 0)
		return r;
	if (job->options.verb == ISM_VERB_UNDO && !undo_index_of(job->source))
		return ism_error_usage(err, job->options.source, "is not an undo file");
	if (job->options.verb == ISM_VERB_RESTORE && strcmp(job->facts.format, "native") != 0) {
		ism_error_usage(err, job->source->name, "is no isomorph image");
		return ism_error_hint(err, "other images are written: isomorph write IMAGE TARGET");
	}
	if (job->options.verb == ISM_VERB_UNDO && !undo_index_of(job->source)->n_old)
		return ism_error_usage(err, job->options.source,
		                       "keeps nothing: that job changed nothing");
	if (job->alone && job->source->forward && strcmp(job->facts.format, "native") == 0)
		return ism_error_usage(err, job->source->name,
		                       "is an image of ours in a pipe, which cannot show its end "
		                       "first; name it as a file");
	if (job->options.verb != ISM_VERB_UNDO && undo_index_of(job->source)) {
		ism_error_usage(err, job->options.source, "is an undo file, not an image");
		return ism_error_hint(err, "use: isomorph undo %s TARGET", job->options.source);
	}
	return add_faults(job, err);
}

/* What the image is: may it be copied as it is, and for which sector size was it made? */
static int look_at_image(struct ism_job *job, struct ism_error *err)
{
	CLEANUP(media_facts_clear) struct media_facts facts = { 0 };
	CLEANUP(media_advice_clear) struct media_advice advice = { 0 };
	_free_ uint8_t *head = medium_buffer(MEDIA_HEAD_LEN);
	size_t len = 0;
	int r;

	if (job->options.verb != ISM_VERB_WRITE && job->options.verb != ISM_VERB_RESTORE &&
	    job->options.verb != ISM_VERB_CLONE)
		return 0;
	if (!head)
		return ism_error_oom(err);
	r = medium_peek(job->source, head, MEDIA_HEAD_LEN, &len, err);
	if (r == 0)
		r = media_detect((struct span){ head, len }, job->source->size,
		                 job->source->forward ? NULL : job->source, &facts, err);
	if (r == 0)
		r = media_advice(&facts, &advice, err);
	if (r == 0 && job->options.verb == ISM_VERB_WRITE && job->options.as == ISM_AS_AUTO)
		r = media_check_raw(&facts, job->source->name, err);
	if (r < 0)
		return r;
	if (job->options.verb == ISM_VERB_WRITE)
		job->kind = take(advice.why);
	for (size_t i = 0; i < advice.n_warnings && job->options.verb == ISM_VERB_WRITE; i++)
		job_note(job, "%s", advice.warnings[i]);
	if (facts.iso.present && job->options.as == ISM_AS_AUTO)
		job->image_volume_size = facts.iso.volume_size;
	if (facts.table)
		job->image_sector_size = facts.table->stated_sector_size;
	return 0;
}

/* Bytes of the source that are read, known only if they are. */
static uint64_t mapped_bytes(struct medium *m, uint64_t *ret_bad)
{
	uint64_t sum = 0, offset = 0;

	*ret_bad = 0;
	if (m->size == ISM_SIZE_UNKNOWN || !m->ops->next_extent)
		return m->size;
	while (offset < m->size) {
		struct ism_extent e;

		if (medium_next_extent(m, offset, &e, NULL) < 0 || e.len == 0)
			return m->size;
		if (e.kind != ISM_EXTENT_UNUSED && e.kind != ISM_EXTENT_SKIPPED)
			sum += e.len;
		if (e.kind == ISM_EXTENT_BAD)
			*ret_bad += e.len;
		offset += e.len;
	}
	return sum;
}

/* A disk as source: a copy of one that changes meanwhile would be of no moment at all. */
static int check_source_disk(const struct ism_job *job, struct ism_error *err)
{
	CLEANUP(target_freep) struct target *t = NULL;
	int r;

	if (job->options.verb != ISM_VERB_WRITE || strcmp(job->facts.carrier, "device") != 0)
		return 0;
	r = target_resolve(job->options.source, &t, err);
	return r < 0 ? r : source_check(t, err);
}

/* Every local file of this job: none of them may lie on a target. */
static int collect_keep(struct ism_job *job, struct ism_error *err)
{
	const struct ism_job_options *o = &job->options;
	size_t n = 0;

	for (char **f = job->facts.files; f && *f; f++)
		n++;
	job->keep = calloc(n + 7, sizeof(*job->keep));
	if (!job->keep)
		return ism_error_oom(err);
	n = 0;
	for (char **f = job->facts.files; f && *f; f++)
		job->keep[n++] = *f;
	if (!n && o->source && job->facts.carrier && strcmp(job->facts.carrier, "http") != 0 &&
	    strcmp(o->source, "-") != 0)
		job->keep[n++] = o->source;
	if (o->checksums && !strstr(o->checksums, "://"))
		job->keep[n++] = o->checksums;
	if (o->signature)
		job->keep[n++] = o->signature;
	if (o->keyring)
		job->keep[n++] = o->keyring;
	if (o->undo)
		job->keep[n++] = o->undo;
	job->keep[n++] = "/proc/self/exe";
	return 0;
}

static void fill_guard(struct ism_job *job)
{
	const struct ism_job_options *o = &job->options;

	job->guard = (struct guard_request){ .unmount = o->unmount,
		                             .partition_ok = o->partition_target,
		                             .ignore_sector_size = o->ignore_sector_size,
		                             .keep = job->keep,
		                             .replace_members = o->replace_members };
	job->guard.sector_size = job->image_sector_size;
	if (job->source->size != ISM_SIZE_UNKNOWN && o->verb != ISM_VERB_ERASE &&
	    o->verb != ISM_VERB_CAPTURE)
		job->guard.need = job->source->size;
}

/* The same disk twice would be written by two threads at once. */
static int check_twice(struct ism_job *job, size_t i, struct ism_error *err)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(job->targets[k].target->path, job->targets[i].target->path) == 0 ||
		    (job->targets[k].target->device.dev &&
		     job->targets[k].target->device.dev == job->targets[i].target->device.dev &&
		     !(job->targets[k].target->is_partition &&
		       job->targets[i].target->is_partition)))
			return ism_error_usage(err, job->targets[i].target->path,
			                       "is named as target twice");
	return 0;
}

static int resolve_targets(struct ism_job *job, struct ism_error *err)
{
	for (size_t i = 0; i < job->n_targets; i++) {
		int r = target_resolve(job->options.targets[i], &job->targets[i].target, err);

		if (r == 0)
			r = check_twice(job, i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_stdout(const struct target *t)
{
	return strcmp(t->ref, "-") == 0;
}

static int check_targets(struct ism_job *job, struct ism_error *err)
{
	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];
		struct ism_plan_target *p = &job->plan_targets[i];
		int r = is_writing(job) && !is_stdout(t->target)
		                ? target_check(t->target, &job->guard, &t->warnings, err)
		                : 0;

		if (r < 0)
			return r;
		*p = (struct ism_plan_target){ .ref = t->target->ref,
			                       .path = t->target->path,
			                       .device = &t->target->device,
			                       .is_file = t->target->is_file,
			                       .is_new = t->target->is_new || is_stdout(t->target),
			                       .is_partition = t->target->is_partition,
			                       .size = t->target->size,
			                       .warnings = t->warnings };
		if (wants_old(job->options.verb) && t->target->is_new)
			return ism_error_usage(err, t->target->path, "does not exist");
	}
	return 0;
}

static int check_undo(struct ism_job *job, struct ism_error *err)
{
	const struct undo_index *index = undo_index_of(job->source);
	const struct target *t = job->targets[0].target;
	_medium_ struct medium *target = NULL;
	int r;

	if (t->size != job->source->size)
		return ism_error_refuse(
			err, -ESTALE, t->path,
			"has %llu bytes, but the undo file is of a disk of %llu (%s)",
			(unsigned long long)t->size, (unsigned long long)job->source->size,
			(const char *)index->header.target);
	r = carrier_open(t->path, NULL, &target, err);
	return r < 0 ? r : undo_check(job->source, target, err);
}

/* What the image leaves out, and what becomes of that on the targets. */
static void note_unused(struct ism_job *job)
{
	static const char *const words[] = {
		[ISM_UNUSED_KEEP] = "old data stays there",
		[ISM_UNUSED_DISCARD] = "discarded on the target",
		[ISM_UNUSED_ZERO] = "it becomes zero on the target",
	};
	uint64_t size = job->source->size, mapped = job->plan.mapped;

	if (job->options.verb == ISM_VERB_RESTORE && job->source->forward)
		job_note(job, "it comes as a pipe, which does not tell what was not in use: that "
		              "becomes zero on the target");
	if (mapped >= size || job->plan.bmap)
		return;
	job_note(job, "%llu of %llu bytes are not in use and are left out: %s",
	         (unsigned long long)(size - mapped), (unsigned long long)size,
	         words[job->options.unused]);
}

static void note_policy(struct ism_job *job)
{
	const struct ism_job_options *o = &job->options;
	uint64_t size = job->source->size;
	bool copies = o->verb == ISM_VERB_WRITE || o->verb == ISM_VERB_RESTORE ||
	              o->verb == ISM_VERB_CLONE;

	if (o->verb == ISM_VERB_ERASE)
		job_note(
			job,
			"both ends of the disk and of each partition become zero; the rest of the old data stays until it is overwritten");
	if (!is_writing(job))
		return;
	if (size == ISM_SIZE_UNKNOWN)
		job_note(
			job,
			"how long the image is will only be known at its end; if it does not fit, the target is left wiped");
	for (size_t i = 0; i < job->n_targets; i++) {
		const struct target *t = job->targets[i].target;

		if (size != ISM_SIZE_UNKNOWN && t->size > size && !t->is_new && copies)
			job_note(
				job,
				"%s is larger than the image: what lies behind it is left as it is, but for its last MiB, which %s",
				t->path, o->keep_tail ? "stays too" : "becomes zero");
	}
	if (copies)
		note_unused(job);
	if (o->no_verify)
		job_note(job, "nothing will be read back: whether it was stored will not be known");
	if (job->plan.bmap)
		job_note(job,
		         "free parts of the image are left out, as %s says; old data stays there",
		         job->plan.bmap);
}

static void fill_plan(struct ism_job *job)
{
	struct ism_plan *p = &job->plan;
	uint64_t bad = 0;

	p->verb = job->options.verb;
	p->source = job->options.source ? job->source->name : NULL;
	p->carrier = job->facts.carrier;
	p->format = job->facts.format;
	p->detail = job->facts.detail;
	p->bmap = job->facts.bmap;
	p->as = "raw";
	p->kind = job->kind;
	p->size = job->source->size;
	p->mapped = mapped_bytes(job->source, &bad);
	if (bad && is_writing(job))
		job_note(
			job,
			"%llu bytes could not be read when the image was made: they are zeros in it",
			(unsigned long long)bad);
	p->targets = job->plan_targets;
	p->n_targets = job->alone ? 0 : job->n_targets;
	note_policy(job);
}

static struct ism_job *job_alloc(const struct ism_job_options *options)
{
	struct ism_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->options = *options;
	job->alone = options->verb == ISM_VERB_VERIFY && options->n_targets == 0;
	job->n_targets = job->alone ? 1 : options->n_targets;
	job->targets = calloc(job->n_targets + 1, sizeof(*job->targets));
	job->plan_targets = calloc(job->n_targets + 1, sizeof(*job->plan_targets));
	job->target_reports = calloc(job->n_targets + 1, sizeof(*job->target_reports));
	job->shared.pool = pool_new((unsigned)(POOL_BASE + POOL_EACH * job->n_targets));
	pthread_mutex_init(&job->shared.lock, NULL);
	pthread_mutex_init(&job->told_lock, NULL);
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&job->shared.changed, &attr);
	pthread_condattr_destroy(&attr);
	if (!job->targets || !job->plan_targets || !job->target_reports || !job->shared.pool)
		return ism_job_free(job);
	return job;
}

static int plan(struct ism_job *job, struct ism_error *err)
{
	int r = job->options.verb == ISM_VERB_CAPTURE ? capture_resolve(job, err)
	        : job->alone                          ? check_new(job, err)
	                                              : resolve_targets(job, err);

	if (r == 0)
		r = proof_prepare(job, err);
	if (r == 0)
		r = open_source(job, err);
	if (r == 0)
		r = look_at_image(job, err);
	if (r == 0)
		r = collect_keep(job, err);
	if (r < 0)
		return r;
	r = check_source_disk(job, err);
	if (r == 0 &&
	    (job->options.verb == ISM_VERB_CAPTURE || job->options.verb == ISM_VERB_CLONE))
		r = capture_plan(job, err);
	if (r < 0)
		return r;
	fill_guard(job);
	r = check_targets(job, err);
	if (r == 0 && job->options.verb == ISM_VERB_UNDO)
		r = check_undo(job, err);
	if (r < 0)
		return r;
	job->shared.source = job->source;
	job->shared.unused = job->options.unused;
	fill_plan(job);
	return 0;
}

int ism_job_new(const struct ism_job_options *options, struct ism_job **ret, struct ism_error *err)
{
	struct ism_job *job;
	int r = check_options(options, err);

	if (r < 0)
		return r;
	job = job_alloc(options);
	if (!job)
		return ism_error_oom(err);
	r = plan(job, err);
	if (r < 0) {
		ism_job_free(job);
		return r;
	}
	*ret = job;
	return 0;
}

static void free_strings(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

static struct runner *runner_free(struct runner *r)
{
	if (!r)
		return NULL;
	free(r->bufs);
	lane_free(r->lane);
	queue_destroy(&r->queue);
	pool_free(r->own_pool);
	medium_close(r->medium);
	free(r->records);
	free(r->kept);
	free(r->head);
	free(r->tail);
	ism_error_clear(&r->report.error);
	free(r);
	return NULL;
}

struct ism_job *ism_job_free(struct ism_job *job)
{
	if (!job || job->leaked) /* a stuck thread may still look at all of it */
		return NULL;
	for (size_t i = 0; job->targets && i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];

		runner_free(t->runner);
		undo_free(t->undo);
		free_strings(t->warnings);
		free(t->state);
		target_free(t->target);
		ism_error_clear(&job->target_reports[i].error);
	}
	free(job->targets);
	free(job->plan_targets);
	free(job->target_reports);
	medium_close(job->source);
	capture_clear(job);
	proof_clear(&job->proof);
	source_facts_clear(&job->facts);
	pool_free(job->shared.pool);
	free_strings(job->notes);
	for (size_t i = 0; i < job->n_told; i++)
		free(job->told[i]);
	free(job->told);
	free(job->keep);
	free(job->damaged);
	free(job->kind);
	ism_error_clear(&job->report.error);
	ism_error_clear(&job->source_error);
	pthread_cond_destroy(&job->shared.changed);
	pthread_mutex_destroy(&job->shared.lock);
	pthread_mutex_destroy(&job->told_lock);
	free(job);
	return NULL;
}

const struct ism_plan *ism_job_plan(const struct ism_job *job)
{
	return &job->plan;
}

const struct ism_report *ism_job_report(const struct ism_job *job)
{
	return &job->report;
}

void ism_job_stop(struct ism_job *job)
{
	atomic_store(&job->shared.stop, true);
}
