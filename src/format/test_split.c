/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Split images: which files are parts, what is missing, and that all parts read as the whole. The
 * oracle is split(1). */
#include "format/test_files.h"

#include "format/split_name.h"

#define IMAGE_LEN 100000

static int open_image(const char *ref, struct medium **ret, struct source_facts *facts,
                      struct ism_error *err)
{
	return source_open(ref, &(struct ism_open_options){ 0 }, ret, facts, err);
}

static void put_image(const char *name)
{
	uint8_t image[IMAGE_LEN];

	fill_pattern(image, sizeof(image), 7);
	put_file(name, image, sizeof(image));
}

/* @ref opens as the whole image in @parts parts. */
static void check_whole(const char *ref, unsigned parts)
{
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	_free_ uint8_t *got = NULL;
	uint8_t want[IMAGE_LEN];
	size_t len, n = 0;

	if (open_image(ref, &m, &facts, &err) < 0)
		fail_msg("%s: %s", ref, err.message);
	assert_int_equal(facts.parts, parts);
	assert_non_null(strstr(facts.detail, " parts"));
	while (facts.files[n])
		n++;
	assert_int_equal(n, parts);
	assert_int_equal(m->size, IMAGE_LEN);
	assert_false(m->forward);
	assert_int_equal(read_whole(m, 999, &got, &len, &err), 0);
	fill_pattern(want, sizeof(want), 7);
	assert_int_equal(len, IMAGE_LEN);
	assert_memory_equal(got, want, IMAGE_LEN);
	/* and at any place */
	assert_int_equal(medium_read_all(m, got, 50000, 29999, &err), 0);
	assert_memory_equal(got, want + 29999, 50000);
}

static void check_fails(const char *ref, const char *word)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	int r = open_image(ref, &m, NULL, &err);

	assert_error_says(err, r, word);
}

static void test_split_tool(void **state)
{
	(void)state;
	put_image("disk.img");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img a.img.");
	run_ok("split -b 30000 -d -a 3 disk.img b.img.");
	run_ok("split -b 30000 disk.img c.img.");
	run_ok("split -b 30000 disk.img");
	run_ok("split -b 30000 -a 1 -d --numeric-suffixes=1 disk.img d.img.part");
	run_ok("split -b 10000 -a 2 -d --numeric-suffixes=1 disk.img e.img.part");
	run_ok("split -b 50000 -a 4 -d disk.img f.img.");
	check_whole("a.img.001", 4);
	check_whole("a.img.003", 4);
	check_whole("a.img", 4);
	check_whole("./a.img.001", 4);
	check_whole("b.img.000", 4);
	check_whole("b.img", 4);
	check_whole("c.img.aa", 4);
	check_whole("c.img", 4);
	check_whole("xaa", 4);
	check_whole("xab", 4);
	check_whole("d.img.part1", 4);
	check_whole("d.img", 4);
	check_whole("e.img.part01", 10);
	check_whole("e.img", 10);
	check_whole("f.img.0000", 2);
}

/* split goes on behind yz and 89 with longer names, 7-Zip behind 9 and 999 with plain ones. */
static void test_long_series(void **state)
{
	(void)state;
	put_image("disk.img");
	run_ok("split -b 150 disk.img a.img.");
	run_ok("split -b 900 -d disk.img b.img.");
	run_ok("split -b 10000 -d -a 2 --numeric-suffixes=1 disk.img c. && "
	       "for i in 1 2 3 4 5 6 7 8 9; do mv c.0$i d.img.part$i; done; mv c.10 d.img.part10");
	assert_int_equal(access("a.img.zaaa", F_OK), 0);
	assert_int_equal(access("b.img.9000", F_OK), 0);
	check_whole("a.img.aa", 667);
	check_whole("b.img.00", 112);
	check_whole("d.img.part1", 10);
	check_whole("d.img", 10);
}

static void test_missing(void **state)
{
	(void)state;
	put_image("disk.img");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img a.img. && rm a.img.002");
	run_ok("split -b 30000 disk.img b.img. && rm b.img.ac");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img c.img. && rm c.img.001");
	check_fails("a.img.001", "part a.img.002 is missing");
	check_fails("a.img", "part a.img.002 is missing");
	check_fails("a.img.003", "part a.img.002 is missing");
	check_fails("b.img.aa", "part b.img.ac is missing");
	check_fails("c.img.002", "part c.img.001 is missing");
}

static void test_wrong_sizes(void **state)
{
	(void)state;
	put_image("disk.img");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img a.img. && "
	       "truncate -s 29999 a.img.002");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img b.img. && "
	       "truncate -s 0 b.img.004");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img c.img. && "
	       "truncate -s 30001 c.img.004");
	check_fails("a.img.001", "has 29999 bytes, but a.img.001 has 30000");
	check_fails("b.img.001", "is empty");
	check_fails("c.img.001", "has 30001 bytes");
}

/* Names that look like parts, and are none. */
static void check_single(const char *ref)
{
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;

	if (open_image(ref, &m, &facts, &err) < 0)
		fail_msg("%s: %s", ref, err.message);
	assert_int_equal(facts.parts, 0);
	assert_string_equal(facts.files[0], ref);
	assert_null(facts.files[1]);
}

static void test_no_series(void **state)
{
	(void)state;
	put_image("single.img.001");
	put_image("v.2023");
	put_image("v.2024");
	put_image("w.ab");
	put_image("with.img");
	put_image("with.img.001");
	put_image("with.img.002");
	put_image("y.img.1");
	put_image("y.img.2024");
	run_ok("mkdir z.img.002");
	put_image("z.img.001");
	run_ok("printf xy > t.aa; printf x > t.gz");
	check_single("single.img.001");
	check_single("v.2024");
	check_single("w.ab");
	check_single("with.img");
	check_single("y.img.1");
	check_single("z.img.001");
	check_single("t.gz");
}

/* Numbered copies of one size: each begins with a boot record. */
static void test_two_images(void **state)
{
	uint8_t image[4096] = { [510] = 0x55, [511] = 0xaa };

	(void)state;
	put_file("backup.img.1", image, sizeof(image));
	put_file("backup.img.2", image, sizeof(image));
	check_fails("backup.img.1", "begins like an image of its own");
	check_fails("backup.img", "begins like an image of its own");
}

static void test_two_series(void **state)
{
	(void)state;
	put_image("disk.img");
	run_ok("split -b 30000 -d -a 3 --numeric-suffixes=1 disk.img a.img.; split -b 30000 "
	       "disk.img a.img.");
	check_fails("a.img", "is the name of two series");
	check_whole("a.img.001", 4);
	check_whole("a.img.aa", 4);
}

static void test_raw_is_one_file(void **state)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;

	(void)state;
	put_image("disk.img");
	run_ok("split -b 30000 disk.img a.img.");
	assert_int_equal(
		source_open("a.img.aa", &(struct ism_open_options){ .raw = true }, &m, NULL, &err),
		0);
	assert_int_equal(m->size, 30000);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_enter_folder, test_leave_folder)
	const struct CMUnitTest tests[] = {
		TEST(test_split_tool),  TEST(test_long_series),     TEST(test_missing),
		TEST(test_wrong_sizes), TEST(test_no_series),       TEST(test_two_images),
		TEST(test_two_series),  TEST(test_raw_is_one_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
