/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Boot sectors of FAT, exFAT and NTFS, and other first signs of a file system, as far as they say
 * what sectors the disk under it has. */
#ifndef TABLE_BPB_H
#define TABLE_BPB_H

#include "medium/view.h"

/** bpb_sector_size() - bytes per sector that a FAT, exFAT or NTFS boot sector states; 0 = it is
 * none. @sector: at least 512 bytes */
uint32_t bpb_sector_size(struct span sector);
/** fs_starts_at() - a well-known file system or volume begins at @offset */
bool fs_starts_at(const struct view *v, uint64_t offset);
/** fs_stated_sector_size() - sector size that the file system on the bare disk states; 0 = it says
 * nothing, or there is none */
uint32_t fs_stated_sector_size(const struct view *v);

#endif
