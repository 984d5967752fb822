/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a TARGET argument names. A name under /dev that is not there is never a new file. */
#include "device/device.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "device/list.h"

struct target *target_free(struct target *t)
{
	if (!t)
		return NULL;
	free(t->ref);
	free(t->path);
	disk_clear(&t->device);
	if (t->lock_fd >= 0)
		close(t->lock_fd);
	free(t);
	return NULL;
}

void target_freep(struct target **t)
{
	target_free(*t);
}
#define _target_ CLEANUP(target_freep)

/* "/dev/sda, /dev/sdb", or "none"; for a hint only. */
static char *disks_there(const struct ism_device *list, size_t n)
{
	char *text = NULL;

	for (size_t i = 0; i < n; i++) {
		char *more =
			text_format("%s%s%s", text ? text : "", text ? ", " : "", list[i].path);

		free(text);
		text = more;
	}
	return text ? text : strdup("none");
}

static void hint_disks(const struct ism_device *list, size_t n, struct ism_error *err)
{
	_free_ char *text = disks_there(list, n);

	if (text)
		ism_error_hint(err, "disks that are there: %s", text);
}

static int usage_no_disk(const char *ref, const struct usage *u, struct ism_error *err,
                         const char *what)
{
	struct ism_device *list = NULL;
	size_t n = 0;

	if (list_devices(u, &list, &n, NULL) < 0)
		n = 0;
	ism_error_usage(err, ref, "%s", what);
	hint_disks(list, n, err);
	ism_devices_free(list, n);
	return -EINVAL;
}

static int resolve_disk(struct target *t, const struct usage *u, uint64_t dev,
                        struct ism_error *err)
{
	uint64_t whole = sysblock_whole(u->root, dev);
	int r = disk_facts(u->root, whole, &t->device, err);

	if (r < 0)
		return r;
	if (major(whole) == 11)
		return ism_error_usage(err, t->path, "is an optical drive, not a disk");
	t->dev = dev;
	t->is_partition = whole != dev;
	t->size = t->device.size;
	if (t->is_partition) {
		t->part_number = (unsigned)sysblock_number(u->root, dev, "partition", 0);
		t->offset = 512 * sysblock_number(u->root, dev, "start", 0);
		t->size = 512 * sysblock_number(u->root, dev, "size", 0);
	}
	if (t->size == 0) {
		ism_error_refuse(err, -ENOMEDIUM, t->path, "has no medium in it");
		return ism_error_hint(err, "put a card or disk in, or attach a file to it");
	}
	return disk_contents(u, &t->device, err);
}

static bool is_in_dev(const char *path)
{
	return strncmp(path, "/dev/", 5) == 0;
}

static int file_facts(struct target *t, uint64_t size, struct ism_error *err)
{
	t->is_file = true;
	t->size = size;
	t->device = (struct ism_device){
		.path = strdup(t->path), .size = size, .sector_size = 512, .physical_size = 512
	};
	return t->device.path ? 0 : ism_error_oom(err);
}

static int resolve_file(struct target *t, const struct stat *st, struct ism_error *err)
{
	if (is_in_dev(t->path) && strncmp(t->path, "/dev/shm/", 9) != 0) {
		ism_error_usage(err, t->path, "is a regular file in /dev, not a disk");
		return ism_error_hint(err, "something made it by mistake; remove it and plug the "
		                           "disk in again");
	}
	t->dev = st->st_dev;
	t->ino = st->st_ino;
	return file_facts(t, (uint64_t)st->st_size, err);
}

/* The folder must be there; the name is new. */
static int resolve_new(struct target *t, const struct usage *u, struct ism_error *err)
{
	_free_ char *folder_copy = strdup(t->ref), *name_copy = strdup(t->ref);
	struct stat st;

	if (!folder_copy || !name_copy)
		return ism_error_oom(err);
	if (lstat(t->ref, &st) == 0)
		return is_in_dev(t->ref)
		               ? usage_no_disk(t->ref, u, err, "points to a disk that is not there")
		               : ism_error_usage(err, t->ref, "points to nothing");
	_free_ char *folder = realpath(dirname(folder_copy), NULL);

	if (is_in_dev(t->ref) || (folder && (is_in_dev(folder) || strcmp(folder, "/dev") == 0)))
		return usage_no_disk(t->ref, u, err, "does not exist");
	if (!folder)
		return ism_error_usage(err, t->ref, "cannot be made: its folder does not exist");
	const char *name = basename(name_copy);

	if (t->ref[strlen(t->ref) - 1] == '/' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return ism_error_usage(err, t->ref, "is the name of a folder that does not exist");
	if (strlen(name) + strlen(".part") > NAME_MAX)
		return ism_error_usage(err, t->ref, "has too long a name");
	t->path = text_format("%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name);
	if (!t->path || stat(folder, &st) < 0)
		return ism_error_oom(err);
	t->dev = st.st_dev;
	t->is_new = true;
	return file_facts(t, 0, err);
}

static int resolve_path(struct target *t, const struct usage *u, struct ism_error *err)
{
	struct stat st;

	t->path = realpath(t->ref, NULL);
	if (!t->path && errno == ENOENT)
		return resolve_new(t, u, err);
	if (!t->path || stat(t->path, &st) < 0)
		return ism_error_errno(err, -errno, t->ref, ISM_NO_OFFSET, "cannot look at it");
	if (S_ISBLK(st.st_mode))
		return resolve_disk(t, u, st.st_rdev, err);
	if (S_ISREG(st.st_mode))
		return resolve_file(t, &st, err);
	if (S_ISDIR(st.st_mode)) {
		ism_error_usage(err, t->ref, "is a folder, not a disk");
		return ism_error_hint(err, "name a disk, or a file in that folder");
	}
	return usage_no_disk(t->ref, u, err, "is neither a disk nor a file");
}

static int resolve_serial(struct target *t, const struct usage *u, const char *serial,
                          struct ism_error *err)
{
	struct ism_device *list = NULL;
	const struct ism_device *found = NULL;
	size_t n = 0, hits = 0;
	int r = list_devices(u, &list, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (list[i].serial && strcmp(list[i].serial, serial) == 0) {
			if (hits++ == 0)
				found = &list[i];
			else
				ism_error_usage(err, t->ref, "names two disks, %s and %s",
				                found->path, list[i].path);
		}
	if (hits > 1) {
		r = ism_error_hint(err, "name one of them by its path");
	} else if (hits == 0) {
		r = ism_error_usage(err, t->ref, "no disk has this serial number");
		ism_error_hint(err, "'isomorph devices' shows them");
	} else if (!(t->path = strdup(found->path))) {
		r = ism_error_oom(err);
	} else {
		r = resolve_disk(t, u, found->dev, err);
	}
	ism_devices_free(list, n);
	return r;
}

int target_resolve(const char *ref, struct target **ret, struct ism_error *err)
{
	_target_ struct target *t = calloc(1, sizeof(*t));
	_usage_ struct usage u = { 0 };
	int r;

	if (!t)
		return ism_error_oom(err);
	t->lock_fd = -1;
	t->ref = strdup(ref);
	if (!t->ref)
		return ism_error_oom(err);
	if (!*ref)
		return ism_error_usage(err, NULL, "the name of the target is empty");
	r = usage_read(&u, &sys_root_host, err);
	if (r < 0)
		return r;
	r = strncmp(ref, "serial=", 7) == 0 ? resolve_serial(t, &u, ref + 7, err)
	                                    : resolve_path(t, &u, err);
	if (r < 0)
		return r;
	*ret = take(t);
	return 0;
}
