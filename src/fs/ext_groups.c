/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Group descriptors and block bitmaps of ext2, ext3 and ext4. Spec: kernel documentation, ext4
 * "Block Group Descriptors", "Block and Inode Bitmaps", "Meta Block Groups", "Bigalloc". */
#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/ext.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define DESC_BLOCK_UNINIT 0x2

struct block_run {
	uint64_t first, n;
};

int ext_read(const struct ext *e, void *buf, size_t len, uint64_t offset)
{
	size_t n = 0;
	int r = medium_read(e->m, buf, len, offset, &n, NULL);

	if (medium_stopped(e->m))
		return -ECANCELED;
	if (r < 0)
		return r;
	return n < len ? -ENODATA : 0;
}

static int fill_window(struct ext *e, struct ext_window *w, uint64_t block, uint32_t n)
{
	const uint32_t size = e->s.block_size;
	int r;

	if (!w->buf)
		w->buf = medium_buffer(EXT_WINDOW_LEN);
	if (!w->buf)
		return -ENOMEM;
	n = MIN(n, (uint32_t)(EXT_WINDOW_LEN / size));
	n = (uint32_t)MIN((uint64_t)n, e->s.blocks - block);
	w->n = 0;
	r = ext_read(e, w->buf, (size_t)n * size, block * size);
	if (r < 0 && n > 1 && !view_fatal(r)) { /* one of them is bad; perhaps another one */
		n = 1;
		r = ext_read(e, w->buf, size, block * size);
	}
	if (r < 0)
		return r;
	w->first = block;
	w->n = n;
	return 0;
}

/* A block that the journal replaces. */
static int overlay_block(struct ext *e, const struct ext_tag *tag, const uint8_t **ret)
{
	static const uint8_t magic[4] = { 0xc0, 0x3b, 0x39, 0x98 };
	int r;

	if (!e->overlay)
		e->overlay = medium_buffer(e->s.block_size);
	if (!e->overlay)
		return -ENOMEM;
	r = ext_read(e, e->overlay, e->s.block_size, tag->copy * e->s.block_size);
	if (r < 0)
		return r;
	if (tag->escaped)
		memcpy(e->overlay, magic, sizeof(magic));
	*ret = e->overlay;
	return 0;
}

int ext_block(struct ext *e, struct ext_window *w, uint64_t block, uint32_t ahead,
              const uint8_t **ret)
{
	const struct ext_tag *tag = e->replay ? ext_replay_find(e->replay, block) : NULL;
	int r;

	if (block >= e->s.blocks)
		return -EBADMSG;
	if (tag)
		return overlay_block(e, tag, ret);
	if (block < w->first || block - w->first >= w->n) {
		r = fill_window(e, w, block, ahead);
		if (r < 0)
			return r;
	}
	*ret = w->buf + (block - w->first) * e->s.block_size;
	return 0;
}

static uint64_t group_first(const struct ext_super *s, uint32_t group)
{
	return s->first_data_block + (uint64_t)group * s->blocks_per_group;
}

static uint64_t group_blocks(const struct ext_super *s, uint32_t group)
{
	return MIN((uint64_t)s->blocks_per_group, s->blocks - group_first(s, group));
}

/* With 1 KiB blocks that count from 0 the boot block comes before the first superblock. */
static uint32_t super_shift(const struct ext_super *s, uint32_t group)
{
	return group == 0 && s->block_size == 1024 && s->first_data_block == 0;
}

/* Where block @i of the descriptors lies. */
static uint64_t desc_block(const struct ext_super *s, uint32_t i)
{
	uint32_t group = i * s->desc_per_block;

	if (i < s->old_desc_blocks)
		return EXT_SUPER_OFFSET / s->block_size + 1 + (uint64_t)i;
	return group_first(s, group) + ext_has_super(s, group) + super_shift(s, group);
}

static bool desc_csum_ok(const struct ext_super *s, uint32_t group, const uint8_t *d)
{
	const uint16_t stored = le16_at(d + 0x1e);
	const le32 number = le32_of(group);
	const uint8_t none[2] = { 0 };

	if (s->ro_compat & EXT_RO_METADATA_CSUM) {
		uint32_t crc = fs_crc32c(s->csum_seed, &number, sizeof(number));

		crc = fs_crc32c(crc, d, 0x1e);
		crc = fs_crc32c(crc, none, sizeof(none));
		crc = fs_crc32c(crc, d + 0x20, s->desc_size - 0x20);
		return (crc & 0xffff) == stored;
	}
	if (s->ro_compat & EXT_RO_GDT_CSUM) {
		uint16_t crc = ext_crc16(UINT16_MAX, s->uuid, sizeof(s->uuid));

		crc = ext_crc16(crc, &number, sizeof(number));
		crc = ext_crc16(crc, d, 0x1e);
		return ext_crc16(crc, d + 0x20, s->desc_size - 0x20) == stored;
	}
	return true;
}

static bool blocks_inside(const struct ext_super *s, uint64_t first, uint64_t n)
{
	return first > s->first_data_block && first < s->blocks && n <= s->blocks - first;
}

/* Without flex_bg a group's own metadata lies in it. */
static bool places_ok(const struct ext_super *s, uint32_t group, const struct ext_group *g)
{
	uint64_t from = group_first(s, group), n = group_blocks(s, group);

	if (!blocks_inside(s, g->block_bitmap, 1) || !blocks_inside(s, g->inode_bitmap, 1) ||
	    !blocks_inside(s, g->inode_table, s->itable_blocks))
		return false;
	if (s->incompat & EXT_INCOMPAT_FLEX_BG)
		return true;
	return g->block_bitmap - from < n && g->inode_bitmap - from < n &&
	       g->inode_table - from < n && s->itable_blocks <= n - (g->inode_table - from);
}

int ext_group_read(struct ext *e, uint32_t group, struct ext_group *ret)
{
	const struct ext_super *s = &e->s;
	uint32_t i = group / s->desc_per_block;
	bool wide = s->desc_size >= 64;
	const uint8_t *d;
	int r = ext_block(e, &e->desc_window, desc_block(s, i),
	                  i < s->old_desc_blocks ? s->old_desc_blocks - i : 1, &d);

	if (r < 0)
		return view_fatal(r) ? r : 0;
	d += (size_t)(group % s->desc_per_block) * s->desc_size;
	if (!desc_csum_ok(s, group, d))
		return 0;
	*ret = (struct ext_group){
		.block_bitmap = le32_at(d) | (wide ? (uint64_t)le32_at(d + 0x20) << 32 : 0),
		.inode_bitmap = le32_at(d + 4) | (wide ? (uint64_t)le32_at(d + 0x24) << 32 : 0),
		.inode_table = le32_at(d + 8) | (wide ? (uint64_t)le32_at(d + 0x28) << 32 : 0),
		.free_clusters = le16_at(d + 0xc) | (wide ? (uint32_t)le16_at(d + 0x2c) << 16 : 0),
		.bitmap_csum = le16_at(d + 0x18) | (wide ? (uint32_t)le16_at(d + 0x38) << 16 : 0),
		.block_uninit = s->has_csum && (le16_at(d + 0x12) & DESC_BLOCK_UNINIT),
	};
	return places_ok(s, group, ret);
}

int ext_add_blocks(struct ext *e, uint64_t first, uint64_t n)
{
	const struct ext_super *s = &e->s;
	uint64_t from = round_down_u64(first - s->first_data_block, s->cluster_blocks);
	uint64_t to = round_up_u64(first - s->first_data_block + n, s->cluster_blocks);

	return fs_map_add(e->map, (s->first_data_block + from) * s->block_size,
	                  (to - from) * s->block_size);
}

static int flush_run(struct ext *e, struct block_run *run)
{
	int r = run->n ? ext_add_blocks(e, run->first, run->n) : 0;

	run->n = 0;
	return r;
}

static int add_to_run(struct ext *e, struct block_run *run, uint64_t first, uint64_t n)
{
	int r = 0;

	if (run->n && run->first + run->n == first) {
		run->n += n;
		return 0;
	}
	r = flush_run(e, run);
	*run = (struct block_run){ first, n };
	return r;
}

/* What a group holds by its number alone: superblock, descriptors, room for more of them. */
static int add_copies(struct ext *e, uint32_t group)
{
	const struct ext_super *s = &e->s;
	const uint32_t meta = group / s->desc_per_block, in_meta = group % s->desc_per_block;
	const uint32_t before = super_shift(s, group) + ext_has_super(s, group);
	uint64_t n = 0;

	if (ext_has_super(s, group))
		n = before + (uint64_t)s->old_desc_blocks + s->reserved_gdt;
	/* of a meta group's one block of descriptors there are three copies */
	if (meta >= s->old_desc_blocks && (in_meta <= 1 || in_meta == s->desc_per_block - 1))
		n = MAX(n, before + (uint64_t)1);
	n = MIN(n, group_blocks(s, group));
	return n ? ext_add_blocks(e, group_first(s, group), n) : 0;
}

/* Bitmaps and inode tables, which under flex_bg lie in any group: so a group whose bitmap is not
 * initialised has nothing in use but what is added here. */
static int add_metadata(struct ext *e)
{
	struct block_run runs[3] = { 0 };
	int r = 0;

	for (uint32_t group = 0; group < e->s.groups && r >= 0; group++) {
		struct ext_group g;

		r = add_copies(e, group);
		if (r >= 0)
			r = ext_group_read(e, group, &g);
		if (r == 0 && !e->lenient)
			e->bad_descs++;
		if (r <= 0)
			continue;
		r = add_to_run(e, &runs[0], g.block_bitmap, 1);
		if (r >= 0)
			r = add_to_run(e, &runs[1], g.inode_bitmap, 1);
		if (r >= 0)
			r = add_to_run(e, &runs[2], g.inode_table, e->s.itable_blocks);
	}
	for (size_t i = 0; i < ARRAY_LEN(runs) && r >= 0; i++)
		r = flush_run(e, &runs[i]);
	return r;
}

/* The next bit of this value in [from, n); n if there is none. */
static uint32_t next_bit(const uint8_t *bits, uint32_t from, uint32_t n, bool value)
{
	const uint8_t skip = value ? 0 : 0xff;
	uint64_t word;

	while (from < n) {
		if (from % 64 == 0 && n - from >= 64) {
			memcpy(&word, bits + from / 8, sizeof(word));
			if (word == (value ? 0 : UINT64_MAX)) {
				from += 64;
				continue;
			}
		}
		if (from % 8 == 0 && n - from >= 8 && bits[from / 8] == skip)
			from += 8;
		else if ((bits[from / 8] >> (from % 8) & 1) == value)
			return from;
		else
			from++;
	}
	return n;
}

static uint32_t count_free(const uint8_t *bits, uint32_t n)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < n / 8; i++)
		used += (uint32_t)__builtin_popcount(bits[i]);
	for (uint32_t i = n & ~7u; i < n; i++)
		used += bits[i / 8] >> (i % 8) & 1;
	return n - used;
}

/* May the bitmap be believed? What it calls free must at least be free in the descriptor's count
 * too. */
static bool bitmap_ok(struct ext *e, const struct ext_group *g, const uint8_t *bits, uint32_t n)
{
	const struct ext_super *s = &e->s;
	uint32_t free_bits = count_free(bits, n);

	if (e->lenient)
		return true;
	if (s->ro_compat & EXT_RO_METADATA_CSUM) {
		uint32_t crc = fs_crc32c(s->csum_seed, bits, s->clusters_per_group / 8);
		uint32_t mask = s->desc_size >= 64 ? UINT32_MAX : UINT16_MAX;

		if ((crc & mask) != g->bitmap_csum) {
			e->bad_bitmaps++;
			return false;
		}
	}
	if (free_bits != g->free_clusters)
		e->miscounted++;
	return free_bits <= g->free_clusters;
}

static int add_bits(struct ext *e, struct block_run *run, uint32_t group, const uint8_t *bits,
                    uint32_t n)
{
	const struct ext_super *s = &e->s;
	uint64_t first = group_first(s, group);
	int r = 0;

	for (uint32_t at = next_bit(bits, 0, n, true); at < n && r >= 0;) {
		uint32_t end = next_bit(bits, at, n, false);

		r = add_to_run(e, run, first + (uint64_t)at * s->cluster_blocks,
		               (uint64_t)(end - at) * s->cluster_blocks);
		at = next_bit(bits, end, n, true);
	}
	return r;
}

static int add_group(struct ext *e, uint32_t group, struct block_run *run)
{
	const struct ext_super *s = &e->s;
	uint64_t blocks = group_blocks(s, group);
	uint32_t n = (uint32_t)(round_up_u64(blocks, s->cluster_blocks) / s->cluster_blocks);
	const uint8_t *bits;
	struct ext_group g;
	int r = ext_group_read(e, group, &g);

	if (r < 0 || (r == 0 && e->lenient))
		return r;
	/* A damaged descriptor's tables may lie in a group that has no bitmap to say so. */
	if (r == 0 || (g.block_uninit && e->bad_descs))
		return add_to_run(e, run, group_first(s, group), blocks);
	if (g.block_uninit)
		return 0;
	r = ext_block(e, &e->bitmap_window, g.block_bitmap, s->flex_groups, &bits);
	if (view_fatal(r))
		return r;
	if (r < 0 && e->lenient)
		return 0;
	if (r < 0)
		e->unreadable++;
	if (r < 0 || !bitmap_ok(e, &g, bits, n))
		return add_to_run(e, run, group_first(s, group), blocks);
	return add_bits(e, run, group, bits, n);
}

int ext_groups_map(struct ext *e)
{
	struct block_run run = { 0 };
	int r = add_metadata(e);

	for (uint32_t group = 0; group < e->s.groups && r >= 0; group++)
		r = add_group(e, group, &run);
	return r < 0 ? r : flush_run(e, &run);
}
