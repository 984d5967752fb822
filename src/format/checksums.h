/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Checksum files as publishers put them beside their images, and the OpenPGP signatures on them. */
#ifndef FORMAT_CHECKSUMS_H
#define FORMAT_CHECKSUMS_H

#include <stddef.h>

#include "base/error.h"

#define CHECKSUMS_SIZE_MAX (1U << 20)

/** struct checksum_entry - the line that is about one image */
struct checksum_entry {
	const char *algorithm; /* as OpenSSL names it: "sha256", "sha384", "sha512", "blake2b512" */
	char hex[129];         /* lower case */
	unsigned line;         /* 1 …; of the signed part if the file is clear-signed */
};

/** checksums_read() - a whole checksum file; -EFBIG above CHECKSUMS_SIZE_MAX; *ret is malloc'ed */
int checksums_read(const char *path, char **ret, size_t *ret_len, struct ism_error *err);

/**
 * checksums_find() - the checksum that a checksum file states for an image
 * @path:       for errors, and to be read if @data is NULL
 * @image_name: path, name or address; its last component is what is looked for
 * The lines of sha256sum, of BSD's sha256 and of openssl; one lone checksum; clear-signed text, of
 * which only the signed part counts (whether the signature is good is not looked at here).
 * Return: -ENOENT: none for this image; -ENOTUNIQ: two that differ; -EOPNOTSUPP: only MD5, SHA-1
 * or the like, which prove nothing; -EBADMSG: no checksum file.
 */
int checksums_find(const char *path, const void *data, size_t len, const char *image_name,
                   struct checksum_entry *ret, struct ism_error *err);

/**
 * checksums_signed_part() - *text and *len are narrowed to what is signed in a clear-signed text
 * The lines keep their dash escapes. Whether the signature is good is not looked at.
 * Return: 1, 0 if it is not clear-signed, -EBADMSG if it is, but not as one whole.
 */
int checksums_signed_part(const char *path, const char **text, size_t *len, struct ism_error *err);

/** struct checksums_signed - what a good signature vouches for */
struct checksums_signed {
	char *signer; /* "NAME <ADDRESS>, key FINGERPRINT" */
	char *text;   /* what was signed, and nothing else: give this to checksums_find() */
	size_t len;
};
void checksums_signed_clear(struct checksums_signed *s);

/**
 * checksums_verify_signature() - check the OpenPGP signature on a checksum file with gpgv
 * @signature: path of a detached one; NULL = the one within @path, or FILE.gpg, .sign, .asc or .sig
 * beside it
 * @keyring:   path of the public keys that are trusted, as gpg --export writes them
 * Return: -EKEYREJECTED: not signed by a key of the keyring, or badly, or by one that expired or
 * was revoked; -ENOENT: no signature, no keyring, or no gpgv.
 */
int checksums_verify_signature(const char *path, const char *signature, const char *keyring,
                               struct checksums_signed *ret, struct ism_error *err);

#endif
