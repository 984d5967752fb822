/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What of a disk can be looked at now: all of a random medium, or the first bytes of a forward one.
 * Readers of tables and file systems see a disk through it, and so work on both. */
#ifndef MEDIUM_WINDOW_H
#define MEDIUM_WINDOW_H

#include "base/bytes.h"
#include "medium/medium.h"

/**
 * struct window - a disk, as far as it can be seen
 * @head:   its first bytes, not owned; may be empty when @medium is set
 * @medium: random, not owned; NULL = nothing but @head
 * @size:   of the whole disk, bytes; ISM_SIZE_UNKNOWN
 */
struct window {
	struct span head;
	struct medium *medium;
	uint64_t size;
};

/** window_on() - all of a random medium, or the @head of a forward one */
struct window window_on(struct medium *m, struct span head);

/**
 * window_read() - exactly @len bytes at @offset
 * Return: 0; -ENODATA: behind the head, and there is no medium to ask; -ERANGE: behind the end of
 * the disk; -ECANCELED; else the medium could not be read.
 */
int window_read(const struct window *w, void *buf, size_t len, uint64_t offset);

/** window_fatal() - @r is no fact about the disk, but a reason to stop: out of memory, canceled */
static inline bool window_fatal(int r)
{
	return r == -ENOMEM || r == -ECANCELED;
}

#endif
