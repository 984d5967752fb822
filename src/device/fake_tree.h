/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For tests: a sysfs and a procfs made of folders, with disks that this machine does not have. */
#ifndef DEVICE_FAKE_TREE_H
#define DEVICE_FAKE_TREE_H

#include "device/sysblock.h"

struct fake_tree {
	char *base, *sys, *proc;
	struct sys_root root;
	unsigned pids;
};

void tree_make(struct fake_tree *t);
void tree_remove(struct fake_tree *t);
/** tree_write() - a file below the base; @path has the folders before it, which are made */
void tree_write(struct fake_tree *t, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** tree_disk() - @bus: its folder in sys/devices ("pci0/usb1/1-1/host2") */
void tree_disk(struct fake_tree *t, const char *bus, const char *name, unsigned ma, unsigned mi,
               unsigned long long sectors);
/** tree_attr() - an attribute of the disk or partition @name */
void tree_attr(struct fake_tree *t, const char *name, const char *attr, const char *text);
void tree_part(struct fake_tree *t, const char *disk, const char *name, unsigned number,
               unsigned ma, unsigned mi, unsigned long long start, unsigned long long sectors);
/** tree_hold() - @upper stands on @lower */
void tree_hold(struct fake_tree *t, const char *lower, const char *upper);
void tree_btrfs(struct fake_tree *t, const char *uuid, const char *const *names);
/** tree_process() - @pid is "self" or a number, @ns its mount namespace, @root its root folder */
void tree_process(struct fake_tree *t, const char *pid, unsigned ns, const char *root,
                  const char *mountinfo);
uint64_t tree_dev(struct fake_tree *t, const char *name);

#endif
