/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Planning a capture: what of the source is read, and what the image will say of it. */
#ifndef ENGINE_CAPTURE_H
#define ENGINE_CAPTURE_H

#include "engine/job.h"

/** capture_resolve() - the target of a capture: a new file, or "-" */
int capture_resolve(struct ism_job *job, struct ism_error *err);
/** capture_plan() - job->source becomes what is to be captured; job->capture is filled in */
int capture_plan(struct ism_job *job, struct ism_error *err);
/** capture_resume() - if an earlier run left an unfinished image: may it be gone on with? */
int capture_resume(struct ism_job *job, struct ism_error *err);
void capture_clear(struct ism_job *job);

#endif
