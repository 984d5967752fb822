/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening a target: exclusively, locked as udev expects it, and proven to be the disk that was
 * named. New files are NAME.part until target_commit(). */
#include "device/check.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#define LOCK_TRIES   20 /* 2 s: as long as udev may look at a new disk */
#define LOCK_WAIT_NS 100000000L

static int lock_fd(int fd, const char *path, struct ism_error *err)
{
	static const struct timespec wait = { .tv_nsec = LOCK_WAIT_NS };

	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return ism_error_errno(err, -errno, path, ISM_NO_OFFSET, "cannot lock");
		if (i == LOCK_TRIES) {
			ism_error_refuse(err, -EBUSY, path, "is locked by another program");
			return ism_error_hint(err,
			                      "wait until the other program is done, or stop it");
		}
		nanosleep(&wait, NULL);
	}
	return 0;
}

static int refuse_other(const struct target *t, const char *what, struct ism_error *err)
{
	ism_error_refuse(err, -ESTALE, t->path, "is another disk than a moment ago: %s", what);
	return ism_error_hint(err, "look at 'isomorph devices' and start again");
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* The whole disk as it is now, compared with what target_resolve() saw. */
static int prove_disk(const struct target *t, int disk_fd, struct ism_error *err)
{
	const struct ism_device *was = &t->device;
	struct ism_device now = { 0 };
	uint64_t size = 0, diskseq = 0;
	struct stat st;
	const char *what = NULL;

	if (fstat(disk_fd, &st) < 0 || ioctl(disk_fd, BLKGETSIZE64, &size) < 0)
		return ism_error_errno(err, -errno, was->path, ISM_NO_OFFSET, "cannot look at it");
	if (!S_ISBLK(st.st_mode) || st.st_rdev != was->dev)
		return refuse_other(t, "another device number", err);
	int r = disk_facts(&sys_root_host, st.st_rdev, &now, err);

	if (r < 0)
		return r;
	if (ioctl(disk_fd, BLKGETDISKSEQ, &diskseq) < 0)
		diskseq = now.diskseq;
	if (diskseq != was->diskseq)
		what = "it was replaced";
	else if (size != was->size)
		what = "another size";
	else if (!text_equal(now.wwn, was->wwn))
		what = "another world wide name";
	else if (!text_equal(now.serial, was->serial))
		what = "another serial number";
	disk_clear(&now);
	return what ? refuse_other(t, what, err) : 0;
}

static int prove_partition(const struct target *t, int fd, struct ism_error *err)
{
	uint64_t size = 0;
	struct stat st;

	if (fstat(fd, &st) < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0)
		return ism_error_errno(err, -errno, t->path, ISM_NO_OFFSET, "cannot look at it");
	if (!S_ISBLK(st.st_mode) || st.st_rdev != t->dev || size != t->size ||
	    512 * sysblock_number(&sys_root_host, t->dev, "start", 0) != t->offset ||
	    sysblock_whole(&sys_root_host, t->dev) != t->device.dev)
		return refuse_other(t, "the partition changed", err);
	return 0;
}

static int open_failed(const struct target *t, const char *path, struct ism_error *err)
{
	int r = -errno;

	switch (r) {
	case -EBUSY:
		return check_refuse_in_use(t, err);
	case -EROFS:
		return ism_error_refuse(err, r, path, "is read-only");
	case -ENOMEDIUM:
		return ism_error_refuse(err, r, path, "has no medium in it");
	case -ENOENT:
	case -ENXIO:
	case -ENODEV:
		return refuse_other(t, "it is gone", err);
	default:
		ism_error_errno(err, r, path, ISM_NO_OFFSET, "cannot open for writing");
		if (r == -EACCES || r == -EPERM)
			ism_error_hint(err, "writing a disk needs root: put sudo before the "
			                    "command");
		return r;
	}
}

/* Locks that programs like QEMU hold on byte ranges of a disk or an image of one. */
static int refuse_range_lock(int fd, const char *path, struct ism_error *err)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	ism_error_refuse(err, -EBUSY, path, "is in use by another program");
	return ism_error_hint(err, "a virtual machine may run from it; stop it first");
}

/* The lock is on the whole disk's node, as udev wants it; a partition needs that node too. */
static int open_disk(struct target *t, struct medium **ret, struct ism_error *err)
{
	_close_ int fd = open(t->path, O_RDWR | O_EXCL | O_CLOEXEC | O_NOCTTY);
	_close_ int whole = -1;
	int ro = 0, r;

	if (fd < 0)
		return open_failed(t, t->path, err);
	if (t->is_partition) {
		whole = open(t->device.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (whole < 0)
			return open_failed(t, t->device.path, err);
	}
	int disk_fd = t->is_partition ? whole : fd;

	r = prove_disk(t, disk_fd, err);
	if (r == 0 && t->is_partition)
		r = prove_partition(t, fd, err);
	if (r < 0)
		return r;
	if (ioctl(fd, BLKROGET, &ro) == 0 && ro)
		return ism_error_refuse(err, -EROFS, t->path, "is read-only");
	r = refuse_range_lock(fd, t->path, err);
	if (r == 0)
		r = refuse_range_lock(disk_fd, t->device.path, err);
	if (r == 0)
		r = lock_fd(disk_fd, t->device.path, err);
	if (r < 0)
		return r;
	r = device_medium(take_fd(&fd), t->path, true, ret, err);
	if (r < 0)
		return r;
	if (t->lock_fd >= 0)
		close(t->lock_fd);
	t->lock_fd = take_fd(&whole);
	return 0;
}

static int file_lock(struct medium *m, const char *path, struct ism_error *err)
{
	int r = refuse_range_lock(m->fd, path, err);

	return r < 0 ? r : lock_fd(m->fd, path, err);
}

static int open_file(const struct target *t, struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;
	struct stat st;
	int r = file_open_target(t->path, &m, err);

	if (r == -EROFS)
		ism_error_status(err, ISM_REFUSED);
	if (r < 0)
		return r;
	r = file_lock(m, t->path, err);
	if (r < 0)
		return r;
	if (fstat(m->fd, &st) < 0 || st.st_dev != t->dev || st.st_ino != t->ino ||
	    (uint64_t)st.st_size != t->size) {
		ism_error_refuse(err, -ESTALE, t->path, "is another file than a moment ago");
		return ism_error_hint(err, "start again");
	}
	*ret = take(m);
	return 0;
}

static int refuse_part(const char *part, struct ism_error *err)
{
	ism_error_refuse(err, -EEXIST, part, "is in the way, and is no unfinished file of yours");
	return ism_error_hint(err, "remove or rename it");
}

/* What an earlier run left behind is begun anew, or kept if the caller goes on with it, if it is a
 * plain file of ours that nobody writes. */
static int reuse_part(const char *part, bool keep, struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;
	struct stat named, st;
	int r;

	if (lstat(part, &named) < 0 || !S_ISREG(named.st_mode) || named.st_uid != geteuid() ||
	    named.st_nlink != 1)
		return refuse_part(part, err);
	r = file_open_target(part, &m, err);
	if (r < 0)
		return r;
	r = file_lock(m, part, err);
	if (r < 0)
		return r;
	if (fstat(m->fd, &st) < 0 || st.st_dev != named.st_dev || st.st_ino != named.st_ino ||
	    lstat(part, &named) < 0 || st.st_ino != named.st_ino)
		return refuse_part(part, err);
	if (!keep && ftruncate(m->fd, 0) < 0)
		return ism_error_errno(err, -errno, part, ISM_NO_OFFSET, "cannot empty");
	m->size = keep ? (uint64_t)st.st_size : 0;
	*ret = take(m);
	return 0;
}

static int open_new(const struct target *t, struct medium **ret, struct ism_error *err)
{
	_free_ char *part = text_format("%s.part", t->path);
	_medium_ struct medium *m = NULL;
	struct stat st;
	int r;

	if (!part)
		return ism_error_oom(err);
	if (lstat(t->path, &st) == 0)
		return ism_error_refuse(err, -EEXIST, t->path, "was made by somebody meanwhile");
	r = file_create(part, &m, err);
	if (r == -EEXIST) {
		ism_error_clear(err);
		return reuse_part(part, t->keep_part, ret, err);
	}
	if (r == 0)
		r = file_lock(m, part, err);
	if (r < 0)
		return r;
	*ret = take(m);
	return 0;
}

int target_open(struct target *t, const struct guard_request *rq, struct medium **ret,
                struct ism_error *err)
{
	struct guard_request after = *rq;
	int r = target_check(t, rq, NULL, err);

	if (r < 0)
		return r;
	if (t->is_new)
		return open_new(t, ret, err);
	if (t->is_file)
		return open_file(t, ret, err);
	if (rq->unmount) {
		r = unmount_all(t, err);
		after.unmount = false;
		if (r == 0)
			r = target_check(t, &after, NULL, err);
		if (r < 0)
			return r;
	}
	return open_disk(t, ret, err);
}

static int folder_sync(const char *path, struct ism_error *err)
{
	_free_ char *folder = strdup(path);

	if (!folder)
		return ism_error_oom(err);
	char *slash = strrchr(folder, '/');

	slash[slash == folder] = 0;
	_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL))
		return ism_error_errno(err, -errno, folder, ISM_NO_OFFSET,
		                       "cannot make the new name durable");
	return 0;
}

/* File systems without RENAME_NOREPLACE (NFS, some of FUSE) say EINVAL. */
static int rename_new(const char *from, const char *to)
{
	struct stat st;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (lstat(to, &st) == 0)
		return -EEXIST;
	return rename(from, to) < 0 ? -errno : 0;
}

int target_commit(const struct target *t, struct ism_error *err)
{
	if (!t->is_new)
		return 0;
	_free_ char *part = text_format("%s.part", t->path);

	if (!part)
		return ism_error_oom(err);
	_close_ int fd = open(part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || fsync(fd) < 0)
		return ism_error_errno(err, -errno, part, ISM_NO_OFFSET, "cannot make durable");
	int r = rename_new(part, t->path);

	if (r == -EEXIST) {
		ism_error_refuse(err, r, t->path, "was made by somebody meanwhile");
		return ism_error_hint(err, "the finished file is %s", part);
	}
	if (r < 0)
		return ism_error_errno(err, r, part, ISM_NO_OFFSET, "cannot rename to %s", t->path);
	return folder_sync(t->path, err);
}

void target_abandon(const struct target *t)
{
	_free_ char *part = t->is_new ? text_format("%s.part", t->path) : NULL;

	if (part)
		unlink(part);
}
