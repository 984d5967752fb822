/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words for people: sizes, times, devices, errors, the nearest of some names. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

const char *text_size(char *buf, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes / 1024;
	size_t u = 0;

	if (bytes < 1024) {
		snprintf(buf, 24, "%u byte%s", (unsigned)bytes, bytes == 1 ? "" : "s");
		return buf;
	}
	for (; v >= 1023.95 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
		v /= 1024;
	snprintf(buf, 24, v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

const char *text_time(char *buf, uint64_t s)
{
	if (s >= 3600)
		snprintf(buf, 24, "%u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
		         (unsigned)(s % 60));
	else
		snprintf(buf, 24, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
	return buf;
}

char *text_device(const struct ism_device *d)
{
	char size[24], *s = NULL;
	const char *model = d->model ? d->model : "disk without a model name";

	if (asprintf(&s, "%s%s%s, %s%s%s%s%s", d->vendor ? d->vendor : "", d->vendor ? " " : "",
	             model, text_size(size, d->size), d->bus ? ", " : "", d->bus ? d->bus : "",
	             d->serial ? ", serial " : "", d->serial ? d->serial : "") < 0)
		return NULL;
	text_clean(s);
	return s;
}

void say(const struct cli_options *o, const char *fmt, ...)
{
	va_list args;

	if (o->quiet)
		return;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

static char *usage_said; /* for usage_json() */

int usage_error(const struct verb *verb, const char *fmt, ...)
{
	va_list args;

	free(usage_said);
	va_start(args, fmt);
	if (vasprintf(&usage_said, fmt, args) < 0)
		usage_said = NULL;
	va_end(args);
	fputs("isomorph: ", stderr);
	put_clean(usage_said ? usage_said : "out of memory", stderr);
	if (verb)
		fprintf(stderr, "\nTry 'isomorph %s --help'.\n", verb->name);
	else
		fputs("\nTry 'isomorph --help'.\n", stderr);
	return ISM_USAGE;
}

void usage_json(const struct verb *verb)
{
	struct ism_error err = {
		.code = -EINVAL, .status = ISM_USAGE, .message = usage_said, .offset = ISM_NO_OFFSET
	};
	char *json = usage_said ? ism_error_json(verb ? verb->name : NULL, &err) : NULL;

	if (json)
		puts(json);
	free(json);
}

static void print_hint(const char *hint)
{
	if (!hint)
		return;
	fputs("hint: ", stderr);
	put_clean(hint, stderr);
	fputc('\n', stderr);
}

static void print_fault(const struct ism_error *err)
{
	fputs("isomorph: ", stderr);
	if (err->where) {
		put_clean(err->where, stderr);
		fputs(": ", stderr);
	}
	put_clean(err->message ? err->message : "failed", stderr);
	if (err->where && err->offset != ISM_NO_OFFSET)
		fprintf(stderr, " (at byte %llu, sector %llu)", (unsigned long long)err->offset,
		        (unsigned long long)(err->offset / 512));
	fputc('\n', stderr);
}

void print_error(const struct ism_error *err)
{
	print_fault(err);
	print_hint(err->hint);
}

static bool needs_quotes(const char *s)
{
	return !*s || strpbrk(s, " \"'\\$&;|<>()*?[]#~`!{}^=%") != NULL;
}

static bool is_plain(const char *s)
{
	bool shown = true;

	while (*s && shown)
		s += text_step(s, &shown);
	return shown;
}

/* What a terminal cannot show goes as the shell's $'…' does it. */
static void put_escaped(const char *s)
{
	fputs("$'", stderr);
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
			fprintf(stderr, "\\%03o", (unsigned char)*s);
		else
			fprintf(stderr, *s == '\'' || *s == '\\' ? "\\%c" : "%c", *s);
	fputc('\'', stderr);
}

static void put_quoted(const char *s)
{
	fputc('\'', stderr);
	for (; *s; s++)
		if (*s == '\'')
			fputs("'\\''", stderr);
		else
			fputc(*s, stderr);
	fputc('\'', stderr);
}

/* The same command with sudo, as it can be pasted. */
static void print_sudo(const struct cli_options *o)
{
	fputs("hint: this needs root: sudo", stderr);
	for (int i = 0; i < o->argc; i++) {
		const char *s = o->argv[i];

		fputc(' ', stderr);
		if (!is_plain(s))
			put_escaped(s);
		else if (needs_quotes(s))
			put_quoted(s);
		else
			fputs(s, stderr);
	}
	fputc('\n', stderr);
}

void print_target_error(const struct cli_options *o, const struct ism_error *err)
{
	print_fault(err);
	if (geteuid() != 0 && (err->code == -EACCES || err->code == -EPERM))
		print_sudo(o);
	else
		print_hint(err->hint);
}

int show_error(const struct cli_options *o, const char *verb, struct ism_error *err)
{
	int status = err->status ? (int)err->status : ISM_FAILED;
	char *json;

	print_target_error(o, err);
	if (o->json) {
		json = ism_error_json(verb, err);
		if (json)
			puts(json);
		free(json);
	}
	ism_error_clear(err);
	return status;
}

/* How many letters must be changed, added, removed or swapped. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][40];
	size_t n = strlen(a), m = strlen(b);

	if (n > 38 || m > 38)
		return 99;
	for (size_t j = 0; j <= m; j++)
		row[1][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		memcpy(row[2], row[0], sizeof(row[0]));
		memcpy(row[0], row[1], sizeof(row[0]));
		row[1][0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = row[0][j - 1] + (a[i - 1] != b[j - 1]);

			if (row[0][j] + 1 < best)
				best = row[0][j] + 1;
			if (row[1][j - 1] + 1 < best)
				best = row[1][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    row[2][j - 2] + 1 < best)
				best = row[2][j - 2] + 1;
			row[1][j] = best;
		}
	}
	return row[1][m];
}

const char *nearest(const char *word, const char *const *words)
{
	const char *best = NULL;
	unsigned least = (unsigned)strlen(word) / 3 + 2;

	for (; *words; words++) {
		unsigned d = distance(word, *words);

		/* a beginning of a longer name is near too */
		if (strlen(word) > 2 && strncmp(*words, word, strlen(word)) == 0)
			d = 1;
		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best;
}
