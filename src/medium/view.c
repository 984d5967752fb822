/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads of a disk of which perhaps only the head is at hand. */
#include "medium/view.h"

struct view view_on(struct medium *m, struct span head)
{
	return (struct view){ head, m->forward ? NULL : m, m->size };
}

int view_read(const struct view *v, void *buf, size_t len, uint64_t offset)
{
	struct span part;
	size_t n = 0;
	int r;

	if (v->size != ISM_SIZE_UNKNOWN && (offset > v->size || len > v->size - offset))
		return -ERANGE;
	if (span_sub(v->head, offset, len, &part)) {
		if (len)
			memcpy(buf, part.p, len);
		return 0;
	}
	if (!v->medium)
		return -ENODATA;
	r = medium_read(v->medium, buf, len, offset, &n, NULL);
	if (r < 0)
		return r;
	return n < len ? -ERANGE : 0;
}
