/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the readers of partition tables share; nobody else includes it. */
#ifndef TABLE_READER_H
#define TABLE_READER_H

#include "table/table.h"

struct table *table_new(enum table_type type, uint32_t sector_size);
/** table_add() - a new zeroed entry; NULL when out of memory */
struct table_entry *table_add(struct table *t);
/** table_add_region() - ranges of length 0 are left out */
int table_add_region(struct table *t, uint64_t offset, uint64_t len, const char *what);
int table_note(struct table *t, const char *fmt, ...) ISM_PRINTF(2, 3);
/** table_check() - mark and note entries that overlap or leave the disk */
int table_check(struct table *t, uint64_t disk_size);
/** table_place() - first and count in units into bytes; false = no disk is that large */
bool table_place(struct table_entry *e, uint64_t first, uint64_t count, uint32_t unit);

/**
 * gpt_read() - both copies of a GUID partition table
 * @announced: the MBR says that there is one, so that its absence is damage
 * Return: 1 with *ret, 0 no trace of one, -ENOMEM, -ECANCELED.
 */
int gpt_read(const struct view *v, bool announced, struct table **ret);
/** gpt_leftover() - neither announced nor at its place, yet the last sector holds a backup of one:
 * bytes per sector of it, else 0 */
uint32_t gpt_leftover(const struct view *v);
/**
 * mbr_read() - DOS partition table with logical partitions
 * @unit: bytes per sector; 0 = find out
 * Return: as gpt_read().
 */
int mbr_read(const struct view *v, uint32_t unit, struct table **ret);
/** mbr_announces_gpt() - sector 0 has an entry of type 0xee */
bool mbr_announces_gpt(const struct view *v);
/** apm_read() - Apple partition map; returns as gpt_read() */
int apm_read(const struct view *v, struct table **ret);

/** guid_text() - as people write it: the first three fields of the 16 bytes are little-endian */
void guid_text(const uint8_t guid[16], char ret[static 37]);

#endif
