/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a format's scan() finds where pieces start: by what a header looks like, or by walking from
 * header to header. */
#ifndef FORMAT_SCAN_H
#define FORMAT_SCAN_H

#include "format/decode.h"

#define SCAN_SPACING (128 * KIB) /* compressed bytes between two proposals, at least */
#define PATTERN_MAX  16

/**
 * struct pattern - pieces are found by the look of their first bytes
 * @first:    the first of them
 * @len:      how many are needed to judge, at most PATTERN_MAX
 * @is_start: @len bytes look like the start of a piece
 */
struct pattern {
	uint8_t first;
	size_t len;
	bool (*is_start)(const uint8_t *p);
	/* kept by pattern_scan() */
	uint64_t last;
	uint8_t carry[PATTERN_MAX];
	size_t carry_len;
};
void pattern_scan(struct pattern *s, struct decoder *d, struct span bytes, uint64_t offset);

#define WALK_MAX 1024

/** struct walk - a few bytes here, a few bytes there: what lies at @at is collected until it is
 * @want bytes */
struct walk {
	uint64_t at;
	size_t want, have;
	bool lost; /* there is no going on from here */
	uint8_t buf[WALK_MAX];
};
/** walk_to() - next, @want bytes at @skip bytes behind the present place */
void walk_to(struct walk *w, uint64_t skip, size_t want);
/** walk_more() - keep what has come and want @want bytes in all */
void walk_more(struct walk *w, size_t want);
/** walk_collect() - true when all that is wanted has come; @bytes come in order, from call to call
 */
bool walk_collect(struct walk *w, struct span bytes, uint64_t offset);
/**
 * walk_read() - the same from a random carrier
 * Return: 1 when all has come, 0 at the end of the carrier with nothing collected, -EBADMSG when it
 * ends before.
 */
int walk_read(struct walk *w, struct medium *carrier, struct ism_error *err);

#endif
