/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the GPT reader: as a disk of known size, as the head of a longer one, and with checksums
 * mended, without which random bytes would never get past the header. */
#include <stdlib.h>
#include <zlib.h>

#include "../../fuzz/fuzz.h"
#include "medium/memory.h"
#include "table/reader.h"

static void read_one(const struct view *v)
{
	struct table *t = NULL;

	if (gpt_read(v, true, &t) == 1 && !t->damaged && t->n)
		fuzz_accepted();
	table_free(t);
}

static void read_whole(const uint8_t *data, size_t size)
{
	struct medium *m = NULL;

	if (medium_memory(data, size, false, &m, NULL) == 0) {
		struct view whole = view_on(m, (struct span){ NULL, 0 });

		read_one(&whole);
	}
	medium_close(m);
}

static uint32_t get32(const uint8_t *p)
{
	le32 v;

	memcpy(&v, p, sizeof(v));
	return le32_get(v);
}

static void put32(uint8_t *p, uint32_t v)
{
	le32 raw = le32_of(v);

	memcpy(p, &raw, sizeof(raw));
}

/* Make the checksums of the copy in sector @lba right, as far as its fields make sense. */
static void mend(uint8_t *data, size_t size, size_t lba)
{
	uint8_t *h = data + lba * 512;
	uint32_t n = get32(h + 80), entry = get32(h + 84), len = get32(h + 12);
	uint64_t at = (uint64_t)get32(h + 72) * 512, bytes = (uint64_t)n * entry;

	if (at <= size && bytes <= size - at)
		put32(h + 88, (uint32_t)crc32(0, data + at, (uInt)bytes));
	if (len <= 512) {
		put32(h + 16, 0);
		put32(h + 16, (uint32_t)crc32(0, h, len));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view part = { { data, size }, NULL, ISM_SIZE_UNKNOWN };
	uint8_t *mended;

	read_one(&part);
	read_whole(data, size);
	if (size < 1024 || size > MIB)
		return 0;
	mended = malloc(size);
	if (!mended)
		return 0;
	memcpy(mended, data, size);
	mend(mended, size, 1);
	mend(mended, size, size / 512 - 1);
	read_whole(mended, size);
	free(mended);
	return 0;
}
