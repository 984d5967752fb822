/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk of which only the bytes in use are there to be read. */
#include <stdlib.h>

#include "survey/survey.h"

struct mapped {
	struct medium *below;
	struct fs_map map;
};

/* Index of the first run that ends behind `offset`. */
static size_t run_at(const struct fs_map *map, uint64_t offset)
{
	size_t lo = 0, hi = map->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (map->runs[mid].offset + map->runs[mid].len <= offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int mapped_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                              struct ism_error *err)
{
	struct mapped *p = m->priv;
	size_t i = run_at(&p->map, offset);
	const struct fs_run *run = i < p->map.n ? &p->map.runs[i] : NULL;
	uint64_t end;
	int r;

	if (!run || run->offset > offset) {
		end = run ? run->offset : m->size;
		*ret = (struct ism_extent){ offset, end - offset, ISM_EXTENT_UNUSED };
		return 0;
	}
	/* In use; the medium below may know more: a hole of a sparse file. */
	end = run->offset + run->len;
	r = medium_next_extent(p->below, offset, ret, err);
	if (r == 0)
		ret->len = MIN(ret->len, end - offset);
	return r;
}

static int mapped_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	return medium_read(((struct mapped *)m->priv)->below, buf, len, offset, ret_len, err);
}

static void mapped_close(struct medium *m)
{
	struct mapped *p = m->priv;

	if (!p)
		return;
	fs_map_clear(&p->map);
	medium_close(p->below);
	free(p);
}

static const struct medium_ops mapped_ops = {
	.name = "mapped",
	.read = mapped_read,
	.next_extent = mapped_next_extent,
	.close = mapped_close,
};

int mapped_open(struct medium *m, struct fs_map *map, struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *above = medium_new(&mapped_ops, m->name);
	struct mapped *p = above ? calloc(1, sizeof(*p)) : NULL;

	if (!p)
		return ism_error_oom(err);
	above->priv = p;
	above->size = m->size;
	above->sector_size = m->sector_size;
	above->physical_size = m->physical_size;
	above->stop = m->stop;
	above->fd = m->fd;
	above->align = m->align;
	p->below = m;
	p->map = *map;
	*map = (struct fs_map){ 0 };
	*ret = take(above);
	return 0;
}
