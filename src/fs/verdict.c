/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What readers of allocation maps share: saying that nothing can be trusted, and why; CRC-32C as
 * in RFC 3720. */
#include "fs/verdict.h"

#include <isa-l/crc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static int set_why(struct fs_facts *facts, enum fs_state state, const char *fmt, va_list args)
	ISM_PRINTF(3, 0);

static int set_why(struct fs_facts *facts, enum fs_state state, const char *fmt, va_list args)
{
	char *why;

	if (vasprintf(&why, fmt, args) < 0)
		return -ENOMEM;
	free(facts->why);
	facts->why = why;
	facts->state = state;
	return 0;
}

int fs_all_used(struct fs_facts *facts, enum fs_state state, const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list args;
	int r;

	va_start(args, fmt);
	r = set_why(facts, state, fmt, args);
	va_end(args);
	if (r < 0)
		return r;
	facts->all_used = true;
	text = facts->why;
	facts->why = text_format("%s: all of it counts as used", text);
	return facts->why ? 0 : -ENOMEM;
}

int fs_say(struct fs_facts *facts, enum fs_state state, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = set_why(facts, state, fmt, args);
	va_end(args);
	return r;
}

int fs_label(const void *bytes, size_t max, char **ret)
{
	size_t len = strnlen(bytes, max);

	while (len && ((const char *)bytes)[len - 1] == ' ')
		len--;
	if (!len)
		return 0;
	*ret = strndup(bytes, len);
	return *ret ? 0 : -ENOMEM;
}

uint32_t fs_crc32c(uint32_t crc, const void *p, size_t len)
{
	return crc32_iscsi((unsigned char *)p, (int)len, crc);
}
