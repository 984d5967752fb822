/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A block map, as bmap-tools writes it: the ranges of an image that hold data, each with its
 * checksum. */
#ifndef FORMAT_BMAP_H
#define FORMAT_BMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define BMAP_SIZE_MAX   (64U << 20) /* bytes of XML: about 600000 ranges */
#define BMAP_DIGEST_MAX 64

/** struct bmap_range - bytes [offset, offset + len) hold data */
struct bmap_range {
	uint64_t offset;
	uint64_t len;
	size_t digest_len; /* 0 = the range has no checksum */
	uint8_t digest[BMAP_DIGEST_MAX];
};

/** struct bmap - one parsed and checked map */
struct bmap {
	uint64_t image_size;
	uint64_t block_size;
	char hash[16]; /* as OpenSSL names it; empty = not stated */
	size_t digest_len;
	struct bmap_range *ranges; /* ordered, apart from each other, inside the image */
	size_t n;
};

/**
 * bmap_parse() - read a map of version 1.0 to 2.0 and check all that it says of itself
 * @name: for errors
 * Return: -EBADMSG: no map, or damaged; -EOPNOTSUPP: a later version or an unknown checksum.
 */
int bmap_parse(const void *data, size_t len, const char *name, struct bmap *ret,
               struct ism_error *err);
void bmap_clear(struct bmap *map);

#endif
