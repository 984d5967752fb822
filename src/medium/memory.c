/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A medium over bytes in memory, random like a file or forward like a pipe. */
#include "medium/memory.h"

#include <string.h>

#include "base/bytes.h"

static int memory_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	const struct span *bytes = m->priv;

	(void)err;
	*ret_len = 0;
	if (offset >= bytes->len)
		return 0;
	*ret_len = MIN(len, bytes->len - (size_t)offset);
	memcpy(buf, bytes->p + offset, *ret_len);
	return 0;
}

static void memory_close(struct medium *m)
{
	free(m->priv);
}

static const struct medium_ops memory_ops = {
	.name = "memory",
	.read = memory_read,
	.close = memory_close,
};

int medium_memory(const void *data, size_t len, bool forward, struct medium **ret,
                  struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&memory_ops, "memory");
	struct span *bytes = m ? calloc(1, sizeof(*bytes)) : NULL;

	if (!bytes)
		return ism_error_oom(err);
	*bytes = (struct span){ data, len };
	m->priv = bytes;
	m->forward = forward;
	if (!forward)
		m->size = len;
	*ret = take(m);
	return 0;
}
