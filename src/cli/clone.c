/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph clone SOURCE TARGET… */
#include "verbs.h"

static const int takes[] = {
	OPT_ALL,
	OPT_PARTITION,
	OPT_UNUSED,
	OPT_DELTA,
	OPT_UNDO,
	OPT_NO_VERIFY,
	OPT_UNMOUNT,
	OPT_PARTITION_TARGET,
	OPT_KEEP_TAIL,
	OPT_IGNORE_SECTOR_SIZE,
	OPT_REPLACE_MEMBERS,
	OPT_NO_PROBE,
	OPT_STALL_TIMEOUT,
	OPT_EJECT,
	OPT_POWER_OFF,
	OPT_YES,
	OPT_DRY_RUN,
	OPT_PROGRESS,
	0,
};

static int clone_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	if (n < 2)
		return usage_error(
			verb, n ? "name the disk that %s is to be copied onto" : "no disk is named",
			n ? args[0] : "");
	o->job.verb = ISM_VERB_CLONE;
	o->job.source = args[0];
	o->job.targets = (const char *const *)args + 1;
	o->job.n_targets = (size_t)n - 1;
	return job_main(verb, o);
}

const struct verb verb_clone = {
	.name = "clone",
	.usage = "[OPTION]… SOURCE TARGET…",
	.summary = "a disk onto other disks of the same or a larger size",
	.help = "Copies what is in use, or every sector with --all, and reads it back past the "
		"page cache. SOURCE is only\n"
		"read, and must not be mounted for writing.",
	.takes = takes,
	.run = clone_run,
};
