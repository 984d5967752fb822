/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zstandard: frames one behind the other, with skippable ones anywhere. Spec: RFC 8878. What was
 * made of several frames is decoded by several threads. */
#include <string.h>
#include <zstd.h>

#include "format/scan.h"

#define ZST_MAGIC      0xfd2fb528
#define ZST_SKIP       0x184d2a50 /* the lowest four bits are free */
#define ZST_LZ4_MAGIC  0x184d2204
#define ZST_WINDOW_LOG 27          /* 128 MiB, as `zstd --ultra -22` and `--long` make them */
#define ZST_HEADER_MAX 18          /* with the magic */
#define ZST_EXTRA      (512 * KIB) /* blocks and tables beside the window */
#define ZST_SPLIT      MIB         /* decoded bytes that are worth a run of their own */
#define ZST_WALK_MAX   32768       /* reads for finding the size: 4 GiB of one frame */

static const char zst_what[] = "a zstd frame";

static bool zst_is_skippable(uint32_t magic)
{
	return (magic & ~(uint32_t)0xf) == ZST_SKIP;
}

/* A frame's header, RFC 8878 section 3.1.1.1, the magic included. */
struct zst_header {
	uint64_t window;
	uint64_t content; /* ISM_SIZE_UNKNOWN if not stated */
	bool has_checksum;
	bool wants_dictionary;
	bool reserved;
};

/* @p: five bytes at least. Length of the header whose descriptor is p[4]. */
static size_t zst_header_len(const uint8_t *p)
{
	static const uint8_t dictionary[] = { 0, 1, 2, 4 };
	static const uint8_t content[] = { 0, 2, 4, 8 };
	bool single = p[4] & 0x20;
	unsigned size_code = p[4] >> 6;

	return 5u + !single + dictionary[p[4] & 3] +
	       (size_code || !single ? content[size_code] : 1u);
}

static uint64_t zst_number(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	while (len--)
		v = v << 8 | p[len];
	return v;
}

/* @p: zst_header_len(p) bytes */
static struct zst_header zst_parse_header(const uint8_t *p)
{
	static const uint8_t dictionary[] = { 0, 1, 2, 4 };
	bool single = p[4] & 0x20;
	size_t at = 5u + !single, len = zst_header_len(p);
	struct zst_header h = { .content = ISM_SIZE_UNKNOWN,
		                .has_checksum = p[4] & 4,
		                .reserved = p[4] & 8 };

	h.wants_dictionary = zst_number(p + at, dictionary[p[4] & 3]) != 0;
	at += dictionary[p[4] & 3];
	if (len > at)
		h.content = zst_number(p + at, len - at) + (len - at == 2 ? 256 : 0);
	if (single) {
		h.window = h.content;
	} else {
		uint64_t base = (uint64_t)1 << (10 + (p[5] >> 3));

		h.window = base + base / 8 * (p[5] & 7);
	}
	return h;
}

static int zst_check_header(const struct zst_header *h, const struct medium *carrier,
                            uint64_t offset, struct ism_error *err)
{
	if (h->reserved)
		return format_error(err, carrier, offset, "has a zstd header of an unknown kind");
	if (h->wants_dictionary) {
		ism_error_set(err, -EOPNOTSUPP, carrier->name, offset,
		              "was compressed with a dictionary, which it does not hold");
		return ism_error_hint(err, "decompress it with 'zstd -d -D DICTIONARY' first");
	}
	if (h->window > (uint64_t)1 << ZST_WINDOW_LOG) {
		ism_error_set(
			err, -EOPNOTSUPP, carrier->name, offset,
			"needs a window of %llu MiB to be decoded; at most %llu MiB are given",
			(unsigned long long)((h->window - 1) / MIB + 1),
			(unsigned long long)(((uint64_t)1 << ZST_WINDOW_LOG) / MIB));
		return ism_error_hint(err, "decompress it with 'zstd -d --long=31' first");
	}
	return 0;
}

enum zst_step { ZST_AT_FRAME, ZST_AT_HEADER, ZST_AT_BLOCK };

/* The walk from frame to frame, for what scan() proposes and for the size. */
struct zst_walk {
	struct walk walk;
	enum zst_step step;
	struct zst_header header;
	uint64_t content;       /* sum of all frames, or ISM_SIZE_UNKNOWN */
	uint64_t split_at;      /* where the last run was proposed … */
	uint64_t split_content; /* … and bytes of content since */
};

static void zst_walk_start(struct zst_walk *z)
{
	*z = (struct zst_walk){ .walk.want = 4 };
}

static void zst_walk_frame(struct zst_walk *z)
{
	struct walk *w = &z->walk;
	uint32_t magic = (uint32_t)zst_number(w->buf, 4);

	if (zst_is_skippable(magic) && w->want < 8) {
		walk_more(w, 8);
	} else if (zst_is_skippable(magic)) {
		walk_to(w, 8 + zst_number(w->buf + 4, 4), 4);
	} else if (magic == ZST_MAGIC) {
		z->step = ZST_AT_HEADER;
		walk_more(w, 5);
	} else {
		w->lost = true;
	}
}

static void zst_walk_header(struct zst_walk *z)
{
	struct walk *w = &z->walk;
	size_t len = zst_header_len(w->buf);

	if (w->want < len) {
		walk_more(w, len);
		return;
	}
	z->header = zst_parse_header(w->buf);
	if (z->header.content == ISM_SIZE_UNKNOWN || z->content == ISM_SIZE_UNKNOWN ||
	    add_overflows(z->content, z->header.content, &z->content))
		z->content = ISM_SIZE_UNKNOWN;
	if (z->header.content == ISM_SIZE_UNKNOWN ||
	    add_overflows(z->split_content, z->header.content, &z->split_content))
		z->split_content = ZST_SPLIT;
	z->step = ZST_AT_BLOCK;
	walk_to(w, len, 3);
}

static void zst_walk_block(struct zst_walk *z)
{
	struct walk *w = &z->walk;
	uint32_t block = (uint32_t)zst_number(w->buf, 3);
	unsigned type = block >> 1 & 3;
	uint64_t skip = 3 + (type == 1 ? 1 : block >> 3); /* a run-length block is one byte */

	if (type == 3)
		w->lost = true;
	if (block & 1) {
		z->step = ZST_AT_FRAME;
		walk_to(w, skip + (z->header.has_checksum ? 4 : 0), 4);
	} else {
		walk_to(w, skip, 3);
	}
}

static void zst_walk_step(struct zst_walk *z)
{
	if (z->step == ZST_AT_FRAME)
		zst_walk_frame(z);
	else if (z->step == ZST_AT_HEADER)
		zst_walk_header(z);
	else
		zst_walk_block(z);
}

static void zst_scan(void *shared, struct decoder *d, struct span bytes, uint64_t offset)
{
	struct zst_walk *z = shared;
	struct walk *w = &z->walk;

	while (walk_collect(w, bytes, offset)) {
		if (z->step == ZST_AT_FRAME && w->want == 4 &&
		    (w->at - z->split_at >= SCAN_SPACING || z->split_content >= ZST_SPLIT)) {
			if (w->at > z->split_at)
				decode_split(d, w->at, 0);
			z->split_at = w->at;
			z->split_content = 0;
		}
		zst_walk_step(z);
	}
}

static void *zst_worker_new(void)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();

	if (ctx)
		ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, ZST_WINDOW_LOG);
	return ctx;
}

static void zst_worker_free(void *worker)
{
	ZSTD_freeDCtx(worker);
}

static int zst_step(void *worker, struct run *run, struct coder *c, struct ism_error *err)
{
	ZSTD_inBuffer in = { c->in.p, c->in.len, 0 };
	ZSTD_outBuffer out = { c->out, c->out_len, 0 };
	size_t r = ZSTD_decompressStream(worker, &out, &in);

	coder_consumed(c, in.pos);
	coder_produced(c, out.pos);
	if (ZSTD_isError(r))
		return format_error(err, run_carrier(run), c->offset,
		                    "has damaged zstd data (near this byte): %s",
		                    ZSTD_getErrorName(r));
	return r == 0;
}

static int zst_skippable(struct run *run, struct ism_error *err)
{
	le32 size;
	int r = run_bytes(run, size.b, sizeof(size), zst_what, err);

	if (r == 0)
		r = run_skip(run, le32_get(size), zst_what, err);
	return r < 0 ? r : 1;
}

/* The header has been read to see what the frame needs; libzstd wants it all the same. */
static int zst_frame(ZSTD_DCtx *ctx, struct run *run, uint8_t *head, uint64_t start,
                     struct ism_error *err)
{
	struct zst_header h;
	struct coder c;
	size_t len;
	int r = run_bytes(run, head + 4, 1, zst_what, err);

	if (r < 0)
		return r;
	len = zst_header_len(head);
	r = run_bytes(run, head + 5, len - 5, zst_what, err);
	if (r < 0)
		return r;
	h = zst_parse_header(head);
	r = zst_check_header(&h, run_carrier(run), start, err);
	if (r == 0)
		r = run_reserve(run, h.window + ZST_EXTRA, err);
	if (r == 0)
		r = run_output(run, &c.out, &c.out_len, err);
	if (r < 0)
		return r;
	ZSTD_DCtx_reset(ctx, ZSTD_reset_session_only);
	c.in = (struct span){ head, len };
	c.offset = start;
	r = zst_step(ctx, run, &c, err);
	return r < 0 ? r : run_code(run, zst_step, ctx, zst_what, err);
}

static int zst_piece(void *worker, struct run *run, struct ism_error *err)
{
	uint64_t start = run_offset(run);
	uint8_t head[ZST_HEADER_MAX];
	struct span in;
	uint32_t magic;
	int r = run_input(run, &in, err);

	if (r < 0)
		return r;
	if (start > 0 && !in.len)
		return 0;
	r = run_bytes(run, head, 4, zst_what, err);
	if (r < 0)
		return r;
	magic = (uint32_t)zst_number(head, 4);
	if (zst_is_skippable(magic))
		return zst_skippable(run, err);
	if (magic != ZST_MAGIC)
		return format_error(err, run_carrier(run), start,
		                    "has bytes 0x%02x%02x%02x%02x where a zstd frame should start",
		                    head[0], head[1], head[2], head[3]);
	return zst_frame(worker, run, head, start, err);
}

static const struct medium_ops zst_ops = {
	.name = "zst",
	.read = decode_read,
	.close = decode_close,
};

static const struct codec zst_codec = {
	.ops = &zst_ops,
	.scan = zst_scan,
	.worker_new = zst_worker_new,
	.worker_free = zst_worker_free,
	.piece = zst_piece,
	.free = free,
};

/*
 * The decoded size if all frames state theirs; a hint if there are too many blocks to walk over. A
 * file that was cut off is found out here, before anything is written anywhere.
 */
static int zst_find_size(struct medium *carrier, uint64_t *ret_size, uint64_t *ret_hint,
                         struct ism_error *err)
{
	struct zst_walk z;
	int r = 1;

	zst_walk_start(&z);
	for (unsigned i = 0; i < ZST_WALK_MAX && !z.walk.lost; i++) {
		r = walk_read(&z.walk, carrier, err);
		if (r < 0)
			return r;
		if (r == 0 && z.step == ZST_AT_FRAME)
			break;
		if (r == 0)
			return format_error(err, carrier, carrier->size,
			                    "ends in the middle of %s: it is truncated", zst_what);
		zst_walk_step(&z);
		if (z.step == ZST_AT_BLOCK && z.walk.want == 3 && z.walk.have == 0) {
			r = zst_check_header(&z.header, carrier, 0, err);
			if (r < 0)
				return r;
		}
	}
	if (z.walk.lost)
		return format_error(err, carrier, z.walk.at,
		                    "is damaged: neither a zstd frame nor a block starts here");
	if (r == 0)
		*ret_size = z.content;
	else if (z.content != ISM_SIZE_UNKNOWN)
		*ret_hint = z.content;
	return 0;
}

/* Skippable frames may come first in lz4 files too: what is behind them decides. */
static int zst_is_lz4(struct medium *carrier, bool *ret, struct ism_error *err)
{
	uint8_t head[4096];
	size_t len = 0, at = 0;
	int r = medium_peek(carrier, head, sizeof(head), &len, err);

	if (r < 0)
		return r;
	while (len - at >= 8 && zst_is_skippable((uint32_t)zst_number(head + at, 4))) {
		uint64_t size = zst_number(head + at + 4, 4);

		if (size > len - at - 8)
			break;
		at += 8 + (size_t)size;
	}
	*ret = len - at >= 4 && zst_number(head + at, 4) == ZST_LZ4_MAGIC;
	return 0;
}

static int zst_open(struct medium *carrier, const struct ism_open_options *options,
                    struct medium **ret, struct ism_error *err)
{
	_free_ struct zst_walk *scan = malloc(sizeof(*scan));
	uint64_t size = ISM_SIZE_UNKNOWN, hint = 0;
	bool lz4 = false;
	int r;

	if (!scan)
		return ism_error_oom(err);
	r = zst_is_lz4(carrier, &lz4, err);
	if (r < 0)
		return r;
	if (lz4)
		return format_driver_lz4.open(carrier, options, ret, err);
	zst_walk_start(scan);
	if (!carrier->forward)
		r = zst_find_size(carrier, &size, &hint, err);
	if (r == 0)
		r = decode_open(&zst_codec, carrier, scan, size, options, ret, err);
	if (r < 0)
		return r;
	take(scan);
	(*ret)->size_hint = size == ISM_SIZE_UNKNOWN ? hint : size;
	return 0;
}

#define ZST_SKIPPABLE(first) \
	{ \
		.offset = 0, .bytes = first "\x2a\x4d\x18", .len = 4 \
	}

const struct format_driver format_driver_zst = {
	.name = "zst",
	.magics = { { .offset = 0, .bytes = "\x28\xb5\x2f\xfd", .len = 4 },
	            ZST_SKIPPABLE("\x50"),
	            ZST_SKIPPABLE("\x51"),
	            ZST_SKIPPABLE("\x52"),
	            ZST_SKIPPABLE("\x53"),
	            ZST_SKIPPABLE("\x54"),
	            ZST_SKIPPABLE("\x55"),
	            ZST_SKIPPABLE("\x56"),
	            ZST_SKIPPABLE("\x57"),
	            ZST_SKIPPABLE("\x58"),
	            ZST_SKIPPABLE("\x59"),
	            ZST_SKIPPABLE("\x5a"),
	            ZST_SKIPPABLE("\x5b"),
	            ZST_SKIPPABLE("\x5c"),
	            ZST_SKIPPABLE("\x5d"),
	            ZST_SKIPPABLE("\x5e"),
	            ZST_SKIPPABLE("\x5f") },
	.open = zst_open,
};
