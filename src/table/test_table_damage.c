/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Damaged and odd partition tables: noted, never believed, never fatal. */
#include "medium/faulty.h"
#include "table/test_images.h"

#define DISK (64 * MIB)
#define LAST (DISK - 512)

static struct table *gpt_after(void (*damage)(const struct image *im))
{
	struct image im;
	struct table *t;

	image_new(&im, DISK);
	image_sfdisk(&im, "label: gpt\\n,10M,U\\n,20M\\n");
	damage(&im);
	t = image_table(&im);
	image_free(&im);
	assert_int_equal(t->type, TABLE_GPT);
	return t;
}

static void expect_gpt(void (*damage)(const struct image *im), size_t n, bool damaged,
                       const char *note)
{
	struct table *t = gpt_after(damage);

	assert_int_equal(t->n, n);
	assert_int_equal(t->damaged, damaged);
	if (!has_note(t, note))
		fail_msg("no note '%s', but: %s", note, t->n_notes ? t->notes[0] : "none");
	table_free(t);
}

static void flip_primary(const struct image *im)
{
	image_flip(im, 512 + 40);
}

static void flip_primary_entry(const struct image *im)
{
	image_flip(im, 1024 + 60);
}

static void zero_primary(const struct image *im)
{
	static const uint8_t zeros[17 * 1024];

	image_write(im, 512, zeros, sizeof(zeros));
}

static void flip_backup(const struct image *im)
{
	image_flip(im, LAST + 20);
}

static void flip_both(const struct image *im)
{
	flip_primary(im);
	flip_backup(im);
}

static void flip_entries_twice(const struct image *im)
{
	flip_primary_entry(im);
	image_flip(im, LAST - 32 * 512 + 60);
}

static void grow(const struct image *im)
{
	assert_int_equal(ftruncate(im->fd, (off_t)(DISK + 10 * MIB)), 0);
}

static void cut(const struct image *im)
{
	assert_int_equal(ftruncate(im->fd, (off_t)(20 * MIB)), 0);
}

static void other_backup(const struct image *im)
{
	uint8_t backup[33 * 512];

	image_read(im, LAST - 32 * 512, backup, sizeof(backup));
	image_sfdisk(im, "label: gpt\\n,10M,U\\n,20M\\n");
	image_write(im, LAST - 32 * 512, backup, sizeof(backup));
}

static void test_gpt_copies(void **state)
{
	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	expect_gpt(flip_primary, 2, false, "first GPT at sector 1 is damaged: its checksum");
	expect_gpt(flip_primary_entry, 2, false, "the checksum of its entries is wrong");
	expect_gpt(zero_primary, 2, false, "the first GPT is missing");
	expect_gpt(flip_backup, 2, false, "the backup GPT at sector 131071 is damaged");
	expect_gpt(flip_both, 0, true, "the backup GPT at sector 131071 is damaged");
	expect_gpt(flip_entries_twice, 2, true, "the checksum of its entries is wrong");
	expect_gpt(grow, 2, false, "not in the last sector 151551");
	expect_gpt(cut, 2, false, "partition 2 ends at byte 32505856, behind the end");
	expect_gpt(cut, 2, false, "the backup GPT is missing");
	expect_gpt(other_backup, 2, false, "the two copies of the GPT differ");
}

static void test_gpt_without_mbr(void **state)
{
	static const uint8_t zeros[512];
	struct image im;
	struct table *t;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, DISK);
	image_sfdisk(&im, "label: gpt\\n,10M,U\\n,20M\\n");
	image_write(&im, 0, zeros, sizeof(zeros));
	t = image_table(&im);
	assert_int_equal(t->type, TABLE_GPT);
	assert_true(has_note(t, "no protective MBR"));
	table_free(t);
	zero_primary(&im);
	t = image_table(&im);
	assert_int_equal(t->type, TABLE_NONE);
	assert_true(has_note(t, "the last sector holds the backup of a GPT"));
	table_free(t);
	image_free(&im);
}

static void test_hybrid_mbr(void **state)
{
	/* FAT32 at sector 2048 in the second slot. */
	static const uint8_t entry[16] = {
		0x80, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 0x50, 0, 0
	};
	struct image im;
	struct table *t;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, DISK);
	image_sfdisk(&im, "label: gpt\\n,10M,U\\n,20M\\n");
	image_write(&im, 446 + 16, entry, sizeof(entry));
	t = image_table(&im);
	assert_int_equal(t->type, TABLE_GPT);
	assert_true(has_note(t, "hybrid MBR"));
	assert_non_null(t->also);
	assert_int_equal(t->also->type, TABLE_DOS);
	assert_int_equal(t->also->n, 2);
	assert_int_equal(t->also->entries[1].offset, MIB);
	table_free(t);
	image_free(&im);
}

/* The second link of the chain names the first again, then itself, then leaves the disk. */
static void test_logical_chain(void **state)
{
	static const struct {
		uint32_t next;
		const char *note;
	} cases[] = {
		{ 0, "runs in a circle" },
		{ 0x7fffffff, "leaves the disk" },
		{ 77, "breaks at sector" },
	};
	uint8_t link[512];
	struct image im;
	size_t entry = 446 + 16;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, DISK);
	image_sfdisk(&im, "label: dos\\n,10M,7\\n,40M,E\\n5: size=5M\\n6: size=5M\\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		le32 next = le32_of(cases[i].next), size = le32_of(2048);
		struct table *t = image_table(&im);
		uint64_t second;

		assert_true(t->n >= 4 && t->n_regions >= 3);
		second = t->regions[2].offset;
		table_free(t);
		image_read(&im, second, link, sizeof(link));
		link[entry + 4] = 5;
		memcpy(link + entry + 8, &next, 4);
		memcpy(link + entry + 12, &size, 4);
		image_write(&im, second, link, sizeof(link));
		t = image_table(&im);
		assert_int_equal(t->n, 4);
		assert_true(t->damaged);
		assert_true(has_note(t, cases[i].note));
		table_free(t);
	}
	image_free(&im);
}

static void test_overlap(void **state)
{
	static const uint8_t entry[16] = { 0, 0, 0, 0, 0x83, 0, 0, 0, 0, 16, 0, 0, 0, 0, 1, 0 };
	struct image im;
	struct table *t;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, DISK);
	image_sfdisk(&im, "label: dos\\n,10M,7\\n");
	image_write(&im, 446 + 16, entry, sizeof(entry));
	t = image_table(&im);
	assert_int_equal(t->n, 2);
	assert_true(has_note(t, "partitions 1 and 2 overlap"));
	table_free(t);
	image_free(&im);
}

static struct table *table_with_faults(const struct image *im, const char *faults)
{
	struct ism_open_options options = { .raw = true };
	struct medium *m = NULL;
	struct table *t = NULL;

	assert_int_equal(carrier_open(im->path, &options, &m, NULL), 0);
	assert_int_equal(faulty_wrap(&m, faults, NULL), 0);
	assert_int_equal(table_read(m, &t, NULL), 0);
	medium_close(m);
	return t;
}

static void test_unreadable_sectors(void **state)
{
	struct image im;
	struct table *t;

	(void)state;
	if (!have_tool("sfdisk"))
		skip();
	image_new(&im, DISK);
	image_sfdisk(&im, "label: gpt\\n,10M,U\\n,20M\\n");
	t = table_with_faults(&im, "read-error@512");
	assert_int_equal(t->type, TABLE_GPT);
	assert_int_equal(t->n, 2);
	assert_true(t->partial);
	assert_false(t->damaged);
	assert_true(has_note(t, "the first GPT at sector 1 could not be looked at"));
	table_free(t);
	t = table_with_faults(&im, "read-error@1024");
	assert_int_equal(t->n, 2);
	assert_true(has_note(t, "its entries cannot be read"));
	table_free(t);
	/* Without sector 0 nothing announces the GPT, but it is there. */
	t = table_with_faults(&im, "read-error@0");
	assert_int_equal(t->type, TABLE_GPT);
	assert_int_equal(t->n, 2);
	table_free(t);
	t = table_with_faults(&im, "gone@0");
	assert_int_equal(t->type, TABLE_NONE);
	assert_true(t->partial);
	assert_true(has_note(t, "the first sector cannot be read"));
	table_free(t);
	image_free(&im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_copies), cmocka_unit_test(test_gpt_without_mbr),
		cmocka_unit_test(test_hybrid_mbr), cmocka_unit_test(test_logical_chain),
		cmocka_unit_test(test_overlap),    cmocka_unit_test(test_unreadable_sectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
