/* SPDX-License-Identifier: GPL-3.0-or-later */
/* An image seen through its bmap: what the map leaves out is unused, and the checksum of each
 * mapped range is checked while the range is read in order. The map itself: bmap_parse.c. */
#include "format/bmap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "format/format.h"

#define DISCARD_LEN (256 * 1024)
#define TRACKERS    16 /* readers of a random image at one time: the first, and targets that lag */

/* Whether a mapped range is a hole in the image below, and rightly so. */
enum hole_state { HOLE_UNKNOWN, HOLE_NONE, HOLE_PROVEN };

/* One reader's way through one range: ctx holds the bytes from its start to @next. */
struct tracker {
	EVP_MD_CTX *ctx; /* NULL = never used */
	bool active;
	size_t range;
	uint64_t next;
	uint64_t used; /* for finding the one that rested longest */
};

struct mapped {
	struct medium *image;
	char *path;
	struct bmap map;
	uint64_t last; /* end of the last mapped range */
	EVP_MD *md;
	pthread_mutex_t lock; /* guards all below */
	struct tracker trackers[TRACKERS];
	uint64_t uses;
	uint8_t *holes;     /* enum hole_state of each range */
	uint64_t position;  /* forward: how far the image below was read */
	uint8_t *discarded; /* forward: DISCARD_LEN bytes */
};

static uint64_t range_end(const struct bmap_range *r)
{
	return r->offset + r->len;
}

/* The first range that ends behind @offset; map.n if there is none. */
static size_t range_from(const struct bmap *map, uint64_t offset)
{
	size_t low = 0, high = map->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (range_end(&map->ranges[mid]) <= offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int hash_failed(const struct mapped *b, struct ism_error *err)
{
	return ism_error_set(err, -EOPNOTSUPP, b->path, ISM_NO_OFFSET,
	                     "its %s checksums cannot be computed here", b->map.hash);
}

static int range_finish(struct mapped *b, struct tracker *t, struct ism_error *err)
{
	const struct bmap_range *range = &b->map.ranges[t->range];
	uint8_t got[EVP_MAX_MD_SIZE];

	t->active = false;
	if (!EVP_DigestFinal_ex(t->ctx, got, NULL))
		return hash_failed(b, err);
	if (memcmp(got, range->digest, range->digest_len) == 0)
		return 0;
	ism_error_set(err, -EBADMSG, b->image->name, range->offset,
	              "blocks %llu-%llu (bytes %llu to %llu) do not have the %s that %s states",
	              (unsigned long long)(range->offset / b->map.block_size),
	              (unsigned long long)((range_end(range) - 1) / b->map.block_size),
	              (unsigned long long)range->offset, (unsigned long long)range_end(range) - 1,
	              b->map.hash, b->path);
	ism_error_hint(err, "the image is damaged, or the bmap belongs to another one; "
	                    "--no-bmap writes the image without this check");
	return -EBADMSG;
}

/* The tracker that has come to @offset of range @i; NULL if there is none. */
static struct tracker *find_tracker(struct mapped *b, size_t i, uint64_t offset)
{
	for (size_t k = 0; k < TRACKERS; k++) {
		struct tracker *t = &b->trackers[k];

		if (t->active && t->range == i && t->next == offset)
			return t;
	}
	return NULL;
}

/* A tracker at the start of range @i, in place of the one that rested longest. */
static int start_tracker(struct mapped *b, size_t i, struct tracker **ret, struct ism_error *err)
{
	struct tracker *t = &b->trackers[0];

	for (size_t k = 1; k < TRACKERS; k++)
		if (b->trackers[k].used < t->used)
			t = &b->trackers[k];
	if (!t->ctx)
		t->ctx = EVP_MD_CTX_new();
	if (!t->ctx)
		return ism_error_oom(err);
	if (!EVP_DigestInit_ex2(t->ctx, b->md, NULL))
		return hash_failed(b, err);
	t->active = true;
	t->range = i;
	t->next = b->map.ranges[i].offset;
	*ret = t;
	return 0;
}

/* Bytes of range @i from @offset on. Only a range that is read in order from its start is hashed.
 */
static int range_feed(struct mapped *b, size_t i, const uint8_t *p, size_t len, uint64_t offset,
                      struct ism_error *err)
{
	const struct bmap_range *range = &b->map.ranges[i];
	struct tracker *t = find_tracker(b, i, offset);
	int r = 0;

	if (!t && offset == range->offset)
		r = start_tracker(b, i, &t, err);
	if (!t)
		return r;
	t->used = ++b->uses;
	if (!EVP_DigestUpdate(t->ctx, p, len))
		return hash_failed(b, err);
	t->next += len;
	return t->next == range_end(range) ? range_finish(b, t, err) : 0;
}

static int check_bytes(struct mapped *b, const uint8_t *p, size_t len, uint64_t offset,
                       struct ism_error *err)
{
	uint64_t end = offset + len;

	for (size_t i = range_from(&b->map, offset); i < b->map.n && b->map.ranges[i].offset < end;
	     i++) {
		const struct bmap_range *range = &b->map.ranges[i];
		uint64_t from = MAX(range->offset, offset), to = MIN(range_end(range), end);
		int r = 0;

		if (range->digest_len)
			r = range_feed(b, i, p + (from - offset), (size_t)(to - from), from, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int ends_early(const struct mapped *b, uint64_t size, struct ism_error *err)
{
	return ism_error_set(err, -EBADMSG, b->image->name, size,
	                     "ends after %llu bytes; %s says that it has %llu",
	                     (unsigned long long)size, b->path,
	                     (unsigned long long)b->map.image_size);
}

static int read_image(struct mapped *b, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                      struct ism_error *err)
{
	int r = medium_read(b->image, buf, len, offset, ret_len, err);

	if (r < 0)
		return r;
	b->position = offset + *ret_len;
	if (*ret_len < len && b->position < b->map.image_size)
		return ends_early(b, b->position, err);
	return check_bytes(b, buf, *ret_len, offset, err);
}

/* Forward: the bytes up to @offset are not wanted; they are hashed as they pass. */
static int pass_over(struct mapped *b, uint64_t offset, struct ism_error *err)
{
	while (b->position < offset) {
		size_t len = (size_t)MIN(offset - b->position, (uint64_t)DISCARD_LEN), n;
		int r;

		if (medium_stopped(b->image))
			return ism_error_canceled(err);
		r = read_image(b, b->discarded, len, b->position, &n, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Forward: nobody reads behind the last mapped range, but the end of a compressed file holds its
 * checksum, and tells whether the image has the size that the map says. */
static int read_to_end(struct mapped *b, struct ism_error *err)
{
	size_t n = 0;
	int r = pass_over(b, b->map.image_size, err);

	if (r < 0)
		return r;
	r = medium_read(b->image, b->discarded, 1, b->position, &n, err);
	if (r == 0 && n)
		r = ism_error_set(err, -EBADMSG, b->image->name, b->position,
		                  "goes on behind the %llu bytes that %s says it has",
		                  (unsigned long long)b->map.image_size, b->path);
	return r;
}

static int read_forward(struct mapped *b, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                        struct ism_error *err)
{
	int r = pass_over(b, offset, err);

	if (r == 0)
		r = read_image(b, buf, len, offset, ret_len, err);
	if (r == 0 && offset < b->last && b->position >= b->last)
		r = read_to_end(b, err);
	return r;
}

static int read_random(struct mapped *b, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	int r = medium_read(b->image, buf, len, offset, ret_len, err);

	if (r < 0)
		return r;
	if (*ret_len < len)
		return ends_early(b, offset + *ret_len, err);
	pthread_mutex_lock(&b->lock);
	r = check_bytes(b, buf, len, offset, err);
	pthread_mutex_unlock(&b->lock);
	return r;
}

static int mapped_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	struct mapped *b = m->priv;

	*ret_len = 0;
	if (offset >= m->size)
		return 0;
	len = (size_t)MIN((uint64_t)len, m->size - offset);
	return m->forward ? read_forward(b, buf, len, offset, ret_len, err)
	                  : read_random(b, buf, len, offset, ret_len, err);
}

/* The image below has nothing but holes in [offset, end). */
static int is_hole(struct mapped *b, uint64_t offset, uint64_t end, bool *ret,
                   struct ism_error *err)
{
	*ret = false;
	while (offset < end) {
		struct ism_extent e;
		int r = medium_next_extent(b->image, offset, &e, err);

		if (r < 0 || e.kind != ISM_EXTENT_ZERO)
			return r;
		offset = e.offset + e.len;
	}
	*ret = true;
	return 0;
}

/* Zeros in place of range @i have its checksum. */
static int zeros_match(struct mapped *b, const struct bmap_range *range, bool *ret,
                       struct ism_error *err)
{
	static const uint8_t zeros[64 * 1024];
	uint8_t got[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex2(ctx, b->md, NULL);

	for (uint64_t left = range->len; ok && left;) {
		size_t n = (size_t)MIN(left, (uint64_t)sizeof(zeros));

		ok = EVP_DigestUpdate(ctx, zeros, n);
		left -= n;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, got, NULL);
	EVP_MD_CTX_free(ctx);
	*ret = ok && memcmp(got, range->digest, range->digest_len) == 0;
	return ok ? 0 : hash_failed(b, err);
}

/*
 * A hole is not read by anyone, so its checksum has to be proven here, and only a range that is a
 * hole in all its length can be. Anything else is data, and is checked when it is read.
 */
static int prove_hole(struct mapped *b, size_t i, bool *ret, struct ism_error *err)
{
	const struct bmap_range *range = &b->map.ranges[i];
	bool hole = false;
	int r = 0;

	pthread_mutex_lock(&b->lock);
	if (b->holes[i] == HOLE_UNKNOWN) {
		r = is_hole(b, range->offset, range_end(range), &hole, err);
		if (r == 0 && hole)
			r = zeros_match(b, range, &hole, err);
		if (r == 0)
			b->holes[i] = hole ? HOLE_PROVEN : HOLE_NONE;
	}
	*ret = b->holes[i] == HOLE_PROVEN;
	pthread_mutex_unlock(&b->lock);
	return r;
}

static int mapped_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                              struct ism_error *err)
{
	struct mapped *b = m->priv;
	size_t i = range_from(&b->map, offset);
	const struct bmap_range *range = i < b->map.n ? &b->map.ranges[i] : NULL;
	bool hole = false;
	int r;

	if (!range || range->offset > offset) {
		uint64_t end = range ? range->offset : m->size;

		*ret = (struct ism_extent){ offset, end - offset, ISM_EXTENT_UNUSED };
		return 0;
	}
	if (range->digest_len) {
		r = prove_hole(b, i, &hole, err);
		*ret = (struct ism_extent){ offset, range_end(range) - offset,
			                    hole ? ISM_EXTENT_ZERO : ISM_EXTENT_DATA };
		return r;
	}
	r = medium_next_extent(b->image, offset, ret, err);
	if (r == 0)
		ret->len = MIN(ret->len, range_end(range) - offset);
	return r;
}

static void mapped_close(struct medium *m)
{
	struct mapped *b = m->priv;

	if (!b)
		return;
	medium_close(b->image);
	for (size_t k = 0; k < TRACKERS; k++)
		EVP_MD_CTX_free(b->trackers[k].ctx);
	EVP_MD_free(b->md);
	pthread_mutex_destroy(&b->lock);
	bmap_clear(&b->map);
	free(b->path);
	free(b->holes);
	free(b->discarded);
	free(b);
}

static const struct medium_ops mapped_ops = {
	.name = "bmap",
	.read = mapped_read,
	.next_extent = mapped_next_extent,
	.close = mapped_close,
};

static int load_map(const char *path, struct bmap *ret, struct ism_error *err)
{
	_medium_ struct medium *file = NULL;
	_free_ char *text = NULL;
	int r = carrier_driver_file.open(path, &(struct ism_open_options){ 0 }, &file, err);

	if (r < 0)
		return r;
	if (file->size > BMAP_SIZE_MAX)
		return ism_error_set(err, -EFBIG, path, ISM_NO_OFFSET,
		                     "is larger than a bmap file may be (%u MiB)",
		                     BMAP_SIZE_MAX >> 20);
	text = malloc((size_t)file->size + 1);
	if (!text)
		return ism_error_oom(err);
	r = medium_read_all(file, text, (size_t)file->size, 0, err);
	return r < 0 ? r : bmap_parse(text, (size_t)file->size, path, ret, err);
}

static struct mapped *mapped_new(const char *path)
{
	struct mapped *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	pthread_mutex_init(&b->lock, NULL);
	b->path = strdup(path);
	b->discarded = malloc(DISCARD_LEN);
	return b;
}

static int mapped_prepare(struct mapped *b, const struct medium *image, struct ism_error *err)
{
	if (!b->path || !b->discarded)
		return ism_error_oom(err);

	int r = load_map(b->path, &b->map, err);

	if (r < 0)
		return r;
	if (image->size != ISM_SIZE_UNKNOWN && image->size != b->map.image_size)
		return ism_error_set(err, -EBADMSG, b->path, ISM_NO_OFFSET,
		                     "is for an image of %llu bytes, but %s has %llu",
		                     (unsigned long long)b->map.image_size, image->name,
		                     (unsigned long long)image->size);
	b->holes = calloc(b->map.n + 1, 1);
	if (!b->holes)
		return ism_error_oom(err);
	if (b->map.n)
		b->last = range_end(&b->map.ranges[b->map.n - 1]);
	if (b->map.hash[0])
		b->md = EVP_MD_fetch(NULL, b->map.hash, NULL);
	return b->map.hash[0] && !b->md ? hash_failed(b, err) : 0;
}

int bmap_open(struct medium *image, const char *bmap_path, struct medium **ret,
              struct ism_error *err)
{
	_medium_ struct medium *m = medium_new(&mapped_ops, image->name);
	struct mapped *b = m ? mapped_new(bmap_path) : NULL;
	int r;

	if (!b)
		return ism_error_oom(err);
	m->priv = b;
	r = mapped_prepare(b, image, err);
	if (r < 0)
		return r;
	m->size = b->map.image_size;
	m->sector_size = image->sector_size;
	m->physical_size = image->physical_size;
	m->forward = image->forward;
	m->skips = image->forward;
	m->stop = image->stop;
	b->image = image;
	*ret = take(m);
	return 0;
}
