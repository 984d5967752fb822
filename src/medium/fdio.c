/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Positioned I/O on a descriptor, O_DIRECT or not, with any length and offset. */
#include "medium/fdio.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

#define BOUNCE_LEN (256 * 1024)

static bool is_aligned(const struct medium *m, const void *buf, size_t len, uint64_t offset)
{
	return m->align <= 1 ||
	       ((uintptr_t)buf % m->align == 0 && len % m->align == 0 && offset % m->align == 0);
}

/* One pread; the caller loops. */
static int read_some(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                     struct ism_error *err)
{
	ssize_t n;

	do
		n = pread(m->fd, buf, len, (off_t)offset);
	while (n < 0 && errno == EINTR && !medium_stopped(m));
	if (n < 0)
		return errno == EINTR
		               ? ism_error_canceled(err)
		               : ism_error_errno(err, -errno, m->name, offset, "cannot read");
	*ret_len = (size_t)n;
	return 0;
}

/* Read a part of some blocks through an aligned buffer. */
static int read_bounced(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                        struct ism_error *err)
{
	uint64_t start = round_down_u64(offset, m->align);
	size_t skip = (size_t)(offset - start);
	size_t want = (size_t)MIN(round_up_u64(skip + len, m->align), (uint64_t)BOUNCE_LEN);
	_free_ void *bounce = medium_buffer(want);
	size_t got = 0;
	int r;

	if (!bounce)
		return ism_error_oom(err);
	r = read_some(m, bounce, want, start, &got, err);
	if (r < 0)
		return r;
	*ret_len = got > skip ? MIN(got - skip, len) : 0;
	memcpy(buf, (uint8_t *)bounce + skip, *ret_len);
	return 0;
}

int fdio_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
              struct ism_error *err)
{
	if (len == 0) {
		*ret_len = 0;
		return 0;
	}
	if (is_aligned(m, buf, len, offset))
		return read_some(m, buf, len, offset, ret_len, err);
	return read_bounced(m, buf, len, offset, ret_len, err);
}

static int write_all(struct medium *m, const uint8_t *buf, size_t len, uint64_t offset,
                     struct ism_error *err)
{
	while (len) {
		ssize_t n = pwrite(m->fd, buf, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ism_error_errno(err, -errno, m->name, offset, "cannot write");
		if (n == 0)
			return ism_error_errno(err, -ENOSPC, m->name, offset, "cannot write");
		buf += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

/* Write [buf, len) that lies within one run of whole blocks: read them, change them, write them. */
static int write_bounced(struct medium *m, const uint8_t *buf, size_t len, uint64_t offset,
                         struct ism_error *err)
{
	uint64_t start = round_down_u64(offset, m->align);
	size_t skip = (size_t)(offset - start);
	size_t whole = (size_t)round_up_u64(skip + len, m->align);
	_free_ void *bounce = medium_buffer(whole);
	size_t got = 0;

	if (!bounce)
		return ism_error_oom(err);
	memset(bounce, 0, whole);
	while (got < whole) {
		size_t n = 0;
		int r = read_some(m, (uint8_t *)bounce + got, whole - got, start + got, &n, err);

		if (r < 0)
			return r;
		if (n == 0 || n % m->align)
			break;
		got += n;
	}
	memcpy((uint8_t *)bounce + skip, buf, len);
	return write_all(m, bounce, whole, start, err);
}

int fdio_write(struct medium *m, const void *buf, size_t len, uint64_t offset,
               struct ism_error *err)
{
	const uint8_t *p = buf;

	while (len) {
		size_t n = len;
		int r;

		if (is_aligned(m, p, len, offset))
			return write_all(m, p, len, offset, err);
		n = (size_t)MIN((uint64_t)n, BOUNCE_LEN - offset % m->align);
		/* The unaligned tail of an aligned start goes by itself. */
		if ((uintptr_t)p % m->align == 0 && offset % m->align == 0 && len >= m->align) {
			n = (size_t)round_down_u64(len, m->align);
			r = write_all(m, p, n, offset, err);
		} else {
			r = write_bounced(m, p, n, offset, err);
		}
		if (r < 0)
			return r;
		p += n;
		len -= n;
		offset += n;
	}
	return 0;
}

int fdio_flush(struct medium *m, struct ism_error *err)
{
	if (fdatasync(m->fd) < 0)
		return ism_error_errno(err, -errno, m->name, ISM_NO_OFFSET,
		                       "cannot make the written data durable");
	return 0;
}

void fdio_close(struct medium *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

bool fdio_set_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
}
