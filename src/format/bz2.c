/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bzip2: streams one behind the other; those of pbzip2 are decoded by several threads. Spec: the
 * file format has no document but bzip2 itself; libbz2 checks each block's and the stream's CRC. */
#include <bzlib.h>
#include <string.h>

#include "format/scan.h"

#define BZ2_MEMORY (4 * MIB) /* 100 k + 4 × 900 k, says bzip2's manual, rounded up */

static const char bz2_what[] = "a bzip2 stream";

struct bz2_worker {
	bz_stream z;
	bool open;
};

static bool bz2_is_start(const uint8_t *p)
{
	return p[1] == 'Z' && p[2] == 'h' && p[3] >= '1' && p[3] <= '9' &&
	       memcmp(p + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0;
}

static void bz2_scan(void *shared, struct decoder *d, struct span bytes, uint64_t offset)
{
	pattern_scan(shared, d, bytes, offset);
}

static void *bz2_worker_new(void)
{
	return calloc(1, sizeof(struct bz2_worker));
}

static void bz2_end(struct bz2_worker *w)
{
	if (w->open)
		BZ2_bzDecompressEnd(&w->z);
	w->open = false;
}

static void bz2_worker_free(void *worker)
{
	if (worker)
		bz2_end(worker);
	free(worker);
}

static int bz2_step(void *worker, struct run *run, struct coder *c, struct ism_error *err)
{
	bz_stream *z = &((struct bz2_worker *)worker)->z;
	size_t in = c->in.len, room = c->out_len;
	int r;

	z->next_in = (char *)c->in.p;
	z->avail_in = (unsigned)in;
	z->next_out = (char *)c->out;
	z->avail_out = (unsigned)room;
	r = BZ2_bzDecompress(z);
	coder_consumed(c, in - z->avail_in);
	coder_produced(c, room - z->avail_out);
	if (r == BZ_MEM_ERROR)
		return ism_error_oom(err);
	if (r != BZ_OK && r != BZ_STREAM_END)
		return format_error(err, run_carrier(run), c->offset,
		                    "has damaged bzip2 data (near this byte)");
	return r == BZ_STREAM_END;
}

/* The four bytes have been looked at; libbz2 wants them all the same. */
static int bz2_start(struct bz2_worker *w, struct run *run, uint8_t *head, size_t len,
                     struct ism_error *err)
{
	struct coder c = { .in = { head, len }, .offset = run_offset(run) };
	int r;

	bz2_end(w);
	memset(&w->z, 0, sizeof(w->z));
	r = run_reserve(run, BZ2_MEMORY, err);
	if (r < 0)
		return r;
	if (BZ2_bzDecompressInit(&w->z, 0, 0) != BZ_OK)
		return ism_error_oom(err);
	w->open = true;
	return bz2_step(w, run, &c, err);
}

static int bz2_piece(void *worker, struct run *run, struct ism_error *err)
{
	struct bz2_worker *w = worker;
	uint64_t start = run_offset(run);
	uint8_t head[4];
	struct span in;
	int r = run_input(run, &in, err);

	if (r < 0)
		return r;
	if (start > 0 && (!in.len || in.p[0] == 0))
		return run_padding(run, "bzip2", err);
	r = run_bytes(run, head, sizeof(head), bz2_what, err);
	if (r < 0)
		return r;
	if (memcmp(head, "BZh", 3) != 0 || head[3] < '1' || head[3] > '9')
		return format_error(err, run_carrier(run), start,
		                    "has a byte 0x%02x where a bzip2 stream should start", head[0]);
	r = bz2_start(w, run, head, sizeof(head), err);
	if (r == 0)
		r = run_code(run, bz2_step, w, bz2_what, err);
	bz2_end(w);
	return r;
}

static const struct medium_ops bz2_ops = {
	.name = "bz2",
	.read = decode_read,
	.close = decode_close,
};

static const struct codec bz2_codec = {
	.ops = &bz2_ops,
	.scan = bz2_scan,
	.worker_new = bz2_worker_new,
	.worker_free = bz2_worker_free,
	.piece = bz2_piece,
	.free = free,
};

static int bz2_open(struct medium *carrier, const struct ism_open_options *options,
                    struct medium **ret, struct ism_error *err)
{
	_free_ struct pattern *scan = calloc(1, sizeof(*scan));
	int r;

	if (!scan)
		return ism_error_oom(err);
	*scan = (struct pattern){ .first = 'B', .len = 10, .is_start = bz2_is_start };
	r = decode_open(&bz2_codec, carrier, scan, ISM_SIZE_UNKNOWN, options, ret, err);
	if (r == 0)
		take(scan);
	return r;
}

const struct format_driver format_driver_bz2 = {
	.name = "bz2",
	.magics = { { .offset = 0, .bytes = "BZh", .len = 3 } },
	.open = bz2_open,
};
