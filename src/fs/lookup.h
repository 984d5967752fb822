/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is there a file of this name? Small read-only look-ups in ISO 9660, UDF and FAT, enough to tell
 * what a medium boots. Names are compared without regard to case, as firmware does. */
#ifndef FS_LOOKUP_H
#define FS_LOOKUP_H

#include "medium/view.h"

/* Directories above this are none that a boot medium has; what is behind is not looked at. */
#define LOOKUP_DIRECTORY_MAX MIB

/** struct found_file - where the first byte of a file lies on the disk, and how long it is */
struct found_file {
	uint64_t offset, size;
	bool is_directory;
};

/*
 * All look-ups: @path has '/' between its parts and none before; ASCII.
 * Return: 1 with *ret filled; 0 = no such file; -ENODATA: it lies behind what can be seen;
 * -EOPNOTSUPP, -EBADMSG: cannot be told; -ENOMEM, -ECANCELED, or why reading failed.
 */

struct iso9660; /* fs/iso9660.h */
int iso9660_find(const struct view *v, const struct iso9660 *iso, const char *path,
                 struct found_file *ret);

/** struct udf - a UDF volume with one plain partition, as on data discs (revisions up to 1.50) */
struct udf {
	uint64_t partition_offset, partition_size; /* bytes */
	uint32_t root_block;
};
/** udf_open() - Return: 1 with *ret, 0 = there is none; else as the look-ups */
int udf_open(const struct view *v, struct udf *ret);
int udf_find(const struct view *v, const struct udf *udf, const char *path, struct found_file *ret);

/** fat_find() - in the FAT file system that begins at @offset; names of the form 8.3 only */
int fat_find(const struct view *v, uint64_t offset, const char *path, struct found_file *ret);

/** path_part() - the first part of @path; *ret_rest is what follows its '/', or NULL */
static inline struct span path_part(const char *path, const char **ret_rest)
{
	const char *slash = strchr(path, '/');

	*ret_rest = slash ? slash + 1 : NULL;
	return (struct span){ (const uint8_t *)path,
		              slash ? (size_t)(slash - path) : strlen(path) };
}

/** name_equals() - ASCII letters without regard to case */
static inline bool name_equals(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++) {
		uint8_t x = a.p[i], y = b.p[i];

		x = (uint8_t)(x >= 'A' && x <= 'Z' ? x + 32 : x);
		y = (uint8_t)(y >= 'A' && y <= 'Z' ? y + 32 : y);
		if (x != y)
			return false;
	}
	return true;
}

#endif
