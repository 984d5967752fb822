/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Run lists of used bytes: sorted, merged, bounded; bounded means that gaps are filled, never that
 * runs are lost. */
#include "fs/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "fs/map_drivers.h"

void fs_map_init(struct fs_map *map, uint64_t size)
{
	*map = (struct fs_map){ .size = size, .sorted = true };
}

void fs_map_clear(struct fs_map *map)
{
	free(map->runs);
	*map = (struct fs_map){ 0 };
}

static int by_offset(const void *a, const void *b)
{
	const struct fs_run *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sorted runs become one where they touch, overlap, or have no more than map->gap between them. */
static void merge(struct fs_map *map)
{
	size_t n = 0;

	if (!map->n)
		return;
	for (size_t i = 1; i < map->n; i++) {
		struct fs_run *last = &map->runs[n], *next = &map->runs[i];
		uint64_t end = last->offset + last->len;

		if (next->offset <= end || next->offset - end <= map->gap)
			last->len = MAX(end, next->offset + next->len) - last->offset;
		else
			map->runs[++n] = *next;
	}
	map->n = n + 1;
}

int fs_map_finish(struct fs_map *map)
{
	if (!map->sorted)
		qsort(map->runs, map->n, sizeof(*map->runs), by_offset);
	map->sorted = true;
	merge(map);
	return 0;
}

/* Too many runs: fill gaps, small ones first, until half of them are gone. */
static void shrink(struct fs_map *map)
{
	size_t before = map->n;

	fs_map_finish(map);
	while (map->n > before / 2 && map->n > 1) {
		map->gap = map->gap ? map->gap * 2 : 4096;
		merge(map);
	}
}

static int make_room(struct fs_map *map)
{
	size_t cap = map->cap ? map->cap * 2 : 1024;
	struct fs_run *more;

	if (map->n < map->cap)
		return 0;
	if (map->n >= FS_MAP_RUNS_MAX) {
		shrink(map);
		return 0;
	}
	cap = MIN(cap, (size_t)FS_MAP_RUNS_MAX);
	more = realloc(map->runs, cap * sizeof(*more));
	if (!more)
		return -ENOMEM;
	map->runs = more;
	map->cap = cap;
	return 0;
}

int fs_map_add(struct fs_map *map, uint64_t offset, uint64_t len)
{
	struct fs_run *last = map->n ? &map->runs[map->n - 1] : NULL;

	if (len == 0 || offset >= map->size)
		return 0;
	len = MIN(len, map->size - offset);
	/* The usual case: it goes on where the last one ended, or a little behind. */
	if (last && map->sorted && offset >= last->offset && offset <= last->offset + last->len) {
		last->len = MAX(last->offset + last->len, offset + len) - last->offset;
		return 0;
	}
	if (make_room(map) < 0)
		return -ENOMEM;
	last = map->n ? &map->runs[map->n - 1] : NULL;
	if (last && offset < last->offset + last->len)
		map->sorted = false;
	map->runs[map->n++] = (struct fs_run){ offset, len };
	return 0;
}

int fs_map_all(struct fs_map *map)
{
	map->n = 0;
	map->sorted = true;
	return fs_map_add(map, 0, map->size);
}

uint64_t fs_map_used(const struct fs_map *map)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < map->n; i++)
		sum += map->runs[i].len;
	return sum;
}

void fs_facts_clear(struct fs_facts *facts)
{
	free(facts->label);
	free(facts->uuid);
	free(facts->why);
	*facts = (struct fs_facts){ 0 };
}

static const struct fs_driver *find_driver(const char *type)
{
	for (const struct fs_driver *const *d = fs_map_drivers; type && *d; d++)
		for (const char *const *t = (*d)->types; *t; t++)
			if (strcmp(*t, type) == 0)
				return *d;
	return NULL;
}

static int all_used(struct fs_map *map, struct fs_facts *facts, const char *why)
{
	char *copy = facts->why ? facts->why : strdup(why);

	facts->all_used = true;
	facts->why = copy;
	return copy && fs_map_all(map) == 0 ? 0 : -ENOMEM;
}

int fs_map_read(struct medium *m, const char *type, struct fs_map *map, struct fs_facts *facts,
                struct ism_error *err)
{
	const struct fs_driver *driver = find_driver(type);
	_error_ struct ism_error why = { 0 };
	int r;

	fs_map_init(map, m->size);
	*facts = (struct fs_facts){ .size = m->size };
	if (!driver)
		r = all_used(map, facts,
		             type ? "its content is not understood here: all of it counts as used"
		                  : "no file system is recognised: all of it counts as used");
	else {
		r = driver->read(m, map, facts, &why);
		if (r == -ENOMEM || r == -ECANCELED)
			return ism_error_move(err, &why);
		if (r < 0)
			r = all_used(map, facts,
			             why.message ? why.message : "it cannot be understood");
		else if (facts->all_used)
			r = all_used(map, facts, "all of it counts as used");
	}
	if (r < 0)
		return ism_error_oom(err);
	/* What lies behind the file system in its partition is nobody's to call free. */
	if (facts->size < m->size && fs_map_add(map, facts->size, m->size - facts->size) < 0)
		return ism_error_oom(err);
	return fs_map_finish(map);
}
