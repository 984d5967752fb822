/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known of one disk: facts from sysfs, contents from libblkid, use from the usage. */
#ifndef DEVICE_DISK_H
#define DEVICE_DISK_H

#include <isomorph/device.h>

#include "device/usage.h"

/** disk_facts() - names, identity, sizes, flags of the whole disk @dev; reads nothing from it */
int disk_facts(const struct sys_root *root, uint64_t dev, struct ism_device *ret,
               struct ism_error *err);
/** disk_contents() - table, partitions, file systems, and who uses them; what may not be read is
 * left out */
int disk_contents(const struct usage *u, struct ism_device *d, struct ism_error *err);
/** disk_is_target() - a disk as ism_devices() lists them */
bool disk_is_target(const struct sys_root *root, uint64_t dev);
void disk_clear(struct ism_device *d);

/** probe_names() - what libblkid says of the file system in a part of @fd; strings may stay NULL */
struct probe_names {
	char *type, *label, *uuid;
};
void probe_names(int fd, uint64_t offset, uint64_t size, struct probe_names *ret);
/** probe_table() - kind of table and its partitions without device nodes; sorted by number */
int probe_table(int fd, char **ret_table, struct ism_partition **ret, size_t *ret_n);
/** probe_is_member() - the type is of a set of several disks; @fd, @offset: btrfs says it inside */
bool probe_is_member(const char *type, int fd, uint64_t offset);

#endif
