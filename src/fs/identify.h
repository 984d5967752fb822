/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which file system, volume or encryption a part of a disk holds, as libblkid names it. */
#ifndef FS_IDENTIFY_H
#define FS_IDENTIFY_H

#include "base/error.h"
#include "medium/view.h"

/** struct fs_identity - strings are owned, NULL when not known */
struct fs_identity {
	char *type;  /* "ext4", "vfat", "LVM2_member", "crypto_LUKS" */
	char *usage; /* "filesystem", "raid", "crypto", "other" */
	char *version, *label, *uuid;
};

/**
 * fs_identify() - look at [offset, offset + size) of a disk: its first and its last MiB
 * Return: 1 with *ret to be cleared by fs_identity_clear(); 0 = nothing that is known; -ENODATA =
 * too little of it can be seen; -ENOMEM, -ECANCELED.
 */
int fs_identify(const struct view *v, uint64_t offset, uint64_t size, struct fs_identity *ret);
void fs_identity_clear(struct fs_identity *id);

#endif
