/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bitmaps to runs of used bytes, the cross-check of metadata against them, and the sentences that
 * say why a map is as it is. */
#include "fs/map_bits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The first bit from @at on that is @set; @end if there is none. */
static uint64_t next_bit(const uint8_t *bits, uint64_t at, uint64_t end, bool set)
{
	const uint8_t skip = set ? 0 : 0xff;
	const uint64_t skip_word = set ? 0 : UINT64_MAX;

	while (at < end) {
		if (at % 8 == 0 && end - at >= 64 && le64_at(bits + at / 8) == skip_word)
			at += 64;
		else if (at % 8 == 0 && end - at >= 8 && bits[at / 8] == skip)
			at += 8;
		else if ((bits[at / 8] >> (at % 8) & 1) == set)
			return at;
		else
			at++;
	}
	return end;
}

int map_add_bits(struct fs_map *map, const uint8_t *bits, uint64_t first, uint64_t n,
                 uint64_t offset, uint64_t unit)
{
	uint64_t end = first + n;

	for (uint64_t from = first; (from = next_bit(bits, from, end, true)) < end;) {
		uint64_t to = next_bit(bits, from, end, false);

		if (fs_map_add(map, offset + (from - first) * unit, (to - from) * unit) < 0)
			return -ENOMEM;
		from = to;
	}
	return 0;
}

/* The number of runs that begin at or before @offset. */
static size_t runs_until(const struct fs_map *map, uint64_t offset)
{
	size_t low = 0, high = map->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->runs[mid].offset <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool map_covers(const struct fs_map *map, uint64_t offset, uint64_t len)
{
	uint64_t end;

	if (add_overflows(offset, len, &end) || !map->sorted)
		return false;
	/* Runs that touch are perhaps not merged yet. */
	for (size_t i = runs_until(map, offset); i && offset < end; i++) {
		const struct fs_run *run = &map->runs[i - 1];

		if (run->offset > offset || run->offset + run->len <= offset)
			return false;
		offset = run->offset + run->len;
		if (i == map->n)
			break;
	}
	return offset >= end;
}

static int add_sentence(struct fs_facts *facts, const char *fmt, va_list args) ISM_PRINTF(2, 0);

static int add_sentence(struct fs_facts *facts, const char *fmt, va_list args)
{
	char *sentence, *both;

	if (vasprintf(&sentence, fmt, args) < 0)
		return -ENOMEM;
	both = facts->why ? text_format("%s; %s", facts->why, sentence) : sentence;
	if (both != sentence)
		free(sentence);
	if (!both)
		return -ENOMEM;
	free(facts->why);
	facts->why = both;
	return 0;
}

int map_note(struct fs_facts *facts, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = add_sentence(facts, fmt, args);
	va_end(args);
	return r;
}

int map_give_up(struct fs_facts *facts, enum fs_state state, const char *fmt, ...)
{
	va_list args;
	int r;

	facts->all_used = true;
	facts->state = state;
	va_start(args, fmt);
	r = add_sentence(facts, fmt, args);
	va_end(args);
	return r;
}

static char *put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		*out++ = (char)c;
		return out;
	}
	if (c < 0x800) {
		*out++ = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		*out++ = (char)(0xe0 | c >> 12);
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		*out++ = (char)(0xf0 | c >> 18);
		*out++ = (char)(0x80 | (c >> 12 & 0x3f));
		*out++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*out++ = (char)(0x80 | (c & 0x3f));
	return out;
}

char *text_utf16le(const uint8_t *units, size_t n)
{
	char *text = malloc(n * 3 + 1), *out = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		uint32_t c = le16_at(units + 2 * i);
		uint32_t low = i + 1 < n ? le16_at(units + 2 * i + 2) : 0;

		if (c == 0)
			break;
		if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
			i++;
		} else if (c >= 0xd800 && c < 0xe000) {
			c = '?';
		}
		out = put_utf8(out, c);
	}
	*out = '\0';
	return text;
}
