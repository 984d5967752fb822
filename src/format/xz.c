/* SPDX-License-Identifier: GPL-3.0-or-later */
/* xz: streams of blocks one behind the other. Spec: The .xz File Format 1.1.0. Blocks whose headers
 * state their sizes (those of `xz -T`) are decoded by several threads, straight from the headers.
 */
#include <lzma.h>
#include <string.h>

#include "format/scan.h"

#define XZ_RECORDS_MAX  65536      /* sizes of blocks that a run keeps before it is the first */
#define XZ_INDEX_MEMORY (16 * MIB) /* for finding the size: some 300000 blocks */
#define XZ_SPLIT        MIB        /* decoded bytes that are worth a run of their own */
#define XZ_IN_STREAM    0x100 /* param of a run that starts at a block; or the check's number */

static const char xz_what[] = "an xz stream";

struct xz_record {
	lzma_vli unpadded, uncompressed;
};

/* What a run leaves for the check of the index, which is made in order. */
struct xz_note {
	size_t n, cap;
	struct xz_record records[];
};

struct xz_worker {
	lzma_stream lzma;
	lzma_block block;
	lzma_filter filters[LZMA_FILTERS_MAX + 1];
	bool in_stream;
	lzma_check check;
};

enum xz_step { XZ_AT_STREAM, XZ_AT_BLOCK };

struct xz_walk {
	struct walk walk;
	enum xz_step step;
	lzma_check check;
	lzma_index_hash *blocks; /* for the size of the index */
	uint64_t split_at, split_content;
};

/* Shared: the walk is the reading thread's, the hash belongs to the first run that is not whole. */
struct xz {
	struct xz_walk walk;
	lzma_index_hash *hash;
	bool overflow; /* the blocks' sizes add up to more than there can be */
};

static void *xz_worker_new(void)
{
	struct xz_worker *w = calloc(1, sizeof(*w));

	if (w) {
		w->lzma = (lzma_stream)LZMA_STREAM_INIT;
		w->filters[0].id = LZMA_VLI_UNKNOWN;
	}
	return w;
}

static void xz_worker_free(void *worker)
{
	struct xz_worker *w = worker;

	if (!w)
		return;
	lzma_end(&w->lzma);
	free(w);
}

static void xz_begin(void *worker, unsigned param)
{
	struct xz_worker *w = worker;

	w->in_stream = param & XZ_IN_STREAM;
	w->check = (lzma_check)(param & 0xff);
}

static void xz_settle(void *shared, void *note)
{
	struct xz *xz = shared;
	struct xz_note *blocks = note;

	for (size_t i = 0; blocks && i < blocks->n; i++)
		if (lzma_index_hash_append(xz->hash, blocks->records[i].unpadded,
		                           blocks->records[i].uncompressed) != LZMA_OK)
			xz->overflow = true;
	if (blocks)
		blocks->n = 0;
}

static int xz_note_block(struct run *run, const lzma_block *block, struct ism_error *err)
{
	struct xz_note *note = *run_note(run);

	if (note && note->n == XZ_RECORDS_MAX) {
		int r = run_wait_first(run, err);

		if (r < 0)
			return r;
		xz_settle(run_shared(run), note);
	}
	if (!note || note->n == note->cap) {
		size_t cap = note ? 2 * note->cap : 16;
		struct xz_note *more = realloc(note, sizeof(*note) + cap * sizeof(*note->records));

		if (!more)
			return ism_error_oom(err);
		more->n = note ? more->n : 0;
		more->cap = cap;
		*run_note(run) = note = more;
	}
	note->records[note->n++] =
		(struct xz_record){ lzma_block_unpadded_size(block), block->uncompressed_size };
	return 0;
}

static int xz_step(void *worker, struct run *run, struct coder *c, struct ism_error *err)
{
	lzma_stream *s = &((struct xz_worker *)worker)->lzma;
	size_t in = c->in.len, room = c->out_len;
	lzma_ret r;

	s->next_in = c->in.p;
	s->avail_in = in;
	s->next_out = c->out;
	s->avail_out = room;
	r = lzma_code(s, LZMA_RUN);
	coder_consumed(c, in - s->avail_in);
	coder_produced(c, room - s->avail_out);
	if (r == LZMA_MEM_ERROR)
		return ism_error_oom(err);
	if (r == LZMA_OK || r == LZMA_BUF_ERROR)
		return 0;
	if (r != LZMA_STREAM_END)
		return format_error(err, run_carrier(run), c->offset,
		                    "has damaged xz data (near this byte)");
	return 1;
}

/* Zero bytes in groups of four between streams; then the next stream, or the end: 0. */
static int xz_padding(struct run *run, struct ism_error *err)
{
	static const uint8_t zeros[4];
	uint8_t four[4] = { 0 };
	struct span in;
	int r;

	while ((r = run_input(run, &in, err)) == 0 && in.len && in.p[0] == 0) {
		uint64_t start = run_offset(run);

		r = run_bytes(run, four, sizeof(four), "xz stream padding", err);
		if (r < 0)
			return r;
		if (memcmp(four, zeros, sizeof(four)) != 0)
			return format_error(err, run_carrier(run), start,
			                    "has damaged xz stream padding");
	}
	return r < 0 ? r : in.len > 0;
}

static int xz_stream_header(struct xz_worker *w, struct run *run, struct ism_error *err)
{
	uint64_t start = run_offset(run);
	uint8_t head[LZMA_STREAM_HEADER_SIZE];
	lzma_stream_flags flags;
	lzma_ret r;

	if (start > 0) {
		int more = xz_padding(run, err);

		if (more <= 0)
			return more;
		if (run_offset(run) > start)
			return 1; /* the stream may be a run of its own */
	}

	int n = run_bytes(run, head, sizeof(head), xz_what, err);

	if (n < 0)
		return n;
	r = lzma_stream_header_decode(&flags, head);
	if (r == LZMA_OPTIONS_ERROR)
		return ism_error_set(err, -EOPNOTSUPP, run_carrier(run)->name, start,
		                     "has an xz header of an unknown kind");
	if (r != LZMA_OK)
		return format_error(err, run_carrier(run), start,
		                    "has a byte 0x%02x where an xz stream should start%s", head[0],
		                    r == LZMA_DATA_ERROR ? ", or a damaged header" : "");
	if (!lzma_check_is_supported(flags.check))
		return ism_error_set(err, -EOPNOTSUPP, run_carrier(run)->name, start,
		                     "has an integrity check of unknown type %u",
		                     (unsigned)flags.check);
	w->in_stream = true;
	w->check = flags.check;
	return 1;
}

/* The index repeats the sizes of all blocks; the footer repeats header and size of the index. */
static int xz_index(struct xz_worker *w, struct run *run, struct ism_error *err)
{
	static const uint8_t indicator;
	struct xz *xz = run_shared(run);
	uint64_t start = run_offset(run) - 1;
	uint8_t foot[LZMA_STREAM_HEADER_SIZE];
	lzma_stream_flags flags, head = { .check = w->check, .backward_size = LZMA_VLI_UNKNOWN };
	size_t pos = 0;
	lzma_ret l;
	int r = run_wait_first(run, err);

	if (r < 0)
		return r;
	xz_settle(xz, *run_note(run));
	l = xz->overflow ? LZMA_DATA_ERROR : lzma_index_hash_decode(xz->hash, &indicator, &pos, 1);
	while (l == LZMA_OK) {
		struct span in;

		r = run_input(run, &in, err);
		if (r < 0)
			return r;
		if (!in.len)
			return run_truncated(run, xz_what, err);
		pos = 0;
		l = lzma_index_hash_decode(xz->hash, in.p, &pos, in.len);
		run_consume(run, pos);
	}
	if (l != LZMA_STREAM_END)
		return format_error(err, run_carrier(run), start,
		                    "has an xz index that does not fit its blocks");
	start = run_offset(run);
	r = run_bytes(run, foot, sizeof(foot), xz_what, err);
	if (r < 0)
		return r;
	if (lzma_stream_footer_decode(&flags, foot) != LZMA_OK ||
	    lzma_stream_flags_compare(&head, &flags) != LZMA_OK ||
	    flags.backward_size != lzma_index_hash_size(xz->hash))
		return format_error(err, run_carrier(run), start, "has a damaged xz stream footer");
	w->in_stream = false;
	lzma_index_hash *hash = lzma_index_hash_init(xz->hash, NULL);

	if (!hash)
		return ism_error_oom(err);
	xz->hash = hash;
	return 1;
}

/* @head: the header, whose first byte states its length. Fills w->block and w->filters. */
static int xz_block_header(struct xz_worker *w, struct run *run, const uint8_t *head,
                           uint64_t start, struct ism_error *err)
{
	uint64_t memory;
	lzma_ret r;

	w->block = (lzma_block){ .version = 1,
		                 .header_size = lzma_block_header_size_decode(head[0]),
		                 .check = w->check,
		                 .filters = w->filters };
	r = lzma_block_header_decode(&w->block, NULL, head);
	if (r == LZMA_MEM_ERROR)
		return ism_error_oom(err);
	if (r == LZMA_OPTIONS_ERROR)
		return ism_error_set(err, -EOPNOTSUPP, run_carrier(run)->name, start,
		                     "has an xz block made with unknown filters");
	if (r != LZMA_OK)
		return format_error(err, run_carrier(run), start, "has a damaged xz block header");
	memory = lzma_raw_decoder_memusage(w->filters);
	if (memory == UINT64_MAX)
		return ism_error_set(err, -EOPNOTSUPP, run_carrier(run)->name, start,
		                     "has an xz block made with unknown filters");
	return run_reserve(run, memory, err);
}

static int xz_block(struct xz_worker *w, struct run *run, const uint8_t *head, uint64_t start,
                    struct ism_error *err)
{
	int r = xz_block_header(w, run, head, start, err);
	lzma_ret l;

	if (r < 0)
		return r;
	l = lzma_block_decoder(&w->lzma, &w->block);
	if (l == LZMA_MEM_ERROR)
		return ism_error_oom(err);
	if (l == LZMA_OPTIONS_ERROR)
		return ism_error_set(err, -EOPNOTSUPP, run_carrier(run)->name, start,
		                     "has an xz block made with unknown filters");
	if (l != LZMA_OK)
		return format_error(err, run_carrier(run), start, "has a damaged xz block header");
	r = run_code(run, xz_step, w, xz_what, err);
	return r < 0 ? r : xz_note_block(run, &w->block, err);
}

static int xz_piece(void *worker, struct run *run, struct ism_error *err)
{
	struct xz_worker *w = worker;
	uint64_t start = run_offset(run);
	uint8_t head[LZMA_BLOCK_HEADER_SIZE_MAX];
	int r;

	if (!w->in_stream)
		return xz_stream_header(w, run, err);
	r = run_bytes(run, head, 1, xz_what, err);
	if (r < 0)
		return r;
	if (head[0] == 0)
		return xz_index(w, run, err);
	r = run_bytes(run, head + 1, lzma_block_header_size_decode(head[0]) - 1, xz_what, err);
	if (r < 0)
		return r;
	r = xz_block(w, run, head, start, err);
	lzma_filters_free(w->filters, NULL);
	return r < 0 ? r : 1;
}

static void xz_walk_stream(struct xz_walk *z)
{
	static const uint8_t zeros[4];
	struct walk *w = &z->walk;
	lzma_stream_flags flags;

	if (w->want == sizeof(zeros)) {
		if (memcmp(w->buf, zeros, sizeof(zeros)) == 0)
			walk_to(w, sizeof(zeros), sizeof(zeros));
		else
			walk_more(w, LZMA_STREAM_HEADER_SIZE);
		return;
	}
	if (lzma_stream_header_decode(&flags, w->buf) != LZMA_OK) {
		w->lost = true;
		return;
	}
	z->check = flags.check;
	z->step = XZ_AT_BLOCK;
	walk_to(w, LZMA_STREAM_HEADER_SIZE, 1);
}

/* The index has the size that the blocks before it give it; what it says is the decoder's. */
static void xz_walk_index(struct xz_walk *z)
{
	lzma_vli size = lzma_index_hash_size(z->blocks);
	lzma_index_hash *blocks = lzma_index_hash_init(z->blocks, NULL);

	z->step = XZ_AT_STREAM;
	walk_to(&z->walk, size + LZMA_STREAM_HEADER_SIZE, 4);
	if (blocks)
		z->blocks = blocks;
	else
		z->walk.lost = true;
}

/* A block that does not state its sizes ends the walk: all from there on is one run. */
static void xz_walk_block(struct xz_walk *z)
{
	struct walk *w = &z->walk;
	lzma_filter filters[LZMA_FILTERS_MAX + 1];
	lzma_block block = { .version = 1, .check = z->check, .filters = filters };
	lzma_vli total;

	block.header_size = lzma_block_header_size_decode(w->buf[0]);
	if (w->want < block.header_size) {
		walk_more(w, block.header_size);
		return;
	}
	if (lzma_block_header_decode(&block, NULL, w->buf) != LZMA_OK) {
		w->lost = true;
		return;
	}
	lzma_filters_free(filters, NULL);
	total = lzma_block_total_size(&block);
	if (total == 0 || total == LZMA_VLI_UNKNOWN ||
	    block.uncompressed_size == LZMA_VLI_UNKNOWN ||
	    lzma_index_hash_append(z->blocks, lzma_block_unpadded_size(&block),
	                           block.uncompressed_size) != LZMA_OK) {
		w->lost = true;
		return;
	}
	if (add_overflows(z->split_content, block.uncompressed_size, &z->split_content))
		z->split_content = XZ_SPLIT;
	walk_to(w, total, 1);
}

static void xz_walk_step(struct xz_walk *z)
{
	if (z->step == XZ_AT_STREAM)
		xz_walk_stream(z);
	else if (z->walk.buf[0] == 0)
		xz_walk_index(z);
	else
		xz_walk_block(z);
}

static bool xz_walk_may_split(const struct xz_walk *z)
{
	const struct walk *w = &z->walk;

	if (z->step == XZ_AT_STREAM ? w->want != LZMA_STREAM_HEADER_SIZE
	                            : w->want != 1 || w->buf[0] == 0)
		return false;
	return w->at > z->split_at &&
	       (w->at - z->split_at >= SCAN_SPACING || z->split_content >= XZ_SPLIT);
}

static void xz_scan(void *shared, struct decoder *d, struct span bytes, uint64_t offset)
{
	struct xz_walk *z = &((struct xz *)shared)->walk;
	struct walk *w = &z->walk;

	while (walk_collect(w, bytes, offset)) {
		if (xz_walk_may_split(z)) {
			decode_split(d, w->at,
			             z->step == XZ_AT_STREAM ? 0 : XZ_IN_STREAM | z->check);
			z->split_at = w->at;
			z->split_content = 0;
		}
		xz_walk_step(z);
	}
}

static void xz_free(void *shared)
{
	struct xz *xz = shared;

	if (!xz)
		return;
	lzma_index_hash_end(xz->hash, NULL);
	lzma_index_hash_end(xz->walk.blocks, NULL);
	free(xz);
}

static const struct medium_ops xz_ops = {
	.name = "xz",
	.read = decode_read,
	.close = decode_close,
};

static const struct codec xz_codec = {
	.ops = &xz_ops,
	.scan = xz_scan,
	.worker_new = xz_worker_new,
	.worker_free = xz_worker_free,
	.begin = xz_begin,
	.piece = xz_piece,
	.settle = xz_settle,
	.free = xz_free,
};

/* Follows liblzma from the last footer to the first header. */
static int xz_read_index(lzma_stream *s, struct medium *carrier, lzma_ret *ret,
                         struct ism_error *err)
{
	uint8_t buf[4096];
	uint64_t offset = 0;

	s->avail_in = 0;
	do {
		if (s->avail_in == 0) {
			size_t n = 0;
			int r = medium_read(carrier, buf, sizeof(buf), offset, &n, err);

			if (r < 0)
				return r;
			s->next_in = buf;
			s->avail_in = n;
			offset += n;
		}
		*ret = lzma_code(s, LZMA_RUN);
		if (*ret == LZMA_SEEK_NEEDED) {
			offset = s->seek_pos;
			s->avail_in = 0;
		}
	} while (*ret == LZMA_OK || *ret == LZMA_SEEK_NEEDED);
	return 0;
}

/*
 * The decoded size as the indexes state it. A file that was cut off is found out here, before
 * anything is written anywhere; an index too large to be held leaves the size unknown.
 */
static int xz_find_size(struct medium *carrier, uint64_t *ret_size, struct ism_error *err)
{
	lzma_stream s = LZMA_STREAM_INIT;
	lzma_index *index = NULL;
	lzma_ret l;
	int r;

	if (lzma_file_info_decoder(&s, &index, XZ_INDEX_MEMORY, carrier->size) != LZMA_OK)
		return ism_error_oom(err);
	r = xz_read_index(&s, carrier, &l, err);
	lzma_end(&s);
	if (r < 0)
		return r;
	if (l == LZMA_STREAM_END)
		*ret_size = lzma_index_uncompressed_size(index);
	lzma_index_end(index, NULL);
	if (l == LZMA_MEM_ERROR)
		return ism_error_oom(err);
	if (l == LZMA_STREAM_END || l == LZMA_MEMLIMIT_ERROR || l == LZMA_OPTIONS_ERROR)
		return 0;
	return format_error(err, carrier, carrier->size,
	                    "has no xz index at its end: it is truncated or damaged");
}

/* What the first block needs is known before anything is written anywhere; later ones may differ.
 */
static int xz_check_memory(struct medium *carrier, struct ism_error *err)
{
	uint8_t head[LZMA_STREAM_HEADER_SIZE + LZMA_BLOCK_HEADER_SIZE_MAX] = { 0 };
	const uint8_t *p = head + LZMA_STREAM_HEADER_SIZE;
	lzma_filter filters[LZMA_FILTERS_MAX + 1];
	lzma_block block = { .version = 1, .filters = filters };
	lzma_stream_flags flags;
	uint64_t memory;
	size_t len = 0;
	int r = medium_peek(carrier, head, sizeof(head), &len, err);

	if (r < 0 || lzma_stream_header_decode(&flags, head) != LZMA_OK || *p == 0)
		return r;
	block.check = flags.check;
	block.header_size = lzma_block_header_size_decode(*p);
	if (lzma_block_header_decode(&block, NULL, p) != LZMA_OK)
		return 0; /* decoding says what is wrong */
	memory = lzma_raw_decoder_memusage(filters);
	lzma_filters_free(filters, NULL);
	return memory == UINT64_MAX
	               ? 0
	               : decode_check_state(carrier, LZMA_STREAM_HEADER_SIZE, memory, err);
}

static struct xz *xz_new(void)
{
	struct xz *xz = calloc(1, sizeof(*xz));

	if (!xz)
		return NULL;
	xz->walk.walk.want = 4;
	xz->hash = lzma_index_hash_init(NULL, NULL);
	xz->walk.blocks = lzma_index_hash_init(NULL, NULL);
	if (!xz->hash || !xz->walk.blocks) {
		xz_free(xz);
		return NULL;
	}
	return xz;
}

static int xz_open(struct medium *carrier, const struct ism_open_options *options,
                   struct medium **ret, struct ism_error *err)
{
	uint64_t size = ISM_SIZE_UNKNOWN;
	struct xz *xz;
	int r = xz_check_memory(carrier, err);

	if (r == 0 && !carrier->forward)
		r = xz_find_size(carrier, &size, err);
	if (r < 0)
		return r;
	xz = xz_new();
	if (!xz)
		return ism_error_oom(err);
	r = decode_open(&xz_codec, carrier, xz, size, options, ret, err);
	if (r < 0)
		xz_free(xz);
	else if (size != ISM_SIZE_UNKNOWN)
		(*ret)->size_hint = size;
	return r;
}

const struct format_driver format_driver_xz = {
	.name = "xz",
	.magics = { { .offset = 0,
	              .bytes = "\xfd"
	                       "7zXZ",
	              .len = 6 } },
	.open = xz_open,
};
