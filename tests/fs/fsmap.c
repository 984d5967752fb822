/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fsmap TYPE FILE [OFFSET [SIZE]]: the used runs of a file system as lines "offset len" on standard
 * output, what is known of it on standard error. What the tests of the maps compare with the file
 * systems' own tools. */
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "fs/map.h"

/* A partition of a medium. */
struct part {
	struct medium *whole;
	uint64_t offset;
};

static int part_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                     struct ism_error *err)
{
	struct part *part = m->priv;

	if (offset >= m->size)
		len = 0;
	len = (size_t)MIN((uint64_t)len, m->size - offset);
	return medium_read(part->whole, buf, len, part->offset + offset, ret_len, err);
}

static void part_close(struct medium *m)
{
	(void)m;
}

static const struct medium_ops part_ops = {
	.name = "partition",
	.read = part_read,
	.close = part_close,
};

static int fail(const struct ism_error *err)
{
	fprintf(stderr, "error %d: %s: %s\n", err->code, err->where ? err->where : "-",
	        err->message ? err->message : "-");
	return 1;
}

static void print_facts(const struct fs_map *map, const struct fs_facts *facts)
{
	static const char *const states[] = { "clean", "dirty", "hibernated", "damaged" };

	fprintf(stderr, "type %s\n", facts->type ? facts->type : "-");
	fprintf(stderr, "label %s\n", facts->label ? facts->label : "-");
	fprintf(stderr, "uuid %s\n", facts->uuid ? facts->uuid : "-");
	fprintf(stderr, "size %llu\n", (unsigned long long)facts->size);
	fprintf(stderr, "block_size %u\n", facts->block_size);
	fprintf(stderr, "state %s\n", states[facts->state]);
	fprintf(stderr, "all_used %d\n", facts->all_used);
	fprintf(stderr, "used %llu\n", (unsigned long long)fs_map_used(map));
	fprintf(stderr, "why %s\n", facts->why ? facts->why : "-");
}

int main(int argc, char **argv)
{
	_error_ struct ism_error err = { 0 };
	struct ism_open_options options = { .raw = true };
	struct part part = { 0 };
	_medium_ struct medium *whole = NULL, *m = NULL;
	struct fs_map map;
	struct fs_facts facts;

	if (argc < 3 || argc > 5)
		return 2;
	if (carrier_open(argv[2], &options, &whole, &err) < 0)
		return fail(&err);
	part = (struct part){ whole, argc > 3 ? strtoull(argv[3], NULL, 10) : 0 };
	m = medium_new(&part_ops, argv[2]);
	if (!m || part.offset > whole->size)
		return 2;
	m->priv = &part;
	m->size = argc > 4 ? strtoull(argv[4], NULL, 10) : whole->size - part.offset;
	if (m->size > whole->size - part.offset)
		return 2;
	if (fs_map_read(m, argv[1], &map, &facts, &err) < 0)
		return fail(&err);
	for (size_t i = 0; i < map.n; i++)
		printf("%llu %llu\n", (unsigned long long)map.runs[i].offset,
		       (unsigned long long)map.runs[i].len);
	print_facts(&map, &facts);
	fs_map_clear(&map);
	fs_facts_clear(&facts);
	return 0;
}
