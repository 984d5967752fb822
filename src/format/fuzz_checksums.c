/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a checksum file; what is found must be a whole checksum. */
#include <stdlib.h>
#include <string.h>

#include "../../fuzz/fuzz.h"
#include "format/checksums.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ism_error err = { 0 };
	struct checksum_entry e;

	if (checksums_find("fuzz", data, size, "a.iso", &e, &err) == 0) {
		if (strlen(e.hex) < 64 || strspn(e.hex, "0123456789abcdef") != strlen(e.hex))
			abort();
		fuzz_accepted();
	}
	ism_error_clear(&err);
	return 0;
}
