/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of the F2FS reader: superblock, checkpoint. Spec: the kernel's f2fs.rst, and the layout
 * in its f2fs_fs.h. All numbers on disk are little-endian. */
#ifndef FS_F2FS_H
#define FS_F2FS_H

#include "base/bytes.h"
#include "fs/map.h"

#define F2FS_BLOCK      4096u
#define F2FS_SEG_BLOCKS 512u
#define F2FS_MAGIC      0xf2f52010u
#define F2FS_SUPER_LEN  3072

/**
 * struct f2fs - one file system being read; addresses are in blocks from its start
 * @cp:      the newest valid checkpoint: its first block and the @cp_payload blocks behind it
 * @cp_addr: where it lies
 */
struct f2fs {
	struct medium *m;
	struct fs_map *map;
	uint8_t super[F2FS_SUPER_LEN];
	uint64_t blocks;
	uint32_t cp_start, sit_start, main_start; /* of these areas */
	uint32_t sit_segments, main_segments;
	uint32_t cp_payload, features;
	uint8_t *cp;
	uint32_t cp_addr, cp_flags, cp_blocks;
	uint64_t valid_blocks;
	uint32_t valid_nodes;
};

/**
 * f2fs_super_read() - the superblock
 * @ret_state, @ret_why: set when it is F2FS, but one that must not be believed
 * Return: 0; -EBADMSG, -EOPNOTSUPP with @err; -ENOMEM, -ECANCELED
 */
int f2fs_super_read(struct f2fs *f, enum fs_state *ret_state, const char **ret_why,
                    struct ism_error *err);
/** f2fs_checkpoint_read() - the newest valid one. @ret_state, @ret_why: as above. Return: 0;
 * -ENOMEM, -ECANCELED */
int f2fs_checkpoint_read(struct f2fs *f, enum fs_state *ret_state, const char **ret_why);
/** f2fs_read() - whole blocks. Return: 1; 0 = cannot be read; -ENOMEM, -ECANCELED */
int f2fs_read(const struct f2fs *f, void *buf, uint32_t addr, uint32_t n);

enum f2fs_cp_flags {
	F2FS_CP_UMOUNT = 0x1,
	F2FS_CP_COMPACT_SUM = 0x4,
	F2FS_CP_LARGE_NAT_BITMAP = 0x400,
};

#endif
