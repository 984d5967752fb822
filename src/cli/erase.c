/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph erase DEVICE */
#include "verbs.h"

static const int takes[] = {
	OPT_NO_VERIFY,       OPT_UNMOUNT,       OPT_PARTITION_TARGET,
	OPT_REPLACE_MEMBERS, OPT_STALL_TIMEOUT, OPT_UNDO,
	OPT_EJECT,           OPT_POWER_OFF,     OPT_YES,
	OPT_DRY_RUN,         OPT_PROGRESS,      0,
};

static int erase_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	if (n != 1)
		return usage_error(verb, n ? "one disk is erased at a time" : "no disk is named");
	o->job.verb = ISM_VERB_ERASE;
	o->job.targets = (const char *const *)args;
	o->job.n_targets = 1;
	return job_main(verb, o);
}

const struct verb verb_erase = {
	.name = "erase",
	.usage = "[OPTION]… DEVICE",
	.summary = "wipe the signatures of tables and file systems from a disk",
	.help = "The first and last MiB of the disk, and of each of its partitions, become zero, "
		"and are read back. The\n"
		"rest of the old data stays until it is overwritten: this is no way to destroy "
		"secrets.",
	.takes = takes,
	.run = erase_run,
};
