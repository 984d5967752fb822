/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any bytes as a native image: what can be salvaged, its index, every chunk, every checkpoint. */
#include <stdlib.h>
#include <zstd.h>

#include "../../fuzz/fuzz.h"
#include "format/native_read.h"
#include "medium/memory.h"

#define CHUNKS_MAX 64 /* a few bytes may stand for many */

static bool decode_all(const struct native_image *image)
{
	_free_ uint8_t *stored = malloc(ZSTD_compressBound(image->info.chunk_size));
	_free_ uint8_t *out = malloc(image->info.chunk_size);
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	bool good = stored && out && ctx;

	for (uint64_t i = 0; good && i < image->n_chunks && i < CHUNKS_MAX; i++)
		good = native_image_decode(image, i, ctx, stored, out, NULL) == 0;
	ZSTD_freeDCtx(ctx);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_medium_ struct medium *file = NULL;
	struct native_image image = { 0 };

	if (medium_memory(data, size, false, &file, NULL) < 0)
		return 0;
	if (native_image_salvage(file, &image, NULL) == 0)
		decode_all(&image);
	native_image_clear(&image);
	if (native_image_read(file, &image, NULL) < 0)
		return 0;
	if (decode_all(&image) && native_image_prove(&image, NULL) == 0)
		fuzz_accepted();
	native_image_clear(&image);
	return 0;
}
