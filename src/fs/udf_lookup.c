/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A look-up in the directory tree of a UDF disc, such as a Windows installation medium. Specs:
 * ECMA-167 parts 3 and 4, OSTA UDF 1.02. Sectors of 2048 bytes, one plain partition. */
#include "fs/lookup.h"

#define UDF_SECTOR          2048
#define UDF_ANCHOR_OFFSET   (256 * (uint64_t)UDF_SECTOR)
#define UDF_DESCRIPTORS_MAX 64 /* a volume descriptor sequence has 16 sectors or a few more */

enum {
	TAG_ANCHOR = 2,
	TAG_PARTITION = 5,
	TAG_LOGICAL_VOLUME = 6,
	TAG_TERMINATOR = 8,
	TAG_FILE_SET = 256,
	TAG_FILE_ID = 257,
	TAG_FILE = 261,
	TAG_EXTENDED_FILE = 266,
};

/* Tag identifier if the tag's checksum is right, else -1. */
static int tag_of(const uint8_t *p)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < 16; i++)
		if (i != 4)
			sum = (uint8_t)(sum + p[i]);
	return sum == p[4] ? le16_at(p) : -1;
}

static int read_block(const struct view *v, const struct udf *udf, uint32_t block,
                      uint8_t ret[UDF_SECTOR])
{
	uint64_t offset = (uint64_t)block * UDF_SECTOR;

	if (offset >= udf->partition_size)
		return -EBADMSG;
	return view_read(v, ret, UDF_SECTOR, udf->partition_offset + offset);
}

struct volume {
	bool has_partition, has_volume;
	uint16_t partition_number, map_number;
	uint32_t start, len, file_set_block;
};

/* Return: 0, or -EOPNOTSUPP for volumes that are more than one plain partition. */
static int take_descriptor(const uint8_t *d, struct volume *vol)
{
	switch (tag_of(d)) {
	case TAG_PARTITION:
		vol->has_partition = true;
		vol->partition_number = le16_at(d + 22);
		vol->start = le32_at(d + 188);
		vol->len = le32_at(d + 192);
		return 0;
	case TAG_LOGICAL_VOLUME:
		/* One map of type 1 and length 6, logical blocks as long as sectors. */
		if (le32_at(d + 212) != UDF_SECTOR || le32_at(d + 268) != 1 || d[440] != 1 ||
		    d[441] != 6)
			return -EOPNOTSUPP;
		vol->has_volume = true;
		vol->map_number = le16_at(d + 444);
		vol->file_set_block = le32_at(d + 252);
		return 0;
	default:
		return 0;
	}
}

static int read_sequence(const struct view *v, uint32_t len, uint32_t first, struct volume *vol)
{
	uint8_t d[UDF_SECTOR];
	uint32_t n = MIN(len / UDF_SECTOR, (uint32_t)UDF_DESCRIPTORS_MAX);

	for (uint32_t i = 0; i < n; i++) {
		int r = view_read(v, d, sizeof(d), ((uint64_t)first + i) * UDF_SECTOR);

		if (r < 0)
			return r;
		if (tag_of(d) == TAG_TERMINATOR)
			break;
		r = take_descriptor(d, vol);
		if (r < 0)
			return r;
	}
	return vol->has_partition && vol->has_volume && vol->partition_number == vol->map_number
	               ? 0
	               : -EBADMSG;
}

int udf_open(const struct view *v, struct udf *ret)
{
	uint8_t d[UDF_SECTOR];
	struct volume vol = { 0 };
	int r = view_read(v, d, sizeof(d), UDF_ANCHOR_OFFSET);

	if (r == -ERANGE)
		return 0;
	if (r < 0)
		return r;
	if (tag_of(d) != TAG_ANCHOR)
		return 0;
	r = read_sequence(v, le32_at(d + 16), le32_at(d + 20), &vol);
	if (r < 0)
		return r;
	ret->partition_offset = (uint64_t)vol.start * UDF_SECTOR;
	ret->partition_size = (uint64_t)vol.len * UDF_SECTOR;
	r = read_block(v, ret, vol.file_set_block, d);
	if (r < 0)
		return r;
	if (tag_of(d) != TAG_FILE_SET)
		return -EBADMSG;
	ret->root_block = le32_at(d + 404);
	return 1;
}

/* Where the allocation descriptors (or the content itself) of a file entry are. */
static int read_file_entry(const uint8_t *d, struct span *ret_ads, unsigned *ret_kind,
                           struct found_file *ret)
{
	struct span entry = { d, UDF_SECTOR };
	int tag = tag_of(d);
	size_t fixed = tag == TAG_FILE ? 176 : 216;
	uint32_t attributes, ads;

	if (tag != TAG_FILE && tag != TAG_EXTENDED_FILE)
		return -EBADMSG;
	attributes = le32_at(d + fixed - 8);
	ads = le32_at(d + fixed - 4);
	if (attributes > UDF_SECTOR || !span_sub(entry, fixed + attributes, ads, ret_ads))
		return -EBADMSG;
	*ret_kind = le16_at(d + 34) & 7;
	ret->is_directory = d[27] == 4;
	ret->size = le64_at(d + 56);
	return 0;
}

/* Read the content of a directory from its extents: short (kind 0) or long (kind 1) descriptors. */
static int read_extents(const struct view *v, const struct udf *udf, struct span ads, unsigned kind,
                        uint8_t *to, size_t len)
{
	size_t step = kind == 0 ? 8 : 16, done = 0;

	if (kind > 1)
		return -EOPNOTSUPP;
	for (size_t at = 0; at + step <= ads.len && done < len; at += step) {
		uint32_t word = le32_at(ads.p + at);
		uint32_t extent = word & 0x3fffffff;
		uint64_t offset = (uint64_t)le32_at(ads.p + at + 4) * UDF_SECTOR;
		size_t n = MIN((size_t)extent, len - done);
		int r;

		if (word >> 30) /* not recorded, or more descriptors elsewhere */
			return -EOPNOTSUPP;
		if (offset > udf->partition_size || n > udf->partition_size - offset)
			return -EBADMSG;
		r = view_read(v, to + done, n, udf->partition_offset + offset);
		if (r < 0)
			return r;
		done += n;
		if (!n)
			break;
	}
	return done == len ? 0 : -EBADMSG;
}

/* An OSTA compressed name: 8 or 16 bits a character. Only ASCII can equal what we look for. */
static bool name_is(struct span id, struct span name)
{
	uint8_t ascii[64];

	if (id.len < 1)
		return false;
	if (id.p[0] == 8)
		return name_equals((struct span){ id.p + 1, id.len - 1 }, name);
	if (id.p[0] != 16 || (id.len - 1) / 2 != name.len || name.len > sizeof(ascii))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (id.p[1 + 2 * i])
			return false;
		ascii[i] = id.p[2 + 2 * i];
	}
	return name_equals((struct span){ ascii, name.len }, name);
}

/* Look for @name among the file identifiers of a directory. */
static int find_id(struct span dir, struct span name, uint32_t *ret_block)
{
	size_t at = 0;

	while (at + 38 <= dir.len) {
		const uint8_t *fid = dir.p + at;
		size_t use = le16_at(fid + 36), len = fid[19];
		struct span id;

		if (tag_of(fid) != TAG_FILE_ID || !span_sub(dir, at + 38 + use, len, &id))
			return -EBADMSG;
		if (!(fid[18] & 0x0c) && name_is(id, name)) { /* neither deleted nor parent */
			*ret_block = le32_at(fid + 24);
			return 1;
		}
		at += (size_t)round_up_u64(38 + use + len, 4);
	}
	return 0;
}

static int find_in(const struct view *v, const struct udf *udf, const uint8_t *entry,
                   struct span name, uint32_t *ret_block)
{
	_free_ uint8_t *bytes = NULL;
	struct found_file dir;
	struct span ads;
	unsigned kind;
	size_t len;
	int r = read_file_entry(entry, &ads, &kind, &dir);

	if (r < 0 || !dir.is_directory)
		return r;
	if (kind == 3)
		return find_id(ads, name, ret_block);
	len = (size_t)MIN(dir.size, (uint64_t)LOOKUP_DIRECTORY_MAX);
	bytes = malloc(len + 1);
	if (!bytes)
		return -ENOMEM;
	r = read_extents(v, udf, ads, kind, bytes, len);
	return r < 0 ? r : find_id((struct span){ bytes, len }, name, ret_block);
}

int udf_find(const struct view *v, const struct udf *udf, const char *path, struct found_file *ret)
{
	uint32_t block = udf->root_block;
	uint8_t entry[UDF_SECTOR];
	struct found_file file = { 0 };
	struct span ads;
	unsigned kind;
	int r = read_block(v, udf, block, entry);

	while (r >= 0 && path) {
		struct span name = path_part(path, &path);

		r = find_in(v, udf, entry, name, &block);
		if (r != 1)
			return r == -ERANGE ? -EBADMSG : r;
		r = read_block(v, udf, block, entry);
	}
	if (r >= 0)
		r = read_file_entry(entry, &ads, &kind, &file);
	if (r < 0)
		return r == -ERANGE ? -EBADMSG : r;
	/* The place of its first extent; of content inside the entry, the entry's. */
	file.offset =
		udf->partition_offset +
		(uint64_t)(kind < 2 && ads.len >= 8 ? le32_at(ads.p + 4) : block) * UDF_SECTOR;
	*ret = file;
	return 1;
}
