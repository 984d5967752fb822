/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making a native image: chunks become frames in parallel, frames are appended in order, the lists
 * come last. */
#ifndef FORMAT_NATIVE_WRITE_H
#define FORMAT_NATIVE_WRITE_H

#include <jansson.h>

#include "format/native.h"

/** struct native_run - bytes [offset, offset + len) of a chunk are of one kind */
struct native_run {
	uint32_t offset, len;
	enum ism_extent_kind kind;
};

/** struct native_frame - one chunk, encoded; reused, native_frame_clear() when done */
struct native_frame {
	uint8_t *data;
	size_t len, cap;
	size_t raw_len;          /* of the chunk */
	uint8_t sum[32];         /* SHA-256 of the chunk */
	struct native_run *runs; /* all of the chunk, in order */
	size_t n_runs, runs_cap;
};
void native_frame_clear(struct native_frame *f);

struct native_encoder;
/** native_encoder_new() - one a thread; @level as zstd's: -7 … 19 */
struct native_encoder *native_encoder_new(int level);
struct native_encoder *native_encoder_free(struct native_encoder *e);
/**
 * native_encode() - @len bytes of a chunk into a frame; pure, any number of encoders at once
 * @runs: what the chunk consists of, in order and without gaps; data in it is told from zeros here.
 * Bytes that are neither data nor bad must be zero
 */
int native_encode(struct native_encoder *e, const uint8_t *chunk, size_t len,
                  const struct native_run *runs, size_t n_runs, struct native_frame *ret,
                  struct ism_error *err);

/** struct native_sink - where an image goes, byte after byte; @sync makes all so far durable, NULL
 * = cannot */
struct native_sink {
	int (*write)(void *arg, const void *data, size_t len, struct ism_error *err);
	int (*sync)(void *arg, struct ism_error *err);
	void *arg;
};

struct native_writer;
/**
 * native_writer_new() - begin an image: writes F0
 * @spool: folder for unlinked temporary files that hold the lists (45 bytes a chunk); NULL = the
 * usual one
 */
int native_writer_new(const struct native_info *info, const struct native_sink *sink,
                      const char *spool, struct native_writer **ret, struct ism_error *err);
struct native_image;
/**
 * native_writer_resume() - go on behind the kept_chunks of a salvaged image; @sink is at its
 * kept_position
 * What is in the frames must be proven by whoever calls.
 */
int native_writer_resume(const struct native_image *kept, const struct native_sink *sink,
                         const char *spool, struct native_writer **ret, struct ism_error *err);
struct native_writer *native_writer_free(struct native_writer *w);
/** native_append() - the next chunk, in disk order */
int native_append(struct native_writer *w, const struct native_frame *f, struct ism_error *err);

/** struct native_totals - what an image came to */
struct native_totals {
	uint64_t size, chunks, file_size;
	uint64_t bytes[5];       /* by enum ism_extent_kind */
	uint8_t root[32];        /* of the tree */
	uint8_t fingerprint[32]; /* SHA-256 of the manifest's payload */
};
/**
 * native_finish() - lists, manifest, seek table
 * @manifest: object with what the writer cannot know (source, host, notes); it adds its own keys
 */
int native_finish(struct native_writer *w, json_t *manifest, struct native_totals *ret,
                  struct ism_error *err);

#endif
