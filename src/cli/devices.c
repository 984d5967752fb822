/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph devices: which disks there are, what is on them, and which are protected and why. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verbs.h"

static const int takes[] = { 0 };

static int width_of(const struct ism_device *devices, size_t n)
{
	size_t width = strlen("DISK");

	for (size_t i = 0; i < n; i++)
		if (strlen(devices[i].path) > width)
			width = strlen(devices[i].path);
	return (int)width;
}

static void put_if(const char *before, const char *text, const char *after)
{
	if (!text)
		return;
	fputs(before, stdout);
	put_clean(text, stdout);
	fputs(after, stdout);
}

/* "  1  vfat "DATA", 28.7 GiB, mounted at /media/data", under the disk's size */
static void show_part(const struct ism_partition *p, int width)
{
	char size[24];

	printf("%*s  ", width, "");
	if (p->number)
		printf("%2u  ", p->number);
	else
		fputs(" -  ", stdout);
	put_clean(p->fs_type ? p->fs_type : "unknown content", stdout);
	put_if(" \"", p->label ? p->label : p->part_label, "\"");
	printf(", %s", text_size(size, p->size));
	for (char **m = p->mounts; m && *m; m++)
		put_if(m == p->mounts ? ", mounted at " : " and ", *m, "");
	put_if(", in use by ", p->used_by, "");
	putchar('\n');
}

static void show_device(const struct ism_device *d, int width)
{
	char size[24];

	printf("%-*s  %9s  %-6s ", width, d->path, text_size(size, d->size), d->bus ? d->bus : "-");
	put_if(" ", d->vendor, "");
	put_if(" ", d->model ? d->model : d->vendor ? "" : "without a name", "");
	put_if("  serial ", d->serial, "");
	if (d->sector_size != 512)
		printf("  sectors of %u bytes", d->sector_size);
	putchar('\n');
	for (size_t i = 0; i < d->n_parts; i++)
		show_part(&d->parts[i], width);
	if (d->n_parts == 0)
		printf("%*s   -  %s\n", width, "",
		       access(d->path, R_OK) < 0
		               ? "it may not be read, so its contents are not known"
		       : d->table ? "a partition table without partitions"
		                  : "nothing that is known");
	if (d->protected_why) {
		printf("%*s  protected: it ", width, "");
		put_clean(d->protected_why, stdout);
		putchar('\n');
	}
}

static void show_table(const struct cli_options *o, const struct ism_device *devices, size_t n)
{
	int width = width_of(devices, n);

	if (n)
		printf("%-*s  %9s  %-6s  %s\n", width, "DISK", "SIZE", "BUS", "MODEL");
	else
		say(o, "There is no disk.");
	for (size_t i = 0; i < n; i++)
		show_device(&devices[i], width);
	if (n && geteuid() != 0)
		say(o, "Without root the contents of disks may be missing: sudo isomorph devices");
}

static int devices_run(const struct verb *verb, struct cli_options *o, char **args, int n_args)
{
	struct ism_device *devices = NULL;
	struct ism_error err = { 0 };
	size_t n = 0;

	if (n_args)
		return usage_error(verb, "devices takes no operand, but '%s' was given", args[0]);
	if (ism_devices(&devices, &n, &err) < 0)
		return show_error(o, verb->name, &err);
	if (o->json) {
		char *text = ism_devices_json(devices, n);

		if (text)
			puts(text);
		else
			say(o, "isomorph: out of memory");
		ism_devices_free(devices, n);
		free(text);
		return text ? ISM_DONE : ISM_FAILED;
	}
	show_table(o, devices, n);
	ism_devices_free(devices, n);
	return ISM_DONE;
}

const struct verb verb_devices = {
	.name = "devices",
	.usage = "[OPTION]…",
	.summary = "which disks there are, what is on them, which are protected and why",
	.help = "Disks, sticks, cards and attached loop devices; nothing is changed. \"protected\" "
		"is "
		"what any command\n"
		"that writes would say of the disk now.",
	.takes = takes,
	.run = devices_run,
};
