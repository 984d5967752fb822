/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The inside of struct ism_job: job.c plans it, run.c runs it, proof.c proves its source, report.c
 * tells of it. */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include <pthread.h>

#include <isomorph/job.h>

#include "base/hash.h"
#include "engine/append.h"
#include "engine/runner.h"
#include "engine/undo.h"
#include "format/format.h"
#include "medium/tap.h"

/** struct proof - what the source must hash to */
struct proof {
	bool wanted;
	char algorithm[16];
	char hex[HASH_HEX_MAX];
	char *from;   /* "given", name of the checksum file; owned */
	char *signer; /* owned, or NULL */
	bool proven;
	struct tap *tap;      /* the carrier's bytes, when they come only once */
	struct hash *decoded; /* the decoded image's bytes, likewise */
};

/** struct job_target - one target from plan to report */
struct job_target {
	struct target *target;
	struct runner *runner;
	struct undo *undo;
	char **warnings;
	struct ism_target_report report; /* final; strings owned */
	char *state;
	bool reported;
	/* for speed: a ring of samples, one each 100 ms */
	uint64_t samples[30];
	unsigned n_samples;
	int sampled_phase;
	double fraction;
	uint64_t stall_told_ms;
};

struct ism_job {
	struct ism_job_options options;
	struct shared shared;
	struct medium *source;
	struct medium *base; /* what a captured partition is a slice of, or NULL */
	struct capture capture;
	struct source_facts facts;
	struct proof proof;
	struct guard_request guard;
	const char **keep; /* of the guard; array owned, strings not */
	struct job_target *targets;
	size_t n_targets;
	struct ism_plan plan;
	struct ism_plan_target *plan_targets;
	char *kind;
	uint32_t image_sector_size; /* bytes; 0 = it states none */
	uint64_t image_volume_size; /* bytes that an ISO says it has; 0 = it says nothing */
	char **notes;
	size_t n_notes;
	struct ism_report report;
	struct ism_damage *damaged;
	bool alone; /* verify IMAGE: the one target stands for the image itself */
	struct ism_target_report *target_reports;
	struct cursor cursor;
	struct ism_error source_error; /* the reader's; valid once it ended */
	pthread_t reader;
	bool reader_started;
	atomic_bool reader_ended;
	bool leaked; /* a thread or request is stuck: what it uses is never freed */
	uint64_t started_ms, shown_ms;
	uint64_t check_done, check_total; /* bytes; while the image is checked */
	pthread_mutex_t told_lock;        /* guards `told` */
	char **told;                      /* path, sentence, path, sentence, … */
	size_t n_told;
};

/** job_tell() - a sentence for the user while the job runs; from any thread */
void job_tell(struct shared *shared, const char *path, const char *sentence);
/** job_reader() - the thread that reads the source */
void *job_reader(void *job);
/** job_target_is_live() - its runner is at work */
bool job_target_is_live(const struct job_target *t);
/** job_watch() - until every target has been reported */
void job_watch(struct ism_job *job, const struct ism_observer *o);
/** job_report_target() - what became of target @i; its runner has ended, or is never heard of again
 */
void job_report_target(struct ism_job *job, struct job_target *t, size_t i);
bool job_is_over(struct ism_job *job);
/** job_show() - tell the observer how far all is */
void job_show(struct ism_job *job, const struct ism_observer *o, bool last);

/** job_note() - add a sentence to the plan */
int job_note(struct ism_job *job, const char *fmt, ...) ISM_PRINTF(2, 3);

/** proof_prepare() - find out what the source must hash to; before it is opened */
int proof_prepare(struct ism_job *job, struct ism_error *err);
/** proof_check_file() - a local file is proven before any target is touched; @seen is called with
 * bytes done, total */
int proof_check_file(struct ism_job *job, const struct ism_observer *o, struct ism_error *err);
/** proof_see() - a piece of the decoded image passes */
void proof_see(struct ism_job *job, const struct piece *piece);
/** proof_finish() - the source was read to its end; 0 if nothing was wanted or all is proven */
int proof_finish(struct ism_job *job, struct ism_error *err);
void proof_clear(struct proof *proof);

/** check_new() - the target of a job that only reads its image */
int check_new(struct ism_job *job, struct ism_error *err);
/** check_conclude() - what could not be had of the image, into the report */
void check_conclude(struct ism_job *job);

/** blank_open() - a source that is zero at both ends of the disk and of each partition of it, and
 * unused elsewhere */
int blank_open(const struct ism_device *device, uint64_t size, uint32_t sector_size,
               struct medium **ret, struct ism_error *err);

/** probe_capacity() - does the medium really have its size? What was probed is as it was afterwards
 */
int probe_capacity(struct runner *r);

#endif
