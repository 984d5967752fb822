/* SPDX-License-Identifier: GPL-3.0-or-later */
/* NTFS allocation maps from $Bitmap, once nothing speaks against believing it. Spec: the NTFS
 * on-disk structures as documented by the Linux-NTFS project. */
#include <stdlib.h>
#include <string.h>

#include "fs/map_bits.h"
#include "fs/ntfs.h"

#define MIRRORED    4 /* file records that $MFTMirr holds at least */
#define BITMAP_STEP ((size_t)MIB)

static bool is_fatal(int r)
{
	return r == -ENOMEM || r == -ECANCELED;
}

static int take_names(const struct ntfs *fs, struct fs_facts *facts)
{
	_ntfs_stream_ struct ntfs_stream name = { 0 };
	int r = ntfs_stream_open(fs, NTFS_FILE_VOLUME, NTFS_VOLUME_NAME, "", &name);

	facts->uuid = text_format("%016llX", (unsigned long long)fs->serial);
	if (!facts->uuid)
		return -ENOMEM;
	if (r < 0 || !name.resident)
		return is_fatal(r) ? r : 0;
	facts->label = name.size >= 2 ? text_utf16le(name.resident, (size_t)name.size / 2) : NULL;
	return name.size >= 2 && !facts->label ? -ENOMEM : 0;
}

/* The content of two protected records, without the update sequence, which each copy has of its
 * own. */
static bool same_record(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t at = le16_at(a + 20), used = le32_at(a + 24);

	return used <= len && at <= used && memcmp(a + 16, b + 16, 26) == 0 &&
	       memcmp(a + at, b + at, used - at) == 0;
}

/* Return: 1 = $MFTMirr says what the first records of $MFT say, 0 = not, or why not read. */
static int is_mirrored(const struct ntfs *fs)
{
	size_t size = fs->record_size;
	_free_ uint8_t *a = malloc(size), *b = malloc(size);

	if (!a || !b)
		return -ENOMEM;
	for (unsigned i = 0; i < MIRRORED; i++) {
		int r = ntfs_read_record(fs, i, a);

		if (r == 0)
			r = medium_read_all(fs->m, b, size,
			                    fs->mirror_lcn * fs->cluster_size + i * size, NULL);
		if (r < 0)
			return r;
		if (ntfs_unprotect(b, size, "FILE") < 0 || !same_record(a, b, size))
			return 0;
	}
	return 1;
}

static bool has_hole(const struct ntfs_stream *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->runs[i].lcn == NTFS_HOLE)
			return true;
	return false;
}

/* $Bitmap as it has to be: all of it there, plain, for every cluster. */
static int open_bitmap(const struct ntfs *fs, struct ntfs_stream *ret)
{
	uint64_t need = (fs->n_clusters + 7) / 8;
	int r = ntfs_stream_open(fs, NTFS_FILE_BITMAP, NTFS_DATA, "", ret);

	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (ret->resident || !ret->plain || has_hole(ret) || ret->size < need ||
	    ret->initialized < need ||
	    ret->clusters < (need + fs->cluster_size - 1) / fs->cluster_size)
		return -EBADMSG;
	return 0;
}

/* Bits beyond the last cluster are not looked at. */
static int add_bitmap(const struct ntfs *fs, const struct ntfs_stream *bitmap, struct fs_map *map,
                      bool *ret_unreadable)
{
	_free_ uint8_t *buf = malloc(BITMAP_STEP);

	if (!buf)
		return -ENOMEM;
	*ret_unreadable = false;
	for (uint64_t at = 0; at < fs->n_clusters; at += 8 * BITMAP_STEP) {
		uint64_t n = MIN(fs->n_clusters - at, 8ULL * BITMAP_STEP);
		size_t len = (size_t)((n + 7) / 8);
		int r = ntfs_stream_read(fs, bitmap, buf, len, at / 8);

		if (is_fatal(r))
			return r;
		if (r < 0) {
			*ret_unreadable = true;
			memset(buf, 0xff, len);
		}
		r = map_add_bits(map, buf, 0, n, at * fs->cluster_size, fs->cluster_size);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool covers_stream(const struct ntfs *fs, const struct fs_map *map,
                          const struct ntfs_stream *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->runs[i].lcn != NTFS_HOLE &&
		    !map_covers(map, s->runs[i].lcn * fs->cluster_size,
		                s->runs[i].len * fs->cluster_size))
			return false;
	return true;
}

/* What is in use for certain: a bitmap that calls it free is wrong elsewhere too. */
static int covers_metadata(const struct ntfs *fs, const struct fs_map *map,
                           const struct ntfs_stream *bitmap)
{
	_ntfs_stream_ struct ntfs_stream log = { 0 };
	int r = ntfs_stream_open(fs, NTFS_FILE_LOG, NTFS_DATA, "", &log);

	if (r < 0)
		return r;
	return map_covers(map, 0, fs->cluster_size) &&
	       map_covers(map, fs->mirror_lcn * fs->cluster_size,
	                  (uint64_t)MIRRORED * fs->record_size) &&
	       covers_stream(fs, map, &fs->mft) && covers_stream(fs, map, bitmap) &&
	       covers_stream(fs, map, &log);
}

static int add_all(const struct ntfs *fs, struct fs_map *map, struct fs_facts *facts)
{
	_ntfs_stream_ struct ntfs_stream bitmap = { 0 };
	uint64_t end = fs->n_clusters * fs->cluster_size;
	bool unreadable;
	int r = open_bitmap(fs, &bitmap);

	if (is_fatal(r))
		return r;
	if (r < 0)
		return map_give_up(facts, FS_DAMAGED,
		                   "$Bitmap of this NTFS volume is not as it should be: all of it "
		                   "counts as used; run 'chkdsk /f' in Windows");
	r = add_bitmap(fs, &bitmap, map, &unreadable);
	if (r == 0)
		r = covers_metadata(fs, map, &bitmap);
	if (is_fatal(r))
		return r;
	if (r != 1)
		return map_give_up(facts, FS_DAMAGED,
		                   "$Bitmap of this NTFS volume calls the file system's own files "
		                   "free: all of it counts as used; run 'chkdsk /f' in Windows");
	if (unreadable && map_note(facts, "parts of $Bitmap cannot be read: what they speak of "
	                                  "counts as used") < 0)
		return -ENOMEM;
	/* The backup boot sector is behind the last cluster. */
	return fs_map_add(map, end, map->size - end);
}

static int read_volume(struct ntfs *fs, struct fs_map *map, struct fs_facts *facts)
{
	int r;

	if (fs->size > fs->m->size)
		return map_give_up(facts, FS_DAMAGED,
		                   "the NTFS volume is larger than its partition: all of it counts "
		                   "as used");
	r = ntfs_load_mft(fs);
	if (r == 0)
		r = take_names(fs, facts);
	if (r == 0)
		r = is_mirrored(fs);
	if (is_fatal(r))
		return r;
	if (r != 1)
		return map_give_up(facts, FS_DAMAGED,
		                   "%s: all of it counts as used; run 'chkdsk /f' in Windows",
		                   r < 0 ? "the file table of this NTFS volume cannot be read"
		                         : "$MFTMirr of this NTFS volume differs from $MFT");
	r = ntfs_check_state(fs, facts);
	return r < 0 || facts->all_used ? r : add_all(fs, map, facts);
}

static int ntfs_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                     struct ism_error *err)
{
	struct ntfs fs = { .m = m };
	int r = ntfs_open(&fs, err);

	if (r < 0)
		return r;
	facts->type = "ntfs";
	facts->size = MIN(fs.size, m->size);
	facts->block_size = fs.cluster_size;
	r = read_volume(&fs, map, facts);
	ntfs_close(&fs);
	if (r == -ECANCELED)
		return ism_error_canceled(err);
	return r < 0 ? ism_error_oom(err) : 0;
}

static const char *const ntfs_types[] = { "ntfs", NULL };
const struct fs_driver fs_driver_ntfs = { .types = ntfs_types, .read = ntfs_read };
