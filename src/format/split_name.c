/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names of split images: .001 (7-Zip, Total Commander, ddrescue users), .part1, and the .aa, .00 of
 * split(1), with split's own way to go on behind .yz and .89. */
#include "format/split_name.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define DIGITS_MAX      4
#define LETTERS_MAX     4
#define STRAY_NUMBERS   100 /* without a first part, a higher number is a year or a version */
#define STRAY_LETTERS   26  /* behind a gap, a smaller file further away is .gz or .xz */
#define DIR_ENTRIES_MAX 1000000

static size_t run_of(const char *name, size_t end, int (*is)(int))
{
	size_t n = 0;

	while (n < end && is((unsigned char)name[end - 1 - n]))
		n++;
	return n;
}

/* What stands between the base and the number; its length, 0 if it is nothing that joins parts. */
static size_t joint_len(const char *name, size_t prefix_len, enum split_style style)
{
	static const char part[] = ".part";
	size_t n = sizeof(part) - 1;

	if (style == SPLIT_DIGITS && prefix_len > n && memcmp(name + prefix_len - n, part, n) == 0)
		return n;
	if (prefix_len > 1 && name[prefix_len - 1] == '.')
		return 1;
	return 0;
}

bool split_name_parse(const char *name, struct split_name *ret)
{
	size_t len = strlen(name);
	size_t digits = run_of(name, len, isdigit), letters = run_of(name, len, islower);
	enum split_style style = digits ? SPLIT_DIGITS : SPLIT_LETTERS;
	size_t width = digits ? digits : letters;
	size_t prefix_len = len - width, joint;

	/* split(1) without a prefix writes xaa, xab, or x00, x01 */
	if (name[0] == 'x' && ((letters == 3 && len == 3) || (digits == 2 && len == 3))) {
		*ret = (struct split_name){ 1, 1, style, 2 };
		return true;
	}
	joint = joint_len(name, prefix_len, style);
	if (joint == 0 || (style == SPLIT_LETTERS && width < 2) ||
	    width > (style == SPLIT_DIGITS ? DIGITS_MAX : LETTERS_MAX))
		return false;
	*ret = (struct split_name){ prefix_len, prefix_len - joint, style, width };
	return true;
}

static bool digits_value(const char *s, size_t width, uint64_t *ret)
{
	uint64_t v = 0;
	size_t len = strlen(s);

	for (const char *p = s; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*ret = v;
	if (len == width)
		return true;
	/* .9 → .10, .999 → .1000; split -d goes on from 89 with 9000 */
	if (width == 2 && len == 4 && s[0] == '9')
		*ret = 90 + (v - 9000);
	return len == width + 1 ? s[0] != '0' : width == 2 && len == 4 && s[0] == '9';
}

static bool letters_value(const char *s, size_t width, uint64_t *ret)
{
	uint64_t v = 0;
	size_t len = strlen(s);
	bool goes_on = width == 2 && len == 4 && s[0] == 'z'; /* from yz with zaaa */

	if (len != width && !goes_on)
		return false;
	for (const char *p = goes_on ? s + 1 : s; *p; p++) {
		if (*p < 'a' || *p > 'z')
			return false;
		v = v * 26 + (uint64_t)(*p - 'a');
	}
	*ret = goes_on ? 25 * 26 + v : v;
	return true;
}

/* The number that @tail, of at most 5 characters, stands for in a series of this style and width.
 */
static bool number_of(const char *tail, enum split_style style, size_t width, uint64_t *ret)
{
	size_t len = strlen(tail);

	if (len < width || len > width + 2)
		return false;
	return style == SPLIT_DIGITS ? digits_value(tail, width, ret)
	                             : letters_value(tail, width, ret);
}

void split_series_clear(struct split_series *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->parts[i].path);
	free(s->parts);
	free(s->base);
	free(s->prefix);
	*s = (struct split_series){ 0 };
}

static int add_part(struct split_series *s, const char *path, uint64_t number, uint64_t size,
                    struct ism_error *err)
{
	if (s->n == SPLIT_PARTS_MAX)
		return ism_error_set(err, -E2BIG, s->base, ISM_NO_OFFSET, "has more than %d parts",
		                     SPLIT_PARTS_MAX);

	struct split_part *parts = realloc(s->parts, (s->n + 1) * sizeof(*parts));

	if (!parts)
		return ism_error_oom(err);
	s->parts = parts;
	parts[s->n] = (struct split_part){ number, size, strdup(path) };
	if (!parts[s->n].path)
		return ism_error_oom(err);
	s->n++;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct split_part *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* All regular files of the folder whose names belong to the series, ordered. */
static int collect(struct split_series *s, const char *dir, size_t dir_len, struct ism_error *err)
{
	const char *prefix = s->prefix + dir_len;
	size_t prefix_len = strlen(prefix), seen = 0;
	DIR *d = opendir(dir);
	int r = 0;

	if (!d)
		return 0;
	for (struct dirent *e; r == 0 && seen < DIR_ENTRIES_MAX && (e = readdir(d)); seen++) {
		uint64_t number;
		struct stat st;

		if (strncmp(e->d_name, prefix, prefix_len) != 0 ||
		    !number_of(e->d_name + prefix_len, s->style, s->width, &number))
			continue;

		_free_ char *path = text_format("%.*s%s", (int)dir_len, s->prefix, e->d_name);

		if (!path)
			r = ism_error_oom(err);
		else if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
			r = add_part(s, path, number, (uint64_t)st.st_size, err);
	}
	closedir(d);
	if (s->n)
		qsort(s->parts, s->n, sizeof(*s->parts), by_number);
	return r;
}

/* Parts that follow each other from the first, which is 0 or 1 (letters: 0). */
static size_t count_contiguous(const struct split_series *s)
{
	size_t n = 1;

	if (s->n == 0 || s->parts[0].number > (s->style == SPLIT_DIGITS ? 1 : 0))
		return 0;
	while (n < s->n && s->parts[n].number == s->parts[n - 1].number + 1)
		n++;
	return n;
}

/* Behind a gap: is this file a part that shows the gap, or something else with such a name? */
static bool shows_gap(const struct split_series *s, size_t contiguous, const struct split_part *p)
{
	if (contiguous == 0)
		return p->number < (s->style == SPLIT_DIGITS ? STRAY_NUMBERS : STRAY_LETTERS);
	if (s->style == SPLIT_DIGITS)
		return s->width > 1 || p->number < STRAY_NUMBERS;
	return p->size == s->parts[0].size || p->number < contiguous + STRAY_LETTERS;
}

static void drop_strays(struct split_series *s)
{
	size_t contiguous = count_contiguous(s), kept = contiguous;

	for (size_t i = contiguous; i < s->n; i++) {
		if (shows_gap(s, contiguous, &s->parts[i]))
			s->parts[kept++] = s->parts[i];
		else
			free(s->parts[i].path);
	}
	s->n = kept;
}

static int find_for_name(const char *path, size_t dir_len, const struct split_name *name,
                         struct split_series *ret, struct ism_error *err)
{
	CLEANUP(split_series_clear)
	struct split_series s = { .style = name->style, .width = name->width };
	_free_ char *dir = dir_len ? strndup(path, dir_len) : strdup(".");
	size_t base_len = dir_len + name->base_len;
	int r;

	/* "x" would be no name to look for a bmap beside */
	s.base = strndup(path, name->prefix_len == 1 ? strlen(path) : base_len);
	s.prefix = strndup(path, dir_len + name->prefix_len);
	if (!dir || !s.base || !s.prefix)
		return ism_error_oom(err);
	r = collect(&s, dir, dir_len, err);
	if (r < 0)
		return r;
	drop_strays(&s);
	if (s.n < 2)
		return 0;
	*ret = s;
	s = (struct split_series){ 0 };
	return 1;
}

static size_t dir_len_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) + 1 : 0;
}

static bool has_part(const struct split_series *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->parts[i].path, path) == 0)
			return true;
	return false;
}

/* How first parts are called. */
static const char *const first_suffixes[] = { ".001",    ".000",     ".01",    ".00",
	                                      ".1",      ".0",       ".0001",  ".0000",
	                                      ".aa",     ".aaa",     ".aaaa",  ".part1",
	                                      ".part01", ".part001", ".part0", ".part00" };

static int find_by_base(const char *base, struct split_series *ret, struct ism_error *err)
{
	CLEANUP(split_series_clear) struct split_series found = { 0 };
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(first_suffixes); i++) {
		CLEANUP(split_series_clear) struct split_series s = { 0 };
		_free_ char *first = text_format("%s%s", base, first_suffixes[i]);
		struct split_name name;
		int r;

		if (!first)
			return ism_error_oom(err);
		if (stat(first, &st) < 0 || !split_name_parse(first + dir_len_of(first), &name))
			continue;
		r = find_for_name(first, dir_len_of(first), &name, &s, err);
		if (r < 0)
			return r;
		if (r == 0 || (found.n && strcmp(found.parts[0].path, s.parts[0].path) == 0))
			continue;
		if (found.n) {
			ism_error_set(err, -ENOTUNIQ, base, ISM_NO_OFFSET,
			              "is the name of two series of parts, from %s and from %s on",
			              found.parts[0].path, s.parts[0].path);
			return ism_error_hint(err, "name the first part");
		}
		found = s;
		s = (struct split_series){ 0 };
	}
	*ret = found;
	found = (struct split_series){ 0 };
	return ret->n > 0;
}

int split_series_find(const char *path, struct split_series *ret, struct ism_error *err)
{
	CLEANUP(split_series_clear) struct split_series s = { 0 };
	size_t dir_len = dir_len_of(path);
	struct split_name name;
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return errno == ENOENT && path[dir_len] ? find_by_base(path, ret, err) : 0;
	if (!S_ISREG(st.st_mode) || !split_name_parse(path + dir_len, &name))
		return 0;
	r = find_for_name(path, dir_len, &name, &s, err);
	if (r <= 0 || !has_part(&s, path))
		return r < 0 ? r : 0;
	*ret = s;
	s = (struct split_series){ 0 };
	return 1;
}

/* The name that part @number would have. */
static char *part_path(const struct split_series *s, uint64_t number)
{
	char letters[LETTERS_MAX + 1] = "";

	if (s->style == SPLIT_DIGITS)
		return text_format("%s%0*llu", s->prefix, (int)s->width,
		                   (unsigned long long)number);
	for (size_t i = s->width; i-- > 0; number /= 26)
		letters[i] = (char)('a' + number % 26);
	return text_format("%s%s", s->prefix, letters);
}

static int check_gaps(const struct split_series *s, struct ism_error *err)
{
	size_t n = count_contiguous(s);

	if (n == s->n)
		return 0;

	uint64_t missing = n ? s->parts[n - 1].number + 1 : s->style == SPLIT_DIGITS ? 1 : 0;
	_free_ char *path = part_path(s, missing);

	ism_error_set(err, -EBADMSG, s->base, ISM_NO_OFFSET, "part %s is missing, but %s exists",
	              path ? path : "?", s->parts[n].path);
	return ism_error_hint(err, "if the file is an image by itself, rename it");
}

int split_series_check(const struct split_series *s, struct ism_error *err)
{
	uint64_t size = s->parts[0].size;
	int r = check_gaps(s, err);

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		const struct split_part *p = &s->parts[i];
		bool is_last = i + 1 == s->n;

		if (p->size == 0)
			r = ism_error_set(err, -EBADMSG, p->path, ISM_NO_OFFSET,
			                  "this part of a split image is empty");
		else if (p->size > size || (p->size < size && !is_last))
			r = ism_error_set(
				err, -EBADMSG, p->path, ISM_NO_OFFSET,
				"this part of a split image has %llu bytes, but %s has %llu",
				(unsigned long long)p->size, s->parts[0].path,
				(unsigned long long)size);
		if (r < 0)
			ism_error_hint(err, "if the file is an image by itself, rename it");
	}
	return r;
}
