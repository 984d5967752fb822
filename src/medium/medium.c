/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The core that every medium shares: whole reads, the peeked head of a forward medium, defaults. */
#include "medium/medium.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bytes.h"

#define PEEK_MAX MIB
#define HUGE_LEN ((size_t)(2 * MIB))

struct medium *medium_new(const struct medium_ops *ops, const char *name)
{
	struct medium *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->ops = ops;
	m->fd = -1;
	m->align = 1;
	m->size = ISM_SIZE_UNKNOWN;
	m->sector_size = 512;
	m->physical_size = 512;
	m->name = strdup(name);
	return m->name ? m : medium_close(m);
}

struct medium *medium_close(struct medium *m)
{
	if (!m)
		return NULL;
	if (m->ops->close)
		m->ops->close(m);
	free(m->head);
	free(m->name);
	free(m);
	return NULL;
}

void medium_closep(struct medium **m)
{
	*m = medium_close(*m);
}

bool medium_stopped(const struct medium *m)
{
	return m->stop && atomic_load_explicit(m->stop, memory_order_relaxed);
}

void *medium_buffer(size_t len)
{
	size_t align = len < HUGE_LEN ? MEDIUM_BUFFER_ALIGN : HUGE_LEN;
	size_t whole = (size_t)round_up_u64(MAX(len, (size_t)1), align);
	void *buf = aligned_alloc(align, whole);

	if (buf && align == HUGE_LEN)
		madvise(buf, whole, MADV_HUGEPAGE);
	return buf;
}

/* The peeked bytes that the read at *offset is for; they are given once. */
static size_t read_head(struct medium *m, uint8_t *buf, size_t len, uint64_t offset)
{
	if (!m->head_len || offset != m->head_offset)
		return 0;

	size_t n = MIN(len, m->head_len);

	memcpy(buf, m->head, n);
	memmove(m->head, m->head + n, m->head_len - n);
	m->head_len -= n;
	m->head_offset += n;
	return n;
}

/* A forward medium that skips: what lies before @offset will not be asked for any more. */
static void skip_ahead(struct medium *m, uint64_t offset)
{
	if (m->head_len) {
		size_t n = (size_t)MIN(offset - m->head_offset, (uint64_t)m->head_len);

		memmove(m->head, m->head + n, m->head_len - n);
		m->head_len -= n;
		m->head_offset += n;
	}
	m->position = MAX(m->position, offset);
}

static int read_driver(struct medium *m, uint8_t *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	size_t done = 0;

	while (done < len) {
		size_t n = 0;
		int r;

		if (medium_stopped(m))
			return ism_error_canceled(err);
		r = m->ops->read(m, buf + done, len - done, offset + done, &n, err);
		if (r < 0)
			return r;
		if (n == 0)
			break;
		done += n;
		if (m->forward)
			m->position += n;
	}
	*ret_len = done;
	return 0;
}

int medium_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                struct ism_error *err)
{
	size_t head = 0, rest = 0;
	int r;

	if (m->forward) {
		uint64_t next = m->head_len ? m->head_offset : m->position;

		if (m->skips && offset > next)
			skip_ahead(m, offset);
		else if (offset != next)
			return ism_error_set(err, -ESPIPE, m->name, offset,
			                     "can only be read from start to end");
		head = read_head(m, buf, len, offset);
	}
	r = read_driver(m, (uint8_t *)buf + head, len - head, offset + head, &rest, err);
	if (r < 0)
		return r;
	*ret_len = head + rest;
	return 0;
}

int medium_read_all(struct medium *m, void *buf, size_t len, uint64_t offset, struct ism_error *err)
{
	size_t n = 0;
	int r = medium_read(m, buf, len, offset, &n, err);

	if (r < 0)
		return r;
	if (n < len)
		return ism_error_set(err, -EBADMSG, m->name, offset + n, "ends before its time");
	return 0;
}

int medium_peek(struct medium *m, void *buf, size_t len, size_t *ret_len, struct ism_error *err)
{
	size_t more = 0;
	int r;

	if (!m->forward)
		return medium_read(m, buf, len, 0, ret_len, err);
	if (len > PEEK_MAX)
		return ism_error_set(err, -EINVAL, m->name, ISM_NO_OFFSET,
		                     "cannot look that far ahead");
	if (m->position != m->head_len)
		return ism_error_set(err, -ESPIPE, m->name, 0, "has been read already");
	if (m->head_len < len) {
		uint8_t *head = realloc(m->head, len);

		if (!head)
			return ism_error_oom(err);
		m->head = head;
		r = read_driver(m, m->head + m->head_len, len - m->head_len, m->position, &more,
		                err);
		if (r < 0)
			return r;
		m->head_len += more;
	}
	*ret_len = MIN(len, m->head_len);
	memcpy(buf, m->head, *ret_len);
	return 0;
}

int medium_write(struct medium *m, const void *buf, size_t len, uint64_t offset,
                 struct ism_error *err)
{
	if (!m->ops->write || !m->writable)
		return ism_error_set(err, -EROFS, m->name, offset, "cannot be written to");
	return m->ops->write(m, buf, len, offset, err);
}

int medium_write_zeros(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	static const _Alignas(MEDIUM_BUFFER_ALIGN) uint8_t zeros[64 * 1024];

	while (len) {
		size_t n = (size_t)MIN(len, (uint64_t)sizeof(zeros));
		int r = medium_write(m, zeros, n, offset, err);

		if (r < 0)
			return r;
		offset += n;
		len -= n;
	}
	return 0;
}

int medium_zero(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	return m->ops->zero && m->writable ? m->ops->zero(m, offset, len, err)
	                                   : medium_write_zeros(m, offset, len, err);
}

int medium_discard(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	return m->ops->discard ? m->ops->discard(m, offset, len, err) : 0;
}

int medium_flush(struct medium *m, struct ism_error *err)
{
	return m->ops->flush ? m->ops->flush(m, err) : 0;
}

int medium_drop_cache(struct medium *m, uint64_t offset, uint64_t len, const char **ret_how,
                      struct ism_error *err)
{
	*ret_how = "none";
	return m->ops->drop_cache ? m->ops->drop_cache(m, offset, len, ret_how, err) : 0;
}

int medium_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                       struct ism_error *err)
{
	uint64_t end = m->size == ISM_SIZE_UNKNOWN ? INT64_MAX : m->size;

	if (offset >= end)
		return ism_error_set(err, -EINVAL, m->name, offset, "has no extent behind its end");
	if (m->ops->next_extent)
		return m->ops->next_extent(m, offset, ret, err);
	*ret = (struct ism_extent){ offset, end - offset, ISM_EXTENT_DATA };
	return 0;
}
