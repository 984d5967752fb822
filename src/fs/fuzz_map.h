/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The map of a fuzzer's input, which is a disk of pieces; it is checked to be in order and within
 * its disk. */
#ifndef FS_FUZZ_MAP_H
#define FS_FUZZ_MAP_H

#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "fs/map.h"
#include "fs/piece_disk.h"

static int fuzz_map(const struct fs_driver *driver, const uint8_t *data, size_t size)
{
	struct piece_disk d;
	struct medium m;
	struct fs_map map = { 0 };
	struct fs_facts facts = { 0 };

	if (!piece_disk_open(data, size, &d, &m))
		return 0;
	if (fs_map_read(&m, driver->types[0], &map, &facts, NULL) < 0)
		abort();
	for (size_t i = 0; i < map.n; i++)
		if (!map.runs[i].len || map.runs[i].offset + map.runs[i].len > m.size ||
		    (i && map.runs[i].offset <= map.runs[i - 1].offset + map.runs[i - 1].len))
			abort();
	if (!facts.all_used)
		fuzz_accepted();
	fs_map_clear(&map);
	fs_facts_clear(&facts);
	return 0;
}

#endif
