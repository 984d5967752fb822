/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Maps of FAT, exFAT and NTFS on disks with an unreadable block: whatever block it is, no byte that
 * is used on the whole disk may become unused, and the map says why it is not what it was. The
 * disks are the fuzzers' seeds. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fs/map_bits.h"
#include "fs/piece_disk.h"

#define SEED_MAX MIB

static bool same_map(const struct fs_map *a, const struct fs_map *b)
{
	return a->n == b->n && memcmp(a->runs, b->runs, a->n * sizeof(*a->runs)) == 0;
}

static void check_block(const struct fs_driver *driver, struct medium *m,
                        const struct fs_map *whole, uint64_t block)
{
	struct piece_disk *d = m->priv;
	struct fs_map map;
	struct fs_facts facts;

	d->bad_block = block;
	assert_int_equal(fs_map_read(m, driver->types[0], &map, &facts, NULL), 0);
	for (size_t i = 0; i < whole->n; i++)
		if (!map_covers(&map, whole->runs[i].offset, whole->runs[i].len))
			fail_msg("block %llu is bad, and bytes from %llu on are lost",
			         (unsigned long long)block,
			         (unsigned long long)whole->runs[i].offset);
	if (!same_map(&map, whole))
		assert_non_null(facts.why);
	fs_map_clear(&map);
	fs_facts_clear(&facts);
	d->bad_block = UINT64_MAX;
}

static void check_disk(const struct fs_driver *driver, const uint8_t *data, size_t len)
{
	struct piece_disk d;
	struct medium m;
	struct fs_map whole;
	struct fs_facts facts;

	assert_true(piece_disk_open(data, len, &d, &m));
	assert_int_equal(fs_map_read(&m, driver->types[0], &whole, &facts, NULL), 0);
	assert_false(facts.all_used);
	assert_null(facts.why);
	for (uint32_t i = 0; i < d.n; i++) {
		uint64_t first = le32_at(d.table.p + 8 * i), n = le32_at(d.table.p + 8 * i + 4);

		for (uint64_t block = first; block < first + n + 1; block++)
			check_block(driver, &m, &whole, block);
	}
	fs_map_clear(&whole);
	fs_facts_clear(&facts);
}

static void check_seeds(const struct fs_driver *driver, const char *folder)
{
	static uint8_t data[SEED_MAX];
	char path[4096];
	unsigned n = 0;
	DIR *dir;

	assert_non_null(getenv("ISOMORPH_SOURCE_ROOT"));
	snprintf(path, sizeof(path), "%s/fuzz/seeds/%s", getenv("ISOMORPH_SOURCE_ROOT"), folder);
	dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));) {
		_free_ char *name = text_format("%s/%s", path, e->d_name);
		_fclose_ FILE *f = NULL;

		/* The seeds named "crash-…" are damaged ones. */
		if (e->d_name[0] == '.' || strncmp(e->d_name, "crash-", 6) == 0)
			continue;
		f = fopen(name, "rb");
		assert_non_null(f);
		check_disk(driver, data, fread(data, 1, sizeof(data), f));
		n++;
	}
	closedir(dir);
	assert_true(n > 2);
}

static void fat_with_a_bad_block(void **state)
{
	(void)state;
	check_seeds(&fs_driver_fat, "fat-map");
}

static void exfat_with_a_bad_block(void **state)
{
	(void)state;
	check_seeds(&fs_driver_exfat, "exfat");
}

static void ntfs_with_a_bad_block(void **state)
{
	(void)state;
	check_seeds(&fs_driver_ntfs, "ntfs");
}

static void xfs_with_a_bad_block(void **state)
{
	(void)state;
	check_seeds(&fs_driver_xfs, "xfs");
}

static void btrfs_with_a_bad_block(void **state)
{
	(void)state;
	check_seeds(&fs_driver_btrfs, "btrfs");
}

static void f2fs_with_a_bad_block(void **state)
{
	(void)state;
	check_seeds(&fs_driver_f2fs, "f2fs");
}

/* Runs as "offset+len ..." */
static void assert_runs(const struct fs_map *map, const char *expected)
{
	char text[1000] = "";
	size_t at = 0;

	for (size_t i = 0; i < map->n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu+%llu", i ? " " : "",
		                       (unsigned long long)map->runs[i].offset,
		                       (unsigned long long)map->runs[i].len);
	assert_string_equal(text, expected);
}

static void bits_to_runs(void **state)
{
	uint8_t bits[40] = { 0x01, 0x80, 0x01, [8] = 0xff, [9] = 0xff, [39] = 0x80 };
	static const struct {
		uint64_t first, n;
		const char *runs;
	} cases[] = {
		{ 0, 320, "1000+10 1150+20 1640+160 4190+10" },
		{ 1, 319, "1140+20 1630+160 4180+10" },
		{ 15, 1, "1000+10" },
		{ 64, 16, "1000+160" },
		{ 70, 5, "1000+50" },
		{ 17, 47, "" },
		{ 0, 0, "" },
		{ 0, 319, "1000+10 1150+20 1640+160" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fs_map map;

		fs_map_init(&map, MIB);
		assert_int_equal(map_add_bits(&map, bits, cases[i].first, cases[i].n, 1000, 10), 0);
		assert_runs(&map, cases[i].runs);
		fs_map_clear(&map);
	}
}

static void covered_or_not(void **state)
{
	struct fs_run runs[] = { { 100, 50 }, { 150, 50 }, { 300, 1 } };
	const struct fs_map map = { .runs = runs, .n = 3, .size = 1000, .sorted = true };
	const struct fs_map empty = { .size = 1000, .sorted = true };

	(void)state;
	assert_true(map_covers(&map, 100, 100)); /* over two runs that touch */
	assert_true(map_covers(&map, 149, 2));
	assert_true(map_covers(&map, 300, 1));
	assert_true(map_covers(&map, 500, 0));
	assert_false(map_covers(&map, 99, 2));
	assert_false(map_covers(&map, 199, 2));
	assert_false(map_covers(&map, 100, 201));
	assert_false(map_covers(&map, 300, 2));
	assert_false(map_covers(&map, 0, 1));
	assert_false(map_covers(&map, 100, UINT64_MAX));
	assert_false(map_covers(&empty, 0, 1));
}

static void utf16_to_text(void **state)
{
	static const uint8_t units[] = { 'A',  0,    0xfc, 0,    0xac, 0x20, 0x3d, 0xd8,
		                         0x00, 0xde, 0x00, 0xd8, 'B',  0,    0,    0 };
	char *text = text_utf16le(units, sizeof(units) / 2);

	(void)state;
	assert_string_equal(text, "A\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80?B");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_to_runs),           cmocka_unit_test(covered_or_not),
		cmocka_unit_test(utf16_to_text),          cmocka_unit_test(fat_with_a_bad_block),
		cmocka_unit_test(exfat_with_a_bad_block), cmocka_unit_test(ntfs_with_a_bad_block),
		cmocka_unit_test(xfs_with_a_bad_block),   cmocka_unit_test(btrfs_with_a_bad_block),
		cmocka_unit_test(f2fs_with_a_bad_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
