/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Regular files as targets: new ones are NAME.part until they are whole, nothing that somebody
 * needs is written over, and a name under /dev is never a new file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/device.h"

static const struct guard_request plain;

static int setup(void **state)
{
	static char folder[PATH_MAX];

	strcpy(folder, "/tmp/isomorph-target-XXXXXX");
	assert_non_null(mkdtemp(folder));
	*state = folder;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

static char *path_in(void **state, const char *name)
{
	return text_format("%s/%s", (char *)*state, name);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void expect_file(const char *path, const char *text)
{
	_fclose_ FILE *f = fopen(path, "re");
	char buf[64] = "";

	assert_non_null(f);
	buf[fread(buf, 1, sizeof(buf) - 1, f)] = 0;
	assert_string_equal(buf, text);
}

static void resolve_fails(const char *ref, const char *words)
{
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;

	assert_int_equal(target_resolve(ref, &t, &err), -EINVAL);
	print_message("%s: %s (%s)\n", ref, err.message, err.hint ? err.hint : "");
	assert_int_equal(err.status, ISM_USAGE);
	assert_non_null(strstr(err.message, words));
	assert_null(t);
}

static struct target *resolve(const char *ref)
{
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;

	if (target_resolve(ref, &t, &err) < 0)
		fail_msg("%s", err.message);
	return t;
}

static void open_refused(const char *ref, const struct guard_request *rq, int code,
                         const char *words)
{
	_error_ struct ism_error err = { 0 };
	struct target *t = resolve(ref);
	struct medium *m = NULL;

	assert_int_equal(target_open(t, rq, &m, &err), code);
	print_message("%s: %s (%s)\n", err.where, err.message, err.hint ? err.hint : "");
	assert_int_equal(err.status, ISM_REFUSED);
	assert_non_null(strstr(err.message, words));
	assert_null(m);
	target_free(t);
}

static struct medium *open_target(struct target *t)
{
	_error_ struct ism_error err = { 0 };
	struct medium *m = NULL;

	if (target_open(t, &plain, &m, &err) < 0)
		fail_msg("%s", err.message);
	return m;
}

static void test_names(void **state)
{
	_free_ char *fifo = path_in(state, "fifo"), *dangling = path_in(state, "dangling");
	_free_ char *to_dev = path_in(state, "to-dev"), *none = path_in(state, "none/x");
	_free_ char *slash = path_in(state, "none/");
	char long_name[300];

	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(symlink("nowhere", dangling), 0);
	assert_int_equal(symlink("/dev", to_dev), 0);
	_free_ char *through = text_format("%s/isomorph-none", to_dev);

	memset(long_name, 'x', sizeof(long_name));
	long_name[252] = 0;
	_free_ char *too_long = path_in(state, long_name);

	resolve_fails("", "is empty");
	resolve_fails("/dev/isomorph-none", "does not exist");
	resolve_fails("/dev/none/isomorph", "does not exist");
	resolve_fails("/dev/shm/isomorph-none.img", "does not exist");
	resolve_fails("/tmp/../dev/isomorph-none", "does not exist");
	resolve_fails(through, "does not exist");
	resolve_fails(*state, "is a folder");
	resolve_fails("/dev/null", "is neither a disk nor a file");
	resolve_fails(fifo, "is neither a disk nor a file");
	resolve_fails(dangling, "points to nothing");
	resolve_fails(none, "its folder does not exist");
	resolve_fails(slash, "a folder that does not exist");
	resolve_fails(too_long, "too long a name");
	resolve_fails("serial=no-disk-has-this", "no disk has this serial number");
}

static void test_new_file(void **state)
{
	_free_ char *path = path_in(state, "disk.img"), *part = path_in(state, "disk.img.part");
	_error_ struct ism_error err = { 0 };
	struct target *t = resolve(path);

	assert_true(t->is_file && t->is_new);
	assert_int_equal(target_check(t, &(struct guard_request){ .need = GIB }, NULL, &err), 0);
	struct medium *m = open_target(t);

	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(part, F_OK), 0);
	assert_int_equal(medium_write(m, "hello", 5, 0, &err), 0);
	assert_int_equal(target_drop_partitions(t, m, &err), 0);
	assert_int_equal(target_rescan(t, m, &err), 0);
	assert_false(target_gone(t, m));
	medium_close(m);
	assert_int_equal(target_commit(t, &err), 0);
	assert_int_equal(target_release(t, TARGET_EJECT, &err), 0);
	assert_null(target_kernel_words(t));
	assert_int_equal(access(part, F_OK), -1);
	assert_int_equal(access(path, F_OK), 0);
	target_free(t);
}

static void test_name_appears_meanwhile(void **state)
{
	_free_ char *path = path_in(state, "disk.img"), *part = path_in(state, "disk.img.part");
	_error_ struct ism_error err = { 0 };
	struct target *t = resolve(path);

	medium_close(open_target(t));
	write_file(path, "somebody's");
	assert_int_equal(target_commit(t, &err), -EEXIST);
	assert_int_equal(err.status, ISM_REFUSED);
	assert_non_null(strstr(err.hint, part));
	expect_file(path, "somebody's");
	assert_int_equal(access(part, F_OK), 0);
	target_free(t);
	t = resolve(path);
	assert_false(t->is_new);
	target_free(t);

	/* between resolving and opening */
	unlink(path);
	t = resolve(path);
	write_file(path, "somebody's");
	struct medium *m = NULL;

	assert_int_equal(target_open(t, &plain, &m, &err), -EEXIST);
	expect_file(path, "somebody's");
	target_free(t);
}

static void test_stale_part(void **state)
{
	_free_ char *path = path_in(state, "disk.img"), *part = path_in(state, "disk.img.part");
	_free_ char *other = path_in(state, "other");
	const char *keep[] = { part, NULL };
	struct target *t = resolve(path);

	write_file(part, "left by an earlier run");
	struct medium *m = open_target(t);

	assert_int_equal(m->size, 0);
	expect_file(part, "");
	/* while we hold it, a second run must not take it */
	open_refused(path, &plain, -EBUSY, "is locked by another program");
	medium_close(m);
	target_free(t);

	write_file(part, "this is what is read");
	open_refused(path, &(struct guard_request){ .keep = keep }, -EBUSY, "is the same file as");
	expect_file(part, "this is what is read");

	unlink(part);
	write_file(other, "other");
	assert_int_equal(symlink(other, part), 0);
	open_refused(path, &plain, -EEXIST, "is in the way");
	unlink(part);
	assert_int_equal(link(other, part), 0);
	open_refused(path, &plain, -EEXIST, "is in the way");
	unlink(part);
	assert_int_equal(mkdir(part, 0700), 0);
	open_refused(path, &plain, -EEXIST, "is in the way");
	expect_file(other, "other");
}

static void test_existing_file(void **state)
{
	_free_ char *path = path_in(state, "disk.img"), *link = path_in(state, "link");
	_free_ char *hard = path_in(state, "hard");
	const char *keep[] = { hard, NULL };
	_error_ struct ism_error err = { 0 };

	write_file(path, "12345678");
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(linkat(AT_FDCWD, path, AT_FDCWD, hard, 0), 0);
	struct target *t = resolve(link);

	assert_true(t->is_file && !t->is_new);
	assert_int_equal(t->size, 8);
	assert_string_equal(t->path, path);
	struct medium *m = open_target(t);

	assert_int_equal(m->size, 8);
	assert_int_equal(medium_write(m, "AB", 2, 2, &err), 0);
	medium_close(m);
	assert_int_equal(target_commit(t, &err), 0);
	expect_file(path, "12AB5678");
	target_free(t);

	open_refused(path, &(struct guard_request){ .keep = keep }, -EBUSY, "is the same file as");
	open_refused(path, &(struct guard_request){ .need = 9 }, -ENOSPC,
	             "is too small: 9 bytes are needed, it has 8, 1 too few");
	expect_file(path, "12AB5678");
}

static void test_existing_file_changed(void **state)
{
	_free_ char *path = path_in(state, "disk.img"), *other = path_in(state, "other");
	_error_ struct ism_error err = { 0 };
	struct medium *m = NULL;

	write_file(path, "12345678");
	struct target *t = resolve(path);

	write_file(other, "87654321");
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(target_open(t, &plain, &m, &err), -ESTALE);
	assert_int_equal(err.status, ISM_REFUSED);
	expect_file(path, "87654321");
	target_free(t);
}

/* As QEMU locks the image of a running machine: byte ranges, shared. */
static void test_virtual_machine_runs_from_it(void **state)
{
	_free_ char *path = path_in(state, "disk.img");
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };

	write_file(path, "12345678");
	_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	open_refused(path, &plain, -EBUSY, "is in use by another program");
	lock.l_type = F_UNLCK;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	open_refused(path, &plain, -EBUSY, "is locked by another program");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_names),
		TEST(test_new_file),
		TEST(test_name_appears_meanwhile),
		TEST(test_stale_part),
		TEST(test_existing_file),
		TEST(test_existing_file_changed),
		TEST(test_virtual_machine_runs_from_it),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
