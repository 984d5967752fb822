/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes undo files (doc/undo-file.md) and checks them against their target. */
#include "engine/undo.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/hash.h"

struct range {
	uint64_t from, to;
};

struct undo {
	int fd;
	char *path;
	uint64_t end; /* where the next record goes */
	uint8_t *packed;
	size_t packed_cap;
	struct range *kept; /* sorted, merged: what has been kept */
	size_t n_kept, kept_cap;
	bool synced; /* the name itself is durable */
};

struct undo *undo_free(struct undo *u)
{
	if (!u)
		return NULL;
	if (u->fd >= 0)
		close(u->fd);
	free(u->path);
	free(u->packed);
	free(u->kept);
	free(u);
	return NULL;
}

static int write_at(struct undo *u, const void *data, size_t len, struct ism_error *err)
{
	const uint8_t *p = data;

	while (len) {
		ssize_t n = pwrite(u->fd, p, len, (off_t)u->end);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ism_error_errno(err, n < 0 ? -errno : -ENOSPC, u->path, u->end,
			                       "cannot keep what is to be overwritten");
		p += n;
		len -= (size_t)n;
		u->end += (uint64_t)n;
	}
	return 0;
}

static int write_record(struct undo *u, uint32_t tag, uint64_t offset, const uint8_t *data,
                        size_t len, const uint8_t *payload, size_t stored, struct ism_error *err)
{
	struct undo_record_disk rec = { .tag = le32_of(tag),
		                        .stored = le32_of((uint32_t)stored),
		                        .offset = le64_of(offset),
		                        .len = le64_of(len),
		                        .payload_digest = le64_of(digest_of(payload, stored)) };
	uint64_t start = u->end;
	int r;

	if (len && hash_sha256(data, len, rec.sha256) < 0)
		return ism_error_oom(err);
	rec.digest = le64_of(digest_of(&rec, offsetof(struct undo_record_disk, digest)));
	r = write_at(u, &rec, sizeof(rec), err);
	if (r == 0 && stored)
		r = write_at(u, payload, stored, err);
	if (r < 0)
		u->end = start;
	return r;
}

/* Mark [from, to) as kept; the list stays sorted and merged. */
static int mark_kept(struct undo *u, uint64_t from, uint64_t to)
{
	size_t i = u->n_kept, j;

	while (i > 0 && u->kept[i - 1].to >= from)
		i--;
	for (j = i; j < u->n_kept && u->kept[j].from <= to; j++) {
		from = MIN(from, u->kept[j].from);
		to = MAX(to, u->kept[j].to);
	}
	if (j == i && u->n_kept == u->kept_cap) {
		size_t cap = u->kept_cap ? u->kept_cap * 2 : 64;
		struct range *more = realloc(u->kept, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		u->kept = more;
		u->kept_cap = cap;
	}
	memmove(u->kept + i + 1, u->kept + j, (u->n_kept - j) * sizeof(*u->kept));
	u->kept[i] = (struct range){ from, to };
	u->n_kept = u->n_kept - (j - i) + 1;
	return 0;
}

static int keep_part(struct undo *u, uint64_t offset, const uint8_t *old, size_t len,
                     struct ism_error *err)
{
	size_t bound = ZSTD_compressBound(len), stored;
	const uint8_t *payload = u->packed;
	int r;

	if (u->packed_cap < bound) {
		uint8_t *more = realloc(u->packed, bound);

		if (!more)
			return ism_error_oom(err);
		u->packed = more;
		u->packed_cap = bound;
	}
	payload = u->packed;
	stored = ZSTD_compress(u->packed, u->packed_cap, old, len, 1);
	if (ZSTD_isError(stored) || stored >= len) {
		payload = old;
		stored = len;
	}
	r = write_record(u, UNDO_TAG_OLD, offset, old, len, payload, stored, err);
	if (r == 0 && mark_kept(u, offset, offset + len) < 0)
		return ism_error_oom(err);
	return r;
}

int undo_keep(struct undo *u, uint64_t offset, const uint8_t *old, size_t len,
              struct ism_error *err)
{
	uint64_t at = offset, end = offset + len;

	while (at < end) {
		uint64_t next = end; /* start of the next kept range */
		int r;

		for (size_t i = 0; i < u->n_kept; i++) {
			if (u->kept[i].to <= at)
				continue;
			if (u->kept[i].from <= at) {
				at = MIN(u->kept[i].to, end);
				continue;
			}
			next = MIN(u->kept[i].from, end);
			break;
		}
		if (at >= end)
			break;
		r = keep_part(u, at, old + (at - offset), (size_t)(next - at), err);
		if (r < 0)
			return r;
		at = next;
	}
	return 0;
}

static int sync_name(struct undo *u)
{
	char *copy = strdup(u->path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;

	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

int undo_commit(struct undo *u, struct ism_error *err)
{
	if (fdatasync(u->fd) < 0 || (!u->synced && sync_name(u) < 0))
		return ism_error_errno(err, -errno, u->path, ISM_NO_OFFSET,
		                       "cannot make what is to be overwritten durable");
	u->synced = true;
	return 0;
}

int undo_note_new(struct undo *u, uint64_t offset, const uint8_t *data, size_t len,
                  struct ism_error *err)
{
	return write_record(u, UNDO_TAG_NEW, offset, data, len, NULL, 0, err);
}

int undo_finish(struct undo *u, struct ism_error *err)
{
	int r = write_record(u, UNDO_TAG_DONE, 0, NULL, 0, NULL, 0, err);

	return r < 0 ? r : undo_commit(u, err);
}

static void describe(const struct target *target, char *buf, size_t cap)
{
	const struct ism_device *d = &target->device;

	snprintf(buf, cap, "%s %s %s", target->path, d->model ? d->model : "",
	         d->serial ? d->serial : "");
}

/* A disk with a serial number may have got another name since. */
static bool is_described(const struct target *target, const char *was, size_t cap)
{
	_free_ char *now = calloc(1, cap);
	const char *a = strchr(was, ' '), *b;

	if (!now)
		return false;
	describe(target, now, cap);
	b = strchr(now, ' ');
	return strcmp(was, now) == 0 || (target->device.serial && a && b && strcmp(a, b) == 0);
}

static int write_header(struct undo *u, const struct target *target, uint64_t size,
                        uint32_t sector_size, struct ism_error *err)
{
	struct undo_header_disk h = { .version = le32_of(1),
		                      .sector_size = le32_of(sector_size),
		                      .target_size = le64_of(size) };

	memcpy(h.magic, UNDO_MAGIC, sizeof(h.magic));
	describe(target, (char *)h.target, sizeof(h.target));
	if (getrandom(h.uuid, sizeof(h.uuid), 0) != sizeof(h.uuid) ||
	    hash_sha256(&h, sizeof(h) - sizeof(h.sha256), h.sha256) < 0)
		return ism_error_set(err, -EIO, u->path, ISM_NO_OFFSET, "cannot make an undo file");
	return write_at(u, &h, sizeof(h), err);
}

/* An unfinished undo file of this very target: go on behind its last whole record. */
static int resume(struct undo *u, const struct target *target, uint64_t size, struct ism_error *err)
{
	static const struct ism_open_options plain = { .raw = true };
	_medium_ struct medium *file = NULL;
	struct undo_index index = { 0 };
	int r = carrier_open(u->path, &plain, &file, err);

	if (r == 0)
		r = undo_index_read(file, &index, err);
	if (r < 0)
		return ism_error_status(err, ISM_REFUSED), r;
	if (index.done || le64_get(index.header.target_size) != size ||
	    !is_described(target, (const char *)index.header.target, sizeof(index.header.target)))
		r = ism_error_refuse(err, -EEXIST, u->path,
		                     index.done ? "is the undo file of a finished job"
		                                : "is the undo file of another target");
	for (size_t i = 0; i < index.n_old && r == 0; i++)
		if (mark_kept(u, index.old[i].offset, index.old[i].offset + index.old[i].len) < 0)
			r = ism_error_oom(err);
	u->end = index.end;
	undo_index_clear(&index);
	if (r == 0 && ftruncate(u->fd, (off_t)u->end) < 0)
		r = ism_error_errno(err, -errno, u->path, u->end, "cannot go on");
	return r;
}

int undo_create(const char *path, const struct target *target, uint64_t size, uint32_t sector_size,
                struct undo **ret, struct ism_error *err)
{
	struct undo *u = calloc(1, sizeof(*u));
	struct stat st;
	int r;

	if (!u || !(u->path = strdup(path))) {
		free(u);
		return ism_error_oom(err);
	}
	u->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
	if (u->fd < 0 || fstat(u->fd, &st) < 0)
		r = ism_error_errno(err, -errno, path, ISM_NO_OFFSET,
		                    "cannot create the undo file");
	else if (!S_ISREG(st.st_mode))
		r = ism_error_usage(err, path, "is not a regular file, as an undo file must be");
	else if (st.st_size)
		r = resume(u, target, size, err);
	else
		r = write_header(u, target, size, sector_size, err);
	if (r < 0) {
		undo_free(u);
		return r;
	}
	*ret = u;
	return 0;
}

bool undo_covers(const struct undo_index *index, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < index->n_old && from < to; i++)
		if (index->old[i].offset <= from && from - index->old[i].offset < index->old[i].len)
			from = index->old[i].offset + index->old[i].len;
	return from >= to;
}

static bool is_known_new(const struct undo_index *index, uint64_t offset, uint64_t len,
                         const uint8_t *sum)
{
	for (size_t i = 0; i < index->n_new; i++)
		if (index->new[i].offset == offset &&
		    index->new[i].len == len &&memcmp(index->new[i].sha256, sum, 32) == 0)
			return true;
	return false;
}

/* Does [offset, offset + len) hold what was there before? */
static bool is_old(struct medium *source, const struct undo_index *index, uint64_t offset,
                   size_t len, const uint8_t *now)
{
	_free_ uint8_t *old = malloc(len);

	return old && undo_covers(index, offset, offset + len) &&
	       medium_read_all(source, old, len, offset, NULL) == 0 && memcmp(old, now, len) == 0;
}

/* 1 = the target's start is blank and was not made so by the job itself when it was done: that job,
 * or an undoing of it, was interrupted. What it was writing then may be half new and half old, and
 * cannot be told from changes by others; nobody works with a disk whose first MiB is blank. */
static int was_interrupted(const struct undo_index *index, struct medium *target, uint8_t *buf,
                           struct ism_error *err)
{
	size_t len = (size_t)MIN(UNDO_LEN_MAX, target->size);
	uint8_t sum[32];
	int r = medium_read_all(target, buf, len, 0, err);

	if (r < 0)
		return r;
	if (!len || buf[0] || memcmp(buf, buf + 1, len - 1) != 0)
		return 0;
	for (size_t i = 0; i < index->n_new; i++) {
		const struct undo_entry *e = &index->new[i];

		if (e->offset || e->len > len)
			continue;
		if (hash_sha256(buf, (size_t)e->len, sum) < 0)
			return ism_error_oom(err);
		if (memcmp(sum, e->sha256, 32) == 0)
			return 0;
	}
	return 1;
}

int undo_check(struct medium *source, struct medium *target, struct ism_error *err)
{
	const struct undo_index *index = undo_index_of(source);
	_free_ uint8_t *now = medium_buffer(UNDO_LEN_MAX);
	int status = now ? 0 : ism_error_oom(err);

	/* All of the undo file is whole before anything is put back. */
	for (size_t i = 0; i < index->n_old && status == 0; i++)
		status = medium_read_all(source, now, (size_t)index->old[i].len,
		                         index->old[i].offset, err);
	if (status == 0)
		status = was_interrupted(index, target, now, err);
	if (status != 0)
		return MIN(status, 0);
	for (size_t i = 0; i < index->n_new; i++) {
		const struct undo_entry *e = &index->new[i];
		uint8_t sum[32];
		int r = medium_read_all(target, now, (size_t)e->len, e->offset, err);

		if (r < 0)
			return r;
		if (hash_sha256(now, (size_t)e->len, sum) < 0)
			return ism_error_oom(err);
		if (memcmp(sum, e->sha256, 32) == 0 ||
		    is_known_new(index, e->offset, e->len, sum) ||
		    is_old(source, index, e->offset, (size_t)e->len, now))
			continue;
		ism_error_refuse(err, -ESTALE, target->name,
		                 "has changed since that job: the %llu bytes at byte %llu are "
		                 "neither what it "
		                 "wrote nor what was there before",
		                 (unsigned long long)e->len, (unsigned long long)e->offset);
		return ism_error_hint(
			err, "something else has written to it; undoing would destroy that");
	}
	return 0;
}
