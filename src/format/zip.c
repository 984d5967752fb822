/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one disk image in a zip file, as a forward medium; libarchive takes the zip apart. Spec: the
 * .ZIP File Format Specification (APPNOTE) 6.3. No member is ever written to a file. */
#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "format/format.h"

#define CARRIER_LEN    (256 * 1024)
#define LISTING_LEN    (8 * 1024)  /* an entry's header is all that is wanted */
#define ENTRIES_MAX    4096        /* a zip with more files is no packed disk image */
#define DIRECTORY_MAX  (64 * MIB)  /* bytes read to list a zip; libarchive keeps them in memory */
#define SMALL_MAX      (1 * MIB)   /* a text beside an image is not larger */
#define DICTIONARY_MAX (128 * MIB) /* of LZMA; libarchive allocates what the zip states */
#define SHOWN_MAX      4           /* candidates that an error lists */

struct zip {
	struct medium *carrier;
	struct archive *archive;
	struct ism_error *err; /* of the running call: where the callbacks put theirs */
	int carrier_r;         /* what a callback failed with */
	uint64_t position;     /* next byte of the carrier that libarchive gets */
	uint64_t budget;       /* bytes the callbacks may still read while listing */
	bool listing;
	uint8_t *buf;
	size_t buf_len;       /* bytes in buf, the last before position */
	char *member;         /* for the user: no control characters */
	uint64_t size;        /* of the member; ISM_SIZE_UNKNOWN */
	size_t index;         /* of the member among all entries */
	const uint8_t *block; /* of libarchive, valid until its next call */
	size_t block_len;
	uint64_t given; /* bytes of the member read so far */
	bool ended;
};

static la_ssize_t on_read(struct archive *a, void *data, const void **ret)
{
	struct zip *z = data;
	size_t want = z->listing ? LISTING_LEN : CARRIER_LEN, n = 0;

	z->carrier_r = 0;
	if (z->listing && z->budget < want) {
		z->carrier_r = ism_error_set(z->err, -EFBIG, z->carrier->name, z->position,
		                             "has too large a directory for a packed disk image");
	} else {
		z->carrier_r = medium_read(z->carrier, z->buf, want, z->position, &n, z->err);
	}
	if (z->carrier_r < 0) {
		archive_set_error(a, EIO, "cannot read");
		return ARCHIVE_FATAL;
	}
	z->position += n;
	z->buf_len = n;
	z->budget -= MIN((uint64_t)n, z->budget);
	*ret = z->buf;
	return (la_ssize_t)n;
}

static la_int64_t on_seek(struct archive *a, void *data, la_int64_t offset, int whence)
{
	struct zip *z = data;
	la_int64_t base = whence == SEEK_CUR   ? (la_int64_t)z->position
	                  : whence == SEEK_END ? (la_int64_t)z->carrier->size
	                                       : 0;
	la_int64_t to;

	if (add_overflows(base, offset, &to) || to < 0) {
		archive_set_error(a, EINVAL, "points outside the file");
		return ARCHIVE_FATAL;
	}
	z->position = MIN((uint64_t)to, z->carrier->size);
	return (la_int64_t)z->position;
}

static la_int64_t on_skip(struct archive *a, void *data, la_int64_t len)
{
	struct zip *z = data;
	uint64_t left = z->carrier->size - z->position;
	uint64_t n = len > 0 ? MIN((uint64_t)len, left) : 0;

	(void)a;
	z->position += n;
	return (la_int64_t)n;
}

/* What libarchive says failed, with the byte of the zip that it had come to. */
static int zip_failed(struct zip *z, struct ism_error *err)
{
	const char *said = archive_error_string(z->archive);
	la_int64_t at = archive_filter_bytes(z->archive, -1);

	if (z->carrier_r < 0)
		return z->carrier_r;
	if (!z->carrier->forward && archive_format(z->archive) == 0)
		return format_error(err, z->carrier, z->carrier->size,
		                    "the zip is cut off: the directory at its end is missing");
	return format_error(err, z->carrier, at > 0 ? (uint64_t)at : 0,
	                    "the zip is damaged or cut off: %s", said ? said : "no reason given");
}

static int archive_start(struct zip *z, struct ism_error *err)
{
	struct archive *a;

	archive_read_free(z->archive);
	z->archive = a = archive_read_new();
	if (!a)
		return ism_error_oom(err);
	z->err = err;
	z->carrier_r = 0;
	if (z->carrier->forward) {
		archive_read_support_format_zip_streamable(a);
	} else {
		z->position = 0;
		archive_read_support_format_zip_seekable(a);
		archive_read_set_seek_callback(a, on_seek);
		archive_read_set_skip_callback(a, on_skip);
	}
	archive_read_set_read_callback(a, on_read);
	archive_read_set_callback_data(a, z);
	return archive_read_open1(a) == ARCHIVE_OK ? 0 : zip_failed(z, err);
}

/* 1 with *ret filled, 0 behind the last entry. */
static int next_entry(struct zip *z, struct archive_entry **ret, struct ism_error *err)
{
	z->err = err;

	int r = archive_read_next_header(z->archive, ret);

	if (r == ARCHIVE_EOF)
		return 0;
	/* ARCHIVE_WARN: a name that has no form in this locale; the data is not concerned. */
	return r == ARCHIVE_OK || r == ARCHIVE_WARN ? 1 : zip_failed(z, err);
}

/* The name as the user may see it: what a terminal would obey is replaced. */
static char *shown_name(struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);
	char *s;

	if (!name)
		name = archive_entry_pathname(e);
	s = strdup(name ? name : "(no name)");
	for (char *p = s; p && *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	return s;
}

static bool ends_with_any(const char *name, const char *const *list, size_t n)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < n; i++) {
		size_t k = strlen(list[i]);

		if (len >= k && strcasecmp(name + len - k, list[i]) == 0)
			return true;
	}
	return false;
}

static bool starts_with_any(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strncasecmp(name, list[i], strlen(list[i])) == 0)
			return true;
	return false;
}

/* What a desktop leaves behind, and the small texts that come with an image. */
static bool is_beside_image(struct archive_entry *e, const char *name)
{
	static const char *const texts[] = {
		".txt",  ".md",     ".html", ".htm",     ".pdf",       ".bmap",  ".sha256",
		".sha1", ".sha512", ".md5",  ".sha384",  ".b2",        ".asc",   ".sig",
		".json", ".xml",    ".url",  ".nfo",     ".rtf",       ".sign",  ".csv",
		".cfg",  ".ini",    ".log",  ".minisig", ".sha256sum", ".md5sum"
	};
	static const char *const names[] = { "readme",    "license",    "licence",      "copying",
		                             "changelog", "sha256sums", "sha512sums",   "md5sums",
		                             "notice",    "authors",    "release-notes" };
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	bool is_small =
		!archive_entry_size_is_set(e) || archive_entry_size(e) <= (la_int64_t)SMALL_MAX;

	if (strncmp(name, "__MACOSX/", 9) == 0 || strncmp(base, "._", 2) == 0 ||
	    strcmp(base, ".DS_Store") == 0 || strcasecmp(base, "Thumbs.db") == 0 ||
	    strcasecmp(base, "desktop.ini") == 0)
		return true;
	return is_small && (ends_with_any(base, texts, ARRAY_LEN(texts)) ||
	                    starts_with_any(base, names, ARRAY_LEN(names)));
}

/* May this entry be the disk image? */
static bool is_candidate(struct archive_entry *e, const char *name)
{
	if (archive_entry_filetype(e) != AE_IFREG)
		return false;
	if (archive_entry_size_is_set(e) && archive_entry_size(e) == 0)
		return false;
	return !is_beside_image(e, name);
}

static int unpack_first(struct zip *z, int code, const char *why, struct ism_error *err)
{
	ism_error_set(err, code, z->carrier->name, ISM_NO_OFFSET, "the disk image '%s' in it %s",
	              z->member, why);
	return ism_error_hint(err, "unpack the zip first, and name the image");
}

static int take_member(struct zip *z, struct archive_entry *e, char *name, size_t index,
                       struct ism_error *err)
{
	free(z->member);
	z->member = name;
	z->index = index;
	z->size = ISM_SIZE_UNKNOWN;
	if (archive_entry_size_is_set(e) && archive_entry_size(e) >= 0)
		z->size = (uint64_t)archive_entry_size(e);
	return archive_entry_is_encrypted(e) ? unpack_first(z, -EOPNOTSUPP, "is encrypted", err)
	                                     : 0;
}

static int too_many(struct zip *z, const char *names, size_t n, struct ism_error *err)
{
	ism_error_set(err, -ENOTUNIQ, z->carrier->name, ISM_NO_OFFSET,
	              "holds more than one file that may be the disk image: %s%s", names,
	              n > SHOWN_MAX ? ", …" : "");
	return ism_error_hint(err, "unpack it, and name the image");
}

static int none_found(const struct zip *z, struct ism_error *err)
{
	return ism_error_set(err, -ENODATA, z->carrier->name, ISM_NO_OFFSET,
	                     "holds no file that may be a disk image");
}

/* A further candidate: names gets ", NAME" until SHOWN_MAX are listed. */
static int list_name(char **names, const char *name, size_t n, struct ism_error *err)
{
	char *longer;

	if (n > SHOWN_MAX)
		return 0;
	longer = text_format("%s%s%s", *names ? *names : "", *names ? ", " : "", name);
	if (!longer)
		return ism_error_oom(err);
	free(*names);
	*names = longer;
	return 0;
}

/* @len bytes of the carrier at @offset: from its medium, or of what libarchive has read last. */
static int look_at(struct zip *z, uint8_t *buf, size_t len, uint64_t offset, struct ism_error *err)
{
	if (!z->carrier->forward)
		return medium_read_all(z->carrier, buf, len, offset, err);

	uint64_t start = z->position - z->buf_len;
	struct span at;

	if (offset < start ||
	    !span_sub((struct span){ z->buf, z->buf_len }, offset - start, len, &at))
		return unpack_first(z, -EOPNOTSUPP, "lies where its LZMA header cannot be seen",
		                    err);
	memcpy(buf, at.p, len);
	return 0;
}

/*
 * Deflate, bzip2, Zstandard and PPMd need bounded memory. LZMA states its dictionary in the nine
 * bytes before its data, which libarchive would allocate unseen; xz does so in every block.
 */
static int check_memory(struct zip *z, struct ism_error *err)
{
	const char *method = archive_format_name(z->archive);
	la_int64_t offset = archive_filter_bytes(z->archive, -1);
	uint8_t head[9];
	le32 dictionary;
	int r;

	if (method && strstr(method, "(xz)"))
		return unpack_first(z, -EOPNOTSUPP,
		                    "is packed with method xz, not supported in a zip", err);
	if (!method || !strstr(method, "(lzma)"))
		return 0;
	r = look_at(z, head, sizeof(head), (uint64_t)offset, err);
	if (r < 0)
		return r;
	memcpy(&dictionary, head + 5, sizeof(dictionary));
	return le32_get(dictionary) <= DICTIONARY_MAX
	               ? 0
	               : unpack_first(z, -EOPNOTSUPP, "needs more than 128 MiB to be unpacked",
	                              err);
}

/* Central directory: look at all entries, then choose. */
static int choose(struct zip *z, struct ism_error *err)
{
	_free_ char *names = NULL;
	struct archive_entry *e;
	size_t n = 0, index = 0;
	int r;

	for (; (r = next_entry(z, &e, err)) > 0; index++) {
		_free_ char *name = shown_name(e);

		if (!name)
			return ism_error_oom(err);
		if (index == ENTRIES_MAX)
			return ism_error_set(err, -E2BIG, z->carrier->name, ISM_NO_OFFSET,
			                     "holds more than %d files: no packed disk image",
			                     ENTRIES_MAX);
		if (!is_candidate(e, name))
			continue;
		r = list_name(&names, name, ++n, err);
		if (r == 0 && n == 1)
			r = take_member(z, e, take(name), index, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (n > 1)
		return too_many(z, names, n, err);
	return n ? 0 : none_found(z, err);
}

/* To the data of entry z->index. */
static int go_to_member(struct zip *z, struct ism_error *err)
{
	struct archive_entry *e;
	int r = archive_start(z, err);

	for (size_t i = 0; r >= 0 && i <= z->index; i++) {
		r = next_entry(z, &e, err);
		if (r == 0)
			r = format_error(err, z->carrier, z->position, "changes while it is read");
	}
	return r < 0 ? r : check_memory(z, err);
}

/* Forward: the first candidate is the image; a second one shows when the first has been read. */
static int go_to_first(struct zip *z, struct ism_error *err)
{
	struct archive_entry *e;
	int r;

	while ((r = next_entry(z, &e, err)) > 0) {
		_free_ char *name = shown_name(e);

		if (!name)
			return ism_error_oom(err);
		if (!is_candidate(e, name))
			continue;
		r = take_member(z, e, take(name), 0, err);
		return r < 0 ? r : check_memory(z, err);
	}
	return r < 0 ? r : none_found(z, err);
}

static int check_rest(struct zip *z, struct ism_error *err)
{
	struct archive_entry *e;
	int r;

	while ((r = next_entry(z, &e, err)) > 0) {
		_free_ char *name = shown_name(e);
		_free_ char *names = NULL;

		if (!name)
			return ism_error_oom(err);
		if (!is_candidate(e, name))
			continue;
		names = text_format("%s, %s", z->member, name);
		return names ? too_many(z, names, 2, err) : ism_error_oom(err);
	}
	return r;
}

static int member_ended(struct zip *z, struct ism_error *err)
{
	z->ended = true;
	if (z->size != ISM_SIZE_UNKNOWN && z->given != z->size)
		return format_error(err, z->carrier, z->position,
		                    "'%s' in it ends after %llu of %llu bytes", z->member,
		                    (unsigned long long)z->given, (unsigned long long)z->size);
	return z->carrier->forward ? check_rest(z, err) : 0;
}

/* The next block of the member, or its end. libarchive calls a bad CRC or length a warning. */
static int next_block(struct zip *z, struct ism_error *err)
{
	const void *block = NULL;
	la_int64_t offset = 0;
	size_t len = 0;
	int r;

	z->err = err;
	r = archive_read_data_block(z->archive, &block, &len, &offset);
	if (r == ARCHIVE_EOF)
		return member_ended(z, err);
	if (r != ARCHIVE_OK)
		return zip_failed(z, err);
	if (z->size != ISM_SIZE_UNKNOWN && len > z->size - z->given)
		return format_error(err, z->carrier, z->position,
		                    "'%s' in it is longer than the %llu bytes it states", z->member,
		                    (unsigned long long)z->size);
	z->block = block;
	z->block_len = len;
	return 0;
}

static int zip_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                    struct ism_error *err)
{
	struct zip *z = m->priv;

	(void)offset;
	while (!z->block_len && !z->ended) {
		int r = next_block(z, err);

		if (r < 0)
			return r;
	}
	*ret_len = MIN(len, z->block_len);
	if (*ret_len == 0)
		return 0;
	memcpy(buf, z->block, *ret_len);
	z->block += *ret_len;
	z->block_len -= *ret_len;
	z->given += *ret_len;
	return 0;
}

static void zip_close(struct medium *m)
{
	struct zip *z = m->priv;

	if (!z)
		return;
	archive_read_free(z->archive);
	medium_close(z->carrier);
	free(z->buf);
	free(z->member);
	free(z);
}

static const struct medium_ops zip_ops = {
	.name = "zip",
	.read = zip_read,
	.close = zip_close,
};

/* A zip of nothing begins with the end of its directory; libarchive does not take that for a zip.
 */
static int check_not_empty(struct zip *z, struct ism_error *err)
{
	uint8_t head[4];
	size_t n = 0;
	int r = medium_peek(z->carrier, head, sizeof(head), &n, err);

	if (r < 0)
		return r;
	return n == 4 && memcmp(head, "PK\5\6", 4) == 0 ? none_found(z, err) : 0;
}

static int find_member(struct zip *z, struct ism_error *err)
{
	int r = check_not_empty(z, err);

	if (r == 0)
		r = archive_start(z, err);
	if (r < 0)
		return r;
	if (z->carrier->forward)
		return go_to_first(z, err);
	z->listing = true;
	z->budget = DIRECTORY_MAX;
	r = choose(z, err);
	z->listing = false;
	return r < 0 ? r : go_to_member(z, err);
}

static int zip_open(struct medium *carrier, const struct ism_open_options *options,
                    struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&zip_ops, carrier->name);
	struct zip *z = m ? calloc(1, sizeof(*z)) : NULL;
	int r;

	(void)options;
	if (!z)
		return ism_error_oom(err);
	m->priv = z;
	z->buf = malloc(CARRIER_LEN);
	if (!z->buf)
		return ism_error_oom(err);
	z->carrier = carrier;
	r = find_member(z, err);
	if (r < 0) {
		z->carrier = NULL; /* stays the caller's */
		return r;
	}
	m->forward = true;
	m->size = z->size;
	m->stop = carrier->stop;
	*ret = take(m);
	return 0;
}

static char *zip_detail(const struct medium *m)
{
	const struct zip *z = m->priv;

	return text_format("member '%s'", z->member);
}

const struct format_driver format_driver_zip = {
	.name = "zip",
	.magics = { { 0, "PK\3\4", 4 },
	            { 0, "PK\5\6", 4 },
	            { 0, "PK00PK\3\4", 8 },
	            { 0, "PK\7\x08PK\3\4", 8 } },
	.open = zip_open,
	.detail = zip_detail,
	.container = true,
};
