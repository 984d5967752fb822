/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a REF to a disk: carrier, then the format that its content shows. */
#include "format/format.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

static const struct format_driver *const drivers[] = {
	NULL,
};

#define PROBE_LEN 4096

static const struct format_driver *probe(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i + 1 < ARRAY_LEN(drivers) && drivers[i]; i++) {
		const struct format_magic *g = drivers[i]->magics;

		for (size_t k = 0; k < ARRAY_LEN(drivers[i]->magics) && g[k].bytes; k++)
			if (g[k].offset + g[k].len <= len &&
			    memcmp(head + g[k].offset, g[k].bytes, g[k].len) == 0)
				return drivers[i];
	}
	return NULL;
}

int format_error(struct ism_error *err, const struct medium *carrier, uint64_t offset,
                 const char *fmt, ...)
{
	_free_ char *text = NULL;
	va_list args;

	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) < 0)
		text = NULL;
	va_end(args);
	return ism_error_set(err, -EBADMSG, carrier->name, offset, "%s",
	                     text ? text : "is damaged");
}

void source_facts_clear(struct source_facts *facts)
{
	if (!facts)
		return;
	free(facts->detail);
	free(facts->bmap);
	for (char **f = facts->files; f && *f; f++)
		free(*f);
	free(facts->files);
	*facts = (struct source_facts){ 0 };
}

int source_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                struct source_facts *ret_facts, struct ism_error *err)
{
	_medium_ struct medium *carrier = NULL;
	uint8_t head[PROBE_LEN];
	size_t len = 0;
	int r;

	r = carrier_open(ref, options, &carrier, err);
	if (r < 0)
		return r;
	if (ret_facts)
		*ret_facts = (struct source_facts){ .carrier = carrier->ops->name,
			                            .format = "raw",
			                            .carrier_size = carrier->size };
	if (!options->raw) {
		r = medium_peek(carrier, head, sizeof(head), &len, err);
		if (r < 0)
			return r;

		const struct format_driver *driver = probe(head, len);

		if (driver) {
			if (ret_facts)
				ret_facts->format = driver->name;
			r = driver->open(carrier, options, ret, err);
			if (r >= 0)
				take(carrier);
			return r;
		}
	}
	*ret = take(carrier);
	return 0;
}
