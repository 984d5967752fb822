/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph verify IMAGE [DEVICE…] */
#include "verbs.h"

static const int takes[] = {
	OPT_BMAP,         OPT_NO_BMAP,       OPT_SHA256,  OPT_CHECKSUMS, OPT_SIGNATURE, OPT_KEYRING,
	OPT_NO_CHECKSUMS, OPT_STALL_TIMEOUT, OPT_THREADS, OPT_DRY_RUN,   OPT_PROGRESS,  0,
};

static int verify_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	if (n < 1)
		return usage_error(verb, "no image is named");
	o->job.verb = ISM_VERB_VERIFY;
	o->job.source = args[0];
	o->job.targets = (const char *const *)args + 1;
	o->job.n_targets = (size_t)n - 1;
	return job_main(verb, o);
}

const struct verb verb_verify = {
	.name = "verify",
	.usage = "[OPTION]… IMAGE [DEVICE…]",
	.summary = "is an image whole? Does a disk hold exactly what it says?",
	.help = "IMAGE alone: all of it is read and proven by the checksums in it. Exit status 0: it is whole; 1: it\n"
		"is damaged, and what of the disk cannot be had is listed. With DEVICE: reads both and compares; 0: equal;\n"
		"3: they differ, and the first byte that does is named. A longer DEVICE is no difference; parts that\n"
		"IMAGE leaves out are not compared. Nothing is written.",
	.takes = takes,
	.run = verify_run,
};
