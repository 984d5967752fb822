/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mount points and sources are named by whoever mounts: the text after the kernel's escapes. */
#include "../../fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "device/mounts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mount like = { .pid = 1 };
	struct mounts m = { 0 };
	struct swaps s = { 0 };
	char *text = strndup((const char *)data, size);

	if (text && mounts_parse(&m, (const char *)data, size, &like) == 0 && m.n)
		fuzz_accepted();
	if (text && swaps_parse(&s, text) == 0 && s.n)
		fuzz_accepted();
	mounts_free(&m);
	swaps_free(&s);
	free(text);
	return 0;
}
