/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The descriptors at the start of a CD or DVD image: ISO 9660, what of UDF stands beside them, and
 * the El Torito boot catalog. */
#ifndef FS_ISO9660_H
#define FS_ISO9660_H

#include "medium/view.h"

#define ISO9660_SECTOR       2048
#define ELTORITO_ENTRIES_MAX 32 /* real catalogs have one to four */

#define ELTORITO_BIOS 0x00
#define ELTORITO_EFI  0xef

/** struct eltorito_entry - one image that firmware may start from a disc */
struct eltorito_entry {
	uint8_t platform;
	bool bootable;
	uint8_t emulation; /* 0 = none, 1-3 = floppy, 4 = hard disk */
	uint64_t offset;   /* bytes from the start of the disc */
	uint32_t len;      /* bytes that the firmware loads */
};

/**
 * struct iso9660 - what the descriptors say
 * @present:  a primary volume descriptor
 * @joliet, @udf: a Joliet tree, a UDF recognition sequence (NSR02, NSR03) too
 * @label:    volume identifier without trailing spaces
 * @volume_size: bytes
 * @root_offset, @root_size: the root directory, bytes
 * @eltorito: a boot record points at a catalog
 * @catalog_known: it could be read and its checksum is right; @boot is all of it
 */
struct iso9660 {
	bool present, joliet, udf;
	char label[33];
	uint64_t volume_size;
	uint32_t block_size;
	uint64_t root_offset, root_size;
	bool eltorito, catalog_known;
	uint64_t catalog_offset;
	struct eltorito_entry boot[ELTORITO_ENTRIES_MAX];
	size_t n_boot;
};

/** iso9660_read() - Return: 0 (look at @present and @udf), -ENOMEM, -ECANCELED */
int iso9660_read(const struct view *v, struct iso9660 *ret);

#endif
