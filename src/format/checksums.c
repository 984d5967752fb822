/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads checksum files: GNU coreutils' lines, BSD's and openssl's tagged ones, lone checksums,
 * clear-signed text (RFC 4880, section 7). */
#include "format/checksums.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "medium/medium.h"

#define CLOSE_MAX 3 /* names that an error offers */
#define HEX_MAX   128

struct algorithm {
	const char *name; /* as OpenSSL names it; NULL = proves nothing, or is not known here */
	const char *shown;
	size_t hex_len;
	unsigned strength; /* the strongest of several is used */
	const char *tags[4];
};

static const struct algorithm algorithms[] = {
	{ "sha512", "SHA-512", 128, 4, { "SHA512", "SHA2-512", "SHA-512" } },
	{ "blake2b512", "BLAKE2b", 128, 3, { "BLAKE2b", "BLAKE2B512", "BLAKE2B-512" } },
	{ "sha384", "SHA-384", 96, 2, { "SHA384", "SHA2-384", "SHA-384" } },
	{ "sha256", "SHA-256", 64, 1, { "SHA256", "SHA2-256", "SHA-256" } },
	{ NULL, "SHA-224", 56, 0, { "SHA224", "SHA2-224", "SHA-224" } },
	{ NULL, "SHA-1", 40, 0, { "SHA1", "SHA-1" } },
	{ NULL, "MD5", 32, 0, { "MD5" } },
};

struct text {
	const char *p;
	size_t len;
};

/* One line taken apart. */
struct line {
	const struct algorithm *algorithm;
	char hex[HEX_MAX + 1];
	char *name; /* owned; NULL = a lone checksum */
};

struct search {
	const char *path;
	const char *image; /* base name that is looked for */
	bool is_blake;     /* the file's name says that 128 digits are BLAKE2b */
	unsigned line;
	unsigned entries;   /* checksum lines so far */
	unsigned first_odd; /* first line that is none */
	unsigned named_odd; /* a line that is none, but names the image */
	const struct algorithm *weak;
	const struct algorithm *best;
	struct checksum_entry found;
	struct line lone;
	unsigned lone_line;
	char *close[CLOSE_MAX];
	size_t close_score[CLOSE_MAX];
	struct ism_error *err;
};

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The last component of a path, or of an address without its query, %XX decoded. */
static char *image_base_name(const char *image)
{
	bool is_address = strstr(image, "://");
	char *name = strndup(image, is_address ? strcspn(image, "?#") : strlen(image));
	char *base, *to;

	if (!name)
		return NULL;
	base = (char *)base_name(name);
	to = name;
	for (const char *p = base; *p; p++) {
		unsigned byte;

		if (is_address && *p == '%' && isxdigit((unsigned char)p[1]) &&
		    isxdigit((unsigned char)p[2]) && sscanf(p + 1, "%2x", &byte) == 1 && byte) {
			*to++ = (char)byte;
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	return name;
}

static bool is_hex(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isxdigit((unsigned char)p[i]))
			return false;
	return true;
}

static void set_hex(struct line *line, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		line->hex[i] = (char)tolower((unsigned char)p[i]);
	line->hex[len] = 0;
}

static const struct algorithm *by_length(size_t hex_len, bool is_blake)
{
	for (size_t i = is_blake ? 1 : 0; i < ARRAY_LEN(algorithms); i++)
		if (algorithms[i].hex_len == hex_len)
			return &algorithms[i];
	return NULL;
}

static const struct algorithm *by_tag(const char *tag, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		for (size_t k = 0; algorithms[i].tags[k]; k++)
			if (strlen(algorithms[i].tags[k]) == len &&
			    strncasecmp(tag, algorithms[i].tags[k], len) == 0)
				return &algorithms[i];
	return NULL;
}

/* In a line that begins with a backslash, \n, \r and \\ stand for themselves. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1]) {
			s++;
			*to++ = *s == 'n' ? '\n' : *s == 'r' ? '\r' : *s;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* HEX, a space, a space or an asterisk, NAME; or HEX alone. 1: taken, 0: no such line. */
static int parse_gnu(const char *p, size_t len, bool is_blake, struct line *ret)
{
	bool escaped = len && *p == '\\';
	size_t digits = 0, at;

	p += escaped;
	len -= escaped;
	while (digits < len && isxdigit((unsigned char)p[digits]))
		digits++;
	ret->algorithm = by_length(digits, is_blake);
	if (!ret->algorithm || (digits < len && p[digits] != ' ' && p[digits] != '\t'))
		return 0;
	set_hex(ret, p, digits);
	at = digits + 1;
	if (at < len && (p[at] == ' ' || p[at] == '*'))
		at++;
	if (at >= len)
		return 1;
	ret->name = strndup(p + at, len - at);
	if (!ret->name)
		return -ENOMEM;
	if (escaped)
		unescape(ret->name);
	return 1;
}

/* TAG (NAME) = HEX, or openssl's TAG(NAME)= HEX. 1: taken, 0: no such line. */
static int parse_tagged(const char *p, size_t len, struct line *ret)
{
	bool escaped = len && *p == '\\';
	const char *open, *close = NULL, *hex;
	size_t tag_len, hex_len;

	p += escaped;
	len -= escaped;
	open = memchr(p, '(', len);
	for (const char *c = open; c && c + 4 < p + len; c++)
		if (memcmp(c, ")= ", 3) == 0 || memcmp(c, ") = ", 4) == 0)
			close = c;
	if (!close)
		return 0;
	tag_len = (size_t)(open - p);
	if (tag_len && p[tag_len - 1] == ' ')
		tag_len--;
	hex = close + (close[1] == ' ' ? 4 : 3);
	hex_len = (size_t)(p + len - hex);
	ret->algorithm = by_tag(p, tag_len);
	if (!ret->algorithm || hex_len != ret->algorithm->hex_len || !is_hex(hex, hex_len))
		return 0;
	set_hex(ret, hex, hex_len);
	ret->name = strndup(open + 1, (size_t)(close - open - 1));
	if (!ret->name)
		return -ENOMEM;
	if (escaped)
		unescape(ret->name);
	return 1;
}

/* How alike two names are: what they begin and end with alike. */
static size_t likeness(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), n = 0, k = 0;

	while (n < la && n < lb && a[n] == b[n])
		n++;
	while (k < la - n && k < lb - n && a[la - 1 - k] == b[lb - 1 - k])
		k++;
	return n + k;
}

/* Keep the names that are most like the one looked for. */
static void offer(struct search *s, const char *name)
{
	size_t score = likeness(name, s->image), worst = 0;

	if (strpbrk(name, "\r\n"))
		return;

	for (size_t i = 0; i < CLOSE_MAX; i++) {
		if (s->close[i] && strcmp(s->close[i], name) == 0)
			return;
		if (s->close_score[i] < s->close_score[worst])
			worst = i;
	}
	if (score < 3 || score <= s->close_score[worst])
		return;
	free(s->close[worst]);
	s->close[worst] = strdup(name);
	s->close_score[worst] = score;
}

static int use_entry(struct search *s, const struct line *line, unsigned number)
{
	const struct algorithm *a = line->algorithm;

	if (!a->name) {
		s->weak = a;
		return 0;
	}
	if (s->best == a && strcmp(s->found.hex, line->hex) != 0)
		return ism_error_set(s->err, -ENOTUNIQ, s->path, ISM_NO_OFFSET,
		                     "lines %u and %u state different %s checksums for '%s'",
		                     s->found.line, number, a->shown, s->image);
	if (s->best && s->best->strength >= a->strength)
		return 0;
	s->best = a;
	s->found.algorithm = a->name;
	s->found.line = number;
	strcpy(s->found.hex, line->hex);
	return 0;
}

static int take_line(struct search *s, struct line *line)
{
	const char *name;

	s->entries++;
	if (!line->name) {
		s->lone = *line;
		s->lone_line = s->line;
		return 0;
	}
	name = base_name(line->name);
	if (strcmp(name, s->image) == 0)
		return use_entry(s, line, s->line);
	offer(s, name);
	return 0;
}

static int search_line(struct search *s, const char *p, size_t len)
{
	CLEANUP(cleanup_free) char *name = NULL;
	struct line line = { 0 };
	int r;

	while (len && isspace((unsigned char)p[len - 1]))
		len--;
	if (len == 0 || *p == '#' || *p == ';')
		return 0;
	r = parse_gnu(p, len, s->is_blake, &line);
	if (r == 0)
		r = parse_tagged(p, len, &line);
	name = line.name;
	if (r < 0)
		return ism_error_oom(s->err);
	if (r > 0)
		return take_line(s, &line);
	if (!s->first_odd)
		s->first_odd = s->line;
	if (!s->named_odd && memmem(p, len, s->image, strlen(s->image)))
		s->named_odd = s->line;
	return 0;
}

/* The next line of @t, without its end; false behind the last. */
static bool next_line(struct text *t, struct text *ret)
{
	const char *end;

	if (t->len == 0)
		return false;
	end = memchr(t->p, '\n', t->len);
	*ret = (struct text){ t->p, end ? (size_t)(end - t->p) : t->len };
	t->len -= ret->len + (end ? 1 : 0);
	t->p += ret->len + (end ? 1 : 0);
	return true;
}

static bool line_is(struct text line, const char *want)
{
	while (line.len && isspace((unsigned char)line.p[line.len - 1]))
		line.len--;
	return line.len == strlen(want) && memcmp(line.p, want, line.len) == 0;
}

/* Bytes that no text has. */
static int check_text(const char *path, struct text t, struct ism_error *err)
{
	unsigned line = 1;

	for (size_t i = 0; i < t.len; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (c == '\n')
			line++;
		else if (c == 127 || (c < ' ' && c != '\t' && c != '\r' && c != '\f'))
			return ism_error_set(err, -EBADMSG, path, i,
			                     "line %u: is no text: this is no checksum file", line);
	}
	return 0;
}

int checksums_signed_part(const char *path, const char **text, size_t *len, struct ism_error *err)
{
	struct text rest = { *text, *len }, line, body = { 0 };
	unsigned begins = 0, ends = 0;
	bool in_headers = false;

	while (next_line(&rest, &line)) {
		if (line_is(line, "-----BEGIN PGP SIGNED MESSAGE-----")) {
			begins++;
			in_headers = true;
		} else if (in_headers && line_is(line, "")) {
			in_headers = false;
			body.p = rest.p;
		} else if (line_is(line, "-----BEGIN PGP SIGNATURE-----") && begins) {
			if (in_headers)
				break;
			if (!ends++)
				body.len = (size_t)(line.p - body.p);
		}
	}
	if (!begins)
		return 0;
	if (begins != 1 || ends != 1 || !body.p || in_headers)
		return ism_error_set(err, -EBADMSG, path, ISM_NO_OFFSET,
		                     "is not one whole clear-signed text");
	*text = body.p;
	*len = body.len;
	return 1;
}

static void search_clear(struct search *s)
{
	for (size_t i = 0; i < CLOSE_MAX; i++)
		free(s->close[i]);
}

static int not_found(struct search *s)
{
	_free_ char *names = NULL;
	unsigned odd = s->named_odd ? s->named_odd : s->entries ? 0 : s->first_odd;

	if (odd)
		return ism_error_set(s->err, -EBADMSG, s->path, ISM_NO_OFFSET,
		                     "line %u: is no checksum line%s", odd,
		                     s->named_odd ? ", though it names the image" : "");
	if (!s->entries)
		return ism_error_set(s->err, -EBADMSG, s->path, ISM_NO_OFFSET,
		                     "holds no checksums");
	ism_error_set(s->err, -ENOENT, s->path, ISM_NO_OFFSET, "has no checksum for '%s'",
	              s->image);
	for (size_t i = 0; i < CLOSE_MAX; i++) {
		char *longer;

		if (!s->close[i])
			continue;
		longer = text_format("%s%s%s", names ? names : "", names ? ", " : "", s->close[i]);
		free(names);
		names = longer;
	}
	if (names)
		ism_error_hint(s->err, "it has checksums for %s", names);
	return -ENOENT;
}

static int decide(struct search *s)
{
	int r = 0;

	if (!s->best && !s->weak && s->lone_line && s->entries == 1)
		r = use_entry(s, &s->lone, s->lone_line);
	if (r < 0 || s->best)
		return r;
	if (!s->weak)
		return not_found(s);
	ism_error_set(s->err, -EOPNOTSUPP, s->path, ISM_NO_OFFSET,
	              "has only the %s of '%s', which proves nothing: it can be forged",
	              s->weak->shown, s->image);
	ism_error_hint(s->err, "look for a SHA256SUMS or .sha256 file beside it");
	return -EOPNOTSUPP;
}

static int search_text(struct search *s, struct text t)
{
	struct text line;
	int r = check_text(s->path, t, s->err), is_signed;

	if (r < 0)
		return r;
	if (t.len >= 3 && memcmp(t.p, "\xef\xbb\xbf", 3) == 0)
		t = (struct text){ t.p + 3, t.len - 3 };
	is_signed = checksums_signed_part(s->path, &t.p, &t.len, s->err);
	if (is_signed < 0)
		return is_signed;
	while (r == 0 && next_line(&t, &line)) {
		s->line++;
		if (is_signed && line.len >= 2 && memcmp(line.p, "- ", 2) == 0)
			line = (struct text){ line.p + 2, line.len - 2 };
		r = search_line(s, line.p, line.len);
	}
	return r < 0 ? r : decide(s);
}

int checksums_read(const char *path, char **ret, size_t *ret_len, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;
	_free_ char *text = NULL;
	int r = carrier_open(path, NULL, &m, err);

	if (r < 0)
		return r;
	text = malloc(CHECKSUMS_SIZE_MAX + 1);
	if (!text)
		return ism_error_oom(err);
	r = medium_read(m, text, CHECKSUMS_SIZE_MAX + 1, 0, ret_len, err);
	if (r < 0)
		return r;
	if (*ret_len > CHECKSUMS_SIZE_MAX)
		return ism_error_set(err, -EFBIG, path, ISM_NO_OFFSET,
		                     "is larger than a checksum file may be (%u KiB)",
		                     CHECKSUMS_SIZE_MAX >> 10);
	*ret = take(text);
	return 0;
}

int checksums_find(const char *path, const void *data, size_t len, const char *image_name,
                   struct checksum_entry *ret, struct ism_error *err)
{
	CLEANUP(search_clear) struct search s = { .path = path, .err = err };
	_free_ char *own = NULL, *image = NULL;
	int r;

	if (!data) {
		r = checksums_read(path, &own, &len, err);
		if (r < 0)
			return r;
		data = own;
	}
	if (len > CHECKSUMS_SIZE_MAX)
		return ism_error_set(err, -EFBIG, path, ISM_NO_OFFSET,
		                     "is larger than a checksum file may be");
	image = image_base_name(image_name);
	if (!image)
		return ism_error_oom(err);
	s.image = image;
	s.is_blake = path &&
	             (strcasestr(base_name(path), "b2") || strcasestr(base_name(path), "blake2"));
	r = search_text(&s, (struct text){ data, len });
	if (r < 0)
		return r;
	*ret = s.found;
	return 0;
}
