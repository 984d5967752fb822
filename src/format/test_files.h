/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of the formats share: a folder of their own, files in it, commands that make them.
 */
#ifndef FORMAT_TEST_FILES_H
#define FORMAT_TEST_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "format/format.h"

static int test_enter_folder(void **state)
{
	char dir[] = "/tmp/isomorph-test-XXXXXX";

	if (!mkdtemp(dir) || chdir(dir) < 0)
		return -1;
	*state = strdup(dir);
	return *state ? 0 : -1;
}

static int test_leave_folder(void **state)
{
	_free_ char *dir = *state;
	_free_ char *command = text_format("rm -rf '%s'", dir);

	return chdir("/") < 0 || !command || system(command) != 0 ? -1 : 0;
}

static inline void put_file(const char *name, const void *data, size_t len)
{
	_fclose_ FILE *f = fopen(name, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
}

static inline void put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

/* The whole file, to be freed; NUL behind it. */
static inline char *get_file(const char *name, size_t *ret_len)
{
	_fclose_ FILE *f = fopen(name, "rb");
	size_t cap = 64 << 20;
	char *data = malloc(cap);

	assert_non_null(f);
	assert_non_null(data);
	*ret_len = fread(data, 1, cap - 1, f);
	data[*ret_len] = 0;
	return data;
}

/* Bytes that repeat nowhere near, the same for the same seed. */
static inline void fill_pattern(uint8_t *p, size_t len, uint64_t seed)
{
	uint64_t x = seed * 2 + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 6364136223846793005U + 1442695040888963407U;
		p[i] = (uint8_t)(x >> 56);
	}
}

static inline void run_ok(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

#define assert_error_says(err, r, word) \
	do { \
		assert_true((r) < 0); \
		assert_int_equal((err).code, (r)); \
		if (!(err).message || !strstr((err).message, word)) \
			fail_msg("'%s' does not say '%s'", (err).message, word); \
	} while (0)

/* Everything that @m gives when read in order, by pieces of @piece bytes; to be freed. */
static inline int read_whole(struct medium *m, size_t piece, uint8_t **ret, size_t *ret_len,
                             struct ism_error *err)
{
	size_t cap = 64 << 20, done = 0, n = 1;
	uint8_t *buf = malloc(cap);
	int r = 0;

	assert_non_null(buf);
	while (r == 0 && n && done < cap) {
		r = medium_read(m, buf + done, MIN(piece, cap - done), done, &n, err);
		done += r == 0 ? n : 0;
	}
	*ret_len = done;
	if (r < 0)
		free(buf);
	else
		*ret = buf;
	return r;
}

#endif
