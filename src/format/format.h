/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the bytes of a carrier mean as a disk. A format is one file with one constant table; it is
 * found by content. The medium that open returns looks like the disk itself. */
#ifndef FORMAT_FORMAT_H
#define FORMAT_FORMAT_H

#include "medium/medium.h"

struct format_magic {
	uint32_t offset;
	const char *bytes; /* NULL ends the list */
	uint32_t len;
};

/**
 * struct format_driver - one format
 * @magics: one of them matching the first 4096 bytes is enough to call @open
 * @open:   @carrier is owned by *@ret on success, and stays the caller's on failure. May read it
 * (peek on a forward carrier). @options->threads is never 0 here.
 * @detail: one clause for the user about an open medium of this format, malloc'ed or NULL; optional
 * @container: what it holds may again be in one of the formats (once)
 */
struct format_driver {
	const char *name;
	struct format_magic magics[18];
	int (*open)(struct medium *carrier, const struct ism_open_options *options,
	            struct medium **ret, struct ism_error *err);
	char *(*detail)(const struct medium *m);
	bool container;
};

extern const struct format_driver format_driver_gz;
extern const struct format_driver format_driver_xz;
extern const struct format_driver format_driver_bz2;
extern const struct format_driver format_driver_zst;
extern const struct format_driver format_driver_lz4;
extern const struct format_driver format_driver_zip;
extern const struct format_driver format_driver_native; /* our own disk image; before zst, which it also is */
extern const struct format_driver format_driver_undo; /* what a job kept before it overwrote it */

/** struct source_facts - what opening found; strings are constants or owned by the struct */
struct source_facts {
	const char *carrier; /* "file", "device", "pipe", "http" */
	const char *format;  /* "raw", "gz", … */
	char *detail; /* "12 blocks of 24 MiB, decoded by 2 threads", "3 parts"; NULL = nothing to
	                 say */
	char *bmap;   /* path of the bmap that is used; NULL = none */
	uint64_t carrier_size; /* bytes; ISM_SIZE_UNKNOWN */
	unsigned parts;        /* split image: how many; else 0 */
	char **files;          /* every local file the source consists of; NULL-terminated; owned */
};
void source_facts_clear(struct source_facts *facts);
/** source_facts_add_file() - @path is copied */
int source_facts_add_file(struct source_facts *facts, const char *path, struct ism_error *err);

/**
 * source_open() - open REF as a disk: carrier, split parts, format, bmap
 * @ret:       owned by the caller; size, sector sizes and `forward` say what it can do
 * @ret_facts: may be NULL
 * A directory, an empty file, a file that looks like an archive of something else: one clear error.
 */
int source_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                struct source_facts *ret_facts, struct ism_error *err);

/** format_probe() - the driver whose magic the first @len bytes show, or NULL */
const struct format_driver *format_probe(const uint8_t *head, size_t len);

/**
 * format_error() - damaged or truncated compressed data: -EBADMSG with the carrier's name and the
 * byte
 * @offset: bytes into the compressed file
 */
int format_error(struct ism_error *err, const struct medium *carrier, uint64_t offset,
                 const char *fmt, ...) ISM_PRINTF(4, 5);

/** bmap_open() - wrap @image (taken over on success) so that ranges the bmap leaves out are unused
 * extents and each mapped range is checked against its checksum while it is read */
int bmap_open(struct medium *image, const char *bmap_path, struct medium **ret,
              struct ism_error *err);
/**
 * split_open() - @first is the path of any part, or what all parts' names begin with
 * *@ret reads all parts as one; its name is the parts' common name.
 */
int split_open(const char *first, const struct ism_open_options *options, struct medium **ret,
               struct source_facts *facts, struct ism_error *err);
/** split_is_part() - the name of @path is one of a numbered series whose other members exist, or no
 * file has that name and the files of such a series begin with it */
bool split_is_part(const char *path);

#endif
