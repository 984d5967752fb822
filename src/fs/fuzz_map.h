/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A fuzzer's input as a mostly empty disk, so that small seeds can hold large file systems. Layout:
 * size of the disk in blocks of 512 bytes u32, number of pieces u32, then for each its first block
 * and its count of blocks u32, u32; then the bytes of the pieces. The rest reads as zeros. */
#ifndef FS_FUZZ_MAP_H
#define FS_FUZZ_MAP_H

#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "base/bytes.h"
#include "fs/map.h"

#define FUZZ_BLOCK      512
#define FUZZ_PIECES_MAX 64

struct fuzz_disk {
	struct span table, bytes;
	uint32_t n;
};

/* The piece that block @no lies in; NULL if it is empty. */
static const uint8_t *fuzz_block(const struct fuzz_disk *d, uint64_t no)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < d->n; i++) {
		uint64_t first = le32_at(d->table.p + 8 * i);
		uint64_t n = le32_at(d->table.p + 8 * i + 4);
		struct span found;

		if (no >= first && no - first < n)
			return span_sub(d->bytes, at + (no - first) * FUZZ_BLOCK, FUZZ_BLOCK,
			                &found)
			               ? found.p
			               : NULL;
		at += n * FUZZ_BLOCK;
	}
	return NULL;
}

static int fuzz_disk_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                          struct ism_error *err)
{
	const struct fuzz_disk *d = m->priv;
	size_t within = (size_t)(offset % FUZZ_BLOCK);

	(void)err;
	*ret_len = 0;
	if (offset >= m->size)
		return 0;
	len = (size_t)MIN((uint64_t)len, m->size - offset);
	for (size_t done = 0, n; done < len; done += n, within = 0) {
		const uint8_t *block = fuzz_block(d, (offset + done) / FUZZ_BLOCK);

		n = MIN(len - done, FUZZ_BLOCK - within);
		if (block)
			memcpy((uint8_t *)buf + done, block + within, n);
		else
			memset((uint8_t *)buf + done, 0, n);
	}
	*ret_len = len;
	return 0;
}

static const struct medium_ops fuzz_disk_ops = { .name = "fuzz", .read = fuzz_disk_read };

/* The map of one input; it is checked to be in order and within its disk. */
static int fuzz_map(const struct fs_driver *driver, const uint8_t *data, size_t size)
{
	struct fuzz_disk d = { .bytes = { data, size } };
	struct medium m = { .ops = &fuzz_disk_ops, .priv = &d, .name = (char *)"fuzz", .fd = -1 };
	struct fs_map map = { 0 };
	struct fs_facts facts = { 0 };

	if (size < 8)
		return 0;
	/* 128 GiB at most: more only takes longer. */
	m.size = (uint64_t)(le32_at(data) & 0xfffffff) * FUZZ_BLOCK;
	d.n = MIN(le32_at(data + 4), (uint32_t)FUZZ_PIECES_MAX);
	if (!span_sub(d.bytes, 8, 8ULL * d.n, &d.table) ||
	    !span_sub(d.bytes, 8 + 8ULL * d.n, size - 8 - 8ULL * d.n, &d.bytes))
		return 0;
	if (fs_map_read(&m, driver->types[0], &map, &facts, NULL) < 0)
		abort();
	for (size_t i = 0; i < map.n; i++)
		if (!map.runs[i].len || map.runs[i].offset + map.runs[i].len > m.size ||
		    (i && map.runs[i].offset <= map.runs[i - 1].offset + map.runs[i - 1].len))
			abort();
	if (!facts.all_used)
		fuzz_accepted();
	fs_map_clear(&map);
	fs_facts_clear(&facts);
	return 0;
}

#endif
