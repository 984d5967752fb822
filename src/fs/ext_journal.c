/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The log of ext3 and ext4 (jbd2), read as its recovery would, but into memory. Where recovery
 * would stop with an error, or a checksum is wrong, nothing is replayed and the caller is told.
 * Spec: kernel documentation, ext4 "Journal (jbd2)". */
#include <isa-l/crc.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/ext.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define JBD_MAGIC 0xc03b3998u

enum jbd_type { JBD_DESCRIPTOR = 1, JBD_COMMIT = 2, JBD_SUPER_V1 = 3, JBD_SUPER_V2, JBD_REVOKE };

enum jbd_feature {
	JBD_COMPAT_CHECKSUM = 0x1,
	JBD_INCOMPAT_64BIT = 0x2,
	JBD_INCOMPAT_ASYNC = 0x4,
	JBD_INCOMPAT_CSUM_V2 = 0x8,
	JBD_INCOMPAT_CSUM_V3 = 0x10,
	JBD_INCOMPAT_FAST_COMMIT = 0x20,
	JBD_INCOMPAT_KNOWN = 0x3f,
};

enum jbd_flag { JBD_ESCAPED = 1, JBD_SAME_UUID = 2, JBD_LAST_TAG = 8 };

/**
 * struct journal - a log being read
 * @first, @last: it is a ring of the logical blocks [first, last)
 * @start, @sequence: where its oldest transaction begins, and which it is
 * @tag_len, @tail_len: bytes of a tag, and of the checksum at the end of a block
 * @consumed: blocks since @start: never more than the ring has
 * @crc: of the transaction being read (compatible checksums)
 * @doubtful: a copy in it is not what its tag says; that matters only if it was committed
 */
struct journal {
	struct ext *e;
	struct ext_extents blocks;
	struct ext_replay *out;
	uint32_t maxlen, first, last, start, sequence, errors;
	uint32_t compat, incompat, fast_blocks, seed;
	uint32_t tag_len, tail_len;
	uint8_t *window, *head; /* EXT_WINDOW_LEN; one block */
	uint32_t window_first, window_n;
	uint32_t next, consumed, crc;
	bool has_csum, crc_seen, doubtful;
	size_t committed_tags, committed_revokes;
};

static uint32_t be32_at(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t place_of(const struct journal *j, uint32_t logical)
{
	const struct ext_extent *x = ext_extents_find(&j->blocks, logical);

	return x->first + (logical - x->logical);
}

/* A block of the journal, until the next call. */
static int journal_block(struct journal *j, uint32_t logical, const uint8_t **ret)
{
	const uint32_t size = j->e->s.block_size;
	const struct ext_extent *x;
	uint32_t n;
	int r;

	if (logical < j->window_first || logical - j->window_first >= j->window_n) {
		x = ext_extents_find(&j->blocks, logical);
		n = MIN(x->n - (logical - x->logical), (uint32_t)(EXT_WINDOW_LEN / size));
		j->window_n = 0;
		r = ext_read(j->e, j->window, (size_t)n * size, place_of(j, logical) * size);
		if (r < 0)
			return r;
		j->window_first = logical;
		j->window_n = n;
	}
	*ret = j->window + (size_t)(logical - j->window_first) * size;
	return 0;
}

/* The next block of the ring; -EBADMSG once all of it was read: a log always leaves some free. */
static int next_block(struct journal *j, uint32_t *ret_logical)
{
	if (++j->consumed >= j->last - j->first)
		return -EBADMSG;
	*ret_logical = j->next++;
	if (j->next == j->last)
		j->next = j->first;
	return 0;
}

/* The checksum at @at, which counts as zero, of a block of the journal. */
static bool block_csum_ok(const struct journal *j, const uint8_t *block, size_t len, size_t at)
{
	const uint8_t none[4] = { 0 };
	uint32_t crc = fs_crc32c(j->seed, block, at);

	crc = fs_crc32c(crc, none, sizeof(none));
	crc = fs_crc32c(crc, block + at + 4, len - at - 4);
	return crc == be32_at(block + at);
}

/* Bytes of a super v2 behind the header of a v1 are not defined in a v1. */
static void read_features(struct journal *j, const uint8_t *raw)
{
	if (be32_at(raw + 4) == JBD_SUPER_V2) {
		j->compat = be32_at(raw + 0x24);
		j->incompat = be32_at(raw + 0x28);
	}
	j->has_csum = j->incompat & (JBD_INCOMPAT_CSUM_V2 | JBD_INCOMPAT_CSUM_V3);
	j->tail_len = j->has_csum ? 4 : 0;
	if (j->incompat & JBD_INCOMPAT_CSUM_V3)
		j->tag_len = 16;
	else
		j->tag_len = (j->incompat & JBD_INCOMPAT_64BIT ? 12 : 8) +
		             (j->incompat & JBD_INCOMPAT_CSUM_V2 ? 2 : 0);
	if (j->incompat & JBD_INCOMPAT_FAST_COMMIT)
		j->fast_blocks = be32_at(raw + 0x54) ? be32_at(raw + 0x54) : 256;
}

static const char *check_super(struct journal *j, const uint8_t *raw)
{
	const uint32_t type = be32_at(raw + 4);
	static const char damaged[] = "its journal is damaged (run e2fsck on it)";

	if (be32_at(raw) != JBD_MAGIC || (type != JBD_SUPER_V1 && type != JBD_SUPER_V2) ||
	    be32_at(raw + 0xc) != j->e->s.block_size)
		return damaged;
	read_features(j, raw);
	if (type == JBD_SUPER_V2 &&
	    ((j->incompat & ~(uint32_t)JBD_INCOMPAT_KNOWN) ||
	     (j->compat & ~(uint32_t)JBD_COMPAT_CHECKSUM) || be32_at(raw + 0x2c)))
		return "its journal has features that are not known here";
	if ((j->incompat & JBD_INCOMPAT_CSUM_V2) && (j->incompat & JBD_INCOMPAT_CSUM_V3))
		return damaged;
	j->seed = UINT32_MAX;
	if (j->has_csum && (raw[0x50] != 4 || !block_csum_ok(j, raw, 1024, 0xfc)))
		return damaged;
	j->seed = fs_crc32c(UINT32_MAX, raw + 0x30, 16);
	j->maxlen = be32_at(raw + 0x10);
	j->first = be32_at(raw + 0x14);
	j->sequence = be32_at(raw + 0x18);
	j->start = be32_at(raw + 0x1c);
	j->errors = be32_at(raw + 0x20);
	if (j->maxlen > j->blocks.end || j->fast_blocks >= j->maxlen)
		return damaged;
	j->last = j->maxlen - j->fast_blocks;
	if (!j->first || j->first >= j->last ||
	    (j->start && (j->start < j->first || j->start >= j->last)))
		return damaged;
	return j->errors ? "its journal was stopped by an error (run e2fsck on it)" : NULL;
}

/* The copy that follows in the log is of this block. */
static int take_tag(struct journal *j, const uint8_t *tag, uint32_t sequence)
{
	const uint8_t be_sequence[4] = { (uint8_t)(sequence >> 24), (uint8_t)(sequence >> 16),
		                         (uint8_t)(sequence >> 8), (uint8_t)sequence };
	struct ext_tag t = { .block = be32_at(tag), .age = sequence - j->sequence };
	const uint32_t size = j->e->s.block_size;
	const uint8_t *copy;
	uint32_t logical;
	int r = next_block(j, &logical);

	if (r < 0)
		return r;
	if (j->incompat & JBD_INCOMPAT_64BIT)
		t.block |= (uint64_t)be32_at(tag + 8) << 32;
	if (t.block >= j->e->s.blocks)
		return -EBADMSG;
	t.copy = place_of(j, logical);
	t.escaped = tag[7] & JBD_ESCAPED;
	if (j->has_csum || (j->compat & JBD_COMPAT_CHECKSUM)) {
		r = journal_block(j, logical, &copy);
		if (r < 0)
			return r;
		j->crc = crc32_ieee(j->crc, copy, size);
	}
	if (j->has_csum) {
		uint32_t crc = fs_crc32c(j->seed, be_sequence, sizeof(be_sequence));

		crc = fs_crc32c(crc, copy, size);
		if (j->incompat & JBD_INCOMPAT_CSUM_V3 ? crc != be32_at(tag + 12)
		                                       : (crc & 0xffff) != be32_at(tag + 4) >> 16)
			j->doubtful = true;
	}
	return ext_replay_add(j->out, t);
}

/* Return: 0; -EBADMSG: its tags cannot be followed. */
static int take_descriptor(struct journal *j, uint32_t sequence)
{
	const uint32_t size = j->e->s.block_size;
	size_t end = size - j->tail_len, at = 12;
	int r = 0;

	if (j->has_csum && !block_csum_ok(j, j->head, size, size - 4))
		return -EBADMSG;
	j->crc = crc32_ieee(j->crc, j->head, size);
	while (r >= 0 && at + j->tag_len <= end) {
		const uint8_t *tag = j->head + at;

		r = take_tag(j, tag, sequence);
		if (tag[7] & JBD_LAST_TAG)
			break;
		at += j->tag_len + (tag[7] & JBD_SAME_UUID ? 0 : 16);
	}
	return r;
}

static int take_revoke(struct journal *j, uint32_t sequence)
{
	const uint32_t size = j->e->s.block_size;
	size_t len = j->incompat & JBD_INCOMPAT_64BIT ? 8 : 4, end = be32_at(j->head + 12);
	int r = 0;

	if (end < 16 || end > size - j->tail_len)
		return -EBADMSG;
	if (j->has_csum && !block_csum_ok(j, j->head, size, size - 4))
		return -EBADMSG;
	for (size_t at = 16; at + len <= end && r >= 0; at += len) {
		struct ext_revoke revoke = { be32_at(j->head + at), sequence - j->sequence };

		if (len == 8)
			revoke.block = revoke.block << 32 | be32_at(j->head + at + 4);
		r = ext_replay_revoke(j->out, revoke);
	}
	return r;
}

/* Return: 1 the transaction counts; 0 the log ends before it; -EBADMSG. */
static int take_commit(struct journal *j)
{
	const uint32_t found = be32_at(j->head + 16), size = j->e->s.block_size;
	const bool none = !j->head[12] && !j->head[13] && !found && !j->crc_seen;

	if (j->has_csum && (j->doubtful || !block_csum_ok(j, j->head, size, 16)))
		return -EBADMSG;
	if ((j->compat & JBD_COMPAT_CHECKSUM) && !none) {
		j->crc_seen = true;
		/* The kernel's sum is not inverted at its end. An asynchronous commit may reach
		 * the disk before what it commits: then that is not whole, and never was. */
		if (j->head[12] != 1 || j->head[13] != 4 || found != ~j->crc)
			return j->incompat & JBD_INCOMPAT_ASYNC ? 0 : -EBADMSG;
	}
	j->crc = 0;
	j->committed_tags = j->out->n_tags;
	j->committed_revokes = j->out->n_revokes;
	return 1;
}

/* Return: 1 and the block in j->head: it is of this transaction; 0: the log ends. */
static int next_head(struct journal *j, uint32_t sequence)
{
	const uint8_t *block;
	uint32_t logical;
	int r = next_block(j, &logical);

	if (r >= 0)
		r = journal_block(j, logical, &block);
	if (r < 0)
		return r;
	memcpy(j->head, block, j->e->s.block_size);
	return be32_at(j->head) == JBD_MAGIC && be32_at(j->head + 8) == sequence;
}

/* Return: 0 and the first sequence number that is not committed. */
static int walk_log(struct journal *j, uint32_t *ret_end)
{
	uint32_t sequence = j->sequence;
	int r;

	j->next = j->start;
	while ((r = next_head(j, sequence)) == 1) {
		switch (be32_at(j->head + 4)) {
		case JBD_DESCRIPTOR:
			r = take_descriptor(j, sequence);
			break;
		case JBD_REVOKE:
			r = take_revoke(j, sequence);
			break;
		case JBD_COMMIT:
			r = take_commit(j);
			sequence += r == 1;
			break;
		default:
			r = -EBADMSG;
		}
		if (r < 0)
			return r;
		if (be32_at(j->head + 4) == JBD_COMMIT && r == 0)
			break;
	}
	j->out->n_tags = j->committed_tags;
	j->out->n_revokes = j->committed_revokes;
	*ret_end = sequence;
	return r < 0 ? r : 0;
}

/* A block of a transaction younger than the one at which the log ends: it does not end there, it is
 * damaged there. */
static int look_for_younger(struct journal *j, uint32_t end)
{
	const uint8_t *block;

	for (uint32_t i = j->first; i < j->last; i++) {
		int r = journal_block(j, i, &block);

		if (r < 0)
			return r;
		if (be32_at(block) == JBD_MAGIC && be32_at(block + 4) >= JBD_DESCRIPTOR &&
		    be32_at(block + 4) <= JBD_REVOKE && (int32_t)(be32_at(block + 8) - end) > 0)
			return -EBADMSG;
	}
	return 0;
}

/* Return: 1 there are fast commits, or what may be some. */
static int has_fast_commits(struct journal *j)
{
	const uint8_t *block;

	for (uint32_t i = j->last; i < j->maxlen; i++) {
		int r = journal_block(j, i, &block);

		if (r < 0)
			return r;
		if (!bytes_are_zero(block, j->e->s.block_size))
			return 1;
	}
	return 0;
}

static int read_log(struct journal *j, const char **ret_why)
{
	uint32_t end;
	int r;

	if (!(j->e->s.incompat & EXT_INCOMPAT_RECOVER)) {
		if (j->start)
			*ret_why = "its journal is not empty, though it says that it was unmounted "
				   "(run e2fsck on it)";
		return 0;
	}
	r = has_fast_commits(j);
	if (r == 1)
		*ret_why = "its journal holds fast commits, which are not read here (mount it "
			   "once, or run e2fsck on it)";
	if (r || !j->start)
		return r < 0 ? r : 0;
	r = walk_log(j, &end);
	if (r >= 0)
		r = look_for_younger(j, end);
	if (r < 0)
		return r;
	ext_replay_finish(j->out);
	return 1;
}

/* All of the journal is to be in the map, whatever the bitmaps say. */
static int add_journal(struct journal *j)
{
	int r = 0;

	for (size_t i = 0; i < j->blocks.n && r >= 0; i++)
		r = ext_add_blocks(j->e, j->blocks.list[i].first, j->blocks.list[i].n);
	return r;
}

static int open_and_read(struct journal *j, const char **ret_why)
{
	const uint8_t *raw;
	int r = ext_journal_extents(j->e, &j->blocks);

	if (r >= 0)
		r = add_journal(j);
	if (r < 0)
		return r;
	j->window = medium_buffer(EXT_WINDOW_LEN);
	j->head = malloc(j->e->s.block_size);
	if (!j->window || !j->head)
		return -ENOMEM;
	r = journal_block(j, 0, &raw);
	if (r < 0)
		return r;
	*ret_why = check_super(j, raw);
	return *ret_why ? 0 : read_log(j, ret_why);
}

int ext_journal_read(struct ext *e, struct ext_replay *ret, const char **ret_why)
{
	struct journal j = { .e = e, .out = ret };
	int r = open_and_read(&j, ret_why);

	ext_extents_clear(&j.blocks);
	free(j.window);
	free(j.head);
	if (r < 0 && !view_fatal(r)) {
		*ret_why = r == -EBADMSG || r == -EFBIG
		                   ? "its journal is damaged (run e2fsck on it)"
		                   : "its journal cannot be read";
		r = 0;
	}
	return r;
}
