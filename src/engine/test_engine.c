/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Parts of the engine by themselves: walking over a source, explaining a difference, keeping and
 * putting back, testing the size of a stick. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/size.h"
#include "engine/diagnose.h"
#include "engine/job.h"
#include "medium/faulty.h"
#include "medium/memory.h"

static char folder[] = "/tmp/isomorph-engine-XXXXXX";
static char path[64], undo_path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/disk", folder);
	snprintf(undo_path, sizeof(undo_path), "%s/undo", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(undo_path);
	return rmdir(folder);
}

/* A disk of `size` bytes that repeats nowhere. */
static void make_disk(uint64_t size)
{
	FILE *f = fopen(path, "wb");
	uint64_t x = 88172645463325252u;

	assert_non_null(f);
	for (uint64_t i = 0; i < size; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		assert_int_equal(fwrite(&x, sizeof(x), 1, f), 1);
	}
	assert_int_equal(fclose(f), 0);
}

static uint8_t *read_disk(uint64_t size)
{
	uint8_t *all = malloc(size);
	FILE *f = fopen(path, "rb");

	assert_non_null(all);
	assert_non_null(f);
	assert_int_equal(fread(all, 1, size, f), size);
	fclose(f);
	return all;
}

static bool no_reread(struct shared *shared, uint64_t offset, size_t len, uint8_t *buf)
{
	(void)shared, (void)offset, (void)len, (void)buf;
	return false;
}

static void no_notice(struct shared *shared, const char *where, const char *sentence)
{
	(void)shared, (void)where, (void)sentence;
}

#define PROBE_SIZE (24 * MIB)

/* Runs the capacity probe on a disk with these faults. An honest one keeps all but its wiped ends,
 * any other all. */
static int probe_with(const char *faults, struct ism_error *err)
{
	struct target target = { .path = path, .is_file = true };
	struct shared shared = { .reread = no_reread, .notice = no_notice };
	struct runner r = { .shared = &shared, .target = &target };
	uint8_t *before, *after;
	int status;

	make_disk(PROBE_SIZE);
	before = read_disk(PROBE_SIZE);
	assert_int_equal(file_open_target(path, &r.medium, NULL), 0);
	if (faults)
		assert_int_equal(faulty_wrap(&r.medium, faults, NULL), 0);
	r.lane = lane_new(r.medium, 4);
	r.n_slots = 4;
	r.tail_start = PROBE_SIZE - MIB;
	assert_non_null(r.lane);
	status = probe_capacity(&r);
	lane_free(r.lane);
	r.medium = medium_close(r.medium);
	*err = r.report.error;
	assert_int_equal(r.wiped, status == 0);
	assert_int_equal(r.report.changed, status == 0);
	if (status == 0) {
		memset(before, 0, MIB);
		memset(before + PROBE_SIZE - MIB, 0, MIB);
	}
	after = read_disk(PROBE_SIZE);
	assert_memory_equal(before, after, PROBE_SIZE);
	free(before);
	free(after);
	return status;
}

static void probe_honest(void **state)
{
	struct ism_error err = { 0 };

	(void)state;
	assert_int_equal(probe_with(NULL, &err), 0);
}

static void probe_wrapped(void **state)
{
	struct ism_error err = { 0 };

	(void)state;
	assert_int_equal(probe_with("wrap=8M", &err), -EIO);
	assert_true(err.offset <= 8 * MIB);
	assert_non_null(strstr(err.message, "fake"));
	ism_error_clear(&err);
}

static void probe_lost_writes(void **state)
{
	struct ism_error err = { 0 };

	(void)state;
	assert_int_equal(probe_with("stale@16M+8M", &err), -EIO);
	assert_int_equal(err.offset, 16 * MIB);
	ism_error_clear(&err);
}

static void diagnose_kinds(void **state)
{
	uint8_t want[4096], got[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 7 + i / 256 + 1);
	memcpy(got, want, sizeof(got));
	assert_int_equal(first_difference(got, want, sizeof(got)), sizeof(got));
	got[3000] ^= 4;
	assert_int_equal(first_difference(got, want, sizeof(got)), 3000);
	assert_int_equal(diagnose(got, want, sizeof(got), 3000), ISM_MISMATCH_BIT_FLIPS);
	memset(got + 2560, 0, 512);
	assert_int_equal(diagnose(got, want, sizeof(got), 2560), ISM_MISMATCH_ZEROS);
	memset(got + 2560, 0xff, 512);
	assert_int_equal(diagnose(got, want, sizeof(got), 2560), ISM_MISMATCH_ONES);
	memset(got + 2560, 0x55, 512);
	assert_int_equal(diagnose(got, want, sizeof(got), 2560), ISM_MISMATCH_OLD_DATA);
	assert_int_equal(diagnose(got, NULL, sizeof(got), 0), ISM_MISMATCH_OLD_DATA);
	memset(got, 0, sizeof(got));
	assert_int_equal(diagnose(got, NULL, sizeof(got), 0), ISM_MISMATCH_ZEROS);
}

static void cursor_reads_around(void **state)
{
	struct cursor c = { 0 };
	struct pool *pool = pool_new(2);
	struct medium *m = NULL;
	struct piece *piece;
	uint64_t sum = 0;

	(void)state;
	make_disk(3 * MIB);
	assert_int_equal(file_open_target(path, &m, NULL), 0);
	assert_int_equal(faulty_wrap(&m, "read-error@1600000,read-error@1700000+4096", NULL), 0);
	c.source = m;
	while (cursor_next(&c, pool, 0, &piece, NULL) == CURSOR_PIECE) {
		assert_true(piece->offset / PIECE_LEN ==
		            (piece->offset + piece->len - 1) / PIECE_LEN);
		sum += piece->len;
		for (size_t i = 0; i < piece->n_bad; i++)
			assert_true(bytes_are_zero(piece->data + piece->bad[i].offset,
			                           piece->bad[i].len));
		piece_put(piece);
	}
	assert_int_equal(sum, 3 * MIB);
	/* Whole sectors that the faults touch: one, and nine. */
	assert_int_equal(c.first_bad, 1600000);
	assert_int_equal(c.bad, 512 + 9 * 512);
	medium_close(m);
	pool_free(pool);
}

/* A disk that is pulled: an error first, then no byte any more. No old content of a buffer passes
 * for its data. */
static void cursor_source_that_goes_away(void **state)
{
	struct cursor c = { 0 };
	struct pool *pool = pool_new(2);
	struct medium *m = NULL;
	struct piece *piece = NULL;
	struct ism_error err = { 0 };

	(void)state;
	make_disk(3 * MIB);
	assert_int_equal(file_open_target(path, &m, NULL), 0);
	assert_int_equal(faulty_wrap(&m, "read-error@2M+512,short@2162688+1M", NULL), 0);
	c.source = m;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(cursor_next(&c, pool, 0, &piece, &err), CURSOR_PIECE);
		piece_put(piece);
	}
	assert_int_equal(cursor_next(&c, pool, 0, &piece, &err), CURSOR_ERROR);
	assert_int_equal(err.code, -EBADMSG);
	assert_int_equal(err.offset, 2162688);
	ism_error_clear(&err);
	medium_close(m);
	pool_free(pool);
}

static void keep(struct undo *u, const uint8_t *disk, uint64_t offset, size_t len)
{
	assert_int_equal(undo_keep(u, offset, disk + offset, len, NULL), 0);
	assert_int_equal(undo_commit(u, NULL), 0);
}

static void undo_keeps_once(void **state)
{
	static uint8_t disk[64 * 1024], changed[64 * 1024], back[64 * 1024];
	struct target target = { .path = path, .is_file = true };
	struct target other = { .path = folder, .is_file = true };
	const struct ism_open_options options = { .threads = 1 };
	struct medium *file = NULL, *source = NULL, *now = NULL;
	struct ism_error err = { 0 };
	struct undo *u = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(disk); i++)
		disk[i] = (uint8_t)(i * 31 + i / 7);
	assert_int_equal(undo_create(undo_path, &target, sizeof(disk), 512, &u, NULL), 0);
	keep(u, disk, 4096, 8192);
	memcpy(changed, disk, sizeof(disk));
	memset(changed + 4096, 1, 8192);
	/* What was kept once is not kept again, whatever is there now. */
	keep(u, changed, 0, 16384);
	memset(changed, 2, 16384);
	assert_int_equal(undo_note_new(u, 0, changed, 16384, NULL), 0);
	undo_free(u);
	/* What it keeps is of this target: with another one its old bytes would never be kept. */
	assert_int_equal(undo_create(undo_path, &other, sizeof(disk), 512, &u, &err), -EEXIST);
	assert_int_equal(err.status, ISM_REFUSED);
	ism_error_clear(&err);
	/* Unfinished: the same command goes on with it. */
	assert_int_equal(undo_create(undo_path, &target, sizeof(disk), 512, &u, NULL), 0);
	keep(u, changed, 8192, 4096);
	assert_int_equal(undo_finish(u, NULL), 0);
	undo_free(u);
	assert_int_equal(undo_create(undo_path, &target, sizeof(disk), 512, &u, &err), -EEXIST);
	assert_int_equal(err.status, ISM_REFUSED);
	ism_error_clear(&err);

	assert_int_equal(carrier_open(undo_path, NULL, &file, NULL), 0);
	assert_int_equal(format_driver_undo.open(file, &options, &source, NULL), 0);
	for (uint64_t at = 0; at < 16384; at += 4096)
		assert_int_equal(medium_read_all(source, back + at, 4096, at, NULL), 0);
	assert_memory_equal(back, disk, 16384);
	assert_true(undo_covers(undo_index_of(source), 0, 16384));
	assert_false(undo_covers(undo_index_of(source), 0, 16385));

	assert_int_equal(medium_memory(changed, sizeof(changed), false, &now, NULL), 0);
	assert_int_equal(undo_check(source, now, &err), 0);
	medium_close(now);
	assert_int_equal(medium_memory(disk, sizeof(disk), false, &now, NULL), 0);
	assert_int_equal(undo_check(source, now, &err), 0); /* put back already */
	medium_close(now);
	changed[5000] ^= 1;
	assert_int_equal(medium_memory(changed, sizeof(changed), false, &now, NULL), 0);
	assert_int_equal(undo_check(source, now, &err), -ESTALE);
	assert_int_equal(err.status, ISM_REFUSED);
	ism_error_clear(&err);
	medium_close(now);
	medium_close(source);
}

static void ranges(void **state)
{
	static uint8_t a[256 * KIB], b[256 * KIB];
	size_t from = 0, to = 0;

	(void)state;
	assert_false(next_differing_range(a, b, sizeof(a), 0, &from, &to));
	b[5000] = b[20000] = 1; /* close together: one range */
	b[200000] = 1;
	b[sizeof(b) - 1] = 1;
	assert_true(next_differing_range(a, b, sizeof(a), 0, &from, &to));
	assert_int_equal(from, 4096);
	assert_int_equal(to, 20480);
	assert_true(next_differing_range(a, b, sizeof(a) - 5, to, &from, &to));
	assert_int_equal(from, 196608);
	assert_int_equal(to, 200704);
	assert_false(next_differing_range(a, b, sizeof(a) - 5, to, &from, &to));
	assert_true(next_differing_range(a, b, sizeof(a), 200704, &from, &to));
	assert_int_equal(from, 258048);
	assert_int_equal(to, sizeof(a));
}

static void sizes(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(size_parse("0", &v, NULL), 0);
	assert_int_equal(size_parse("4M", &v, NULL), 0);
	assert_int_equal(v, 4 * MIB);
	assert_int_equal(size_parse("2048s", &v, NULL), 0);
	assert_int_equal(v, MIB);
	assert_int_equal(size_parse("", &v, NULL), -EINVAL);
	assert_int_equal(size_parse("-1", &v, NULL), -EINVAL);
	assert_int_equal(size_parse("4MB", &v, NULL), -EINVAL);
	assert_int_equal(size_parse("99999999999999999999", &v, NULL), -ERANGE);
	assert_int_equal(size_parse("99999999999T", &v, NULL), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_honest),
		cmocka_unit_test(probe_wrapped),
		cmocka_unit_test(probe_lost_writes),
		cmocka_unit_test(diagnose_kinds),
		cmocka_unit_test(ranges),
		cmocka_unit_test(cursor_reads_around),
		cmocka_unit_test(cursor_source_that_goes_away),
		cmocka_unit_test(undo_keeps_once),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
