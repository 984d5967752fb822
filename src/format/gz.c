/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gzip: members one behind the other, of pigz, bgzip and others too. Spec: RFC 1952. What was made
 * of several members is decoded by several threads. */
#include <isa-l.h>
#include <string.h>

#include "format/scan.h"

#define GZ_FHCRC    0x02
#define GZ_FEXTRA   0x04
#define GZ_FNAME    0x08
#define GZ_FCOMMENT 0x10
#define GZ_RESERVED 0xe0

static const char gz_what[] = "a gzip member";

/* Ten bytes as all known writers make them; a chance hit costs time only. */
static bool gz_is_start(const uint8_t *p)
{
	return p[1] == 0x8b && p[2] == 8 && !(p[3] & GZ_RESERVED) &&
	       (p[8] == 0 || p[8] == 2 || p[8] == 4) && (p[9] <= 13 || p[9] == 255);
}

static void gz_scan(void *shared, struct decoder *d, struct span bytes, uint64_t offset)
{
	pattern_scan(shared, d, bytes, offset);
}

static void *gz_worker_new(void)
{
	return malloc(sizeof(struct inflate_state));
}

static int gz_header_bytes(struct run *run, uint8_t *buf, size_t len, uint32_t *crc,
                           struct ism_error *err)
{
	int r = run_bytes(run, buf, len, gz_what, err);

	if (r == 0)
		*crc = crc32_gzip_refl(*crc, buf, len);
	return r;
}

static int gz_header_string(struct run *run, uint32_t *crc, struct ism_error *err)
{
	uint8_t c = 1;
	int r = 0;

	while (r == 0 && c)
		r = gz_header_bytes(run, &c, 1, crc, err);
	return r;
}

static int gz_header_extra(struct run *run, uint32_t *crc, struct ism_error *err)
{
	uint8_t buf[256];
	le16 size;
	int r = gz_header_bytes(run, size.b, sizeof(size), crc, err);

	for (size_t left = r < 0 ? 0 : le16_get(size); r == 0 && left;) {
		size_t n = MIN(left, sizeof(buf));

		r = gz_header_bytes(run, buf, n, crc, err);
		left -= n;
	}
	return r;
}

static int gz_header(struct run *run, struct ism_error *err)
{
	uint64_t start = run_offset(run);
	uint32_t crc = 0;
	uint8_t head[10];
	int r = gz_header_bytes(run, head, sizeof(head), &crc, err);

	if (r < 0)
		return r;
	if (head[0] != 0x1f || head[1] != 0x8b)
		return format_error(err, run_carrier(run), start,
		                    "has bytes 0x%02x%02x where a gzip member should start",
		                    head[0], head[1]);
	if (head[2] != 8 || (head[3] & GZ_RESERVED))
		return format_error(err, run_carrier(run), start,
		                    "has a gzip header of an unknown kind");
	if (head[3] & GZ_FEXTRA)
		r = gz_header_extra(run, &crc, err);
	if (r == 0 && (head[3] & GZ_FNAME))
		r = gz_header_string(run, &crc, err);
	if (r == 0 && (head[3] & GZ_FCOMMENT))
		r = gz_header_string(run, &crc, err);
	if (r == 0 && (head[3] & GZ_FHCRC)) {
		uint32_t computed = crc;
		le16 stated;

		r = gz_header_bytes(run, stated.b, sizeof(stated), &crc, err);
		if (r == 0 && le16_get(stated) != (computed & 0xffff))
			return format_error(err, run_carrier(run), start,
			                    "has a gzip header with a wrong checksum");
	}
	return r;
}

static int gz_step(void *worker, struct run *run, struct coder *c, struct ism_error *err)
{
	struct inflate_state *s = worker;
	size_t in = c->in.len, room = c->out_len;
	int r;

	s->next_in = (uint8_t *)c->in.p;
	s->avail_in = (uint32_t)in;
	s->next_out = c->out;
	s->avail_out = (uint32_t)room;
	r = isal_inflate(s);
	coder_consumed(c, in - s->avail_in);
	coder_produced(c, room - s->avail_out);
	if (r < 0)
		return format_error(err, run_carrier(run), c->offset, "has damaged gzip data");
	return s->block_state == ISAL_BLOCK_FINISH;
}

/* The first bytes of the trailer may be in the decoder's bit buffer already; never more than it. */
static int gz_trailer(struct inflate_state *s, struct run *run, struct ism_error *err)
{
	uint8_t t[8];
	size_t have = (size_t)s->read_in_length / 8;
	uint64_t bits = s->read_in >> (s->read_in_length % 8);
	uint64_t start = run_offset(run) - have;
	le32 crc, size;
	int r;

	for (size_t i = 0; i < have; i++)
		t[i] = (uint8_t)(bits >> (8 * i));
	r = run_bytes(run, t + have, sizeof(t) - have, gz_what, err);
	if (r < 0)
		return r;
	memcpy(crc.b, t, 4);
	memcpy(size.b, t + 4, 4);
	if (le32_get(crc) != s->crc)
		return format_error(err, run_carrier(run), start,
		                    "has gzip data with a wrong checksum");
	if (le32_get(size) != s->total_out)
		return format_error(err, run_carrier(run), start + 4,
		                    "has gzip data of another size than stated");
	return 0;
}

static int gz_piece(void *worker, struct run *run, struct ism_error *err)
{
	struct inflate_state *s = worker;
	struct span in;
	int r = run_input(run, &in, err);

	if (r < 0)
		return r;
	if (run_offset(run) > 0 && (!in.len || in.p[0] == 0))
		return run_padding(run, "gzip", err);
	r = gz_header(run, err);
	if (r < 0)
		return r;
	isal_inflate_init(s);
	s->crc_flag = ISAL_GZIP_NO_HDR;
	r = run_code(run, gz_step, s, gz_what, err);
	if (r > 0)
		r = gz_trailer(s, run, err);
	return r < 0 ? r : 1;
}

static const struct medium_ops gz_ops = {
	.name = "gz",
	.read = decode_read,
	.close = decode_close,
};

static const struct codec gz_codec = {
	.ops = &gz_ops,
	.scan = gz_scan,
	.worker_new = gz_worker_new,
	.worker_free = free,
	.piece = gz_piece,
	.free = free,
};

/* The last member's size modulo 4 GiB: right for most, and never shorter than what it is made of.
 */
static uint64_t gz_hint(struct medium *carrier)
{
	le32 size;

	if (carrier->forward || carrier->size < 18 ||
	    medium_read_all(carrier, &size, sizeof(size), carrier->size - sizeof(size), NULL) < 0)
		return 0;

	uint64_t hint = le32_get(size);

	while (hint < carrier->size - carrier->size / 64)
		hint += 4 * GIB;
	return hint;
}

static int gz_open(struct medium *carrier, const struct ism_open_options *options,
                   struct medium **ret, struct ism_error *err)
{
	_free_ struct pattern *scan = calloc(1, sizeof(*scan));
	int r;

	if (!scan)
		return ism_error_oom(err);
	*scan = (struct pattern){ .first = 0x1f, .len = 10, .is_start = gz_is_start };

	uint64_t hint = gz_hint(carrier);

	r = decode_open(&gz_codec, carrier, scan, ISM_SIZE_UNKNOWN, options, ret, err);
	if (r < 0)
		return r;
	take(scan);
	(*ret)->size_hint = hint;
	return 0;
}

const struct format_driver format_driver_gz = {
	.name = "gz",
	.magics = { { .offset = 0, .bytes = "\x1f\x8b\x08", .len = 3 } },
	.open = gz_open,
};
