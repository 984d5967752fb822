/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading native images: the index of a complete one, and single chunks of it. */
#ifndef FORMAT_NATIVE_READ_H
#define FORMAT_NATIVE_READ_H

#include <jansson.h>

#include "format/native.h"
#include "medium/medium.h"

/** struct native_chunk - where the frame of one chunk lies in the file; stored 0: it was not found
 */
struct native_chunk {
	uint64_t position;
	uint32_t stored;
};

/** struct native_list - one hash or extent frame */
struct native_list {
	uint64_t position; /* of its first item, bytes into the file */
	uint64_t first, count;
};

/** struct native_image - an opened complete image; native_image_clear() when done; lists are read
 * when needed */
struct native_image {
	struct medium *file; /* not owned */
	struct native_info info;
	struct native_chunk *chunks;
	uint64_t n_chunks;
	uint64_t disk; /* bytes of the disk that these chunks are */
	struct native_list *hashes, *extents;
	size_t n_hashes, n_extents;
	uint64_t n_runs;
	json_t *manifest;
	uint8_t fingerprint[32];
	uint8_t root[32];
	/* salvaged: what the lists would say, as far as checkpoints say it */
	bool salvaged;
	uint8_t (*sums)[32];
	bool *has_sum; /* false: only zstd's own checksum proves the chunk */
	struct native_run_disk *runs;
	/* up to a checkpoint before which nothing is missing: there a capture may go on */
	uint64_t kept_chunks, kept_position;
};

/**
 * native_image_read() - find and prove the trailer, the seek table, the lists
 * -EBADMSG: damaged, or unfinished: then @err says so and what can still be done
 */
int native_image_read(struct medium *file, struct native_image *ret, struct ism_error *err);
void native_image_clear(struct native_image *image);
/**
 * native_image_salvage() - the index of an image that native_image_read() refuses, by walking over
 * its frames; only what is in front of them, F0, must be sound
 * The runs cover the disk; what lies behind the last chunk that was found is bad. n_chunks may be
 * less than the size asks for.
 */
int native_image_salvage(struct medium *file, struct native_image *ret, struct ism_error *err);
/**
 * native_image_prove() - what decoding the chunks of a complete image does not prove: every
 * checkpoint, and that the tree over the hash list has the manifest's root
 */
int native_image_prove(const struct native_image *image, struct ism_error *err);
/** native_image_sums() - the SHA-256 that chunks from @first on must have, up to @most; *@ret_n
 * gets how many */
int native_image_sums(const struct native_image *image, uint64_t first, uint8_t (*ret)[32],
                      size_t most, size_t *ret_n, struct ism_error *err);
/** native_image_runs() - up to @most runs from run @first on; *@ret_n gets how many */
int native_image_runs(const struct native_image *image, uint64_t first, struct native_run_disk *ret,
                      size_t most, size_t *ret_n, struct ism_error *err);
/** native_image_chunk_len() - bytes of chunk @index: the chunk size, less for the last */
size_t native_image_chunk_len(const struct native_image *image, uint64_t index);
/**
 * native_image_decode() - read, decode and prove one chunk
 * @stored: room for the frame, at least ZSTD_compressBound(chunk size); @out: for the chunk
 */
int native_image_decode(const struct native_image *image, uint64_t index, void *ctx,
                        uint8_t *stored, uint8_t *out, struct ism_error *err);
/** native_image_of() - the image behind a medium that the "native" format has opened; NULL for any
 * other */
const struct native_image *native_image_of(const struct medium *m);
/**
 * native_lost() - what of an image opened with options.damaged could not be had so far
 * @ret: up to @most ranges of the disk, in order; *@ret_bytes: of all of them
 * Return: how many ranges there are; 0 for any other medium.
 */
size_t native_lost(const struct medium *m, struct ism_extent *ret, size_t most,
                   uint64_t *ret_bytes);
/** native_is_header() - the file that begins so is a native image, whole or not */
bool native_is_header(struct span head);

#endif
