/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Regular files: sources read through the page cache, targets written past it where the file system
 * lets us. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "medium/fdio.h"

#define FILE_ALIGN \
	4096 /* O_DIRECT on a file system: its block size at most, as statfs knows it \
	      */

static int file_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                            struct ism_error *err)
{
	off_t data = lseek(m->fd, (off_t)offset, SEEK_DATA);
	enum ism_extent_kind kind = ISM_EXTENT_ZERO;
	uint64_t end;

	(void)err;
	if (data < 0) {
		/* ENXIO: nothing but a hole up to the end. Else this file system cannot tell: all
		 * is data. */
		kind = errno == ENXIO ? ISM_EXTENT_ZERO : ISM_EXTENT_DATA;
		end = m->size;
	} else if ((uint64_t)data > offset) {
		end = MIN((uint64_t)data, m->size);
	} else {
		off_t hole = lseek(m->fd, (off_t)offset, SEEK_HOLE);

		kind = ISM_EXTENT_DATA;
		end = hole < 0 || (uint64_t)hole <= offset ? m->size : MIN((uint64_t)hole, m->size);
	}
	*ret = (struct ism_extent){ offset, end - offset, kind };
	return 0;
}

static int file_zero(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
	              (off_t)len) == 0)
		return 0;
	return medium_write_zeros(m, offset, len, err);
}

static int file_resize(struct medium *m, uint64_t size, struct ism_error *err)
{
	if (ftruncate(m->fd, (off_t)size) < 0)
		return ism_error_errno(err, -errno, m->name, ISM_NO_OFFSET,
		                       "cannot make it %llu bytes long", (unsigned long long)size);
	m->size = size;
	return 0;
}

/* O_DIRECT reads pass by the cache; otherwise clean pages are dropped, and then read anew. */
static int file_drop_cache(struct medium *m, uint64_t offset, uint64_t len, const char **how,
                           struct ism_error *err)
{
	(void)err;
	posix_fadvise(m->fd, (off_t)offset, (off_t)len, POSIX_FADV_DONTNEED);
	*how = m->align > 1 ? "direct" : "dropped";
	return 0;
}

/* A write into the last part of a block goes out as a whole block: the file must not keep that
 * growth. */
static int file_write(struct medium *m, const void *buf, size_t len, uint64_t offset,
                      struct ism_error *err)
{
	int r = fdio_write(m, buf, len, offset, err);

	if (r < 0)
		return r;
	if (m->align > 1 && m->size % m->align &&
	    offset + len > round_down_u64(m->size, m->align) && offset + len <= m->size &&
	    ftruncate(m->fd, (off_t)m->size) < 0)
		return ism_error_errno(err, -errno, m->name, offset, "cannot set the length");
	return 0;
}

static const struct medium_ops file_ops = {
	.name = "file",
	.read = fdio_read,
	.write = file_write,
	.zero = file_zero,
	.flush = fdio_flush,
	.drop_cache = file_drop_cache,
	.next_extent = file_next_extent,
	.resize = file_resize,
	.close = fdio_close,
};

static int file_medium(int fd, const char *path, bool writable, struct medium **ret,
                       struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&file_ops, path);
	struct stat st;

	if (!m) {
		close(fd);
		return ism_error_oom(err);
	}
	m->fd = fd;
	m->writable = writable;
	if (fstat(fd, &st) < 0)
		return ism_error_errno(err, -errno, path, ISM_NO_OFFSET, "cannot look at it");
	m->size = (uint64_t)st.st_size;
	*ret = take(m);
	return 0;
}

static bool file_claims(const char *ref)
{
	(void)ref;
	return true; /* the last one asked; says itself what it cannot open */
}

static int file_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                     struct ism_error *err)
{
	_close_ int fd = open(ref, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0) {
		r = ism_error_errno(err, -errno, ref, ISM_NO_OFFSET, "cannot open");
		return errno == ENOENT || err->code == -ENOENT ? ism_error_status(err, ISM_USAGE)
		                                               : r;
	}
	if (fstat(fd, &st) < 0)
		return ism_error_errno(err, -errno, ref, ISM_NO_OFFSET, "cannot look at it");
	if (S_ISDIR(st.st_mode)) {
		ism_error_usage(err, ref, "is a directory, not an image");
		return ism_error_hint(err, "name the image file in it");
	}
	if (!S_ISREG(st.st_mode))
		return ism_error_usage(err, ref, "is neither a file nor a disk");
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r = file_medium(take_fd(&fd), ref, false, ret, err);
	if (r == 0)
		(*ret)->stop = options->stop;
	return r;
}

const struct carrier_driver carrier_driver_file = {
	.name = "file",
	.claims = file_claims,
	.open = file_open,
};

/* O_DIRECT where it really works: some file systems take the flag and fail the first read. */
static void file_try_direct(struct medium *m)
{
	_free_ void *probe = medium_buffer(FILE_ALIGN);

	if (!probe || !fdio_set_direct(m->fd))
		return;
	if (pread(m->fd, probe, FILE_ALIGN, 0) >= 0) {
		m->align = FILE_ALIGN;
		return;
	}
	int flags = fcntl(m->fd, F_GETFL);

	if (flags >= 0)
		fcntl(m->fd, F_SETFL, flags & ~O_DIRECT);
}

int file_open_target(const char *path, struct medium **ret, struct ism_error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return ism_error_errno(err, -errno, path, ISM_NO_OFFSET, "cannot open for writing");
	r = file_medium(fd, path, true, ret, err);
	if (r == 0)
		file_try_direct(*ret);
	return r;
}

int file_create(const char *path, struct medium **ret, struct ism_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666);
	int r;

	if (fd < 0)
		return ism_error_errno(err, -errno, path, ISM_NO_OFFSET, "cannot create");
	r = file_medium(fd, path, true, ret, err);
	if (r == 0)
		file_try_direct(*ret);
	return r;
}
