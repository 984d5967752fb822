/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads an undo file as a disk on which only the kept ranges are known; doc/undo-file.md. */
#include "format/undo.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/hash.h"
#include "format/format.h"

struct undo_medium {
	struct medium *file;
	struct undo_index index;
};

static int by_offset(const void *a, const void *b)
{
	const struct undo_entry *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void undo_index_clear(struct undo_index *index)
{
	free(index->old);
	free(index->new);
	index->old = index->new = NULL;
	index->n_old = index->n_new = 0;
}

static int add_entry(struct undo_entry **list, size_t *n, const struct undo_record_disk *rec,
                     uint64_t payload, struct ism_error *err)
{
	if (*n >= UNDO_RECORDS_MAX)
		return ism_error_set(err, -EBADMSG, NULL, payload,
		                     "holds more records than an undo file can");
	if (!(*n & (*n - 1))) { /* grow at each power of two */
		struct undo_entry *more = realloc(*list, (*n ? *n * 2 : 1) * sizeof(**list));

		if (!more)
			return ism_error_oom(err);
		*list = more;
	}
	struct undo_entry *e = &(*list)[(*n)++];

	*e = (struct undo_entry){ .offset = le64_get(rec->offset),
		                  .len = le64_get(rec->len),
		                  .payload = payload,
		                  .stored = le32_get(rec->stored) };
	memcpy(e->sha256, rec->sha256, sizeof(e->sha256));
	return 0;
}

static int read_header(struct medium *file, struct undo_header_disk *h, struct ism_error *err)
{
	uint8_t sum[32];
	int r = medium_read_all(file, h, sizeof(*h), 0, err);

	if (r < 0)
		return r;
	if (memcmp(h->magic, UNDO_MAGIC, sizeof(h->magic)) != 0)
		return ism_error_set(err, -EBADMSG, file->name, 0, "is not an undo file");
	if (le32_get(h->version) != 1)
		return ism_error_set(err, -EOPNOTSUPP, file->name, 8,
		                     "is an undo file of version %u", le32_get(h->version));
	if (hash_sha256(h, sizeof(*h) - sizeof(h->sha256), sum) < 0 ||
	    memcmp(sum, h->sha256, 32) != 0)
		return ism_error_set(err, -EBADMSG, file->name, 0, "has a damaged header");
	h->target[sizeof(h->target) - 1] = '\0';
	return 0;
}

/* 1 = a whole, sound record at `pos`, 0 = the end or a cut-off record. */
static int read_record(struct medium *file, uint64_t pos, struct undo_record_disk *rec,
                       struct ism_error *err)
{
	uint64_t size = file->size;
	size_t n = 0;
	int r;

	if (pos >= size || size - pos < sizeof(*rec))
		return 0;
	r = medium_read(file, rec, sizeof(*rec), pos, &n, err);
	if (r < 0)
		return r;
	if (n < sizeof(*rec) ||
	    digest_of(rec, offsetof(struct undo_record_disk, digest)) != le64_get(rec->digest))
		return 0;
	return le32_get(rec->stored) <= size - pos - sizeof(*rec);
}

static int take_record(struct undo_index *index, const struct undo_record_disk *rec,
                       uint64_t payload, const char *name, struct ism_error *err)
{
	uint64_t offset = le64_get(rec->offset), len = le64_get(rec->len);
	uint64_t size = le64_get(index->header.target_size);

	if (le32_get(rec->tag) == UNDO_TAG_DONE) {
		index->done = true;
		return 0;
	}
	index->done = false; /* a later run went on */
	if (len == 0 || len > UNDO_LEN_MAX || offset > size || len > size - offset)
		return ism_error_set(err, -EBADMSG, name, payload - sizeof(*rec),
		                     "has a record of a range outside its target");
	if (le32_get(rec->tag) == UNDO_TAG_OLD)
		return add_entry(&index->old, &index->n_old, rec, payload, err);
	if (le32_get(rec->tag) == UNDO_TAG_NEW)
		return add_entry(&index->new, &index->n_new, rec, payload, err);
	return ism_error_set(err, -EBADMSG, name, payload - sizeof(*rec),
	                     "has a record of an unknown kind");
}

static int check_old(const struct undo_index *index, const char *name, struct ism_error *err)
{
	for (size_t i = 1; i < index->n_old; i++)
		if (index->old[i - 1].offset + index->old[i - 1].len > index->old[i].offset)
			return ism_error_set(err, -EBADMSG, name, index->old[i].payload,
			                     "keeps one range twice");
	return 0;
}

int undo_index_read(struct medium *file, struct undo_index *ret, struct ism_error *err)
{
	struct undo_index index = { 0 };
	uint64_t pos = sizeof(struct undo_header_disk);
	int r = read_header(file, &index.header, err);

	while (r >= 0) {
		struct undo_record_disk rec;

		r = read_record(file, pos, &rec, err);
		if (r <= 0)
			break;
		r = take_record(&index, &rec, pos + sizeof(rec), file->name, err);
		pos += sizeof(rec) +
		       le32_get(rec.stored); /* grows by at least a record each time */
	}
	index.end = pos;
	if (r == 0 && index.n_old)
		qsort(index.old, index.n_old, sizeof(*index.old), by_offset);
	if (r == 0 && index.n_new)
		qsort(index.new, index.n_new, sizeof(*index.new), by_offset);
	if (r == 0)
		r = check_old(&index, file->name, err);
	if (r < 0) {
		undo_index_clear(&index);
		return r;
	}
	*ret = index;
	return 0;
}

/* The last entry that starts at or before `offset`, or NULL. */
static const struct undo_entry *entry_at(const struct undo_index *index, uint64_t offset)
{
	size_t lo = 0, hi = index->n_old;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (index->old[mid].offset <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &index->old[lo - 1] : NULL;
}

static int undo_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                            struct ism_error *err)
{
	const struct undo_index *index = &((struct undo_medium *)m->priv)->index;
	const struct undo_entry *e = entry_at(index, offset);
	const struct undo_entry *next = e ? e + 1 : index->old;

	(void)err;
	if (e && offset - e->offset < e->len) {
		*ret = (struct ism_extent){ offset, e->offset + e->len - offset, ISM_EXTENT_DATA };
		return 0;
	}
	*ret = (struct ism_extent){ offset,
		                    (index->n_old && next < index->old + index->n_old ? next->offset
		                                                                      : m->size) -
		                            offset,
		                    ISM_EXTENT_SKIPPED };
	return 0;
}

/* The whole content of one record into `out` (e->len bytes), proven by its hash. */
static int read_entry(struct undo_medium *u, const struct undo_entry *e, uint8_t *out,
                      struct ism_error *err)
{
	_free_ uint8_t *stored = malloc(e->stored ? e->stored : 1);
	uint8_t sum[32];
	int r;

	if (!stored)
		return ism_error_oom(err);
	r = medium_read_all(u->file, stored, e->stored, e->payload, err);
	if (r < 0)
		return r;
	if (e->stored == e->len)
		memcpy(out, stored, e->stored);
	else if (ZSTD_decompress(out, e->len, stored, e->stored) != e->len)
		return ism_error_set(err, -EBADMSG, u->file->name, e->payload,
		                     "has a damaged record");
	if (hash_sha256(out, e->len, sum) < 0 || memcmp(sum, e->sha256, 32) != 0)
		return ism_error_set(err, -EBADMSG, u->file->name, e->payload,
		                     "has a damaged record");
	return 0;
}

static int undo_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                     struct ism_error *err)
{
	struct undo_medium *u = m->priv;
	const struct undo_entry *e = entry_at(&u->index, offset);
	_free_ uint8_t *whole = NULL;
	int r;

	if (!e || offset - e->offset >= e->len) {
		if (offset >= m->size) {
			*ret_len = 0;
			return 0;
		}
		return ism_error_set(err, -ENODATA, m->name, offset,
		                     "does not know what was there");
	}
	whole = malloc(e->len);
	if (!whole)
		return ism_error_oom(err);
	r = read_entry(u, e, whole, err);
	if (r < 0)
		return r;
	*ret_len = (size_t)MIN((uint64_t)len, e->len - (offset - e->offset));
	memcpy(buf, whole + (offset - e->offset), *ret_len);
	return 0;
}

static void undo_close(struct medium *m)
{
	struct undo_medium *u = m->priv;

	if (!u)
		return;
	undo_index_clear(&u->index);
	medium_close(u->file);
	free(u);
}

static const struct medium_ops undo_ops = {
	.name = "undo",
	.read = undo_read,
	.next_extent = undo_next_extent,
	.close = undo_close,
};

const struct undo_index *undo_index_of(const struct medium *m)
{
	return m->ops == &undo_ops ? &((struct undo_medium *)m->priv)->index : NULL;
}

static int undo_open(struct medium *carrier, const struct ism_open_options *options,
                     struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&undo_ops, carrier->name);
	struct undo_medium *u = m ? calloc(1, sizeof(*u)) : NULL;
	int r;

	if (!u)
		return ism_error_oom(err);
	m->priv = u;
	if (carrier->forward)
		return ism_error_set(err, -ESPIPE, carrier->name, ISM_NO_OFFSET,
		                     "is an undo file, and those are read from a file only");
	r = undo_index_read(carrier, &u->index, err);
	if (r < 0)
		return r;
	m->size = le64_get(u->index.header.target_size);
	m->sector_size = m->physical_size = le32_get(u->index.header.sector_size);
	m->stop = options->stop;
	u->file = carrier;
	*ret = take(m);
	return 0;
}

const struct format_driver format_driver_undo = {
	.name = "undo",
	.magics = { { 0, UNDO_MAGIC, 8 } },
	.open = undo_open,
};
