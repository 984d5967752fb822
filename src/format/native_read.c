/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The index of a native image: from its end (seek table, manifest) to its lists;
 * doc/image-format.md. Nothing that the file says is believed before its sum was found right, and
 * every count is bounded by the file's own size. */
#include "format/native_read.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/hash.h"

#define SEEK_FOOTER_LEN 9
#define SEEK_BATCH      4096 /* entries read at once */

static int damaged(struct ism_error *err, const struct medium *file, uint64_t offset,
                   const char *what)
{
	return ism_error_set(err, -EBADMSG, file->name, offset, "%s", what);
}

static int unfinished(struct ism_error *err, const struct medium *file)
{
	ism_error_set(
		err, -EBADMSG, file->name, file->size,
		"is no complete image: it was cut off, or its capture has not come to its end");
	return ism_error_hint(
		err,
		"the same capture command goes on with it; restore --damaged takes what is whole");
}

/* struct seek - the seek table on the way through it */
struct seek {
	uint64_t start; /* of its frame */
	uint64_t entries;
};

static int read_footer(struct medium *file, struct seek *ret, struct ism_error *err)
{
	uint8_t foot[SEEK_FOOTER_LEN], head[8];
	le32 count, magic;
	uint64_t len;
	int r;

	if (file->size < NATIVE_HEADER_LEN + 8 + SEEK_FOOTER_LEN)
		return unfinished(err, file);
	r = medium_read_all(file, foot, sizeof(foot), file->size - sizeof(foot), err);
	if (r < 0)
		return r;
	memcpy(&count, foot, 4);
	memcpy(&magic, foot + 5, 4);
	if (le32_get(magic) != NATIVE_SEEK_FOOTER || foot[4] != 0x80)
		return unfinished(err, file);
	ret->entries = le32_get(count);
	len = 8 + ret->entries * 12 + SEEK_FOOTER_LEN;
	if (ret->entries < 2 || len > file->size - NATIVE_HEADER_LEN)
		return damaged(err, file, file->size - sizeof(foot),
		               "has a seek table that lies about its length");
	ret->start = file->size - len;
	r = medium_read_all(file, head, sizeof(head), ret->start, err);
	if (r < 0)
		return r;
	memcpy(&magic, head, 4);
	memcpy(&count, head + 4, 4);
	if (le32_get(magic) != NATIVE_MAGIC_SEEK || le32_get(count) != len - 8)
		return damaged(err, file, ret->start, "has a damaged seek table");
	return 0;
}

static int add_chunk(struct native_image *image, uint64_t position, uint32_t stored, uint32_t len,
                     struct ism_error *err)
{
	const struct medium *file = image->file;
	bool unknown = image->info.size == ISM_SIZE_UNKNOWN;
	uint64_t left = unknown ? len : image->info.size - image->disk;

	/* Only the last chunk may be short. */
	if (image->disk % image->info.chunk_size || len > image->info.chunk_size ||
	    len != MIN((uint64_t)image->info.chunk_size, left))
		return damaged(err, file, position,
		               "has a seek table that does not fit its header");
	if (stored > ZSTD_compressBound(image->info.chunk_size))
		return damaged(err, file, position, "has a frame longer than a chunk can be");
	image->disk += len;
	image->chunks[image->n_chunks++] = (struct native_chunk){ position, stored };
	return 0;
}

/* Walk over all entries: data frames become chunks; *ret_last is where the frame before the table
 * (M) starts. */
static int read_seek(struct native_image *image, const struct seek *seek, uint64_t *ret_last,
                     struct hash *hash, struct ism_error *err)
{
	struct medium *file = image->file;
	_free_ struct native_seek_disk *batch = malloc(SEEK_BATCH * sizeof(*batch));
	uint64_t position = 0, last = 0;
	int r;

	if (!batch)
		return ism_error_oom(err);
	for (uint64_t i = 0; i < seek->entries;) {
		size_t n = (size_t)MIN((uint64_t)SEEK_BATCH, seek->entries - i);

		r = medium_read_all(file, batch, n * sizeof(*batch), seek->start + 8 + i * 12, err);
		if (r < 0)
			return r;
		hash_update(hash, batch, n * sizeof(*batch));
		for (size_t k = 0; k < n; k++) {
			uint32_t stored = le32_get(batch[k].stored), len = le32_get(batch[k].len);

			if (stored < 8 || stored > seek->start - position)
				return damaged(err, file, position, "has a seek table that lies");
			last = position;
			r = len ? add_chunk(image, position, stored, len, err) : 0;
			if (r < 0)
				return r;
			position += stored;
		}
		i += n;
	}
	if (image->info.size == ISM_SIZE_UNKNOWN)
		image->info.size = image->disk;
	if (position != seek->start || image->disk != image->info.size)
		return damaged(err, file, seek->start,
		               "has a seek table that does not list all of it");
	*ret_last = last;
	return 0;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? s : "";
}

static bool parse_sum(const char *hex, uint8_t out[32])
{
	if (strlen(hex) != 64)
		return false;
	for (int i = 0; i < 32; i++) {
		unsigned v;

		if (sscanf(hex + 2 * i, "%2x", &v) != 1)
			return false;
		out[i] = (uint8_t)v;
	}
	return true;
}

static bool says_number(const json_t *facts, const char *key, uint64_t number)
{
	const json_t *j = json_object_get(facts, key);

	return json_is_integer(j) && json_integer_value(j) == (json_int_t)number;
}

/* What the manifest repeats must be what header and seek table say. */
static bool agrees(const struct native_image *image, const json_t *facts)
{
	return says_number(facts, "size", image->info.size) &&
	       says_number(facts, "chunk_size", image->info.chunk_size) &&
	       says_number(facts, "chunks", image->n_chunks) &&
	       strcmp(text_of(facts, "hash"), "sha256") == 0;
}

static int read_manifest(struct native_image *image, uint64_t position, uint64_t end,
                         const char *seek_hex, struct ism_error *err)
{
	struct medium *file = image->file;
	size_t len = (size_t)(end - position), head = sizeof(struct native_frame_disk);
	_free_ uint8_t *frame = NULL;
	const json_t *facts;
	int r;

	if (len < NATIVE_OVERHEAD || len > NATIVE_MANIFEST_MAX)
		return damaged(err, file, position, "has no manifest before its seek table");
	frame = malloc(len);
	if (!frame)
		return ism_error_oom(err);
	r = medium_read_all(file, frame, len, position, err);
	if (r < 0)
		return r;
	if (!native_check((struct span){ frame, len }, NATIVE_MANIFEST, image->info.uuid))
		return damaged(err, file, position, "has a damaged manifest");
	image->manifest = json_loadb((char *)frame + head, len - NATIVE_OVERHEAD,
	                             JSON_REJECT_DUPLICATES, NULL);
	facts = json_object_get(image->manifest, "image");
	if (!json_is_object(facts) || !parse_sum(text_of(facts, "tree"), image->root))
		return damaged(err, file, position, "has a manifest without what it must hold");
	if (!agrees(image, facts))
		return damaged(err, file, position, "has a manifest that is of another image");
	if (strcmp(text_of(facts, "seek_table_sha256"), seek_hex) != 0)
		return damaged(err, file, end,
		               "has a seek table that is not the one of its manifest");
	return hash_sha256(frame + 8, len - 8, image->fingerprint);
}

/* One hash or extent frame: noted where its items lie, hashed whole. */
static int read_list(struct native_image *image, uint64_t position, uint32_t size,
                     const struct native_list_disk *l, size_t item, struct native_list **lists,
                     size_t *n, uint64_t *total, struct hash *hash, struct ism_error *err)
{
	struct medium *file = image->file;
	uint64_t count = le64_get(l->count);
	_free_ uint8_t *frame = NULL;
	struct native_list *more;
	int r;

	if (size > NATIVE_LIST_MAX + NATIVE_HEADER_LEN || le64_get(l->first) != *total ||
	    count != (size - sizeof(*l) - NATIVE_SUM_LEN) / item ||
	    count * item != size - sizeof(*l) - NATIVE_SUM_LEN)
		return damaged(err, file, position, "has a list that lies about its length");
	frame = malloc(size);
	more = realloc(*lists, (*n + 1) * sizeof(**lists));
	if (more)
		*lists = more;
	if (!frame || !more)
		return ism_error_oom(err);
	r = medium_read_all(file, frame, size, position, err);
	if (r < 0)
		return r;
	hash_update(hash, frame, size);
	more[(*n)++] = (struct native_list){ position + sizeof(*l), *total, count };
	*total += count;
	return 0;
}

/* The frames of ours behind the last chunk: checkpoint, hash lists, extent lists. */
static int read_lists(struct native_image *image, uint64_t position, uint64_t end,
                      struct ism_error *err)
{
	CLEANUP(hash_freep) struct hash *hashes = hash_new("sha256", err);
	CLEANUP(hash_freep) struct hash *extents = hash_new("sha256", err);
	const json_t *facts = json_object_get(image->manifest, "image");
	char hashes_hex[HASH_HEX_MAX], extents_hex[HASH_HEX_MAX];
	struct medium *file = image->file;
	uint64_t n_sums = 0;
	int r = 0;

	if (!hashes || !extents)
		return ism_error_oom(err);
	while (position < end && r == 0) {
		struct native_list_disk l;
		uint64_t size;

		r = medium_read_all(file, &l, sizeof(l), position, err);
		if (r < 0)
			return r;
		size = (uint64_t)le32_get(l.frame.size) + 8;
		if (le32_get(l.frame.magic) != NATIVE_MAGIC || size < NATIVE_OVERHEAD ||
		    size > end - position)
			return damaged(err, file, position, "has a damaged list");
		if (le16_get(l.frame.kind) == NATIVE_HASHES && size >= sizeof(l) + NATIVE_SUM_LEN)
			r = read_list(image, position, (uint32_t)size, &l, 32, &image->hashes,
			              &image->n_hashes, &n_sums, hashes, err);
		else if (le16_get(l.frame.kind) == NATIVE_EXTENTS &&
		         size >= sizeof(l) + NATIVE_SUM_LEN)
			r = read_list(image, position, (uint32_t)size, &l,
			              sizeof(struct native_run_disk), &image->extents,
			              &image->n_extents, &image->n_runs, extents, err);
		position += size;
	}
	if (r < 0)
		return r;
	hash_hex(hashes, hashes_hex);
	hash_hex(extents, extents_hex);
	if (n_sums != image->n_chunks || strcmp(hashes_hex, text_of(facts, "hashes_sha256")) != 0)
		return damaged(err, file, end, "has a damaged hash list");
	if (strcmp(extents_hex, text_of(facts, "extents_sha256")) != 0)
		return damaged(err, file, end, "has a damaged extent list");
	return 0;
}

/* All runs follow each other from byte 0 to the end of the disk. */
static int check_runs(const struct native_image *image, struct ism_error *err)
{
	struct native_run_disk runs[512];
	uint64_t at = 0;
	size_t n = 0;

	for (uint64_t i = 0; i < image->n_runs; i += n) {
		int r = native_image_runs(image, i, runs, ARRAY_LEN(runs), &n, err);

		if (r < 0)
			return r;
		for (size_t k = 0; k < n; k++) {
			uint64_t len = le64_get(runs[k].len);

			if (le64_get(runs[k].offset) != at || len == 0 ||
			    len > image->info.size - at || runs[k].kind > ISM_EXTENT_SKIPPED)
				return damaged(
					err, image->file, ISM_NO_OFFSET,
					"has an extent list with gaps, overlaps or unknown kinds");
			at += len;
		}
	}
	return at == image->info.size ? 0
	                              : damaged(err, image->file, ISM_NO_OFFSET,
	                                        "has an extent list that ends before the disk");
}

/* Behind the last data frame, where the lists start. */
static uint64_t behind_chunks(const struct native_image *image)
{
	const struct native_chunk *last =
		image->n_chunks ? &image->chunks[image->n_chunks - 1] : NULL;

	return last ? last->position + last->stored : NATIVE_HEADER_LEN;
}

static int read_index(struct native_image *image, struct ism_error *err)
{
	CLEANUP(hash_freep) struct hash *hash = hash_new("sha256", err);
	struct medium *file = image->file;
	uint8_t ends[8 + SEEK_FOOTER_LEN];
	char seek_hex[HASH_HEX_MAX];
	struct seek seek = { 0 };
	uint64_t manifest = 0;
	int r = read_footer(file, &seek, err);

	if (!hash)
		return ism_error_oom(err);
	if (r < 0)
		return r;
	if (image->info.size != ISM_SIZE_UNKNOWN &&
	    image->info.size / image->info.chunk_size > seek.entries)
		return damaged(err, file, seek.start,
		               "has a seek table that does not list all of it");
	image->chunks = malloc((size_t)seek.entries * sizeof(*image->chunks));
	if (!image->chunks)
		return ism_error_oom(err);
	r = medium_read_all(file, ends, 8, seek.start, err);
	if (r == 0)
		r = medium_read_all(file, ends + 8, SEEK_FOOTER_LEN, file->size - SEEK_FOOTER_LEN,
		                    err);
	if (r < 0)
		return r;
	hash_update(hash, ends, 8);
	r = read_seek(image, &seek, &manifest, hash, err);
	hash_update(hash, ends + 8, SEEK_FOOTER_LEN);
	hash_hex(hash, seek_hex);
	if (r == 0)
		r = read_manifest(image, manifest, seek.start, seek_hex, err);
	if (r == 0)
		r = read_lists(image, behind_chunks(image), manifest, err);
	return r < 0 ? r : check_runs(image, err);
}

int native_image_read(struct medium *file, struct native_image *ret, struct ism_error *err)
{
	struct native_image image = { .file = file };
	_free_ uint8_t *head = malloc(NATIVE_HEADER_LEN);
	int r;

	if (!head)
		return ism_error_oom(err);
	r = medium_read_all(file, head, NATIVE_HEADER_LEN, 0, err);
	if (r == 0)
		r = native_header_read((struct span){ head, NATIVE_HEADER_LEN }, &image.info,
		                       file->name, err);
	if (r == 0)
		r = read_index(&image, err);
	if (r < 0) {
		native_image_clear(&image);
		return r;
	}
	*ret = image;
	return 0;
}

void native_image_clear(struct native_image *image)
{
	free(image->chunks);
	free(image->hashes);
	free(image->extents);
	free(image->sums);
	free(image->has_sum);
	free(image->runs);
	json_decref(image->manifest);
	*image = (struct native_image){ 0 };
}

static int read_items(const struct native_image *image, const struct native_list *lists, size_t n,
                      size_t item, uint64_t first, void *ret, size_t most, size_t *ret_n,
                      struct ism_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct native_list *l = &lists[i];

		if (first < l->first || first - l->first >= l->count)
			continue;
		*ret_n = (size_t)MIN((uint64_t)most, l->count - (first - l->first));
		return medium_read_all(image->file, ret, *ret_n * item,
		                       l->position + (first - l->first) * item, err);
	}
	return damaged(err, image->file, ISM_NO_OFFSET, "has a list that ends too early");
}

int native_image_sums(const struct native_image *image, uint64_t first, uint8_t (*ret)[32],
                      size_t most, size_t *ret_n, struct ism_error *err)
{
	if (!image->salvaged)
		return read_items(image, image->hashes, image->n_hashes, 32, first, ret, most,
		                  ret_n, err);
	*ret_n = (size_t)MIN((uint64_t)most, image->n_chunks - first);
	memcpy(ret, image->sums[first], *ret_n * 32);
	return 0;
}

int native_image_runs(const struct native_image *image, uint64_t first, struct native_run_disk *ret,
                      size_t most, size_t *ret_n, struct ism_error *err)
{
	if (!image->salvaged)
		return read_items(image, image->extents, image->n_extents, sizeof(*ret), first, ret,
		                  most, ret_n, err);
	*ret_n = (size_t)MIN((uint64_t)most, image->n_runs - first);
	memcpy(ret, image->runs + first, *ret_n * sizeof(*ret));
	return 0;
}

size_t native_image_chunk_len(const struct native_image *image, uint64_t index)
{
	uint64_t from = index * image->info.chunk_size;

	return (size_t)MIN((uint64_t)image->info.chunk_size, image->info.size - from);
}

/* Is the chunk what it was? With no sum of ours zstd's checksum has said so. */
static bool is_proven(const struct native_image *image, uint64_t index, const uint8_t *chunk,
                      size_t len, const uint8_t want[32])
{
	uint8_t got[32];

	if (image->salvaged && !image->has_sum[index])
		return true;
	return hash_sha256(chunk, len, got) == 0 && memcmp(got, want, 32) == 0;
}

int native_image_decode(const struct native_image *image, uint64_t index, void *ctx,
                        uint8_t *stored, uint8_t *out, struct ism_error *err)
{
	const struct native_chunk *c = &image->chunks[index];
	size_t len = native_image_chunk_len(image, index), n;
	uint8_t want[1][32];
	int r = c->stored ? medium_read_all(image->file, stored, c->stored, c->position, err)
	                  : -EBADMSG;

	if (r == 0)
		r = native_image_sums(image, index, want, 1, &n, err);
	if (r == -ECANCELED || r == -ENOMEM)
		return r;
	if (r == 0) {
		n = ZSTD_decompressDCtx(ctx, out, len, stored, c->stored);
		if (!ZSTD_isError(n) && n == len && is_proven(image, index, out, len, want[0]))
			return 0;
	}
	ism_error_clear(err);
	return ism_error_set(
		err, -EBADMSG, image->file->name, c->position,
		"is damaged: the %zu bytes of the disk from byte %llu on cannot be had", len,
		(unsigned long long)(index * image->info.chunk_size));
}

bool native_is_header(struct span head)
{
	struct native_frame_disk f;

	if (head.len < sizeof(f))
		return false;
	memcpy(&f, head.p, sizeof(f));
	return le32_get(f.magic) == NATIVE_MAGIC && memcmp(f.tag, NATIVE_TAG, sizeof(f.tag)) == 0 &&
	       le16_get(f.kind) == NATIVE_HEADER;
}
