/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Partition tables, read and never written: GPT, DOS (MBR), Apple partition map. What is damaged is
 * noted, not refused, as long as something can still be said about the disk. */
#ifndef TABLE_TABLE_H
#define TABLE_TABLE_H

#include "base/bytes.h"
#include "base/error.h"
#include "medium/view.h"

/* A GPT may have any number of entries; Linux reads tables up to 4 MiB, and no tool makes more
 * than a few thousand entries. */
#define TABLE_ENTRIES_MAX   16384
#define TABLE_GPT_BYTES_MAX (4 * MIB)
#define TABLE_NOTES_MAX     64 /* a hostile table must not make us talk without end */

enum table_type { TABLE_NONE, TABLE_GPT, TABLE_DOS, TABLE_APM };

/**
 * struct table_entry - one partition
 * @number:   as Linux counts them
 * @offset, @size: bytes from the start of the disk; offset + size never overflows
 * @type:     GUID in lower case, "0x83", or the name in an Apple map
 * @name:     UTF-8, may hold control characters; NULL = none
 * @uuid:     as Linux shows it (PARTUUID); "" = none
 * @flags:    GPT attributes, MBR boot byte, Apple status
 * @bootable: active (DOS), legacy BIOS bootable (GPT), bootable (Apple)
 * @logical:  inside an extended partition
 * @extended: the container itself, not data
 * @outside:  does not end before the disk does
 */
struct table_entry {
	unsigned number;
	uint64_t offset, size;
	char type[40];
	char *name;
	char uuid[40];
	uint64_t flags;
	bool bootable, logical, extended, outside;
};

/** struct table_region - bytes that belong to the table itself; @what is a constant: "gpt header"
 */
struct table_region {
	uint64_t offset, len;
	const char *what;
};

/**
 * struct table - one partition table
 * @sector_size: the unit that its numbers were read with
 * @stated_sector_size: what the disk itself says its sectors are, by the place of its table or its
 * file system; 0 = it says nothing
 * @id:       disk GUID, DOS disk signature "0x1234abcd", or ""
 * @damaged:  no copy passed its checks; what entries there are cannot be trusted
 * @partial:  part of it could not be looked at (unreadable, or behind the head of a forward source)
 * @protective: DOS: an entry of type 0xee announces a GPT
 * @boot_code: DOS: the sector begins with code
 * @notes:    sentences about what is odd
 * @also:     another table on the same disk (hybrid ISOs, hybrid MBR); owned; NULL
 */
struct table {
	enum table_type type;
	uint32_t sector_size;
	uint32_t stated_sector_size;
	char id[40];
	bool damaged, partial, protective, boot_code;
	struct table_entry *entries;
	size_t n, room;
	struct table_region *regions;
	size_t n_regions;
	char **notes;
	size_t n_notes;
	struct table *also;
};

/**
 * table_read() - the partition table of a disk; a disk without one gives type TABLE_NONE
 * The table that Linux would use comes first, others behind it in @also.
 * Return: 0, -ENOMEM, -ECANCELED. What cannot be read is a note.
 */
int table_read(struct medium *m, struct table **ret, struct ism_error *err);
/** table_read_head() - the same of a disk of which only the first bytes are at hand, 64 KiB or more
 * @disk_size: bytes, or ISM_SIZE_UNKNOWN */
int table_read_head(struct span head, uint64_t disk_size, struct table **ret,
                    struct ism_error *err);
/** table_read_view() - what both of them are made of */
int table_read_view(const struct view *v, struct table **ret, struct ism_error *err);
struct table *table_free(struct table *t);
void table_freep(struct table **t);

/** table_type_name() - "gpt", "dos", "apm", "none", as blkid names them */
const char *table_type_name(enum table_type type);
/** table_entry_type_name() - the usual name of an entry's type, for people; NULL = not known */
const char *table_entry_type_name(const struct table *t, const struct table_entry *e);
/** table_has_esp() - an entry of @t or of @t->also is an EFI system partition; *ret may be NULL */
bool table_has_esp(const struct table *t, const struct table_entry **ret);

#endif
