/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What must not be written over: the image, the log, the program, and the disk that is read. The
 * walk goes from each down to the devices that carry it; and files are known by their numbers. */
#include "device/guard.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/**
 * struct keep - a path that must stay, and what it is made of
 * @down: all block devices below it
 * @span: it is a block device: that and its partitions
 */
struct keep {
	char *path;
	struct stat st;
	struct devset down, span;
};

static void keep_free(struct keep *k)
{
	free(k->path);
	devset_free(&k->down);
	devset_free(&k->span);
}
#define _keep_ __attribute__((cleanup(keep_free)))

/* A file that is yet to be made will lie in its folder. */
static char *path_resolved(const char *path)
{
	char *real = realpath(path, NULL);

	if (real || errno != ENOENT)
		return real;
	_free_ char *copy = strdup(path);

	return copy ? realpath(dirname(copy), NULL) : NULL;
}

/* 1: filled; 0: no place on this machine (a pipe, an address, nothing there). */
static int keep_read(struct keep *k, const struct usage *u, const char *path)
{
	int r;

	if (strcmp(path, "-") == 0 || strstr(path, "://"))
		return 0;
	k->path = path_resolved(path);
	if (!k->path || stat(k->path, &k->st) < 0)
		return errno == ENOMEM ? -ENOMEM : 0;
	if (S_ISBLK(k->st.st_mode)) {
		r = devset_add(&k->span, k->st.st_rdev);
		if (r >= 0)
			r = sysblock_partitions(u->root, k->st.st_rdev, &k->span);
		if (r >= 0)
			r = devset_add(&k->down, k->st.st_rdev);
	} else {
		r = usage_carriers(u, k->path, k->st.st_dev, &k->down);
	}
	if (r >= 0)
		r = usage_down(u, &k->down);
	return r < 0 ? r : 1;
}

/* One of the loop devices in @set has this file behind it. */
static bool loops_on_file(const struct usage *u, const struct devset *set, uint64_t dev,
                          uint64_t ino)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct loop_user *loop = usage_loop(u, set->devs[i]);

		if (loop && ino && loop->file_ino == ino && loop->file_dev == dev)
			return true;
	}
	return false;
}

/* Two loop devices in the sets have one file behind them. */
static bool loops_share_file(const struct usage *u, const struct devset *a, const struct devset *b)
{
	for (size_t i = 0; i < a->n; i++) {
		const struct loop_user *loop = usage_loop(u, a->devs[i]);

		if (loop && loops_on_file(u, b, loop->file_dev, loop->file_ino))
			return true;
	}
	return false;
}

static int keep_hint(struct ism_error *err)
{
	return ism_error_hint(err, "name another disk, or move the file to another one first");
}

int guard_keep_disk(const struct usage *u, const struct guard_unit *unit, const char *where,
                    const struct guard_kept *kept, struct ism_error *err)
{
	_keep_ struct keep k = { 0 };
	_devset_ struct devset below = { 0 };
	int r = keep_read(&k, u, kept->path);

	for (size_t i = 0; r > 0 && i < unit->own.n; i++)
		if (devset_add(&below, unit->own.devs[i]) < 0)
			r = -ENOMEM;
	if (r > 0 && usage_down(u, &below) < 0)
		r = -ENOMEM;
	if (r <= 0)
		return r;
	if (devset_meets(&k.span, &unit->own) ||
	    (k.span.n && (loops_share_file(u, &k.down, &below))))
		return ism_error_refuse(err, -EBUSY, where, "is the same disk as %s", kept->name);
	if (devset_meets(&k.down, &unit->own)) {
		ism_error_refuse(err, -EBUSY, where, "carries %s", kept->name);
		return keep_hint(err);
	}
	if (devset_meets(&k.span, &below)) {
		ism_error_refuse(err, -EBUSY, where, "lies on %s", kept->name);
		return keep_hint(err);
	}
	if (S_ISREG(k.st.st_mode) && loops_on_file(u, &below, k.st.st_dev, k.st.st_ino))
		return ism_error_refuse(err, -EBUSY, where, "is a loop device on %s", kept->name);
	return 0;
}

int guard_keep_file(const struct usage *u, const char *path, struct guard_file file,
                    const struct guard_kept *kept, struct ism_error *err)
{
	_keep_ struct keep k = { 0 };
	_devset_ struct devset below = { 0 };
	int r = keep_read(&k, u, kept->path);

	if (r <= 0)
		return r;
	if (file.ino && ((k.st.st_dev == file.dev && k.st.st_ino == file.ino) ||
	                 loops_on_file(u, &k.down, file.dev, file.ino)))
		return ism_error_refuse(err, -EBUSY, path, "is the same file as %s", kept->name);
	if (k.span.n == 0)
		return 0;
	r = usage_carriers(u, path, file.dev, &below);
	if (r >= 0)
		r = usage_down(u, &below);
	if (r < 0 || !devset_meets(&k.span, &below))
		return r < 0 ? r : 0;
	ism_error_refuse(err, -EBUSY, path, "lies on %s", kept->name);
	return ism_error_hint(err, "name a file on another disk");
}

static bool is_file_at(const char *path, struct guard_file file)
{
	struct stat st;

	return *path == '/' && stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_dev == file.dev && st.st_ino == file.ino;
}

int guard_file_busy(const struct usage *u, const char *path, struct guard_file file,
                    struct ism_error *err)
{
	for (size_t i = 0; i < u->n_loops; i++)
		if (u->loops[i].file_ino == file.ino && u->loops[i].file_dev == file.dev) {
			_free_ char *node = sysblock_node(u->root, u->loops[i].dev);

			ism_error_refuse(err, -EBUSY, path, "is behind the loop device %s", node);
			return ism_error_hint(err, "detach it: losetup -d %s", node);
		}
	for (size_t i = 0; i < u->swaps.n; i++)
		if (is_file_at(u->swaps.list[i], file)) {
			ism_error_refuse(err, -EBUSY, path, "is swap space in use");
			return ism_error_hint(err, "switch it off: swapoff %s", path);
		}
	for (size_t i = 0; i < u->mounts.n; i++) {
		const struct mount *m = &u->mounts.list[i];

		if (strncmp(m->type, "fuse", 4) != 0 || !is_file_at(m->source, file))
			continue;
		ism_error_refuse(err, -EBUSY, path, "is mounted at %s", m->point);
		return ism_error_hint(err, "unmount it: umount '%s'", m->point);
	}
	return 0;
}
