/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How the names that file systems carry are written for people. Spec of a UUID's text: RFC 4122. */
#include "fs/names.h"

#include <stdlib.h>

char *fs_uuid_text(const uint8_t uuid[16])
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(37), *p = text;

	if (!text)
		return NULL;
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[uuid[i] >> 4];
		*p++ = digits[uuid[i] & 15];
	}
	*p = '\0';
	return text;
}
