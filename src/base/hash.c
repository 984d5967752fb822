/* SPDX-License-Identifier: GPL-3.0-or-later */
/* OpenSSL EVP (each algorithm fetched once a hash) and XXH3. */
#include "base/hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* takes the widest registers that there are: twice as fast */
#endif

#include "base/bytes.h"

struct hash {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

struct hash *hash_free(struct hash *h)
{
	if (!h)
		return NULL;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	free(h);
	return NULL;
}

void hash_freep(struct hash **h)
{
	*h = hash_free(*h);
}

struct hash *hash_new(const char *name, struct ism_error *err)
{
	struct hash *h = calloc(1, sizeof(*h));

	if (!h) {
		ism_error_oom(err);
		return NULL;
	}
	h->md = EVP_MD_fetch(NULL, name, NULL);
	h->ctx = EVP_MD_CTX_new();
	if (!h->md || !h->ctx || !EVP_DigestInit_ex2(h->ctx, h->md, NULL)) {
		ism_error_set(err, -EOPNOTSUPP, NULL, ISM_NO_OFFSET,
		              "the hash '%s' is not known here", name);
		return hash_free(h);
	}
	return h;
}

void hash_reset(struct hash *h)
{
	EVP_DigestInit_ex2(h->ctx, h->md, NULL);
}

void hash_update(struct hash *h, const void *data, size_t len)
{
	EVP_DigestUpdate(h->ctx, data, len);
}

void hash_raw(struct hash *h, uint8_t *out, size_t *ret_len)
{
	unsigned int len = 0;

	EVP_DigestFinal_ex(h->ctx, out, &len);
	*ret_len = len;
}

void hash_hex(struct hash *h, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t raw[EVP_MAX_MD_SIZE];
	size_t len = 0;

	hash_raw(h, raw, &len);
	for (size_t i = 0; i < len; i++) {
		*hex++ = digits[raw[i] >> 4];
		*hex++ = digits[raw[i] & 15];
	}
	*hex = '\0';
}

const char *hash_label(const char *name)
{
	static const char *const labels[][2] = {
		{ "sha256", "SHA-256" },
		{ "sha384", "SHA-384" },
		{ "sha512", "SHA-512" },
		{ "blake2b512", "BLAKE2b" },
	};

	for (size_t i = 0; i < ARRAY_LEN(labels); i++)
		if (strcmp(name, labels[i][0]) == 0)
			return labels[i][1];
	return name;
}

int hash_sha256(const void *data, size_t len, uint8_t out[32])
{
	size_t out_len = 0;

	return EVP_Q_digest(NULL, "SHA256", NULL, data, len, out, &out_len) && out_len == 32 ? 0
	                                                                                     : -EIO;
}

uint64_t digest_of(const void *data, size_t len)
{
	return XXH3_64bits(data, len);
}

uint64_t digest_of_zeros(size_t len)
{
	static const uint8_t zeros[MIB];

	return XXH3_64bits(zeros, MIN(len, sizeof(zeros)));
}
