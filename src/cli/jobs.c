/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From options to exit status: plan, show, confirm, run, report. Every verb that copies goes this
 * way. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static struct ism_job *volatile running; /* for the signal handler */

static void on_signal(int sig)
{
	struct ism_job *job = running;

	if (job)
		ism_job_stop(job);
	/* The second one ends us at once. */
	signal(sig, SIG_DFL);
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct sigaction old;

		/* nohup means it */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaction(signals[i], &a, NULL);
	}
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A stick wants y, a fixed disk its name, a new file nothing. */
static bool confirm_target(const struct ism_plan *plan, const struct ism_plan_target *t)
{
	if (t->is_new)
		return true;
	if (t->is_file)
		return ask_yes("Overwrite the file %s?", clean(t->path));
	if (t->device->fixed || (t->warnings && *t->warnings))
		return ask_word(base_name(t->path), "%s is a %s.", t->path,
		                t->device->fixed ? "built-in disk" : "member of a set of disks");
	return ask_yes(plan->verb == ISM_VERB_ERASE ? "Erase %s?" : "Overwrite %s?", t->path);
}

/* Something that is there will be overwritten, and nobody has said yes to that. */
static bool is_question(const struct cli_options *o, const struct ism_plan *plan)
{
	if (o->yes || o->dry_run || plan->verb == ISM_VERB_VERIFY)
		return false;
	for (size_t i = 0; i < plan->n_targets; i++)
		if (!plan->targets[i].is_new)
			return true;
	return false;
}

static int not_confirmed(const struct verb *verb, const struct cli_options *o)
{
	struct ism_error err = { .code = -ECANCELED,
		                 .status = ISM_INTERRUPTED,
		                 .message = strdup("not confirmed: nothing was changed"),
		                 .offset = ISM_NO_OFFSET };
	char *json = o->json ? ism_error_json(verb->name, &err) : NULL;

	fputs("Nothing was changed.\n", stderr);
	if (json)
		puts(json);
	free(json);
	ism_error_clear(&err);
	return ISM_INTERRUPTED;
}

/* -1 = go on, else the exit status. */
static int confirm(const struct verb *verb, const struct cli_options *o,
                   const struct ism_plan *plan)
{
	if (!is_question(o, plan))
		return -1;
	if (!at_terminal())
		return usage_error(verb,
		                   "nobody can be asked here: --yes says that the target may be "
		                   "overwritten");
	for (size_t i = 0; i < plan->n_targets; i++)
		if (!confirm_target(plan, &plan->targets[i]))
			return not_confirmed(verb, o);
	return -1;
}

static void print_mounts(const struct ism_plan *plan)
{
	for (size_t i = 0; i < plan->n_targets; i++)
		for (size_t k = 0; k < plan->targets[i].device->n_parts; k++) {
			const struct ism_partition *p = &plan->targets[i].device->parts[k];

			for (char **m = p->mounts; m && *m; m++)
				fprintf(stderr, "  %s is mounted at %s\n", clean(p->path),
				        clean(*m));
		}
}

/* Refused only because it is mounted, and somebody is there: ask whether to unmount. */
static bool offer_unmount(struct cli_options *o, struct ism_job **job, struct ism_error *err)
{
	struct ism_error second = { 0 };

	if (err->code != -EBUSY || o->job.unmount || o->yes || !at_terminal())
		return false;
	o->job.unmount = true;
	if (ism_job_new(&o->job, job, &second) < 0) {
		o->job.unmount = false;
		ism_error_clear(&second);
		return false;
	}
	print_mounts(ism_job_plan(*job));
	if (ask_yes("Unmount?")) {
		ism_error_clear(err);
		return true;
	}
	*job = ism_job_free(*job);
	o->job.unmount = false;
	return false;
}

static int run_job(const struct verb *verb, struct cli_options *o, struct ism_job *job)
{
	struct progress_view view;
	struct ism_observer observer = { progress_show, progress_notice, &view };
	const struct ism_plan *plan = ism_job_plan(job);
	enum ism_status status;
	int answer;

	if (is_question(o, plan) || (!o->quiet && !o->json))
		show_plan(plan);
	if (o->dry_run) {
		char *json = o->json ? ism_plan_json(plan) : NULL;

		if (json)
			puts(json);
		free(json);
		return ISM_DONE;
	}
	answer = confirm(verb, o, plan);
	if (answer >= 0)
		return answer;
	progress_start(&view, o);
	running = job;
	catch_signals();
	status = ism_job_run(job, &observer);
	running = NULL;
	show_report(o, plan, ism_job_report(job));
	if (o->json) {
		char *json = ism_report_json(plan, ism_job_report(job));

		if (json)
			puts(json);
		free(json);
	}
	return (int)status;
}

int job_main(const struct verb *verb, struct cli_options *o)
{
	struct ism_error err = { 0 };
	struct ism_job *job = NULL;
	int status;

	if (ism_job_new(&o->job, &job, &err) < 0 && !offer_unmount(o, &job, &err))
		return show_error(o, verb->name, &err);
	status = run_job(verb, o, job);
	ism_job_free(job);
	return status;
}
