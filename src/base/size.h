/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sizes as people write and read them. */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stdint.h>

/**
 * size_parse() - a number with an optional K, M, G, T (powers of 1024) or s (sectors of 512 bytes)
 * @end: behind the last character that was understood; NULL = all of @text must be
 * Return: 0, -EINVAL, -ERANGE.
 */
int size_parse(const char *text, uint64_t *ret, const char **end);

#endif
