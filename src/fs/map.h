/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocation maps: which bytes of a file system are in use. A map is never optimistic: what is
 * unknown, damaged or dirty counts as used. One file a file system, one constant table each;
 * drivers.c lists them. */
#ifndef FS_MAP_H
#define FS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "medium/medium.h"

/* 4 million runs, 64 MiB: a map that would take more fills its smallest gaps, so it errs towards
 * used. */
#define FS_MAP_RUNS_MAX (4u << 20)

/** struct fs_run - bytes [offset, offset + len) from the start of the file system are in use */
struct fs_run {
	uint64_t offset, len;
};

/** struct fs_map - the bytes in use; after fs_map_finish() sorted, merged, within [0, size) */
struct fs_map {
	struct fs_run *runs;
	size_t n, cap;
	uint64_t size; /* bytes that the map speaks of: the whole partition */
	uint64_t gap;  /* gaps of up to so many bytes are being filled; 0 = none */
	bool sorted;
};

void fs_map_init(struct fs_map *map, uint64_t size);
void fs_map_clear(struct fs_map *map);
/** fs_map_add() - [offset, offset + len) is in use; any order, overlaps allowed, what lies outside
 * is cut off */
int fs_map_add(struct fs_map *map, uint64_t offset, uint64_t len);
/** fs_map_finish() - sort and merge */
int fs_map_finish(struct fs_map *map);
/** fs_map_all() - everything is in use */
int fs_map_all(struct fs_map *map);
/** fs_map_used() - bytes in use, of a finished map */
uint64_t fs_map_used(const struct fs_map *map);

enum fs_state { FS_CLEAN, FS_DIRTY, FS_HIBERNATED, FS_DAMAGED };

/**
 * struct fs_facts - what a reader found out; strings owned
 * @size:       bytes that the file system covers; what lies behind it in its partition counts as
 * used
 * @block_size: bytes of its allocation unit
 * @state:      decides, with @all_used, how the map came about
 * @all_used:   no map could be trusted: the whole of it counts as used
 * @why:        one sentence for the plan: why all is used, or what is odd, and how to get a clean
 * source; NULL = nothing
 */
struct fs_facts {
	const char *type; /* as blkid names it */
	char *label, *uuid;
	uint64_t size;
	uint32_t block_size;
	enum fs_state state;
	bool all_used;
	char *why;
};
void fs_facts_clear(struct fs_facts *facts);

/**
 * struct fs_driver - one kind of file system, read-only
 * @types: names as blkid gives them, NULL ends: "ext2", "ext3", "ext4"
 * @read:  superblocks, state, and every used byte added to @map (already made for the size of @m).
 * Offsets are bytes from the start of @m, which is exactly the partition. Does not call
 * fs_map_finish(). Return: 0, also when @facts->all_used was set: then what is in @map does not
 * matter. -EBADMSG, -EOPNOTSUPP with @err: this is no such file system, or it cannot be understood:
 * the caller counts all as used and gives the sentence as @why. -ENOMEM, -ECANCELED. A read error
 * in metadata is no failure: what it would have told counts as used, and @why says so.
 */
struct fs_driver {
	const char *const *types;
	int (*read)(struct medium *m, struct fs_map *map, struct fs_facts *facts,
	            struct ism_error *err);
};

extern const struct fs_driver fs_driver_ext;
extern const struct fs_driver fs_driver_ntfs;
extern const struct fs_driver fs_driver_fat;
extern const struct fs_driver fs_driver_exfat;
extern const struct fs_driver fs_driver_xfs;
extern const struct fs_driver fs_driver_btrfs;
extern const struct fs_driver fs_driver_f2fs;
extern const struct fs_driver fs_driver_swap;

/**
 * fs_map_read() - the map of the file system on @m, identified by its own content
 * @type: as fs_identify() or blkid found it; NULL or one that no driver knows: all is used, and
 * @facts->why says so
 * @map:  finished; @facts: to be cleared by fs_facts_clear()
 * Return: 0; -ENOMEM, -ECANCELED.
 */
int fs_map_read(struct medium *m, const char *type, struct fs_map *map, struct fs_facts *facts,
                struct ism_error *err);

#endif
