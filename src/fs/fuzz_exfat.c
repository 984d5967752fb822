/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the reader of exFAT allocation maps, as the bytes are and with the checksum of the boot
 * region mended, without which random bytes would never get past it. */
#include "fs/fuzz_map.h"

#define BOOT_LEN ((size_t)12 * PIECE_BLOCK)

/* The first piece of the disk, if it is the boot region of 512-byte sectors: where it begins. */
static size_t boot_region(const uint8_t *data, size_t size)
{
	size_t at = 8 + 8 * (size_t)MIN(le32_at(data + 4), (uint32_t)PIECES_MAX);

	return size >= 16 && at < size && size - at >= BOOT_LEN && le32_at(data + 8) == 0 ? at : 0;
}

static void mend(uint8_t *region)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < 11 * PIECE_BLOCK; i++)
		if (i != 106 && i != 107 && i != 112)
			sum = (sum << 31 | sum >> 1) + region[i];
	for (size_t i = 11 * PIECE_BLOCK; i < BOOT_LEN; i += 4) {
		le32 raw = le32_of(sum);

		memcpy(region + i, &raw, sizeof(raw));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t boot = size >= 8 ? boot_region(data, size) : 0;
	uint8_t *mended;

	fuzz_map(&fs_driver_exfat, data, size);
	mended = boot ? malloc(size) : NULL;
	if (!mended)
		return 0;
	memcpy(mended, data, size);
	mend(mended + boot);
	fuzz_map(&fs_driver_exfat, mended, size);
	free(mended);
	return 0;
}
