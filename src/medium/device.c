/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Block devices: O_DIRECT where it can be, sizes from the kernel, flush that reaches the medium. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "medium/fdio.h"

#define DEPTH_BYTES_MAX (16 * MIB) /* in flight at most, DESIGN §3 */
#define REQUEST_BYTES   MIB
#define PHYSICAL_MAX    (64 * KIB)

static int device_zero(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	uint64_t range[2] = { offset, len };

	/* Ranges that are not whole sectors are EINVAL; devices without it EOPNOTSUPP: then zeros
	 * are written. */
	if (ioctl(m->fd, BLKZEROOUT, range) == 0)
		return 0;
	return medium_write_zeros(m, offset, len, err);
}

static int device_discard(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	uint64_t range[2] = { offset, len };

	(void)err;
	(void)ioctl(m->fd, BLKDISCARD,
	            range); /* a hint: that a device cannot do it is no failure */
	return 0;
}

static int device_drop_cache(struct medium *m, uint64_t offset, uint64_t len, const char **how,
                             struct ism_error *err)
{
	(void)offset;
	(void)len;
	/* Buffered pages of another opener may hold what a direct read would not see. Not allowed
	 * to all: then O_DIRECT alone has to do, or dropping what is clean. */
	if (ioctl(m->fd, BLKFLSBUF, 0) < 0 && m->align == 1)
		posix_fadvise(m->fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)err;
	*how = m->align > 1 ? "direct" : "dropped";
	return 0;
}

static const struct medium_ops device_ops = {
	.name = "device",
	.read = fdio_read,
	.write = fdio_write,
	.zero = device_zero,
	.discard = device_discard,
	.flush = fdio_flush,
	.drop_cache = device_drop_cache,
	.close = fdio_close,
};

/* min(3 × nr_requests, 16 MiB in requests of 1 MiB): card readers with two slots stall on more. */
static unsigned device_depth(dev_t dev)
{
	char path[96];
	unsigned nr = 0;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/nr_requests", major(dev),
	         minor(dev));
	_fclose_ FILE *f = fopen(path, "re");

	if (!f) { /* a partition: its disk has the queue */
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../queue/nr_requests",
		         major(dev), minor(dev));
		f = fopen(path, "re");
	}
	if (!f || fscanf(f, "%u", &nr) != 1 || nr == 0)
		nr = 2;
	nr = MIN(nr, 1024U);
	return MIN(3 * nr, (unsigned)(DEPTH_BYTES_MAX / REQUEST_BYTES));
}

int device_medium(int fd, const char *path, bool writable, struct medium **ret,
                  struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&device_ops, path);
	unsigned int physical = 0;
	int sector = 0;
	struct stat st;

	if (!m) {
		close(fd);
		return ism_error_oom(err);
	}
	m->fd = fd;
	m->writable = writable;
	if (fstat(fd, &st) < 0 || ioctl(fd, BLKGETSIZE64, &m->size) < 0 ||
	    ioctl(fd, BLKSSZGET, &sector) < 0)
		return ism_error_errno(err, -errno, path, ISM_NO_OFFSET, "cannot ask for its size");
	/* Some bridges claim any power of two; what is not believed is no reason to write more. */
	if (ioctl(fd, BLKPBSZGET, &physical) < 0 || physical < (unsigned)sector ||
	    physical > PHYSICAL_MAX)
		physical = (unsigned)sector;
	m->sector_size = (uint32_t)sector;
	m->physical_size = physical;
	m->depth = device_depth(st.st_rdev);
	if (fdio_set_direct(fd))
		m->align = (uint32_t)sector;
	*ret = take(m);
	return 0;
}

static bool device_claims(const char *ref)
{
	struct stat st;

	return stat(ref, &st) == 0 && S_ISBLK(st.st_mode);
}

static int device_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                       struct ism_error *err)
{
	int fd = open(ref, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0) {
		r = ism_error_errno(err, -errno, ref, ISM_NO_OFFSET, "cannot open");
		if (r == -EACCES)
			ism_error_hint(err,
			               "reading a disk needs root; put sudo before the command");
		return r;
	}
	r = device_medium(fd, ref, false, ret, err);
	if (r == 0)
		(*ret)->stop = options->stop;
	return r;
}

const struct carrier_driver carrier_driver_device = {
	.name = "device",
	.claims = device_claims,
	.open = device_open,
};
