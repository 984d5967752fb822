/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One chunk into one zstd frame, its SHA-256, and which of its blocks are zero. */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/hash.h"
#include "format/native_write.h"

struct native_encoder {
	ZSTD_CCtx *ctx;
	struct hash *hash;
	/* the frame and the sum of a chunk of zeros, made when first needed */
	uint8_t *zero_frame;
	size_t zero_frame_len, zero_len;
	uint8_t zero_sum[32];
};

void native_frame_clear(struct native_frame *f)
{
	free(f->data);
	free(f->runs);
	*f = (struct native_frame){ 0 };
}

struct native_encoder *native_encoder_free(struct native_encoder *e)
{
	if (!e)
		return NULL;
	ZSTD_freeCCtx(e->ctx);
	hash_free(e->hash);
	free(e->zero_frame);
	free(e);
	return NULL;
}

struct native_encoder *native_encoder_new(int level)
{
	struct native_encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->ctx = ZSTD_createCCtx();
	e->hash = hash_new("sha256", NULL);
	if (!e->ctx || !e->hash)
		return native_encoder_free(e);
	ZSTD_CCtx_setParameter(e->ctx, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setParameter(e->ctx, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setParameter(e->ctx, ZSTD_c_contentSizeFlag, 1);
	return e;
}

static int push_run(struct native_frame *f, uint32_t offset, uint32_t len,
                    enum ism_extent_kind kind)
{
	struct native_run *last = f->n_runs ? &f->runs[f->n_runs - 1] : NULL;

	if (last && last->kind == kind) {
		last->len += len;
		return 0;
	}
	if (f->n_runs == f->runs_cap) {
		size_t cap = MAX(f->runs_cap * 2, (size_t)64);
		struct native_run *more = realloc(f->runs, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		f->runs = more;
		f->runs_cap = cap;
	}
	f->runs[f->n_runs++] = (struct native_run){ offset, len, kind };
	return 0;
}

/* What was read, told from zeros by whole blocks of the disk; a part of a block at an end of it is
 * data. */
static int split_data(struct native_frame *f, const uint8_t *chunk, uint32_t at, uint32_t end)
{
	while (at < end) {
		uint32_t next = (at / NATIVE_BLOCK + 1) * NATIVE_BLOCK, n = MIN(next, end) - at;
		bool whole = at % NATIVE_BLOCK == 0 && n == NATIVE_BLOCK;
		bool zero = whole && bytes_are_zero(chunk + at, n);

		if (push_run(f, at, n, zero ? ISM_EXTENT_ZERO : ISM_EXTENT_DATA) < 0)
			return -ENOMEM;
		at += n;
	}
	return 0;
}

static bool was_read(const struct native_run *run)
{
	return run->kind == ISM_EXTENT_DATA || run->kind == ISM_EXTENT_ZERO;
}

/* A source may know of some zeros that they are (holes) and not of others: neighbours count as one,
 * so that the same bytes always give the same runs. */
static int split_runs(struct native_frame *f, const uint8_t *chunk, const struct native_run *runs,
                      size_t n_runs)
{
	int r = 0;

	f->n_runs = 0;
	for (size_t i = 0; i < n_runs && r == 0; i++) {
		uint32_t from = runs[i].offset, end = from + runs[i].len;

		if (!was_read(&runs[i])) {
			r = push_run(f, from, runs[i].len, runs[i].kind);
			continue;
		}
		for (; i + 1 < n_runs && was_read(&runs[i + 1]); i++)
			end += runs[i + 1].len;
		r = split_data(f, chunk, from, end);
	}
	return r;
}

static int compress(struct native_encoder *e, const uint8_t *chunk, size_t len,
                    struct native_frame *f, struct ism_error *err)
{
	size_t bound = ZSTD_compressBound(len), n;

	if (f->cap < bound) {
		uint8_t *more = realloc(f->data, bound);

		if (!more)
			return ism_error_oom(err);
		f->data = more;
		f->cap = bound;
	}
	n = ZSTD_compress2(e->ctx, f->data, f->cap, chunk, len);
	if (ZSTD_isError(n))
		return ism_error_set(err, -EIO, NULL, ISM_NO_OFFSET, "cannot compress: %s",
		                     ZSTD_getErrorName(n));
	f->len = n;
	return 0;
}

static void sum_chunk(struct native_encoder *e, const uint8_t *chunk, size_t len, uint8_t sum[32])
{
	size_t n = 0;

	hash_reset(e->hash);
	hash_update(e->hash, chunk, len);
	hash_raw(e->hash, sum, &n);
}

/* Chunks of zeros are all alike: made once, then copied. */
static int encode_zeros(struct native_encoder *e, const uint8_t *chunk, size_t len,
                        struct native_frame *f, struct ism_error *err)
{
	if (e->zero_len != len) {
		int r = compress(e, chunk, len, f, err);
		uint8_t *copy = r < 0 ? NULL : realloc(e->zero_frame, f->len);

		if (!copy)
			return r < 0 ? r : ism_error_oom(err);
		memcpy(copy, f->data, f->len);
		e->zero_frame = copy;
		e->zero_frame_len = f->len;
		e->zero_len = len;
		sum_chunk(e, chunk, len, e->zero_sum);
	}
	if (f->cap < e->zero_frame_len) {
		uint8_t *more = realloc(f->data, e->zero_frame_len);

		if (!more)
			return ism_error_oom(err);
		f->data = more;
		f->cap = e->zero_frame_len;
	}
	memcpy(f->data, e->zero_frame, e->zero_frame_len);
	f->len = e->zero_frame_len;
	memcpy(f->sum, e->zero_sum, 32);
	return 0;
}

int native_encode(struct native_encoder *e, const uint8_t *chunk, size_t len,
                  const struct native_run *runs, size_t n_runs, struct native_frame *f,
                  struct ism_error *err)
{
	bool data = false;

	f->raw_len = len;
	if (split_runs(f, chunk, runs, n_runs) < 0)
		return ism_error_oom(err);
	for (size_t i = 0; i < f->n_runs; i++)
		data |= f->runs[i].kind == ISM_EXTENT_DATA || f->runs[i].kind == ISM_EXTENT_BAD;
	if (!data)
		return encode_zeros(e, chunk, len, f, err);
	sum_chunk(e, chunk, len, f->sum);
	return compress(e, chunk, len, f, err);
}
