/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads bmap files. Spec: the comments and the behaviour of bmap-tools' BmapCreate and BmapCopy,
 * versions 1.0 to 2.0 (1.4 is 2.0 by another name). */
#include "format/bmap.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <expat.h>
#include <openssl/evp.h>

#include "base/bytes.h"

#define DEPTH_MAX      8
#define TEXT_MAX       300 /* the longest text that means something is a SHA-512 and blanks */
#define BLOCK_SIZE_MAX (16 * MIB)

enum field {
	FIELD_NONE,
	FIELD_IMAGE_SIZE,
	FIELD_BLOCK_SIZE,
	FIELD_BLOCKS,
	FIELD_MAPPED,
	FIELD_HASH,
	FIELD_FILE_DIGEST,
	FIELD_RANGE,
	FIELD_COUNT,
};

static const char *const field_names[FIELD_COUNT][2] = {
	[FIELD_IMAGE_SIZE] = { "ImageSize" },
	[FIELD_BLOCK_SIZE] = { "BlockSize" },
	[FIELD_BLOCKS] = { "BlocksCount" },
	[FIELD_MAPPED] = { "MappedBlocksCount" },
	[FIELD_HASH] = { "ChecksumType" },
	[FIELD_FILE_DIGEST] = { "BmapFileChecksum", "BmapFileSHA1" },
	[FIELD_RANGE] = { "Range" },
};

struct parser {
	XML_Parser xml;
	const char *name;
	struct ism_error *err;
	int r;
	struct bmap map;
	unsigned depth, major, minor;
	bool has_map;
	enum field field;
	bool seen[FIELD_COUNT];
	char text[TEXT_MAX + 1];
	size_t text_len;
	uint64_t blocks, mapped;
	char file_digest[2 * BMAP_DIGEST_MAX + 1];
	char range_digest[2 * BMAP_DIGEST_MAX + 1];
};

static void fail(struct parser *p, int code, const char *fmt, ...) ISM_PRINTF(3, 4);
static void fail(struct parser *p, int code, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list args;

	if (p->r < 0)
		return;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	p->r = ism_error_set(p->err, code, p->name, ISM_NO_OFFSET, "line %llu: %s",
	                     (unsigned long long)XML_GetCurrentLineNumber(p->xml),
	                     text ? text : "damaged");
	XML_StopParser(p->xml, XML_FALSE);
}

static bool number_parse(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9' || mul_overflows(v, (uint64_t)10, &v) ||
		    add_overflows(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	*ret = v;
	return len > 0;
}

static bool version_parse(const char *s, unsigned *ret_major, unsigned *ret_minor)
{
	const char *dot = strchr(s, '.');
	uint64_t major, minor;

	if (!dot || !number_parse(s, (size_t)(dot - s), &major) ||
	    !number_parse(dot + 1, strlen(dot + 1), &minor) || major > 1000 || minor > 1000)
		return false;
	*ret_major = (unsigned)major;
	*ret_minor = (unsigned)minor;
	return true;
}

static void start_root(struct parser *p, const char *name, const char **attributes)
{
	const char *version = NULL;

	if (strcmp(name, "bmap") != 0) {
		fail(p, -EBADMSG, "is no bmap file: it begins with <%.40s>", name);
		return;
	}
	for (const char **a = attributes; a[0]; a += 2)
		if (strcmp(a[0], "version") == 0)
			version = a[1];
	if (!version || !version_parse(version, &p->major, &p->minor) || p->major == 0)
		fail(p, -EBADMSG, "the bmap has no valid version");
	else if (p->major > 2)
		fail(p, -EOPNOTSUPP, "bmap version %u.%u is not supported, only 1.0 to 2.x",
		     p->major, p->minor);
	/* 1.0 to 1.3 know SHA-1 only, and do not name it. */
	if (p->major == 1 && p->minor < 4) {
		strcpy(p->map.hash, "sha1");
		p->map.digest_len = 20;
		p->seen[FIELD_HASH] = true;
	}
}

static void start_range(struct parser *p, const char **attributes)
{
	p->range_digest[0] = 0;
	for (const char **a = attributes; a[0]; a += 2) {
		if (strcmp(a[0], "chksum") != 0 && strcmp(a[0], "sha1") != 0)
			continue;
		if (p->range_digest[0] || strlen(a[1]) >= sizeof(p->range_digest)) {
			fail(p, -EBADMSG, "the checksum of a range is not valid");
			return;
		}
		strcpy(p->range_digest, a[1]);
	}
}

static enum field field_of(const char *name)
{
	for (int f = FIELD_NONE + 1; f < FIELD_COUNT; f++)
		for (int k = 0; k < 2; k++)
			if (field_names[f][k] && strcmp(name, field_names[f][k]) == 0)
				return (enum field)f;
	return FIELD_NONE;
}

static void on_start(void *data, const char *name, const char **attributes)
{
	struct parser *p = data;
	enum field f = field_of(name);
	/* <bmap><ImageSize>, but <bmap><BlockMap><Range> */
	bool in_place = p->depth == (f == FIELD_RANGE ? 2 : 1);

	if (p->r < 0)
		return;
	if (++p->depth > DEPTH_MAX) {
		fail(p, -EBADMSG, "elements are nested too deeply");
		return;
	}
	if (p->depth == 1) {
		start_root(p, name, attributes);
		return;
	}
	if (p->field != FIELD_NONE || (f != FIELD_NONE && !in_place)) {
		fail(p, -EBADMSG, "<%.40s> is not expected here", name);
		return;
	}
	if (p->depth == 2 && strcmp(name, "BlockMap") == 0) {
		if (p->has_map)
			fail(p, -EBADMSG, "there is a second <BlockMap>");
		p->has_map = true;
	}
	if (f == FIELD_RANGE)
		start_range(p, attributes);
	else if (f != FIELD_NONE && p->seen[f])
		fail(p, -EBADMSG, "<%s> is there twice", name);
	p->field = f;
	p->text_len = 0;
}

static void on_text(void *data, const char *s, int len)
{
	struct parser *p = data;

	if (p->field == FIELD_NONE || len <= 0)
		return;
	if ((size_t)len > TEXT_MAX - p->text_len) {
		fail(p, -EBADMSG, "<%s> is too long", field_names[p->field][0]);
		return;
	}
	memcpy(p->text + p->text_len, s, (size_t)len);
	p->text_len += (size_t)len;
}

/* The text without the blanks around it. */
static char *trimmed(struct parser *p)
{
	char *s = p->text;

	p->text[p->text_len] = 0;
	while (isspace((unsigned char)*s))
		s++;
	for (size_t n = strlen(s); n && isspace((unsigned char)s[n - 1]); n--)
		s[n - 1] = 0;
	return s;
}

/* Hex digits to bytes; their count, 0 if it is no such text or longer than BMAP_DIGEST_MAX. */
static size_t hex_parse(const char *s, uint8_t ret[BMAP_DIGEST_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t len = strlen(s);

	if (len % 2 || len / 2 > BMAP_DIGEST_MAX)
		return 0;
	for (size_t i = 0; i < len; i++) {
		const char *d = strchr(digits, tolower((unsigned char)s[i]));

		if (!d)
			return 0;
		ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (d - digits));
	}
	return len / 2;
}

static bool range_parse(const char *s, uint64_t *ret_first, uint64_t *ret_last)
{
	const char *dash = strchr(s, '-');

	if (!number_parse(s, dash ? (size_t)(dash - s) : strlen(s), ret_first))
		return false;
	if (!dash) {
		*ret_last = *ret_first;
		return true;
	}
	return number_parse(dash + 1, strlen(dash + 1), ret_last) && *ret_last >= *ret_first;
}

static struct bmap_range *append_range(struct bmap *map)
{
	/* Doubled at powers of two; the file's size bounds the count. */
	if ((map->n & (map->n - 1)) == 0) {
		size_t cap = map->n ? 2 * map->n : 1;
		struct bmap_range *ranges = realloc(map->ranges, cap * sizeof(*ranges));

		if (!ranges)
			return NULL;
		map->ranges = ranges;
	}
	map->ranges[map->n] = (struct bmap_range){ 0 };
	return &map->ranges[map->n++];
}

/* Kept in blocks until the whole file is read: the geometry may come behind the ranges. */
static void end_range(struct parser *p, const char *text)
{
	struct bmap_range *range;
	uint64_t first, last;

	if (!range_parse(text, &first, &last)) {
		fail(p, -EBADMSG, "'%.60s' is no range of blocks", text);
		return;
	}
	range = append_range(&p->map);
	if (!range) {
		fail(p, -ENOMEM, "out of memory");
		return;
	}
	range->offset = first;
	range->len = last;
	if (p->range_digest[0]) {
		range->digest_len = hex_parse(p->range_digest, range->digest);
		if (range->digest_len == 0)
			fail(p, -EBADMSG, "the checksum of range '%.60s' is not valid", text);
	}
}

static void set_hash(struct parser *p, const char *name)
{
	static const struct {
		const char *name;
		size_t len;
	} known[] = { { "sha1", 20 },   { "sha224", 28 }, { "sha256", 32 },
		      { "sha384", 48 }, { "sha512", 64 }, { "md5", 16 } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcasecmp(name, known[i].name) != 0)
			continue;
		strcpy(p->map.hash, known[i].name);
		p->map.digest_len = known[i].len;
		return;
	}
	fail(p, -EOPNOTSUPP, "checksum type '%.40s' is not supported", name);
}

static void end_number(struct parser *p, const char *text, uint64_t *ret)
{
	if (!number_parse(text, strlen(text), ret))
		fail(p, -EBADMSG, "<%s> is no number", field_names[p->field][0]);
}

static void end_field(struct parser *p)
{
	const char *text = trimmed(p);

	switch (p->field) {
	case FIELD_IMAGE_SIZE:
		end_number(p, text, &p->map.image_size);
		break;
	case FIELD_BLOCK_SIZE:
		end_number(p, text, &p->map.block_size);
		break;
	case FIELD_BLOCKS:
		end_number(p, text, &p->blocks);
		break;
	case FIELD_MAPPED:
		end_number(p, text, &p->mapped);
		break;
	case FIELD_HASH:
		set_hash(p, text);
		break;
	case FIELD_FILE_DIGEST:
		if (strlen(text) < sizeof(p->file_digest))
			strcpy(p->file_digest, text);
		break;
	case FIELD_RANGE:
		end_range(p, text);
		break;
	default:
		break;
	}
	p->seen[p->field] = true;
	p->field = FIELD_NONE;
}

static void on_end(void *data, const char *name)
{
	struct parser *p = data;

	(void)name;
	p->depth--;
	if (p->r == 0 && p->field != FIELD_NONE)
		end_field(p);
}

/* Entities could grow without bound, and a bmap needs none. */
static void on_doctype(void *data, const char *name, const char *system_id, const char *public_id,
                       int has_subset)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_subset;
	fail(data, -EBADMSG, "a document type is not allowed in a bmap file");
}

static int parse_xml(struct parser *p, const void *data, size_t len)
{
	/* Given whole: expat copies what it cannot use in place. */
	enum XML_Status status = XML_Parse(p->xml, data, (int)len, 1);

	if (p->r == 0 && status != XML_STATUS_OK)
		p->r = ism_error_set(p->err, -EBADMSG, p->name,
		                     (uint64_t)XML_GetCurrentByteIndex(p->xml),
		                     "line %llu: is no valid XML: %s",
		                     (unsigned long long)XML_GetCurrentLineNumber(p->xml),
		                     XML_ErrorString(XML_GetErrorCode(p->xml)));
	return p->r;
}

static int damaged(struct parser *p, const char *fmt, ...) ISM_PRINTF(2, 3);
static int damaged(struct parser *p, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	return ism_error_set(p->err, -EBADMSG, p->name, ISM_NO_OFFSET, "%s",
	                     text ? text : "damaged");
}

/* The checksum of the file was made with zeros in its own place. */
static int check_file_digest(struct parser *p, const char *data, size_t len)
{
	static const char zeros[2 * BMAP_DIGEST_MAX + 1] =
		"0000000000000000000000000000000000000000000000000000000000000000"
		"0000000000000000000000000000000000000000000000000000000000000000";
	uint8_t want[BMAP_DIGEST_MAX] = { 0 }, got[EVP_MAX_MD_SIZE];
	size_t hex_len = 2 * p->map.digest_len, before, behind;
	EVP_MD_CTX *ctx;
	const char *at;
	bool ok;

	if (hex_parse(p->file_digest, want) != p->map.digest_len)
		return damaged(p, "the checksum of the bmap file is not valid");
	at = memmem(data, len, p->file_digest, hex_len);
	if (!at) /* it was written as XML entities */
		return damaged(p, "the checksum of the bmap file is not in the file");
	ctx = EVP_MD_CTX_new();
	if (!ctx)
		return ism_error_oom(p->err);
	before = (size_t)(at - data);
	behind = len - before - hex_len;
	ok = EVP_DigestInit_ex(ctx, EVP_get_digestbyname(p->map.hash), NULL) &&
	     EVP_DigestUpdate(ctx, data, before) && EVP_DigestUpdate(ctx, zeros, hex_len) &&
	     EVP_DigestUpdate(ctx, at + hex_len, behind) && EVP_DigestFinal_ex(ctx, got, NULL);
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return ism_error_set(p->err, -EOPNOTSUPP, p->name, ISM_NO_OFFSET,
		                     "%s cannot be computed here", p->map.hash);
	if (memcmp(want, got, p->map.digest_len) != 0)
		return damaged(p, "is damaged: its %s is not the one that it states", p->map.hash);
	return 0;
}

static bool geometry_is_valid(const struct parser *p)
{
	uint64_t size = p->map.image_size, block = p->map.block_size;

	return p->seen[FIELD_IMAGE_SIZE] && p->seen[FIELD_BLOCK_SIZE] && p->seen[FIELD_BLOCKS] &&
	       size > 0 && size <= INT64_MAX && block >= 512 && block <= BLOCK_SIZE_MAX &&
	       (block & (block - 1)) == 0 && p->blocks == (size - 1) / block + 1;
}

/* From blocks to bytes: ordered, apart, inside the image, as many as the map states. */
static int settle_ranges(struct parser *p)
{
	uint64_t next = 0, sum = 0, block = p->map.block_size;

	for (size_t i = 0; i < p->map.n; i++) {
		struct bmap_range *r = &p->map.ranges[i];
		uint64_t first = r->offset, last = r->len;
		unsigned long long shown[2] = { first, last };

		if (last >= p->blocks)
			return damaged(p, "range %llu-%llu is outside the image", shown[0],
			               shown[1]);
		if (first < next)
			return damaged(p, "range %llu-%llu is out of order or overlaps", shown[0],
			               shown[1]);
		if (r->digest_len && r->digest_len != p->map.digest_len)
			return damaged(p, "the checksum of range %llu-%llu is not valid", shown[0],
			               shown[1]);
		next = last + 1;
		sum += next - first;
		r->offset = first * block;
		r->len = MIN(next * block, p->map.image_size) - r->offset;
	}
	if (p->seen[FIELD_MAPPED] && p->mapped != sum)
		return damaged(p, "has %llu mapped blocks, not the %llu that it states",
		               (unsigned long long)sum, (unsigned long long)p->mapped);
	return 0;
}

static int check_whole(struct parser *p, const void *data, size_t len)
{
	bool needs_digest = p->major > 1 || p->minor >= 3;
	int r;

	if (!p->has_map)
		return damaged(p, "has no <BlockMap>");
	if (!geometry_is_valid(p))
		return damaged(p, "image size, block size and block count do not fit together");
	if (needs_digest && !p->seen[FIELD_MAPPED])
		return damaged(p, "does not state its count of mapped blocks");
	if (needs_digest && !p->map.digest_len)
		return damaged(p, "does not say what its checksums are");
	if (needs_digest && !p->seen[FIELD_FILE_DIGEST])
		return damaged(p, "has no checksum of itself");
	r = p->seen[FIELD_FILE_DIGEST] ? check_file_digest(p, data, len) : 0;
	return r < 0 ? r : settle_ranges(p);
}

void bmap_clear(struct bmap *map)
{
	free(map->ranges);
	*map = (struct bmap){ 0 };
}

static int parse_all(struct parser *p, const void *data, size_t len)
{
	int r;

	XML_SetUserData(p->xml, p);
	XML_SetElementHandler(p->xml, on_start, on_end);
	XML_SetCharacterDataHandler(p->xml, on_text);
	XML_SetStartDoctypeDeclHandler(p->xml, on_doctype);
	r = parse_xml(p, data, len);
	return r < 0 ? r : check_whole(p, data, len);
}

int bmap_parse(const void *data, size_t len, const char *name, struct bmap *ret,
               struct ism_error *err)
{
	struct parser p = { .name = name, .err = err };
	int r;

	if (len > BMAP_SIZE_MAX)
		return ism_error_set(err, -EFBIG, name, ISM_NO_OFFSET,
		                     "is larger than a bmap file may be (%u MiB)",
		                     BMAP_SIZE_MAX >> 20);
	p.xml = XML_ParserCreate(NULL);
	if (!p.xml)
		return ism_error_oom(err);
	r = parse_all(&p, data, len);
	XML_ParserFree(p.xml);
	if (r < 0) {
		bmap_clear(&p.map);
		return r;
	}
	*ret = p.map;
	return 0;
}
