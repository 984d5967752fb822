/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzz target: the bytes are a .bz2 file. */
#include "format/fuzz_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_decode(&format_driver_bz2, data, size);
}
