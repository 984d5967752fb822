/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Progress: redrawn lines on a terminal, now and then a line in a log, or a JSON line each. */
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli.h"

#define LOG_EVERY_MS  5000
#define JSON_EVERY_MS 500

void progress_start(struct progress_view *v, const struct cli_options *o)
{
	*v = (struct progress_view){ .mode = o->progress,
		                     .terminal = isatty(STDERR_FILENO),
		                     .quiet = o->quiet };
	if (v->mode == PROGRESS_AUTO && (!v->terminal || o->quiet))
		v->mode = PROGRESS_NONE;
}

static unsigned terminal_width(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

/* The fields from the left are the ones that stay in a narrow terminal. */
static void format_line(char *out, size_t cap, const struct ism_target_progress *p)
{
	char done[24], total[24], speed[24], eta[24];
	size_t n;

	n = (size_t)snprintf(out, cap, "%s %s %3u %%", clean(p->path), ism_phase_name(p->phase),
	                     (unsigned)(p->fraction * 100));
	if (p->phase != ISM_PHASE_DATA && p->phase != ISM_PHASE_VERIFY)
		return;
	if (n < cap)
		n += (size_t)snprintf(out + n, cap - n, "  %s", text_size(done, p->done));
	if (n < cap && p->total != ISM_SIZE_UNKNOWN)
		n += (size_t)snprintf(out + n, cap - n, " of %s", text_size(total, p->total));
	if (n < cap && p->speed)
		n += (size_t)snprintf(out + n, cap - n, "  %s/s", text_size(speed, p->speed));
	if (n < cap && p->eta_s != UINT_MAX)
		snprintf(out + n, cap - n, "  %s left", text_time(eta, p->eta_s));
}

static void clear_lines(struct progress_view *v)
{
	for (; v->lines; v->lines--)
		fputs("\033[1A\033[2K", stderr);
	fputc('\r', stderr);
}

static void draw(struct progress_view *v, const struct ism_progress *p)
{
	unsigned width = terminal_width();
	char line[512];

	clear_lines(v);
	for (size_t i = 0; i < p->n_targets && !p->last; i++) {
		format_line(line, sizeof(line), &p->targets[i]);
		fprintf(stderr, "%.*s\n", (int)(width > 1 ? width - 1 : 1), line);
		v->lines++;
	}
	fflush(stderr);
}

static void log_lines(const struct ism_progress *p)
{
	char line[512];

	for (size_t i = 0; i < p->n_targets; i++) {
		format_line(line, sizeof(line), &p->targets[i]);
		fprintf(stderr, "%s\n", line);
	}
}

static void put_json_string(const char *s)
{
	fputc('"', stderr);
	while (*s) {
		bool shown;
		size_t n = text_step(s, &shown);

		if (*s == '"' || *s == '\\')
			fprintf(stderr, "\\%c", *s);
		else if (shown || n > 1)
			fwrite(s, 1, n, stderr);
		else if ((unsigned char)*s < 0x80)
			fprintf(stderr, "\\u%04x", (unsigned char)*s);
		else
			fputs("\\ufffd", stderr);
		s += n;
	}
	fputc('"', stderr);
}

static void json_line(const struct ism_progress *p)
{
	fprintf(stderr, "{\"event\":\"progress\",\"elapsed_ms\":%" PRIu64 ",\"targets\":[",
	        p->elapsed_ms);
	for (size_t i = 0; i < p->n_targets; i++) {
		const struct ism_target_progress *t = &p->targets[i];

		fputs(i ? ",{\"path\":" : "{\"path\":", stderr);
		put_json_string(t->path);
		fprintf(stderr, ",\"phase\":\"%s\",\"done\":%" PRIu64, ism_phase_name(t->phase),
		        t->done);
		if (t->total != ISM_SIZE_UNKNOWN)
			fprintf(stderr, ",\"total\":%" PRIu64, t->total);
		fprintf(stderr, ",\"written\":%" PRIu64 ",\"speed\":%" PRIu64 ",\"percent\":%.1f",
		        t->written, t->speed, t->fraction * 100);
		if (t->eta_s != UINT_MAX)
			fprintf(stderr, ",\"eta_s\":%u", t->eta_s);
		fputc('}', stderr);
	}
	fputs("]}\n", stderr);
	fflush(stderr);
}

/* Another number when any target comes to another phase: a JSON reader is told at once. */
static uint64_t phases_of(const struct ism_progress *p)
{
	uint64_t phases = 0;

	for (size_t i = 0; i < p->n_targets; i++)
		phases = phases * 31 + (unsigned)p->targets[i].phase;
	return phases;
}

void progress_show(const struct ism_progress *p, void *view)
{
	struct progress_view *v = view;
	uint64_t every = v->mode == PROGRESS_PLAIN ? LOG_EVERY_MS : JSON_EVERY_MS;
	uint64_t phases = v->mode == PROGRESS_JSON ? phases_of(p) : 0;

	if (v->mode == PROGRESS_NONE)
		return;
	if (v->mode == PROGRESS_AUTO) {
		draw(v, p);
		return;
	}
	if (v->last_ms && p->elapsed_ms - v->last_ms < every && !p->last && phases == v->phases)
		return;
	v->phases = phases;
	v->last_ms = p->elapsed_ms ? p->elapsed_ms : 1;
	if (v->mode == PROGRESS_JSON)
		json_line(p);
	else
		log_lines(p);
}

void progress_notice(const char *path, const char *sentence, void *view)
{
	struct progress_view *v = view;

	if (v->quiet)
		return;
	if (v->mode == PROGRESS_AUTO)
		clear_lines(v);
	if (v->mode == PROGRESS_JSON) {
		fputs("{\"event\":\"notice\",\"path\":", stderr);
		put_json_string(path ? path : "");
		fputs(",\"text\":", stderr);
		put_json_string(sentence);
		fputs("}\n", stderr);
	} else {
		fprintf(stderr, "%s%s%s\n", path ? clean(path) : "", path ? ": " : "",
		        clean(sentence));
	}
}
