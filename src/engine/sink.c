/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Appending in whole blocks, so that O_DIRECT files work; a checkpoint writes the begun block too,
 * and later again. */
#include "engine/sink.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"

#define BLOCK_LEN ((size_t)MIB)

struct sink {
	struct medium *m; /* NULL: standard output */
	uint8_t *block;   /* the one that is being filled */
	size_t fill;
	uint64_t position; /* of that block */
	uint64_t *digests; /* of whole blocks, in order */
	size_t n, cap;
};

struct sink *sink_new(struct medium *m, struct ism_error *err)
{
	struct sink *s = calloc(1, sizeof(*s));

	if (s)
		s->block = medium_buffer(BLOCK_LEN);
	if (!s || !s->block) {
		ism_error_oom(err);
		return sink_free(s);
	}
	s->m = m;
	return s;
}

struct sink *sink_free(struct sink *s)
{
	if (!s)
		return NULL;
	free(s->block);
	free(s->digests);
	free(s);
	return NULL;
}

uint64_t sink_length(const struct sink *s)
{
	return s->position + s->fill;
}

static int write_out(const uint8_t *p, size_t len, uint64_t offset, struct ism_error *err)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ism_error_errno(err, -errno, "standard output", offset,
			                       "cannot write");
		p += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

static int put_block(struct sink *s, struct ism_error *err)
{
	if (!s->fill)
		return 0;
	if (!s->m)
		return write_out(s->block, s->fill, s->position, err);
	/* The file is as long as what was appended, also when its last block goes out whole. */
	s->m->size = MAX(s->m->size, s->position + s->fill);
	return medium_write(s->m, s->block, s->fill, s->position, err);
}

static int keep_digest(struct sink *s, struct ism_error *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 1024;
		uint64_t *more = realloc(s->digests, cap * sizeof(*more));

		if (!more)
			return ism_error_oom(err);
		s->digests = more;
		s->cap = cap;
	}
	s->digests[s->n++] = digest_of(s->block, s->fill);
	return 0;
}

static int close_block(struct sink *s, struct ism_error *err)
{
	int r = put_block(s, err);

	if (r == 0 && s->m)
		r = keep_digest(s, err);
	s->position += s->fill;
	s->fill = 0;
	return r;
}

int sink_resume(struct sink *s, uint64_t position, struct ism_error *err)
{
	int r = s->m->ops->resize(s->m, position, err);

	while (r == 0 && position - s->position >= BLOCK_LEN) {
		r = medium_read_all(s->m, s->block, BLOCK_LEN, s->position, err);
		s->fill = BLOCK_LEN;
		if (r == 0)
			r = keep_digest(s, err);
		s->position += BLOCK_LEN;
		s->fill = 0;
	}
	if (r < 0)
		return r;
	s->fill = (size_t)(position - s->position);
	return s->fill ? medium_read_all(s->m, s->block, s->fill, s->position, err) : 0;
}

static int sink_write(void *arg, const void *data, size_t len, struct ism_error *err)
{
	struct sink *s = arg;
	const uint8_t *p = data;

	while (len) {
		size_t n = MIN(len, BLOCK_LEN - s->fill);
		int r = 0;

		memcpy(s->block + s->fill, p, n);
		s->fill += n;
		p += n;
		len -= n;
		if (s->fill == BLOCK_LEN)
			r = close_block(s, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int sink_sync(void *arg, struct ism_error *err)
{
	struct sink *s = arg;
	int r = put_block(s, err);

	return r < 0 ? r : medium_flush(s->m, err);
}

struct native_sink sink_native(struct sink *s)
{
	return (struct native_sink){ .write = sink_write,
		                     .sync = s->m ? sink_sync : NULL,
		                     .arg = s };
}

int sink_finish(struct sink *s, struct ism_error *err)
{
	int r = close_block(s, err);

	if (r == 0 && s->m)
		r = s->m->ops->resize(s->m, s->position, err);
	if (r == 0 && s->m)
		r = medium_flush(s->m, err);
	return r;
}

int sink_read_back(struct sink *s, atomic_ullong *done, const atomic_bool *stop,
                   const char **ret_how, struct ism_error *err)
{
	int r = medium_drop_cache(s->m, 0, s->m->size, ret_how, err);

	for (size_t i = 0; i < s->n && r == 0; i++) {
		uint64_t offset = (uint64_t)i * BLOCK_LEN;
		size_t len = (size_t)MIN((uint64_t)BLOCK_LEN, s->position - offset);

		if (atomic_load(stop))
			return ism_error_canceled(err);
		r = medium_read_all(s->m, s->block, len, offset, err);
		if (r == 0 && digest_of(s->block, len) != s->digests[i])
			r = ism_error_set(err, -EIO, s->m->name, offset,
			                  "reads back different from what was written, in the MiB "
			                  "that starts there");
		atomic_fetch_add(done, len);
	}
	return r;
}
