/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the XFS reader: superblock, log, free-space trees. Spec: "XFS Algorithms & Data
 * Structures", 3rd edition. All numbers on disk are big-endian. */
#ifndef FS_XFS_H
#define FS_XFS_H

#include "base/bytes.h"
#include "fs/map.h"

/**
 * struct xfs - one file system being read; its fields checked against each other
 * @blocks:    file system blocks of the data device
 * @ag_blocks: blocks of each allocation group but the last, which may be shorter
 * @log_block: first block of the log, counted from the start of the device
 * @state:     as far as the superblock tells
 * @bad_groups: allocation groups whose free space cannot be trusted
 */
struct xfs {
	struct medium *m;
	struct fs_map *map;
	uint64_t blocks, log_block;
	uint32_t block_size, sector_size;
	uint32_t ag_blocks, ag_count, log_blocks;
	bool v5, log_v2;
	uint8_t uuid[16], meta_uuid[16];
	char label[13];
	enum fs_state state;
	uint32_t bad_groups;
};

/**
 * xfs_super_read() - the primary superblock
 * @ret_why: set when this is XFS, but one whose free-space trees must not be believed
 * Return: 0; -EBADMSG, -EOPNOTSUPP with @err; -ENOMEM, -ECANCELED
 */
int xfs_super_read(struct xfs *x, const char **ret_why, struct ism_error *err);

/**
 * xfs_log_read() - does the log end in an unmount record?
 * @ret_why: NULL if it does, else a constant phrase
 * Return: 0; -ENOMEM, -ECANCELED
 */
int xfs_log_read(struct xfs *x, const char **ret_why);

static inline uint16_t xfs_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t xfs_be32(const uint8_t *p)
{
	return (uint32_t)xfs_be16(p) << 16 | xfs_be16(p + 2);
}

static inline uint64_t xfs_be64(const uint8_t *p)
{
	return (uint64_t)xfs_be32(p) << 32 | xfs_be32(p + 4);
}

/* The checksum of a structure that holds it, little-endian, at crc_offset. */
bool xfs_crc_ok(const uint8_t *p, size_t len, size_t crc_offset);

#endif
