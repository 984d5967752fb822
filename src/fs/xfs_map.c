/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocation maps of XFS: each allocation group has a B-tree of its free extents by block number;
 * all that is not in it is in use. A second tree, by size, must tell the same. Spec: "XFS
 * Algorithms & Data Structures", AG Free Space Management. */
#include "fs/xfs.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/names.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define LEVELS_MAX      9 /* enough for groups of 1 TiB with blocks of 512 bytes, half full */
#define AGF_CRC_OFFSET  216
#define TREE_CRC_OFFSET 52

/**
 * struct group - an allocation group; block numbers are from its start
 * @free:  free blocks, as its header says
 * @nodes: a block for each level of a tree
 */
struct group {
	struct xfs *x;
	uint32_t number, blocks, free;
	uint64_t start; /* blocks */
	uint8_t *nodes;
};

/**
 * struct tree - one of the two trees of free extents, which hold the same: by block number, by size
 * @first, @len: the extent seen last
 * @free:        blocks of all extents seen; @digest: of the extents, in any order
 */
struct tree {
	struct group *g;
	bool by_size;
	uint32_t root, levels;
	uint32_t first, len;
	uint64_t free, digest;
};

static int add_blocks(const struct group *g, uint32_t first, uint32_t n)
{
	uint64_t size = g->x->block_size;

	return fs_map_add(g->x->map, (g->start + first) * size, n * size);
}

/* Return: 1; 0 = it cannot be read or is damaged; -ENOMEM, -ECANCELED. So below, too. */
static int read_header(struct group *g, struct tree *by_block, struct tree *by_size)
{
	const struct xfs *x = g->x;
	_free_ uint8_t *agf = malloc(x->sector_size);
	uint64_t offset = g->start * x->block_size + x->sector_size;
	int r;

	if (!agf)
		return -ENOMEM;
	r = medium_read_all(x->m, agf, x->sector_size, offset, NULL);
	if (r < 0)
		return view_fatal(r) ? r : 0;
	if (memcmp(agf, "XAGF", 4) != 0 || xfs_be32(agf + 4) != 1 ||
	    xfs_be32(agf + 8) != g->number || xfs_be32(agf + 12) != g->blocks)
		return 0;
	if (x->v5 && (!xfs_crc_ok(agf, x->sector_size, AGF_CRC_OFFSET) ||
	              memcmp(agf + 64, x->meta_uuid, 16) != 0))
		return 0;
	*by_block = (struct tree){ g, false, xfs_be32(agf + 16), xfs_be32(agf + 28) };
	*by_size = (struct tree){ g, true, xfs_be32(agf + 20), xfs_be32(agf + 32) };
	g->free = xfs_be32(agf + 52);
	return by_block->levels >= 1 && by_block->levels <= LEVELS_MAX && by_size->levels >= 1 &&
	       by_size->levels <= LEVELS_MAX;
}

static bool is_tree_block(const struct tree *t, const uint8_t *b, uint32_t block, uint32_t level)
{
	static const char *const magics[2][2] = { { "ABTB", "ABTC" }, { "AB3B", "AB3C" } };
	const struct xfs *x = t->g->x;
	uint64_t sector = (t->g->start + block) * (x->block_size / 512);

	if (memcmp(b, magics[x->v5][t->by_size], 4) != 0 || xfs_be16(b + 4) != level)
		return false;
	return !x->v5 ||
	       (xfs_crc_ok(b, x->block_size, TREE_CRC_OFFSET) && xfs_be64(b + 16) == sector &&
	        memcmp(b + 32, x->meta_uuid, 16) == 0 && xfs_be32(b + 48) == t->g->number);
}

/* Is any of these blocks one that can never be free? */
static bool is_fixed(const struct group *g, uint32_t first, uint32_t n)
{
	const struct xfs *x = g->x;
	uint64_t from = g->start + first;

	return (uint64_t)first * x->block_size < 4 * (uint64_t)x->sector_size ||
	       (from < x->log_block + x->log_blocks && from + n > x->log_block);
}

/* Does the extent come behind the one before it? That is also why every walk ends. */
static bool is_behind(const struct tree *t, uint32_t first, uint32_t len)
{
	if (t->by_size)
		return len > t->len || (len == t->len && first > t->first);
	return first >= t->first + t->len;
}

static uint64_t mix(uint64_t v)
{
	v = (v ^ v >> 33) * 0xff51afd7ed558ccdu;
	v = (v ^ v >> 33) * 0xc4ceb9fe1a85ec53u;
	return v ^ v >> 33;
}

/* The records of a leaf: what lies between two free extents is in use. */
static int walk_leaf(struct tree *t, const uint8_t *records, uint32_t n)
{
	struct group *g = t->g;

	for (uint32_t i = 0; i < n; i++, records += 8) {
		uint32_t first = xfs_be32(records), len = xfs_be32(records + 4);
		uint32_t end = t->first + t->len;

		if (len == 0 || first >= g->blocks || len > g->blocks - first ||
		    !is_behind(t, first, len) || is_fixed(g, first, len))
			return 0;
		if (!t->by_size && add_blocks(g, end, first - end) < 0)
			return -ENOMEM;
		t->first = first;
		t->len = len;
		t->free += len;
		t->digest += mix((uint64_t)first << 32 | len);
	}
	return 1;
}

/* Only the root may be empty. */
static int walk(struct tree *t, uint32_t block, uint32_t level)
{
	const struct group *g = t->g;
	const struct xfs *x = g->x;
	uint8_t *b = g->nodes + (size_t)level * x->block_size;
	uint32_t header = x->v5 ? 56 : 16, n, max = (x->block_size - header) / (level ? 12 : 8);
	int r;

	if (block == 0 || block >= g->blocks)
		return 0;
	r = medium_read_all(x->m, b, x->block_size, (g->start + block) * x->block_size, NULL);
	if (r < 0)
		return view_fatal(r) ? r : 0;
	n = xfs_be16(b + 6);
	if (!is_tree_block(t, b, block, level) || n > max || (n == 0 && level + 1 < t->levels))
		return 0;
	if (level == 0)
		return walk_leaf(t, b + header, n);
	r = n > 0;
	for (uint32_t i = 0; i < n && r > 0; i++) {
		const uint8_t *key = b + header + (size_t)i * 8;

		/* A key is the first record below it. */
		if (!is_behind(t, xfs_be32(key), xfs_be32(key + 4)))
			return 0;
		r = walk(t, xfs_be32(b + header + (size_t)max * 8 + (size_t)i * 4), level - 1);
	}
	return r;
}

static int map_group(struct group *g)
{
	struct tree by_block, by_size;
	uint32_t end;
	int r = read_header(g, &by_block, &by_size);

	if (r > 0)
		r = walk(&by_block, by_block.root, by_block.levels - 1);
	if (r > 0)
		r = walk(&by_size, by_size.root, by_size.levels - 1);
	if (r < 0)
		return r;
	if (r > 0 && by_block.free == g->free && by_size.free == g->free &&
	    by_block.digest == by_size.digest) {
		end = by_block.first + by_block.len;
		return add_blocks(g, end, g->blocks - end);
	}
	g->x->bad_groups++;
	return add_blocks(g, 0, g->blocks);
}

static int map_groups(struct xfs *x)
{
	_free_ uint8_t *nodes = malloc((size_t)LEVELS_MAX * x->block_size);
	int r = nodes ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < x->ag_count && r >= 0; i++) {
		struct group g = { .x = x, .number = i, .nodes = nodes };

		g.start = (uint64_t)i * x->ag_blocks;
		g.blocks = (uint32_t)MIN((uint64_t)x->ag_blocks, x->blocks - g.start);
		r = medium_stopped(x->m) ? -ECANCELED : map_group(&g);
	}
	return r;
}

static int fill_facts(const struct xfs *x, struct fs_facts *facts)
{
	facts->type = "xfs";
	facts->size = x->blocks * x->block_size;
	facts->block_size = x->block_size;
	facts->uuid = fs_uuid_text(x->uuid);
	if (!facts->uuid)
		return -ENOMEM;
	return fs_label(x->label, sizeof(x->label), &facts->label);
}

static int xfs_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                    struct ism_error *err)
{
	struct xfs x = { .m = m, .map = map };
	const char *why = NULL;
	int r = xfs_super_read(&x, &why, err);

	if (r < 0)
		return r;
	r = fill_facts(&x, facts);
	if (r >= 0 && why)
		return fs_all_used(facts, x.state, "%s", why);
	if (r >= 0)
		r = xfs_log_read(&x, &why);
	if (r >= 0 && why)
		return fs_all_used(facts, FS_DIRTY, "%s", why);
	if (r >= 0)
		r = map_groups(&x);
	if (r >= 0 && x.bad_groups)
		r = fs_say(
			facts, FS_DAMAGED,
			"the free space of %u of its %u allocation groups is damaged or cannot be "
			"read, and counts as used (run xfs_repair on it)",
			x.bad_groups, x.ag_count);
	return r;
}

static const char *const types[] = { "xfs", NULL };

const struct fs_driver fs_driver_xfs = { .types = types, .read = xfs_read };
