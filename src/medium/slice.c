/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Offsets shifted, ends cut off. */
#include "medium/slice.h"

#include <stdlib.h>

#include "base/bytes.h"

struct slice {
	struct medium *below;
	uint64_t offset;
};

static int slice_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                      struct ism_error *err)
{
	struct slice *s = m->priv;

	*ret_len = 0;
	if (offset >= m->size)
		return 0;
	return medium_read(s->below, buf, (size_t)MIN((uint64_t)len, m->size - offset),
	                   s->offset + offset, ret_len, err);
}

static int slice_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                             struct ism_error *err)
{
	struct slice *s = m->priv;
	int r = medium_next_extent(s->below, s->offset + offset, ret, err);

	if (r < 0)
		return r;
	ret->offset = offset;
	ret->len = MIN(ret->len, m->size - offset);
	return 0;
}

static void slice_close(struct medium *m)
{
	free(m->priv);
}

static const struct medium_ops slice_ops = {
	.name = "slice",
	.read = slice_read,
	.next_extent = slice_next_extent,
	.close = slice_close,
};

int slice_open(struct medium *below, uint64_t offset, uint64_t size, struct medium **ret,
               struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&slice_ops, below->name);
	struct slice *s = m ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return ism_error_oom(err);
	m->priv = s;
	s->below = below;
	s->offset = offset;
	m->size = size;
	m->sector_size = below->sector_size;
	m->physical_size = below->physical_size;
	m->stop = below->stop;
	*ret = take(m);
	return 0;
}
