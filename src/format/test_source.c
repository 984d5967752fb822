/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a REF to a disk: what is opened as what, and what is refused because it is no disk image. */
#include "format/test_files.h"

#include "format/foreign.h"
#include "medium/memory.h"

static int open_with(const char *ref, const struct ism_open_options *options,
                     struct source_facts *facts, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;

	return source_open(ref, options, &m, facts, err);
}

static void check_refused(const char *ref, const char *word)
{
	_error_ struct ism_error err = { 0 };
	int r = open_with(ref, NULL, NULL, &err);

	assert_error_says(err, r, word);
}

static void check_format(const char *ref, bool raw, const char *format)
{
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };
	_error_ struct ism_error err = { 0 };

	if (open_with(ref, &(struct ism_open_options){ .raw = raw }, &facts, &err) < 0)
		fail_msg("%s: %s", ref, err.message);
	assert_string_equal(facts.carrier, "file");
	assert_string_equal(facts.format, format);
	assert_string_equal(facts.files[0], ref);
	assert_null(facts.files[1]);
}

static void test_raw(void **state)
{
	uint8_t image[5000];

	(void)state;
	fill_pattern(image, sizeof(image), 1);
	put_file("a.img", image, sizeof(image));
	put_file("one", image, 1);
	check_format("a.img", false, "raw");
	check_format("one", false, "raw");
	check_refused("none.img", "cannot open");
	run_ok("mkdir d; : > empty");
	check_refused("d", "is a directory");
	check_refused("empty", "is empty: nothing to write");
	run_ok(": > empty.raw");
	_error_ struct ism_error err = { 0 };
	int r = open_with("empty", &(struct ism_open_options){ .raw = true }, NULL, &err);
	assert_error_says(err, r, "is empty");
}

/* Made by their own tools where those are at hand. */
static void test_foreign_tools(void **state)
{
	(void)state;
	put_text("a.txt", "text");
	run_ok("tar cf a.tar a.txt && echo a.txt | cpio -o -H newc > a.cpio 2>/dev/null");
	run_ok("for f in qcow2 vmdk vhdx vdi vpc; do qemu-img create -q -f $f a.$f 1M; done; "
	       "qemu-img create -q -f vmdk -o subformat=monolithicFlat flat.vmdk 1M");
	check_refused("a.tar", "is a tar archive, not a disk image");
	check_refused("a.cpio", "is a cpio archive, not a disk image");
	check_refused("a.qcow2", "is a qcow2 image: not supported yet");
	check_refused("a.vmdk", "is a VMDK image: not supported yet");
	check_refused("flat.vmdk", "is a VMDK image: not supported yet");
	check_refused("a.vhdx", "is a VHDX image: not supported yet");
	check_refused("a.vdi", "is a VDI image: not supported yet");
	check_refused("a.vpc", "is a dynamic VHD image: not supported yet");
	check_refused("/bin/ls", "is a Linux program");
	check_format("a.tar", true, "raw");
}

static void test_foreign_magic(void **state)
{
	static const struct {
		const char *bytes, *word;
	} files[] = {
		{ "7z\xbc\xaf\x27\x1c", "is a 7z archive" },
		{ "Rar!\x1a\x07\x01", "is a rar archive" },
		{ "d8:announce35:udp://tracker", "is a torrent" },
		{ "<!DOCTYPE html>\n<html>", "is a web page" },
		{ "\xef\xbb\xbf \n<HTML lang=en>", "is a web page" },
		{ "<?xml version='1.0'?>\n<html xmlns='x'>", "is a web page" },
		{ "<?xml version=\"1.0\" ?>\n\n<bmap version=\"2.0\">", "is a bmap file" },
		{ "!<arch>\ndebian-binary   1", "is a Debian package" },
		{ "%PDF-1.4\n", "is a PDF document" },
		{ "-----BEGIN PGP SIGNATURE-----\n", "is a PGP signature" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		uint8_t disk[40000] = { 0 };

		put_text("f", files[i].bytes);
		check_refused("f", files[i].word);
		/* as the first bytes of something larger, too; a boot signature makes it a disk */
		memcpy(disk, files[i].bytes, strlen(files[i].bytes));
		put_file("f", disk, sizeof(disk));
		check_refused("f", files[i].word);
		disk[510] = 0x55;
		disk[511] = 0xaa;
		put_file("f", disk, sizeof(disk));
		check_format("f", false, "raw");
		/* and so does a descriptor of ISO 9660 */
		disk[510] = 0;
		memcpy(disk + 32769, "CD001", 5);
		put_file("f", disk, sizeof(disk));
		check_format("f", false, "raw");
	}
}

static void test_windows_program(void **state)
{
	uint8_t program[1024] = { 'M', 'Z', [0x3c] = 0x80, [0x80] = 'P', [0x81] = 'E' };

	(void)state;
	put_file("setup.exe", program, sizeof(program));
	check_refused("setup.exe", "is a Windows program");
	program[0x3f] = 0xff; /* points nowhere */
	put_file("setup.exe", program, sizeof(program));
	check_format("setup.exe", false, "raw");
}

/* What is read from a pipe is looked at, and then still whole. */
static void test_forward(void **state)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	_free_ uint8_t *got = NULL;
	uint8_t data[50000];
	size_t len;

	(void)state;
	fill_pattern(data, sizeof(data), 9);
	memcpy(data, "%PDF-", 5);
	memcpy(data + 32769, "CD001", 5);
	assert_int_equal(medium_memory(data, sizeof(data), true, &m, &err), 0);
	assert_int_equal(medium_peek(m, data, 4096, &len, &err), 0);
	assert_int_equal(foreign_check(m, data, len, &err), 0);
	assert_int_equal(read_whole(m, 1000, &got, &len, &err), 0);
	assert_int_equal(len, sizeof(data));
	assert_memory_equal(got, data, len);
}

/* @ref opens as disk.img, whatever it is wrapped in. */
static void check_wrapped(const char *ref, const char *format, const char *detail, bool has_bmap)
{
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	_free_ char *want = NULL;
	_free_ uint8_t *got = NULL;
	size_t want_len, len = 0;

	if (source_open(ref, NULL, &m, &facts, &err) < 0 ||
	    read_whole(m, 100000, &got, &len, &err) < 0)
		fail_msg("%s: %s", ref, err.message);
	want = get_file("disk.img", &want_len);
	assert_int_equal(len, want_len);
	assert_memory_equal(got, want, len);
	assert_string_equal(facts.format, format);
	if (detail && (!facts.detail || !strstr(facts.detail, detail)))
		fail_msg("%s: '%s' does not say '%s'", ref, facts.detail, detail);
	assert_int_equal(facts.bmap != NULL, has_bmap);
	assert_int_equal(facts.bmap && strcmp(facts.files[1], facts.bmap) == 0, has_bmap);
}

static void test_layers(void **state)
{
	uint8_t image[300000] = { 0 };

	(void)state;
	fill_pattern(image + 4096, 100000, 1);
	put_file("disk.img", image, sizeof(image));
	run_ok("xz -k disk.img && gzip -k disk.img && zip -q -0 xz.zip disk.img.xz && "
	       "zip -q gz.zip disk.img.gz README 2>/dev/null; split -b 30000 -d -a 3 "
	       "--numeric-suffixes=1 disk.img.xz s.img.xz. && zip -q plain.zip disk.img && "
	       "split -b 30000 plain.zip p.zip.");
	check_wrapped("xz.zip", "zip", "member 'disk.img.xz', xz", false);
	check_wrapped("gz.zip", "zip", "member 'disk.img.gz', gz", false);
	check_wrapped("s.img.xz.001", "xz", NULL, false);
	check_wrapped("s.img.xz", "xz", NULL, false);
	check_wrapped("p.zip.aa", "zip", "member 'disk.img'", false);
	run_ok("tar czf x.tar.gz disk.img && xz -k -c x.tar.gz > x.tar.gz.xz && : | gzip > "
	       "empty.gz");
	check_refused("x.tar.gz", "is a tar archive");
	check_refused("empty.gz", "is empty: nothing to write");
}

/* The bmap beside a compressed image is named after it, or after what is in it. */
static void test_layers_bmap(void **state)
{
	uint8_t image[300000] = { 0 };

	(void)state;
	fill_pattern(image + 4096, 100000, 1);
	put_file("disk.img", image, sizeof(image));
	run_ok("bmaptool create -o map disk.img 2>/dev/null && gzip -k disk.img && xz -k disk.img "
	       "&& "
	       "zip -q plain.zip disk.img && cp map plain.zip.bmap && cp map disk.img.bmap");
	check_wrapped("disk.img", "raw", NULL, true);
	check_wrapped("disk.img.gz", "gz", NULL, true);
	check_wrapped("disk.img.xz", "xz", NULL, true);
	check_wrapped("plain.zip", "zip", NULL, true);
	run_ok("rm disk.img.bmap && mv map disk.img.gz.bmap");
	check_wrapped("disk.img.gz", "gz", NULL, true);
	check_wrapped("disk.img.xz", "xz", NULL, false);
	run_ok("sed -i 's/ 300000 / 300001 /' disk.img.gz.bmap");
	check_refused("disk.img.gz", "is damaged: its sha256");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_enter_folder, test_leave_folder)
	const struct CMUnitTest tests[] = {
		TEST(test_raw),
		TEST(test_foreign_tools),
		TEST(test_foreign_magic),
		TEST(test_windows_program),
		TEST(test_layers),
		TEST(test_layers_bmap),
		cmocka_unit_test(test_forward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
