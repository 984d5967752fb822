/* SPDX-License-Identifier: GPL-3.0-or-later */
/* LZ4: frames one behind the other, with skippable ones anywhere. Spec: LZ4 Frame Format 1.6.1.
 * liblz4 checks what checksums a frame has. */
#include <lz4frame.h>
#include <string.h>

#include "format/scan.h"

#define LZ4_MAGIC    0x184d2204
#define LZ4_SKIP     0x184d2a50 /* the lowest four bits are free */
#define LZ4_MEMORY   (9 * MIB)  /* twice the largest block, and the window */
#define LZ4_WALK_MAX 32768      /* reads for finding the size */

static const char lz4_what[] = "an lz4 frame";

static bool lz4_is_skippable(uint32_t magic)
{
	return (magic & ~(uint32_t)0xf) == LZ4_SKIP;
}

static uint32_t lz4_u32(const uint8_t *p)
{
	le32 v;

	memcpy(v.b, p, sizeof(v));
	return le32_get(v);
}

static void *lz4_worker_new(void)
{
	LZ4F_dctx *ctx = NULL;

	return LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)) ? NULL : ctx;
}

static void lz4_worker_free(void *worker)
{
	LZ4F_freeDecompressionContext(worker);
}

static int lz4_step(void *worker, struct run *run, struct coder *c, struct ism_error *err)
{
	size_t in = c->in.len, out = c->out_len;
	size_t r = LZ4F_decompress(worker, c->out, &out, c->in.p, &in, NULL);

	if (LZ4F_isError(r))
		return format_error(err, run_carrier(run), c->offset,
		                    "has damaged lz4 data (near this byte): %s",
		                    LZ4F_getErrorName(r));
	coder_consumed(c, in);
	coder_produced(c, out);
	return r == 0;
}

static int lz4_skippable(struct run *run, struct ism_error *err)
{
	le32 size;
	int r = run_bytes(run, size.b, sizeof(size), lz4_what, err);

	if (r == 0)
		r = run_skip(run, le32_get(size), lz4_what, err);
	return r < 0 ? r : 1;
}

/* Magic and flags have been looked at; liblz4 wants them all the same. */
static int lz4_frame(LZ4F_dctx *ctx, struct run *run, uint8_t *head, uint64_t start,
                     struct ism_error *err)
{
	struct coder c = { .in = { head, 5 }, .offset = start };
	int r = run_bytes(run, head + 4, 1, lz4_what, err);

	if (r < 0)
		return r;
	if (head[4] & 1)
		return ism_error_set(err, -EOPNOTSUPP, run_carrier(run)->name, start,
		                     "was compressed with a dictionary, which it does not hold");
	r = run_reserve(run, LZ4_MEMORY, err);
	if (r == 0)
		r = run_output(run, &c.out, &c.out_len, err);
	if (r < 0)
		return r;
	LZ4F_resetDecompressionContext(ctx);
	r = lz4_step(ctx, run, &c, err);
	return r < 0 ? r : run_code(run, lz4_step, ctx, lz4_what, err);
}

static int lz4_piece(void *worker, struct run *run, struct ism_error *err)
{
	uint64_t start = run_offset(run);
	uint8_t head[5];
	struct span in;
	int r = run_input(run, &in, err);

	if (r < 0)
		return r;
	if (start > 0 && !in.len)
		return 0;
	r = run_bytes(run, head, 4, lz4_what, err);
	if (r < 0)
		return r;
	if (lz4_is_skippable(lz4_u32(head)))
		return lz4_skippable(run, err);
	if (lz4_u32(head) != LZ4_MAGIC)
		return format_error(err, run_carrier(run), start,
		                    "has bytes 0x%02x%02x%02x%02x where an lz4 frame should start",
		                    head[0], head[1], head[2], head[3]);
	return lz4_frame(worker, run, head, start, err);
}

static const struct medium_ops lz4_ops = {
	.name = "lz4",
	.read = decode_read,
	.close = decode_close,
};

static const struct codec lz4_codec = {
	.ops = &lz4_ops,
	.worker_new = lz4_worker_new,
	.worker_free = lz4_worker_free,
	.piece = lz4_piece,
};

enum lz4_step { LZ4_AT_FRAME, LZ4_AT_BLOCK };

/* The walk over frame and block headers, for the size. */
struct lz4_walk {
	struct walk walk;
	enum lz4_step step;
	uint8_t flags;
	uint64_t content; /* sum of all frames, or ISM_SIZE_UNKNOWN */
};

static void lz4_walk_frame(struct lz4_walk *z)
{
	struct walk *w = &z->walk;
	uint32_t magic = lz4_u32(w->buf);
	bool has_size;
	size_t len;

	if (magic != LZ4_MAGIC && !lz4_is_skippable(magic)) {
		w->lost = true;
		return;
	}
	if (w->want < 8) {
		walk_more(w, 8);
		return;
	}
	if (lz4_is_skippable(magic)) {
		walk_to(w, 8 + (uint64_t)lz4_u32(w->buf + 4), 4);
		return;
	}
	z->flags = w->buf[4];
	has_size = z->flags & 8;
	len = 7u + (has_size ? 8 : 0) + (z->flags & 1 ? 4 : 0);
	if (w->want < len) {
		walk_more(w, len);
		return;
	}

	le64 content = { { 0 } };

	if (has_size)
		memcpy(content.b, w->buf + 6, sizeof(content));
	/* A size of 0 is none to liblz4. */
	if (le64_get(content) == 0 || z->content == ISM_SIZE_UNKNOWN ||
	    add_overflows(z->content, le64_get(content), &z->content))
		z->content = ISM_SIZE_UNKNOWN;
	z->step = LZ4_AT_BLOCK;
	walk_to(w, len, 4);
}

static void lz4_walk_block(struct lz4_walk *z)
{
	uint32_t block = lz4_u32(z->walk.buf);

	if (block == 0) {
		z->step = LZ4_AT_FRAME;
		walk_to(&z->walk, 4 + (z->flags & 4 ? 4 : 0), 4);
	} else {
		walk_to(&z->walk, 4 + (uint64_t)(block & 0x7fffffff) + (z->flags & 16 ? 4 : 0), 4);
	}
}

/* The decoded size if all frames state theirs and there are not too many blocks to walk over. */
static int lz4_find_size(struct medium *carrier, uint64_t *ret_size, struct ism_error *err)
{
	struct lz4_walk z = { .walk.want = 4 };

	for (unsigned i = 0; i < LZ4_WALK_MAX && !z.walk.lost; i++) {
		int r = walk_read(&z.walk, carrier, err);

		if (r < 0)
			return r;
		if (r == 0 && z.step == LZ4_AT_BLOCK)
			return format_error(err, carrier, carrier->size,
			                    "ends in the middle of %s: it is truncated", lz4_what);
		if (r == 0) {
			*ret_size = z.content;
			break;
		}
		if (z.step == LZ4_AT_FRAME)
			lz4_walk_frame(&z);
		else
			lz4_walk_block(&z);
	}
	if (z.walk.lost)
		return format_error(err, carrier, z.walk.at,
		                    "is damaged: no lz4 frame starts here");
	return 0;
}

static int lz4_open(struct medium *carrier, const struct ism_open_options *options,
                    struct medium **ret, struct ism_error *err)
{
	uint64_t size = ISM_SIZE_UNKNOWN;
	int r = carrier->forward ? 0 : lz4_find_size(carrier, &size, err);

	if (r == 0)
		r = decode_open(&lz4_codec, carrier, NULL, size, options, ret, err);
	if (r == 0 && size != ISM_SIZE_UNKNOWN)
		(*ret)->size_hint = size;
	return r;
}

const struct format_driver format_driver_lz4 = {
	.name = "lz4",
	.magics = { { .offset = 0, .bytes = "\x04\x22\x4d\x18", .len = 4 } },
	.open = lz4_open,
};
