/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the btrfs reader: superblock, checksums, chunks, trees. Spec: the "On-disk format"
 * page of the btrfs documentation. All numbers on disk are little-endian. */
#ifndef FS_BTRFS_H
#define FS_BTRFS_H

#include "base/bytes.h"
#include "base/hash.h"
#include "fs/map.h"

#define BTRFS_SUPER_OFFSET (64 * KIB)
#define BTRFS_SUPER_LEN    4096
#define BTRFS_SYS_ARRAY    811
#define BTRFS_SYS_MAX      2048
#define BTRFS_LEVELS_MAX   8
#define BTRFS_COPIES       2

enum btrfs_tree_id {
	BTRFS_ROOT_TREE = 1,
	BTRFS_EXTENT_TREE = 2,
	BTRFS_CHUNK_TREE = 3,
	BTRFS_DEV_TREE = 4,
	BTRFS_BLOCK_GROUP_TREE = 11,
};

enum btrfs_item_type {
	BTRFS_ROOT_ITEM = 132,
	BTRFS_EXTENT_ITEM = 168,
	BTRFS_METADATA_ITEM = 169,
	BTRFS_BLOCK_GROUP_ITEM = 192,
	BTRFS_DEV_EXTENT = 204,
	BTRFS_DEV_ITEM = 216,
	BTRFS_CHUNK_ITEM = 228,
};

struct btrfs_key {
	uint64_t objectid, offset;
	uint8_t type;
};

/** struct btrfs_root - where a tree begins; logical address 0 = there is none */
struct btrfs_root {
	uint64_t id, logical, generation;
	uint8_t level;
};

/**
 * struct btrfs_chunk - a range of logical addresses, and where this device holds it
 * @copies:   parts of it on this device; @physical: where each begins, bytes
 * @is_linear: each copy holds all of it, in order
 * @is_group: a block group item was found for it, with @group_used bytes
 * @seen:     bytes of the extents found in it; @extents: how many copies the device tree knows
 */
struct btrfs_chunk {
	uint64_t logical, len, type;
	uint64_t physical[BTRFS_COPIES];
	uint8_t copies, extents;
	bool is_linear, is_group;
	uint64_t group_used, seen;
};

struct btrfs_chunks {
	struct btrfs_chunk *list; /* sorted by logical address, without overlaps */
	size_t n, cap;
};

/** struct btrfs - one device of one file system being read */
struct btrfs {
	struct medium *m;
	struct fs_map *map;
	uint8_t super[BTRFS_SUPER_LEN];
	uint8_t fsid[16], node_fsid[16];
	uint64_t size, devid, devices, generation;
	uint32_t node_size, sector_size;
	uint16_t csum_type;
	bool has_group_tree;
	struct hash *sha256; /* for csum_type 2 */
	struct btrfs_root root_tree, chunk_tree, dev_tree, extent_tree, group_tree;
	struct btrfs_chunks chunks, next; /* those in use; those that a walk collects */
	uint8_t *nodes;                   /* a node for each level */
	/* kept by the walks of btrfs_map.c */
	struct btrfs_key last_key;
	uint64_t run_logical, run_len; /* used extents that touch each other */
	uint64_t next_logical, next_physical;
	uint32_t bad_groups;
	bool device_seen;
};

/**
 * btrfs_super_read() - the superblock
 * @ret_state, @ret_why: set when it is btrfs, but one whose trees must not be believed
 * Return: 0; -EBADMSG, -EOPNOTSUPP with @err; -ENOMEM, -ECANCELED
 */
int btrfs_super_read(struct btrfs *b, enum fs_state *ret_state, const char **ret_why,
                     struct ism_error *err);

/** btrfs_csum_ok() - the checksum in front of a superblock or node of @len bytes */
bool btrfs_csum_ok(const struct btrfs *b, const uint8_t *block, size_t len);
/** btrfs_blake2b() - BLAKE2b of 32 bytes, without a key */
void btrfs_blake2b(const uint8_t *p, size_t len, uint8_t out[32]);

/** btrfs_chunk_at() - the chunk that holds @logical, or NULL */
struct btrfs_chunk *btrfs_chunk_at(const struct btrfs *b, uint64_t logical);
/** btrfs_chunk_parse() - add the chunk item @item to @to. Return: 1; 0 = damaged; -ENOMEM */
int btrfs_chunk_parse(const struct btrfs *b, struct btrfs_chunks *to, uint64_t logical,
                      struct span item);
/** btrfs_sys_chunks() - those that hold the chunk tree, from the superblock. Return: as above */
int btrfs_sys_chunks(struct btrfs *b);

enum { BTRFS_STOP = 2 };
/**
 * btrfs_walk() - every item of a tree, keys growing
 * @fn: 1 = go on; BTRFS_STOP = no more; 0 = damaged; negative = fatal
 * Return: 1; 0 = a part of it is damaged, or cannot be read from this device; -ENOMEM, -ECANCELED
 */
int btrfs_walk(struct btrfs *b, const struct btrfs_root *root,
               int (*fn)(struct btrfs *, const struct btrfs_key *, struct span));

#endif
