/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Block devices as sysfs shows them: names, partitions, holders, slaves. Devices are device numbers
 * here and never names. The roots can be moved, so that tests can show trees that no machine has.
 */
#ifndef DEVICE_SYSBLOCK_H
#define DEVICE_SYSBLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct sys_root - where sysfs and procfs are; @host: names may be looked up in /dev as well */
struct sys_root {
	const char *sys, *proc;
	bool host;
};

extern const struct sys_root sys_root_host;

/** struct devset - device numbers, each once, in the order of their arrival */
struct devset {
	uint64_t *devs;
	size_t n, cap;
};

/** devset_add() - 1: added, 0: was there, -ENOMEM, or -E2BIG for more than anybody has */
int devset_add(struct devset *set, uint64_t dev);
bool devset_has(const struct devset *set, uint64_t dev);
bool devset_meets(const struct devset *a, const struct devset *b);
void devset_free(struct devset *set);
#define _devset_ __attribute__((cleanup(devset_free)))

/** text_read() - a whole file of at most @max bytes, NUL behind it; -EFBIG when it is longer */
int text_read(const char *path, size_t max, char **ret, size_t *ret_len);

/** number_parse() - decimal digits and nothing else; NULL is none */
bool number_parse(const char *text, uint64_t *ret);
/** devno_parse() - "8:16"; takes the text apart */
bool devno_parse(char *text, uint64_t *ret);

/** sysblock_dir() - the folder of @dev in sysfs, resolved; NULL if there is none */
char *sysblock_dir(const struct sys_root *root, uint64_t dev);
/** sysblock_attr() - an attribute's text without white space around it; NULL if there is none, or
 * nothing in it */
char *sysblock_attr(const struct sys_root *root, uint64_t dev, const char *name);
bool sysblock_has(const struct sys_root *root, uint64_t dev, const char *name);
/** sysblock_number() - an attribute as number; @otherwise if it is none */
uint64_t sysblock_number(const struct sys_root *root, uint64_t dev, const char *name,
                         uint64_t otherwise);
/** sysblock_name() - the kernel's name (sdb, dm-0); never NULL but when out of memory */
char *sysblock_name(const struct sys_root *root, uint64_t dev);
/** sysblock_node() - /dev/NAME */
char *sysblock_node(const struct sys_root *root, uint64_t dev);
/** sysblock_label() - the name with what a person calls it: "dm-0 (vg-root)", "loop3 (/a/file)" */
char *sysblock_label(const struct sys_root *root, uint64_t dev);
bool sysblock_is_partition(const struct sys_root *root, uint64_t dev);
/** sysblock_whole() - the disk that a partition is on, by the parent in sysfs; a disk is its own */
uint64_t sysblock_whole(const struct sys_root *root, uint64_t dev);

/** sysblock_disks() - all whole devices */
int sysblock_disks(const struct sys_root *root, struct devset *set);
int sysblock_partitions(const struct sys_root *root, uint64_t disk, struct devset *set);
int sysblock_holders(const struct sys_root *root, uint64_t dev, struct devset *set);
int sysblock_slaves(const struct sys_root *root, uint64_t dev, struct devset *set);
/** sysblock_links() - the devices that the entries of the folder @path lead to */
int sysblock_links(const char *path, struct devset *set);
/** sysblock_find() - the device that /dev/NAME or a device-mapper name stands for; 0 = none */
uint64_t sysblock_find(const struct sys_root *root, const char *path);

#endif
