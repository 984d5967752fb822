/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bmaps: what the map leaves out, what it proves, and what it may not be. The maps come from
 * bmaptool, or from a template with checksums that sha256sum made. */
#include "format/test_files.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "format/bmap.h"
#include "medium/memory.h"

#define BLOCK     4096
#define BLOCKS    64
#define IMAGE_LEN (BLOCKS * BLOCK - 100) /* the last block is not a whole one */

/* Data in blocks 0-3, 8, 60-63, holes in between. */
static void put_sparse(const char *name)
{
	uint8_t image[BLOCKS * BLOCK];
	_close_ int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	fill_pattern(image, sizeof(image), 3);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, IMAGE_LEN), 0);
	assert_int_equal(pwrite(fd, image, 4 * BLOCK, 0), 4 * BLOCK);
	assert_int_equal(pwrite(fd, image + 8 * BLOCK, BLOCK, 8 * BLOCK), BLOCK);
	assert_int_equal(pwrite(fd, image + 60 * BLOCK, 4 * BLOCK - 100, 60 * BLOCK),
	                 4 * BLOCK - 100);
}

static int open_image(const char *ref, const struct ism_open_options *options, struct medium **ret,
                      struct ism_error *err)
{
	return source_open(ref, options, ret, NULL, err);
}

static void check_extents(struct medium *m)
{
	static const struct ism_extent want[] = {
		{ 0, 4 * BLOCK, ISM_EXTENT_DATA },
		{ 4 * BLOCK, 4 * BLOCK, ISM_EXTENT_UNUSED },
		{ 8 * BLOCK, BLOCK, ISM_EXTENT_DATA },
		{ 9 * BLOCK, 51 * BLOCK, ISM_EXTENT_UNUSED },
		{ 60 * BLOCK, 4 * BLOCK - 100, ISM_EXTENT_DATA },
	};
	uint64_t offset = 0;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		_error_ struct ism_error err = { 0 };
		struct ism_extent e = { 0 };

		assert_int_equal(medium_next_extent(m, offset, &e, &err), 0);
		assert_int_equal(e.offset, want[i].offset);
		assert_int_equal(e.len, want[i].len);
		assert_int_equal(e.kind, want[i].kind);
		offset += e.len;
	}
	assert_int_equal(offset, m->size);
}

/* As the engine reads: all data extents in order, by pieces. */
static int read_data(struct medium *m, size_t piece, uint8_t *image, struct ism_error *err)
{
	int r = 0;

	for (uint64_t offset = 0; r == 0 && offset < m->size;) {
		struct ism_extent e;

		r = medium_next_extent(m, offset, &e, err);
		if (r < 0)
			return r;
		for (uint64_t done = 0; r == 0 && e.kind == ISM_EXTENT_DATA && done < e.len;) {
			size_t n = (size_t)MIN((uint64_t)piece, e.len - done);

			r = medium_read_all(m, image + offset + done, n, offset + done, err);
			done += n;
		}
		offset += e.len;
	}
	return r;
}

static void check_reads(const char *ref, const struct ism_open_options *options)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	_free_ uint8_t *got = calloc(1, BLOCKS * BLOCK);
	_free_ char *want = NULL;
	size_t len;

	if (open_image(ref, options, &m, &err) < 0)
		fail_msg("%s: %s", ref, err.message);
	assert_string_equal(m->ops->name, "bmap");
	assert_int_equal(m->size, IMAGE_LEN);
	check_extents(m);
	if (read_data(m, 5000, got, &err) < 0)
		fail_msg("%s: %s", ref, err.message);
	want = get_file("disk.img", &len);
	assert_memory_equal(got, want, len);
}

static void put_bmap(void)
{
	put_sparse("disk.img");
	run_ok("bmaptool create -o disk.img.bmap disk.img 2>/dev/null");
}

static void test_bmaptool(void **state)
{
	(void)state;
	put_bmap();
	check_reads("disk.img", &(struct ism_open_options){ 0 });
	run_ok("mv disk.img.bmap other");
	check_reads("disk.img", &(struct ism_open_options){ .bmap = "other" });
}

static void test_no_bmap(void **state)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;

	(void)state;
	put_bmap();
	assert_int_equal(
		open_image("disk.img", &(struct ism_open_options){ .no_bmap = true }, &m, &err), 0);
	assert_string_equal(m->ops->name, "file");
}

/* A forward image goes on behind each unused part, and is checked to its end. */
static int read_forward(const char *image, size_t len, struct ism_error *err)
{
	_medium_ struct medium *below = NULL, *m = NULL;
	_free_ uint8_t *got = calloc(1, BLOCKS * BLOCK);
	uint8_t head[512];
	size_t n;
	int r;

	assert_int_equal(medium_memory(image, len, true, &below, err), 0);
	assert_int_equal(medium_peek(below, head, sizeof(head), &n, err), 0);
	r = bmap_open(below, "disk.img.bmap", &m, err);
	if (r < 0)
		return r;
	below = NULL;
	assert_true(m->forward);
	assert_int_equal(medium_peek(m, head, sizeof(head), &n, err), 0);
	r = read_data(m, 5000, got, err);
	if (r == 0)
		assert_memory_equal(got + 60 * BLOCK, image + 60 * BLOCK, 4 * BLOCK - 100);
	return r;
}

static void test_forward(void **state)
{
	_error_ struct ism_error err = { 0 };
	_free_ char *image = NULL;
	size_t len;
	int r;

	(void)state;
	put_bmap();
	image = get_file("disk.img", &len);
	if (read_forward(image, len, &err) < 0)
		fail_msg("%s", err.message);
	r = read_forward(image, len - 1, &err);
	assert_error_says(err, r, "ends after 262043 bytes");
	r = read_forward(image, len + 1, &err);
	assert_error_says(err, r, "goes on behind the 262044 bytes");
	image[8 * BLOCK + 77] ^= 1;
	r = read_forward(image, len, &err);
	assert_error_says(err, r, "blocks 8-8 (bytes 32768 to 36863)");
	assert_int_equal(r, -EBADMSG);
	assert_int_equal(err.offset, 8 * BLOCK);
	/* what is unused may differ */
	image[8 * BLOCK + 77] ^= 1;
	image[9 * BLOCK] ^= 1;
	if (read_forward(image, len, &err) < 0)
		fail_msg("%s", err.message);
}

static void flip(const char *name, off_t offset)
{
	_close_ int fd = open(name, O_RDWR | O_CLOEXEC);
	uint8_t b;

	assert_int_equal(pread(fd, &b, 1, offset), 1);
	b ^= 0x40;
	assert_int_equal(pwrite(fd, &b, 1, offset), 1);
}

static void test_damaged_image(void **state)
{
	static const size_t pieces[] = { 512, 4096, 5000, 1 << 20 };

	(void)state;
	put_bmap();
	flip("disk.img", IMAGE_LEN - 1);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		_error_ struct ism_error err = { 0 };
		_medium_ struct medium *m = NULL;
		_free_ uint8_t *got = calloc(1, BLOCKS * BLOCK);
		int r;

		assert_int_equal(open_image("disk.img", &(struct ism_open_options){ 0 }, &m, &err),
		                 0);
		r = read_data(m, pieces[i], got, &err);
		assert_error_says(err, r, "blocks 60-63");
		assert_int_equal(err.offset, 60 * BLOCK);
		assert_string_equal(err.where, "disk.img");
		/* before that range all is well */
		assert_int_equal(medium_read_all(m, got, 9 * BLOCK, 0, &err), 0);
	}
}

/* Two readers on one image, one behind the other, and one that looks here and there. */
static void test_readers(void **state)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	uint8_t buf[BLOCK];
	int r;

	(void)state;
	put_bmap();
	flip("disk.img", 4 * BLOCK - 1);
	assert_int_equal(open_image("disk.img", &(struct ism_open_options){ 0 }, &m, &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(medium_read_all(m, buf, BLOCK, i * BLOCK, &err), 0);
		assert_int_equal(medium_read_all(m, buf, 512, 8 * BLOCK, &err), 0);
		if (i > 0)
			assert_int_equal(medium_read_all(m, buf, BLOCK, (i - 1) * BLOCK, &err), 0);
	}
	r = medium_read_all(m, buf, BLOCK, 3 * BLOCK, &err);
	assert_error_says(err, r, "blocks 0-3");
	assert_int_equal(medium_read_all(m, buf, BLOCK, 2 * BLOCK, &err), 0);
	r = medium_read_all(m, buf, BLOCK, 3 * BLOCK, &err);
	assert_error_says(err, r, "blocks 0-3");
}

/* Data that became a hole is read and found wrong; a hole that belongs there is told as one. */
static void test_holes(void **state)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	_free_ uint8_t *got = calloc(1, BLOCKS * BLOCK);
	struct ism_extent e;
	int r;

	(void)state;
	put_bmap();
	run_ok("fallocate -p -o 32768 -l 4096 disk.img");
	assert_int_equal(open_image("disk.img", &(struct ism_open_options){ 0 }, &m, &err), 0);
	r = read_data(m, 4096, got, &err);
	assert_error_says(err, r, "blocks 8-8");
	m = medium_close(m);
	ism_error_clear(&err);
	/* written zeros, mapped, then dug out */
	run_ok("dd if=/dev/zero of=disk.img bs=4096 seek=8 count=1 conv=notrunc status=none && "
	       "bmaptool create -o disk.img.bmap disk.img 2>/dev/null && "
	       "fallocate -p -o 32768 -l 4096 disk.img");
	assert_int_equal(open_image("disk.img", &(struct ism_open_options){ 0 }, &m, &err), 0);
	assert_int_equal(medium_next_extent(m, 8 * BLOCK, &e, &err), 0);
	assert_int_equal(e.len, BLOCK);
	assert_int_equal(e.kind, ISM_EXTENT_ZERO);
	assert_int_equal(read_data(m, 4096, got, &err), 0);
}

static void check_open_fails(const char *word)
{
	_error_ struct ism_error err = { 0 };
	_medium_ struct medium *m = NULL;
	int r = open_image("disk.img", &(struct ism_open_options){ 0 }, &m, &err);

	assert_error_says(err, r, word);
	assert_non_null(strstr(err.hint, "--no-bmap"));
}

static void test_damaged_map(void **state)
{
	(void)state;
	put_bmap();
	run_ok("cp disk.img.bmap good; sed -i 's/ 8-8 / 8-9 /; s/ 8 / 9 /' disk.img.bmap");
	check_open_fails("is damaged: its sha256");
	run_ok("head -c 2000 good > disk.img.bmap");
	check_open_fails("no valid XML");
	run_ok(": > disk.img.bmap");
	check_open_fails("no valid XML");
	run_ok("rm disk.img.bmap; mkdir disk.img.bmap");
	check_open_fails("is a directory");
	run_ok("rmdir disk.img.bmap; cp good disk.img.bmap; truncate -s 262000 disk.img");
	check_open_fails("is for an image of 262044 bytes, but disk.img has 262000");
}

static void digest_hex(const char *hash, const void *data, size_t len, char *ret)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n;

	assert_int_equal(EVP_Digest(data, len, digest, &n, EVP_get_digestbyname(hash), NULL), 1);
	for (unsigned i = 0; i < n; i++)
		sprintf(ret + 2 * i, "%02x", digest[i]);
}

/* A map of @version around @body; "@" in it becomes the checksum of the file. */
static int parse_map(const char *version, const char *hash, const char *body, struct bmap *ret,
                     struct ism_error *err)
{
	char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
	_free_ char *zeros = NULL, *text = NULL;
	const char *at = strchr(body, '@');

	digest_hex(hash, "", 0, hex);
	memset(hex, '0', strlen(hex));
	zeros = at ? text_format("<bmap version=\"%s\">%.*s%s%s</bmap>", version, (int)(at - body),
	                         body, hex, at + 1)
	           : text_format("<bmap version=\"%s\">%s</bmap>", version, body);
	digest_hex(hash, zeros, strlen(zeros), hex);
	text = at ? text_format("<bmap version=\"%s\">%.*s%s%s</bmap>", version, (int)(at - body),
	                        body, hex, at + 1)
	          : text_format("<bmap version=\"%s\">%s</bmap>", version, body);
	return bmap_parse(text, strlen(text), "a.bmap", ret, err);
}

#define GEOMETRY \
	"<ImageSize> 20000 </ImageSize><BlockSize>4096</BlockSize><BlocksCount>5</BlocksCount>"
#define SHA1_A "da39a3ee5e6b4b0d3255bfef95601890afd80709"

static void test_versions(void **state)
{
	static const struct {
		const char *version, *hash, *body;
	} good[] = {
		{ "1.0", "sha1",
		  GEOMETRY "<BlockMap><Range>0-1</Range><Range>4</Range></BlockMap>" },
		{ "1.2", "sha1",
		  GEOMETRY "<MappedBlocksCount>3</MappedBlocksCount><BlockMap><Range sha1=\"" SHA1_A
		           "\"> 0-1 </Range><Range>4</Range></BlockMap>" },
		{ "1.3", "sha1",
		  GEOMETRY "<MappedBlocksCount>3</MappedBlocksCount><BmapFileSHA1>@</BmapFileSHA1>"
		           "<BlockMap><Range sha1=\"" SHA1_A
		           "\"> 0-1 </Range><Range>4</Range></BlockMap>" },
		{ "1.4", "sha512",
		  "<ChecksumType>sha512</ChecksumType><BmapFileChecksum>@</BmapFileChecksum>"
		  "<BlockMap><Range>0-1</Range><Range>4-4</Range></BlockMap>"
		  "<MappedBlocksCount>3</MappedBlocksCount>" GEOMETRY },
		{ "2.0", "sha1",
		  GEOMETRY
		  "<ChecksumType> sha1 </ChecksumType>"
		  "<MappedBlocksCount>3</MappedBlocksCount>"
		  "<BmapFileChecksum> @ </BmapFileChecksum><BlockMap><Range chksum=\"" SHA1_A
		  "\"> 0-1 </Range><Range>4</Range></BlockMap>" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CLEANUP(bmap_clear) struct bmap map = { 0 };
		_error_ struct ism_error err = { 0 };

		if (parse_map(good[i].version, good[i].hash, good[i].body, &map, &err) < 0)
			fail_msg("%s: %s", good[i].version, err.message);
		assert_int_equal(map.n, 2);
		assert_int_equal(map.ranges[0].len, 2 * BLOCK);
		assert_int_equal(map.ranges[1].offset, 4 * BLOCK);
		assert_int_equal(map.ranges[1].len, 20000 - 4 * BLOCK);
	}
}

#define MAP(ranges) GEOMETRY "<BlockMap>" ranges "</BlockMap>"

static void test_refused(void **state)
{
	static const struct {
		const char *version, *body, *word;
	} bad[] = {
		{ "1.2", MAP("<Range>0-5</Range>"), "outside the image" },
		{ "1.2", MAP("<Range>3-1</Range>"), "no range" },
		{ "1.2", MAP("<Range>0-</Range>"), "no range" },
		{ "1.2", MAP("<Range>-1</Range>"), "no range" },
		{ "1.2", MAP("<Range></Range>"), "no range" },
		{ "1.2", MAP("<Range>18446744073709551616</Range>"), "no range" },
		{ "1.2", MAP("<Range>18446744073709551615</Range>"), "outside the image" },
		{ "1.2", MAP("<Range>0-2</Range><Range>2-3</Range>"), "out of order or overlaps" },
		{ "1.2", MAP("<Range>3</Range><Range>0</Range>"), "out of order or overlaps" },
		{ "1.2", MAP("<Range sha1=\"12\">0</Range>"), "checksum of range 0-0" },
		{ "1.2", MAP("<Range sha1=\"xx\">0</Range>"), "checksum of range '0'" },
		{ "1.2", MAP("<Range>0<Range>1</Range></Range>"), "not expected here" },
		{ "1.2", GEOMETRY "<Range>0</Range><BlockMap/>", "not expected here" },
		{ "1.2", GEOMETRY "<ImageSize>20000</ImageSize><BlockMap/>", "there twice" },
		{ "1.2", GEOMETRY "<BlockMap/><BlockMap/>", "second <BlockMap>" },
		{ "1.2", GEOMETRY, "no <BlockMap>" },
		{ "1.2", "<BlockMap/>", "do not fit together" },
		{ "1.2",
		  "<ImageSize>20000</ImageSize><BlockSize>4096</BlockSize><BlocksCount>6</"
		  "BlocksCount>"
		  "<BlockMap/>",
		  "do not fit together" },
		{ "1.2",
		  "<ImageSize>20000</ImageSize><BlockSize>0</BlockSize><BlocksCount>5</BlocksCount>"
		  "<BlockMap/>",
		  "do not fit together" },
		{ "1.2",
		  "<ImageSize>18446744073709551615</ImageSize><BlockSize>4096</BlockSize>"
		  "<BlocksCount>4503599627370496</BlocksCount><BlockMap/>",
		  "do not fit together" },
		{ "1.2",
		  GEOMETRY "<MappedBlocksCount>2</MappedBlocksCount><BlockMap><Range>0</Range>"
		           "</BlockMap>",
		  "has 1 mapped blocks, not the 2" },
		{ "1.2", "<ImageSize>2e4</ImageSize>", "is no number" },
		{ "1.2", "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>",
		  "too deeply" },
		{ "1.3", MAP(""), "count of mapped blocks" },
		{ "2.0", MAP("") "<MappedBlocksCount>0</MappedBlocksCount>",
		  "what its checksums are" },
		{ "2.0",
		  MAP("") "<MappedBlocksCount>0</MappedBlocksCount>"
		          "<ChecksumType>sha256</ChecksumType>",
		  "no checksum of itself" },
		{ "2.0", "<ChecksumType>crc32</ChecksumType>", "'crc32' is not supported" },
		{ "3.0", MAP(""), "version 3.0 is not supported" },
		{ "x", MAP(""), "no valid version" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CLEANUP(bmap_clear) struct bmap map = { 0 };
		_error_ struct ism_error err = { 0 };
		int r = parse_map(bad[i].version, "sha1", bad[i].body, &map, &err);

		if (r == 0)
			fail_msg("taken: %s", bad[i].body);
		assert_error_says(err, r, bad[i].word);
	}
}

static void test_entities(void **state)
{
	static const char bomb[] =
		"<?xml version=\"1.0\"?><!DOCTYPE bmap [<!ENTITY a \"aaaaaaaaaa\">"
		"<!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;\">]>"
		"<bmap version=\"1.2\">&c;</bmap>";
	_error_ struct ism_error err = { 0 };
	struct bmap map;
	int r = bmap_parse(bomb, sizeof(bomb) - 1, "a.bmap", &map, &err);

	(void)state;
	assert_error_says(err, r, "document type is not allowed");
	r = bmap_parse("<svg/>", 6, "a.bmap", &map, &err);
	assert_error_says(err, r, "is no bmap file");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, test_enter_folder, test_leave_folder)
	const struct CMUnitTest tests[] = {
		TEST(test_bmaptool),
		TEST(test_no_bmap),
		TEST(test_forward),
		TEST(test_damaged_image),
		TEST(test_readers),
		TEST(test_holes),
		TEST(test_damaged_map),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_entities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
