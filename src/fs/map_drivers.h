/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of map drivers; one line a file system in map_drivers.c. */
#ifndef FS_MAP_DRIVERS_H
#define FS_MAP_DRIVERS_H

#include "fs/map.h"

extern const struct fs_driver *const fs_map_drivers[]; /* NULL ends */

#endif
