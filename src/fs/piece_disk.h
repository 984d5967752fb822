/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A few bytes as a mostly empty disk, so that small seeds of fuzzers and tests can hold large file
 * systems. Layout: size of the disk in blocks of 512 bytes u32, number of pieces u32, then for each
 * its first block and its count of blocks u32, u32; then the bytes of the pieces. The rest reads as
 * zeros. */
#ifndef FS_PIECE_DISK_H
#define FS_PIECE_DISK_H

#include "base/bytes.h"
#include "medium/medium.h"

#define PIECE_BLOCK 512
#define PIECES_MAX  64

struct piece_disk {
	struct span table, bytes;
	uint32_t n;
	uint64_t bad_block; /* cannot be read; UINT64_MAX = none */
};

/* The piece that block @no lies in; NULL if it is empty. */
static const uint8_t *piece_block(const struct piece_disk *d, uint64_t no)
{
	uint64_t at = 0;

	for (uint32_t i = 0; i < d->n; i++) {
		uint64_t first = le32_at(d->table.p + 8 * i);
		uint64_t n = le32_at(d->table.p + 8 * i + 4);
		struct span found;

		if (no >= first && no - first < n)
			return span_sub(d->bytes, at + (no - first) * PIECE_BLOCK, PIECE_BLOCK,
			                &found)
			               ? found.p
			               : NULL;
		at += n * PIECE_BLOCK;
	}
	return NULL;
}

static int piece_disk_read(struct medium *m, void *buf, size_t len, uint64_t offset,
                           size_t *ret_len, struct ism_error *err)
{
	const struct piece_disk *d = m->priv;
	size_t within = (size_t)(offset % PIECE_BLOCK);

	*ret_len = 0;
	if (offset >= m->size)
		return 0;
	len = (size_t)MIN((uint64_t)len, m->size - offset);
	if (d->bad_block >= offset / PIECE_BLOCK &&
	    d->bad_block <= (offset + len - 1) / PIECE_BLOCK)
		return ism_error_set(err, -EIO, m->name, d->bad_block * PIECE_BLOCK, "bad block");
	for (size_t done = 0, n; done < len; done += n, within = 0) {
		const uint8_t *block = piece_block(d, (offset + done) / PIECE_BLOCK);

		n = MIN(len - done, PIECE_BLOCK - within);
		if (block)
			memcpy((uint8_t *)buf + done, block + within, n);
		else
			memset((uint8_t *)buf + done, 0, n);
	}
	*ret_len = len;
	return 0;
}

static const struct medium_ops piece_disk_ops = { .name = "pieces", .read = piece_disk_read };

/* @d and @m over @data, both on the caller's stack. Return: false = it is no such disk. */
static inline bool piece_disk_open(const uint8_t *data, size_t size, struct piece_disk *d,
                                   struct medium *m)
{
	if (size < 8)
		return false;
	*d = (struct piece_disk){ .bytes = { data, size }, .bad_block = UINT64_MAX };
	d->n = MIN(le32_at(data + 4), (uint32_t)PIECES_MAX);
	*m = (struct medium){
		.ops = &piece_disk_ops, .priv = d, .name = (char *)"pieces", .fd = -1
	};
	/* 128 GiB at most: more only takes longer. */
	m->size = (uint64_t)(le32_at(data) & 0xfffffff) * PIECE_BLOCK;
	return span_sub(d->bytes, 8, 8ULL * d->n, &d->table) &&
	       span_sub(d->bytes, 8 + 8ULL * d->n, size - 8 - 8ULL * d->n, &d->bytes);
}

#endif
