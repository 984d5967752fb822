/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The names of split images: which files of a folder are the parts of one series, in order. */
#ifndef FORMAT_SPLIT_NAME_H
#define FORMAT_SPLIT_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SPLIT_PARTS_MAX 4096

enum split_style { SPLIT_DIGITS, SPLIT_LETTERS };

/** struct split_name - a file name that may be a part's: prefix, then its number */
struct split_name {
	size_t prefix_len; /* bytes of the name before the number: "disk.img." */
	size_t base_len;   /* bytes of the name without what joins them: "disk.img" */
	enum split_style style;
	size_t width; /* characters of the number */
};

/** struct split_part - one part that exists */
struct split_part {
	uint64_t number; /* in order, counted as its style does */
	uint64_t size;   /* bytes */
	char *path;
};

/** struct split_series - the parts of one series, ordered by number */
struct split_series {
	char *base; /* path of what was split: "dir/disk.img" */
	enum split_style style;
	size_t width;
	char *prefix; /* path before the number: "dir/disk.img." */
	struct split_part *parts;
	size_t n;
};

/** split_name_parse() - false if @name cannot be a part's */
bool split_name_parse(const char *name, struct split_name *ret);
/**
 * split_series_find() - the series that @path is a part of, or whose common name it is
 * Return: 1 with @ret filled, two parts or more; 0 if there is none; -E2BIG: more than
 * SPLIT_PARTS_MAX; -ENOTUNIQ: two series have this common name.
 * The series may lack parts: split_series_check() says so.
 */
int split_series_find(const char *path, struct split_series *ret, struct ism_error *err);
/** split_series_check() - no part is missing, and all but the last have one size; else -EBADMSG
 * that names the part */
int split_series_check(const struct split_series *s, struct ism_error *err);
void split_series_clear(struct split_series *s);

#endif
