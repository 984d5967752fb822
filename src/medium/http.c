/* SPDX-License-Identifier: GPL-3.0-or-later */
/* http:// and https:// as a forward medium: a thread downloads ahead into a ring, goes on where a
 * connection broke, and proves that what follows belongs to what came before. RFC 9110, section 14.
 */
#include "medium/http.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "medium/http_get.h"
#include "medium/medium.h"

#define RING_SIZE ((uint64_t)8 << 20)
#define OVERLAP   ((uint64_t)64 << 10) /* asked for again and compared when a download goes on */
#define RETRIES   5                    /* in a row, without a step forward */
#define STEP_MIN  256                  /* bytes; what counts as a step forward */
#define WAIT_MS   100

struct http {
	struct http_url url;
	struct medium *m;
	struct http_get get;
	pthread_t thread;
	bool has_thread;
	atomic_bool quit;

	/* the download thread's own */
	uint64_t at;                        /* the next byte of the body that comes */
	uint64_t body_end;                  /* where this body must end, ISM_SIZE_UNKNOWN */
	bool from_zero;                     /* of a body that repeats what has been received */
	char validator[HTTP_VALIDATOR_MAX]; /* of the bytes received: what If-Range may carry; "" =
	                                       none */
	char validator_next[HTTP_VALIDATOR_MAX]; /* of the body that comes; true of the bytes
	                                            received once it has repeated them all */
	XXH3_state_t *hash;                      /* of all bytes received */
	XXH3_state_t *hash_again;                /* of what a new start from zero repeats */

	pthread_mutex_t lock; /* guards all below; the bytes of the ring belong to the thread from
	                         `received` to `consumed` + RING_SIZE, else to the reader */
	pthread_cond_t changed;
	uint8_t *ring;
	uint64_t received, consumed;
	uint64_t total; /* ISM_SIZE_UNKNOWN */
	bool started;   /* the headers of the file have come */
	bool ended;     /* no more will come; failed if error.code is set */
	struct ism_error error;
};

static void http_wait(struct http *h)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += WAIT_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&h->changed, &h->lock, &until);
}

static int changed_error(struct http *h, uint64_t offset, struct ism_error *err, const char *how)
{
	ism_error_set(err, -ESTALE, h->m->name, offset,
	              "the file on the server changed during the download: %s", how);
	return ism_error_hint(err, "start again once it stays as it is");
}

/* The validator of the answer is not the one that was asked for. */
static bool is_other_version(const struct http *h, const struct http_response *r)
{
	if (h->validator[0] == '"')
		return r->has_etag && strcmp(r->etag, h->validator) != 0;
	return r->last_modified[0] && strcmp(r->last_modified, h->validator) != 0;
}

/* The answer to a request for the rest. Nothing but exactly that rest is taken. */
static int head_range(struct http *h, const struct http_response *r, struct ism_error *err)
{
	const struct http_range *range = &r->range;

	if (!h->get.first || !r->has_range || range->first != h->get.first)
		return ism_error_set(err, -EPROTO, h->m->name, h->get.first,
		                     "the server answers with another range than was asked for");
	if (r->length != ISM_SIZE_UNKNOWN && r->length != range->last - range->first + 1)
		return ism_error_set(err, -EPROTO, h->m->name, h->get.first,
		                     "the server's range and length do not agree");
	if (h->total != ISM_SIZE_UNKNOWN && range->total != ISM_SIZE_UNKNOWN &&
	    range->total != h->total)
		return changed_error(h, range->first, err, "it has another size");
	if (h->total != ISM_SIZE_UNKNOWN && range->last >= h->total)
		return changed_error(h, range->first, err, "it has become longer");
	if (h->total == ISM_SIZE_UNKNOWN && range->total == ISM_SIZE_UNKNOWN)
		return ism_error_set(err, -EPROTO, h->m->name, h->get.first,
		                     "the server does not say how long the file is");
	if (is_other_version(h, r))
		return changed_error(h, range->first, err, "it is another version");
	h->at = range->first;
	h->body_end = range->last + 1;
	h->from_zero = false;
	return 0;
}

/* The whole file, for the first time or again. With neither a length nor chunks it ends where the
 * connection does, and nothing tells whether that is all: the size stays unknown, and the plan says
 * so. */
static int head_whole(struct http *h, const struct http_response *r, struct ism_error *err)
{
	const char *validator = http_strong_validator(r);

	if (h->started && h->total != ISM_SIZE_UNKNOWN && r->length != ISM_SIZE_UNKNOWN &&
	    r->length != h->total)
		return changed_error(h, h->received, err, "it has another size");
	h->at = 0;
	h->body_end = r->length != ISM_SIZE_UNKNOWN ? r->length : h->total;
	h->from_zero = true;
	XXH3_128bits_reset(h->hash_again);
	snprintf(h->validator_next, sizeof(h->validator_next), "%s", validator ? validator : "");
	return 0;
}

static int http_head(void *arg, const struct http_response *r, struct ism_error *err)
{
	struct http *h = arg;
	uint64_t total = r->status == 206 ? r->range.total : r->length;
	int ret = r->status == 206 ? head_range(h, r, err) : head_whole(h, r, err);

	if (ret < 0)
		return ret;
	pthread_mutex_lock(&h->lock);
	if (h->total == ISM_SIZE_UNKNOWN)
		h->total = total;
	h->started = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static uint64_t first_difference(const uint8_t *a, const uint8_t *b, uint64_t len)
{
	uint64_t i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

/* Bytes that have come before: what the ring still holds is compared, the rest is hashed. */
static int body_again(struct http *h, const uint8_t *p, uint64_t len, struct ism_error *err)
{
	uint64_t held = h->received > RING_SIZE ? h->received - RING_SIZE : 0;

	if (h->from_zero)
		XXH3_128bits_update(h->hash_again, p, (size_t)len);
	for (uint64_t n; len; p += n, len -= n, h->at += n) {
		uint64_t in_ring = h->at % RING_SIZE, same;

		if (h->at < held) {
			n = MIN(len, held - h->at);
			continue;
		}
		n = MIN(len, RING_SIZE - in_ring);
		same = first_difference(h->ring + in_ring, p, n);
		if (same < n)
			return changed_error(h, h->at + same, err,
			                     "it differs from what came first");
	}
	if (h->at < h->received || !h->from_zero)
		return 0;
	if (!XXH128_isEqual(XXH3_128bits_digest(h->hash), XXH3_128bits_digest(h->hash_again)))
		return changed_error(h, h->received, err, "it differs from what came first");
	return 0;
}

/* Room for new bytes; 0 when the medium is being closed. */
static uint64_t wait_for_room(struct http *h)
{
	uint64_t room;

	pthread_mutex_lock(&h->lock);
	while (!(room = h->consumed + RING_SIZE - h->received) && !atomic_load(&h->quit) &&
	       !medium_stopped(h->m))
		http_wait(h);
	pthread_mutex_unlock(&h->lock);
	return room;
}

static int body_new(struct http *h, const uint8_t *p, uint64_t len, struct ism_error *err)
{
	while (len) {
		uint64_t room = wait_for_room(h), in_ring = h->received % RING_SIZE;
		uint64_t n = MIN(len, RING_SIZE - in_ring);

		if (!room)
			return ism_error_canceled(err);
		n = MIN(n, room);
		memcpy(h->ring + in_ring, p, (size_t)n);
		XXH3_128bits_update(h->hash, p, (size_t)n);
		p += n;
		len -= n;
		h->at += n;
		pthread_mutex_lock(&h->lock);
		h->received += n;
		pthread_cond_broadcast(&h->changed);
		pthread_mutex_unlock(&h->lock);
	}
	return 0;
}

static int http_body(void *arg, const uint8_t *p, size_t len, struct ism_error *err)
{
	struct http *h = arg;
	uint64_t again;
	int r;

	if (h->body_end != ISM_SIZE_UNKNOWN && len > h->body_end - h->at)
		return ism_error_set(err, -EPROTO, h->m->name, h->body_end,
		                     "the server sends more than it said");
	again = h->at < h->received ? MIN((uint64_t)len, h->received - h->at) : 0;
	r = again ? body_again(h, p, again, err) : 0;
	if (r == 0 && h->from_zero && h->at == h->received)
		memcpy(h->validator, h->validator_next, sizeof(h->validator));
	return r < 0 ? r : body_new(h, p + again, len - again, err);
}

/* One connection's worth. 0: all is here; -EAGAIN: it may help to ask again, @err says why. */
static int download_try(struct http *h, struct ism_error *err)
{
	uint64_t first = h->received > OVERLAP ? h->received - OVERLAP : 0;
	char validator[HTTP_VALIDATOR_MAX];
	int r;

	memcpy(validator, h->validator, sizeof(validator));
	h->get.first = validator[0] ? first : 0;
	h->get.if_range = validator;
	r = http_get(&h->get, err);
	if (h->total != ISM_SIZE_UNKNOWN && h->received == h->total && h->get.failure != HTTP_FINAL)
		return 0;
	if (r < 0)
		return h->get.failure == HTTP_BROKEN ||
		                       (h->get.failure == HTTP_UNREACHABLE && h->received)
		               ? -EAGAIN
		               : r;
	if (h->total == ISM_SIZE_UNKNOWN && h->at == h->received)
		return 0;
	if (h->at < h->received)
		return changed_error(h, h->at, err, "it has become shorter");
	if (h->received < h->total) {
		ism_error_set(err, -ECONNRESET, h->m->name, h->received,
		              "the server ended before the end");
		return -EAGAIN;
	}
	return 0;
}

static int give_up(struct http *h, struct ism_error *err)
{
	if (!h->received)
		return ism_error_prefix(err, "cannot download it, tried %d times", RETRIES + 1);
	err->offset = h->received;
	ism_error_prefix(err, "the download broke off here %d times in a row", RETRIES + 1);
	if (!err->hint)
		ism_error_hint(err, "check the network, or download the image first");
	return err->code;
}

/* Until all is here or nothing helps any more. A step forward makes the tries count anew. */
static int download(struct http *h, struct ism_error *err)
{
	unsigned retries = 0;

	for (;;) {
		uint64_t before = h->received;
		int r = download_try(h, err);

		if (r != -EAGAIN)
			return r;
		if (h->received - before >= STEP_MIN)
			retries = 0;
		if (retries++ == RETRIES)
			return give_up(h, err);
		r = http_pause(&h->get, retries, err);
		if (r < 0)
			return r;
		ism_error_clear(err);
	}
}

static void *http_thread(void *arg)
{
	struct http *h = arg;
	struct ism_error error = { 0 };
	int r = download(h, &error);

	pthread_mutex_lock(&h->lock);
	if (r < 0) {
		if (error.offset == ISM_NO_OFFSET && h->received)
			error.offset = h->received;
		ism_error_move(&h->error, &error);
	}
	h->ended = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	ism_error_clear(&error);
	return NULL;
}

static int http_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                     struct ism_error *err)
{
	struct http *h = m->priv;
	uint64_t in_ring = offset % RING_SIZE, n;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	while (h->received == h->consumed && !h->ended && !medium_stopped(m))
		http_wait(h);
	n = MIN(h->received - h->consumed, RING_SIZE - in_ring);
	if (medium_stopped(m))
		r = ism_error_canceled(err);
	else if (!n && h->error.code)
		r = ism_error_copy(err, &h->error);
	pthread_mutex_unlock(&h->lock);
	if (r < 0)
		return r;
	n = MIN(n, (uint64_t)len);
	memcpy(buf, h->ring + in_ring, (size_t)n);
	pthread_mutex_lock(&h->lock);
	h->consumed += n;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	*ret_len = (size_t)n;
	return 0;
}

static void http_close(struct medium *m)
{
	struct http *h = m->priv;

	if (!h)
		return;
	atomic_store(&h->quit, true);
	if (h->has_thread)
		pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	XXH3_freeState(h->hash);
	XXH3_freeState(h->hash_again);
	ism_error_clear(&h->error);
	http_url_clear(&h->url);
	free(h->ring);
	free(h);
}

static const struct medium_ops http_ops = {
	.name = "http",
	.read = http_read,
	.close = http_close,
};

/* Takes over what @url holds. */
static struct http *http_new(struct medium *m, struct http_url *url)
{
	struct http *h = calloc(1, sizeof(*h));
	pthread_condattr_t attr;

	if (!h)
		return NULL;
	h->m = m;
	h->url = *url;
	*url = (struct http_url){ 0 };
	h->total = ISM_SIZE_UNKNOWN;
	h->get = (struct http_get){ .url = &h->url,
		                    .stop = m->stop,
		                    .quit = &h->quit,
		                    .head = http_head,
		                    .body = http_body,
		                    .arg = h,
		                    .stall_ms = http_stall_ms() };
	pthread_mutex_init(&h->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&h->changed, &attr);
	pthread_condattr_destroy(&attr);
	h->ring = malloc(RING_SIZE);
	h->hash = XXH3_createState();
	h->hash_again = XXH3_createState();
	m->priv = h;
	if (!h->ring || !h->hash || !h->hash_again)
		return NULL;
	XXH3_128bits_reset(h->hash);
	return h;
}

/* Signals are for the other threads. */
static int http_start(struct http *h, struct ism_error *err)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&h->thread, NULL, http_thread, h);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		return ism_error_errno(err, -r, h->m->name, ISM_NO_OFFSET, "cannot start a thread");
	h->has_thread = true;
	return 0;
}

/* Until the server has said what it has. */
static int http_await_start(struct http *h, struct ism_error *err)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	while (!h->started && !h->ended && !medium_stopped(h->m))
		http_wait(h);
	if (medium_stopped(h->m))
		r = ism_error_canceled(err);
	else if (!h->started)
		r = ism_error_copy(err, &h->error);
	h->m->size = h->total;
	pthread_mutex_unlock(&h->lock);
	return r;
}

static int http_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                     struct ism_error *err)
{
	struct http_url url = { 0 };
	int r = http_url_parse(ref, &url, err);

	if (r < 0)
		return r;

	_medium_ struct medium *m = medium_new(&http_ops, url.shown);
	struct http *h;

	if (!m) {
		http_url_clear(&url);
		return ism_error_oom(err);
	}
	m->forward = true;
	m->stop = options->stop;
	h = http_new(m, &url);
	http_url_clear(&url);
	if (!h)
		return ism_error_oom(err);
	r = http_start(h, err);
	if (r == 0)
		r = http_await_start(h, err);
	if (r < 0)
		return r;
	m->size_hint = m->size == ISM_SIZE_UNKNOWN ? 0 : m->size;
	*ret = take(m);
	return 0;
}

const struct carrier_driver carrier_driver_http = {
	.name = "http",
	.claims = http_is_url,
	.open = http_open,
};
