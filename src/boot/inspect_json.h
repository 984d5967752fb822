/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Facts about an image as parts of a JSON document. All return NULL when out of memory. */
#ifndef BOOT_INSPECT_JSON_H
#define BOOT_INSPECT_JSON_H

#include <jansson.h>

#include "boot/media.h"
#include "fs/identify.h"

/** json_text() - @s with what is no UTF-8 replaced by '?'; null for NULL */
json_t *json_text(const char *s);
/** json_size() - null for ISM_SIZE_UNKNOWN */
json_t *json_size(uint64_t size);
/** identity_json() - null for one without a type */
json_t *identity_json(const struct fs_identity *id);
/** table_json() - of @t alone, without @t->also */
json_t *table_json(const struct table *t);
json_t *media_json(const struct media_facts *f);
/** advice_json() - "refused" says why `write` would not do it without --as raw; null if it would */
json_t *advice_json(const struct media_facts *f, const struct media_advice *a);

#endif
