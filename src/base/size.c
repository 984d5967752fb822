/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "4M", "2048s", "1234567". */
#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"

static uint64_t unit_of(char c)
{
	switch (c) {
	case 'K':
	case 'k':
		return KIB;
	case 'M':
		return MIB;
	case 'G':
		return GIB;
	case 'T':
		return TIB;
	case 's':
		return 512;
	default:
		return 0;
	}
}

int size_parse(const char *text, uint64_t *ret, const char **end)
{
	unsigned long long v;
	uint64_t unit;
	char *stop;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &stop, 10);
	if (errno)
		return -ERANGE;
	unit = unit_of(*stop);
	if (unit) {
		stop++;
		if (mul_overflows(v, unit, &v))
			return -ERANGE;
	}
	if (end)
		*end = stop;
	else if (*stop)
		return -EINVAL;
	*ret = v;
	return 0;
}
