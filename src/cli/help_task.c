/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph help [TASK…]: the guide pages, and which of them fits what somebody wants to do. */
#include <ctype.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guide.h"
#include "verbs.h"

#define WORD_MAX 32 /* letters of a word that count */

/* The next word of letters and digits in *s, in small letters; false at the end. */
static bool next_word(const char **s, char word[WORD_MAX])
{
	size_t n = 0;

	while (**s && !isalnum((unsigned char)**s))
		++*s;
	for (; isalnum((unsigned char)**s); ++*s)
		if (n + 1 < WORD_MAX)
			word[n++] = (char)tolower((unsigned char)**s);
	word[n] = '\0';
	return n > 0;
}

/* How well @word fits one of the words of @text: 0 not at all, 1 nearly, 2 as its beginning, 3
 * exactly. */
static unsigned fits(const char *word, const char *text)
{
	unsigned best = 0;
	char other[WORD_MAX];

	while (next_word(&text, other)) {
		const char *const one[] = { other, NULL };

		if (strcmp(word, other) == 0)
			return 3;
		if (strlen(word) > 2 && strncmp(word, other, strlen(word)) == 0)
			best = 2;
		else if (!best && strlen(word) > 3 && nearest(word, one))
			best = 1;
	}
	return best;
}

#define HEADING 8 /* what a word in the heading counts, against one that only the text has */

static unsigned score(const struct guide_page *page, const char *task)
{
	unsigned sum = 0;
	char word[WORD_MAX];

	while (next_word(&task, word)) {
		unsigned title = fits(word, page->title), other = fits(word, page->words);

		if (strlen(word) < 2)
			continue;
		sum += HEADING * (title > other ? title : other);
		if (fits(word, page->text) >= 2)
			sum++;
	}
	return sum;
}

/* NULL if none scores @least. */
static const struct guide_page *find_page(const char *task, unsigned least)
{
	const struct guide_page *best = NULL;

	for (const struct guide_page *p = guide_pages; p->name; p++) {
		unsigned n = strcasecmp(task, p->name) == 0 ? UINT_MAX : score(p, task);

		if (n >= least) {
			least = n < UINT_MAX ? n + 1 : n;
			best = p;
		}
	}
	return best;
}

static void list_pages(FILE *out)
{
	for (const struct guide_page *p = guide_pages; p->name; p++)
		fprintf(out, "  %-30s %s\n", p->name, p->title);
}

static json_t *page_json(const struct guide_page *p, bool with_text)
{
	json_t *page = json_pack("{s:s, s:s}", "name", p->name, "title", p->title);

	if (page && with_text)
		json_object_set_new(page, "text", json_string(p->text));
	return page;
}

/* @page: with its text; NULL = the list of all */
static int show_json(const struct guide_page *page)
{
	json_t *pages = json_array(), *doc;
	char *text;

	for (const struct guide_page *p = page ? page : guide_pages; p->name; p++) {
		json_array_append_new(pages, page_json(p, page != NULL));
		if (page)
			break;
	}
	doc = json_pack("{s:i, s:s, s:o, s:i}", "version", 1, "verb", "help", "pages", pages,
	                "exit", ISM_DONE);
	text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;
	json_decref(doc);
	if (!text)
		return ISM_FAILED;
	puts(text);
	free(text);
	return ISM_DONE;
}

/* The operands as one line of words. */
static char *join(char **args, int n)
{
	size_t len = 1;
	char *task;

	for (int i = 0; i < n; i++)
		len += strlen(args[i]) + 1;
	task = calloc(1, len);
	for (int i = 0; task && i < n; i++) {
		strcat(task, args[i]);
		if (i + 1 < n)
			strcat(task, " ");
	}
	return task;
}

static int show_page(const struct verb *verb, const struct cli_options *o, const char *task)
{
	const struct verb *command = verb_find(task);
	/* a page that merely mentions a command is not about it */
	const struct guide_page *page = find_page(task, command ? HEADING : 1);

	if (page && o->json)
		return show_json(page);
	if (page)
		fputs(page->text, stdout);
	else if (command)
		help_verb(command, stdout);
	else
		return usage_error(verb, "no guide page fits '%s'; 'isomorph help' lists them",
		                   task);
	if (page && command)
		printf("\nAll options of this command: isomorph %s --help\n", command->name);
	return ISM_DONE;
}

static int help_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	char *task;
	int status;

	if (n == 0 && o->json)
		return show_json(NULL);
	if (n == 0) {
		puts("Guides:");
		list_pages(stdout);
		puts("\nTo read one: isomorph help NAME, or words such as: isomorph help bootable "
		     "usb");
		return ISM_DONE;
	}
	task = join(args, n);
	if (!task)
		return ISM_FAILED;
	status = show_page(verb, o, task);
	free(task);
	return status;
}

const struct verb verb_help = {
	.name = "help",
	.usage = "[OPTION]… [TASK]…",
	.summary = "guides for common tasks",
	.help = "Without TASK the guide pages are listed; with the name of one, or with words that "
		"say what is to\n"
		"be done, the page that fits best is printed.",
	.run = help_run,
};
