/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a journal counts in the end: the last copy of a block, unless it was revoked in the same
 * transaction or later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fs/ext.h"

static void add(struct ext_replay *r, uint64_t block, uint32_t age, uint64_t copy)
{
	assert_int_equal(
		ext_replay_add(r, (struct ext_tag){ .block = block, .copy = copy, .age = age }), 0);
}

static void add_revoke(struct ext_replay *r, uint64_t block, uint32_t age)
{
	assert_int_equal(ext_replay_revoke(r, (struct ext_revoke){ block, age }), 0);
}

static uint64_t copy_of(const struct ext_replay *r, uint64_t block)
{
	const struct ext_tag *tag = ext_replay_find(r, block);

	return tag ? tag->copy : 0;
}

static void the_last_copy_counts(void **state)
{
	struct ext_replay r = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 5000; i++)
		add(&r, 7 * i % 1000, i / 100, 1 + i);
	ext_replay_finish(&r);
	assert_int_equal(r.n_tags, 1000);
	for (uint32_t i = 4000; i < 5000; i++)
		assert_int_equal(copy_of(&r, 7 * i % 1000), 1 + i);
	assert_null(ext_replay_find(&r, 1000));
	ext_replay_clear(&r);
}

static void a_revoked_copy_does_not(void **state)
{
	struct ext_replay r = { 0 };

	(void)state;
	add(&r, 5, 1, 51); /* revoked later */
	add_revoke(&r, 5, 3);
	add(&r, 6, 2, 62); /* in the same transaction */
	add_revoke(&r, 6, 2);
	add_revoke(&r, 8, 1); /* before */
	add(&r, 8, 2, 82);
	add(&r, 9, 1, 91); /* revoked, and written again */
	add_revoke(&r, 9, 2);
	add(&r, 9, 3, 93);
	add_revoke(&r, 10, 1); /* twice */
	add(&r, 10, 2, 102);
	add_revoke(&r, 10, 4);
	add(&r, 11, 0, 110);   /* never */
	add_revoke(&r, 12, 9); /* never written */
	ext_replay_finish(&r);
	assert_int_equal(copy_of(&r, 5), 0);
	assert_int_equal(copy_of(&r, 6), 0);
	assert_int_equal(copy_of(&r, 8), 82);
	assert_int_equal(copy_of(&r, 9), 93);
	assert_int_equal(copy_of(&r, 10), 0);
	assert_int_equal(copy_of(&r, 11), 110);
	assert_int_equal(copy_of(&r, 12), 0);
	ext_replay_clear(&r);
}

static void a_log_of_any_length_is_bounded(void **state)
{
	struct ext_replay r = { 0 };
	int result = 0;

	(void)state;
	for (uint32_t i = 0; result == 0; i++)
		result = ext_replay_revoke(&r, (struct ext_revoke){ i, i });
	assert_int_equal(result, -EFBIG);
	assert_true(r.n_revokes <= 2u << 20);
	ext_replay_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_copy_counts),
		cmocka_unit_test(a_revoked_copy_does_not),
		cmocka_unit_test(a_log_of_any_length_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
