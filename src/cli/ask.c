/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Questions at the terminal. Nothing is preselected: an empty answer is no. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli.h"

bool at_terminal(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

/* One line without its end; NULL when input has ended. */
static char *answer(void)
{
	char *line = NULL;
	size_t cap = 0;

	fflush(stderr);
	if (getline(&line, &cap, stdin) < 0) {
		free(line);
		fputc('\n', stderr);
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	return line;
}

bool ask_yes(const char *fmt, ...)
{
	va_list args;
	char *line;
	bool yes;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs(" [y/N] ", stderr);
	line = answer();
	yes = line && (strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0);
	free(line);
	return yes;
}

bool ask_word(const char *word, const char *fmt, ...)
{
	va_list args;
	char *line;
	bool same;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " Type '%s' to go on: ", word);
	line = answer();
	same = line && strcmp(line, word) == 0;
	free(line);
	return same;
}

unsigned ask_number(unsigned max, const char *fmt, ...)
{
	va_list args;
	unsigned long n;
	char *line, *end;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, " [1-%u] ", max);
	line = answer();
	n = line ? strtoul(line, &end, 10) : 0;
	if (line && (*end || end == line))
		n = 0;
	free(line);
	return n >= 1 && n <= max ? (unsigned)n : 0;
}
