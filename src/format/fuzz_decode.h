/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the fuzz targets of all compressed formats do: decode from a file-like and a pipe-like
 * carrier, with one thread and with three, and demand the same bytes and the same verdict. */
#ifndef FORMAT_FUZZ_DECODE_H
#define FORMAT_FUZZ_DECODE_H

#include <stdlib.h>

#include "../../fuzz/fuzz.h"
#include "format/format.h"
#include "medium/memory.h"

#define FUZZ_DECODED_MAX (8 << 20) /* a few bytes may stand for terabytes */

struct fuzz_verdict {
	int r;
	uint64_t len, sum;
};

static inline struct fuzz_verdict fuzz_decode_once(const struct format_driver *driver,
                                                   const uint8_t *data, size_t size, bool forward,
                                                   unsigned threads)
{
	static uint8_t buf[65536];
	struct ism_open_options options = { .threads = threads };
	struct fuzz_verdict v = { .sum = 1469598103934665603u };
	_error_ struct ism_error err = { 0 };
	struct medium *carrier = NULL;
	_medium_ struct medium *m = NULL;
	size_t n = 0;

	v.r = medium_memory(data, size, forward, &carrier, &err);
	if (v.r == 0)
		v.r = driver->open(carrier, &options, &m, &err);
	if (v.r < 0) {
		medium_close(carrier);
		return v;
	}
	do {
		v.r = medium_read(m, buf, sizeof(buf), v.len, &n, &err);
		if (v.r < 0)
			break;
		for (size_t i = 0; i < n; i++)
			v.sum = (v.sum ^ buf[i]) * 1099511628211u;
		v.len += n;
	} while (n == sizeof(buf) && v.len < FUZZ_DECODED_MAX);
	return v;
}

static inline int fuzz_decode(const struct format_driver *driver, const uint8_t *data, size_t size)
{
	struct fuzz_verdict a = fuzz_decode_once(driver, data, size, false, 1);
	struct fuzz_verdict b = fuzz_decode_once(driver, data, size, true, 3);

	/* A carrier that can be looked at from behind may be refused sooner, never later. */
	if (a.r == 0 && (b.r != 0 || a.len != b.len || a.sum != b.sum))
		abort();
	if (a.r == 0)
		fuzz_accepted();
	return 0;
}

#endif
