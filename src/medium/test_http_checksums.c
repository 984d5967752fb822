/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small files by HTTP, and the search for the checksums that lie beside an image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../tests/http/lab.h"
#include "base/bytes.h"
#include "medium/http.h"
#include "medium/http_get.h"

#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA512 SHA256 SHA256

/* struct small_case - a small file, and what must come of fetching at most 1000 bytes of it */
struct small_case {
	const char *what, *query;
	int code;
	size_t len;
};

static void test_small(void **state)
{
	static const struct small_case cases[] = {
		{ "small", "&size=999", 0, 999 },
		{ "just fits", "&size=1000", 0, 1000 },
		{ "empty", "&size=0", 0, 0 },
		{ "one byte too large, and says so", "&size=1001", -EFBIG, 0 },
		{ "one byte too large, chunked", "&size=1001&chunked=1", -EFBIG, 0 },
		{ "endless", "&size=100&endless=1", -EFBIG, 0 },
		{ "breaks off once", "&size=999&drop=500&drops=1", 0, 999 },
		{ "breaks off always", "&size=999&drop=500", -ECONNRESET, 0 },
		{ "not there", "&status=404", -ENOENT, 0 },
		{ "gone", "&status=410", -ENOENT, 0 },
		{ "forbidden", "&status=403", -EACCES, 0 },
	};
	_free_ uint8_t *want = lab_content("a", 1000);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		_free_ char *url = text_format("http://127.0.0.1:%u/file?id=small%u%s", lab_port, i,
		                               cases[i].query);
		_error_ struct ism_error error = { 0 };
		_free_ uint8_t *data = NULL;
		size_t len = 0;
		int r = http_fetch_small(url, 1000, NULL, &data, &len, &error);

		printf("http: small file, %s: %s\n", cases[i].what, r ? error.message : "right");
		assert_int_equal(r, cases[i].code);
		if (r < 0)
			continue;
		assert_int_equal(len, cases[i].len);
		assert_memory_equal(data, want, len);
		assert_int_equal(data[len], 0);
	}
}

/* struct find_case - an image's place below /files, what is found, what is asked for in all */
struct find_case {
	const char *what, *image;
	int found;
	const char *list, *signature; /* below /files; NULL = none */
	bool warning;
	unsigned requests; /* 0 = any */
};

static const struct find_case find_cases[] = {
	{ "beside the image", "a/x.img", 1, "a/x.img.sha256", NULL, false, 5 },
	{ "in the folder, signed", "b/x.iso", 1, "b/SHA256SUMS", "b/SHA256SUMS.sign", false, 6 },
	{ "a name with a space, a query behind it", "b/y%20z.iso?token=1#top", 1, "b/SHA256SUMS",
	  "b/SHA256SUMS.sign", false, 6 },
	{ "the folder's list names another", "b/other.iso", 0, NULL, NULL, false, 7 },
	{ "a friendly page for all names", "c/x.iso", 0, NULL, NULL, false, 7 },
	{ "SHA-512 only", "d/x.iso", 1, "d/SHA512SUMS", "d/SHA512SUMS.gpg", false, 6 },
	{ "Fedora's list, signed inside", "e/x.iso", 1, "e/CHECKSUM", NULL, false, 11 },
	{ "nothing", "f/x.iso", 0, NULL, NULL, false, 7 },
	{ "an overloaded server", "busy/x.iso", 0, NULL, NULL, true, 0 },
};

static void make_files(void)
{
	lab_file("a/x.img.sha256", SHA256 "  x.img\n");
	lab_file("a/SHA256SUMS", SHA256 "  x.img\n");
	lab_file("b/SHA256SUMS", SHA256 " *x.iso\n" SHA256 "  y z.iso\n");
	lab_file("b/SHA256SUMS.sign", "-----BEGIN PGP SIGNATURE-----\n");
	lab_file("c/x.iso.sha256", "<!DOCTYPE html>\n<p>x.iso " SHA256 "</p>\n");
	lab_file("c/SHA256SUMS", "\n <html>x.iso " SHA256 "</html>\n");
	lab_file("c/SHA512SUMS", "x.iso is what you want, not a sum: " SHA256 "\n");
	lab_file("d/SHA512SUMS", SHA512 "  x.iso\n");
	lab_file("d/SHA512SUMS.gpg", "\x89signature");
	lab_file("e/CHECKSUM", "# x.iso: 5 bytes\nSHA256 (x.iso) = " SHA256 "\n");
}

static void check_found(const struct find_case *c, const struct http_checksums *sums)
{
	_free_ char *list = text_format("http://127.0.0.1:%u/files/%s", lab_port, c->list);
	_free_ char *signature =
		text_format("http://127.0.0.1:%u/files/%s", lab_port, c->signature);

	assert_string_equal(sums->url, list);
	assert_non_null(strstr(sums->text, SHA256));
	assert_int_equal(sums->len, strlen(sums->text));
	if (!c->signature) {
		assert_null(sums->signature);
		return;
	}
	assert_string_equal(sums->signature_url, signature);
	assert_true(sums->signature_len > 5);
}

static void test_find(void **state)
{
	unsigned before = 0;

	(void)state;
	make_files();
	for (unsigned i = 0; i < ARRAY_LEN(find_cases); i++) {
		const struct find_case *c = &find_cases[i];
		_free_ char *url =
			text_format("http://u:secret@127.0.0.1:%u/files/%s", lab_port, c->image);
		struct http_checksums sums = { 0 };
		int r = http_find_checksums(url, NULL, &sums, NULL);
		_free_ char *log = lab_log("files");

		printf("http: checksums, %s: %s, %s\n", c->what, sums.url ? sums.url : "none",
		       sums.warning ? sums.warning : "no warning");
		assert_int_equal(r, c->found);
		if (r > 0)
			check_found(c, &sums);
		else
			assert_null(sums.text);
		assert_int_equal(sums.warning != NULL, c->warning);
		assert_true(!sums.warning || !strstr(sums.warning, "secret"));
		if (c->requests)
			assert_int_equal(lab_log_lines(log) - before, c->requests);
		before = lab_log_lines(log);
		http_checksums_clear(&sums);
	}
}

/* A server that is not there is asked once, not once a name. */
static void test_find_nobody(void **state)
{
	struct http_checksums sums = { 0 };
	uint64_t start = http_now_ms();

	(void)state;
	assert_int_equal(http_find_checksums("http://127.0.0.1:1/a/x.iso", NULL, &sums, NULL), 0);
	assert_non_null(sums.warning);
	printf("http: checksums, nobody there: %s\n", sums.warning);
	assert_true(http_now_ms() - start < 400);
	http_checksums_clear(&sums);
}

static void test_find_refuses(void **state)
{
	static const char *const urls[] = {
		"http://127.0.0.1",      "http://127.0.0.1/", "http://127.0.0.1/dir/",
		"http://127.0.0.1?x=/y", "http://",           "https://[::1/x"
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(urls); i++) {
		_error_ struct ism_error error = { 0 };
		struct http_checksums sums = { 0 };

		assert_int_equal(http_find_checksums(urls[i], NULL, &sums, &error), -EINVAL);
		assert_int_equal(error.status, ISM_USAGE);
	}
}

static void test_find_stopped(void **state)
{
	_free_ char *url = text_format("http://127.0.0.1:%u/files/a/x.img", lab_port);
	struct http_checksums sums = { 0 };
	atomic_bool stop = true;

	(void)state;
	assert_int_equal(http_find_checksums(url, &stop, &sums, NULL), -ECANCELED);
}

static void test_shown(void **state)
{
	static const struct {
		const char *ref, *shown;
	} cases[] = {
		{ "http://h/x.iso", "http://h/x.iso" },
		{ "HTTPS://u:secret@h:8443/a/x.iso?sig=secret#f", "https://h:8443/a/x.iso?..." },
		{ "http://h:80/a@b", "http://h/a@b" },
		{ "http://u:secret@h:port/x", "http://..." },
		{ "http://h:port/x?secret", "http://h:port/x..." },
		{ "http://h:\033[31m/x", "http://h:?[31m/x" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		_free_ char *shown = http_shown_url(cases[i].ref);

		assert_string_equal(shown, cases[i].shown);
	}
}

/* struct range_case - a Content-Range, and whether it may be believed */
struct range_case {
	const char *text;
	bool ok;
	struct http_range range;
};

static void test_ranges(void **state)
{
	static const struct range_case cases[] = {
		{ "bytes 0-0/1", true, { 0, 0, 1 } },
		{ " Bytes 5-9/10\r\n", true, { 5, 9, 10 } },
		{ "bytes 5-9/*", true, { 5, 9, ISM_SIZE_UNKNOWN } },
		{ "bytes 0-9223372036854775806/9223372036854775807",
		  true,
		  { 0, INT64_MAX - 1, INT64_MAX } },
		{ "bytes 5-10/10", false, { 0 } },
		{ "bytes 6-5/10", false, { 0 } },
		{ "bytes */10", false, { 0 } },
		{ "bytes 5-9/10x", false, { 0 } },
		{ "bytes -5-9/10", false, { 0 } },
		{ "bytes 5-9/", false, { 0 } },
		{ "bytes=5-9/10", false, { 0 } },
		{ "items 5-9/10", false, { 0 } },
		{ "bytes 5-9/18446744073709551626", false, { 0 } },
		{ "bytes 18446744073709551616-9/10", false, { 0 } },
		{ "bytes", false, { 0 } },
		{ "", false, { 0 } },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_range range = { 0 };

		assert_int_equal(http_range_parse(cases[i].text, strlen(cases[i].text), &range),
		                 cases[i].ok);
		assert_memory_equal(&range, &cases[i].range, sizeof(range));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),       cmocka_unit_test(test_shown),
		cmocka_unit_test(test_small),        cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_nobody),  cmocka_unit_test(test_find_refuses),
		cmocka_unit_test(test_find_stopped),
	};

	return cmocka_run_group_tests_name("http-checksums", tests, lab_start, lab_stop);
}
