/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a bmap file; what is taken must be in order and inside its image. */
#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "format/bmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bmap map = { 0 };
	uint64_t end = 0;

	if (bmap_parse(data, size, "fuzz", &map, NULL) < 0)
		return 0;
	for (size_t i = 0; i < map.n; i++) {
		if (map.ranges[i].offset < end || map.ranges[i].len == 0)
			abort();
		end = map.ranges[i].offset + map.ranges[i].len;
	}
	if (end > map.image_size)
		abort();
	bmap_clear(&map);
	fuzz_accepted();
	return 0;
}
