/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Options of all verbs: one list of what there is, each verb says which it takes. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const struct option_text {
	int id;
	const char *name;
	char brief;      /* 0 = none */
	const char *arg; /* NULL = takes none */
	const char *text;
} options[] = {
	{ OPT_ALL, "all", 0, NULL, "every sector, not only what file systems say is in use" },
	{ OPT_PARTITION, "partition", 0, "N", "partition N alone" },
	{ OPT_LEVEL, "level", 0, "N", "how hard to compress, 1 to 19 (3)" },
	{ OPT_RESTART, "restart", 0, NULL, "do not go on with an unfinished image, overwrite it" },
	{ OPT_UNUSED, "unused", 0, "HOW",
	  "what was not in use: keep (old data stays), discard or zero" },
	{ OPT_AS, "as", 0, "KIND",
	  "'raw' copies the bytes as they are, 'auto' (the default) only if the copy boots" },
	{ OPT_BMAP, "bmap", 0, "FILE",
	  "only the ranges that FILE maps count, and their checksums are checked" },
	{ OPT_NO_BMAP, "no-bmap", 0, NULL, "do not use the .bmap that lies beside the image" },
	{ OPT_SHA256, "sha256", 0, "HEX", "the image must have this SHA-256" },
	{ OPT_CHECKSUMS, "checksums", 0, "FILE", "the image must be as FILE (SHA256SUMS, …) says" },
	{ OPT_SIGNATURE, "signature", 0, "FILE",
	  "detached OpenPGP signature of the checksum file" },
	{ OPT_KEYRING, "keyring", 0, "FILE", "the checksum file must be signed by a key in FILE" },
	{ OPT_NO_CHECKSUMS, "no-checksums", 0, NULL, "do not look for checksums beside a URL" },
	{ OPT_HASH, "sha256", 0, NULL, "read all of it and give its SHA-256" },
	{ OPT_DAMAGED, "damaged", 0, NULL,
	  "what a damaged or unfinished image does not give any more becomes zeros" },
	{ OPT_DELTA, "delta", 0, NULL,
	  "read the target first and write only what differs; also goes on with an interrupted "
	  "write" },
	{ OPT_UNDO, "undo", 0, "FILE",
	  "keep in FILE what is overwritten; 'isomorph undo FILE TARGET' puts it back" },
	{ OPT_NO_VERIFY, "no-verify", 0, NULL, "do not read back what was written" },
	{ OPT_UNMOUNT, "unmount", 0, NULL, "unmount the target's file systems first" },
	{ OPT_PARTITION_TARGET, "partition-target", 0, NULL, "the target may be a partition" },
	{ OPT_KEEP_TAIL, "keep-tail", 0, NULL, "leave the last MiB of a larger target as it is" },
	{ OPT_IGNORE_SECTOR_SIZE, "ignore-sector-size", 0, NULL,
	  "write although the image is made for another sector size" },
	{ OPT_REPLACE_MEMBERS, "replace-members", 0, NULL,
	  "overwrite a member of an inactive RAID, LVM, btrfs or ZFS set" },
	{ OPT_NO_PROBE, "no-probe", 0, NULL, "do not test whether a stick really has its size" },
	{ OPT_STALL_TIMEOUT, "stall-timeout", 0, "SECONDS",
	  "give a device up that does not answer for so long (120)" },
	{ OPT_THREADS, "threads", 0, "N", "decoding threads (one a processor)" },
	{ OPT_EJECT, "eject", 0, NULL, "eject the target when it is done" },
	{ OPT_POWER_OFF, "power-off", 0, NULL, "power the target off when it is done" },
	{ OPT_YES, "yes", 'y', NULL, "answer every question with yes; lifts no refusal" },
	{ OPT_DRY_RUN, "dry-run", 'n', NULL, "show the plan, change nothing" },
	{ OPT_JSON, "json", 0, NULL, "one JSON document on standard output" },
	{ OPT_PROGRESS, "progress", 0, "HOW", "auto, plain, json or none" },
	{ OPT_QUIET, "quiet", 'q', NULL, "errors only" },
	{ OPT_VERBOSE, "verbose", 'v', NULL, "say more" },
	{ OPT_HELP, "help", 'h', NULL, "this text" },
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static bool is_common(int id)
{
	return id == OPT_JSON || id == OPT_QUIET || id == OPT_VERBOSE || id == OPT_HELP;
}

static bool verb_takes(const struct verb *verb, int id)
{
	for (const int *t = verb->takes; t && *t; t++)
		if (*t == id)
			return true;
	return is_common(id);
}

void help_verb(const struct verb *verb, FILE *out)
{
	fprintf(out, "Usage: isomorph %s %s\n%s\n", verb->name, verb->usage, verb->help);
	fputs("\nOptions:\n", out);
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option_text *t = &options[i];
		char left[64];

		if (!verb_takes(verb, t->id))
			continue;
		snprintf(left, sizeof(left), "%s%c%s --%s%s%s", t->brief ? "-" : " ",
		         t->brief ? t->brief : ' ', t->brief ? "," : " ", t->name,
		         t->arg ? " " : "", t->arg ? t->arg : "");
		fprintf(out, "  %-28s %s\n", left, t->text);
	}
	fprintf(out, "\nThe manual: man isomorph-%s\n", verb->name);
}

static int number_arg(const struct verb *verb, const char *name, const char *text, unsigned max,
                      unsigned *ret)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || v == 0 || v > max)
		return usage_error(verb, "--%s wants a number from 1 to %u, not '%s'", name, max,
		                   text);
	*ret = (unsigned)v;
	return -1;
}

static int progress_arg(const struct verb *verb, const char *text, enum progress_mode *ret)
{
	static const char *const modes[] = { "auto", "plain", "json", "none" };

	for (size_t i = 0; i < 4; i++)
		if (strcmp(text, modes[i]) == 0) {
			*ret = (enum progress_mode)i;
			return -1;
		}
	return usage_error(verb, "--progress is auto, plain, json or none, not '%s'", text);
}

static int level_arg(const struct verb *verb, const char *text, int *ret)
{
	unsigned level = 0;
	int status = number_arg(verb, "level", text, 19, &level);

	*ret = (int)level;
	return status;
}

static int unused_arg(const struct verb *verb, const char *text, enum ism_unused *ret)
{
	static const char *const words[] = { "keep", "discard", "zero" };

	for (size_t i = 0; i < 3; i++)
		if (strcmp(text, words[i]) == 0) {
			*ret = (enum ism_unused)i;
			return -1;
		}
	return usage_error(verb, "--unused is keep, discard or zero, not '%s'", text);
}

static int as_arg(const struct verb *verb, const char *text, enum ism_as *ret)
{
	if (strcmp(text, "raw") == 0)
		*ret = ISM_AS_RAW;
	else if (strcmp(text, "auto") == 0)
		*ret = ISM_AS_AUTO;
	else
		return usage_error(verb, "--as is 'raw' or 'auto', not '%s'", text);
	return -1;
}

/* The options that only set a flag. */
static bool *flag_of(struct cli_options *o, int id)
{
	switch (id) {
	case OPT_ALL:
		return &o->job.all;
	case OPT_NO_BMAP:
		return &o->job.open.no_bmap;
	case OPT_NO_CHECKSUMS:
		return &o->job.no_checksums;
	case OPT_HASH:
		return &o->sha256_wanted;
	case OPT_RESTART:
		return &o->job.restart;
	case OPT_DAMAGED:
		return &o->job.open.damaged;
	case OPT_DELTA:
		return &o->job.delta;
	case OPT_NO_VERIFY:
		return &o->job.no_verify;
	case OPT_UNMOUNT:
		return &o->job.unmount;
	case OPT_PARTITION_TARGET:
		return &o->job.partition_target;
	case OPT_KEEP_TAIL:
		return &o->job.keep_tail;
	case OPT_IGNORE_SECTOR_SIZE:
		return &o->job.ignore_sector_size;
	case OPT_REPLACE_MEMBERS:
		return &o->job.replace_members;
	case OPT_NO_PROBE:
		return &o->job.no_probe;
	case OPT_YES:
		return &o->yes;
	case OPT_DRY_RUN:
		return &o->dry_run;
	case OPT_JSON:
		return &o->json;
	case OPT_QUIET:
		return &o->quiet;
	case OPT_VERBOSE:
		return &o->verbose;
	default:
		return NULL;
	}
}

static const char **string_of(struct cli_options *o, int id)
{
	switch (id) {
	case OPT_BMAP:
		return &o->job.open.bmap;
	case OPT_SHA256:
		return &o->job.sha256;
	case OPT_CHECKSUMS:
		return &o->job.checksums;
	case OPT_SIGNATURE:
		return &o->job.signature;
	case OPT_KEYRING:
		return &o->job.keyring;
	case OPT_UNDO:
		return &o->job.undo;
	default:
		return NULL;
	}
}

/* -1 = taken, else the exit status. */
static int take_option(const struct verb *verb, struct cli_options *o, int id, const char *arg)
{
	bool *flag = flag_of(o, id);
	const char **string = string_of(o, id);

	if (flag) {
		*flag = true;
		return -1;
	}
	if (string) {
		*string = arg;
		return *arg ? -1 : usage_error(verb, "an option has an empty argument");
	}
	switch (id) {
	case OPT_AS:
		return as_arg(verb, arg, &o->job.as);
	case OPT_EJECT:
		o->job.after = ISM_AFTER_EJECT;
		return -1;
	case OPT_POWER_OFF:
		o->job.after = ISM_AFTER_POWER_OFF;
		return -1;
	case OPT_PROGRESS:
		return progress_arg(verb, arg, &o->progress);
	case OPT_PARTITION:
		return number_arg(verb, "partition", arg, 65536, &o->job.partition);
	case OPT_LEVEL:
		return level_arg(verb, arg, &o->job.level);
	case OPT_UNUSED:
		return unused_arg(verb, arg, &o->job.unused);
	case OPT_STALL_TIMEOUT:
		return number_arg(verb, "stall-timeout", arg, 86400, &o->job.stall_timeout_s);
	case OPT_THREADS:
		return number_arg(verb, "threads", arg, 256, &o->job.open.threads);
	default:
		help_verb(verb, stdout);
		return ISM_DONE;
	}
}

static int unknown_option(const struct verb *verb, const char *text)
{
	const char *names[N_OPTIONS + 1];
	char word[64];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; i < N_OPTIONS; i++)
		if (verb_takes(verb, options[i].id))
			names[n++] = options[i].name;
	names[n] = NULL;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(text, "="), text);
	near = strncmp(word, "--", 2) == 0 ? nearest(word + 2, names) : NULL;
	if (near)
		return usage_error(verb, "there is no option '%s'; did you mean '--%s'?", word,
		                   near);
	return usage_error(verb, "there is no option '%s'", word);
}

int options_parse(const struct verb *verb, int argc, char **argv, struct cli_options *o,
                  char ***ret_args, int *ret_n)
{
	struct option longs[N_OPTIONS + 1] = { 0 };
	char briefs[2 * N_OPTIONS + 2] = ":";
	size_t n = 0, b = 1;
	int id;

	for (size_t i = 0; i < N_OPTIONS; i++) {
		if (!verb_takes(verb, options[i].id))
			continue;
		longs[n++] = (struct option){ options[i].name,
			                      options[i].arg ? required_argument : no_argument,
			                      NULL, options[i].id };
		if (options[i].brief)
			briefs[b++] = options[i].brief;
	}
	briefs[b] = '\0';
	opterr = 0;
	optind = 2;
	while ((id = getopt_long(argc, argv, briefs, longs, NULL)) != -1) {
		int status;

		for (size_t i = 0; i < N_OPTIONS; i++)
			if (options[i].brief && id == options[i].brief)
				id = options[i].id;
		if (id == ':')
			return usage_error(verb, "the option '%s' wants an argument",
			                   argv[optind - 1]);
		if (id == '?')
			return unknown_option(verb, argv[optind - 1]);
		status = take_option(verb, o, id, optarg);
		if (status >= 0)
			return status;
	}
	*ret_args = calloc((size_t)(argc - optind) + 1, sizeof(**ret_args));
	if (!*ret_args)
		return ISM_FAILED;
	*ret_n = argc - optind;
	memcpy(*ret_args, argv + optind, (size_t)*ret_n * sizeof(**ret_args));
	return -1;
}
