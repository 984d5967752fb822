/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph undo FILE TARGET */
#include "verbs.h"

static const int takes[] = {
	OPT_NO_VERIFY,
	OPT_DELTA,
	OPT_UNMOUNT,
	OPT_PARTITION_TARGET,
	OPT_REPLACE_MEMBERS,
	OPT_STALL_TIMEOUT,
	OPT_EJECT,
	OPT_POWER_OFF,
	OPT_YES,
	OPT_DRY_RUN,
	OPT_PROGRESS,
	0,
};

static int undo_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	if (n != 2)
		return usage_error(verb, "name the undo file and the disk");
	o->job.verb = ISM_VERB_UNDO;
	o->job.source = args[0];
	o->job.targets = (const char *const *)args + 1;
	o->job.n_targets = 1;
	return job_main(verb, o);
}

const struct verb verb_undo = {
	.name = "undo",
	.usage = "[OPTION]… FILE TARGET",
	.summary = "put back what 'write --undo FILE' or 'erase --undo FILE' overwrote",
	.help = "Refused if what that job wrote has been changed since by others.",
	.takes = takes,
	.run = undo_run,
};
