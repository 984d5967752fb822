/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is on a disk, as libblkid identifies it: for people to recognise it by, and to find members
 * of sets. Also where the kernel has made no partition nodes. */
#include "device/disk.h"

#include <blkid.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

#define PARTS_MAX     1024 /* what is shown of a table; the kernel stops at 256 */
#define SUPERS_MAX    64   /* signatures that one place can have: libblkid knows about as many */
#define BTRFS_SUPER   65536
#define BTRFS_DEVICES 0x88

static void probe_freep(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}

static char *probe_value(blkid_probe pr, const char *name)
{
	const char *text;

	if (blkid_probe_lookup_value(pr, name, &text, NULL) < 0 || !*text)
		return NULL;
	return strdup(text);
}

static bool type_is_member(const char *type)
{
	static const char *const sets[] = { "bcache", "drbd", "zfs_member", "ceph_bluestore" };
	size_t n = strlen(type);

	if (n > 7 && strcmp(type + n - 7, "_member") == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		if (strcmp(type, sets[i]) == 0)
			return true;
	return false;
}

bool probe_is_member(const char *type, int fd, uint64_t offset)
{
	struct {
		uint8_t before[0x40];
		char magic[8];
		uint8_t between[BTRFS_DEVICES - 0x48];
		le64 devices;
	} super;

	if (!type || type_is_member(type))
		return type != NULL;
	return strcmp(type, "btrfs") == 0 && fd >= 0 &&
	       pread(fd, &super, sizeof(super), (off_t)(offset + BTRFS_SUPER)) == sizeof(super) &&
	       memcmp(super.magic, "_BHRfS_M", 8) == 0 && le64_get(super.devices) > 1;
}

static void names_take(blkid_probe pr, struct probe_names *ret)
{
	ret->type = probe_value(pr, "TYPE");
	ret->label = probe_value(pr, "LABEL");
	ret->uuid = probe_value(pr, "UUID");
}

static void names_clear(struct probe_names *names)
{
	free(names->type);
	free(names->label);
	free(names->uuid);
	*names = (struct probe_names){ 0 };
}

/* Several signatures in one place: the one that makes it a member of a set counts most. */
static void names_of_several(blkid_probe pr, struct probe_names *ret)
{
	blkid_reset_probe(pr);
	for (unsigned i = 0; i < SUPERS_MAX && blkid_do_probe(pr) == 0; i++) {
		struct probe_names names = { 0 };

		names_take(pr, &names);
		if (names.type && (!ret->type || type_is_member(names.type))) {
			names_clear(ret);
			*ret = names;
		} else {
			names_clear(&names);
		}
	}
}

void probe_names(int fd, uint64_t offset, uint64_t size, struct probe_names *ret)
{
	CLEANUP(probe_freep) blkid_probe pr = blkid_new_probe();

	*ret = (struct probe_names){ 0 };
	if (!pr || size == 0 || size > INT64_MAX || offset > INT64_MAX ||
	    blkid_probe_set_device(pr, fd, (blkid_loff_t)offset, (blkid_loff_t)size) < 0)
		return;
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
	                                              BLKID_SUBLKS_UUID);
	int r = blkid_do_safeprobe(pr);

	if (r == 0)
		names_take(pr, ret);
	else if (r == -2)
		names_of_several(pr, ret);
}

static int part_compare(const void *a, const void *b)
{
	const struct ism_partition *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

/* libblkid counts in 512 bytes on every disk. */
static bool part_read(blkid_partition par, struct ism_partition *ret)
{
	blkid_loff_t start = blkid_partition_get_start(par), size = blkid_partition_get_size(par);
	const char *name = blkid_partition_get_name(par);
	int number = blkid_partition_get_partno(par);

	if (number <= 0 || start < 0 || size <= 0 || start > INT64_MAX / 512 ||
	    size > INT64_MAX / 512)
		return false;
	*ret = (struct ism_partition){ .number = (unsigned)number,
		                       .offset = (uint64_t)start * 512,
		                       .size = (uint64_t)size * 512,
		                       .part_label = name && *name ? strdup(name) : NULL };
	return true;
}

int probe_table(int fd, char **ret_table, struct ism_partition **ret, size_t *ret_n)
{
	CLEANUP(probe_freep) blkid_probe pr = blkid_new_probe();

	if (!pr || blkid_probe_set_device(pr, fd, 0, 0) < 0)
		return 0;
	blkid_probe_enable_superblocks(pr, 0);
	blkid_probe_enable_partitions(pr, 1);
	blkid_partlist list = blkid_probe_get_partitions(pr);

	if (!list)
		return 0;
	blkid_parttable table = blkid_partlist_get_table(list);
	const char *type = table ? blkid_parttable_get_type(table) : NULL;
	int count = MIN(blkid_partlist_numof_partitions(list), PARTS_MAX);
	struct ism_partition *parts = calloc((size_t)MAX(count, 1), sizeof(*parts));
	size_t n = 0;

	if (!parts)
		return -ENOMEM;
	for (int i = 0; i < count; i++)
		n += part_read(blkid_partlist_get_partition(list, i), &parts[n]);
	qsort(parts, n, sizeof(*parts), part_compare);
	*ret_table = type ? strdup(type) : NULL;
	*ret = parts;
	*ret_n = n;
	return 0;
}
