/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Undo files: the index, every extent, every kept byte. */
#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "format/format.h"
#include "format/undo.h"
#include "medium/memory.h"

static void read_all(struct medium *m)
{
	struct ism_extent e;

	for (uint64_t at = 0; at < m->size; at = e.offset + e.len) {
		_free_ uint8_t *buf = NULL;
		size_t n = 0;

		if (medium_next_extent(m, at, &e, NULL) < 0 || e.len == 0)
			abort(); /* extents never leave a gap */
		if (e.kind != ISM_EXTENT_DATA)
			continue;
		if (e.len > UNDO_LEN_MAX)
			abort();
		buf = malloc((size_t)e.len);
		if (buf)
			medium_read(m, buf, (size_t)e.len, e.offset, &n, NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ism_open_options options = { .threads = 1 };
	struct medium *file = NULL, *m = NULL;

	if (medium_memory(data, size, false, &file, NULL) < 0)
		return 0;
	if (format_driver_undo.open(file, &options, &m, NULL) < 0) {
		medium_close(file);
		return 0;
	}
	fuzz_accepted();
	read_all(m);
	medium_close(m);
	return 0;
}
