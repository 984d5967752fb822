/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every file system whose allocation map can be read. */
#include "fs/map_drivers.h"

#include <stddef.h>

const struct fs_driver *const fs_map_drivers[] = {
	&fs_driver_ext,
	&fs_driver_swap,
	&fs_driver_fat,
	&fs_driver_exfat,
	&fs_driver_xfs,
	&fs_driver_ntfs,
	&fs_driver_btrfs,
	&fs_driver_f2fs,
	NULL,
};
