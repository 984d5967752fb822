/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What drivers of allocation maps share: bitmaps to runs, cross-checks, and sentences for
 * facts->why. */
#ifndef FS_MAP_BITS_H
#define FS_MAP_BITS_H

#include "base/bytes.h"
#include "fs/map.h"

/**
 * map_add_bits() - what a bitmap calls used
 * @bits:   least significant bit first, 1 = used; bit number @first is the first one looked at
 * @n:      bits to look at
 * @offset: bytes from the start of the file system to what the bit @first speaks of
 * @unit:   bytes a bit
 * Return: 0, -ENOMEM.
 */
int map_add_bits(struct fs_map *map, const uint8_t *bits, uint64_t first, uint64_t n,
                 uint64_t offset, uint64_t unit);
/** map_covers() - all of [offset, offset + len) is in use; @map was filled in ascending order, or
 * is finished */
bool map_covers(const struct fs_map *map, uint64_t offset, uint64_t len);

/** map_note() - add a sentence to @facts->why. Return: 0, -ENOMEM */
int map_note(struct fs_facts *facts, const char *fmt, ...) ISM_PRINTF(2, 3);
/** map_give_up() - all is used, and why: for a driver to return. Return: 0, -ENOMEM */
int map_give_up(struct fs_facts *facts, enum fs_state state, const char *fmt, ...) ISM_PRINTF(3, 4);

/** text_utf16le() - @n little-endian UTF-16 units as UTF-8, to the first 0; what is not valid
 * becomes '?'; NULL when out of memory */
char *text_utf16le(const uint8_t *units, size_t n);

#endif
