/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What readers of allocation maps share: saying that nothing can be trusted, and why; the checksum
 * that most of them look at. */
#ifndef FS_VERDICT_H
#define FS_VERDICT_H

#include "fs/map.h"

/* A fuzzer guesses no checksums: in its build they are computed, and not compared. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define FS_UNCHECKED true
#else
#define FS_UNCHECKED false
#endif

/** fs_all_used() - all of it counts as used, and this is why; an earlier sentence is replaced.
 * Return: 0, -ENOMEM */
int fs_all_used(struct fs_facts *facts, enum fs_state state, const char *fmt, ...) ISM_PRINTF(3, 4);
/** fs_say() - the map stands, but this is odd. Return: 0, -ENOMEM */
int fs_say(struct fs_facts *facts, enum fs_state state, const char *fmt, ...) ISM_PRINTF(3, 4);
/** fs_label() - at most @max bytes up to the first NUL, without blanks at the end; NULL when empty.
 * Return: 0, -ENOMEM */
int fs_label(const void *bytes, size_t max, char **ret);

/** fs_crc32c() - CRC-32C going on from @crc; neither end is inverted */
uint32_t fs_crc32c(uint32_t crc, const void *p, size_t len);

#endif
