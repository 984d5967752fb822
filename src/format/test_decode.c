/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The compressed formats against the tools that define them: round trips, members one behind the
 * other, every kind of truncation and damage, stopping and closing in the middle. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "format/format.h"
#include "medium/memory.h"

struct bytes {
	uint8_t *p;
	size_t len;
};

struct tool {
	const char *command; /* standard input to standard output */
	const struct format_driver *driver;
};

static const struct tool tools[] = {
	{ "gzip -1", &format_driver_gz },
	{ "gzip -9 --name", &format_driver_gz },
	{ "pigz -1 -p 2 -b 128 -i", &format_driver_gz },
	{ "xz -1 -T1", &format_driver_xz },
	{ "xz -1 -T2 --block-size=300KiB", &format_driver_xz },
	{ "xz -1 -T1 --block-size=300KiB", &format_driver_xz }, /* no sizes in the headers */
	{ "xz -1 -T2 --block-size=1MiB -Csha256 --x86 --lzma2=preset=1", &format_driver_xz },
	{ "xz -0 -Cnone", &format_driver_xz },
	{ "bzip2 -1", &format_driver_bz2 },
	{ "pbzip2 -1 -p2 -b2 -c", &format_driver_bz2 },
	{ "zstd -q -1", &format_driver_zst },
	{ "zstd -q -1 --no-check", &format_driver_zst },
	{ "zstd -q -1 -B64K -T2 --rsyncable", &format_driver_zst },
	{ "pzstd -q -1 -p 2 -c", &format_driver_zst },
	{ "lz4 -q -1", &format_driver_lz4 },
	{ "lz4 -q -1 -B4 -BX -BD", &format_driver_lz4 },
};

static unsigned long long seed;

static unsigned long long env_number(const char *name, unsigned long long otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

static uint32_t dice(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33);
}

/* Programs, zeros and noise, as disks have them. */
static struct bytes make_data(size_t len)
{
	static const char *const programs[] = { "/usr/bin/bash", "/usr/bin/git", "/bin/sh" };
	struct bytes b = { malloc(len + 1), 0 };

	assert_non_null(b.p);
	for (unsigned i = 0; b.len < len; i++) {
		size_t n = MIN(len - b.len, (size_t)(100000 + dice() % 400000));

		memset(b.p + b.len, 0, n);
		if (i % 3 == 0) {
			FILE *f = fopen(programs[i / 3 % ARRAY_LEN(programs)], "rb");

			assert_non_null(f);
			assert_true(fread(b.p + b.len, 1, n, f) > 0);
			fclose(f);
		} else if (i % 3 == 1) {
			for (size_t k = 0; k < n; k++)
				b.p[b.len + k] = (uint8_t)dice();
		}
		b.len += n;
	}
	return b;
}

static void append(struct bytes *b, const void *p, size_t len)
{
	b->p = realloc(b->p, b->len + len + 1);
	assert_non_null(b->p);
	if (len)
		memcpy(b->p + b->len, p, len);
	b->len += len;
}

/* What the tool makes of the data; appended. */
static void pack(struct bytes *to, const char *command, const uint8_t *p, size_t len)
{
	char in[] = "/tmp/isomorph-decode-XXXXXX";
	int fd = mkstemp(in);
	_free_ char *line = text_format("%s < %s", command, in);
	uint8_t buf[65536];
	size_t n;

	assert_true(fd >= 0 && line);
	for (size_t done = 0; done < len;) {
		ssize_t w = write(fd, p + done, len - done);

		assert_true(w > 0);
		done += (size_t)w;
	}
	close(fd);

	FILE *f = popen(line, "re");

	assert_non_null(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		append(to, buf, n);
	assert_int_equal(pclose(f), 0);
	unlink(in);
}

/* 0 when all was decoded; then it is what was expected, or this fails. Damage may well be found
 * only behind the damaged bytes, by a checksum. */
static int decode(const struct format_driver *driver, struct bytes packed, struct bytes expected,
                  bool forward, unsigned threads, uint64_t *ret_len, struct ism_error *err)
{
	static uint8_t buf[300000];
	struct ism_open_options options = { .threads = threads };
	struct medium *carrier = NULL, *m = NULL;
	bool same = true;
	size_t n = 0;
	int r;

	*ret_len = 0;
	assert_int_equal(medium_memory(packed.p, packed.len, forward, &carrier, err), 0);
	r = driver->open(carrier, &options, &m, err);
	if (r < 0) {
		medium_close(carrier);
		return r;
	}
	assert_true(m->forward);
	do {
		r = medium_read(m, buf, sizeof(buf), *ret_len, &n, err);
		if (r < 0)
			break;
		same = same && *ret_len <= expected.len && n <= expected.len - *ret_len &&
		       memcmp(buf, expected.p + *ret_len, n) == 0;
		*ret_len += n;
	} while (n == sizeof(buf));
	assert_true(r < 0 || same);
	if (r == 0 && m->size != ISM_SIZE_UNKNOWN)
		assert_int_equal(m->size, *ret_len);
	medium_close(m);
	return r;
}

static void check_whole(const struct format_driver *driver, struct bytes packed,
                        struct bytes expected)
{
	for (unsigned i = 0; i < 4; i++) {
		_error_ struct ism_error err = { 0 };
		uint64_t len;

		if (decode(driver, packed, expected, i & 1, 1 + 2 * (i / 2), &len, &err) < 0)
			fail_msg("%s: %s at byte %llu", driver->name, err.message,
			         (unsigned long long)err.offset);
		assert_int_equal(len, expected.len);
	}
}

static void check_fails(const struct format_driver *driver, struct bytes packed,
                        struct bytes expected, const char *what)
{
	for (int forward = 0; forward <= 1; forward++) {
		_error_ struct ism_error err = { 0 };
		uint64_t len;
		int r = decode(driver, packed, expected, forward, 2, &len, &err);

		if (r == 0)
			fail_msg("%s: %s goes unseen, %llu bytes come out", driver->name, what,
			         (unsigned long long)len);
		assert_true(r == -EBADMSG || r == -EOPNOTSUPP);
		assert_string_equal(err.where, "memory");
		assert_true(err.offset <= packed.len);
	}
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, MIB - 1, MIB + 1, 2 * MIB + 12345 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct bytes data = make_data(sizes[i]);

		for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
			struct bytes packed = { 0 };

			pack(&packed, tools[t].command, data.p, data.len);
			check_whole(tools[t].driver, packed, data);
			free(packed.p);
		}
		free(data.p);
	}
}

#define PARTS 9

/* Members of all sizes one behind the other; @cuts are the bytes where a new one starts. */
static struct bytes pack_parts(const struct tool *tool, struct bytes data, size_t cuts[PARTS])
{
	struct bytes packed = { 0 };
	size_t at = 0;

	for (unsigned i = 0; i < PARTS; i++) {
		size_t len = i + 1 == PARTS ? data.len - at
		                            : MIN(data.len - at, (size_t)(dice() % (data.len / 6)));

		if (i % 5 == 2)
			len = 0;
		cuts[i] = packed.len;
		pack(&packed, tool->command, data.p + at, len);
		at += len;
	}
	return packed;
}

static void test_concatenated(void **state)
{
	struct bytes data = make_data(2 * MIB);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		size_t cuts[PARTS];
		struct bytes packed = pack_parts(&tools[t], data, cuts);

		check_whole(tools[t].driver, packed, data);
		free(packed.p);
	}
	free(data.p);
}

static bool is_cut(const size_t cuts[PARTS], size_t at)
{
	for (unsigned i = 1; i < PARTS; i++)
		if (cuts[i] == at)
			return true;
	return false;
}

/* pigz -i, pbzip2 and pzstd make members by themselves: those boundaries are looked for. */
static bool is_boundary(const struct tool *tool, struct bytes packed, size_t at)
{
	const uint8_t *p = packed.p + at;

	if (at + 8 > packed.len || at == 0)
		return false;
	return (tool->driver == &format_driver_bz2 && memcmp(p, "BZh", 3) == 0) ||
	       (tool->driver == &format_driver_zst &&
	        (memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0 || memcmp(p + 1, "\x2a\x4d\x18", 3) == 0));
}

static void test_truncated(void **state)
{
	unsigned n = (unsigned)env_number("N", 12);
	struct bytes data = make_data(700000);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		size_t cuts[PARTS];
		struct bytes packed = pack_parts(&tools[t], data, cuts);

		for (unsigned i = 0; i < n; i++) {
			size_t at = i < 4   ? 3 * i
			            : i < 7 ? packed.len - (i - 3)
			                    : dice() % packed.len;
			struct bytes part = { malloc(at + 1), at };

			if (!is_cut(cuts, at) && !is_boundary(&tools[t], packed, at)) {
				memcpy(part.p, packed.p, at);
				check_fails(tools[t].driver, part, data, "a truncation");
			}
			free(part.p);
		}
		free(packed.p);
	}
	free(data.p);
}

/* A flipped bit is an error, or lies where it does not matter (a time, a name, padding). */
static void test_flipped(void **state)
{
	unsigned n = (unsigned)env_number("N", 12);
	struct bytes data = make_data(700000);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		size_t cuts[PARTS];
		struct bytes packed = { 0 };

		if (strstr(tools[t].command, "--no-check") || strstr(tools[t].command, "none"))
			continue;
		packed = pack_parts(&tools[t], data, cuts);
		for (unsigned i = 0; i < n; i++) {
			_error_ struct ism_error err = { 0 };
			size_t at = dice() % (i % 2 ? packed.len : 200);
			uint8_t bit = (uint8_t)(1 << dice() % 8);
			uint64_t len;

			packed.p[at] ^= bit;
			if (decode(tools[t].driver, packed, data, i & 2, 2, &len, &err) == 0 &&
			    len != data.len)
				fail_msg("%s: flip of 0x%02x at %zu: %llu bytes, no error",
				         tools[t].command, bit, at, (unsigned long long)len);
			packed.p[at] ^= bit;
		}
		free(packed.p);
	}
	free(data.p);
}

/* A disk full of packed files is packed again: what looks like a member is none. */
static void test_packed_inside(void **state)
{
	struct bytes inner = { 0 }, data = make_data(2 * MIB);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		pack(&inner, tools[t].command, data.p + dice() % MIB, 100000);
	}
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		struct bytes packed = { 0 };

		pack(&packed, tools[t].command, inner.p, inner.len);
		check_whole(tools[t].driver, packed, inner);
		free(packed.p);
	}
	free(inner.p);
	free(data.p);
}

static void test_behind_the_end(void **state)
{
	static const uint8_t zeros[100000];
	static const char garbage[] = "more";
	struct bytes data = make_data(400000);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		const struct format_driver *driver = tools[t].driver;
		bool padded = driver == &format_driver_gz || driver == &format_driver_bz2 ||
		              driver == &format_driver_xz;
		struct bytes packed = { 0 };
		size_t len;

		pack(&packed, tools[t].command, data.p, data.len);
		len = packed.len;
		append(&packed, zeros, sizeof(zeros));
		if (padded)
			check_whole(driver, packed, data);
		else
			check_fails(driver, packed, data, "zeros behind the end");
		append(&packed, garbage, sizeof(garbage));
		check_fails(driver, packed, data, "a byte behind the zeros");
		packed.len = len;
		append(&packed, garbage, sizeof(garbage));
		check_fails(driver, packed, data, "garbage behind the end");
		free(packed.p);
	}
	free(data.p);
}

static void test_skippable(void **state)
{
	static const uint8_t frame[] = { 0x59, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5 };
	struct bytes data = make_data(700000);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		const struct format_driver *driver = tools[t].driver;
		struct bytes packed = { 0 };

		if (driver != &format_driver_zst && driver != &format_driver_lz4)
			continue;
		append(&packed, frame, sizeof(frame));
		pack(&packed, tools[t].command, data.p, 300000);
		append(&packed, frame, sizeof(frame));
		append(&packed, frame, sizeof(frame));
		pack(&packed, tools[t].command, data.p + 300000, data.len - 300000);
		append(&packed, frame, sizeof(frame));
		check_whole(driver, packed, data);
		check_whole(&format_driver_zst, packed, data); /* whom the first frame calls */
		packed.len--;
		check_fails(driver, packed, data, "a truncated skippable frame");
		free(packed.p);
	}
	free(data.p);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Closed after so many bytes, or before the first: all threads end, soon, and nothing is leaked. */
static void test_closed_early(void **state)
{
	static uint8_t buf[100000];
	struct bytes data = make_data(2 * MIB);

	(void)state;
	for (size_t t = 0; t < ARRAY_LEN(tools); t++) {
		struct bytes packed = { 0 };

		pack(&packed, tools[t].command, data.p, data.len);
		for (unsigned i = 0; i < 4; i++) {
			struct ism_open_options options = { .threads = 3 };
			struct medium *carrier = NULL, *m = NULL;
			double start = now();
			size_t n;

			assert_int_equal(medium_memory(packed.p, packed.len, i & 1, &carrier, NULL),
			                 0);
			assert_int_equal(tools[t].driver->open(carrier, &options, &m, NULL), 0);
			for (unsigned k = 0; k < i / 2 * 3; k++)
				assert_int_equal(
					medium_read(m, buf, sizeof(buf), k * sizeof(buf), &n, NULL),
					0);
			medium_close(m);
			assert_true(now() - start < 5);
		}
		free(packed.p);
	}
	free(data.p);
}

static void *stop_soon(void *stop)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	atomic_store((atomic_bool *)stop, true);
	return NULL;
}

/* A pipe from which nothing more comes: the wish to stop ends the read, and closing the threads. */
static void test_stopped(void **state)
{
	char path[] = "/tmp/isomorph-decode-XXXXXX";
	struct bytes data = make_data(100000), packed = { 0 };
	atomic_bool stop = false;
	struct ism_open_options options = { .threads = 2, .stop = &stop };
	struct medium *carrier = NULL, *m = NULL;
	_error_ struct ism_error err = { 0 };
	_free_ char *fifo = NULL;
	double start = now();
	uint8_t buf[4096];
	pthread_t stopper;
	size_t n;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(path));
	fifo = text_format("%s/fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	pack(&packed, "gzip", data.p, data.len);
	fd = open(fifo, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, packed.p, 20000), 20000);
	assert_int_equal(carrier_open(fifo, &options, &carrier, &err), 0);
	assert_int_equal(format_driver_gz.open(carrier, &options, &m, &err), 0);
	assert_int_equal(pthread_create(&stopper, NULL, stop_soon, &stop), 0);
	assert_int_equal(medium_read(m, buf, sizeof(buf), 0, &n, &err), -ECANCELED);
	pthread_join(stopper, NULL);
	medium_close(m);
	assert_true(now() - start < 3);
	close(fd);
	unlink(fifo);
	rmdir(path);
	free(packed.p);
	free(data.p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),         cmocka_unit_test(test_concatenated),
		cmocka_unit_test(test_truncated),     cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_packed_inside), cmocka_unit_test(test_behind_the_end),
		cmocka_unit_test(test_skippable),     cmocka_unit_test(test_closed_early),
		cmocka_unit_test(test_stopped),
	};

	seed = env_number("SEED", 1);
	printf("N=%llu SEED=%llu\n", env_number("N", 12), seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
