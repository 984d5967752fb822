/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the names that file systems carry are written for people. */
#ifndef FS_NAMES_H
#define FS_NAMES_H

#include <stdint.h>

/** fs_uuid_text() - "8-4-4-4-12" lower-case digits of 16 bytes; free() it; NULL when out of memory
 */
char *fs_uuid_text(const uint8_t uuid[16]);

#endif
