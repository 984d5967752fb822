/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The source of `erase`: zeros where signatures of tables and file systems lie, nothing elsewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#define ENDS_LEN \
	((uint64_t)MIB) /* at each end: every signature that libblkid knows, but for btrfs mirrors \
	                 */

struct blank {
	struct ism_extent *zeros; /* sorted, apart from each other */
	size_t n;
};

static int by_offset(const void *a, const void *b)
{
	const struct ism_extent *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Both ends of [offset, offset + len), as far as they are within the disk. */
static void add_ends(struct blank *b, uint64_t offset, uint64_t len, uint64_t size)
{
	uint64_t n;

	if (offset >= size)
		return;
	len = MIN(len, size - offset);
	n = MIN(len, ENDS_LEN);
	b->zeros[b->n++] = (struct ism_extent){ offset, n, ISM_EXTENT_ZERO };
	b->zeros[b->n++] = (struct ism_extent){ offset + len - n, n, ISM_EXTENT_ZERO };
}

static void merge(struct blank *b)
{
	size_t n = 0;

	qsort(b->zeros, b->n, sizeof(*b->zeros), by_offset);
	for (size_t i = 1; i < b->n; i++) {
		struct ism_extent *last = &b->zeros[n], *next = &b->zeros[i];

		if (next->offset <= last->offset + last->len)
			last->len = MAX(last->offset + last->len, next->offset + next->len) -
			            last->offset;
		else
			b->zeros[++n] = *next;
	}
	b->n = b->n ? n + 1 : 0;
}

static int blank_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                             struct ism_error *err)
{
	const struct blank *b = m->priv;

	(void)err;
	for (size_t i = 0; i < b->n; i++) {
		const struct ism_extent *z = &b->zeros[i];

		if (offset < z->offset) {
			*ret = (struct ism_extent){ offset, z->offset - offset, ISM_EXTENT_UNUSED };
			return 0;
		}
		if (offset - z->offset < z->len) {
			*ret = (struct ism_extent){ offset, z->offset + z->len - offset,
				                    ISM_EXTENT_ZERO };
			return 0;
		}
	}
	*ret = (struct ism_extent){ offset, m->size - offset, ISM_EXTENT_UNUSED };
	return 0;
}

static int blank_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                      struct ism_error *err)
{
	(void)err;
	*ret_len = (size_t)MIN((uint64_t)len, offset < m->size ? m->size - offset : 0);
	memset(buf, 0, *ret_len);
	return 0;
}

static void blank_close(struct medium *m)
{
	struct blank *b = m->priv;

	if (!b)
		return;
	free(b->zeros);
	free(b);
}

static const struct medium_ops blank_ops = {
	.name = "blank",
	.read = blank_read,
	.next_extent = blank_next_extent,
	.close = blank_close,
};

int blank_open(const struct ism_device *device, uint64_t size, uint32_t sector_size,
               struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&blank_ops, "blank ends");
	struct blank *b = m ? calloc(1, sizeof(*b)) : NULL;

	if (!b)
		return ism_error_oom(err);
	m->priv = b;
	b->zeros = calloc(2 * (device->n_parts + 1), sizeof(*b->zeros));
	if (!b->zeros)
		return ism_error_oom(err);
	add_ends(b, 0, size, size);
	for (size_t i = 0; i < device->n_parts; i++)
		add_ends(b, device->parts[i].offset, device->parts[i].size, size);
	merge(b);
	m->size = size;
	m->sector_size = m->physical_size = sector_size;
	*ret = take(m);
	return 0;
}
