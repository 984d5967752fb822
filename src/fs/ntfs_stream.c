/* SPDX-License-Identifier: GPL-3.0-or-later */
/* NTFS attributes: in one file record, or in many by an attribute list; their runs, and reading
 * through them. Spec: the NTFS on-disk structures as documented by the Linux-NTFS project. */
#include <stdlib.h>
#include <string.h>

#include "fs/ntfs.h"

#define LIST_MAX     (256 * KIB) /* NTFS itself allows no longer attribute list */
#define RUNS_MAX     (4u << 20)  /* of one stream: 96 MiB */
#define REFERENCE(v) ((v)&0xffffffffffff)

/* An attribute as it lies in a file record; checked to be wholly inside it. */
struct attribute {
	struct span raw;
	uint32_t type;
	struct span name;
	bool has_runs;
	uint64_t first_vcn;
};

void ntfs_stream_clear(struct ntfs_stream *s)
{
	free(s->resident);
	free(s->runs);
	*s = (struct ntfs_stream){ 0 };
}

static bool name_is(struct span utf16, const char *ascii)
{
	if (utf16.len != 2 * strlen(ascii))
		return false;
	for (size_t i = 0; ascii[i]; i++)
		if (le16_at(utf16.p + 2 * i) != (uint8_t)ascii[i])
			return false;
	return true;
}

/* The attribute at *at, which moves behind it. Return: 1, 0 = there are no more, -EBADMSG. */
static int next_attribute(struct span record, size_t *at, struct attribute *ret)
{
	struct attribute a = { 0 };
	uint32_t len;

	if (record.len - *at < 4)
		return -EBADMSG;
	a.type = le32_at(record.p + *at);
	if (a.type == UINT32_MAX)
		return 0;
	if (record.len - *at < 24)
		return -EBADMSG;
	len = le32_at(record.p + *at + 4);
	if (len < 24 || len % 8 || !span_sub(record, *at, len, &a.raw) ||
	    !span_sub(a.raw, le16_at(a.raw.p + 10), 2U * a.raw.p[9], &a.name))
		return -EBADMSG;
	a.has_runs = a.raw.p[8] != 0;
	if (a.has_runs && len < 64)
		return -EBADMSG;
	a.first_vcn = a.has_runs ? le64_at(a.raw.p + 16) : 0;
	*at += len; /* grows: the walk ends */
	*ret = a;
	return 1;
}

/* @vcn: the piece of the attribute that begins there. Return: 0, -ENOENT, -EBADMSG. */
static int find_attribute(const struct ntfs *fs, const uint8_t *record, uint32_t type,
                          const char *name, uint64_t vcn, struct attribute *ret)
{
	size_t used = le32_at(record + 24), at = le16_at(record + 20);
	struct span all = { record, used };
	int r;

	if (used > fs->record_size || at < 42 || at % 8 || at > used)
		return -EBADMSG;
	while ((r = next_attribute(all, &at, ret)) == 1)
		if (ret->type == type && ret->first_vcn == vcn && name_is(ret->name, name))
			return 0;
	return r < 0 ? r : -ENOENT;
}

static uint64_t read_number(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static int64_t read_signed(const uint8_t *p, unsigned n)
{
	uint64_t v = read_number(p, n);

	if (n && n < 8 && (p[n - 1] & 0x80))
		v |= UINT64_MAX << (8 * n);
	return (int64_t)v;
}

static int add_run(const struct ntfs *fs, struct ntfs_stream *s, uint64_t lcn, uint64_t len)
{
	struct ntfs_run *more;

	if (len == 0 || len > INT64_MAX || s->clusters > INT64_MAX - len || s->n >= RUNS_MAX)
		return -EBADMSG;
	if (lcn != NTFS_HOLE && (lcn >= fs->n_clusters || len > fs->n_clusters - lcn))
		return -EBADMSG;
	if (s->n % 64 == 0 && (s->n & (s->n - 1)) == 0) { /* room for 64, 128, 256 … */
		more = realloc(s->runs, MAX(2 * s->n, (size_t)64) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->runs = more;
	}
	s->runs[s->n++] = (struct ntfs_run){ s->clusters, lcn, len };
	s->clusters += len;
	return 0;
}

/* Mapping pairs: a byte with two lengths, a count of clusters, a signed distance from the last run;
 * without the distance it is a hole. */
static int add_pairs(const struct ntfs *fs, struct ntfs_stream *s, struct span pairs)
{
	int64_t lcn = 0;

	for (size_t at = 0; at < pairs.len && pairs.p[at];) {
		unsigned n = pairs.p[at] & 0x0f, d = pairs.p[at] >> 4;
		struct span raw;
		int r;

		if (n == 0 || n > 8 || d > 8 || !span_sub(pairs, at + 1, n + d, &raw) ||
		    add_overflows(lcn, read_signed(raw.p + n, d), &lcn) || lcn < 0)
			return -EBADMSG;
		r = add_run(fs, s, d ? (uint64_t)lcn : NTFS_HOLE, read_number(raw.p, n));
		if (r < 0)
			return r;
		at += 1 + n + d;
	}
	return 0;
}

static int add_resident(struct ntfs_stream *s, const struct attribute *a)
{
	struct span value;

	if (s->resident || s->n ||
	    !span_sub(a->raw, le16_at(a->raw.p + 20), le32_at(a->raw.p + 16), &value))
		return -EBADMSG;
	s->resident = malloc(value.len + 1);
	if (!s->resident)
		return -ENOMEM;
	memcpy(s->resident, value.p, value.len);
	s->size = s->initialized = value.len;
	s->plain = true;
	return 0;
}

/* The next piece of a stream; pieces follow each other without a gap. */
static int add_piece(const struct ntfs *fs, struct ntfs_stream *s, const struct attribute *a)
{
	uint32_t pairs_at = le16_at(a->raw.p + 32);
	struct span pairs;
	int r;

	if (!a->has_runs)
		return add_resident(s, a);
	if (s->resident || a->first_vcn != s->clusters || pairs_at < 64 ||
	    !span_sub(a->raw, pairs_at, a->raw.len - MIN(pairs_at, a->raw.len), &pairs))
		return -EBADMSG;
	if (a->first_vcn == 0) {
		s->size = le64_at(a->raw.p + 48);
		s->initialized = le64_at(a->raw.p + 56);
		s->plain = (le16_at(a->raw.p + 12) & 0xc0ff) == 0;
	}
	r = add_pairs(fs, s, pairs);
	if (r < 0)
		return r;
	/* The last cluster of the piece; -1 if it has none. */
	return s->clusters - 1 == le64_at(a->raw.p + 24) ? 0 : -EBADMSG;
}

/* One entry of an attribute list: a piece in record @base or in one of its extensions. */
static int add_listed(const struct ntfs *fs, uint64_t number, const uint8_t *base,
                      const uint8_t *entry, uint32_t type, const char *name, uint8_t *buf,
                      struct ntfs_stream *s)
{
	uint64_t reference = le64_at(entry + 16);
	const uint8_t *record = base;
	struct attribute a;
	int r;

	if (REFERENCE(reference) != number) {
		r = ntfs_read_record(fs, REFERENCE(reference), buf);
		if (r < 0)
			return r;
		if (REFERENCE(le64_at(buf + 32)) != number || le16_at(buf + 16) != reference >> 48)
			return -EBADMSG;
		record = buf;
	}
	r = find_attribute(fs, record, type, name, le64_at(entry + 8), &a);
	return r == 0 ? add_piece(fs, s, &a) : r == -ENOENT ? -EBADMSG : r;
}

/* Return: 1 = there was at least one, 0, or as all that read. */
static int add_all_listed(const struct ntfs *fs, uint64_t number, const uint8_t *base,
                          struct span list, uint32_t type, const char *name, struct ntfs_stream *s)
{
	_free_ uint8_t *buf = malloc(fs->record_size);
	bool any = false;
	uint32_t len;

	if (!buf)
		return -ENOMEM;
	for (size_t at = 0; at < list.len; at += len) {
		struct span entry, entry_name;
		int r;

		if (list.len - at < 26)
			return -EBADMSG;
		len = le16_at(list.p + at + 4);
		if (len < 26 || !span_sub(list, at, len, &entry) ||
		    !span_sub(entry, entry.p[7], 2U * entry.p[6], &entry_name))
			return -EBADMSG;
		if (le32_at(entry.p) != type || !name_is(entry_name, name))
			continue;
		r = add_listed(fs, number, base, entry.p, type, name, buf, s);
		if (r < 0)
			return r;
		any = true;
	}
	return any;
}

static int read_list(const struct ntfs *fs, const struct attribute *a, struct ntfs_stream *ret,
                     uint8_t **ret_bytes)
{
	int r = add_piece(fs, ret, a);

	if (r < 0)
		return r;
	if (ret->size > LIST_MAX || !ret->plain)
		return -EBADMSG;
	*ret_bytes = malloc((size_t)ret->size + 1);
	if (!*ret_bytes)
		return -ENOMEM;
	return ntfs_stream_read(fs, ret, *ret_bytes, (size_t)ret->size, 0);
}

/* All pieces of an attribute, given the base record of its file. While $MFT itself is collected,
 * its first pieces are what its later ones are found by. */
static int collect(const struct ntfs *fs, uint64_t number, const uint8_t *base, uint32_t type,
                   const char *name, struct ntfs_stream *s)
{
	_ntfs_stream_ struct ntfs_stream list = { 0 };
	_free_ uint8_t *bytes = NULL;
	struct attribute a;
	int r = find_attribute(fs, base, NTFS_ATTRIBUTE_LIST, "", 0, &a);

	if (r == -ENOENT) {
		r = find_attribute(fs, base, type, name, 0, &a);
		return r < 0 ? r : add_piece(fs, s, &a);
	}
	if (r == 0)
		r = read_list(fs, &a, &list, &bytes);
	if (r < 0)
		return r;
	r = add_all_listed(fs, number, base, (struct span){ bytes, (size_t)list.size }, type, name,
	                   s);
	return r == 0 ? -ENOENT : MIN(r, 0);
}

int ntfs_stream_open(const struct ntfs *fs, uint64_t number, uint32_t type, const char *name,
                     struct ntfs_stream *ret)
{
	_free_ uint8_t *base = malloc(fs->record_size);
	_ntfs_stream_ struct ntfs_stream s = { 0 };
	int r;

	if (!base)
		return -ENOMEM;
	r = ntfs_read_record(fs, number, base);
	if (r < 0)
		return r;
	if (le64_at(base + 32) != 0) /* an extension of another file */
		return -EBADMSG;
	r = collect(fs, number, base, type, name, &s);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct ntfs_stream){ 0 };
	return 0;
}

int ntfs_load_mft(struct ntfs *fs)
{
	_free_ uint8_t *record = malloc(fs->record_size);
	int r;

	if (!record)
		return -ENOMEM;
	r = medium_read_all(fs->m, record, fs->record_size, fs->mft_lcn * fs->cluster_size, NULL);
	if (r < 0)
		return r;
	r = ntfs_unprotect(record, fs->record_size, "FILE");
	if (r == 0)
		r = collect(fs, NTFS_FILE_MFT, record, NTFS_DATA, "", &fs->mft);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (fs->mft.resident || !fs->mft.plain || fs->mft.n == 0 ||
	    fs->mft.runs[0].lcn != fs->mft_lcn)
		return -EBADMSG;
	return 0;
}

/* The run that holds cluster @vcn, which is below s->clusters. */
static const struct ntfs_run *run_at(const struct ntfs_stream *s, uint64_t vcn)
{
	size_t low = 0, high = s->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (s->runs[mid].vcn <= vcn)
			low = mid;
		else
			high = mid;
	}
	return &s->runs[low];
}

int ntfs_stream_read(const struct ntfs *fs, const struct ntfs_stream *s, void *buf, size_t len,
                     uint64_t offset)
{
	uint8_t *out = buf;

	if (offset > s->size || len > s->size - offset)
		return -ERANGE;
	if (s->resident) {
		memcpy(out, s->resident + offset, len);
		return 0;
	}
	while (len) {
		uint64_t vcn = offset / fs->cluster_size, within = offset % fs->cluster_size, n;
		const struct ntfs_run *run;
		int r = 0;

		if (vcn >= s->clusters)
			return -EBADMSG;
		run = run_at(s, vcn);
		n = run->vcn + run->len - vcn; /* clusters that are left of the run */
		n = n > len / fs->cluster_size + 1
		            ? len
		            : MIN(n * fs->cluster_size - within, (uint64_t)len);
		if (offset >= s->initialized || run->lcn == NTFS_HOLE) {
			memset(out, 0, (size_t)n);
		} else {
			n = MIN(n, s->initialized - offset);
			r = medium_read_all(fs->m, out, (size_t)n,
			                    (run->lcn + vcn - run->vcn) * fs->cluster_size + within,
			                    NULL);
		}
		if (r < 0)
			return r;
		out += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}
