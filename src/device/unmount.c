/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unmounting a target's file systems, as umount(8) without options does: a file system in use stays
 * mounted, and the user is told who uses it. */
#include "device/check.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/bytes.h"

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

static bool is_on(const char *path, uint64_t st_dev)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_dev == st_dev;
}

static bool process_has_open(const char *pid, uint64_t st_dev)
{
	_free_ char *folder = text_format("/proc/%s/fd", pid);
	CLEANUP(dir_closep) DIR *d = folder ? opendir(folder) : NULL;

	if (!d)
		return false;
	for (struct dirent *e; (e = readdir(d));) {
		_free_ char *path = text_format("%s/%s", folder, e->d_name);

		if (isdigit((unsigned char)e->d_name[0]) && path && is_on(path, st_dev))
			return true;
	}
	return false;
}

static bool process_uses(const char *pid, uint64_t st_dev)
{
	static const char *const links[] = { "cwd", "root", "exe" };

	for (size_t i = 0; i < ARRAY_LEN(links); i++) {
		_free_ char *path = text_format("/proc/%s/%s", pid, links[i]);

		if (path && is_on(path, st_dev))
			return true;
	}
	return process_has_open(pid, st_dev);
}

/* "bash (process 4711)" of the first process found, or NULL. */
static char *user_of(uint64_t st_dev)
{
	CLEANUP(dir_closep) DIR *d = opendir("/proc");

	if (!d)
		return NULL;
	for (struct dirent *e; (e = readdir(d));) {
		_free_ char *comm = NULL;
		_free_ char *path = NULL;

		if (!isdigit((unsigned char)e->d_name[0]) || !process_uses(e->d_name, st_dev))
			continue;
		path = text_format("/proc/%s/comm", e->d_name);
		if (!path || text_read(path, 4096, &comm, NULL) < 0)
			continue;
		comm[strcspn(comm, "\n")] = 0;
		return text_format("%s (process %s)", comm, e->d_name);
	}
	return NULL;
}

static int refuse_busy(const struct target *t, const struct mount *m, uint64_t st_dev,
                       struct ism_error *err)
{
	_free_ char *user = user_of(st_dev);

	ism_error_refuse(err, -EBUSY, t->path, "cannot be unmounted from %s: it is in use%s%s",
	                 m->point, user ? " by " : "", user ? user : "");
	return ism_error_hint(err, "close what uses files there and try again");
}

/* The mount point may show another mount that lies over ours: that one is not ours to unmount. */
static int unmount_one(const struct target *t, const struct mount *m, struct ism_error *err)
{
	struct statx stx;

	if (statx(AT_FDCWD, m->point, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
	          STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0)
		return errno == ENOENT ? 0
		                       : ism_error_errno(err, -errno, m->point, ISM_NO_OFFSET,
		                                         "cannot look at the mount point");
	uint64_t st_dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);

	if (stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id != m->id : st_dev != m->dev) {
		ism_error_refuse(err, -EBUSY, t->path,
		                 "is mounted at %s, under another file system", m->point);
		return ism_error_hint(err, "unmount what lies over it first: umount '%s'",
		                      m->point);
	}
	if (umount2(m->point, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno == EBUSY)
		return refuse_busy(t, m, st_dev, err);
	int r = ism_error_errno(err, -errno, t->path, ISM_NO_OFFSET, "cannot unmount %s", m->point);

	if (r == -EPERM)
		ism_error_hint(err, "put sudo before the command");
	return r;
}

/* The last mount first: what was mounted in or over an earlier one goes before it. */
int unmount_all(const struct target *t, struct ism_error *err)
{
	_usage_ struct usage u = { 0 };
	_guard_unit_ struct guard_unit unit = { 0 };
	int r = usage_read(&u, &sys_root_host, err);

	if (r < 0)
		return r;
	r = guard_unit_of(&unit, &u, t->dev);
	if (r < 0)
		return ism_error_errno(err, r, t->path, ISM_NO_OFFSET, "cannot be looked at");
	for (size_t i = u.mounts.n; r == 0 && i-- > 0;)
		if (guard_can_unmount(&u, &unit, &u.mounts.list[i]))
			r = unmount_one(t, &u.mounts.list[i], err);
	return r;
}
