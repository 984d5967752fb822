/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the reader of btrfs allocation maps. */
#include "fs/fuzz_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_map(&fs_driver_btrfs, data, size);
}
