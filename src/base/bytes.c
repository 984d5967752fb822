/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking at many bytes at once. */
#include "base/bytes.h"

bool bytes_are(const void *p, size_t len, uint8_t value)
{
	const uint8_t *b = p;

	if (len == 0)
		return true;
	/* Equal to its own neighbour all along, and the first is right. */
	return b[0] == value && memcmp(b, b + 1, len - 1) == 0;
}

bool bytes_are_zero(const void *p, size_t len)
{
	return bytes_are(p, len, 0);
}
