/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proves of a complete native image what decoding its chunks does not: the checkpoints between
 * them, and that the tree over their sums has the root that the manifest states. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "format/native_read.h"

#define READ_LEN  ((size_t)64 * KIB)
#define SUM_BATCH 512

/* The sum at the end of the frame is that of the rest; its head goes to *ret. */
static int read_frame(const struct native_image *image, uint64_t position, uint64_t size,
                      struct native_checkpoint_disk *ret, bool *ret_sound, struct ism_error *err)
{
	CLEANUP(hash_freep) struct hash *hash = hash_new("sha256", err);
	_free_ uint8_t *buf = malloc(READ_LEN);
	uint64_t done = 8, end = size - NATIVE_SUM_LEN;
	uint8_t got[32], want[NATIVE_SUM_LEN];
	size_t n = 0;
	int r = medium_read_all(image->file, ret, sizeof(*ret), position, err);

	if (!hash || !buf)
		return hash ? ism_error_oom(err) : -ENOMEM;
	while (done < end && r == 0) {
		size_t len = (size_t)MIN((uint64_t)READ_LEN, end - done);

		r = medium_read_all(image->file, buf, len, position + done, err);
		hash_update(hash, buf, len);
		done += len;
	}
	if (r == 0)
		r = medium_read_all(image->file, want, sizeof(want), position + end, err);
	hash_raw(hash, got, &n);
	*ret_sound = memcmp(got, want, 32) == 0;
	return r;
}

static bool is_right(const struct native_image *image, const struct native_checkpoint_disk *c,
                     uint64_t size, uint64_t first, uint64_t chunks)
{
	const struct native_frame_disk *f = &c->frame;

	return le32_get(f->magic) == NATIVE_MAGIC && le32_get(f->size) == size - 8 &&
	       memcmp(f->tag, NATIVE_TAG, 8) == 0 && le16_get(f->version) == NATIVE_VERSION &&
	       le16_get(f->kind) == NATIVE_CHECKPOINT &&
	       memcmp(f->uuid, image->info.uuid, 16) == 0 && le64_get(c->first) == first &&
	       le32_get(c->chunks) == chunks &&
	       (uint64_t)le32_get(c->runs) * 17 + chunks * 32 == size - sizeof(*c) - NATIVE_SUM_LEN;
}

/* The checkpoint that lies between chunk `end` - 1 and what follows it at `limit`. */
static int prove_checkpoint(const struct native_image *image, uint64_t first, uint64_t end,
                            uint64_t limit, struct ism_error *err)
{
	const struct native_chunk *last = &image->chunks[end - 1];
	uint64_t position = last->position + last->stored, size = limit - position;
	struct native_checkpoint_disk c;
	bool sound = false;
	int r = size < sizeof(c) + NATIVE_SUM_LEN
	                ? 0
	                : read_frame(image, position, size, &c, &sound, err);

	if (r < 0)
		return r;
	return sound && is_right(image, &c, size, first, end - first)
	               ? 0
	               : ism_error_set(
				 err, -EBADMSG, image->file->name, position,
				 "has a damaged checkpoint; the disk can be had all the same");
}

static int prove_checkpoints(const struct native_image *image, struct ism_error *err)
{
	uint64_t lists =
		image->n_hashes ? image->hashes[0].position - sizeof(struct native_list_disk) : 0;

	for (uint64_t first = 0; first < image->n_chunks; first += NATIVE_GROUP) {
		uint64_t end = MIN(first + NATIVE_GROUP, image->n_chunks);
		uint64_t limit = end < image->n_chunks ? image->chunks[end].position : lists;
		int r = prove_checkpoint(image, first, end, limit, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int prove_tree(const struct native_image *image, struct ism_error *err)
{
	struct native_tree tree = { 0 };
	uint8_t sums[SUM_BATCH][32], root[32];
	size_t n = 0;

	for (uint64_t i = 0; i < image->n_chunks; i += n) {
		int r = native_image_sums(image, i, sums, SUM_BATCH, &n, err);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k++)
			native_tree_add(&tree, native_image_chunk_len(image, i + k), sums[k]);
	}
	native_tree_root(&tree, root);
	return memcmp(root, image->root, 32) == 0
	               ? 0
	               : ism_error_set(err, -EBADMSG, image->file->name, ISM_NO_OFFSET,
	                               "has a hash list that is not the one of its manifest");
}

int native_image_prove(const struct native_image *image, struct ism_error *err)
{
	int r = prove_tree(image, err);

	return r < 0 ? r : prove_checkpoints(image, err);
}
