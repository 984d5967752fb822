/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which disks exist, what they are, what is on them, and why one may not be written. */
#ifndef ISOMORPH_DEVICE_H
#define ISOMORPH_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <isomorph/error.h>

/** struct ism_partition - one partition, or one volume on top of a disk; strings may be NULL */
struct ism_partition {
	char *path;      /* /dev/sdb1 */
	unsigned number; /* 1 …; 0 for a file system on the bare disk */
	uint64_t offset; /* bytes from the start of the disk */
	uint64_t size;   /* bytes */
	char *fs_type;   /* as blkid names it: "ext4", "vfat", "LVM2_member", "swap" */
	char *label;
	char *uuid;
	char *part_label; /* GPT name */
	char **mounts;    /* NULL-terminated list of mount points, or NULL */
	char *used_by;    /* "swap", "dm-0 (vg-root)", "md127", …; NULL = nothing */
};

/** struct ism_device - one disk; strings may be NULL when not known */
struct ism_device {
	char *path;  /* canonical: /dev/sdb */
	char *by_id; /* /dev/disk/by-id/… that names this disk */
	char *vendor;
	char *model;
	char *serial;
	char *wwn;
	char *bus;    /* "usb", "ata", "nvme", "mmc", "scsi", "virtio", "loop", … */
	uint64_t dev; /* dev_t */
	uint64_t size;
	uint32_t sector_size;
	uint32_t physical_size;
	uint64_t diskseq; /* 0 = not known */
	bool removable;
	bool read_only;
	bool rotational;
	char *table; /* "gpt", "dos", …; NULL = none */
	struct ism_partition *parts;
	size_t n_parts;
	char *protected_why; /* one clause: why the guard would refuse it now; NULL = it may be
	                        written */
	bool fixed;          /* not a stick, card or loop device: writing it wants more than `y` */
};

/**
 * ism_devices() - every disk that could be a target or a source, in the order of their names
 * @ret:   array of @ret_n; free with ism_devices_free()
 * Floppies, optical drives, RAM disks, zram, empty card readers and unattached loop devices are
 * left out. Works without root; then labels and file systems may be missing.
 */
ISM_PUBLIC int ism_devices(struct ism_device **ret, size_t *ret_n, struct ism_error *err);
ISM_PUBLIC void ism_devices_free(struct ism_device *devices, size_t n);
/** ism_devices_json() - the same as one JSON document (schema in doc/json.md); malloc'ed, NULL when
 * out of memory */
ISM_PUBLIC char *ism_devices_json(const struct ism_device *devices, size_t n);

#endif
