/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocation maps of btrfs: in use is what the extent tree names, wherever this device holds it,
 * and what it cannot tell of: the first MiB, the superblocks, and chunks that do not add up. Spec:
 * the "On-disk format" page of the btrfs documentation. */
#include "fs/btrfs.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/names.h"
#include "fs/verdict.h"

#define HEAD_LEN   MIB        /* boot code and the first superblock; never in a chunk */
#define MIRROR_LEN (64 * KIB) /* what is kept free for each superblock */

static const uint64_t mirrors[] = { 64 * MIB, 256 * GIB };

static int take_chunk(struct btrfs *b, const struct btrfs_key *key, struct span item)
{
	if (key->type == BTRFS_DEV_ITEM && key->offset == b->devid) {
		b->device_seen = item.len >= 16 && le64_at(item.p) == b->devid &&
		                 le64_at(item.p + 8) == b->size;
		return b->device_seen;
	}
	if (key->type != BTRFS_CHUNK_ITEM)
		return 1;
	return btrfs_chunk_parse(b, &b->next, key->offset, item);
}

/* First those in the superblock, by which the tree of all of them is found. */
static int read_chunks(struct btrfs *b)
{
	int r = btrfs_sys_chunks(b);

	if (r > 0)
		r = btrfs_walk(b, &b->chunk_tree, take_chunk);
	if (r <= 0)
		return r;
	free(b->chunks.list);
	b->chunks = b->next;
	b->next = (struct btrfs_chunks){ 0 };
	return b->device_seen;
}

static int take_root(struct btrfs *b, const struct btrfs_key *key, struct span item)
{
	struct btrfs_root *to = key->objectid == BTRFS_EXTENT_TREE        ? &b->extent_tree
	                        : key->objectid == BTRFS_DEV_TREE         ? &b->dev_tree
	                        : key->objectid == BTRFS_BLOCK_GROUP_TREE ? &b->group_tree
	                                                                  : NULL;

	if (key->objectid > BTRFS_BLOCK_GROUP_TREE)
		return BTRFS_STOP;
	if (!to || key->type != BTRFS_ROOT_ITEM)
		return 1;
	if (item.len < 239 || item.p[238] >= BTRFS_LEVELS_MAX)
		return 0;
	*to = (struct btrfs_root){ key->objectid, le64_at(item.p + 176), le64_at(item.p + 160),
		                   item.p[238] };
	return to->generation <= b->generation;
}

static int find_trees(struct btrfs *b)
{
	int r = btrfs_walk(b, &b->root_tree, take_root);

	if (r <= 0)
		return r;
	return b->extent_tree.logical && b->dev_tree.logical &&
	       (b->group_tree.logical || !b->has_group_tree);
}

/* Each must be a copy that its chunk knows of. */
static int take_dev_extent(struct btrfs *b, const struct btrfs_key *key, struct span item)
{
	struct btrfs_chunk *c;
	uint64_t len;

	if (key->type != BTRFS_DEV_EXTENT || key->objectid != b->devid)
		return 1;
	if (item.len < 32)
		return 0;
	len = le64_at(item.p + 24);
	c = btrfs_chunk_at(b, le64_at(item.p + 16));
	if (!c || c->logical != le64_at(item.p + 16) || len == 0 ||
	    key->offset < b->next_physical || key->offset > b->size ||
	    len > b->size - key->offset || (c->is_linear && len != c->len))
		return 0;
	if (c->copies == 0 ||
	    (c->physical[0] != key->offset && c->physical[c->copies - 1] != key->offset))
		return 0;
	b->next_physical = key->offset + len;
	c->extents++;
	/* Only where each copy has all of the chunk can it be told what of it is in use. */
	if (c->is_linear && b->devices == 1)
		return 1;
	return fs_map_add(b->map, key->offset, len) < 0 ? -ENOMEM : 1;
}

static int read_dev_extents(struct btrfs *b)
{
	int r = btrfs_walk(b, &b->dev_tree, take_dev_extent);

	for (size_t i = 0; i < b->chunks.n && r > 0; i++)
		r = b->chunks.list[i].copies == b->chunks.list[i].extents;
	return r;
}

static int add_logical(struct btrfs *b, const struct btrfs_chunk *c, uint64_t logical, uint64_t len)
{
	for (int i = 0; i < c->copies; i++)
		if (fs_map_add(b->map, c->physical[i] + (logical - c->logical), len) < 0)
			return -ENOMEM;
	return 1;
}

/* What touches each other within a chunk is added at once. */
static int flush_run(struct btrfs *b)
{
	struct btrfs_chunk *c = btrfs_chunk_at(b, b->run_logical);
	uint64_t len = b->run_len;

	b->run_len = 0;
	return len && c->is_linear ? add_logical(b, c, b->run_logical, len) : 1;
}

static int take_extent(struct btrfs *b, uint64_t logical, uint64_t len)
{
	struct btrfs_chunk *c = btrfs_chunk_at(b, logical);
	int r = 1;

	if (!c || len == 0 || (logical | len) % b->sector_size != 0 ||
	    len > c->len - (logical - c->logical) || logical < b->next_logical)
		return 0;
	b->next_logical = logical + len;
	c->seen += len;
	if (b->run_len && (b->run_logical + b->run_len != logical || logical == c->logical))
		r = flush_run(b);
	if (!b->run_len)
		b->run_logical = logical;
	b->run_len += len;
	return r;
}

static int take_group(struct btrfs *b, const struct btrfs_key *key, struct span item)
{
	struct btrfs_chunk *c = btrfs_chunk_at(b, key->objectid);

	if (key->type != BTRFS_BLOCK_GROUP_ITEM)
		return 1;
	if (!c || c->logical != key->objectid || c->len != key->offset || item.len < 24 ||
	    c->is_group || le64_at(item.p + 16) != c->type)
		return 0;
	c->is_group = true;
	c->group_used = le64_at(item.p);
	return 1;
}

static int take_extent_item(struct btrfs *b, const struct btrfs_key *key, struct span item)
{
	if (key->type == BTRFS_BLOCK_GROUP_ITEM)
		return b->has_group_tree ? 0 : take_group(b, key, item);
	if (key->type != BTRFS_EXTENT_ITEM && key->type != BTRFS_METADATA_ITEM)
		return 1;
	if (item.len < 24)
		return 0;
	return take_extent(b, key->objectid,
	                   key->type == BTRFS_EXTENT_ITEM ? key->offset : b->node_size);
}

/* A chunk is believed when the extents in it are as much as its block group item says. */
static int check_groups(struct btrfs *b)
{
	int r = 1;

	for (size_t i = 0; i < b->chunks.n && r > 0; i++) {
		struct btrfs_chunk *c = &b->chunks.list[i];

		if (!c->is_linear || (c->is_group && c->group_used == c->seen))
			continue;
		b->bad_groups++;
		r = add_logical(b, c, c->logical, c->len);
	}
	return r;
}

static int read_extents(struct btrfs *b)
{
	int r = btrfs_walk(b, &b->extent_tree, take_extent_item);

	if (r > 0)
		r = flush_run(b);
	if (r > 0 && b->has_group_tree)
		r = btrfs_walk(b, &b->group_tree, take_group);
	return r > 0 ? check_groups(b) : r;
}

static int add_all_chunks(struct btrfs *b)
{
	int r = 1;

	for (size_t i = 0; i < b->chunks.n && r > 0; i++)
		if (b->chunks.list[i].is_linear)
			r = add_logical(b, &b->chunks.list[i], b->chunks.list[i].logical,
			                b->chunks.list[i].len);
	return r;
}

static int add_fixed(struct btrfs *b)
{
	int r = fs_map_add(b->map, 0, HEAD_LEN);

	for (size_t i = 0; i < ARRAY_LEN(mirrors) && r >= 0; i++)
		r = fs_map_add(b->map, mirrors[i], MIRROR_LEN);
	return r < 0 ? -ENOMEM : 1;
}

static int map_extents(struct btrfs *b, struct fs_facts *facts)
{
	int r;

	if (b->devices > 1)
		return fs_say(
			facts, FS_CLEAN,
			"it is one of %llu devices of a btrfs: all that is assigned to chunks "
			"here counts as used",
			(unsigned long long)b->devices);
	r = read_extents(b);
	if (r < 0)
		return r;
	if (r == 0) {
		r = add_all_chunks(b);
		return r < 0 ? r
		             : fs_say(facts, FS_DAMAGED,
		                      "its extent tree is damaged or cannot be read: all that is "
		                      "assigned to chunks counts as used (run btrfs check on it)");
	}
	if (b->bad_groups)
		return fs_say(
			facts, FS_DAMAGED,
			"the used space of %u of its block groups does not add up: they count as "
			"used (run btrfs check on it)",
			b->bad_groups);
	return 0;
}

static int map_all(struct btrfs *b, struct fs_facts *facts)
{
	int r = read_chunks(b);

	if (r > 0)
		r = find_trees(b);
	if (r > 0)
		r = read_dev_extents(b);
	if (r == 0 && b->devices > 1)
		return fs_all_used(
			facts, FS_CLEAN,
			"it is one of %llu devices of a btrfs, whose trees cannot be read "
			"from this one alone",
			(unsigned long long)b->devices);
	if (r == 0)
		return fs_all_used(
			facts, FS_DAMAGED,
			"its trees are damaged or cannot be read (run btrfs check on it)");
	if (r > 0)
		r = add_fixed(b);
	return r < 0 ? r : map_extents(b, facts);
}

static int fill_facts(const struct btrfs *b, struct fs_facts *facts)
{
	facts->type = "btrfs";
	facts->size = b->size;
	facts->block_size = b->sector_size;
	facts->uuid = fs_uuid_text(b->fsid);
	if (!facts->uuid)
		return -ENOMEM;
	return fs_label(b->super + 299, 256, &facts->label);
}

static struct btrfs *btrfs_free(struct btrfs *b)
{
	if (!b)
		return NULL;
	hash_free(b->sha256);
	free(b->chunks.list);
	free(b->next.list);
	free(b->nodes);
	free(b);
	return NULL;
}

static void btrfs_freep(struct btrfs **b)
{
	btrfs_free(*b);
}

static int btrfs_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                      struct ism_error *err)
{
	CLEANUP(btrfs_freep) struct btrfs *b = calloc(1, sizeof(*b));
	enum fs_state state = FS_CLEAN;
	const char *why = NULL;
	int r;

	if (!b)
		return ism_error_oom(err);
	b->m = m;
	b->map = map;
	r = btrfs_super_read(b, &state, &why, err);
	if (r < 0)
		return r;
	r = fill_facts(b, facts);
	if (r >= 0 && why)
		return fs_all_used(facts, state, "%s", why);
	b->nodes = calloc(BTRFS_LEVELS_MAX, b->node_size);
	if (r < 0 || !b->nodes)
		return ism_error_oom(err);
	return map_all(b, facts);
}

static const char *const types[] = { "btrfs", NULL };

const struct fs_driver fs_driver_btrfs = { .types = types, .read = btrfs_read };
