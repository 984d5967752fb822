/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the verbs of the command line share: options, words for people, questions, progress. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <isomorph/job.h>

struct cli_options;

/** struct verb - one command: its own file, one constant table; listed in verbs.c */
struct verb {
	const char *name;
	const char *usage;   /* behind "isomorph NAME": "[OPTION]… IMAGE TARGET…" */
	const char *summary; /* one line for `isomorph --help` */
	const char *help;    /* the rest of `isomorph NAME --help`, before the options */
	const int *takes;    /* option ids, 0 ends; the common ones need not be named */
	/* @args: the operands, NULL behind the last; returns the exit status */
	int (*run)(const struct verb *verb, struct cli_options *o, char **args, int n_args);
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };

/** struct cli_options - everything that options can say */
struct cli_options {
	bool json, yes, dry_run, quiet, verbose, sha256_wanted;
	enum progress_mode progress;
	struct ism_job_options job;
	int argc;
	char **argv; /* of the whole command, for "the same with sudo" */
};

enum cli_option {
	OPT_NONE = 0,
	OPT_ALL = 256,
	OPT_AS,
	OPT_BMAP,
	OPT_CHECKSUMS,
	OPT_DAMAGED,
	OPT_DELTA,
	OPT_DRY_RUN,
	OPT_EJECT,
	OPT_HASH, /* inspect --sha256: no argument */
	OPT_HELP,
	OPT_IGNORE_SECTOR_SIZE,
	OPT_JSON,
	OPT_KEEP_TAIL,
	OPT_KEYRING,
	OPT_LEVEL,
	OPT_NO_BMAP,
	OPT_NO_CHECKSUMS,
	OPT_NO_PROBE,
	OPT_NO_VERIFY,
	OPT_PARTITION,
	OPT_PARTITION_TARGET,
	OPT_POWER_OFF,
	OPT_PROGRESS,
	OPT_QUIET,
	OPT_REPLACE_MEMBERS,
	OPT_RESTART,
	OPT_SHA256,
	OPT_SIGNATURE,
	OPT_STALL_TIMEOUT,
	OPT_THREADS,
	OPT_UNDO,
	OPT_UNMOUNT,
	OPT_UNUSED,
	OPT_VERBOSE,
	OPT_VERSION,
	OPT_YES,
};

extern const struct verb *const verbs[]; /* NULL ends; in the order of the help */
const struct verb *verb_find(const char *name);

/**
 * options_parse() - options anywhere in argv[2…]; "--" ends them
 * @ret_args: operands, NULL behind the last; the array is the caller's
 * Return: -1 to go on, else the exit status: --help was shown, or something is wrong and was said.
 */
int options_parse(const struct verb *verb, int argc, char **argv, struct cli_options *o,
                  char ***ret_args, int *ret_n);
/** help_verb(), help_all(), help_short() - the texts of --help and of `isomorph` alone */
void help_verb(const struct verb *verb, FILE *out);
void help_all(FILE *out);
void help_short(FILE *out);
/** nearest() - the word of @words (NULL ends) that @word was probably meant to be; NULL if none is
 * near */
const char *nearest(const char *word, const char *const *words);

/** text_size() - "14.9 GiB" into @buf (24 bytes), which is returned */
const char *text_size(char *buf, uint64_t bytes);
/** text_time() - "1:05" or "2:03:10" into @buf (24 bytes) */
const char *text_time(char *buf, uint64_t seconds);
/** text_device() - "SanDisk Ultra, 28.7 GiB, usb, serial 4C53…" ; malloc'ed */
char *text_device(const struct ism_device *d);

/** say() - one line on stderr, unless --quiet */
void say(const struct cli_options *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** usage_error() - "isomorph: …" and where the help is; returns ISM_USAGE */
int usage_error(const struct verb *verb, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** usage_json() - what the last usage_error() said as a document on stdout; nothing if none did */
void usage_json(const struct verb *verb);
/**
 * show_error() - "isomorph: WHERE: MESSAGE (at byte N)" and the hint on stderr; with --json the
 * document on stdout Frees @err; returns its exit status. Adds "the same command with sudo" where
 * root is what is missing.
 */
int show_error(const struct cli_options *o, const char *verb, struct ism_error *err);
void print_error(const struct ism_error *err);
/** print_target_error() - print_error(), with "the same command with sudo" where root is what is
 * missing */
void print_target_error(const struct cli_options *o, const struct ism_error *err);

/**
 * text_step() - length of the next character of @s, or of one byte that belongs to none
 * @ret_shown: it is valid UTF-8 and does no mischief in a terminal or a log
 */
size_t text_step(const char *s, bool *ret_shown);
/** put_clean() - what comes from a disk or a server may hold anything; a terminal is to see text */
void put_clean(const char *s, FILE *out);
/** text_clean() - the same in place */
void text_clean(char *s);
/** clean() - the same for an argument of printf: @s itself, or a copy that stays; NULL is allowed
 */
const char *clean(const char *s);

/** at_terminal() - somebody can be asked */
bool at_terminal(void);
/** ask_yes() - the question on stderr, the answer from the terminal; false if it is not yes */
bool ask_yes(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** ask_word() - the user must type @word */
bool ask_word(const char *word, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** ask_number() - a number from 1 to @max; 0 if none was given */
unsigned ask_number(unsigned max, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** show_plan() - what the job will do, and what will be lost; on stderr */
void show_plan(const struct ism_plan *plan);
/** show_report() - what it did; errors with their hints, and the last line */
void show_report(const struct cli_options *o, const struct ism_plan *plan,
                 const struct ism_report *report);

/** struct progress_view - draws progress; zeroed, then progress_start() */
struct progress_view {
	enum progress_mode mode;
	bool terminal;
	unsigned lines; /* drawn, to go back over */
	uint64_t last_ms;
	uint64_t phases; /* see phases_of() */
	bool quiet;
};
void progress_start(struct progress_view *v, const struct cli_options *o);
void progress_show(const struct ism_progress *p, void *view);
void progress_notice(const char *path, const char *sentence, void *view);

/** choose_target() - TARGET was left out: the sticks that could be meant; malloc'ed path, or NULL
 * and *@ret_status */
char *choose_target(const struct verb *verb, const struct cli_options *o, int *ret_status);
/** job_main() - plan, show, confirm, run, report: what all verbs that copy have in common */
int job_main(const struct verb *verb, struct cli_options *o);

#endif
