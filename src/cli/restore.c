/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph restore IMAGE TARGET… */
#include "verbs.h"

static const int takes[] = {
	OPT_UNUSED,
	OPT_DAMAGED,
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
	OPT_THREADS,
	OPT_EJECT,
	OPT_POWER_OFF,
	OPT_YES,
	OPT_DRY_RUN,
	OPT_PROGRESS,
	0,
};

static int restore_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	if (n < 2)
		return usage_error(verb,
		                   n ? "name the disk that %s is to be restored onto"
		                     : "no image is named",
		                   n ? args[0] : "");
	o->job.verb = ISM_VERB_RESTORE;
	o->job.source = args[0];
	o->job.targets = (const char *const *)args + 1;
	o->job.n_targets = (size_t)n - 1;
	return job_main(verb, o);
}

const struct verb verb_restore = {
	.name = "restore",
	.usage = "[OPTION]… IMAGE TARGET…",
	.summary = "an image that capture made, back onto disks",
	.help = "Every byte that the image holds is written and read back past the page cache. "
		"What was not in use when\n"
		"it was captured is not in the image: --unused says what becomes of it on the "
		"target.",
	.takes = takes,
	.run = restore_run,
};
