/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What each fuzz target defines, and the count by which it shows that it reaches its parser's
 * success path. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Counted up by a target whenever its parser took the input; weak, so that libFuzzer's main needs
 * no other file. */
extern unsigned long fuzz_successes __attribute__((weak));

static inline void fuzz_accepted(void)
{
	if (&fuzz_successes)
		fuzz_successes++;
}

#endif
