/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a disk to what its image holds: the whole, or one partition; every sector, or what is in
 * use. */
#include "engine/capture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "medium/slice.h"
#include "survey/survey.h"
#include "table/table.h"

static int resolve_stdout(struct ism_job *job, struct ism_error *err)
{
	struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return ism_error_oom(err);
	job->targets[0].target = t;
	t->ref = strdup("-");
	t->path = strdup("standard output");
	t->is_file = true;
	return t->ref && t->path ? 0 : ism_error_oom(err);
}

int capture_resolve(struct ism_job *job, struct ism_error *err)
{
	struct target *t;
	int r;

	if (job->n_targets != 1)
		return ism_error_usage(err, NULL, "name one disk and one image");
	if (strcmp(job->options.targets[0], "-") == 0)
		return resolve_stdout(job, err);
	r = target_resolve(job->options.targets[0], &job->targets[0].target, err);
	if (r < 0)
		return r;
	t = job->targets[0].target;
	if (!t->is_file)
		return ism_error_usage(err, t->path, "is a disk; the image must be a file");
	if (!t->is_new) {
		ism_error_refuse(err, -EEXIST, t->path,
		                 "exists already; writing an image destroys no image");
		return ism_error_hint(err, "choose another name, or remove it first");
	}
	return 0;
}

static void copy_text(char *out, size_t cap, const char *text)
{
	snprintf(out, cap, "%s", text ? text : "");
}

/* Who the source is; a regular file has no identity but its size. */
static int identify(struct ism_job *job, struct native_info *info, struct ism_error *err)
{
	CLEANUP(target_freep) struct target *t = NULL;
	const struct ism_device *d;
	int r;

	if (strcmp(job->facts.carrier, "device") != 0)
		return 0;
	r = target_resolve(job->options.source, &t, err);
	if (r == 0)
		r = source_check(t, err);
	if (r < 0)
		return r;
	d = &t->device;
	copy_text(info->model, sizeof(info->model), d->model);
	copy_text(info->serial, sizeof(info->serial), d->serial);
	copy_text(info->wwn, sizeof(info->wwn), d->wwn);
	copy_text(info->bus, sizeof(info->bus), d->bus);
	if (t->is_partition) {
		info->flags |= NATIVE_PARTITION;
		info->partition = t->part_number;
		info->partition_offset = t->offset;
	}
	return 0;
}

/* --partition N: the source is only that part of the disk. */
static int take_partition(struct ism_job *job, struct native_info *info, struct ism_error *err)
{
	CLEANUP(table_freep) struct table *t = NULL;
	unsigned n = job->options.partition;
	int r;

	if (!n)
		return 0;
	if (job->source->forward)
		return ism_error_usage(err, job->source->name,
		                       "cannot be read anywhere but from its start; "
		                       "--partition needs that");
	r = table_read(job->source, &t, err);
	for (size_t i = 0; r == 0 && i < t->n; i++) {
		const struct table_entry *e = &t->entries[i];

		if (e->number != n || e->outside)
			continue;
		info->flags |= NATIVE_PARTITION;
		info->partition = n;
		info->partition_offset = e->offset;
		job->base = job->source;
		job->source = NULL;
		return slice_open(job->base, e->offset, e->size, &job->source, err);
	}
	return r < 0 ? r : ism_error_usage(err, job->source->name, "has no partition %u", n);
}

static int take_used(struct ism_job *job, struct capture *cap, struct ism_error *err)
{
	struct survey survey = { 0 };
	struct medium *mapped = NULL;
	uint64_t used;
	int r;

	if (job->source->forward) {
		ism_error_usage(err, job->source->name, "comes only once, from start to end");
		return ism_error_hint(err, "--all captures every byte of it");
	}
	r = survey_read(job->source, &survey, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < survey.n_notes; i++)
		job_note(job, "%s", survey.notes[i]);
	used = fs_map_used(&survey.map);
	cap->survey = survey_json(&survey);
	r = cap->survey && survey_digest(&survey, cap->info.survey) == 0 ? 0 : ism_error_oom(err);
	if (r == 0)
		r = mapped_open(job->source, &survey.map, &mapped, err);
	if (r == 0) {
		job->source = mapped;
		if (job->options.verb == ISM_VERB_CAPTURE)
			job_note(job, "%llu of %llu bytes are in use and are read",
			         (unsigned long long)used, (unsigned long long)mapped->size);
	}
	survey_clear(&survey);
	return r;
}

int capture_plan(struct ism_job *job, struct ism_error *err)
{
	struct capture *cap = &job->capture;
	struct native_info *info = &cap->info;
	int r = identify(job, info, err);

	if (r == 0)
		r = take_partition(job, info, err);
	if (r < 0)
		return r;
	info->size = job->source->size;
	info->sector_size = job->source->sector_size;
	info->physical_size = job->source->physical_size;
	info->chunk_size =
		(uint32_t)(info->size != ISM_SIZE_UNKNOWN && info->size > NATIVE_LARGE_FROM
	                           ? NATIVE_CHUNK_LARGE
	                           : NATIVE_CHUNK_SMALL);
	info->created = (uint64_t)time(NULL);
	cap->level = job->options.level;
	cap->threads = job->options.open.threads;
	cap->source_name = job->source->name;
	if (job->options.all)
		info->flags |= NATIVE_ALL;
	if (getrandom(info->uuid, sizeof(info->uuid), 0) != sizeof(info->uuid))
		return ism_error_errno(err, -errno, NULL, ISM_NO_OFFSET,
		                       "cannot make a random name");
	if (job->options.verb == ISM_VERB_CLONE)
		job_note(job, "the copy has the ids of the source, so the system is not told of "
		              "it: unplug one of the two "
		              "before you use the other");
	r = job->options.all ? 0 : take_used(job, cap, err);
	return r == 0 && job->options.verb == ISM_VERB_CAPTURE ? capture_resume(job, err) : r;
}

void capture_clear(struct ism_job *job)
{
	json_decref(job->capture.survey);
	job->capture.survey = NULL;
	native_image_clear(&job->capture.kept);
	job->capture.part = medium_close(job->capture.part);
	job->base = medium_close(job->base);
}
