/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The four checksums of btrfs. BLAKE2b with 32 bytes is here because OpenSSL has that of 64 only,
 * whose first half is another number. Spec: RFC 7693. */
#define XXH_INLINE_ALL
#include "fs/btrfs.h"

#include <xxhash.h>

#include "fs/verdict.h"

#define CSUM_LEN 32
#define BLOCK    128

static const uint64_t blake_iv[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* RFC 7693, 2.7; rounds 10 and 11 are as 0 and 1 */
static const uint8_t blake_order[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate(uint64_t v, unsigned n)
{
	return v >> n | v << (64 - n);
}

static void blake_mix(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t x, uint64_t y)
{
	*a += *b + x;
	*d = rotate(*d ^ *a, 32);
	*c += *d;
	*b = rotate(*b ^ *c, 24);
	*a += *b + y;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 63);
}

static void blake_block(uint64_t h[8], const uint8_t *p, uint64_t total, bool is_last)
{
	uint64_t v[16], m[16];

	for (int i = 0; i < 8; i++) {
		v[i] = h[i];
		v[i + 8] = blake_iv[i];
	}
	v[12] ^= total;
	v[14] ^= is_last ? UINT64_MAX : 0;
	for (int i = 0; i < 16; i++)
		m[i] = le64_at(p + (size_t)i * 8);
	for (int round = 0; round < 12; round++) {
		const uint8_t *s = blake_order[round % 10];

		for (int i = 0; i < 4; i++)
			blake_mix(&v[i], &v[4 + i], &v[8 + i], &v[12 + i], m[s[2 * i]],
			          m[s[2 * i + 1]]);
		for (int i = 0; i < 4; i++)
			blake_mix(&v[i], &v[4 + (i + 1) % 4], &v[8 + (i + 2) % 4],
			          &v[12 + (i + 3) % 4], m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
	}
	for (int i = 0; i < 8; i++)
		h[i] ^= v[i] ^ v[i + 8];
}

void btrfs_blake2b(const uint8_t *p, size_t len, uint8_t out[32])
{
	uint8_t last[BLOCK] = { 0 };
	uint64_t h[8], done = 0;

	memcpy(h, blake_iv, sizeof(h));
	h[0] ^= 0x01010000 ^ CSUM_LEN;
	for (; len - done > BLOCK; done += BLOCK)
		blake_block(h, p + done, done + BLOCK, false);
	if (len)
		memcpy(last, p + done, len - done);
	blake_block(h, last, len, true);
	for (int i = 0; i < 4; i++)
		memcpy(out + (size_t)i * 8, le64_of(h[i]).b, 8);
}

bool btrfs_csum_ok(const struct btrfs *b, const uint8_t *block, size_t len)
{
	uint8_t sum[64] = { 0 };
	size_t sum_len = 0;

	if (FS_UNCHECKED)
		return true;
	block += CSUM_LEN;
	len -= CSUM_LEN;
	switch (b->csum_type) {
	case 0:
		memcpy(sum, le32_of(~fs_crc32c(UINT32_MAX, block, len)).b, 4);
		return memcmp(sum, block - CSUM_LEN, 4) == 0;
	case 1:
		memcpy(sum, le64_of(XXH64(block, len, 0)).b, 8);
		return memcmp(sum, block - CSUM_LEN, 8) == 0;
	case 2:
		hash_reset(b->sha256);
		hash_update(b->sha256, block, len);
		hash_raw(b->sha256, sum, &sum_len);
		return memcmp(sum, block - CSUM_LEN, CSUM_LEN) == 0;
	case 3:
		btrfs_blake2b(block, len, sum);
		return memcmp(sum, block - CSUM_LEN, CSUM_LEN) == 0;
	default:
		return false;
	}
}
