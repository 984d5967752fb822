/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Faults at chosen bytes, and a throttle, between a job and a real medium. */
#include "medium/faulty.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/size.h"

#define FAULTS_MAX 32

enum fault_kind {
	FAULT_READ_ERROR,
	FAULT_WRITE_ERROR,
	FAULT_STALE,
	FAULT_FLIP,
	FAULT_ZEROS,
	FAULT_ONES,
	FAULT_WRAP,
	FAULT_SHORT,
	FAULT_FULL,
	FAULT_GONE,
	FAULT_STALL,
	FAULT_READ_BPS,
	FAULT_WRITE_BPS,
	FAULT_FLUSH_MS,
	FAULT_FREEZE,
};

static const struct fault_word {
	const char *word; /* with its separator */
	enum fault_kind kind;
} words[] = {
	{ "read-error@", FAULT_READ_ERROR },
	{ "write-error@", FAULT_WRITE_ERROR },
	{ "stale@", FAULT_STALE },
	{ "flip@", FAULT_FLIP },
	{ "zeros@", FAULT_ZEROS },
	{ "ones@", FAULT_ONES },
	{ "wrap=", FAULT_WRAP },
	{ "short@", FAULT_SHORT },
	{ "full@", FAULT_FULL },
	{ "gone@", FAULT_GONE },
	{ "stall@", FAULT_STALL },
	{ "read-bps=", FAULT_READ_BPS },
	{ "write-bps=", FAULT_WRITE_BPS },
	{ "flush-ms=", FAULT_FLUSH_MS },
	{ "freeze@", FAULT_FREEZE },
};

struct fault {
	enum fault_kind kind;
	uint64_t offset, len;
};

struct faulty {
	struct medium *below;
	struct fault faults[FAULTS_MAX];
	size_t n;
	pthread_mutex_t lock; /* guards all below */
	bool gone, frozen;
	uint64_t read_free_ns, write_free_ns; /* when the throttle lets the next request go */
};

static bool touches(const struct fault *f, uint64_t offset, uint64_t len)
{
	return offset < f->offset + f->len && f->offset < offset + len;
}

static const struct fault *find(const struct faulty *y, enum fault_kind kind, uint64_t offset,
                                uint64_t len)
{
	for (size_t i = 0; i < y->n; i++)
		if (y->faults[i].kind == kind && touches(&y->faults[i], offset, len))
			return &y->faults[i];
	return NULL;
}

/* The value of a fault that has no place: wrap, throttle. 0 = not set. */
static uint64_t setting(const struct faulty *y, enum fault_kind kind)
{
	for (size_t i = 0; i < y->n; i++)
		if (y->faults[i].kind == kind)
			return y->faults[i].offset;
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void throttle(struct faulty *y, enum fault_kind kind, uint64_t *free_ns, uint64_t len)
{
	uint64_t bps = setting(y, kind), until;
	struct timespec t;

	if (!bps)
		return;
	pthread_mutex_lock(&y->lock);
	*free_ns = MAX(*free_ns, now_ns()) + len * 1000000000 / bps;
	until = *free_ns;
	pthread_mutex_unlock(&y->lock);
	t = (struct timespec){ .tv_sec = (time_t)(until / 1000000000),
		               .tv_nsec = (long)(until % 1000000000) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* Gone and stalled media, whatever is asked of them. */
static int ask(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err)
{
	struct faulty *y = m->priv;
	bool gone, frozen;

	pthread_mutex_lock(&y->lock);
	frozen = y->frozen;
	y->frozen |= find(y, FAULT_FREEZE, offset, len) != NULL;
	y->gone |= find(y, FAULT_GONE, offset, len) != NULL;
	gone = y->gone;
	pthread_mutex_unlock(&y->lock);
	if (frozen || find(y, FAULT_STALL, offset, len))
		for (;;)
			pause();
	if (find(y, FAULT_FREEZE, offset, len))
		return ism_error_errno(err, -EIO, m->name, offset, "cannot go on");
	return gone ? ism_error_errno(err, -ENODEV, m->name, offset, "cannot go on") : 0;
}

static void spoil(const struct faulty *y, uint8_t *buf, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < y->n; i++) {
		const struct fault *f = &y->faults[i];
		uint64_t from = MAX(offset, f->offset), to = MIN(offset + len, f->offset + f->len);

		if (from >= to)
			continue;
		if (f->kind == FAULT_FLIP)
			buf[from - offset] ^= 1;
		else if (f->kind == FAULT_ZEROS)
			memset(buf + (from - offset), 0, (size_t)(to - from));
		else if (f->kind == FAULT_ONES)
			memset(buf + (from - offset), 0xff, (size_t)(to - from));
	}
}

static int faulty_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                       struct ism_error *err)
{
	struct faulty *y = m->priv;
	uint64_t wrap = setting(y, FAULT_WRAP), at = wrap ? offset % wrap : offset;
	const struct fault *f;
	int r = ask(m, offset, len, err);

	if (r < 0)
		return r;
	f = find(y, FAULT_READ_ERROR, offset, len);
	if (f)
		return ism_error_errno(err, -EIO, m->name, MAX(offset, f->offset), "cannot read");
	f = find(y, FAULT_SHORT, offset, len);
	if (f) {
		len = (size_t)(MAX(offset, f->offset) - offset);
		*ret_len = 0;
		if (!len)
			return 0;
	}
	if (wrap)
		len = (size_t)MIN((uint64_t)len, wrap - at);
	throttle(y, FAULT_READ_BPS, &y->read_free_ns, len);
	r = medium_read(y->below, buf, len, at, ret_len, err);
	if (r == 0)
		spoil(y, buf, *ret_len, offset);
	return r;
}

/* Write all but what is acknowledged and lost. */
static int write_but_stale(struct faulty *y, const uint8_t *buf, size_t len, uint64_t offset,
                           uint64_t at, struct ism_error *err)
{
	const struct fault *f = find(y, FAULT_STALE, offset, len);
	uint64_t from, to;
	int r = 0;

	if (!f)
		return medium_write(y->below, buf, len, at, err);
	from = MAX(offset, f->offset) - offset;
	to = MIN(offset + len, f->offset + f->len) - offset;
	if (from)
		r = medium_write(y->below, buf, (size_t)from, at, err);
	if (r == 0 && to < len)
		r = medium_write(y->below, buf + to, (size_t)(len - to), at + to, err);
	return r;
}

static int faulty_write(struct medium *m, const void *buf, size_t len, uint64_t offset,
                        struct ism_error *err)
{
	struct faulty *y = m->priv;
	uint64_t wrap = setting(y, FAULT_WRAP), full = setting(y, FAULT_FULL);
	const uint8_t *p = buf;
	const struct fault *f;
	int r = ask(m, offset, len, err);

	if (r < 0)
		return r;
	f = find(y, FAULT_WRITE_ERROR, offset, len);
	if (f)
		return ism_error_errno(err, -EIO, m->name, MAX(offset, f->offset), "cannot write");
	if (full && offset + len > full)
		return ism_error_errno(err, -ENOSPC, m->name, MAX(offset, full), "cannot write");
	throttle(y, FAULT_WRITE_BPS, &y->write_free_ns, len);
	while (len && r == 0) {
		uint64_t at = wrap ? offset % wrap : offset;
		size_t n = wrap ? (size_t)MIN((uint64_t)len, wrap - at) : len;

		r = write_but_stale(y, p, n, offset, at, err);
		p += n;
		len -= n;
		offset += n;
	}
	return r;
}

static int faulty_flush(struct medium *m, struct ism_error *err)
{
	struct faulty *y = m->priv;
	int r = ask(m, 0, 0, err);

	usleep((useconds_t)(1000 * setting(y, FAULT_FLUSH_MS)));
	return r < 0 ? r : medium_flush(y->below, err);
}

static int faulty_drop_cache(struct medium *m, uint64_t offset, uint64_t len, const char **how,
                             struct ism_error *err)
{
	return medium_drop_cache(((struct faulty *)m->priv)->below, offset, len, how, err);
}

static int faulty_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                              struct ism_error *err)
{
	return medium_next_extent(((struct faulty *)m->priv)->below, offset, ret, err);
}

static int faulty_resize(struct medium *m, uint64_t size, struct ism_error *err)
{
	struct faulty *y = m->priv;
	int r = y->below->ops->resize
	                ? y->below->ops->resize(y->below, size, err)
	                : ism_error_set(err, -EOPNOTSUPP, m->name, 0, "cannot be resized");

	m->size = y->below->size;
	return r;
}

static void faulty_close(struct medium *m)
{
	struct faulty *y = m->priv;

	if (!y)
		return;
	medium_close(y->below);
	pthread_mutex_destroy(&y->lock);
	free(y);
}

static const struct medium_ops faulty_ops = {
	.name = "faulty",
	.read = faulty_read,
	.write = faulty_write,
	.flush = faulty_flush,
	.drop_cache = faulty_drop_cache,
	.next_extent = faulty_next_extent,
	.resize = faulty_resize,
	.close = faulty_close,
};

static int parse_fault(const char *text, struct fault *f, struct ism_error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i].word);
		const char *end = text + len;

		if (strncmp(text, words[i].word, len) != 0)
			continue;
		*f = (struct fault){ .kind = words[i].kind,
			             .len = words[i].kind == FAULT_FLIP ? 1 : 512 };
		if (size_parse(end, &f->offset, &end) < 0 ||
		    (*end == '+' && size_parse(end + 1, &f->len, &end) < 0) || *end)
			break;
		return 0;
	}
	return ism_error_usage(err, text, "is no fault that is known");
}

int faulty_wrap(struct medium **m, const char *spec, struct ism_error *err)
{
	_medium_ struct medium *above = medium_new(&faulty_ops, (*m)->name);
	struct faulty *y = above ? calloc(1, sizeof(*y)) : NULL;
	_free_ char *copy = strdup(spec);
	char *save = NULL;

	if (!y || !copy) {
		free(y);
		return ism_error_oom(err);
	}
	above->priv = y;
	pthread_mutex_init(&y->lock, NULL);
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		int r = y->n < FAULTS_MAX ? parse_fault(word, &y->faults[y->n++], err)
		                          : ism_error_usage(err, spec, "has too many faults");

		if (r < 0)
			return r;
	}
	above->size = (*m)->size;
	above->sector_size = (*m)->sector_size;
	above->physical_size = (*m)->physical_size;
	above->forward = (*m)->forward;
	above->writable = (*m)->writable;
	above->stop = (*m)->stop;
	above->fd = (*m)->fd; /* of the one below, which closes it */
	above->hooks_only = true;
	y->below = *m;
	*m = take(above);
	return 0;
}

char *faulty_spec_for(const char *path)
{
	const char *all = getenv("ISOMORPH_FAULTY");
	_free_ char *copy = all ? strdup(all) : NULL;
	size_t len = strlen(path);
	char *save = NULL;

	for (char *one = copy ? strtok_r(copy, ";", &save) : NULL; one;
	     one = strtok_r(NULL, ";", &save))
		if (strncmp(one, path, len) == 0 && one[len] == '=')
			return strdup(one + len + 1);
	return NULL;
}
