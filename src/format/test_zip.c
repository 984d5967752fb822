/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one image in a zip: found, read whole, checked; anything else refused. Zips come from
 * Info-ZIP.
 */
#include "format/test_files.h"

#include <fcntl.h>

#include "medium/memory.h"

#define IMAGE_LEN 700001

static uint8_t image[IMAGE_LEN];

static int setup(void **state)
{
	/* half of it compresses */
	memset(image, 0, sizeof(image));
	fill_pattern(image, IMAGE_LEN / 2, 5);
	if (test_enter_folder(state) < 0)
		return -1;
	put_file("disk.img", image, IMAGE_LEN);
	put_text("README.txt", "read me\n");
	return 0;
}

static int read_all(struct medium *m, struct ism_error *err)
{
	_free_ uint8_t *got = NULL;
	size_t len = 0;
	int r = read_whole(m, 70000, &got, &len, err);

	if (r < 0)
		return r;
	assert_int_equal(len, IMAGE_LEN);
	assert_memory_equal(got, image, IMAGE_LEN);
	return 0;
}

static int open_file(const char *zip, struct source_facts *facts, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;
	int r = source_open(zip, &(struct ism_open_options){ 0 }, &m, facts, err);

	if (r < 0)
		return r;
	assert_true(m->forward);
	assert_int_equal(m->size, IMAGE_LEN);
	return read_all(m, err);
}

static int open_forward(const char *zip, struct ism_error *err)
{
	_medium_ struct medium *below = NULL, *m = NULL;
	_free_ char *bytes = NULL;
	uint8_t head[16];
	size_t len, n;
	int r;

	bytes = get_file(zip, &len);
	assert_int_equal(medium_memory(bytes, len, true, &below, err), 0);
	assert_int_equal(medium_peek(below, head, sizeof(head), &n, err), 0);
	r = format_driver_zip.open(below, &(struct ism_open_options){ .threads = 1 }, &m, err);
	if (r < 0)
		return r;
	below = NULL;
	return read_all(m, err);
}

static void check_good(const char *zip, const char *member)
{
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };
	_error_ struct ism_error err = { 0 };

	if (open_file(zip, &facts, &err) < 0)
		fail_msg("%s: %s", zip, err.message);
	assert_string_equal(facts.format, "zip");
	assert_non_null(strstr(facts.detail, member));
	assert_string_equal(facts.files[0], zip);
	assert_null(facts.files[1]);
	if (open_forward(zip, &err) < 0)
		fail_msg("%s forward: %s", zip, err.message);
}

static void test_methods(void **state)
{
	(void)state;
	run_ok("zip -q -0 store.zip disk.img && zip -q deflate.zip disk.img && "
	       "zip -q -Z bzip2 bzip2.zip disk.img && zip -q -fz zip64.zip disk.img && "
	       "zip -q -0 - disk.img | cat > stored.zip && "
	       "zip -q - disk.img | cat > described.zip && python3 -c \"\n"
	       "import zipfile, sys\n"
	       "z = zipfile.ZipFile(sys.stdout.buffer, 'w', zipfile.ZIP_DEFLATED)\n"
	       "with z.open('disk.img', 'w', force_zip64=True) as f:\n"
	       "  f.write(open('disk.img', 'rb').read())\n"
	       "z.close()\" | cat > both.zip");
	check_good("store.zip", "'disk.img'");
	check_good("deflate.zip", "'disk.img'");
	check_good("bzip2.zip", "'disk.img'");
	check_good("zip64.zip", "'disk.img'");
	check_good("described.zip", "'disk.img'");
	check_good("stored.zip", "'disk.img'");
	check_good("both.zip", "'disk.img'");
}

static void test_others_ignored(void **state)
{
	(void)state;
	run_ok("mkdir -p __MACOSX d && cp README.txt __MACOSX/._disk.img && cp README.txt "
	       ".DS_Store "
	       "&& cp README.txt disk.img.bmap && cp README.txt d/LICENSE && mv disk.img d/ && "
	       "zip -q -r a.zip README.txt __MACOSX .DS_Store disk.img.bmap d");
	check_good("a.zip", "'d/disk.img'");
}

static void check_fails(const char *zip, const char *word)
{
	_error_ struct ism_error err = { 0 };
	int r = open_file(zip, NULL, &err);

	assert_error_says(err, r, word);
	assert_string_equal(err.where, zip);
}

static void check_fails_forward(const char *zip, const char *word)
{
	_error_ struct ism_error err = { 0 };
	int r = open_forward(zip, &err);

	assert_error_says(err, r, word);
}

static void test_refused(void **state)
{
	(void)state;
	run_ok("cp disk.img b.img; zip -q two.zip disk.img README.txt b.img; "
	       "zip -q none.zip README.txt; zip -q -P secret locked.zip disk.img; : > e.img; "
	       "zip -q empty.zip e.img; zip -q gone.zip e.img; zip -q -d gone.zip e.img 2>&1 | "
	       "cat; "
	       "printf 'PK\\5\\6%018d' 0 | tr 0 '\\0' > nothing.zip");
	check_fails("two.zip", "disk.img, b.img");
	check_fails_forward("two.zip", "disk.img, b.img");
	check_fails("none.zip", "no file that may be a disk image");
	check_fails_forward("none.zip", "no file that may be a disk image");
	check_fails("locked.zip", "is encrypted");
	check_fails_forward("locked.zip", "is encrypted");
	check_fails("empty.zip", "no file that may be a disk image");
	check_fails("nothing.zip", "no file that may be a disk image");
	run_ok("zip -q inner.zip disk.img; zip -q outer.zip inner.zip");
	check_fails("outer.zip", "holds a zip file in a zip file");
	run_ok("tar cf x.tar disk.img; zip -q tar.zip x.tar");
	check_fails("tar.zip", "is a tar archive");
}

/* What a zip states to need is not allocated unseen. */
static void test_lzma(void **state)
{
	_free_ char *bytes = NULL;
	size_t len;

	(void)state;
	run_ok("python3 -c \"\n"
	       "import zipfile\n"
	       "with zipfile.ZipFile('lzma.zip', 'w', zipfile.ZIP_LZMA) as z: "
	       "z.write('disk.img')\"");
	check_good("lzma.zip", "'disk.img'");
	bytes = get_file("lzma.zip", &len);
	bytes[30 + 8 + 8] = (char)0xff; /* the highest byte of the dictionary's size */
	put_file("large.zip", bytes, len);
	check_fails("large.zip", "needs more than 128 MiB");
	check_fails_forward("large.zip", "needs more than 128 MiB");
}

static void test_bad_names(void **state)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };

	(void)state;
	run_ok("cp disk.img \"$(printf 'a\\033]0;x\\nb.img')\"; zip -q odd.zip a*");
	assert_int_equal(source_open("odd.zip", NULL, &m, &facts, &err), 0);
	assert_string_equal(facts.detail, "member 'a?]0;x?b.img'");
}

static void damage(const char *from, const char *to, off_t offset)
{
	_free_ char *bytes = NULL;
	size_t len;

	bytes = get_file(from, &len);
	bytes[offset] ^= 0x10;
	put_file(to, bytes, len);
}

static void test_damaged(void **state)
{
	static const char *const zips[] = { "store.zip", "deflate.zip", "described.zip" };

	(void)state;
	run_ok("zip -q -0 store.zip disk.img; zip -q deflate.zip disk.img; "
	       "zip -q - disk.img | cat > described.zip");
	for (size_t i = 0; i < ARRAY_LEN(zips); i++) {
		_error_ struct ism_error err = { 0 };
		int r;

		damage(zips[i], "bad.zip", 200000);
		r = open_file("bad.zip", NULL, &err);
		assert_error_says(err, r, "damaged or cut off");
		assert_int_equal(r, -EBADMSG);
		assert_true(err.offset >= 200000 && err.offset < 701000);
		check_fails_forward("bad.zip", "damaged or cut off");
		_free_ char *cut = text_format("head -c 300000 %s > cut.zip", zips[i]);
		run_ok(cut);
		r = open_file("cut.zip", NULL, &err);
		assert_error_says(err, r, "is cut off: the directory at its end is missing");
		assert_int_equal(err.offset, 300000);
		check_fails_forward("cut.zip", "damaged or cut off");
	}
}

/* Headers that state another length than there is. */
static void test_wrong_length(void **state)
{
	_free_ char *bytes = NULL;
	size_t len;

	(void)state;
	run_ok("zip -q -X deflate.zip disk.img");
	for (int change = -1; change <= 1; change += 2) {
		_error_ struct ism_error err = { 0 };
		_medium_ struct medium *m = NULL;
		int r;

		free(bytes);
		bytes = get_file("deflate.zip", &len);
		bytes[22] = (char)(bytes[22] + change);
		for (size_t i = 0; i + 46 < len; i++)
			if (memcmp(bytes + i, "PK\1\2", 4) == 0)
				bytes[i + 24] = (char)(bytes[i + 24] + change);
		put_file("wrong.zip", bytes, len);
		r = source_open("wrong.zip", NULL, &m, NULL, &err);
		if (r == 0)
			r = read_all(m, &err);
		assert_int_equal(r, -EBADMSG);
	}
}

static void test_many_entries(void **state)
{
	(void)state;
	run_ok("python3 -c \"\n"
	       "import zipfile\n"
	       "with zipfile.ZipFile('many.zip', 'w') as z:\n"
	       "  for i in range(4100): z.writestr(str(i), b'')\"");
	check_fails("many.zip", "more than 4096 files");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, test_leave_folder)
	const struct CMUnitTest tests[] = {
		TEST(test_methods),      TEST(test_others_ignored), TEST(test_refused),
		TEST(test_bad_names),    TEST(test_lzma),           TEST(test_damaged),
		TEST(test_wrong_length), TEST(test_many_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
