/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the ext2, ext3 and ext4 reader: superblock, groups, journal. Spec: the kernel's
 * "ext4 Data Structures and Algorithms", and its "Journal (jbd2)" chapter. */
#ifndef FS_EXT_H
#define FS_EXT_H

#include "base/bytes.h"
#include "fs/map.h"

#define EXT_SUPER_OFFSET 1024u
#define EXT_SUPER_LEN    1024u

enum ext_compat {
	EXT_COMPAT_HAS_JOURNAL = 0x4,
	EXT_COMPAT_LAZY_BG = 0x40,
	EXT_COMPAT_SPARSE_SUPER2 = 0x200,
};

enum ext_incompat {
	EXT_INCOMPAT_RECOVER = 0x4,
	EXT_INCOMPAT_JOURNAL_DEV = 0x8,
	EXT_INCOMPAT_META_BG = 0x10,
	EXT_INCOMPAT_64BIT = 0x80,
	EXT_INCOMPAT_MMP = 0x100,
	EXT_INCOMPAT_FLEX_BG = 0x200,
	EXT_INCOMPAT_CSUM_SEED = 0x2000,
};

enum ext_ro_compat {
	EXT_RO_SPARSE_SUPER = 0x1,
	EXT_RO_GDT_CSUM = 0x10,
	EXT_RO_BIGALLOC = 0x200,
	EXT_RO_METADATA_CSUM = 0x400,
};

enum ext_state { EXT_STATE_VALID = 0x1, EXT_STATE_ERROR = 0x2 };

/** struct ext_super - a superblock, its fields checked against each other; blocks unless named
 * otherwise */
struct ext_super {
	uint64_t blocks, mmp_block;
	uint32_t block_size, cluster_blocks; /* bytes; blocks a cluster */
	uint32_t first_data_block, blocks_per_group, clusters_per_group;
	uint32_t groups, inodes_per_group, inode_size, itable_blocks;
	uint32_t desc_size, desc_per_block, desc_blocks;
	uint32_t old_desc_blocks; /* those behind each superblock copy; the rest lie in meta groups
	                           */
	uint32_t reserved_gdt, flex_groups;
	uint32_t compat, incompat, ro_compat;
	uint32_t backup_groups[2]; /* sparse_super2 */
	uint32_t journal_inode, csum_seed;
	uint16_t state;
	bool has_csum; /* group descriptors have checksums, and flags that mean something */
	uint8_t uuid[16];
	char label[16];
};

/** ext_super_parse() - @raw: EXT_SUPER_LEN bytes. Return: 0, -EBADMSG, -EOPNOTSUPP with @err */
int ext_super_parse(const uint8_t *raw, struct ext_super *ret, struct ism_error *err);
/** ext_super_same_layout() - nothing that decides where metadata lies differs */
bool ext_super_same_layout(const struct ext_super *a, const struct ext_super *b);
/** ext_has_super() - this group begins with a copy of the superblock */
bool ext_has_super(const struct ext_super *s, uint32_t group);

uint16_t ext_crc16(uint16_t crc, const void *p, size_t len);

/** struct ext_window - blocks [first, first + n) as they are on the medium */
struct ext_window {
	uint8_t *buf; /* EXT_WINDOW_LEN */
	uint64_t first;
	uint32_t n;
};
#define EXT_WINDOW_LEN (256 * (size_t)KIB)

struct ext_replay;

/**
 * struct ext - one file system being read
 * @replay:  what the journal will put in place of blocks; NULL = as they are on the medium
 * @lenient: add what can be read, doubt nothing: only ever besides a pass that is not lenient
 * @bad_descs, @bad_bitmaps, @unreadable, @miscounted: groups, for the sentence
 */
struct ext {
	struct medium *m;
	struct fs_map *map;
	struct ext_super s;
	struct ext_window desc_window, bitmap_window;
	uint8_t *overlay; /* one block */
	const struct ext_replay *replay;
	bool lenient;
	uint32_t bad_descs, bad_bitmaps, unreadable, miscounted;
};

/** ext_read() - bytes of the medium. Return: 0; -ENOMEM, -ECANCELED; else they cannot be read */
int ext_read(const struct ext *e, void *buf, size_t len, uint64_t offset);
/**
 * ext_block() - a block as the journal would leave it, until the next call with the same window
 * @ahead: read so many blocks at once, this one first
 */
int ext_block(struct ext *e, struct ext_window *w, uint64_t block, uint32_t ahead,
              const uint8_t **ret);

/** struct ext_group - a group descriptor */
struct ext_group {
	uint64_t block_bitmap, inode_bitmap, inode_table;
	uint32_t free_clusters, bitmap_csum;
	bool block_uninit;
};

/** ext_group_read() - Return: 1; 0 = damaged, or cannot be read; -ENOMEM, -ECANCELED */
int ext_group_read(struct ext *e, uint32_t group, struct ext_group *ret);
/** ext_groups_map() - add what all groups use */
int ext_groups_map(struct ext *e);
/** ext_add_blocks() - whole clusters that hold these blocks are in use */
int ext_add_blocks(struct ext *e, uint64_t first, uint64_t n);

/** struct ext_extents - where the blocks of a file lie, from its first one on without holes */
struct ext_extents {
	struct ext_extent {
		uint64_t first;   /* block of the medium */
		uint32_t logical; /* block of the file */
		uint32_t n;
	} * list;
	size_t n, cap;
	uint32_t end; /* first logical block that is not there */
};

#define EXT_JOURNAL_BLOCKS_MAX (16u << 20) /* mke2fs makes at most 10 million */

/** ext_journal_extents() - of the journal's inode. Return: 0; -EBADMSG: damaged; else as
 * ext_read() */
int ext_journal_extents(struct ext *e, struct ext_extents *ret);
/** ext_extents_find() - the extent that holds this logical block, which is < end */
const struct ext_extent *ext_extents_find(const struct ext_extents *x, uint32_t logical);
void ext_extents_clear(struct ext_extents *x);

/** struct ext_replay - the last committed journal copy of each block, sorted by block */
struct ext_replay {
	struct ext_tag {
		uint64_t block, copy; /* blocks of the medium */
		uint32_t age;         /* transactions since the oldest in the log */
		uint32_t order;
		bool escaped; /* the copy begins with zeros in place of the journal's magic */
	} * tags;
	struct ext_revoke {
		uint64_t block;
		uint32_t age;
	} * revokes;
	size_t n_tags, cap_tags, n_revokes, cap_revokes;
};

int ext_replay_add(struct ext_replay *r, struct ext_tag tag);
int ext_replay_revoke(struct ext_replay *r, struct ext_revoke revoke);
/** ext_replay_finish() - drop what is revoked or overwritten later */
void ext_replay_finish(struct ext_replay *r);
const struct ext_tag *ext_replay_find(const struct ext_replay *r, uint64_t block);
void ext_replay_clear(struct ext_replay *r);

/**
 * ext_journal_read() - what is in an internal journal
 * @ret_why: set where the file system cannot be trusted because of it: a constant clause
 * Return: 1 with @ret to be cleared: it has to be replayed; 0: it is empty, or *ret_why is set;
 * -ENOMEM, -ECANCELED.
 */
int ext_journal_read(struct ext *e, struct ext_replay *ret, const char **ret_why);

#endif
