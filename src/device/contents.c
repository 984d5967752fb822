/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is on a disk and who uses it: partitions of the kernel with what libblkid sees in them;
 * where the kernel made no partition nodes, libblkid's view of the table and of the places in it.
 */
#include "device/disk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "device/guard.h"

static int part_compare(const void *a, const void *b)
{
	const struct ism_partition *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int mounts_add(struct ism_partition *p, const char *point)
{
	size_t n = 0;

	for (; p->mounts && p->mounts[n]; n++)
		if (strcmp(p->mounts[n], point) == 0)
			return 0;

	char **list = reallocarray(p->mounts, n + 2, sizeof(*list));

	if (!list)
		return -ENOMEM;
	p->mounts = list;
	list[n + 1] = NULL;
	list[n] = strdup(point);
	return list[n] ? 0 : -ENOMEM;
}

/* Mounts and holders of one device, without its partitions. */
static int part_use(const struct usage *u, uint64_t dev, struct ism_partition *p)
{
	_devset_ struct devset all = { 0 };
	int r = devset_add(&all, dev);

	if (r >= 0)
		r = usage_up(u, &all);
	for (size_t i = 0; r >= 0 && i < u->mounts.n; i++) {
		r = guard_uses(u, &u->mounts.list[i], &all);
		if (r > 0)
			r = mounts_add(p, u->mounts.list[i].point);
	}
	for (size_t i = 0; r >= 0 && !p->used_by && i < u->swaps.n; i++) {
		uint64_t swap = usage_swap_dev(u, i);

		if (swap && devset_has(&all, swap))
			p->used_by = strdup("swap");
	}
	if (r >= 0 && !p->used_by && all.n > 1)
		p->used_by = sysblock_label(u->root, all.devs[1]);
	return r < 0 ? r : 0;
}

/* The node is read where there is one: its cache is the one that its file system writes to. */
static void part_names(const struct usage *u, int disk_fd, uint64_t disk, struct ism_partition *p)
{
	_close_ int fd =
		p->path && u->root->host ? open(p->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	struct probe_names names;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode) &&
	    sysblock_whole(u->root, st.st_rdev) == disk)
		probe_names(fd, 0, p->size, &names);
	else if (disk_fd >= 0)
		probe_names(disk_fd, p->offset, p->size, &names);
	else
		return;
	p->fs_type = names.type;
	p->label = names.label;
	p->uuid = names.uuid;
}

static struct ism_partition *parts_add(struct ism_device *d)
{
	struct ism_partition *list = reallocarray(d->parts, d->n_parts + 1, sizeof(*list));

	if (!list)
		return NULL;
	d->parts = list;
	list[d->n_parts] = (struct ism_partition){ 0 };
	return &list[d->n_parts++];
}

static int parts_from_kernel(const struct usage *u, struct ism_device *d)
{
	_devset_ struct devset devs = { 0 };
	int r = sysblock_partitions(u->root, d->dev, &devs);

	for (size_t i = 0; r >= 0 && i < devs.n; i++) {
		struct ism_partition *p = parts_add(d);

		if (!p)
			return -ENOMEM;
		p->path = sysblock_node(u->root, devs.devs[i]);
		p->number = (unsigned)sysblock_number(u->root, devs.devs[i], "partition", 0);
		p->offset = 512 * sysblock_number(u->root, devs.devs[i], "start", 0);
		p->size = 512 * sysblock_number(u->root, devs.devs[i], "size", 0);
		r = part_use(u, devs.devs[i], p);
	}
	if (d->n_parts)
		qsort(d->parts, d->n_parts, sizeof(*d->parts), part_compare);
	return r < 0 ? r : 0;
}

/* Names from the table for partitions that the kernel has; all from the table if it has none. */
static int parts_from_table(struct ism_device *d, int fd)
{
	struct ism_device seen = { 0 };
	int r = probe_table(fd, &seen.table, &seen.parts, &seen.n_parts);

	if (r < 0)
		return r;
	d->table = take(seen.table);
	if (d->n_parts == 0) {
		d->parts = take(seen.parts);
		d->n_parts = seen.n_parts;
		return 0;
	}
	for (size_t i = 0; i < d->n_parts; i++)
		for (size_t j = 0; j < seen.n_parts; j++)
			if (seen.parts[j].number == d->parts[i].number &&
			    seen.parts[j].offset == d->parts[i].offset && !d->parts[i].part_label)
				d->parts[i].part_label = take(seen.parts[j].part_label);
	disk_clear(&seen);
	return 0;
}

static bool part_is_empty(const struct ism_partition *p)
{
	return !p->fs_type && !p->mounts && !p->used_by;
}

static void part_move_to_front(struct ism_device *d)
{
	struct ism_partition last = d->parts[d->n_parts - 1];

	memmove(d->parts + 1, d->parts, (d->n_parts - 1) * sizeof(*d->parts));
	d->parts[0] = last;
}

/* A file system on the bare disk: number 0, before all partitions (a hybrid ISO has both). */
static int part_whole(const struct usage *u, struct ism_device *d, int fd)
{
	struct ism_partition *p = parts_add(d);

	if (!p)
		return -ENOMEM;
	p->size = d->size;
	p->path = strdup(d->path);
	part_names(u, fd, d->dev, p);
	int r = part_use(u, d->dev, p);

	if (r == 0 && part_is_empty(p)) {
		free(p->path);
		free(p->label);
		free(p->uuid);
		d->n_parts--;
		return 0;
	}
	part_move_to_front(d);
	return r;
}

int disk_contents(const struct usage *u, struct ism_device *d, struct ism_error *err)
{
	_close_ int fd = u->root->host ? open(d->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	struct stat st;
	int r;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != d->dev)) {
		close(fd);
		fd = -1;
	}
	r = parts_from_kernel(u, d);
	if (r == 0 && fd >= 0)
		r = parts_from_table(d, fd);
	for (size_t i = 0; r == 0 && i < d->n_parts; i++)
		part_names(u, fd, d->dev, &d->parts[i]);
	if (r == 0)
		r = part_whole(u, d, fd);
	return r < 0 ? ism_error_errno(err, r, d->path, ISM_NO_OFFSET,
	                               "cannot find out what is on it")
	             : 0;
}
