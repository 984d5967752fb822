/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeros, 0xFF, a few bits, or other data. */
#include "engine/diagnose.h"

#include <string.h>

#include "base/bytes.h"

#define LOOK_LEN    512 /* a sector: what a medium loses at least */
#define RANGE_BLOCK ((size_t)4 * KIB)
#define RANGE_GAP   ((size_t)64 * KIB) /* equal bytes that part two ranges at least */
#define FLIPS_MAX   64                 /* more wrong bits than this in a sector are no flips */
#define RUN_LEN     16                 /* fewer equal bytes say nothing */

size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	size_t i = 0;

	while (len - i >= 4096 && memcmp(a + i, b + i, 4096) == 0)
		i += 4096;
	while (i < len && a[i] == b[i])
		i++;
	return i;
}

bool next_differing_range(const uint8_t *a, const uint8_t *b, size_t len, size_t start,
                          size_t *ret_from, size_t *ret_to)
{
	size_t at = start + first_difference(a + start, b + start, len - start), near;

	if (at == len)
		return false;
	*ret_from = MAX(start, (size_t)round_down_u64(at, RANGE_BLOCK));
	do {
		*ret_to = MIN(len, (size_t)round_down_u64(at, RANGE_BLOCK) + RANGE_BLOCK);
		near = MIN(len - *ret_to, RANGE_GAP);
		at = *ret_to + first_difference(a + *ret_to, b + *ret_to, near);
	} while (at < *ret_to + near);
	return true;
}

static unsigned bits_wrong(const uint8_t *a, const uint8_t *b, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += (unsigned)__builtin_popcount((unsigned)(a[i] ^ b[i]));
	return n;
}

/* From the first wrong byte on, which need not be where a sector begins. */
static bool run_is(const uint8_t *got, size_t len, size_t at, uint8_t byte)
{
	return len - at >= RUN_LEN && bytes_are(got + at, MIN((size_t)LOOK_LEN, len - at), byte);
}

enum ism_mismatch_kind diagnose(const uint8_t *got, const uint8_t *want, size_t len, size_t at)
{
	size_t from = at - at % LOOK_LEN;
	size_t n = want ? MIN((size_t)LOOK_LEN, len - from) : len;

	if (bytes_are(got + from, n, 0) || run_is(got, len, at, 0))
		return ISM_MISMATCH_ZEROS;
	if (bytes_are(got + from, n, 0xff) || run_is(got, len, at, 0xff))
		return ISM_MISMATCH_ONES;
	if (want && bits_wrong(got + from, want + from, n) <= FLIPS_MAX)
		return ISM_MISMATCH_BIT_FLIPS;
	return ISM_MISMATCH_OLD_DATA;
}

const char *ism_mismatch_name(enum ism_mismatch_kind kind)
{
	static const char *const names[] = {
		[ISM_MISMATCH_NONE] = "none",
		[ISM_MISMATCH_ZEROS] = "zeros",
		[ISM_MISMATCH_ONES] = "0xFF",
		[ISM_MISMATCH_BIT_FLIPS] = "bit flips",
		[ISM_MISMATCH_WRAPPED] = "address wrap-around",
		[ISM_MISMATCH_OLD_DATA] = "old data",
	};

	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}
