/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every command that works, in the order of the help. */
#include <string.h>

#include "verbs.h"

const struct verb *const verbs[] = {
	&verb_devices, &verb_write, &verb_capture, &verb_restore, &verb_clone, &verb_verify,
	&verb_erase,   &verb_undo,  &verb_inspect, &verb_help,    NULL,
};

const struct verb *verb_find(const char *name)
{
	for (const struct verb *const *v = verbs; *v; v++)
		if (strcmp((*v)->name, name) == 0)
			return *v;
	return NULL;
}
