/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `isomorph` alone, and --help. */
#include "cli.h"

void help_short(FILE *out)
{
	fputs("isomorph writes disk images so that they boot, and proves what it wrote.\n"
	      "\n"
	      "  a bootable stick    isomorph write debian.iso /dev/sdX\n"
	      "  check a stick       isomorph verify debian.iso /dev/sdX\n"
	      "  look at an image    isomorph inspect debian.iso\n"
	      "  empty a stick       isomorph erase /dev/sdX\n"
	      "\n"
	      "Which disks are there: isomorph devices. Guides: isomorph help.\n"
	      "All commands: isomorph --help. One command: isomorph write --help.\n",
	      out);
}

void help_all(FILE *out)
{
	fputs("Usage: isomorph COMMAND [OPTION]… [OPERAND]…\n\nCommands:\n", out);
	for (const struct verb *const *v = verbs; *v; v++)
		fprintf(out, "  %-9s %s\n", (*v)->name, (*v)->summary);
	fputs("\nOptions that every command takes: --json, --quiet, --verbose, --help.\n"
	      "isomorph COMMAND --help tells the rest; isomorph --version gives the version.\n"
	      "\n"
	      "Exit status: 0 done, 1 failed, 2 wrong usage, 3 'verify' found a difference, 4 done "
	      "but parts of\n"
	      "the source could not be read, 5 refused to protect data, 130 interrupted.\n",
	      out);
}
