/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hashes the bytes of a carrier that come only once (pipe, http) while a format decodes them. */
#ifndef MEDIUM_TAP_H
#define MEDIUM_TAP_H

#include "medium/medium.h"

struct tap;

/** tap_new() - @algorithm as in base/hash.h; given to ism_open_options.tap, attached by
 * carrier_open() */
struct tap *tap_new(const char *algorithm, struct ism_error *err);
/** tap_free() - after the medium that it is attached to was closed */
struct tap *tap_free(struct tap *tap);
/** tap_attach() - *@m, a forward medium, is replaced by one that shows its bytes to @tap */
int tap_attach(struct tap *tap, struct medium **m, struct ism_error *err);
/** tap_is_attached() - the carrier could be tapped */
bool tap_is_attached(const struct tap *tap);
/** tap_finish() - read what the format left unread, then the hash of the whole carrier into @hex
 * (HASH_HEX_MAX) */
int tap_finish(struct tap *tap, char *hex, struct ism_error *err);

#endif
