/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Signatures on checksum files, made here by gpg with keys that live as long as the test. */
#include "format/test_files.h"

#include "format/checksums.h"

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define OTHER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* gpg with a home of its own, and one key for each name. */
static const char make_keys[] =
	"set -e; mkdir -m 700 home; export GNUPGHOME=$PWD/home\n"
	"g='gpg -q --batch --no-tty --passphrase= --pinentry-mode loopback'\n"
	"$g --quick-gen-key 'Good One <good@example.org>' ed25519 sign never 2>/dev/null\n"
	"$g --quick-gen-key 'Second <second@example.org>' ed25519 sign never 2>/dev/null\n"
	"$g --quick-gen-key 'Stranger <stranger@example.org>' ed25519 sign never 2>/dev/null\n"
	"$g --faked-system-time 20200101T000000 --quick-gen-key 'Old <old@example.org>' ed25519 "
	"sign 20200201T000000 2>/dev/null\n"
	"printf '%s  a.iso\\n' " HEX64 " > SUMS\n"
	"for n in good second stranger; do\n"
	"  $g -u $n@example.org -o $n.asc --clearsign SUMS 2>/dev/null\n"
	"  $g -u $n@example.org -o $n.sig --detach-sign SUMS 2>/dev/null\n"
	"  $g --export $n@example.org > $n.ring\n"
	"done\n"
	"$g --faked-system-time 20200105T000000 -u old@example.org -o old.asc --clearsign SUMS "
	"2>/dev/null\n"
	"$g --export old@example.org > old.ring\n"
	"$g -u good@example.org -u stranger@example.org -o two.asc --clearsign SUMS 2>/dev/null\n"
	"$g -a --export good@example.org > good.armour\n"
	"gpgconf --kill all 2>/dev/null || true\n";

static int setup(void **state)
{
	if (test_enter_folder(state) < 0)
		return -1;
	return system(make_keys) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	/* the agent of this home ends with it */
	if (system("GNUPGHOME=$PWD/home gpgconf --kill all 2>/dev/null"))
		return -1;
	return test_leave_folder(state);
}

/* Signed by "Good One", and the signed text is the checksum line alone. */
static void check_good(const char *file, const char *signature, const char *keyring)
{
	CLEANUP(checksums_signed_clear) struct checksums_signed s = { 0 };
	_error_ struct ism_error err = { 0 };
	struct checksum_entry e;

	if (checksums_verify_signature(file, signature, keyring, &s, &err) < 0)
		fail_msg("%s: %s", file, err.message);
	assert_non_null(strstr(s.signer, "Good One <good@example.org>, key "));
	if (checksums_find(file, s.text, s.len, "a.iso", &e, &err) < 0)
		fail_msg("%s: %s", file, err.message);
	assert_string_equal(e.hex, HEX64);
	assert_int_equal(e.line, 1);
	assert_null(memmem(s.text, s.len, OTHER, 64));
}

static void check_bad(const char *file, const char *signature, const char *keyring,
                      const char *word)
{
	CLEANUP(checksums_signed_clear) struct checksums_signed s = { 0 };
	_error_ struct ism_error err = { 0 };
	int r = checksums_verify_signature(file, signature, keyring, &s, &err);

	if (r == 0)
		fail_msg("%s is taken for good", file);
	assert_error_says(err, r, word);
	assert_null(s.text);
}

static void test_good(void **state)
{
	(void)state;
	check_good("good.asc", NULL, "good.ring");
	check_good("SUMS", "good.sig", "good.ring");
	run_ok("cp good.sig SUMS.gpg");
	check_good("SUMS", NULL, "good.ring");
	run_ok("mv SUMS.gpg SUMS.sign");
	check_good("./SUMS", NULL, "./good.ring");
	run_ok("rm SUMS.sign");
	/* one of two signatures is by a key that nobody here knows */
	check_good("two.asc", NULL, "good.ring");
}

static void test_bad(void **state)
{
	(void)state;
	check_bad("good.asc", NULL, "second.ring", "which is not in second.ring");
	check_bad("stranger.asc", NULL, "good.ring", "which is not in good.ring");
	check_bad("SUMS", "stranger.sig", "good.ring", "which is not in good.ring");
	check_bad("old.asc", NULL, "old.ring", "the key that signed it has expired (Old");
	run_ok("sed 's/" HEX64 "/" OTHER "/' good.asc > changed.asc");
	check_bad("changed.asc", NULL, "good.ring", "the signature does not fit");
	run_ok("sed 's/a.iso/b.iso/' SUMS > changed");
	check_bad("changed", "good.sig", "good.ring", "the signature does not fit");
	run_ok("sed 's/" HEX64 "/" OTHER "/' two.asc > changed2.asc");
	check_bad("changed2.asc", NULL, "good.ring", "the signature does not fit");
	check_bad("SUMS", "SUMS", "good.ring", "has no good signature");
	check_bad("SUMS", "none.sig", "good.ring", "cannot open the signature");
	check_bad("SUMS", NULL, "good.ring", "has no signature");
	check_bad("good.asc", NULL, "none.ring", "cannot open the keyring");
	check_bad("good.asc", NULL, "good.armour", "is an armoured key");
	check_bad("good.asc", NULL, "SUMS", "");
}

/* Text around the signed block is not what was signed. */
static void test_around(void **state)
{
	(void)state;
	run_ok("(printf '%s  a.iso\\n' " OTHER "; cat good.asc) > before.asc");
	run_ok("(cat good.asc; printf '%s  a.iso\\n' " OTHER ") > after.asc");
	run_ok("cat good.asc stranger.asc > both.asc");
	check_good("before.asc", NULL, "good.ring");
	check_good("after.asc", NULL, "good.ring");
	check_bad("both.asc", NULL, "good.ring", "not one whole clear-signed text");
	run_ok("sed 's/^Hash:.*/Hash: SHA512\\nComment: x\\n" OTHER
	       "  a.iso/' good.asc > head.asc");
	check_bad("head.asc", NULL, "good.ring", "");
}

static void test_no_gpgv(void **state)
{
	CLEANUP(checksums_signed_clear) struct checksums_signed s = { 0 };
	_free_ char *path = strdup(getenv("PATH"));
	_error_ struct ism_error err = { 0 };
	int r;

	(void)state;
	setenv("PATH", "/nonexistent", 1);
	r = checksums_verify_signature("good.asc", NULL, "good.ring", &s, &err);
	setenv("PATH", path, 1);
	assert_error_says(err, r, "cannot be started");
	assert_int_equal(r, -ENOENT);
	assert_string_equal(err.hint, "install the package gpgv");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_around),
		cmocka_unit_test(test_no_gpgv),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
