/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a journal would write where: copies of blocks and revocations in the order of their
 * transactions, and the one that counts in the end. Spec: kernel documentation, ext4 "Journal". */
#include <stdlib.h>

#include "fs/ext.h"

#define ENTRIES_MAX (2u << 20) /* 64 MiB of tags: a journal of 8 GiB full of them */

/* Return: room for one more, or -ENOMEM; -EFBIG where a log holds more than any real one. */
static int make_room(void **list, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 1024;
	void *p;

	if (n < *cap)
		return 0;
	if (more > ENTRIES_MAX)
		return -EFBIG;
	p = realloc(*list, more * size);
	if (!p)
		return -ENOMEM;
	*list = p;
	*cap = more;
	return 0;
}

int ext_replay_add(struct ext_replay *r, struct ext_tag tag)
{
	int room = make_room((void **)&r->tags, r->n_tags, &r->cap_tags, sizeof(tag));

	if (room < 0)
		return room;
	tag.order = (uint32_t)r->n_tags;
	r->tags[r->n_tags++] = tag;
	return 0;
}

int ext_replay_revoke(struct ext_replay *r, struct ext_revoke revoke)
{
	int room = make_room((void **)&r->revokes, r->n_revokes, &r->cap_revokes, sizeof(revoke));

	if (room < 0)
		return room;
	r->revokes[r->n_revokes++] = revoke;
	return 0;
}

static int compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int tag_order(const void *a, const void *b)
{
	const struct ext_tag *x = a, *y = b;
	int c = compare(x->block, y->block);

	return c ? c : compare(x->order, y->order);
}

static int revoke_order(const void *a, const void *b)
{
	const struct ext_revoke *x = a, *y = b;
	int c = compare(x->block, y->block);

	return c ? c : compare(x->age, y->age);
}

/* A block revoked in a transaction is not written from that one or from any before it. */
static bool is_revoked(const struct ext_replay *r, const struct ext_tag *tag, size_t *at)
{
	while (*at < r->n_revokes &&
	       (r->revokes[*at].block < tag->block ||
	        (r->revokes[*at].block == tag->block && r->revokes[*at].age < tag->age)))
		++*at;
	return *at < r->n_revokes && r->revokes[*at].block == tag->block;
}

void ext_replay_finish(struct ext_replay *r)
{
	size_t n = 0, at = 0;

	if (r->n_tags)
		qsort(r->tags, r->n_tags, sizeof(*r->tags), tag_order);
	if (r->n_revokes)
		qsort(r->revokes, r->n_revokes, sizeof(*r->revokes), revoke_order);
	for (size_t i = 0; i < r->n_tags; i++) {
		if (is_revoked(r, &r->tags[i], &at))
			continue;
		if (n && r->tags[n - 1].block == r->tags[i].block)
			n--;
		r->tags[n++] = r->tags[i];
	}
	r->n_tags = n;
}

const struct ext_tag *ext_replay_find(const struct ext_replay *r, uint64_t block)
{
	size_t low = 0, high = r->n_tags;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->tags[mid].block == block)
			return &r->tags[mid];
		if (r->tags[mid].block < block)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void ext_replay_clear(struct ext_replay *r)
{
	free(r->tags);
	free(r->revokes);
	*r = (struct ext_replay){ 0 };
}
