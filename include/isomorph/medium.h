/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Words shared by all that reads or writes a medium: extents, their kinds, how a source is opened.
 */
#ifndef ISOMORPH_MEDIUM_H
#define ISOMORPH_MEDIUM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <isomorph/error.h>

#define ISM_SIZE_UNKNOWN UINT64_MAX

/** What is known of a run of bytes. "Zero because read" and "zero because not read" are never one
 * kind. */
enum ism_extent_kind {
	ISM_EXTENT_DATA,
	ISM_EXTENT_ZERO,    /* read, and zero */
	ISM_EXTENT_UNUSED,  /* a file system or a bmap says so; not read */
	ISM_EXTENT_BAD,     /* could not be read; filled */
	ISM_EXTENT_SKIPPED, /* left out by the user */
};

/** struct ism_extent - bytes [offset, offset + len) of a medium are of one kind */
struct ism_extent {
	uint64_t offset;
	uint64_t len;
	enum ism_extent_kind kind;
};

struct tap; /* the library's own */

/**
 * struct ism_open_options - how a REF is opened; all zero is the default
 * @bmap:       path of a bmap file; NULL = the one beside the image, if there is one
 * @no_bmap:    do not look for one
 * @raw:        the bytes as they are: no format is probed
 * @damaged:    what cannot be had of a damaged or unfinished isomorph image is zeros, and counted
 * @threads:    decoding threads, 0 = one a processor
 * @tap:        shown every byte of a carrier that comes only once; NULL = none
 * @stop:       when it becomes true, a read that waits ends with -ECANCELED; NULL = never
 */
struct ism_open_options {
	const char *bmap;
	bool no_bmap;
	bool raw;
	bool damaged;
	unsigned threads;
	struct tap *tap;
	const atomic_bool *stop;
};

#endif
