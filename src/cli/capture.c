/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph capture SOURCE IMAGE */
#include <string.h>

#include "verbs.h"

static const int takes[] = {
	OPT_ALL,     OPT_PARTITION, OPT_LEVEL,    OPT_RESTART, OPT_NO_VERIFY,
	OPT_THREADS, OPT_DRY_RUN,   OPT_PROGRESS, 0,
};

static int capture_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	if (n != 2)
		return usage_error(verb,
		                   n ? "name the disk and the image file" : "no disk is named");
	if (o->json && strcmp(args[1], "-") == 0)
		return usage_error(verb, "--json and the image cannot both go to standard output");
	o->job.verb = ISM_VERB_CAPTURE;
	o->job.source = args[0];
	o->job.targets = (const char *const *)args + 1;
	o->job.n_targets = 1;
	return job_main(verb, o);
}

const struct verb verb_capture = {
	.name = "capture",
	.usage = "[OPTION]… SOURCE IMAGE",
	.summary = "a disk into an image file: what is in use, or every sector",
	.help = "SOURCE: a disk, a partition or an image file; it is only read. IMAGE: a new file, "
		"or - for standard\n"
		"output. The image is an ordinary .zst file: 'zstd -dc IMAGE' gives the disk "
		"without this program.",
	.takes = takes,
	.run = capture_run,
};
