/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Chunks and trees of btrfs: logical addresses become places on this device, nodes are believed
 * only when checksum, address, generation, level, owner and keys are right. Spec: the "On-disk
 * format" page of the btrfs documentation. */
#include "fs/btrfs.h"

#include "base/cleanup.h"
#include "medium/view.h"

#define HEADER_LEN  101
#define ITEM_LEN    25
#define POINTER_LEN 33
#define KEY_LEN     17
#define CHUNK_LEN   48 /* and what each stripe takes: */
#define STRIPE_LEN  32
#define CHUNKS_MAX  ((size_t)1 << 20) /* 1 PiB in the usual chunks of 1 GiB */

enum chunk_type {
	CHUNK_KINDS = 0x7, /* data, system, metadata */
	CHUNK_RAID0 = 0x8,
	CHUNK_MIRRORED = 0x10 | 0x20 | 0x200 | 0x400, /* raid1, dup, raid1c3, raid1c4 */
	CHUNK_OTHER = 0x40 | 0x80 | 0x100,            /* raid10, raid5, raid6 */
};

struct btrfs_chunk *btrfs_chunk_at(const struct btrfs *b, uint64_t logical)
{
	size_t low = 0, high = b->chunks.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		struct btrfs_chunk *c = &b->chunks.list[mid];

		if (logical < c->logical)
			high = mid;
		else if (logical - c->logical >= c->len)
			low = mid + 1;
		else
			return c;
	}
	return NULL;
}

static int insert_chunk(struct btrfs_chunks *to, const struct btrfs_chunk *c)
{
	size_t at = to->n;

	if (to->n == CHUNKS_MAX)
		return 0;
	if (to->n == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 32;
		struct btrfs_chunk *more = realloc(to->list, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		to->list = more;
		to->cap = cap;
	}
	/* They come sorted, but for the few in the superblock. */
	while (at > 0 && to->list[at - 1].logical > c->logical)
		at--;
	if ((at > 0 && c->logical - to->list[at - 1].logical < to->list[at - 1].len) ||
	    (at < to->n && to->list[at].logical - c->logical < c->len))
		return 0;
	memmove(&to->list[at + 1], &to->list[at], (to->n - at) * sizeof(*c));
	to->list[at] = *c;
	to->n++;
	return 1;
}

/* Has every copy all of it? */
static bool is_linear(uint64_t type, uint32_t stripes)
{
	uint64_t profile = type & ~(uint64_t)CHUNK_KINDS;

	if (profile == 0 || profile == CHUNK_RAID0)
		return stripes == 1;
	return (profile & ~(uint64_t)CHUNK_MIRRORED) == 0 && (profile & (profile - 1)) == 0;
}

int btrfs_chunk_parse(const struct btrfs *b, struct btrfs_chunks *to, uint64_t logical,
                      struct span item)
{
	struct btrfs_chunk c = { .logical = logical };
	uint32_t stripes;
	uint64_t end;

	if (item.len < CHUNK_LEN)
		return 0;
	c.len = le64_at(item.p);
	c.type = le64_at(item.p + 24);
	stripes = le16_at(item.p + 44);
	if (stripes == 0 || item.len != CHUNK_LEN + (size_t)stripes * STRIPE_LEN || c.len == 0 ||
	    (c.len | logical) % b->sector_size != 0 || add_overflows(logical, c.len, &end) ||
	    (c.type & CHUNK_KINDS) == 0)
		return 0;
	c.is_linear = is_linear(c.type, stripes);
	for (uint32_t i = 0; i < stripes; i++) {
		const uint8_t *stripe = item.p + CHUNK_LEN + (size_t)i * STRIPE_LEN;
		uint64_t physical = le64_at(stripe + 8);

		if (le64_at(stripe) != b->devid)
			continue;
		if (c.copies == BTRFS_COPIES || physical % b->sector_size != 0 ||
		    physical >= b->size || (c.is_linear && c.len > b->size - physical))
			return 0;
		c.physical[c.copies++] = physical;
	}
	return insert_chunk(to, &c);
}

int btrfs_sys_chunks(struct btrfs *b)
{
	struct span rest = { b->super + BTRFS_SYS_ARRAY, le32_at(b->super + 160) }, item;
	int r = 1;

	while (rest.len && r > 0) {
		if (rest.len < KEY_LEN + CHUNK_LEN || rest.p[8] != BTRFS_CHUNK_ITEM)
			return 0;
		if (!span_sub(rest, KEY_LEN,
		              CHUNK_LEN + le16_at(rest.p + KEY_LEN + 44) * (uint64_t)STRIPE_LEN,
		              &item))
			return 0;
		r = btrfs_chunk_parse(b, &b->chunks, le64_at(rest.p + 9), item);
		rest.len -= KEY_LEN + item.len;
		rest.p += KEY_LEN + item.len;
	}
	return r;
}

static struct btrfs_key key_at(const uint8_t *p)
{
	return (struct btrfs_key){ le64_at(p), le64_at(p + 9), p[8] };
}

static int key_compare(const struct btrfs_key *a, const struct btrfs_key *b)
{
	if (a->objectid != b->objectid)
		return a->objectid < b->objectid ? -1 : 1;
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static bool is_node(const struct btrfs *b, const uint8_t *node, const struct btrfs_root *at)
{
	uint32_t n = le32_at(node + 96), one = at->level ? POINTER_LEN : ITEM_LEN;

	return btrfs_csum_ok(b, node, b->node_size) && memcmp(node + 32, b->node_fsid, 16) == 0 &&
	       le64_at(node + 48) == at->logical && le64_at(node + 80) == at->generation &&
	       le64_at(node + 88) == at->id && node[100] == at->level &&
	       n <= (b->node_size - HEADER_LEN) / one;
}

/* Any copy that is right will do. */
static int read_node(struct btrfs *b, const struct btrfs_root *at)
{
	uint8_t *node = b->nodes + (size_t)at->level * b->node_size;
	const struct btrfs_chunk *c = btrfs_chunk_at(b, at->logical);
	int r;

	if (medium_stopped(b->m))
		return -ECANCELED;
	if (!c || !c->is_linear || at->logical % b->sector_size != 0 ||
	    c->len - (at->logical - c->logical) < b->node_size)
		return 0;
	for (int i = 0; i < c->copies; i++) {
		r = medium_read_all(b->m, node, b->node_size,
		                    c->physical[i] + (at->logical - c->logical), NULL);
		if (view_fatal(r))
			return r;
		if (r == 0 && is_node(b, node, at))
			return 1;
	}
	return 0;
}

static int walk_leaf(struct btrfs *b, const uint8_t *node, bool *has_last,
                     int (*fn)(struct btrfs *, const struct btrfs_key *, struct span))
{
	struct span data = { node + HEADER_LEN, b->node_size - HEADER_LEN }, item;
	uint32_t n = le32_at(node + 96);
	int r = 1;

	for (uint32_t i = 0; i < n && r == 1; i++) {
		const uint8_t *p = data.p + (size_t)i * ITEM_LEN;
		struct btrfs_key key = key_at(p);
		uint32_t offset = le32_at(p + KEY_LEN);

		if ((*has_last && key_compare(&b->last_key, &key) >= 0) || offset < n * ITEM_LEN ||
		    !span_sub(data, offset, le32_at(p + KEY_LEN + 4), &item))
			return 0;
		b->last_key = key;
		*has_last = true;
		r = fn(b, &key, item);
	}
	return r;
}

/* It ends because keys must grow, a child begins with the key that leads to it, and only a root may
 * be empty: no node can be visited twice. */
static int walk(struct btrfs *b, const struct btrfs_root *at, const struct btrfs_key *first,
                bool *has_last, int (*fn)(struct btrfs *, const struct btrfs_key *, struct span))
{
	const uint8_t *node = b->nodes + (size_t)at->level * b->node_size;
	int r = read_node(b, at);
	struct btrfs_key key = key_at(node + HEADER_LEN);
	uint32_t n = le32_at(node + 96);

	if (r <= 0)
		return r;
	if (n == 0)
		return !first && at->level == 0;
	if (first && key_compare(first, &key) != 0)
		return 0;
	if (at->level == 0)
		return walk_leaf(b, node, has_last, fn);
	for (uint32_t i = 0; i < n && r == 1; i++) {
		const uint8_t *p = node + HEADER_LEN + (size_t)i * POINTER_LEN;
		struct btrfs_root child = { at->id, le64_at(p + KEY_LEN), le64_at(p + KEY_LEN + 8),
			                    (uint8_t)(at->level - 1) };

		key = key_at(p);
		if ((*has_last && key_compare(&b->last_key, &key) >= 0) ||
		    child.generation > at->generation)
			return 0;
		r = walk(b, &child, &key, has_last, fn);
	}
	return r;
}

int btrfs_walk(struct btrfs *b, const struct btrfs_root *root,
               int (*fn)(struct btrfs *, const struct btrfs_key *, struct span))
{
	bool has_last = false;
	int r = walk(b, root, NULL, &has_last, fn);

	return r == BTRFS_STOP ? 1 : r;
}
