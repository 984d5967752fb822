/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph VERB [OPTION]… : finds the verb, parses its options, runs it. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <isomorph/version.h>

#include "cli.h"

static int unknown_verb(const char *name)
{
	const char *names[32];
	const char *near;
	size_t n = 0;

	for (const struct verb *const *v = verbs; *v && n < 31; v++)
		names[n++] = (*v)->name;
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		return usage_error(NULL, "there is no command '%s'; did you mean '%s'?", name,
		                   near);
	return usage_error(NULL, "there is no command '%s'", name);
}

/* Also when the options were not understood. */
static bool json_wanted(char **argv)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "--json") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct cli_options o = { .argc = argc, .argv = argv };
	const struct verb *verb;
	char **args = NULL;
	int n = 0, status;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		help_short(stdout);
		return ISM_DONE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help_all(stdout);
		return ISM_DONE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("isomorph %s\n", ISOMORPH_VERSION);
		return ISM_DONE;
	}
	verb = verb_find(argv[1]);
	if (!verb)
		status = unknown_verb(argv[1]);
	else
		status = options_parse(verb, argc, argv, &o, &args, &n);
	if (status < 0)
		status = verb->run(verb, &o, args, n);
	free(args);
	if (status == ISM_USAGE && json_wanted(argv))
		usage_json(verb);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (status == ISM_DONE)
			status = ISM_FAILED;
		fputs("isomorph: standard output cannot be written\n", stderr);
	}
	return status;
}
