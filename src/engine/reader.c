/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one reader of a job: walks over the source once and feeds every target that keeps up. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "boot/media.h"
#include "engine/job.h"

#define WAIT_MS        2   /* at a time, for a buffer */
#define STARVED_MS     200 /* others waited so long in all for buffers that one holds */
#define ZERO_QUEUE_MAX 256 /* pieces without buffers in a queue at most */

bool job_target_is_live(const struct job_target *t)
{
	return t->runner && t->runner->started && !atomic_load(&t->runner->ended) &&
	       !atomic_load(&t->runner->give_up) && !t->reported;
}

static bool is_fed(const struct job_target *t)
{
	return job_target_is_live(t) && !atomic_load(&t->runner->detach);
}

/* No buffer is free. One target holds them while another has nothing to do, and that for some time
 * now: from here on it reads for itself. Short waits add up, or a target that is a little slower
 * would set the pace of all. */
static void detach_laggard(struct ism_job *job, unsigned *starved_ms)
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
	if (!starved || !laggard)
		return;
	*starved_ms += WAIT_MS;
	if (*starved_ms >= STARVED_MS) {
		*starved_ms = 0;
		atomic_store(&laggard->runner->detach, true);
		/* At once, not when it comes round to it: it may hang in its device. */
		queue_close(&laggard->runner->queue);
	}
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

static int feed(struct ism_job *job, struct piece *piece, struct ism_error *err)
{
	int r = 0;

	for (size_t i = 0; i < job->n_targets; i++) {
		struct job_target *t = &job->targets[i];

		if (is_fed(t) && !queue_put(&t->runner->queue, piece_ref(piece))) {
			piece_put(piece);
			r = ism_error_oom(err); /* without this piece no target may end well */
		}
	}
	piece_put(piece);
	return r;
}

/* The whole source, once. Ends early when nobody needs it any more. */
static int read_source(struct ism_job *job, struct ism_error *err)
{
	bool must_hash = job->proof.wanted && !job->proof.proven;
	struct cursor *c = &job->cursor;
	unsigned starved_ms = 0;

	c->source = job->source;
	c->zero_unused = job->shared.unused == ISM_UNUSED_ZERO;
	c->leave_bad = job->options.verb == ISM_VERB_VERIFY;
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
		result = cursor_next(c, job->shared.pool, WAIT_MS, &piece, err);
		if (result == CURSOR_ERROR)
			return err->code;
		if (result == CURSOR_END)
			return 0;
		if (result == CURSOR_WAIT) {
			if (!job->source->forward)
				detach_laggard(job, &starved_ms);
			continue;
		}
		if (must_hash)
			proof_see(job, piece);
		if (feed(job, piece, err) < 0)
			return err->code;
	}
}

void *job_reader(void *arg)
{
	struct ism_job *job = arg;
	int r = read_source(job, &job->source_error);

	if (r == 0)
		r = proof_finish(job, &job->source_error);
	if (r == 0 && job->source->size == ISM_SIZE_UNKNOWN)
		r = media_check_size(job->image_volume_size, job->cursor.offset, job->source->name,
		                     &job->source_error);
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
