/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a REF to a disk: carrier or split parts, the format that its content shows, the bmap. */
#include "format/format.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/bytes.h"
#include "format/foreign.h"
#include "format/undo.h"

static const struct format_driver *const drivers[] = {
	&format_driver_native, &format_driver_undo, &format_driver_zip, &format_driver_gz,
	&format_driver_xz,     &format_driver_bz2,  &format_driver_zst, &format_driver_lz4,
};

#define PROBE_LEN 4096

const struct format_driver *format_probe(const uint8_t *head, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(drivers); i++) {
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

int source_facts_add_file(struct source_facts *facts, const char *path, struct ism_error *err)
{
	size_t n = 0;

	while (facts->files && facts->files[n])
		n++;

	char **files = realloc(facts->files, (n + 2) * sizeof(*files));

	if (!files)
		return ism_error_oom(err);
	facts->files = files;
	files[n] = strdup(path);
	files[n + 1] = NULL;
	return files[n] ? 0 : ism_error_oom(err);
}

static int peek_head(struct medium *m, uint8_t head[PROBE_LEN], size_t *ret_len,
                     struct ism_error *err)
{
	int r = medium_peek(m, head, PROBE_LEN, ret_len, err);

	if (r == 0 && *ret_len == 0)
		return ism_error_set(err, -ENODATA, m->name, ISM_NO_OFFSET,
		                     "is empty: nothing to write");
	return r;
}

/* One more clause for the user; @clause is NULL if there is none. */
static int append_detail(struct source_facts *facts, const char *clause, struct ism_error *err)
{
	char *both;

	if (!clause)
		return 0;
	both = text_format("%s%s%s", facts->detail ? facts->detail : "", facts->detail ? ", " : "",
	                   clause);
	if (!both)
		return ism_error_oom(err);
	free(facts->detail);
	facts->detail = both;
	return 0;
}

static int add_detail(struct source_facts *facts, const struct format_driver *driver,
                      const struct medium *m, struct ism_error *err)
{
	_free_ char *own = driver->detail ? driver->detail(m) : NULL;
	_free_ char *named = NULL;

	if (!facts->format) {
		facts->format = driver->name;
		return append_detail(facts, own, err);
	}
	named = text_format("%s%s%s", driver->name, own ? ": " : "", own ? own : "");
	return named ? append_detail(facts, named, err) : ism_error_oom(err);
}

static int open_carrier(const char *ref, const struct ism_open_options *options,
                        struct medium **ret, struct source_facts *facts, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;
	int r;

	if (!options->raw && split_is_part(ref)) {
		r = split_open(ref, options, &m, facts, err);
	} else {
		r = carrier_open(ref, options, &m, err);
		if (r == 0 && strcmp(m->ops->name, "file") == 0)
			r = source_facts_add_file(facts, ref, err);
	}
	if (r < 0)
		return r;
	facts->carrier = facts->parts ? "file" : m->ops->name;
	if (facts->parts) {
		_free_ char *parts = text_format("%u parts", facts->parts);

		r = append_detail(facts, parts, err);
		if (r < 0)
			return r;
	}
	facts->carrier_size = m->size;
	*ret = take(m);
	return 0;
}

/* One layer: *m becomes what it holds; *ret_driver is NULL if it is the disk itself. */
static int open_layer(struct medium **m, const struct ism_open_options *options,
                      struct source_facts *facts, const struct format_driver **ret_driver,
                      struct ism_error *err)
{
	struct medium *inner = NULL;
	uint8_t head[PROBE_LEN];
	size_t len = 0;
	int r = peek_head(*m, head, &len, err);

	if (r < 0)
		return r;
	*ret_driver = format_probe(head, len);
	if (!*ret_driver)
		return foreign_check(*m, head, len, err);
	r = (*ret_driver)->open(*m, options, &inner, err);
	if (r < 0)
		return r;
	*m = inner;
	return add_detail(facts, *ret_driver, inner, err);
}

/* A compressed file may hold something that is no disk: x.tar.xz. */
static int check_content(struct medium *m, struct ism_error *err)
{
	uint8_t head[PROBE_LEN];
	size_t len = 0;
	int r = peek_head(m, head, &len, err);

	return r < 0 ? r : foreign_check(m, head, len, err);
}

static int open_format(struct medium **m, const struct ism_open_options *options,
                       struct source_facts *facts, struct ism_error *err)
{
	const struct format_driver *driver = NULL, *inner = NULL;
	int r = open_layer(m, options, facts, &driver, err);

	if (r < 0 || !driver)
		return r;
	if (driver->container) {
		r = open_layer(m, options, facts, &inner, err);
		if (r < 0 || !inner)
			return r;
		if (inner->container)
			return ism_error_set(err, -EOPNOTSUPP, (*m)->name, ISM_NO_OFFSET,
			                     "holds a %s file in a %s file", inner->name,
			                     driver->name);
	}
	/* What a disk held before may look like anything. */
	return undo_index_of(*m) ? 0 : check_content(*m, err);
}

/* x.img.xz → x.img; NULL if there is no such suffix. */
static char *without_suffix(const char *path)
{
	static const char *const suffixes[] = { ".gz",  ".xz",  ".bz2",  ".zst", ".zstd",
		                                ".lz4", ".zip", ".lzma", ".gzip" };
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len > n && strcasecmp(path + len - n, suffixes[i]) == 0)
			return strndup(path, len - n);
	}
	return NULL;
}

/* The bmap beside the image; NULL if there is none. One that cannot be read is still found. */
static char *find_bmap(const char *image)
{
	_free_ char *base = without_suffix(image);
	const char *const names[] = { image, base };

	for (size_t i = 0; i < ARRAY_LEN(names) && names[i]; i++) {
		_free_ char *path = text_format("%s.bmap", names[i]);

		if (path && (access(path, F_OK) == 0 || errno == EACCES))
			return take(path);
	}
	return NULL;
}

static int open_bmap(const char *image, struct medium **m, const struct ism_open_options *options,
                     struct source_facts *facts, struct ism_error *err)
{
	struct medium *mapped = NULL;
	int r;

	if (options->bmap)
		facts->bmap = strdup(options->bmap);
	else if (!options->no_bmap && !options->raw && facts->files)
		facts->bmap = find_bmap(image);
	if (!facts->bmap)
		return options->bmap ? ism_error_oom(err) : 0;
	r = bmap_open(*m, facts->bmap, &mapped, err);
	if (r < 0) {
		if (!options->bmap)
			ism_error_hint(err, "--no-bmap leaves the bmap beside the image alone");
		return r;
	}
	*m = mapped;
	return source_facts_add_file(facts, facts->bmap, err);
}

static unsigned processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (unsigned)n : 1;
}

static int open_all(const char *ref, const struct ism_open_options *options, struct medium **m,
                    struct source_facts *facts, struct ism_error *err)
{
	_free_ char *image = NULL;
	int r = open_carrier(ref, options, m, facts, err);

	if (r < 0)
		return r;
	if ((*m)->size == 0)
		return ism_error_set(err, -ENODATA, ref, ISM_NO_OFFSET,
		                     "is empty: nothing to write");
	image = strdup((*m)->name);
	if (!image)
		return ism_error_oom(err);
	/* A disk is its bytes, whatever lies in its first sectors. */
	if (!options->raw && strcmp(facts->carrier, "device") != 0)
		r = open_format(m, options, facts, err);
	if (!facts->format)
		facts->format = "raw";
	if (r < 0)
		return r;
	return open_bmap(image, m, options, facts, err);
}

int source_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                struct source_facts *ret_facts, struct ism_error *err)
{
	struct ism_open_options own = options ? *options : (struct ism_open_options){ 0 };
	CLEANUP(source_facts_clear) struct source_facts facts = { 0 };
	_medium_ struct medium *m = NULL;
	int r;

	if (own.threads == 0)
		own.threads = processors();
	r = open_all(ref, &own, &m, &facts, err);
	if (r < 0)
		return r;
	if (ret_facts) {
		*ret_facts = facts;
		facts = (struct source_facts){ 0 };
	}
	*ret = take(m);
	return 0;
}
