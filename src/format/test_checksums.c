/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Checksum files: every style that tools write, and what may not be believed. The oracles are
 * sha256sum, b2sum, openssl and their kin. */
#include "format/test_files.h"

#include "format/checksums.h"

#define HEX64  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEX40  "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define HEX32  "d41d8cd98f00b204e9800998ecf8427e"
#define HEX128 HEX64 OTHER

static int find(const char *text, const char *image, struct checksum_entry *ret,
                struct ism_error *err)
{
	return checksums_find("SUMS", text, strlen(text), image, ret, err);
}

static void check_found(const char *text, const char *image, const char *algorithm, const char *hex,
                        unsigned line)
{
	_error_ struct ism_error err = { 0 };
	struct checksum_entry e;

	if (find(text, image, &e, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	assert_string_equal(e.algorithm, algorithm);
	assert_string_equal(e.hex, hex);
	assert_int_equal(e.line, line);
}

static void test_styles(void **state)
{
	(void)state;
	check_found(HEX64 "  a.iso\n", "a.iso", "sha256", HEX64, 1);
	check_found(HEX64 "  a.iso", "/x/y/a.iso", "sha256", HEX64, 1);
	check_found(HEX64 " *a.iso\r\n", "a.iso", "sha256", HEX64, 1);
	check_found("# c\n\n" OTHER "  b.iso\n" HEX64 " ./dir/a.iso\n", "a.iso", "sha256", HEX64,
	            4);
	check_found("\\" HEX64 "  a\\\\b\\n.iso\n", "a\\b\n.iso", "sha256", HEX64, 1);
	check_found(HEX64 "  a b (1).iso\n", "a b (1).iso", "sha256", HEX64, 1);
	check_found("SHA256 (a.iso) = " HEX64 "\n", "a.iso", "sha256", HEX64, 1);
	check_found("SHA256 (a (1) = b).iso) = " HEX64 "\n", "a (1) = b).iso", "sha256", HEX64, 1);
	check_found("SHA2-256(a.iso)= " HEX64 "\n", "a.iso", "sha256", HEX64, 1);
	check_found("SHA256(a.iso)= " HEX64 "\n", "a.iso", "sha256", HEX64, 1);
	check_found("SHA512 (a.iso) = " HEX128 "\n", "a.iso", "sha512", HEX128, 1);
	check_found("BLAKE2b (a.iso) = " HEX128 "\n", "a.iso", "blake2b512", HEX128, 1);
	check_found(HEX128 "  a.iso\n", "a.iso", "sha512", HEX128, 1);
	check_found(HEX64 "\n", "a.iso", "sha256", HEX64, 1);
	check_found("\xef\xbb\xbf" HEX64 "  a.iso\n", "a.iso", "sha256", HEX64, 1);
	check_found("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855  a.iso",
	            "a.iso", "sha256", HEX64, 1);
	check_found(HEX64 "  a b.iso\n", "https://example.org/d/a%20b.iso?mirror=/x#y", "sha256",
	            HEX64, 1);
	check_found(HEX64 "  a%20b?.iso\n", "d/a%20b?.iso", "sha256", HEX64, 1);
	/* the strongest of several */
	check_found("MD5 (a.iso) = " HEX32 "\nSHA256 (a.iso) = " HEX64 "\nSHA1 (a.iso) = " HEX40,
	            "a.iso", "sha256", HEX64, 2);
	check_found("SHA512 (a.iso) = " HEX128 "\nSHA256 (a.iso) = " HEX64, "a.iso", "sha512",
	            HEX128, 1);
	/* said twice is no conflict */
	check_found(HEX64 "  a.iso\n" HEX64 "  d/a.iso\n", "a.iso", "sha256", HEX64, 1);
	check_found("Sums of the release:\n" HEX64 "  a.iso\n", "a.iso", "sha256", HEX64, 2);
}

/* What the tools write for a file is found for it, and equals what openssl says. */
static void test_tools(void **state)
{
	static const struct {
		const char *command, *file, *algorithm;
	} tools[] = {
		{ "sha256sum 'a b.iso'", "SUMS", "sha256" },
		{ "sha512sum 'a b.iso'", "SUMS", "sha512" },
		{ "sha384sum --tag 'a b.iso'", "SUMS", "sha384" },
		{ "b2sum --tag 'a b.iso'", "SUMS", "blake2b512" },
		{ "b2sum 'a b.iso'", "a.b2sum", "blake2b512" },
		{ "openssl dgst -sha256 'a b.iso'", "SUMS", "sha256" },
		{ "openssl dgst -sha512 'a b.iso'", "SUMS", "sha512" },
		{ "sha256sum 'a b.iso' | cut -d' ' -f1", "SUMS", "sha256" },
	};

	(void)state;
	put_text("a b.iso", "content");
	for (size_t i = 0; i < ARRAY_LEN(tools); i++) {
		_free_ char *make = text_format("%s > %s", tools[i].command, tools[i].file);
		_free_ char *oracle =
			text_format("openssl dgst -r -%s 'a b.iso' > want", tools[i].algorithm);
		_free_ char *want = NULL;
		_error_ struct ism_error err = { 0 };
		struct checksum_entry e;
		size_t len;

		run_ok(make);
		run_ok(oracle);
		want = get_file("want", &len);
		*strchr(want, ' ') = 0;
		if (checksums_find(tools[i].file, NULL, 0, "a b.iso", &e, &err) < 0)
			fail_msg("%s: %s", make, err.message);
		assert_string_equal(e.algorithm, tools[i].algorithm);
		assert_string_equal(e.hex, want);
	}
}

static void check_refused(const char *text, const char *word)
{
	_error_ struct ism_error err = { 0 };
	struct checksum_entry e;
	int r = find(text, "a.iso", &e, &err);

	if (r == 0)
		fail_msg("taken: %s", text);
	assert_error_says(err, r, word);
}

static void test_refused(void **state)
{
	(void)state;
	check_refused(HEX32 "  a.iso\n", "has only the MD5 of 'a.iso', which proves nothing");
	check_refused("SHA1 (a.iso) = " HEX40 "\n", "has only the SHA-1");
	check_refused(HEX64 "  a.iso\n" OTHER "  d/a.iso\n", "lines 1 and 2 state different");
	check_refused(HEX64 "  b.iso\n", "has no checksum for 'a.iso'");
	check_refused(HEX64 "  xa.iso\n", "has no checksum for 'a.iso'");
	check_refused(HEX64 "  a.iso.torrent\n", "has no checksum for 'a.iso'");
	check_refused("", "holds no checksums");
	check_refused("\n# a.iso\n", "holds no checksums");
	check_refused(HEX64 "  b.iso\n" HEX40 "abc  a.iso\n",
	              "line 2: is no checksum line, though");
	check_refused("<html>\n<p>not found\n", "line 1: is no checksum line");
	check_refused("SHA256 (a.iso) = " HEX40 "\n", "line 1: is no checksum line, though");
	check_refused("SHA3-256 (a.iso) = " HEX64 "\n", "line 1: is no checksum line, though");
	/* a lone checksum is one only if it is alone */
	check_refused(HEX64 "\n" OTHER "\n", "has no checksum for 'a.iso'");
	check_refused(HEX64 "\n" OTHER "  b.iso\n", "has no checksum for 'a.iso'");
}

static void test_close_names(void **state)
{
	_error_ struct ism_error err = { 0 };
	struct checksum_entry e;

	(void)state;
	assert_int_equal(find(HEX64 "  debian-12.5.0-amd64-netinst.iso\n" HEX64 "  readme\n",
	                      "debian-12.6.0-amd64-netinst.iso", &e, &err),
	                 -ENOENT);
	assert_string_equal(err.hint, "it has checksums for debian-12.5.0-amd64-netinst.iso");
}

static void test_garbage(void **state)
{
	static const char binary[] = HEX64 "  a.iso\n\0\1\2";
	_error_ struct ism_error err = { 0 };
	struct checksum_entry e;
	int r = checksums_find("SUMS", binary, sizeof(binary) - 1, "a.iso", &e, &err);

	(void)state;
	assert_error_says(err, r, "line 2: is no text");
	run_ok("head -c 1048577 /dev/zero | tr '\\0' '\\n' > big");
	r = checksums_find("big", NULL, 0, "a.iso", &e, &err);
	assert_error_says(err, r, "larger than a checksum file may be");
	assert_int_equal(r, -EFBIG);
	r = checksums_find("none", NULL, 0, "a.iso", &e, &err);
	assert_error_says(err, r, "cannot open");
}

#define BEGIN     "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
#define SIGNATURE "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n"

static void test_clear_signed(void **state)
{
	(void)state;
	check_found(BEGIN HEX64 "  a.iso\n" SIGNATURE, "a.iso", "sha256", HEX64, 1);
	check_found(OTHER "  a.iso\n" BEGIN HEX64 "  a.iso\n" SIGNATURE OTHER "  a.iso\n", "a.iso",
	            "sha256", HEX64, 1);
	check_found(BEGIN "- # x\n" HEX64 "  a.iso\n" SIGNATURE, "a.iso", "sha256", HEX64, 2);
	check_refused(OTHER "  a.iso\n" BEGIN HEX64 "  b.iso\n" SIGNATURE OTHER "  a.iso\n",
	              "has no checksum for");
	check_refused("-----BEGIN PGP SIGNED MESSAGE-----\nComment: x\n" HEX64
	              "  a.iso\n" SIGNATURE,
	              "not one whole clear-signed text");
	check_refused(BEGIN HEX64 "  a.iso\n", "not one whole clear-signed text");
	check_refused(BEGIN HEX64 "  a.iso\n" SIGNATURE BEGIN OTHER "  a.iso\n" SIGNATURE,
	              "not one whole clear-signed text");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_enter_folder, test_leave_folder)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_styles),
		TEST(test_tools),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_close_names),
		TEST(test_garbage),
		cmocka_unit_test(test_clear_signed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
