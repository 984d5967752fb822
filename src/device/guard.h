/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard's questions, one each, over one look at the machine. target.c asks them all in order.
 */
#ifndef DEVICE_GUARD_H
#define DEVICE_GUARD_H

#include "device/usage.h"

/**
 * struct guard_unit - what would be written
 * @own: the disk and its partitions, also where it is seen a second time; or one partition and
 * those that overlap it
 * @all: with all that stands on them
 */
struct guard_unit {
	struct devset own, all;
};

int guard_unit_of(struct guard_unit *unit, const struct usage *u, uint64_t dev);
void guard_unit_free(struct guard_unit *unit);
#define _guard_unit_ __attribute__((cleanup(guard_unit_free)))

/**
 * guard_busy() - refuse if the system, a mount, swap, or a holder is on it
 * @where:   named in the error
 * @unmount: mounts that we may undo are no reason
 */
int guard_busy(const struct usage *u, const struct guard_unit *unit, const char *where,
               bool unmount, struct ism_error *err);
/** guard_can_unmount() - a mount of our own namespace, directly on the unit, and no system one */
bool guard_can_unmount(const struct usage *u, const struct guard_unit *unit, const struct mount *m);
/** guard_uses() - @m is a mount of a device in @set: 1, 0, or an error */
int guard_uses(const struct usage *u, const struct mount *m, const struct devset *set);

/** struct guard_file - a file by its numbers */
struct guard_file {
	uint64_t dev, ino;
};

/** struct guard_kept - a path that must stay, and how the refusal names it */
struct guard_kept {
	const char *path, *name;
};

/**
 * guard_keep_disk() - refuse if what must stay lies on the unit, is it, or is the
 * file behind it
 */
int guard_keep_disk(const struct usage *u, const struct guard_unit *unit, const char *where,
                    const struct guard_kept *kept, struct ism_error *err);
/** guard_keep_file() - the same for a regular file @path as target; @file: its numbers, 0 = new */
int guard_keep_file(const struct usage *u, const char *path, struct guard_file file,
                    const struct guard_kept *kept, struct ism_error *err);
/** guard_file_busy() - refuse if a loop device, swap or a FUSE mount stands on the file */
int guard_file_busy(const struct usage *u, const char *path, struct guard_file file,
                    struct ism_error *err);

#endif
