/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Going on with an image that an interrupted capture left as NAME.part: is it of the same disk, and
 * up to where is it good? DESIGN §4.7, §5. */
#include "engine/capture.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(const char *part, const char *what, struct ism_error *err)
{
	ism_error_refuse(err, -ESTALE, part, "%s", what);
	return ism_error_hint(err, "--restart begins anew and overwrites it");
}

/* What makes two captures one; NULL when nothing differs. */
static const char *difference(const struct native_info *was, const struct native_info *now)
{
	if (was->size != now->size)
		return "is an unfinished image of a disk of another size";
	if (strcmp(was->serial, now->serial) != 0 || strcmp(was->wwn, now->wwn) != 0 ||
	    strcmp(was->model, now->model) != 0)
		return "is an unfinished image of another disk";
	if (was->partition != now->partition || was->partition_offset != now->partition_offset)
		return "is an unfinished image of another partition";
	if (was->flags != now->flags)
		return was->flags & NATIVE_ALL
		               ? "is an unfinished image of every sector (--all)"
		               : "is an unfinished image of what was in use, not of "
		                 "every sector";
	if (was->sector_size != now->sector_size || was->chunk_size != now->chunk_size)
		return "is an unfinished image of a disk with another sector size";
	if (memcmp(was->survey, now->survey, 32) != 0)
		return "is an unfinished image of this disk, which has been written to since: other "
		       "parts of it are in use";
	return NULL;
}

static int look_at_part(struct ism_job *job, const char *part, struct ism_error *err)
{
	struct capture *cap = &job->capture;
	struct native_info was;
	uint8_t head[NATIVE_HEADER_LEN];
	const char *what;
	int r;

	r = carrier_open(part, NULL, &cap->part, err);
	/* Nothing became durable: begun anew. */
	if (r < 0 || cap->part->size < NATIVE_HEADER_LEN)
		return r;
	r = medium_read_all(cap->part, head, sizeof(head), 0, err);
	if (r < 0)
		return r;
	if (bytes_are_zero(head, sizeof(head)))
		return 0;
	if (native_header_read((struct span){ head, sizeof(head) }, &was, part, NULL) < 0)
		return refuse(part, "is in the way, and is no unfinished image", err);
	what = difference(&was, &cap->info);
	if (what)
		return refuse(part, what, err);
	r = native_image_salvage(cap->part, &cap->kept, err);
	if (r < 0)
		return r;
	cap->info = was;
	cap->resumes = true;
	job->targets[0].target->keep_part = true;
	job_note(job,
	         "goes on with an unfinished image: its first %llu bytes of the disk are compared "
	         "with the disk and kept",
	         (unsigned long long)cap->kept.kept_chunks * was.chunk_size);
	return 0;
}

int capture_resume(struct ism_job *job, struct ism_error *err)
{
	const struct target *t = job->targets[0].target;
	_free_ char *part = t->is_new ? text_format("%s.part", t->path) : NULL;

	if (!t->is_new || job->options.restart)
		return 0;
	if (!part)
		return ism_error_oom(err);
	return access(part, F_OK) == 0 ? look_at_part(job, part, err) : 0;
}
