/* SPDX-License-Identifier: GPL-3.0-or-later */
/* mountinfo and swaps: escapes, optional fields, huge ones, damaged ones; libmount is the oracle
 * for this machine's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <libmount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/error.h"
#include "device/mounts.h"
#include "device/words.h"

static const struct mount like = { .own = true, .pid = 1, .ns = 7 };

static int parse(struct mounts *m, const char *text)
{
	return mounts_parse(m, text, strlen(text), &like);
}

static void test_fields(void **state)
{
	_mounts_ struct mounts m = { 0 };

	(void)state;
	assert_int_equal(parse(&m, "36 35 98:0 /mnt1 /mnt/a\\040b\\011c\\134d rw,noatime master:1 "
	                           "propagate_from:2 - ext3 /dev/root rw,errors=continue\n"
	                           "37 35 0:22 / /x rw - tmpfs  rw\n"
	                           "38 35 0:23 / /y rw shared:3 - nfs4 host:/a\\040b rw"),
	                 0);
	assert_int_equal(m.n, 3);
	assert_int_equal(m.list[0].id, 36);
	assert_int_equal(m.list[0].dev, makedev(98, 0));
	assert_string_equal(m.list[0].root, "/mnt1");
	assert_string_equal(m.list[0].point, "/mnt/a b\tc\\d");
	assert_string_equal(m.list[0].type, "ext3");
	assert_string_equal(m.list[0].source, "/dev/root");
	assert_string_equal(m.list[0].super, "rw,errors=continue");
	assert_true(m.list[0].own);
	assert_int_equal(m.list[0].ns, 7);
	assert_string_equal(m.list[1].source, "");
	assert_string_equal(m.list[2].source, "host:/a b");
}

static void test_damaged(void **state)
{
	static const char *const bad[] = {
		"x 35 98:0 / /mnt rw - ext3 /dev/root rw\n",
		"36 35 98:0 / /mnt rw ext3 /dev/root rw\n",
		"36 35 98:0 / /mnt rw - ext3 /dev/root\n",
		"36 35 98 / /mnt rw - ext3 /dev/root rw\n",
		"36 35 99999:0 / /mnt rw - ext3 /dev/root rw\n",
		"36 35 98:-1 / /mnt rw - ext3 /dev/root rw\n",
		"99999999999999999999 35 98:0 / /mnt rw - ext3 /dev/root rw\n",
		"36 35 98:0\n",
		" \n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		_mounts_ struct mounts m = { 0 };

		assert_int_equal(parse(&m, bad[i]), -EBADMSG);
	}
	_mounts_ struct mounts m = { 0 };
	const char nul[] = "36 35 98:0 / /m\0nt rw - ext3 /dev/root rw\n";

	assert_int_equal(mounts_parse(&m, nul, sizeof(nul) - 1, &like), -EBADMSG);
}

static void test_many(void **state)
{
	enum { COUNT = 100000 }; /* as many as the kernel allows in one namespace */
	_mounts_ struct mounts m = { 0 };
	_free_ char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	for (int i = 0; i < COUNT; i++)
		fprintf(f, "%d 1 8:%d / /mnt/%d rw - ext4 /dev/sda%d rw\n", i, i & 255, i, i);
	fclose(f);
	assert_int_equal(mounts_parse(&m, text, len, &like), 0);
	assert_int_equal(m.n, COUNT);
	assert_string_equal(m.list[COUNT - 1].point, "/mnt/99999");
}

static void test_escapes(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "\\040", " " },     { "a\\012b", "a\nb" },
		{ "\\134", "\\" },    { "\\04", "\\04" },
		{ "\\", "\\" },       { "\\\\040", "\\ " },
		{ "\\000", "\\000" }, { "\\777", "\\777" },
		{ "\\377", "\377" },  { "\\0400", " 0" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[32];

		snprintf(text, sizeof(text), "%s", cases[i].from);
		text_unescape(text);
		assert_string_equal(text, cases[i].to);
	}
}

static void test_swaps(void **state)
{
	struct swaps s = { 0 };

	(void)state;
	assert_int_equal(swaps_parse(&s, "Filename Type Size\n/dev/sda2  partition 1\n"
	                                 "/swap\\040file\tfile 2\n"),
	                 0);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.list[0], "/dev/sda2");
	assert_string_equal(s.list[1], "/swap file");
	swaps_free(&s);
	assert_int_equal(swaps_parse(&s, "Filename Type Size\n"), 0);
	assert_int_equal(swaps_parse(&s, ""), 0);
	assert_int_equal(s.n, 0);
}

/* What libmount reads from the same file, in the same order. */
static void test_own_like_libmount(void **state)
{
	_mounts_ struct mounts m = { 0 };
	_free_ char *text = NULL;
	size_t len, n = 0;
	struct libmnt_table *table = mnt_new_table_from_file("/proc/self/mountinfo");
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;

	(void)state;
	assert_int_equal(text_read("/proc/self/mountinfo", 1 << 24, &text, &len), 0);
	assert_int_equal(mounts_parse(&m, text, len, &like), 0);
	assert_non_null(table);
	for (; mnt_table_next_fs(table, iter, &fs) == 0; n++) {
		assert_true(n < m.n);
		assert_int_equal(mnt_fs_get_devno(fs), m.list[n].dev);
		assert_string_equal(mnt_fs_get_target(fs), m.list[n].point);
		assert_string_equal(mnt_fs_get_fstype(fs), m.list[n].type);
		assert_string_equal(mnt_fs_get_root(fs), m.list[n].root);
	}
	assert_int_equal(n, m.n);
	mnt_free_iter(iter);
	mnt_unref_table(table);
}

static void expect_words(const char *record, const char *name, const char *expect)
{
	_free_ char *line = words_match(record, name, 8, 16);

	if (expect)
		assert_string_equal(line, expect);
	else
		assert_null(line);
}

static void test_kernel_words(void **state)
{
	(void)state;
	expect_words("3,1,2,-;I/O error, dev sdb, sector 8 op\n", "sdb",
	             "I/O error, dev sdb, sector 8 op");
	expect_words("3,1,2,-;Buffer I/O error on dev sdb1, block 0\n", "sdb",
	             "Buffer I/O error on dev sdb1, block 0");
	expect_words("3,1,2,-;I/O error, dev sdbb, sector 8\n", "sdb", NULL);
	expect_words("3,1,2,-;sd 2:0:0:0: [sdb] Write Protect is on\n", "sdb",
	             "sd 2:0:0:0: [sdb] Write Protect is on");
	expect_words("3,1,2,-;reset\n SUBSYSTEM=block\n DEVICE=b8:16\n", "sdb", "reset");
	expect_words("3,1,2,-;reset\n SUBSYSTEM=block\n DEVICE=b8:160\n", "sdb", NULL);
	expect_words("3,1,2,-;error on loop11\n", "loop1", NULL);
	expect_words("3,1,2,-;error on loop1p2\n", "loop1", "error on loop1p2");
	expect_words("3,1,2,-;nvme0n1p3: bad\n", "nvme0n1", "nvme0n1p3: bad");
	expect_words("no record sdb", "sdb", NULL);
	expect_words("", "sdb", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),       cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_many),         cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_swaps),        cmocka_unit_test(test_own_like_libmount),
		cmocka_unit_test(test_kernel_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
