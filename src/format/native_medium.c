/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A native image as a disk that can be read anywhere: chunks are decoded and proven by several
 * threads, some ahead of where the reader is. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "format/format.h"
#include "format/native_read.h"

#define THREADS_MAX 16
#define SLOTS_BYTES (32 * MIB) /* decoded chunks kept at most */
#define RUN_BATCH   256        /* runs of the extent list looked at together */

enum slot_state { SLOT_IDLE, SLOT_WANTED, SLOT_BUSY, SLOT_READY, SLOT_FAILED };

struct slot {
	enum slot_state state;
	uint64_t index;
	unsigned readers; /* that copy from it now */
	uint64_t used;    /* when: the longest unused goes first */
	uint8_t *data;
	struct ism_error error;
};

struct native {
	struct native_image image;
	struct medium *file;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wanted, ready;
	struct slot *slots;
	size_t n_slots;
	uint64_t clock;
	bool closing;
	pthread_t threads[THREADS_MAX];
	unsigned n_threads, wish_threads;
	bool damaged;   /* chunks that cannot be had are zeros, and noted */
	uint8_t *lost;  /* a bit a chunk */
	bool tail_lost; /* the chunks that are not even in the index were asked for */
	/* the part of the extent list looked at last */
	struct native_run_disk runs[RUN_BATCH];
	uint64_t runs_first;
	size_t n_runs;
};

static struct slot *find_wanted(struct native *n)
{
	struct slot *best = NULL;

	for (size_t i = 0; i < n->n_slots; i++)
		if (n->slots[i].state == SLOT_WANTED && (!best || n->slots[i].index < best->index))
			best = &n->slots[i];
	return best;
}

static void *decode_main(void *arg)
{
	struct native *n = arg;
	uint8_t *stored = malloc(ZSTD_compressBound(n->image.info.chunk_size));
	ZSTD_DCtx *ctx = ZSTD_createDCtx();

	pthread_mutex_lock(&n->lock);
	while (!n->closing) {
		struct slot *slot = find_wanted(n);
		int r;

		if (!slot) {
			pthread_cond_wait(&n->wanted, &n->lock);
			continue;
		}
		slot->state = SLOT_BUSY;
		pthread_mutex_unlock(&n->lock);
		r = stored && ctx ? native_image_decode(&n->image, slot->index, ctx, stored,
		                                        slot->data, &slot->error)
		                  : ism_error_oom(&slot->error);
		if (r == -EBADMSG && n->damaged)
			memset(slot->data, 0, n->image.info.chunk_size);
		pthread_mutex_lock(&n->lock);
		if (r == -EBADMSG && n->damaged) {
			n->lost[slot->index / 8] |= (uint8_t)(1 << slot->index % 8);
			r = 0;
		}
		slot->state = r < 0 ? SLOT_FAILED : SLOT_READY;
		pthread_cond_broadcast(&n->ready);
	}
	pthread_mutex_unlock(&n->lock);
	ZSTD_freeDCtx(ctx);
	free(stored);
	return NULL;
}

/* With the lock held. */
static struct slot *find_slot(struct native *n, uint64_t index)
{
	for (size_t i = 0; i < n->n_slots; i++)
		if (n->slots[i].state != SLOT_IDLE && n->slots[i].index == index)
			return &n->slots[i];
	return NULL;
}

/* With the lock held: have the chunk decoded if a slot is free for it; NULL if none is. */
static struct slot *want(struct native *n, uint64_t index)
{
	struct slot *slot = find_slot(n, index), *oldest = NULL;

	if (slot) {
		slot->used = ++n->clock;
		return slot;
	}
	for (size_t i = 0; i < n->n_slots; i++) {
		struct slot *s = &n->slots[i];

		if (s->readers || s->state == SLOT_WANTED || s->state == SLOT_BUSY)
			continue;
		if (!oldest || s->used < oldest->used)
			oldest = s;
	}
	if (!oldest)
		return NULL;
	if (!oldest->data && !(oldest->data = malloc(n->image.info.chunk_size)))
		return NULL;
	ism_error_clear(&oldest->error);
	oldest->index = index;
	oldest->state = SLOT_WANTED;
	oldest->used = ++n->clock;
	pthread_cond_signal(&n->wanted);
	return oldest;
}

static void start_threads(struct native *n)
{
	while (n->n_threads < n->wish_threads) {
		if (pthread_create(&n->threads[n->n_threads], NULL, decode_main, n) != 0)
			break;
		n->n_threads++;
	}
}

static void want_next(struct native *n, uint64_t index)
{
	for (uint64_t k = 1; k <= n->n_threads && index + k < n->image.n_chunks; k++)
		want(n, index + k);
}

/* With the lock held: the slot, ready or failed; the chunks behind it are asked for too. NULL:
 * stopped, or no thread or memory is to be had. */
static struct slot *await(struct native *n, uint64_t index, const struct medium *m)
{
	start_threads(n);
	while (n->n_threads && !medium_stopped(m)) {
		struct slot *slot = want(n, index);

		want_next(n, index);
		if (slot && (slot->state == SLOT_READY || slot->state == SLOT_FAILED))
			return slot;
		pthread_cond_wait(&n->ready, &n->lock);
	}
	return NULL;
}

static int native_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	struct native *n = m->priv;
	uint64_t index = offset / n->image.info.chunk_size;
	size_t at = (size_t)(offset % n->image.info.chunk_size), chunk;
	struct slot *slot;
	int r = 0;

	*ret_len = 0;
	if (offset >= m->size)
		return 0;
	chunk = native_image_chunk_len(&n->image, index);
	pthread_mutex_lock(&n->lock);
	if (index >= n->image.n_chunks) { /* salvaged: behind its last chunk */
		n->tail_lost = true;
		pthread_mutex_unlock(&n->lock);
		*ret_len = MIN(len, chunk - at);
		memset(buf, 0, *ret_len);
		return 0;
	}
	slot = await(n, index, m);
	if (!slot)
		r = medium_stopped(m) ? ism_error_canceled(err) : ism_error_oom(err);
	else if (slot->state == SLOT_FAILED)
		r = ism_error_copy(err, &slot->error);
	else
		slot->readers++;
	pthread_mutex_unlock(&n->lock);
	if (r < 0)
		return r;
	*ret_len = MIN(len, chunk - at);
	memcpy(buf, slot->data + at, *ret_len);
	pthread_mutex_lock(&n->lock);
	slot->readers--;
	pthread_cond_broadcast(&n->ready);
	pthread_mutex_unlock(&n->lock);
	return 0;
}

static bool batch_has(const struct native *n, uint64_t offset)
{
	const struct native_run_disk *last = n->n_runs ? &n->runs[n->n_runs - 1] : NULL;

	return last && offset >= le64_get(n->runs[0].offset) &&
	       offset < le64_get(last->offset) + le64_get(last->len);
}

/* With the lock held: look at the part of the list that speaks of `offset`. */
static int load_batch(struct native *n, uint64_t offset, struct ism_error *err)
{
	uint64_t lo = 0, hi = n->image.n_runs;
	size_t got = 0;

	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;
		struct native_run_disk run;
		int r = native_image_runs(&n->image, mid, &run, 1, &got, err);

		if (r < 0)
			return r;
		if (le64_get(run.offset) <= offset)
			lo = mid;
		else
			hi = mid;
	}
	n->runs_first = lo;
	n->n_runs = 0;
	return native_image_runs(&n->image, lo, n->runs, RUN_BATCH, &n->n_runs, err);
}

static int native_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                              struct ism_error *err)
{
	struct native *n = m->priv;
	int r = 0;

	pthread_mutex_lock(&n->lock);
	if (!batch_has(n, offset))
		r = load_batch(n, offset, err);
	for (size_t i = 0; i < n->n_runs && r == 0; i++) {
		uint64_t from = le64_get(n->runs[i].offset), end = from + le64_get(n->runs[i].len);

		if (offset < from || offset >= end)
			continue;
		*ret = (struct ism_extent){ offset, end - offset,
			                    (enum ism_extent_kind)n->runs[i].kind };
		pthread_mutex_unlock(&n->lock);
		return 0;
	}
	pthread_mutex_unlock(&n->lock);
	return r < 0 ? r
	             : ism_error_set(err, -EBADMSG, m->name, ISM_NO_OFFSET,
	                             "has a damaged extent list");
}

static void native_close(struct medium *m)
{
	struct native *n = m->priv;

	if (!n)
		return;
	pthread_mutex_lock(&n->lock);
	n->closing = true;
	pthread_cond_broadcast(&n->wanted);
	pthread_mutex_unlock(&n->lock);
	for (unsigned i = 0; i < n->n_threads; i++)
		pthread_join(n->threads[i], NULL);
	for (size_t i = 0; i < n->n_slots; i++) {
		free(n->slots[i].data);
		ism_error_clear(&n->slots[i].error);
	}
	free(n->slots);
	free(n->lost);
	native_image_clear(&n->image);
	medium_close(n->file);
	pthread_cond_destroy(&n->wanted);
	pthread_cond_destroy(&n->ready);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static const struct medium_ops native_ops = {
	.name = "native",
	.read = native_read,
	.next_extent = native_next_extent,
	.close = native_close,
};

const struct native_image *native_image_of(const struct medium *m)
{
	return m->ops == &native_ops ? &((struct native *)m->priv)->image : NULL;
}

static bool is_lost(const struct native *n, uint64_t index)
{
	return n->lost[index / 8] >> index % 8 & 1;
}

size_t native_lost(const struct medium *m, struct ism_extent *ret, size_t most, uint64_t *ret_bytes)
{
	struct native *n = m->ops == &native_ops ? m->priv : NULL;
	struct ism_extent last = { 0 };
	size_t found = 0;

	*ret_bytes = 0;
	if (!n || !n->damaged)
		return 0;
	pthread_mutex_lock(&n->lock);
	for (uint64_t i = 0; i <= n->image.n_chunks; i++) {
		uint64_t at = i * n->image.info.chunk_size;
		bool tail = i == n->image.n_chunks;
		uint64_t len = tail ? n->image.info.size - MIN(n->image.info.size, at)
		                    : native_image_chunk_len(&n->image, i);

		if (!len || !(tail ? n->tail_lost : is_lost(n, i)))
			continue;
		*ret_bytes += len;
		if (!found || last.offset + last.len != at) {
			last = (struct ism_extent){ at, 0, ISM_EXTENT_BAD };
			found++;
		}
		last.len += len;
		if (found <= most)
			ret[found - 1] = last;
	}
	pthread_mutex_unlock(&n->lock);
	return found;
}

/* Complete, or what can be had of it if the user wants that. */
static int read_index(struct native *n, struct medium *carrier,
                      const struct ism_open_options *options, struct ism_error *err)
{
	int r = native_image_read(carrier, &n->image, err);

	n->damaged = options->damaged;
	if (r == -EBADMSG && n->damaged) {
		_error_ struct ism_error why = { 0 };

		r = native_image_salvage(carrier, &n->image, &why);
		if (r == 0)
			ism_error_clear(err);
	}
	if (r < 0)
		return r;
	n->lost = calloc(1, (size_t)(n->image.n_chunks / 8 + 1));
	return n->lost ? 0 : ism_error_oom(err);
}

/* What comes only once is decoded as the .zst that it also is; the header says where it must end.
 */
static int open_forward(struct medium *carrier, const struct ism_open_options *options,
                        struct medium **ret, struct ism_error *err)
{
	_free_ uint8_t *head = malloc(NATIVE_HEADER_LEN);
	struct native_info info;
	size_t len = 0;
	int r;

	if (!head)
		return ism_error_oom(err);
	r = medium_peek(carrier, head, NATIVE_HEADER_LEN, &len, err);
	if (r == 0)
		r = native_header_read((struct span){ head, len }, &info, carrier->name, err);
	if (r < 0)
		return r;
	if (info.size == ISM_SIZE_UNKNOWN) {
		ism_error_set(err, -EOPNOTSUPP, carrier->name, ISM_NO_OFFSET,
		              "is an image whose size is only said at its end");
		return ism_error_hint(err, "name it as a file, not as a pipe");
	}
	r = format_driver_zst.open(carrier, options, ret, err);
	if (r < 0)
		return r;
	(*ret)->size = info.size;
	(*ret)->sector_size = info.sector_size;
	(*ret)->physical_size = info.physical_size;
	return 0;
}

static int native_open(struct medium *carrier, const struct ism_open_options *options,
                       struct medium **ret, struct ism_error *err)
{
	_medium_ struct medium *m = NULL;
	struct native *n;
	int r;

	if (carrier->forward)
		return open_forward(carrier, options, ret, err);
	m = medium_new(&native_ops, carrier->name);
	n = m ? calloc(1, sizeof(*n)) : NULL;
	if (!n)
		return ism_error_oom(err);
	m->priv = n;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->wanted, NULL);
	pthread_cond_init(&n->ready, NULL);
	r = read_index(n, carrier, options, err);
	if (r < 0)
		return r;
	n->wish_threads = MIN(options->threads ? options->threads : 1U, (unsigned)THREADS_MAX);
	n->n_slots = MAX((size_t)(SLOTS_BYTES / n->image.info.chunk_size),
	                 (size_t)(2 * n->wish_threads + 2));
	n->slots = calloc(n->n_slots, sizeof(*n->slots));
	if (!n->slots)
		return ism_error_oom(err);
	m->size = n->image.info.size;
	m->sector_size = n->image.info.sector_size;
	m->physical_size = n->image.info.physical_size;
	m->stop = options->stop;
	n->file = carrier;
	*ret = take(m);
	return 0;
}

const struct format_driver format_driver_native = {
	.name = "native",
	.magics = { { 0, "\x59\x2a\x4d\x18\xf8\x0f\x00\x00ISOMORPH", 16 } },
	.open = native_open,
};
