/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the inspection of a whole image: tables, ISO 9660, El Torito, UDF, FAT. What matters is
 * spread over a mebibyte of zeros, so the input is a list of records: the number of a sector of
 * 2048 bytes (16 bits, little-endian) and its content. */
#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "boot/media.h"
#include "medium/memory.h"

#define SECTOR  2048
#define SECTORS 1024
#define RECORD  (2 + SECTOR)

static void inspect(struct span head, uint64_t size, struct medium *m)
{
	struct media_facts f;
	struct media_advice a;

	if (media_detect(head, size, m, &f, NULL) < 0)
		return;
	if (media_advice(&f, &a, NULL) == 0) {
		if (f.windows == MEDIA_YES || f.disk.uefi_x64 == MEDIA_YES || f.iso.n_boot)
			fuzz_accepted();
		media_advice_clear(&a);
	}
	(void)media_check_raw(&f, "image", NULL);
	media_facts_clear(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len = (size_t)SECTOR * SECTORS;
	uint8_t *disk = calloc(1, len);
	struct medium *m = NULL;

	if (!disk)
		return 0;
	for (size_t at = 0; at + 2 < size; at += RECORD) {
		size_t n = MIN(size - at - 2, (size_t)SECTOR);

		memcpy(disk + (size_t)(le16_at(data + at) % SECTORS) * SECTOR, data + at + 2, n);
	}
	if (medium_memory(disk, len, false, &m, NULL) == 0)
		inspect((struct span){ NULL, 0 }, len, m);
	medium_close(m);
	inspect((struct span){ disk, len / 4 }, ISM_SIZE_UNKNOWN, NULL);
	free(disk);
	return 0;
}
