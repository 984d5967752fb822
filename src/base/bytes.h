/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes of foreign media: endian types of alignment 1, bounded spans, sums that cannot overflow
 * unseen. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

typedef struct {
	uint8_t b[2];
} le16;
typedef struct {
	uint8_t b[4];
} le32;
typedef struct {
	uint8_t b[8];
} le64;
typedef struct {
	uint8_t b[2];
} be16;
typedef struct {
	uint8_t b[4];
} be32;
typedef struct {
	uint8_t b[8];
} be64;

static inline uint16_t le16_get(le16 v)
{
	return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t le32_get(le32 v)
{
	return v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 | (uint32_t)v.b[3] << 24;
}

static inline uint64_t le64_get(le64 v)
{
	uint64_t r = 0;

	for (int i = 7; i >= 0; i--)
		r = r << 8 | v.b[i];
	return r;
}

static inline uint16_t be16_get(be16 v)
{
	return (uint16_t)(v.b[1] | v.b[0] << 8);
}

static inline uint32_t be32_get(be32 v)
{
	return v.b[3] | (uint32_t)v.b[2] << 8 | (uint32_t)v.b[1] << 16 | (uint32_t)v.b[0] << 24;
}

static inline uint64_t be64_get(be64 v)
{
	uint64_t r = 0;

	for (int i = 0; i < 8; i++)
		r = r << 8 | v.b[i];
	return r;
}

static inline le16 le16_of(uint16_t v)
{
	return (le16){ { (uint8_t)v, (uint8_t)(v >> 8) } };
}

static inline le32 le32_of(uint32_t v)
{
	return (le32){ { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24) } };
}

static inline le64 le64_of(uint64_t v)
{
	le64 r;

	for (int i = 0; i < 8; i++)
		r.b[i] = (uint8_t)(v >> (8 * i));
	return r;
}

/* The number that begins at p, which needs no alignment. */
static inline uint16_t le16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le32_at(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t le64_at(const uint8_t *p)
{
	return le32_at(p) | (uint64_t)le32_at(p + 4) << 32;
}

/** struct span - @len bytes at @p, not owned */
struct span {
	const uint8_t *p;
	size_t len;
};

/* The part [offset, offset + len) of s; false and *ret untouched if it is not wholly inside. */
static inline bool span_sub(struct span s, uint64_t offset, uint64_t len, struct span *ret)
{
	if (offset > s.len || len > s.len - offset)
		return false;
	*ret = (struct span){ s.p + offset, (size_t)len };
	return true;
}

#define add_overflows(a, b, ret) __builtin_add_overflow(a, b, ret)
#define mul_overflows(a, b, ret) __builtin_mul_overflow(a, b, ret)

#define MIN(a, b) \
	({ \
		__auto_type a_ = (a); \
		__auto_type b_ = (b); \
		a_ < b_ ? a_ : b_; \
	})
#define MAX(a, b) \
	({ \
		__auto_type a_ = (a); \
		__auto_type b_ = (b); \
		a_ > b_ ? a_ : b_; \
	})

static inline uint64_t round_down_u64(uint64_t v, uint64_t to)
{
	return v - v % to;
}

/* v rounded up to a multiple of `to`; v + to must not overflow */
static inline uint64_t round_up_u64(uint64_t v, uint64_t to)
{
	return round_down_u64(v + to - 1, to);
}

/* All len bytes are zero. */
bool bytes_are_zero(const void *p, size_t len);
/* All len bytes are `value`. */
bool bytes_are(const void *p, size_t len, uint8_t value);

#endif
