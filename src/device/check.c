/* SPDX-License-Identifier: GPL-3.0-or-later */
/* target_check(): all reasons why a target may not be written, the gravest first. */
#include "device/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/bytes.h"

/* The program itself, and the stick that a live system was started from and may have let go of. */
static const struct guard_kept always_kept[] = {
	{ "/proc/self/exe", "this program, which is running" },
	{ "/run/isomorph/live-medium", "the medium of the running live system" },
};

static int check_size(const struct target *t, const struct guard_request *rq, struct ism_error *err)
{
	if (rq->need <= t->size)
		return 0;
	ism_error_refuse(err, -ENOSPC, t->path,
	                 "is too small: %llu bytes are needed, it has %llu, %llu too few",
	                 (unsigned long long)rq->need, (unsigned long long)t->size,
	                 (unsigned long long)(rq->need - t->size));
	if (t->is_file)
		return ism_error_hint(err, "an existing file is written in place, like a disk; "
		                           "remove it, or make it longer");
	return ism_error_hint(err, "name a larger one");
}

static int check_sectors(const struct target *t, const struct guard_request *rq,
                         struct ism_error *err)
{
	uint32_t has = t->device.sector_size;

	if (t->is_file || !rq->sector_size || rq->sector_size == has || rq->ignore_sector_size)
		return 0;
	ism_error_refuse(err, -EMEDIUMTYPE, t->path,
	                 "has sectors of %u bytes, the image was made for sectors of %u bytes", has,
	                 rq->sector_size);
	return ism_error_hint(err, "its partition table would not be found there; "
	                           "--ignore-sector-size copies it all the same");
}

static int check_partition(const struct target *t, const struct guard_request *rq,
                           struct ism_error *err)
{
	if (!t->is_partition || rq->partition_ok)
		return 0;
	ism_error_usage(err, t->path, "is a partition, not a whole disk");
	return ism_error_hint(err,
	                      "the disk is %s; to write into the partition, give "
	                      "--partition-target",
	                      t->device.path);
}

static int check_one_kept(const struct target *t, const struct usage *u,
                          const struct guard_unit *unit, const struct guard_kept *kept,
                          struct ism_error *err)
{
	struct guard_file file = { t->is_new ? 0 : t->dev, t->ino };

	return t->is_file ? guard_keep_file(u, t->path, file, kept, err)
	                  : guard_keep_disk(u, unit, t->path, kept, err);
}

/* @unit: NULL for files */
static int check_kept(const struct target *t, const struct guard_request *rq, const struct usage *u,
                      const struct guard_unit *unit, struct ism_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && !t->is_file && i < ARRAY_LEN(always_kept); i++)
		r = check_one_kept(t, u, unit, &always_kept[i], err);
	for (const char *const *path = rq->keep; r == 0 && path && *path; path++) {
		_free_ char *name = text_format("%s, which this job needs", *path);
		struct guard_kept kept = { *path, name };

		r = name ? check_one_kept(t, u, unit, &kept, err) : ism_error_oom(err);
	}
	return r;
}

static bool is_read_only(const struct target *t, const struct usage *u)
{
	return t->device.read_only || sysblock_number(u->root, t->dev, "ro", 0) == 1;
}

static int refuse_read_only(const struct target *t, struct ism_error *err)
{
	ism_error_refuse(err, -EROFS, t->path, "is read-only");
	return ism_error_hint(err, "look for a write-protect switch on the stick or card");
}

/* In the order of the partitions; a member in a partition that is not written is no matter. */
static int check_members(const struct target *t, const struct guard_request *rq, char ***warnings,
                         struct ism_error *err)
{
	_close_ int fd = open(t->device.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;

	for (size_t i = 0; i < t->device.n_parts; i++) {
		const struct ism_partition *p = &t->device.parts[i];
		const char *name = p->path ? p->path : t->device.path;

		if ((t->is_partition && p->number != t->part_number) ||
		    !probe_is_member(p->fs_type, fd, p->offset))
			continue;
		if (!rq->replace_members) {
			ism_error_refuse(err, -EBUSY, t->path,
			                 "holds a member of a set of several disks (%s: %s)", name,
			                 p->fs_type);
			return ism_error_hint(err, "the set loses this member; confirm it with "
			                           "--replace-members");
		}
		if (!warnings)
			continue;
		char **list = reallocarray(*warnings, n + 2, sizeof(*list));

		if (!list)
			return ism_error_oom(err);
		*warnings = list;
		list[n + 1] = NULL;
		list[n] = text_format("%s is a member of a set of several disks (%s%s%s), which "
		                      "loses it",
		                      name, p->fs_type, p->uuid ? " " : "", p->uuid ? p->uuid : "");
		if (list[n])
			n++;
	}
	return 0;
}

/* Somebody else has it exclusively. Asked read-only, so nothing wakes up. */
static int check_exclusive(const struct target *t, struct ism_error *err)
{
	_close_ int fd = open(t->path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 && errno == EBUSY ? check_refuse_in_use(t, err) : 0;
}

int check_refuse_in_use(const struct target *t, struct ism_error *err)
{
	ism_error_refuse(err, -EBUSY, t->path, "is in use by the kernel or another program");
	return ism_error_hint(err, "unmount it, and stop RAID, LVM or ZFS and other programs that "
	                           "write to it");
}

static int check_disk(const struct target *t, const struct guard_request *rq, const struct usage *u,
                      char ***warnings, struct ism_error *err)
{
	_guard_unit_ struct guard_unit unit = { 0 };
	int r = guard_unit_of(&unit, u, t->dev);

	if (r == 0)
		r = guard_busy(u, &unit, t->path, true, err); /* the system disk, before all else */
	if (r == 0)
		r = check_kept(t, rq, u, &unit, err);
	if (r == 0 && !rq->unmount)
		r = guard_busy(u, &unit, t->path, false, err);
	if (r == 0 && is_read_only(t, u))
		r = refuse_read_only(t, err);
	if (r == 0)
		r = check_size(t, rq, err);
	if (r == 0)
		r = check_sectors(t, rq, err);
	if (r == 0)
		r = check_members(t, rq, warnings, err);
	if (r == 0 && guard_busy(u, &unit, t->path, false, NULL) == 0)
		r = check_exclusive(t, err);
	return r;
}

/* An unfinished NAME.part is taken over, unless it is what the job reads. */
static int check_part(const struct target *t, const struct guard_request *rq, const struct usage *u,
                      struct ism_error *err)
{
	_free_ char *part = text_format("%s.part", t->path);
	struct stat st;

	if (!part)
		return ism_error_oom(err);
	if (lstat(part, &st) < 0)
		return 0;
	struct guard_file file = { st.st_dev, st.st_ino };
	int r = guard_file_busy(u, part, file, err);

	for (const char *const *path = rq->keep; r == 0 && path && *path; path++) {
		struct guard_kept kept = { *path, *path };

		r = guard_keep_file(u, part, file, &kept, err);
	}
	return r;
}

static int check_file(const struct target *t, const struct guard_request *rq, const struct usage *u,
                      struct ism_error *err)
{
	struct guard_file file = { t->dev, t->ino };
	struct statvfs fs;
	int r = check_kept(t, rq, u, NULL, err);

	if (r == 0)
		r = t->is_new ? check_part(t, rq, u, err) : guard_file_busy(u, t->path, file, err);
	if (r == 0 && !t->is_new && statvfs(t->path, &fs) == 0 && fs.f_flag & ST_RDONLY)
		return ism_error_refuse(err, -EROFS, t->path, "is on a read-only file system");
	return r == 0 && !t->is_new ? check_size(t, rq, err) : r;
}

static char **list_free(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
	return NULL;
}

int target_check(const struct target *t, const struct guard_request *rq, char ***ret_warnings,
                 struct ism_error *err)
{
	_usage_ struct usage u = { 0 };
	char **warnings = NULL;
	int r = check_partition(t, rq, err);

	if (r == 0)
		r = usage_read(&u, &sys_root_host, err);
	if (r < 0)
		return r;
	r = t->is_file ? check_file(t, rq, &u, err)
	               : check_disk(t, rq, &u, ret_warnings ? &warnings : NULL, err);
	if (r < 0) {
		list_free(warnings);
		return err && !err->code ? ism_error_errno(err, r, t->path, ISM_NO_OFFSET,
		                                           "cannot be checked")
		                         : r;
	}
	if (ret_warnings)
		*ret_warnings = warnings;
	return 0;
}
