/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A bounded pool of buffers, reference-counted pieces in them, and a queue of pieces a target. */
#include "engine/pool.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "medium/medium.h"

#define SLAB_PIECES 2u /* buffers that are allocated at once: a huge page */

struct pool {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t freed;
	unsigned cap, made;
	uint8_t **slabs;     /* two buffers each */
	struct piece **idle; /* stack, room for `cap` at least */
	unsigned n_idle, idle_cap;
};

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct timespec deadline_in(unsigned ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_nsec -= 1000000000;
		t.tv_sec++;
	}
	return t;
}

static void cond_init_monotonic(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

struct pool *pool_new(unsigned buffers)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	cond_init_monotonic(&pool->freed);
	pool->cap = buffers;
	return pool;
}

struct pool *pool_free(struct pool *pool)
{
	if (!pool)
		return NULL;
	for (unsigned i = 0; i < pool->n_idle; i++) {
		free(pool->idle[i]->bad);
		free(pool->idle[i]);
	}
	for (unsigned i = 0; i < pool->made; i += SLAB_PIECES)
		free(pool->slabs[i / SLAB_PIECES]);
	free(pool->slabs);
	free(pool->idle);
	pthread_cond_destroy(&pool->freed);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return NULL;
}

/* With the lock held: room for what is known of one buffer more. */
static bool pool_grow(struct pool *pool)
{
	struct piece **idle;
	uint8_t **slabs;

	if (pool->idle_cap > pool->made)
		return true;
	idle = realloc(pool->idle, (pool->made + 8) * sizeof(*idle));
	if (!idle)
		return false;
	pool->idle = idle;
	slabs = realloc(pool->slabs, (pool->made + 8) / SLAB_PIECES * sizeof(*slabs));
	if (!slabs)
		return false;
	pool->slabs = slabs;
	pool->idle_cap = pool->made + 8;
	return true;
}

/* With the lock held: a new piece with its buffer, or NULL. */
static struct piece *make_piece(struct pool *pool)
{
	struct piece *piece;
	uint8_t **slab;

	if (!pool_grow(pool))
		return NULL;
	piece = calloc(1, sizeof(*piece));
	if (!piece)
		return NULL;
	slab = &pool->slabs[pool->made / SLAB_PIECES];
	if (pool->made % SLAB_PIECES == 0)
		*slab = medium_buffer(SLAB_PIECES * PIECE_LEN);
	if (!*slab) {
		free(piece);
		return NULL;
	}
	piece->data = *slab + pool->made % SLAB_PIECES * PIECE_LEN;
	piece->pool = pool;
	pool->made++;
	return piece;
}

struct piece *piece_get(struct pool *pool, unsigned timeout_ms)
{
	struct timespec until = deadline_in(timeout_ms);
	struct piece *piece = NULL;

	pthread_mutex_lock(&pool->lock);
	while (!pool->n_idle && pool->made >= pool->cap)
		if (!timeout_ms || pthread_cond_timedwait(&pool->freed, &pool->lock, &until) != 0)
			break;
	if (pool->n_idle)
		piece = pool->idle[--pool->n_idle];
	else if (pool->made < pool->cap)
		piece = make_piece(pool);
	pthread_mutex_unlock(&pool->lock);
	if (piece) {
		atomic_store(&piece->refs, 1);
		piece->kind = ISM_EXTENT_DATA;
		piece->n_bad = 0;
	}
	return piece;
}

struct piece *piece_zero(uint64_t offset, size_t len)
{
	struct piece *piece = calloc(1, sizeof(*piece));

	if (!piece)
		return NULL;
	piece->offset = offset;
	piece->len = len;
	piece->kind = ISM_EXTENT_ZERO;
	atomic_store(&piece->refs, 1);
	return piece;
}

struct piece *piece_copy(const struct piece *piece)
{
	struct piece *copy = piece_zero(piece->offset, piece->len);

	if (!copy || !piece->data)
		return copy;
	copy->data = medium_buffer(piece->len);
	if (!copy->data) {
		free(copy);
		return NULL;
	}
	memcpy(copy->data, piece->data, piece->len);
	copy->kind = piece->kind;
	copy->digest = piece->digest;
	return copy;
}

const uint8_t *piece_data(const struct piece *piece)
{
	static const _Alignas(MEDIUM_BUFFER_ALIGN) uint8_t zeros[PIECE_LEN];

	return piece->data ? piece->data : zeros;
}

struct piece *piece_ref(struct piece *piece)
{
	atomic_fetch_add(&piece->refs, 1);
	return piece;
}

void piece_put(struct piece *piece)
{
	struct pool *pool;

	if (!piece || atomic_fetch_sub(&piece->refs, 1) != 1)
		return;
	pool = piece->pool;
	if (!pool) {
		free(piece->data);
		free(piece);
		return;
	}
	pthread_mutex_lock(&pool->lock);
	pool->idle[pool->n_idle++] = piece;
	pthread_cond_signal(&pool->freed);
	pthread_mutex_unlock(&pool->lock);
}

void pool_abandon(struct pool *pool, unsigned n)
{
	pthread_mutex_lock(&pool->lock);
	pool->cap += n;
	pthread_cond_broadcast(&pool->freed);
	pthread_mutex_unlock(&pool->lock);
}

int queue_init(struct piece_queue *q)
{
	*q = (struct piece_queue){ .cap = 16 };
	q->ring = calloc(q->cap, sizeof(*q->ring));
	pthread_mutex_init(&q->lock, NULL);
	cond_init_monotonic(&q->filled);
	return q->ring ? 0 : -ENOMEM;
}

void queue_destroy(struct piece_queue *q)
{
	if (!q->ring)
		return;
	queue_close(q);
	free(q->ring);
	pthread_cond_destroy(&q->filled);
	pthread_mutex_destroy(&q->lock);
	q->ring = NULL;
}

/* With the lock held. */
static bool queue_grow(struct piece_queue *q)
{
	struct piece **ring = calloc(q->cap * 2, sizeof(*ring));

	if (!ring)
		return false;
	for (size_t i = 0; i < q->n; i++)
		ring[i] = q->ring[(q->first + i) % q->cap];
	free(q->ring);
	q->ring = ring;
	q->first = 0;
	q->cap *= 2;
	return true;
}

bool queue_put(struct piece_queue *q, struct piece *piece)
{
	bool ok;

	pthread_mutex_lock(&q->lock);
	if (q->closed) {
		pthread_mutex_unlock(&q->lock);
		piece_put(piece);
		return true;
	}
	ok = q->n < q->cap || queue_grow(q);
	if (ok) {
		q->ring[(q->first + q->n++) % q->cap] = piece;
		pthread_cond_signal(&q->filled);
	}
	pthread_mutex_unlock(&q->lock);
	return ok;
}

void queue_end(struct piece_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->ended = true;
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}

enum queue_result queue_get(struct piece_queue *q, unsigned timeout_ms, struct piece **ret)
{
	struct timespec until = deadline_in(timeout_ms);
	enum queue_result result = QUEUE_PIECE;

	pthread_mutex_lock(&q->lock);
	while (!q->n && !q->ended)
		if (!timeout_ms || pthread_cond_timedwait(&q->filled, &q->lock, &until) != 0)
			break;
	if (q->n) {
		*ret = q->ring[q->first];
		q->first = (q->first + 1) % q->cap;
		q->n--;
	} else {
		result = q->ended ? QUEUE_ENDED : QUEUE_EMPTY;
	}
	pthread_mutex_unlock(&q->lock);
	return result;
}

size_t queue_len(struct piece_queue *q)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = q->n;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void queue_close(struct piece_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = q->ended = true;
	for (; q->n; q->n--) {
		piece_put(q->ring[q->first]);
		q->first = (q->first + 1) % q->cap;
	}
	pthread_cond_broadcast(&q->filled);
	pthread_mutex_unlock(&q->lock);
}
