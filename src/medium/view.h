/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a disk can be looked at now: all of a random medium, or the first bytes of a forward one.
 * Readers of tables and file systems see a disk through it, and so work on both. */
#ifndef MEDIUM_VIEW_H
#define MEDIUM_VIEW_H

#include "base/bytes.h"
#include "medium/medium.h"

/**
 * struct view - a disk, as far as it can be seen
 * @head:   its first bytes, not owned; may be empty when @medium is set
 * @medium: random, not owned; NULL = nothing but @head
 * @size:   of the whole disk, bytes; ISM_SIZE_UNKNOWN
 */
struct view {
	struct span head;
	struct medium *medium;
	uint64_t size;
};

/** view_on() - all of a random medium, or the @head of a forward one */
struct view view_on(struct medium *m, struct span head);

/**
 * view_read() - exactly @len bytes at @offset
 * Return: 0; -ENODATA: behind the head, and there is no medium to ask; -ERANGE: behind the end of
 * the disk; -ECANCELED; else the medium could not be read.
 */
int view_read(const struct view *v, void *buf, size_t len, uint64_t offset);

/** view_fatal() - @r is no fact about the disk, but a reason to stop: out of memory, canceled */
static inline bool view_fatal(int r)
{
	return r == -ENOMEM || r == -ECANCELED;
}

#endif
