/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the blocks of the journal's inode lie: extent trees and indirect blocks. Spec: kernel
 * documentation, ext4 "Index Nodes", "The Contents of inode.i_block". */
#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/ext.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define INODE_EXTENTS     0x80000
#define INODE_INLINE_DATA 0x10000000
#define EXTENTS_MAX       (1u << 20) /* 16 MiB; a journal has a handful */
#define NODES_MAX         65536      /* of an extent tree; nothing else bounds a hostile one */
#define DEPTH_MAX         5

/* One inode being read: its list grows block by block until @want. */
struct inode_walk {
	struct ext *e;
	struct ext_extents *list;
	uint32_t want, nodes, csum_seed;
};

void ext_extents_clear(struct ext_extents *x)
{
	free(x->list);
	*x = (struct ext_extents){ 0 };
}

const struct ext_extent *ext_extents_find(const struct ext_extents *x, uint32_t logical)
{
	size_t low = 0, high = x->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (x->list[mid].logical <= logical)
			low = mid;
		else
			high = mid;
	}
	return &x->list[low];
}

static int append(struct inode_walk *w, uint64_t first, uint32_t n)
{
	struct ext_extents *x = w->list;
	struct ext_extent *last = x->n ? &x->list[x->n - 1] : NULL;
	const struct ext_super *s = &w->e->s;

	n = MIN(n, w->want - x->end);
	if (!n)
		return 0;
	if (first <= s->first_data_block || first >= s->blocks || n > s->blocks - first)
		return -EBADMSG;
	if (last && last->first + last->n == first) {
		last->n += n;
		x->end += n;
		return 0;
	}
	if (x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 16;
		struct ext_extent *more = realloc(x->list, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		x->list = more;
		x->cap = cap;
	}
	if (x->n == EXTENTS_MAX)
		return -EBADMSG;
	x->list[x->n++] = (struct ext_extent){ first, x->end, n };
	x->end += n;
	return 0;
}

static int read_block(const struct inode_walk *w, uint64_t block, uint8_t *buf)
{
	const struct ext_super *s = &w->e->s;

	if (block <= s->first_data_block || block >= s->blocks)
		return -EBADMSG;
	return ext_read(w->e, buf, s->block_size, block * s->block_size);
}

static bool node_csum_ok(const struct inode_walk *w, const uint8_t *node)
{
	size_t tail = 12 + 12 * (size_t)le16_at(node + 4);

	if (!(w->e->s.ro_compat & EXT_RO_METADATA_CSUM))
		return true;
	return tail + 4 <= w->e->s.block_size &&
	       fs_crc32c(w->csum_seed, node, tail) == le32_at(node + tail);
}

static int read_leaf(struct inode_walk *w, const uint8_t *entry)
{
	uint64_t first = le32_at(entry + 8) | (uint64_t)le16_at(entry + 6) << 32;
	uint32_t n = le16_at(entry + 4);

	if (n == 0 || n > 32768 || le32_at(entry) != w->list->end) /* unwritten, or a hole */
		return w->list->end >= w->want ? 0 : -EBADMSG;
	return append(w, first, n);
}

/* The walk ends because the depth falls by one at each level, and the nodes are counted. */
static int read_node(struct inode_walk *w, struct span node, unsigned depth)
{
	const unsigned entries = node.len >= 12 ? le16_at(node.p + 2) : 0;
	_free_ uint8_t *child = NULL;
	int r = 0;

	if (!entries || le16_at(node.p) != 0xf30a || le16_at(node.p + 6) != depth ||
	    entries > (node.len - 12) / 12)
		return -EBADMSG;
	if (depth) {
		child = malloc(w->e->s.block_size);
		if (!child)
			return -ENOMEM;
	}
	for (unsigned i = 1; i <= entries && r >= 0 && w->list->end < w->want; i++) {
		const uint8_t *entry = node.p + 12 * (size_t)i;

		if (!depth) {
			r = read_leaf(w, entry);
			continue;
		}
		if (++w->nodes > NODES_MAX)
			return -EBADMSG;
		r = read_block(w, le32_at(entry + 4) | (uint64_t)le16_at(entry + 8) << 32, child);
		if (r >= 0 && !node_csum_ok(w, child))
			r = -EBADMSG;
		if (r >= 0)
			r = read_node(w, (struct span){ child, w->e->s.block_size }, depth - 1);
	}
	return r;
}

/* The walk ends because the levels fall, and each pointer of the last one adds a block to the list,
 * which wants no more than EXT_JOURNAL_BLOCKS_MAX. */
static int read_indirect(struct inode_walk *w, uint32_t block, unsigned level)
{
	const uint32_t n = w->e->s.block_size / 4;
	_free_ uint8_t *pointers = NULL;
	int r;

	if (level == 0)
		return append(w, block, 1);
	pointers = malloc(w->e->s.block_size);
	if (!pointers)
		return -ENOMEM;
	r = read_block(w, block, pointers);
	for (uint32_t i = 0; i < n && r >= 0 && w->list->end < w->want; i++)
		r = read_indirect(w, le32_at(pointers + 4 * (size_t)i), level - 1);
	return r;
}

static int read_i_block(struct inode_walk *w, const uint8_t *inode)
{
	const uint8_t *i_block = inode + 0x28;
	int r = 0;

	if (le32_at(inode + 0x20) & INODE_EXTENTS) {
		unsigned depth = le16_at(i_block + 6);

		return depth > DEPTH_MAX ? -EBADMSG
		                         : read_node(w, (struct span){ i_block, 60 }, depth);
	}
	for (unsigned i = 0; i < 15 && r >= 0 && w->list->end < w->want; i++)
		r = read_indirect(w, le32_at(i_block + 4 * (size_t)i), i < 12 ? 0 : i - 11);
	return r;
}

/* Also sets w->csum_seed, on which those of the extent tree go on. */
static bool inode_csum_ok(struct inode_walk *w, uint8_t *inode)
{
	const struct ext_super *s = &w->e->s;
	const le32 number = le32_of(s->journal_inode);
	uint32_t stored = le16_at(inode + 0x7c), crc, mask = UINT16_MAX;

	if (!(s->ro_compat & EXT_RO_METADATA_CSUM))
		return true;
	memset(inode + 0x7c, 0, 2);
	if (s->inode_size > 128 && le16_at(inode + 0x80) >= 4) {
		stored |= (uint32_t)le16_at(inode + 0x82) << 16;
		memset(inode + 0x82, 0, 2);
		mask = UINT32_MAX;
	}
	crc = fs_crc32c(s->csum_seed, &number, sizeof(number));
	w->csum_seed = fs_crc32c(crc, inode + 0x64, 4); /* generation */
	return (fs_crc32c(w->csum_seed, inode, s->inode_size) & mask) == stored;
}

static int read_inode(struct inode_walk *w, uint8_t *inode)
{
	const struct ext_super *s = &w->e->s;
	uint32_t index = s->journal_inode - 1;
	struct ext_group g;
	int r;

	if (index / s->inodes_per_group >= s->groups)
		return -EBADMSG;
	r = ext_group_read(w->e, index / s->inodes_per_group, &g);
	if (r <= 0)
		return r < 0 ? r : -EBADMSG;
	return ext_read(w->e, inode, s->inode_size,
	                g.inode_table * s->block_size +
	                        (uint64_t)(index % s->inodes_per_group) * s->inode_size);
}

int ext_journal_extents(struct ext *e, struct ext_extents *ret)
{
	struct inode_walk w = { .e = e, .list = ret };
	_free_ uint8_t *inode = malloc(e->s.inode_size);
	uint64_t blocks;
	int r;

	if (!inode)
		return -ENOMEM;
	r = read_inode(&w, inode);
	if (r < 0)
		return r;
	if (!inode_csum_ok(&w, inode) || (le16_at(inode) & 0xf000) != 0x8000 ||
	    !le16_at(inode + 0x1a) || (le32_at(inode + 0x20) & INODE_INLINE_DATA))
		return -EBADMSG; /* a regular file that has a link */
	blocks = (le32_at(inode + 4) | (uint64_t)le32_at(inode + 0x6c) << 32) / e->s.block_size;
	if (!blocks || blocks > EXT_JOURNAL_BLOCKS_MAX)
		return -EBADMSG;
	w.want = (uint32_t)blocks;
	r = read_i_block(&w, inode);
	if (r >= 0 && ret->end < w.want)
		r = -EBADMSG;
	return r;
}
