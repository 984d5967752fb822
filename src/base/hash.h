/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cryptographic hashes by name (OpenSSL), as hex digits; and the quick digest of bytes just
 * written. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HASH_HEX_MAX 129 /* 64 bytes and the terminator */

struct hash;

/** hash_new() - @name as OpenSSL knows it: "sha256", "sha384", "sha512", "blake2b512"; NULL with
 * @err set */
struct hash *hash_new(const char *name, struct ism_error *err);
struct hash *hash_free(struct hash *h);
void hash_freep(struct hash **h);
/** hash_reset() - as new */
void hash_reset(struct hash *h);
void hash_update(struct hash *h, const void *data, size_t len);
/** hash_hex() - finish; lower-case digits into @hex (HASH_HEX_MAX bytes) */
void hash_hex(struct hash *h, char *hex);
/** hash_raw() - finish; *@ret_len bytes into @out (64 bytes) */
void hash_raw(struct hash *h, uint8_t *out, size_t *ret_len);
/** hash_label() - "SHA-256" for "sha256", as people write it; the name itself if unknown */
const char *hash_label(const char *name);
/** hash_sha256() - of one buffer */
int hash_sha256(const void *data, size_t len, uint8_t out[32]);

/** digest_of() - XXH3-64: finds what went wrong by accident, not what was forged */
uint64_t digest_of(const void *data, size_t len);
/** digest_of_zeros() - the same for @len zeros, at most 1 MiB */
uint64_t digest_of_zeros(size_t len);

#endif
