/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What others may ask of HTTP besides the carrier: small files whole, and the checksums that lie
 * beside an image. */
#ifndef MEDIUM_HTTP_H
#define MEDIUM_HTTP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** http_shown_url() - @ref without user, password and query, as messages may show it; malloc'ed */
char *http_shown_url(const char *ref);

/**
 * http_fetch_small() - a whole file of at most @max_bytes
 * @stop:     may be NULL; when it becomes true: -ECANCELED within a moment
 * @ret_data: malloc'ed, with a 0 byte behind it that @ret_len does not count
 * Return: 0; -ENOENT: the server has no such file (404, 410); -EFBIG: it is larger; other negative
 * errno.
 */
int http_fetch_small(const char *url, size_t max_bytes, const atomic_bool *stop, uint8_t **ret_data,
                     size_t *ret_len, struct ism_error *err);

/** struct http_checksums - what lies beside an image; strings owned, NULL where there is none */
struct http_checksums {
	char *url; /* of the list, without secrets */
	char *text;
	size_t len;
	char *signature_url;
	uint8_t *signature; /* detached, ASCII or binary; not checked here */
	size_t signature_len;
	char *warning; /* one clause: what could not be looked at, and why */
};

/**
 * http_find_checksums() - look for IMAGE.sha256, IMAGE.sha256sum, IMAGE.sha512, then SHA256SUMS,
 * SHA512SUMS, sha256sum.txt, CHECKSUM in its folder, and for a signature of what was found A page
 * that holds no checksum, or a folder's list that does not name the image, is passed over. Return:
 * 1 with @ret filled, 0 if there is none (@ret->warning may be set); negative only if stopped or
 * out of memory, or @image_url is no address.
 */
int http_find_checksums(const char *image_url, const atomic_bool *stop, struct http_checksums *ret,
                        struct ism_error *err);
void http_checksums_clear(struct http_checksums *sums);

#endif
