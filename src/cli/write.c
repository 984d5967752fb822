/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph write IMAGE TARGET… */
#include <stdlib.h>

#include "verbs.h"

static const int takes[] = {
	OPT_AS,
	OPT_BMAP,
	OPT_NO_BMAP,
	OPT_SHA256,
	OPT_CHECKSUMS,
	OPT_SIGNATURE,
	OPT_KEYRING,
	OPT_NO_CHECKSUMS,
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

static int write_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	char *chosen = NULL;
	int status = ISM_USAGE;

	if (n < 1)
		return usage_error(verb, "no image is named");
	o->job.verb = ISM_VERB_WRITE;
	o->job.source = args[0];
	o->job.targets = (const char *const *)args + 1;
	o->job.n_targets = (size_t)n - 1;
	if (n == 1) {
		chosen = choose_target(verb, o, &status);
		if (!chosen)
			return status;
		o->job.targets = (const char *const *)&chosen;
		o->job.n_targets = 1;
	}
	status = job_main(verb, o);
	free(chosen);
	return status;
}

const struct verb verb_write = {
	.name = "write",
	.usage = "[OPTION]… IMAGE TARGET…",
	.summary = "write an ISO or disk image to sticks, cards, disks or files",
	.help = "IMAGE: a file (raw, gz, xz, bz2, zst, lz4, zip, split), a disk, an http(s) "
		"address, or - for standard\n"
		"input. TARGET: a disk (/dev/sdX, a by-id path, serial=…) or a file. What was "
		"written is read back\n"
		"past the page cache and compared; until that is done the target does not look "
		"whole.",
	.takes = takes,
	.run = write_run,
};
