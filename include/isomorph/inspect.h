/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an image or a disk is, without changing or writing anything. */
#ifndef ISOMORPH_INSPECT_H
#define ISOMORPH_INSPECT_H

#include <stdatomic.h>
#include <stdbool.h>

#include <isomorph/error.h>
#include <isomorph/medium.h>

/**
 * struct ism_inspect_options - all zero is the default
 * @open:   how the source is opened
 * @sha256: read all of it and say its SHA-256, as a disk (decoded)
 * @done:   bytes hashed so far, for progress; may be NULL
 * @size:   bytes that there are to hash, 0 = not known; may be NULL
 */
struct ism_inspect_options {
	struct ism_open_options open;
	bool sha256;
	atomic_ullong *done, *size;
};

/**
 * ism_inspect() - what the image or disk @ref is, as one JSON document (schema in doc/json.md)
 * @options:  may be NULL
 * @ret_json: malloc'ed
 * Of a source that can only be read from start to end the first MiB is looked at; what lies behind
 * is then null in the document.
 */
ISM_PUBLIC int ism_inspect(const char *ref, const struct ism_inspect_options *options,
                           char **ret_json, struct ism_error *err);

#endif
