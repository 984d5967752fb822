/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An image in parts, read as one medium. Which files are parts: split_name.c. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "format/format.h"
#include "format/split_name.h"

#define ISO_MAGIC_OFFSET (16 * 2048 + 1)

struct split {
	struct medium **parts;
	uint64_t *starts; /* offset of each part in the whole; one more for the end */
	size_t n;
};

/* The part that holds @offset, which is before the end. */
static size_t split_part_at(const struct split *s, uint64_t offset)
{
	size_t low = 0, high = s->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (s->starts[mid] <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

static int split_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                      struct ism_error *err)
{
	struct split *s = m->priv;
	size_t i;

	if (offset >= m->size) {
		*ret_len = 0;
		return 0;
	}
	i = split_part_at(s, offset);
	*ret_len = (size_t)MIN((uint64_t)len, s->starts[i + 1] - offset);
	return medium_read_all(s->parts[i], buf, *ret_len, offset - s->starts[i], err);
}

static int split_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                             struct ism_error *err)
{
	struct split *s = m->priv;
	size_t i = split_part_at(s, offset);
	int r = medium_next_extent(s->parts[i], offset - s->starts[i], ret, err);

	if (r < 0)
		return r;
	ret->offset = offset;
	ret->len = MIN(ret->len, s->starts[i + 1] - offset);
	return 0;
}

static void split_close(struct medium *m)
{
	struct split *s = m->priv;

	for (size_t i = 0; s && s->parts && i < s->n; i++)
		medium_close(s->parts[i]);
	if (s) {
		free(s->parts);
		free(s->starts);
	}
	free(s);
}

static const struct medium_ops split_ops = {
	.name = "split",
	.read = split_read,
	.next_extent = split_next_extent,
	.close = split_close,
};

static int open_part(struct split *s, size_t i, const struct split_part *part,
                     const struct ism_open_options *options, struct ism_error *err)
{
	int r = carrier_driver_file.open(part->path, options, &s->parts[i], err);

	if (r < 0 && err && (err->code == -EMFILE || err->code == -ENFILE))
		ism_error_hint(err, "allow more open files: ulimit -n 8192");
	if (r < 0)
		return r;
	if (s->parts[i]->size != part->size)
		return ism_error_set(err, -ESTALE, part->path, ISM_NO_OFFSET,
		                     "changes its size while it is opened");
	s->starts[i + 1] = s->starts[i] + part->size;
	return 0;
}

static int is_image_start(struct medium *m, bool *ret, struct ism_error *err)
{
	size_t want = ISO_MAGIC_OFFSET + 5, n = 0;
	_free_ uint8_t *head = malloc(want);
	int r;

	if (!head)
		return ism_error_oom(err);
	r = medium_read(m, head, want, 0, &n, err);
	if (r < 0)
		return r;
	*ret = format_probe(head, MIN(n, (size_t)4096)) ||
	       (n >= 512 && head[510] == 0x55 && head[511] == 0xaa) ||
	       (n == want && memcmp(head + ISO_MAGIC_OFFSET, "CD001", 5) == 0);
	return 0;
}

/* backup.img.1 and backup.img.2 of one size may be two images, not two halves. */
static int check_one_image(const struct split *s, struct ism_error *err)
{
	bool first = false, second = false;
	int r = is_image_start(s->parts[0], &first, err);

	if (r == 0 && first)
		r = is_image_start(s->parts[1], &second, err);
	if (r < 0 || !second)
		return r;
	ism_error_set(err, -ENOTUNIQ, s->parts[1]->name, ISM_NO_OFFSET,
	              "is named like the second part of a split image, but begins like an image of "
	              "its own, as %s does",
	              s->parts[0]->name);
	return ism_error_hint(err,
	                      "rename the image that is meant, so that its name ends otherwise");
}

static int fill_facts(const struct split_series *series, struct source_facts *facts,
                      struct ism_error *err)
{
	int r = 0;

	facts->parts = (unsigned)series->n;
	for (size_t i = 0; r == 0 && i < series->n; i++)
		r = source_facts_add_file(facts, series->parts[i].path, err);
	return r;
}

static int open_series(const struct split_series *series, const struct ism_open_options *options,
                       struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&split_ops, series->base);
	struct split *s = m ? calloc(1, sizeof(*s)) : NULL;
	int r = 0;

	if (!s)
		return ism_error_oom(err);
	m->priv = s;
	s->parts = calloc(series->n, sizeof(struct medium *));
	s->starts = calloc(series->n + 1, sizeof(*s->starts));
	if (!s->parts || !s->starts)
		return ism_error_oom(err);
	s->n = series->n;
	for (size_t i = 0; i < series->n; i++) {
		r = open_part(s, i, &series->parts[i], options, err);
		if (r < 0)
			return r;
	}
	r = check_one_image(s, err);
	if (r < 0)
		return r;
	m->size = s->starts[s->n];
	m->stop = options->stop;
	*ret = take(m);
	return 0;
}

int split_open(const char *first, const struct ism_open_options *options, struct medium **ret,
               struct source_facts *facts, struct ism_error *err)
{
	CLEANUP(split_series_clear) struct split_series series = { 0 };
	_medium_ struct medium *m = NULL;
	int r = split_series_find(first, &series, err);

	if (r < 0)
		return r;
	if (r == 0)
		return ism_error_set(err, -ENOENT, first, ISM_NO_OFFSET,
		                     "is no part of a split image");
	r = split_series_check(&series, err);
	if (r == 0)
		r = open_series(&series, options, &m, err);
	if (r == 0 && facts)
		r = fill_facts(&series, facts, err);
	if (r < 0)
		return r;
	*ret = take(m);
	return 0;
}

bool split_is_part(const char *path)
{
	CLEANUP(split_series_clear) struct split_series series = { 0 };

	if (strcmp(path, "-") == 0)
		return false;
	/* A failure to tell is a reason to have split_open() say so. */
	return split_series_find(path, &series, NULL) != 0;
}
