/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the maps of ext file systems and swap areas. The input is the head of a medium that goes
 * on with zeros; once as it is, once with the superblock's checksum mended. */
#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "fs/ext.h"
#include "fs/verdict.h"

#define MEDIUM_SIZE (64 * MIB)

static int padded_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	const struct span *head = m->priv;
	size_t n = 0;

	(void)err;
	*ret_len = offset < m->size ? (size_t)MIN((uint64_t)len, m->size - offset) : 0;
	if (offset < head->len)
		n = MIN(*ret_len, head->len - (size_t)offset);
	if (n)
		memcpy(buf, head->p + offset, n);
	memset((uint8_t *)buf + n, 0, *ret_len - n);
	return 0;
}

static void padded_close(struct medium *m)
{
	(void)m;
}

static const struct medium_ops padded_ops = {
	.name = "padded",
	.read = padded_read,
	.close = padded_close,
};

/* A finished map is sorted, its runs apart and within the medium. */
static void check_map(const struct fs_map *map)
{
	uint64_t end = 0;

	for (size_t i = 0; i < map->n; i++) {
		const struct fs_run *run = &map->runs[i];

		if (!run->len || (i && run->offset <= end) || run->offset >= map->size ||
		    run->len > map->size - run->offset)
			abort();
		end = run->offset + run->len;
	}
}

static void read_map(struct span head, const char *type)
{
	struct medium *m = medium_new(&padded_ops, "fuzz");
	struct fs_facts facts;
	struct fs_map map;

	if (!m)
		return;
	m->priv = &head;
	m->size = MEDIUM_SIZE;
	if (fs_map_read(m, type, &map, &facts, NULL) == 0) {
		check_map(&map);
		if (!facts.all_used)
			fuzz_accepted();
		fs_map_clear(&map);
		fs_facts_clear(&facts);
	}
	medium_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t csum = EXT_SUPER_OFFSET + 0x3fc;
	uint8_t *mended;
	le32 crc;

	read_map((struct span){ data, size }, "ext4");
	read_map((struct span){ data, size }, "swap");
	if (size < EXT_SUPER_OFFSET + EXT_SUPER_LEN || size > MIB)
		return 0;
	mended = malloc(size);
	if (!mended)
		return 0;
	memcpy(mended, data, size);
	crc = le32_of(fs_crc32c(UINT32_MAX, data + EXT_SUPER_OFFSET, 0x3fc));
	memcpy(mended + csum, &crc, sizeof(crc));
	read_map((struct span){ mended, size }, "ext4");
	free(mended);
	return 0;
}
