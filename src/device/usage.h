/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who uses which block device: one look at mounts, swaps, loop devices and btrfs sets, and the
 * walks over it: up from a disk to what stands on it, down from a path to the disks that carry it.
 */
#ifndef DEVICE_USAGE_H
#define DEVICE_USAGE_H

#include "base/error.h"
#include "device/mounts.h"
#include "device/sysblock.h"

/**
 * struct loop_user - an attached loop device
 * @file_dev, @file_ino: its backing file, as stat() says; 0 = not known
 * @below: the block devices that carry the backing file, or the one that it is
 */
struct loop_user {
	uint64_t dev, file_dev, file_ino;
	char *file;
	struct devset below;
};

struct usage {
	const struct sys_root *root;
	struct mounts mounts;
	struct swaps swaps;
	struct loop_user *loops;
	size_t n_loops;
	struct devset *btrfs; /* the devices of each mounted btrfs */
	size_t n_btrfs;
};

/** usage_read() - look at everything once */
int usage_read(struct usage *u, const struct sys_root *root, struct ism_error *err);
void usage_free(struct usage *u);
#define _usage_ __attribute__((cleanup(usage_free)))

/** usage_mount_devs() - the block devices of one mount, anonymous st_dev or not, added to @set */
int usage_mount_devs(const struct usage *u, const struct mount *m, struct devset *set);
/**
 * usage_carriers() - the block devices that carry @path (absolute, no symbolic links), added to
 * @set
 * @st_dev: of the file, 0 = not known. Nothing is added for tmpfs, network and such.
 */
int usage_carriers(const struct usage *u, const char *path, uint64_t st_dev, struct devset *set);
/** usage_down() - add all that the devices of @set stand on */
int usage_down(const struct usage *u, struct devset *set);
/** usage_up() - add all that stands on the devices of @set: holders, loop devices, their partitions
 */
int usage_up(const struct usage *u, struct devset *set);
/** usage_swap_dev() - the block device that swap @i is; 0 = a file */
uint64_t usage_swap_dev(const struct usage *u, size_t i);
/** usage_loop() - the attached loop device @dev, or NULL */
const struct loop_user *usage_loop(const struct usage *u, uint64_t dev);

/** mount_is_system() - a mount point that is never unmounted for anybody: / /boot* /usr /var /home,
 * and where live systems keep their medium */
bool mount_is_system(const char *point);

#endif
