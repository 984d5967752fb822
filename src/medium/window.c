/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads of a disk of which perhaps only the head is at hand. */
#include "medium/window.h"

struct window window_on(struct medium *m, struct span head)
{
	return (struct window){ head, m->forward ? NULL : m, m->size };
}

int window_read(const struct window *w, void *buf, size_t len, uint64_t offset)
{
	struct span part;
	size_t n = 0;
	int r;

	if (w->size != ISM_SIZE_UNKNOWN && (offset > w->size || len > w->size - offset))
		return -ERANGE;
	if (span_sub(w->head, offset, len, &part)) {
		if (len)
			memcpy(buf, part.p, len);
		return 0;
	}
	if (!w->medium)
		return -ENODATA;
	r = medium_read(w->medium, buf, len, offset, &n, NULL);
	if (r < 0)
		return r;
	return n < len ? -ERANGE : 0;
}
