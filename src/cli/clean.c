/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names, labels and messages may hold any bytes; a terminal or a log is to get text only: valid
 * UTF-8 without control characters, neither C0 nor C1, and without marks that turn the direction.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* One code point of valid UTF-8 and its length; 0 if these bytes are none. */
static size_t code_point(const char *text, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	size_t len = s[0] < 0x80   ? 1
	             : s[0] < 0xc2 ? 0
	             : s[0] < 0xe0 ? 2
	             : s[0] < 0xf0 ? 3
	             : s[0] < 0xf5 ? 4
	                           : 0;
	uint32_t c = len == 1 ? s[0] : s[0] & (0x7fU >> len);

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (len > 1 && (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)))
		return 0;
	*ret = c;
	return len;
}

static bool is_mischief(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t text_step(const char *s, bool *ret_shown)
{
	uint32_t c = 0;
	size_t len = code_point(s, &c);

	*ret_shown = len && !is_mischief(c);
	return len ? len : 1;
}

void put_clean(const char *s, FILE *out)
{
	while (*s) {
		bool shown;
		size_t n = text_step(s, &shown);

		if (shown)
			fwrite(s, 1, n, out);
		else
			fputc('?', out);
		s += n;
	}
}

void text_clean(char *s)
{
	char *to = s;

	while (*s) {
		bool shown;
		size_t n = text_step(s, &shown);

		if (shown)
			memmove(to, s, n);
		else
			*to = '?';
		to += shown ? n : 1;
		s += n;
	}
	*to = '\0';
}

static bool is_clean(const char *s)
{
	bool shown = true;

	while (*s && shown)
		s += text_step(s, &shown);
	return shown;
}

/* Few names are not clean; their clean copies are kept to the end of the program. */
static struct copy {
	char *dirty, *clean;
	struct copy *next;
} * copies;

const char *clean(const char *s)
{
	struct copy *c;

	if (!s || is_clean(s))
		return s;
	for (c = copies; c; c = c->next)
		if (strcmp(c->dirty, s) == 0)
			return c->clean;
	c = malloc(sizeof(*c));
	if (!c)
		return "?";
	*c = (struct copy){ .dirty = strdup(s), .clean = strdup(s), .next = copies };
	if (!c->dirty || !c->clean) {
		free(c->dirty);
		free(c->clean);
		free(c);
		return "?";
	}
	text_clean(c->clean);
	copies = c;
	return c->clean;
}
