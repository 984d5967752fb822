/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Native images in memory: made, read back by the index, damaged anywhere, made to lie. What is
 * accepted is exact. */
#include "format/test_files.h"

#include <time.h>
#include <zstd.h>

#include "base/hash.h"
#include "format/native_read.h"
#include "format/native_write.h"
#include "medium/memory.h"

#define CHUNK        ((size_t)64 * 1024)
#define DISK         (5 * CHUNK + 12345)
#define FILE_MAX_LEN ((size_t)4 << 20)

static uint8_t disk[DISK];

/* struct image - a file in memory that grows */
struct image {
	uint8_t *data;
	size_t len;
};

static int image_write(void *arg, const void *data, size_t len, struct ism_error *err)
{
	struct image *i = arg;

	(void)err;
	assert_true(i->len + len <= FILE_MAX_LEN);
	memcpy(i->data + i->len, data, len);
	i->len += len;
	return 0;
}

static struct native_info test_info(void)
{
	struct native_info info = {
		.size = DISK, .chunk_size = CHUNK, .sector_size = 512, .physical_size = 4096
	};

	memset(info.uuid, 0x5a, 16);
	snprintf(info.model, sizeof(info.model), "A Disk");
	return info;
}

/* Random, zeros, text, and a chunk of which the middle is not in use. */
static void make_disk(void)
{
	fill_pattern(disk, CHUNK, 1);
	memset(disk + CHUNK, 0, CHUNK);
	for (size_t i = 2 * CHUNK; i < DISK; i++)
		disk[i] = (uint8_t) "isomorph\n"[i % 9];
	memset(disk + 3 * CHUNK + 4096, 0, 8192);
}

static void encode_at(struct native_encoder *e, size_t at, struct native_frame *f)
{
	const struct native_run holes[] = { { 0, 4096, ISM_EXTENT_DATA },
		                            { 4096, 8192, ISM_EXTENT_UNUSED },
		                            { 12288, CHUNK - 12288, ISM_EXTENT_DATA } };
	const struct native_run whole = { 0, (uint32_t)MIN(CHUNK, DISK - at), ISM_EXTENT_DATA };
	bool has_hole = at == 3 * CHUNK;

	assert_int_equal(native_encode(e, disk + at, whole.len, has_hole ? holes : &whole,
	                               has_hole ? 3 : 1, f, NULL),
	                 0);
}

static struct image make_image(int level, struct native_totals *totals)
{
	struct image image = { .data = malloc(FILE_MAX_LEN) };
	const struct native_sink sink = { .write = image_write, .arg = &image };
	struct native_encoder *e = native_encoder_new(level);
	struct native_info info = test_info();
	struct native_writer *w = NULL;
	struct native_frame f = { 0 };
	json_t *manifest = json_object();

	assert_non_null(image.data);
	assert_int_equal(native_writer_new(&info, &sink, NULL, &w, NULL), 0);
	for (size_t at = 0; at < DISK; at += CHUNK) {
		encode_at(e, at, &f);
		assert_int_equal(native_append(w, &f, NULL), 0);
	}
	assert_int_equal(native_finish(w, manifest, totals, NULL), 0);
	json_decref(manifest);
	native_frame_clear(&f);
	native_writer_free(w);
	native_encoder_free(e);
	return image;
}

/* Index and every chunk; 0 = accepted, and then exact. */
static int read_image(const uint8_t *data, size_t len, struct ism_error *err)
{
	_free_ uint8_t *stored = malloc(ZSTD_compressBound(CHUNK)), *out = malloc(CHUNK);
	_medium_ struct medium *file = NULL;
	struct native_image image = { 0 };
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	int r = medium_memory(data, len, false, &file, err);

	if (r == 0)
		r = native_image_read(file, &image, err);
	if (r == 0 && image.info.chunk_size != CHUNK)
		fail_msg("another chunk size was accepted");
	for (uint64_t i = 0; r == 0 && i < image.n_chunks; i++) {
		r = native_image_decode(&image, i, ctx, stored, out, err);
		if (r == 0)
			assert_memory_equal(out, disk + i * CHUNK,
			                    native_image_chunk_len(&image, i));
	}
	if (r == 0)
		assert_int_equal(image.disk, DISK);
	ZSTD_freeDCtx(ctx);
	native_image_clear(&image);
	return r;
}

/* What can still be had is exact too; *ret gets how many chunks that is. */
static int salvage_image(const uint8_t *data, size_t len, uint64_t *ret)
{
	_free_ uint8_t *stored = malloc(ZSTD_compressBound(CHUNK)), *out = malloc(CHUNK);
	_medium_ struct medium *file = NULL;
	struct native_image image = { 0 };
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	int r = medium_memory(data, len, false, &file, NULL);

	*ret = 0;
	if (r == 0)
		r = native_image_salvage(file, &image, NULL);
	for (uint64_t i = 0; r == 0 && i < image.n_chunks; i++) {
		if (native_image_decode(&image, i, ctx, stored, out, NULL) < 0)
			continue;
		assert_memory_equal(out, disk + i * CHUNK, native_image_chunk_len(&image, i));
		++*ret;
	}
	ZSTD_freeDCtx(ctx);
	native_image_clear(&image);
	return r;
}

static void test_salvage(void **state)
{
	struct native_totals totals;
	struct image a = make_image(3, &totals);
	uint64_t n = 0;

	(void)state;
	/* all, though no index is left; then, cut in the last frame, all but that */
	assert_int_equal(salvage_image(a.data, (size_t)totals.file_size - 400, &n), 0);
	assert_int_equal(n, 6);
	assert_int_equal(salvage_image(a.data, NATIVE_HEADER_LEN, &n), 0);
	assert_int_equal(n, 0);
	/* one frame's magic lost: the checkpoint tells that it was one */
	memset(a.data + NATIVE_HEADER_LEN, 0xff, 100);
	assert_int_equal(salvage_image(a.data, a.len, &n), 0);
	assert_int_equal(n, 0);
	a.data[0] ^= 1;
	assert_int_not_equal(salvage_image(a.data, a.len, &n), 0);
	free(a.data);
}

static void test_round_trip(void **state)
{
	struct native_totals one, nine;
	struct image a = make_image(1, &one), b = make_image(9, &nine);
	_error_ struct ism_error err = { 0 };

	(void)state;
	assert_int_equal(read_image(a.data, a.len, &err), 0);
	assert_int_equal(read_image(b.data, b.len, &err), 0);
	assert_memory_equal(one.root, nine.root, 32);
	assert_int_equal(one.bytes[ISM_EXTENT_UNUSED], 8192);
	assert_int_equal(one.bytes[ISM_EXTENT_ZERO], CHUNK);
	assert_int_equal(one.file_size, a.len);
	free(a.data);
	free(b.data);
}

static void test_extents(void **state)
{
	struct native_totals totals;
	struct image a = make_image(3, &totals);
	_medium_ struct medium *file = NULL;
	struct native_image image = { 0 };
	struct native_run_disk runs[8];
	size_t n = 0;

	(void)state;
	assert_int_equal(medium_memory(a.data, a.len, false, &file, NULL), 0);
	assert_int_equal(native_image_read(file, &image, NULL), 0);
	assert_int_equal(native_image_runs(&image, 0, runs, 8, &n, NULL), 0);
	assert_int_equal(n, 5);
	assert_int_equal(le64_get(runs[1].offset), CHUNK);
	assert_int_equal(runs[1].kind, ISM_EXTENT_ZERO);
	assert_int_equal(le64_get(runs[3].offset), 3 * CHUNK + 4096);
	assert_int_equal(runs[3].kind, ISM_EXTENT_UNUSED);
	assert_string_equal(image.info.model, "A Disk");
	native_image_clear(&image);
	free(a.data);
}

/* What a source knows of its holes does not change what the image says. */
static void test_holes_are_canonical(void **state)
{
	const struct native_run read = { 0, CHUNK, ISM_EXTENT_DATA };
	const struct native_run known[] = { { 0, 5000, ISM_EXTENT_DATA },
		                            { 5000, 9000, ISM_EXTENT_ZERO },
		                            { 14000, CHUNK - 14000, ISM_EXTENT_DATA } };
	struct native_encoder *e = native_encoder_new(3);
	_free_ uint8_t *chunk = calloc(1, CHUNK);
	struct native_frame a = { 0 }, b = { 0 };

	(void)state;
	fill_pattern(chunk, 5000, 3);
	assert_int_equal(native_encode(e, chunk, CHUNK, &read, 1, &a, NULL), 0);
	assert_int_equal(native_encode(e, chunk, CHUNK, known, 3, &b, NULL), 0);
	assert_int_equal(a.n_runs, 2);
	assert_int_equal(a.runs[1].offset, 8192);
	assert_int_equal(b.n_runs, a.n_runs);
	assert_memory_equal(a.runs, b.runs, a.n_runs * sizeof(*a.runs));
	assert_memory_equal(a.sum, b.sum, 32);
	native_frame_clear(&a);
	native_frame_clear(&b);
	native_encoder_free(e);
}

static void test_tree(void **state)
{
	struct native_tree t = { 0 };
	uint8_t root[32], sums[3][32], leaf[49] = { 0 }, node[65] = { 1 }, want[32];

	(void)state;
	native_tree_root(&t, root);
	assert_true(bytes_are_zero(root, 32));
	for (int i = 0; i < 3; i++) {
		memset(sums[i], i + 1, 32);
		native_tree_add(&t, 100, sums[i]);
	}
	/* node(node(leaf 0, leaf 1), leaf 2), by hand */
	for (int i = 0; i < 3; i++) {
		uint8_t sum[32];

		leaf[1] = (uint8_t)i;
		leaf[9] = 100;
		memcpy(leaf + 17, sums[i], 32);
		hash_sha256(leaf, sizeof(leaf), sum);
		memcpy(node + (i == 0 ? 1 : 33), sum, 32);
		if (i == 0)
			continue;
		hash_sha256(node, sizeof(node), want);
		memcpy(node + 1, want, 32);
	}
	native_tree_root(&t, root);
	assert_memory_equal(root, want, 32);
}

static unsigned long from_environment(const char *name, unsigned long otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoul(s, NULL, 10) : otherwise;
}

static void damage_once(const struct image *good, uint8_t *copy, unsigned long seed)
{
	_error_ struct ism_error err = { 0 };
	size_t len = good->len, at;
	uint8_t dice[24];
	uint64_t where, had;
	int r;

	fill_pattern(dice, sizeof(dice), seed);
	memcpy(&where, dice, 8);
	at = (size_t)(where % good->len);
	memcpy(copy, good->data, good->len);
	if (dice[8] < 64)
		len = at;
	else if (dice[8] < 160)
		copy[at] ^= (uint8_t)(1u << (dice[9] & 7));
	else
		memset(copy + at, dice[10], MIN(good->len - at, (size_t)dice[11] + 1));
	r = read_image(copy, len, &err); /* asserts that what is accepted is exact */
	salvage_image(copy, len, &had);
	if (len < good->len)
		assert_int_not_equal(r, 0);
	if (r < 0 && (!err.message || err.offset == ISM_NO_OFFSET))
		fail_msg("seed %lu: damage at byte %zu is told without a place: %s", seed, at,
		         err.message);
}

static void test_damage(void **state)
{
	unsigned long n = from_environment("N", 1) * 300,
		      seed = from_environment("SEED", (unsigned long)time(NULL));
	struct native_totals totals;
	struct image good = make_image(3, &totals);
	_free_ uint8_t *copy = malloc(good.len);

	(void)state;
	print_message("N=%lu damaged images, SEED=%lu\n", n, seed);
	for (unsigned long i = 0; i < n; i++)
		damage_once(&good, copy, seed + i);
	free(good.data);
}

/* Every length that a cut-off file can have near its end and near its start. */
static void test_cut_off(void **state)
{
	struct native_totals totals;
	struct image good = make_image(3, &totals);

	(void)state;
	for (size_t len = 0; len < good.len; len += len < 200 || len + 2000 > good.len ? 1 : 977) {
		_error_ struct ism_error err = { 0 };
		_free_ uint8_t *exact = malloc(len + 1); /* ASan sees a byte too many */

		memcpy(exact, good.data, len);
		assert_int_not_equal(read_image(exact, len, &err), 0);
	}
	free(good.data);
}

static void put32(uint8_t *p, uint32_t v)
{
	le32 x = le32_of(v);

	memcpy(p, &x, 4);
}

/* Seek tables that lie, with everything else untouched: refused, without reading or allocating what
 * is not there. */
static void test_lying_seek_table(void **state)
{
	static const uint32_t lies[] = { 0, 1, 7, 0x7fffffff, 0x80000000, 0xffffffff };
	struct native_totals totals;
	struct image good = make_image(3, &totals);
	_free_ uint8_t *copy = malloc(good.len);
	uint8_t *foot = copy + good.len - 9;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		memcpy(copy, good.data, good.len);
		put32(foot, lies[i]);
		assert_int_not_equal(read_image(copy, good.len, NULL), 0);
		for (size_t field = 0; field < 30; field++) {
			memcpy(copy, good.data, good.len);
			put32(foot - 12 * 10 + 4 * field, lies[i]);
			if (memcmp(copy, good.data, good.len) != 0)
				assert_int_not_equal(read_image(copy, good.len, NULL), 0);
		}
	}
	free(good.data);
}

/* Headers sealed anew whose fields are out of range. */
static void test_lying_header(void **state)
{
	struct native_info info[6];
	struct native_totals totals;
	struct image good = make_image(3, &totals);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(info); i++)
		info[i] = test_info();
	info[0].size = DISK - 1;
	info[1].size = (uint64_t)INT64_MAX + 1;
	info[2].chunk_size = 0;
	info[3].chunk_size = 32 * MIB;
	info[4].sector_size = 513;
	info[5].size = DISK * 100000000;
	for (size_t i = 0; i < ARRAY_LEN(info); i++) {
		struct native_header_disk h;

		assert_int_equal(native_header_make(&info[i], &h), 0);
		memcpy(good.data, &h, sizeof(h));
		assert_int_not_equal(read_image(good.data, good.len, NULL), 0);
	}
	free(good.data);
}

/* The manifest with `from` replaced by `to`, as long, sealed anew. */
static void forge_manifest(struct image *image, const char *from, const char *to)
{
	uint8_t *foot = image->data + image->len - 9, *seek, *frame, *hit;
	struct native_frame_disk head;
	le32 count, stored;

	memcpy(&count, foot, 4);
	seek = foot - 12 * le32_get(count) - 8;
	memcpy(&stored, foot - 12, 4);
	frame = seek - le32_get(stored);
	hit = memmem(frame, le32_get(stored), from, strlen(from));
	assert_non_null(hit);
	memcpy(hit, to, strlen(to));
	memcpy(&head, frame, sizeof(head));
	native_seal(frame, le32_get(stored), NATIVE_MANIFEST, le32_get(head.flags),
	            le64_get(head.sequence), head.uuid);
}

static void test_lying_manifest(void **state)
{
	static const char *const lies[][2] = {
		{ "\"size\": 340025", "\"size\": 340024" },
		{ "\"chunks\": 6", "\"chunks\": 7" },
		{ "\"chunk_size\": 65536", "\"chunk_size\": 65535" },
		{ "\"hash\": \"sha256\"", "\"hash\": \"sha257\"" },
		{ "\"tree\": \"", "\"tref\": \"" },
		{ "\"seek_table_sha256\": \"", "\"seek_table_sha256\": 0" },
		{ "\"image\": {", "\"image\": [" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct native_totals totals;
		struct image image = make_image(3, &totals);

		forge_manifest(&image, lies[i][0], lies[i][1]);
		assert_int_not_equal(read_image(image.data, image.len, NULL), 0);
		free(image.data);
	}
}

/* Another root in a manifest that is sound in itself: found by whoever proves the whole image. */
static void test_lying_root(void **state)
{
	struct native_totals totals;
	struct image a = make_image(3, &totals);
	_medium_ struct medium *file = NULL;
	struct native_image image = { 0 };
	char was[80], now[80];

	(void)state;
	snprintf(was, sizeof(was), "\"tree\": \"%02x", totals.root[0]);
	snprintf(now, sizeof(now), "\"tree\": \"%02x", totals.root[0] ^ 1);
	assert_int_equal(medium_memory(a.data, a.len, false, &file, NULL), 0);
	assert_int_equal(native_image_read(file, &image, NULL), 0);
	assert_int_equal(native_image_prove(&image, NULL), 0);
	native_image_clear(&image);
	forge_manifest(&a, was, now);
	assert_int_equal(native_image_read(file, &image, NULL), 0);
	assert_int_not_equal(native_image_prove(&image, NULL), 0);
	native_image_clear(&image);
	free(a.data);
}

/* Extents with gaps, overlaps, of no length, of no kind that there is, or past the end. */
static void test_lying_extents(void **state)
{
	static const struct native_run lies[] = {
		{ 0, CHUNK - 1, ISM_EXTENT_DATA },  { 1, CHUNK - 1, ISM_EXTENT_DATA },
		{ 0, CHUNK + 1, ISM_EXTENT_DATA },  { 0, 0, ISM_EXTENT_ZERO },
		{ 0, 0xffffffff, ISM_EXTENT_DATA },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		struct image image = { .data = malloc(FILE_MAX_LEN) };
		const struct native_sink sink = { .write = image_write, .arg = &image };
		struct native_encoder *e = native_encoder_new(1);
		struct native_info info = test_info();
		struct native_writer *w = NULL;
		struct native_totals totals;
		struct native_frame f = { 0 };
		json_t *manifest = json_object();

		assert_int_equal(native_writer_new(&info, &sink, NULL, &w, NULL), 0);
		for (size_t at = 0; at < DISK; at += CHUNK) {
			encode_at(e, at, &f);
			if (at == 2 * CHUNK)
				f.runs[0] = lies[i];
			assert_int_equal(native_append(w, &f, NULL), 0);
		}
		assert_int_equal(native_finish(w, manifest, &totals, NULL), 0);
		assert_int_not_equal(read_image(image.data, image.len, NULL), 0);
		json_decref(manifest);
		native_frame_clear(&f);
		native_writer_free(w);
		native_encoder_free(e);
		free(image.data);
	}
}

/* A size that is only known at the end is the one that chunks and manifest agree on. */
static void test_unknown_size(void **state)
{
	struct native_info info = test_info();
	struct native_totals totals;
	struct image good = make_image(3, &totals);
	struct native_header_disk h;
	_error_ struct ism_error err = { 0 };

	(void)state;
	info.size = ISM_SIZE_UNKNOWN;
	assert_int_equal(native_header_make(&info, &h), 0);
	memcpy(good.data, &h, sizeof(h));
	if (read_image(good.data, good.len, &err) < 0)
		fail_msg("%s", err.message);
	free(good.data);
}

static int setup(void **state)
{
	make_disk();
	return test_enter_folder(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_holes_are_canonical),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_salvage),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_lying_seek_table),
		cmocka_unit_test(test_lying_header),
		cmocka_unit_test(test_lying_manifest),
		cmocka_unit_test(test_lying_root),
		cmocka_unit_test(test_lying_extents),
		cmocka_unit_test(test_unknown_size),
	};

	return cmocka_run_group_tests(tests, setup, test_leave_folder);
}
