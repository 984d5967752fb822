/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Telling kernel and udev of a changed disk: drop its partitions, read its table, and is it there
 * still. */
#include "device/device.h"

#include <errno.h>
#include <libudev.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "device/sysblock.h"

#define SETTLE_MS      5000
#define RESCAN_TRIES   20
#define RESCAN_WAIT_NS 100000000L

static int drop_one(int fd, unsigned number)
{
	struct blkpg_partition part = { .pno = (int)number };
	struct blkpg_ioctl_arg arg = { .op = BLKPG_DEL_PARTITION,
		                       .datalen = sizeof(part),
		                       .data = &part };

	return ioctl(fd, BLKPG, &arg) < 0 && errno != ENXIO && errno != ENOMEDIUM ? -errno : 0;
}

int target_drop_partitions(const struct target *t, struct medium *m, struct ism_error *err)
{
	_devset_ struct devset parts = { 0 };

	if (t->is_file || t->is_partition)
		return 0;
	int r = sysblock_partitions(&sys_root_host, t->device.dev, &parts);

	for (size_t i = 0; r >= 0 && i < parts.n; i++)
		r = drop_one(m->fd, (unsigned)sysblock_number(&sys_root_host, parts.devs[i],
		                                              "partition", 0));
	if (r == -EBUSY)
		return ism_error_refuse(err, r, t->path, "has a partition that is in use");
	return r < 0 ? ism_error_errno(err, r, t->path, ISM_NO_OFFSET,
	                               "cannot make the kernel forget its partitions")
	             : 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Bounded: a machine full of new disks must not hold the job up. */
static void udev_settle(void)
{
	struct udev *udev = udev_new();
	struct udev_queue *queue = udev ? udev_queue_new(udev) : NULL;
	int64_t end = now_ms() + SETTLE_MS;

	if (queue && udev_queue_get_udev_is_active(queue)) {
		struct pollfd p = { .fd = udev_queue_get_fd(queue), .events = POLLIN };

		while (p.fd >= 0 && !udev_queue_get_queue_is_empty(queue)) {
			int64_t left = end - now_ms();

			if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
				break;
			udev_queue_flush(queue);
		}
	}
	if (queue)
		udev_queue_unref(queue);
	if (udev)
		udev_unref(udev);
}

/* EINVAL: this disk has no partitions for the kernel (a loop device without partscan). */
static int reread(int fd)
{
	static const struct timespec wait = { .tv_nsec = RESCAN_WAIT_NS };

	for (unsigned i = 0; ioctl(fd, BLKRRPART) < 0; i++) {
		if (errno == EINVAL || errno == ENOTTY)
			return 0;
		if (errno != EBUSY || i == RESCAN_TRIES)
			return -errno;
		nanosleep(&wait, NULL);
	}
	return 0;
}

int target_rescan(const struct target *t, struct medium *m, struct ism_error *err)
{
	if (t->is_file)
		return 0;
	int r = t->is_partition ? 0 : reread(m->fd);

	flock(t->is_partition ? t->lock_fd : m->fd, LOCK_UN);
	udev_settle();
	if (r == 0)
		return 0;
	ism_error_errno(err, r, t->path, ISM_NO_OFFSET,
	                "cannot make the kernel read the new partition table");
	return ism_error_hint(err, "the disk is written; unplug it and plug it in again");
}

bool target_gone(const struct target *t, const struct medium *m)
{
	uint64_t size = 0, diskseq = 0;
	struct stat st;

	if (t->is_file)
		return m->fd >= 0 && fstat(m->fd, &st) < 0;
	if (ioctl(m->fd, BLKGETSIZE64, &size) < 0)
		return errno == ENODEV || errno == ENXIO || errno == ENOMEDIUM;
	if (size == 0 || !sysblock_has(&sys_root_host, t->dev, "size"))
		return true;
	return !t->is_partition && t->device.diskseq &&
	       ioctl(m->fd, BLKGETDISKSEQ, &diskseq) == 0 && diskseq != t->device.diskseq;
}
