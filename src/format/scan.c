/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where pieces of a compressed stream start: patterns and walks. */
#include "format/scan.h"

#include <string.h>

static void pattern_look(struct pattern *s, struct decoder *d, struct span b, uint64_t offset)
{
	const uint8_t *p = b.p, *end = b.len < s->len ? b.p : b.p + b.len - s->len + 1;

	while (p < end && (p = memchr(p, s->first, (size_t)(end - p)))) {
		uint64_t at = offset + (uint64_t)(p - b.p);

		if (at >= s->last + SCAN_SPACING && s->is_start(p)) {
			s->last = at;
			decode_split(d, at, 0);
		}
		p++;
	}
}

void pattern_scan(struct pattern *s, struct decoder *d, struct span b, uint64_t offset)
{
	uint8_t joint[2 * PATTERN_MAX];
	size_t n = MIN(b.len, s->len - 1);

	/* Starts in the last bytes of the chunk before, which alone could not be judged. */
	memcpy(joint, s->carry, s->carry_len);
	memcpy(joint + s->carry_len, b.p, n);
	pattern_look(s, d, (struct span){ joint, s->carry_len + n }, offset - s->carry_len);
	pattern_look(s, d, b, offset);
	memcpy(s->carry, b.p + b.len - n, n);
	s->carry_len = n;
}

void walk_to(struct walk *w, uint64_t skip, size_t want)
{
	if (add_overflows(w->at, skip, &w->at))
		w->lost = true;
	w->have = 0;
	w->want = want;
}

void walk_more(struct walk *w, size_t want)
{
	w->want = want;
}

bool walk_collect(struct walk *w, struct span b, uint64_t offset)
{
	uint64_t pos = w->at + w->have;

	if (w->lost || pos < offset || pos - offset >= b.len)
		return false;

	size_t skip = (size_t)(pos - offset), n = MIN(w->want - w->have, b.len - skip);

	memcpy(w->buf + w->have, b.p + skip, n);
	w->have += n;
	return w->have == w->want;
}

int walk_read(struct walk *w, struct medium *carrier, struct ism_error *err)
{
	size_t n = 0;
	int r = 0;

	if (w->at <= carrier->size)
		r = medium_read(carrier, w->buf + w->have, w->want - w->have, w->at + w->have, &n,
		                err);
	if (r < 0)
		return r;
	w->have += n;
	if (w->have == w->want)
		return 1;
	if (w->have == 0 && w->at == carrier->size)
		return 0;
	return format_error(err, carrier, carrier->size,
	                    "is truncated: at least %llu bytes are missing",
	                    (unsigned long long)(w->at + w->want - carrier->size));
}
