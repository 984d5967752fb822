/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocation maps of F2FS: a bit a block in the segment information table (SIT), with what the
 * checkpoint's journal says instead; all before the main area is in use. Spec: the kernel's
 * f2fs.rst, and the layout in its f2fs_fs.h. */
#include "fs/f2fs.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/names.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define ENTRY_LEN     74 /* of the SIT: count and type, bits, time */
#define ENTRIES       (F2FS_BLOCK / ENTRY_LEN)
#define BITS_LEN      64
#define JOURNAL_LEN   507
#define JOURNAL_MAX   6
#define JOURNAL_ENTRY (4 + ENTRY_LEN)
#define SUM_JOURNAL   3584 /* in a summary block */
#define NODE_LOGS     3
#define NODE_CP_VER   (F2FS_BLOCK - 12) /* in the footer of a node */

struct journal {
	uint8_t block[F2FS_BLOCK];
	const uint8_t *entries;
	uint32_t n;
};

/** struct sit - the table as it is read; @version: a bit a block of it, which of two is current */
struct sit {
	struct f2fs *f;
	struct journal journal;
	const uint8_t *version;
	uint64_t valid, nodes; /* blocks seen */
};

/* Bits count from the most significant. */
static bool bit_at(const uint8_t *bits, uint32_t i)
{
	return bits[i / 8] >> (7 - i % 8) & 1;
}

/* Functions here return 1; 0 = it is damaged or cannot be read; negative = fatal. */
static int read_journal(struct sit *t)
{
	const struct f2fs *f = t->f;
	bool is_compact = f->cp_flags & F2FS_CP_COMPACT_SUM;
	uint32_t start_sum = le32_at(f->cp + 140);
	/* After the cold data's; the summaries of six logs and one block end the pack. */
	uint32_t block = is_compact ? start_sum : f->cp_blocks - 7 + 2;
	const uint8_t *journal = t->journal.block + (is_compact ? JOURNAL_LEN : SUM_JOURNAL);
	int r;

	if (start_sum < 1 + f->cp_payload || start_sum >= f->cp_blocks ||
	    block < 1 + f->cp_payload || block >= f->cp_blocks - 1)
		return 0;
	r = f2fs_read(f, t->journal.block, f->cp_addr + block, 1);
	if (r <= 0)
		return r;
	t->journal.n = le16_at(journal);
	t->journal.entries = journal + 2;
	return t->journal.n <= JOURNAL_MAX;
}

/* Where the bits are depends on how long both bitmaps are, and on a feature. */
static int find_version(struct sit *t)
{
	const struct f2fs *f = t->f;
	uint64_t sit_len = le32_at(f->cp + 156), nat_len = le32_at(f->cp + 160);
	uint64_t half = (uint64_t)f->sit_segments / 2 * F2FS_SEG_BLOCKS, start = 192;

	if (f->cp_flags & F2FS_CP_LARGE_NAT_BITMAP)
		start += nat_len + 4;
	else if (f->cp_payload)
		start = F2FS_BLOCK;
	if (sit_len * 8 < half || (uint64_t)f->main_segments > half * ENTRIES ||
	    start + sit_len > (uint64_t)(1 + f->cp_payload) * F2FS_BLOCK)
		return 0;
	t->version = f->cp + start;
	return 1;
}

static int add_blocks(const struct f2fs *f, uint64_t addr, uint64_t n)
{
	return fs_map_add(f->map, addr * F2FS_BLOCK, n * F2FS_BLOCK) < 0 ? -ENOMEM : 1;
}

static int add_segment(struct sit *t, uint32_t segment, const uint8_t *entry)
{
	uint64_t start = t->f->main_start + (uint64_t)segment * F2FS_SEG_BLOCKS;
	uint32_t count = le16_at(entry) & 0x3ff, type = le16_at(entry) >> 10, seen = 0, first;
	const uint8_t *bits = entry + 2;

	if (count > F2FS_SEG_BLOCKS || type >= 2 * NODE_LOGS)
		return 0;
	for (uint32_t i = 0; i < F2FS_SEG_BLOCKS; i++) {
		for (first = i; i < F2FS_SEG_BLOCKS && bit_at(bits, i);)
			i++;
		seen += i - first;
		if (i > first && add_blocks(t->f, start + first, i - first) < 0)
			return -ENOMEM;
	}
	t->valid += seen;
	t->nodes += type >= NODE_LOGS ? seen : 0;
	return seen == count;
}

static const uint8_t *journal_entry(const struct sit *t, uint32_t segment)
{
	for (uint32_t i = t->journal.n; i > 0; i--) {
		const uint8_t *p = t->journal.entries + (size_t)(i - 1) * JOURNAL_ENTRY;

		if (le32_at(p) == segment)
			return p + 4;
	}
	return NULL;
}

static int read_sit(struct sit *t)
{
	const struct f2fs *f = t->f;
	uint32_t half = f->sit_segments / 2 * F2FS_SEG_BLOCKS, addr;
	uint8_t block[F2FS_BLOCK];
	int r = 1;

	for (uint32_t i = 0; i < f->main_segments && r > 0; i++) {
		const uint8_t *entry = journal_entry(t, i);

		if (i % ENTRIES == 0) {
			addr = f->sit_start + i / ENTRIES;
			addr += bit_at(t->version, i / ENTRIES) ? half : 0;
			r = f2fs_read(f, block, addr, 1);
		}
		if (r > 0)
			r = add_segment(t, i, entry ? entry : block + i % ENTRIES * ENTRY_LEN);
	}
	return r;
}

/* The block that each log of nodes would write next. A node of this checkpoint's version there
 * means that something was written behind it, for the next mount to find. It counts as used, so
 * that no such node is found on a disk that is restored: one may have been there before.
 * *ret_dirty: there is one. */
static int check_node_logs(struct f2fs *f, bool *ret_dirty)
{
	uint8_t node[F2FS_BLOCK];
	int r = 1;

	for (size_t i = 0; i < NODE_LOGS && r > 0; i++) {
		uint32_t segment = le32_at(f->cp + 36 + i * 4),
			 offset = le16_at(f->cp + 68 + i * 2);
		uint64_t addr = f->main_start + (uint64_t)segment * F2FS_SEG_BLOCKS + offset;

		if (segment >= f->main_segments || offset > F2FS_SEG_BLOCKS)
			return 0;
		if (addr >= f->main_start + (uint64_t)f->main_segments * F2FS_SEG_BLOCKS)
			continue;
		r = f2fs_read(f, node, (uint32_t)addr, 1);
		if (r > 0 && le32_at(node + NODE_CP_VER) == le32_at(f->cp))
			*ret_dirty = true;
		if (r > 0)
			r = add_blocks(f, addr, 1);
	}
	return r;
}

static int map_all(struct f2fs *f, struct fs_facts *facts)
{
	_free_ struct sit *t = calloc(1, sizeof(*t));
	uint64_t end = f->main_start + (uint64_t)f->main_segments * F2FS_SEG_BLOCKS;
	bool is_dirty = false;
	int r;

	if (!t)
		return -ENOMEM;
	t->f = f;
	r = add_blocks(f, 0, f->main_start);
	if (r > 0)
		r = read_journal(t);
	if (r > 0)
		r = find_version(t);
	if (r > 0)
		r = read_sit(t);
	if (r > 0)
		r = add_blocks(f, end, f->blocks - end);
	if (r > 0)
		r = check_node_logs(f, &is_dirty);
	if (r > 0 && is_dirty)
		return fs_all_used(
			facts, FS_DIRTY,
			"files were written after its last checkpoint (mount and unmount "
			"it once)");
	/* Blocks may be promised to a file and not yet have a place; nodes always have one. */
	if (r > 0 && t->nodes == f->valid_nodes && t->valid <= f->valid_blocks)
		return 0;
	return r < 0 ? r
	             : fs_all_used(facts, FS_DAMAGED,
	                           "its segment table is damaged or cannot be read (run fsck.f2fs "
	                           "on it)");
}

/* UTF-16 to UTF-8; what is no character becomes '?'. */
static int read_label(const uint8_t *name, char **ret)
{
	char text[3 * 512 + 1], *p = text;

	for (size_t i = 0; i < 512 && le16_at(name + i * 2); i++) {
		uint32_t c = le16_at(name + i * 2);

		if (c >= 0xd800 && c < 0xe000)
			c = '?';
		if (c < 0x80) {
			*p++ = (char)c;
			continue;
		}
		if (c >= 0x800)
			*p++ = (char)(0xe0 | c >> 12);
		*p++ = (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3f) : 0xc0 | c >> 6);
		*p++ = (char)(0x80 | (c & 0x3f));
	}
	return fs_label(text, (size_t)(p - text), ret);
}

static int fill_facts(const struct f2fs *f, struct fs_facts *facts)
{
	facts->type = "f2fs";
	facts->size = f->blocks * F2FS_BLOCK;
	facts->block_size = F2FS_BLOCK;
	facts->uuid = fs_uuid_text(f->super + 108);
	return facts->uuid ? read_label(f->super + 124, &facts->label) : -ENOMEM;
}

static int read_map(struct f2fs *f, struct fs_facts *facts, struct ism_error *err)
{
	enum fs_state state = FS_CLEAN;
	const char *why = NULL;
	int r = f2fs_super_read(f, &state, &why, err);

	if (r < 0)
		return r;
	r = fill_facts(f, facts);
	if (r >= 0 && !why)
		r = f2fs_checkpoint_read(f, &state, &why);
	if (r >= 0 && why)
		return fs_all_used(facts, state, "%s", why);
	return r < 0 ? r : map_all(f, facts);
}

static int f2fs_map_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                         struct ism_error *err)
{
	_free_ struct f2fs *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return ism_error_oom(err);
	f->m = m;
	f->map = map;
	r = read_map(f, facts, err);
	free(f->cp);
	return r;
}

static const char *const types[] = { "f2fs", NULL };

const struct fs_driver fs_driver_f2fs = { .types = types, .read = f2fs_map_read };
