/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is the log of an XFS clean? It is when the last record before its head is an unmount record. Each
 * 512-byte block of it begins with the number of the cycle it was written in: behind the head they
 * are one lower. Spec: "XFS Algorithms & Data Structures", Journaling Log. */
#include "fs/xfs.h"

#include "base/cleanup.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define BLOCK         512u /* the log's own block */
#define MAGIC         0xfeedbabeu
#define RECORD_MAX    (256 * (uint32_t)KIB) /* the largest in-core log buffer there is */
#define CYCLE_SIZE    (32 * (uint32_t)KIB)  /* data whose cycle words fit in one header block */
#define HEADERS_MAX   (RECORD_MAX / CYCLE_SIZE)
#define RECORD_BLOCKS (HEADERS_MAX + RECORD_MAX / BLOCK)
/* Eight buffers may have been on their way to the disk: so far around the head its order counts. */
#define WINDOW         (8 * RECORD_BLOCKS)
#define EXT_HEADER_LEN 260
#define CRC_OFFSET     32
#define CLIENT_LOG     0xaa
#define UNMOUNT        0x20

static const char damaged[] = "its log cannot be made sense of (mount it once, or run xfs_repair "
			      "on it)";
static const char dirty[] = "it was not unmounted cleanly (mount and unmount it once, or run "
			    "xfs_repair on it)";
static const char unreadable[] = "its log cannot be read";

struct log {
	const struct xfs *x;
	uint64_t offset;            /* bytes */
	uint32_t n;                 /* its blocks */
	uint8_t *buf;               /* WINDOW blocks */
	uint32_t first, last, head; /* cycles of both its ends; the block that is written next */
	const char *why;
};

/* Functions here return 1 = go on, 0 = log->why is set, negative = fatal. */
static int give_up(struct log *log, const char *why)
{
	log->why = why;
	return 0;
}

static int read_blocks(struct log *log, uint32_t from, uint32_t n)
{
	int r = medium_read_all(log->x->m, log->buf, (size_t)n * BLOCK,
	                        log->offset + (uint64_t)from * BLOCK, NULL);

	if (view_fatal(r))
		return r;
	return r < 0 ? give_up(log, unreadable) : 1;
}

/* From there on, across the end of the log. */
static int read_around(struct log *log, uint32_t from, uint32_t n)
{
	uint32_t here = MIN(n, log->n - from);
	uint8_t *all = log->buf;
	int r = read_blocks(log, from, here);

	if (r <= 0 || here == n)
		return r;
	log->buf += (size_t)here * BLOCK;
	r = read_blocks(log, 0, n - here);
	log->buf = all;
	return r;
}

static uint32_t cycle_of(const uint8_t *block)
{
	return xfs_be32(block) == MAGIC ? xfs_be32(block + 4) : xfs_be32(block);
}

static int cycle_at(struct log *log, uint32_t block, uint32_t *ret)
{
	int r = read_blocks(log, block, 1);

	if (r > 0)
		*ret = cycle_of(log->buf);
	return r;
}

static int check_cycles(struct log *log, uint32_t from, uint32_t to, uint32_t cycle)
{
	int r;

	if (from >= to)
		return 1;
	r = read_blocks(log, from, to - from);
	if (r <= 0)
		return r;
	for (uint32_t i = 0; i < to - from; i++)
		if (cycle_of(log->buf + (size_t)i * BLOCK) != cycle)
			return give_up(log, dirty);
	return 1;
}

/* The first block with another cycle than block 0; found by halving. */
static int find_head(struct log *log)
{
	uint32_t low = 0, high = log->n - 1, cycle;
	int r = cycle_at(log, low, &log->first);

	if (r > 0)
		r = cycle_at(log, high, &log->last);
	if (r <= 0)
		return r;
	if (log->first == 0 || (log->first != log->last && log->first - 1 != log->last))
		return give_up(log, damaged);
	while (log->first != log->last && high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		r = cycle_at(log, mid, &cycle);
		if (r <= 0)
			return r;
		if (cycle == log->first)
			low = mid;
		else
			high = mid;
	}
	log->head = log->first == log->last ? log->n : high;
	return 1;
}

/* What was written last may have come to the disk in any order. */
static int check_around_head(struct log *log)
{
	uint32_t before = MIN(log->head, WINDOW), behind = MIN(log->n - log->head, WINDOW);
	uint32_t rest = MIN(log->head, WINDOW - behind);
	int r = check_cycles(log, log->head - before, log->head, log->first);

	if (r > 0)
		r = check_cycles(log, log->head, log->head + behind, log->last);
	if (r > 0)
		r = check_cycles(log, 0, rest, log->first);
	rest = MIN(log->n - log->head, WINDOW - before);
	if (r > 0)
		r = check_cycles(log, log->n - rest, log->n, log->last);
	return r;
}

/* The header of the record that ends at the head. It is left in log->buf. */
static int find_last_record(struct log *log, uint32_t *ret)
{
	for (uint32_t back = 1; back <= MIN(RECORD_BLOCKS, log->n); back++) {
		uint32_t block = (log->head + log->n - back) % log->n;
		int r = read_blocks(log, block, 1);

		if (r <= 0)
			return r;
		*ret = block;
		if (xfs_be32(log->buf) == MAGIC)
			return 1;
	}
	return give_up(log, dirty);
}

static uint32_t header_blocks(const struct log *log, const uint8_t *header)
{
	uint32_t size = xfs_be32(header + 320);

	if (!log->x->log_v2 || !(xfs_be32(header + 8) & 2) || size <= CYCLE_SIZE)
		return 1;
	return size / CYCLE_SIZE + (size % CYCLE_SIZE != 0);
}

static bool is_header(const struct log *log, const uint8_t *header, uint32_t block)
{
	uint32_t cycle = block < log->head ? log->first : log->last;
	uint32_t version = xfs_be32(header + 8), len = xfs_be32(header + 12);
	const uint8_t *uuid = header + 304;

	return xfs_be32(header + 4) == cycle && (version == 1 || version == 2) && len > 0 &&
	       len <= RECORD_MAX && xfs_be32(header + 320) <= RECORD_MAX &&
	       xfs_be64(header + 16) == ((uint64_t)cycle << 32 | block) &&
	       (memcmp(uuid, log->x->uuid, 16) == 0 || memcmp(uuid, log->x->meta_uuid, 16) == 0);
}

/* A header was 324 bytes long to 32-bit kernels and is 328 to others. Those of mkfs have none. */
static bool is_crc_ok(const uint8_t *record, uint32_t headers, uint32_t len)
{
	static const uint8_t none[4];
	uint32_t crc = fs_crc32c(UINT32_MAX, record, CRC_OFFSET), sum;

	if (le32_at(record + CRC_OFFSET) == 0)
		return true;
	crc = fs_crc32c(crc, none, sizeof(none));
	for (size_t header_len = 324; header_len <= 328; header_len += 4) {
		sum = fs_crc32c(crc, record + CRC_OFFSET + 4, header_len - CRC_OFFSET - 4);
		for (uint32_t i = 1; i < headers && i * CYCLE_SIZE < len; i++)
			sum = fs_crc32c(sum, record + (size_t)i * BLOCK, EXT_HEADER_LEN);
		sum = fs_crc32c(sum, record + (size_t)headers * BLOCK, len);
		if (~sum == le32_at(record + CRC_OFFSET))
			return true;
	}
	return false;
}

/* One operation, that of unmounting, and nothing behind it. */
static int check_unmount(struct log *log, uint32_t block)
{
	uint32_t headers, len, blocks;
	const uint8_t *op;
	int r;

	if (!is_header(log, log->buf, block))
		return give_up(log, damaged);
	headers = header_blocks(log, log->buf);
	len = xfs_be32(log->buf + 12);
	blocks = headers + len / BLOCK + (len % BLOCK != 0);
	if (blocks > log->n ||
	    (block + blocks != log->head && block + blocks != log->head + log->n))
		return give_up(log, dirty);
	if (xfs_be32(log->buf + 40) != 1)
		return give_up(log, dirty);
	r = read_around(log, block, blocks);
	if (r <= 0)
		return r;
	op = log->buf + (size_t)headers * BLOCK;
	if (!is_crc_ok(log->buf, headers, len))
		return give_up(log, damaged);
	if (op[8] != CLIENT_LOG || !(op[9] & UNMOUNT))
		return give_up(log, dirty);
	return 1;
}

int xfs_log_read(struct xfs *x, const char **ret_why)
{
	_free_ uint8_t *buf = malloc((size_t)WINDOW * BLOCK);
	uint64_t blocks = (uint64_t)x->log_blocks * (x->block_size / BLOCK);
	struct log log = { .x = x, .buf = buf, .offset = x->log_block * x->block_size };
	uint32_t block;
	int r;

	if (!buf)
		return -ENOMEM;
	*ret_why = damaged;
	if (blocks < 512 || blocks > UINT32_MAX / BLOCK)
		return 0; /* mkfs makes none of fewer blocks, and none above 2 GiB */
	log.n = (uint32_t)blocks;
	r = find_head(&log);
	if (r > 0)
		r = check_around_head(&log);
	if (r > 0)
		r = find_last_record(&log, &block);
	if (r > 0)
		r = check_unmount(&log, block);
	*ret_why = log.why;
	return r < 0 ? r : 0;
}
