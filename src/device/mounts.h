/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is mounted, in every mount namespace that can be seen, and what is swapped on. */
#ifndef DEVICE_MOUNTS_H
#define DEVICE_MOUNTS_H

#include <sys/types.h>

#include "device/sysblock.h"

/**
 * struct mount - one line of a mountinfo
 * @dev:    as mountinfo says it; major 0 where the file system has no block device of its own
 * @ns:     number of the mount namespace
 * @pid:    a process in it
 * @own:    our own namespace
 * @super:  options of the file system ("rw,lowerdir=…")
 */
struct mount {
	uint64_t id, dev, ns;
	pid_t pid;
	bool own;
	char *root, *point, *type, *source, *super;
};

struct mounts {
	struct mount *list;
	size_t n, cap;
};

/**
 * mounts_parse() - append the lines of a mountinfo to @m; @like has ns, pid and own
 * Return: -EBADMSG for a line that is none; the kernel escapes blanks, so none may be missed.
 */
int mounts_parse(struct mounts *m, const char *text, size_t len, const struct mount *like);
/** mounts_read() - all namespaces of all processes; our own is first */
int mounts_read(struct mounts *m, const struct sys_root *root);
void mounts_free(struct mounts *m);
#define _mounts_ __attribute__((cleanup(mounts_free)))

/** struct swaps - paths of active swap, NULL-terminated */
struct swaps {
	char **list;
	size_t n;
};

int swaps_parse(struct swaps *s, const char *text);
int swaps_read(struct swaps *s, const struct sys_root *root);
void swaps_free(struct swaps *s);

/** text_unescape() - undo the kernel's octal escapes in place */
void text_unescape(char *s);

#endif
