/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a zip file, read by its directory and as a stream. */
#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "format/format.h"
#include "medium/memory.h"

#define READ_MAX (4 << 20) /* a small zip may unpack to a large image */

static bool read_member(struct medium *m)
{
	static uint8_t buf[64 * 1024];
	uint64_t offset = 0;
	size_t n = 1;

	while (n && offset < READ_MAX) {
		if (medium_read(m, buf, sizeof(buf), offset, &n, NULL) < 0)
			return false;
		offset += n;
	}
	if (n == 0 && m->size != ISM_SIZE_UNKNOWN && offset != m->size)
		abort();
	return true;
}

static void try_zip(const uint8_t *data, size_t size, bool forward)
{
	const struct ism_open_options options = { .threads = 1 };
	_medium_ struct medium *carrier = NULL, *m = NULL;

	if (medium_memory(data, size, forward, &carrier, NULL) < 0 ||
	    format_driver_zip.open(carrier, &options, &m, NULL) < 0)
		return;
	carrier = NULL;
	free(format_driver_zip.detail(m));
	if (read_member(m))
		fuzz_accepted();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_zip(data, size, false);
	try_zip(data, size, true);
	return 0;
}
