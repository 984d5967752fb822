/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Partition tables made by sfdisk and parted: what we read must be what those tools say. */
#include "table/test_images.h"

#include <time.h>

static const char *text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static void compare_entry(const struct image *im, const struct table *t,
                          const struct table_entry *e, const json_t *part)
{
	_free_ char *node = text_format("%s%u", im->path, e->number);
	bool dos = t->type == TABLE_DOS;

	assert_string_equal(text(part, "node"), node);
	assert_int_equal(json_integer_value(json_object_get(part, "start")) * 512, e->offset);
	assert_int_equal(json_integer_value(json_object_get(part, "size")) * 512, e->size);
	if (dos)
		assert_int_equal(strtoul(text(part, "type"), NULL, 16), strtoul(e->type, NULL, 16));
	else
		assert_int_equal(strcasecmp(text(part, "type"), e->type), 0);
	if (!dos) {
		assert_int_equal(strcasecmp(text(part, "uuid"), e->uuid), 0);
		assert_string_equal(text(part, "name"), e->name ? e->name : "");
	}
	if (dos)
		assert_int_equal(json_is_true(json_object_get(part, "bootable")), e->bootable);
}

/* Everything that sfdisk says of the image, we say too. */
static void compare(const struct image *im, const struct table *t)
{
	json_t *doc = image_json(im);
	const json_t *table = json_object_get(doc, "partitiontable");
	const json_t *parts = json_object_get(table, "partitions");

	assert_string_equal(text(table, "label"), table_type_name(t->type));
	assert_int_equal(strcasecmp(text(table, "id"), t->id), 0);
	assert_int_equal(json_array_size(parts), t->n);
	for (size_t i = 0; i < t->n; i++)
		compare_entry(im, t, &t->entries[i], json_array_get(parts, i));
	json_decref(doc);
}

static void check_script(uint64_t size, const char *script, size_t n)
{
	struct image im;
	struct table *t;

	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, size);
	image_sfdisk(&im, script);
	t = image_table(&im);
	compare(&im, t);
	assert_int_equal(t->n, n);
	assert_int_equal(t->n_notes, 0);
	assert_false(t->damaged || t->partial);
	table_free(t);
	image_free(&im);
}

static void test_gpt(void **state)
{
	(void)state;
	check_script(
		100 * MIB,
		"label: gpt\\n,10M,U,*\\nname=\"r\303\266\303\266t \360\237\220\247\",size=20M,"
		"type=L\\n,7777\\n,,\\n",
		4);
	check_script(9 * MIB + 512 * 3, "label: gpt\\ntable-length: 12\\n,1M\\n,1M\\n", 2);
	check_script(20 * MIB, "label: gpt\\ntable-length: 1024\\n3: size=1M\\n1000: size=1M\\n",
	             2);
	check_script(4 * MIB, "label: gpt\\n", 0);
}

static void test_dos(void **state)
{
	(void)state;
	check_script(64 * MIB, "label: dos\\n,10M,c,*\\n,,L\\n", 2);
	check_script(64 * MIB, "label: dos\\n", 0);
	check_script(200 * MIB + 512,
	             "label: dos\\n,10M,7\\n,100M,E\\n,5M\\n,,L\\n,1M,b\\n,2M,82\\n,7777\\n,3M\\n",
	             8);
	check_script(200 * MIB, "label: dos\\n2: size=50M,type=f\\n5: size=3M\\n4: size=1M\\n", 3);
}

static unsigned seed(void)
{
	const char *s = getenv("SEED");

	return s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL);
}

static void test_random_layouts(void **state)
{
	unsigned n = getenv("N") ? (unsigned)strtoul(getenv("N"), NULL, 10) : 8;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	print_message("N=%u SEED=%u\n", n, seed());
	srandom(seed());
	for (unsigned i = 0; i < n; i++) {
		bool dos = random() % 2;
		unsigned parts = (unsigned)random() % (dos ? 10 : 20);
		char *script = text_format("label: %s\\n", dos ? "dos" : "gpt");
		struct image im;
		struct table *t;

		for (unsigned k = 0; k < parts; k++) {
			bool container = dos && k == 3;
			char *more = text_format("%s,%ld,%s\\n", script,
			                         container ? 500000 : 2048 + random() % 9000,
			                         container ? "E" : "L");

			free(script);
			script = more;
		}
		image_new(&im, 400 * MIB + (uint64_t)(random() % 100) * 512);
		image_sfdisk(&im, script);
		t = image_table(&im);
		compare(&im, t);
		assert_int_equal(t->n, parts);
		table_free(t);
		image_free(&im);
		free(script);
	}
}

static void check_4096(const char *label, enum table_type type, bool fs)
{
	_free_ char *command = text_format("mklabel %s mkpart %s 1MiB 9MiB mkpart %s 10MiB 60MiB",
	                                   label, type == TABLE_GPT ? "a" : "primary",
	                                   type == TABLE_GPT ? "b" : "primary");
	_free_ char *after = text_format("%s 2>/dev/null", command);
	struct image im;
	struct table *t;

	image_new(&im, 64 * MIB);
	image_run(&im, "PARTED_SECTOR_SIZE=4096 parted -s", after);
	if (fs)
		image_run(&im, "mkfs.ext4 -q -F -E offset=1048576", "4M 2>/dev/null");
	t = image_table(&im);
	assert_int_equal(t->type, type);
	assert_int_equal(t->n, 2);
	if (type == TABLE_GPT || fs) {
		assert_int_equal(t->sector_size, 4096);
		assert_int_equal(t->stated_sector_size, 4096);
		assert_int_equal(t->entries[0].offset, MIB);
		assert_int_equal(t->entries[0].size, 8 * MIB);
		assert_int_equal(t->entries[1].offset, 10 * MIB);
		assert_int_equal(t->entries[1].size, 50 * MIB);
		assert_int_equal(t->n_notes, 0);
	}
	table_free(t);
	image_free(&im);
}

static void test_sectors_of_4096(void **state)
{
	(void)state;
	if (!have_tool("parted"))
		skip();
	check_4096("gpt", TABLE_GPT, false);
	check_4096("msdos", TABLE_DOS, false);
	check_4096("msdos", TABLE_DOS, true);
}

static void test_apple_map(void **state)
{
	struct image im;
	struct table *t;

	(void)state;
	if (!have_tool("parted"))
		skip();
	image_new(&im, 64 * MIB);
	image_run(&im, "parted -s",
	          "mklabel mac mkpart one hfs 1MiB 9MiB mkpart two ext2 10MiB 60MiB 2>/dev/null");
	t = image_table(&im);
	assert_int_equal(t->type, TABLE_APM);
	assert_int_equal(t->sector_size, 512);
	assert_true(t->n >= 3);
	assert_string_equal(t->entries[0].type, "Apple_partition_map");
	assert_int_equal(t->entries[0].offset, 512);
	assert_string_equal(t->entries[1].name, "one");
	assert_string_equal(t->entries[1].type, "Apple_HFS");
	assert_int_equal(t->entries[1].offset, MIB);
	assert_int_equal(t->entries[1].size, 8 * MIB);
	table_free(t);
	image_free(&im);
}

/* A bare file system is no table, though its boot sector ends like one. */
static void test_bare_file_systems(void **state)
{
	static const struct {
		const char *make, *after;
		uint32_t sector_size;
	} cases[] = {
		{ "mkfs.fat -I", ">/dev/null", 512 },
		{ "mkfs.fat -I --mbr=y", ">/dev/null", 512 },
		{ "mkfs.fat -I -S 4096", ">/dev/null", 4096 },
		{ "mkfs.ext4 -q -F", "", 0 },
		{ "mkswap", ">/dev/null 2>&1", 0 },
	};

	(void)state;
	if (!have_tool("mkfs.fat") || !have_tool("mkfs.ext4"))
		skip();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct image im;
		struct table *t;

		image_new(&im, 40 * MIB);
		image_run(&im, cases[i].make, cases[i].after);
		t = image_table(&im);
		assert_int_equal(t->type, TABLE_NONE);
		assert_int_equal(t->stated_sector_size, cases[i].sector_size);
		assert_int_equal(t->n, 0);
		table_free(t);
		image_free(&im);
	}
}

static void test_only_the_head(void **state)
{
	static uint8_t head[64 * 1024];
	struct image im;
	struct table *t;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, 100 * MIB);
	image_sfdisk(&im, "label: gpt\\n,10M,U\\n,,\\n");
	image_read(&im, 0, head, sizeof(head));
	assert_int_equal(
		table_read_head((struct span){ head, sizeof(head) }, ISM_SIZE_UNKNOWN, &t, NULL),
		0);
	compare(&im, t);
	assert_true(t->partial);
	assert_false(t->damaged);
	assert_int_equal(t->n_notes, 0);
	assert_int_equal(t->stated_sector_size, 512);
	table_free(t);
	image_sfdisk(&im, "label: dos\\n,10M,7\\n,50M,E\\n5: size=5M\\n");
	image_read(&im, 0, head, sizeof(head));
	assert_int_equal(table_read_head((struct span){ head, sizeof(head) }, 100 * MIB, &t, NULL),
	                 0);
	assert_int_equal(t->type, TABLE_DOS);
	assert_int_equal(t->n, 2);
	assert_true(t->partial);
	table_free(t);
	image_free(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt),
		cmocka_unit_test(test_dos),
		cmocka_unit_test(test_random_layouts),
		cmocka_unit_test(test_sectors_of_4096),
		cmocka_unit_test(test_apple_map),
		cmocka_unit_test(test_bare_file_systems),
		cmocka_unit_test(test_only_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
