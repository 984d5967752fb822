/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The target was left out: which disks could be meant? Nothing is preselected. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool could_be_meant(const struct ism_device *d)
{
	return !d->protected_why && !d->fixed && !(d->bus && strcmp(d->bus, "loop") == 0);
}

static void list_passed_over(const struct ism_device *devices, size_t n)
{
	if (!n)
		fputs("There is no disk at all.\n", stderr);
	for (size_t i = 0; i < n; i++) {
		char *text = text_device(&devices[i]);

		fprintf(stderr, "  %-12s %s: passed over, %s\n", devices[i].path, text ? text : "",
		        devices[i].protected_why ? devices[i].protected_why
		        : devices[i].fixed       ? "it is not a stick or card; name it to use it"
		                                 : "it is a loop device; name it to use it");
		free(text);
	}
}

static char *pick(const struct verb *verb, const struct ism_device **sticks, size_t n,
                  int *ret_status)
{
	unsigned k;

	fputs("No target is named. These could be meant:\n", stderr);
	for (size_t i = 0; i < n; i++) {
		char *text = text_device(sticks[i]);

		fprintf(stderr, "  %zu  %-12s %s\n", i + 1, sticks[i]->path, text ? text : "");
		free(text);
	}
	*ret_status = ISM_USAGE;
	if (!at_terminal()) {
		usage_error(verb, "no target is named");
		return NULL;
	}
	k = ask_number((unsigned)n, "Which one?");
	if (!k) {
		fputs("Nothing was changed.\n", stderr);
		return NULL;
	}
	return strdup(sticks[k - 1]->path);
}

char *choose_target(const struct verb *verb, const struct cli_options *o, int *ret_status)
{
	const struct ism_device **sticks;
	struct ism_device *devices = NULL;
	struct ism_error err = { 0 };
	char *chosen = NULL;
	size_t n = 0, n_sticks = 0;

	if (ism_devices(&devices, &n, &err) < 0) {
		*ret_status = show_error(o, verb->name, &err);
		return NULL;
	}
	sticks = calloc(n + 1, sizeof(*sticks));
	for (size_t i = 0; sticks && i < n; i++)
		if (could_be_meant(&devices[i]))
			sticks[n_sticks++] = &devices[i];
	if (n_sticks) {
		chosen = pick(verb, sticks, n_sticks, ret_status);
	} else {
		fputs("No target is named, and no stick or card is there that could be meant.\n",
		      stderr);
		list_passed_over(devices, n);
		*ret_status = usage_error(verb, "no target is named");
	}
	free(sticks);
	ism_devices_free(devices, n);
	return chosen;
}
