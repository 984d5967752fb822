/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The runner of an appended target, a native image: pieces become chunks, workers encode them at
 * the same time, this thread puts the frames into the file in order, and reads the file back at the
 * end. */
#include "engine/append.h"

#include <jansson.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include <isomorph/version.h>

#include "base/hash.h"
#include "engine/sink.h"
#include "format/native_write.h"

#define WORKERS_MAX 16
/* Chunks under way at most: memory is bounded, and as each may hold a buffer of the pool, which
 * has more than these, the reader always finds one. */
#define RING_MAX ((size_t)16)
#define LEVEL    3

enum chunk_state { CHUNK_FREE, CHUNK_FULL, CHUNK_BUSY, CHUNK_DONE };

/* struct chunk - one chunk on its way from pieces to a frame */
struct chunk {
	enum chunk_state state;
	size_t len;
	struct piece *piece; /* the chunk is just this piece; then buf is not used */
	uint8_t *buf;
	bool dirty; /* buf holds bytes of an earlier chunk */
	struct native_run *runs;
	size_t n_runs, runs_cap;
	struct native_frame frame;
	int status;
	struct ism_error error;
};

struct append {
	struct runner *r;
	struct native_writer *writer;
	struct sink *sink;
	uint32_t chunk_size;
	uint64_t disk; /* bytes given to chunks so far */
	pthread_mutex_t
		lock; /* guards all below but the chunks that a worker or this thread has taken */
	pthread_cond_t full, done;
	struct chunk *ring;
	size_t n_ring;
	uint64_t put, taken, got; /* chunks filled, taken by workers, appended; since the start */
	bool closing;
	struct native_image kept; /* of an unfinished image; borrowed but for its file */
	pthread_t workers[WORKERS_MAX];
	unsigned n_workers;
	int level;
};

/* struct worker - what one thread needs */
struct worker {
	struct native_encoder *encoder;
	ZSTD_DCtx *ctx; /* the rest only while an unfinished image is compared */
	uint8_t *stored, *kept;
};

static int differs(struct append *a, uint64_t offset, struct ism_error *err)
{
	ism_error_refuse(err, -ESTALE, a->r->shared->source->name,
	                 "differs from what the unfinished image holds of it");
	err->offset = offset;
	return ism_error_hint(err, "--restart begins anew and overwrites the unfinished image");
}

/* A chunk of the unfinished image: its frame is sound, and is what the disk holds now. */
static int compare_kept(struct append *a, struct worker *w, struct chunk *c, uint64_t index)
{
	const uint8_t *data = c->piece ? c->piece->data : c->buf;
	int status;

	if (!w->ctx) {
		w->ctx = ZSTD_createDCtx();
		w->stored = malloc(ZSTD_compressBound(a->chunk_size));
		w->kept = malloc(a->chunk_size);
	}
	if (!w->ctx || !w->stored || !w->kept)
		return ism_error_oom(&c->error);
	status = native_image_decode(&a->kept, index, w->ctx, w->stored, w->kept, &c->error);
	if (status < 0) {
		ism_error_hint(&c->error, "--restart begins anew and overwrites it");
		return status;
	}
	for (size_t i = 0; memcmp(data, w->kept, c->len) != 0 && i < c->len; i++)
		if (data[i] != w->kept[i])
			return differs(a, index * a->chunk_size + i, &c->error);
	return 0;
}

static int work(struct append *a, struct worker *w, struct chunk *c, uint64_t index)
{
	if (!w->encoder)
		return ism_error_oom(&c->error);
	if (index < a->kept.kept_chunks)
		return compare_kept(a, w, c, index);
	return native_encode(w->encoder, c->piece ? c->piece->data : c->buf, c->len, c->runs,
	                     c->n_runs, &c->frame, &c->error);
}

static void *worker_main(void *arg)
{
	struct append *a = arg;
	struct worker w = { .encoder = native_encoder_new(a->level) };

	pthread_mutex_lock(&a->lock);
	for (;;) {
		struct chunk *c;
		uint64_t index;

		while (a->taken == a->put && !a->closing)
			pthread_cond_wait(&a->full, &a->lock);
		if (a->taken == a->put)
			break;
		index = a->taken++;
		c = &a->ring[index % a->n_ring];
		c->state = CHUNK_BUSY;
		pthread_mutex_unlock(&a->lock);
		c->status = work(a, &w, c, index);
		pthread_mutex_lock(&a->lock);
		c->state = CHUNK_DONE;
		pthread_cond_signal(&a->done);
	}
	pthread_mutex_unlock(&a->lock);
	native_encoder_free(w.encoder);
	ZSTD_freeDCtx(w.ctx);
	free(w.stored);
	free(w.kept);
	return NULL;
}

static int push_run(struct chunk *c, uint64_t offset, uint64_t len, enum ism_extent_kind kind)
{
	struct native_run *last = c->n_runs ? &c->runs[c->n_runs - 1] : NULL;

	if (len == 0)
		return 0;
	if (last && last->kind == kind) {
		last->len += (uint32_t)len;
		return 0;
	}
	if (c->n_runs == c->runs_cap) {
		size_t cap = c->runs_cap ? c->runs_cap * 2 : 16;
		struct native_run *more = realloc(c->runs, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		c->runs = more;
		c->runs_cap = cap;
	}
	c->runs[c->n_runs++] = (struct native_run){ (uint32_t)offset, (uint32_t)len, kind };
	return 0;
}

/* The frame of the oldest chunk into the file; waits for it. */
static int append_oldest(struct append *a)
{
	struct chunk *c = &a->ring[a->got % a->n_ring];
	struct ism_error *err = &a->r->report.error;
	int status;

	pthread_mutex_lock(&a->lock);
	while (c->state != CHUNK_DONE)
		pthread_cond_wait(&a->done, &a->lock);
	pthread_mutex_unlock(&a->lock);
	if (c->status < 0)
		status = ism_error_move(err, &c->error);
	else
		status =
			a->got < a->kept.kept_chunks ? 0 : native_append(a->writer, &c->frame, err);
	atomic_fetch_add(&a->r->done, c->len);
	atomic_store(&a->r->written, sink_length(a->sink));
	piece_put(take(c->piece));
	c->n_runs = 0;
	c->state = CHUNK_FREE;
	a->got++;
	return status;
}

/* The chunk that is being filled; the ring has room for it. */
static struct chunk *current(struct append *a)
{
	return &a->ring[a->put % a->n_ring];
}

static int begin_chunk(struct append *a)
{
	struct chunk *c = current(a);
	int status = 0;

	if (a->put - a->got == a->n_ring)
		status = append_oldest(a);
	c->len = 0;
	c->n_runs = 0;
	return status;
}

static int close_chunk(struct append *a)
{
	struct chunk *c = current(a);

	pthread_mutex_lock(&a->lock);
	c->state = CHUNK_FULL;
	a->put++;
	pthread_cond_signal(&a->full);
	pthread_mutex_unlock(&a->lock);
	/* Whatever is ready goes out, so that the file grows while the rest is encoded. */
	return begin_chunk(a);
}

static int need_buf(struct append *a, struct chunk *c)
{
	if (!c->buf)
		c->buf = calloc(1, a->chunk_size);
	else if (c->len == 0 && c->dirty)
		memset(c->buf, 0, a->chunk_size);
	if (!c->buf)
		return ism_error_oom(&a->r->report.error);
	if (c->len == 0)
		c->dirty = false;
	return 0;
}

/* Up to `len` bytes of one kind; a chunk that is full goes to the workers. Returns bytes taken, or
 * an error. */
static int64_t fill(struct append *a, const uint8_t *data, uint64_t len, enum ism_extent_kind kind)
{
	struct chunk *c = current(a);
	uint64_t n = MIN(len, (uint64_t)(a->chunk_size - c->len));
	int status = need_buf(a, c);

	if (status < 0)
		return status;
	if (data) {
		memcpy(c->buf + c->len, data, (size_t)n);
		c->dirty = true;
	}
	if (push_run(c, c->len, n, kind) < 0)
		return ism_error_oom(&a->r->report.error);
	c->len += (size_t)n;
	a->disk += n;
	if (c->len == a->chunk_size)
		status = close_chunk(a);
	return status < 0 ? status : (int64_t)n;
}

static int fill_all(struct append *a, const uint8_t *data, uint64_t len, enum ism_extent_kind kind)
{
	while (len) {
		int64_t n = fill(a, data, len, kind);

		if (n < 0)
			return (int)n;
		if (data)
			data += n;
		len -= (uint64_t)n;
		if (runner_stopping(a->r))
			return runner_fail(a->r, -ECANCELED, a->disk, "go on");
	}
	return 0;
}

/* A piece with its unreadable ranges told apart. */
static int fill_piece(struct append *a, struct piece *piece)
{
	uint32_t at = 0;
	int status = 0;

	if (!piece->data)
		return fill_all(a, NULL, piece->len, ISM_EXTENT_ZERO);
	for (size_t i = 0; i < piece->n_bad && status == 0; i++) {
		const struct piece_bad *b = &piece->bad[i];

		status = fill_all(a, piece->data + at, b->offset - at, ISM_EXTENT_DATA);
		if (status == 0)
			status = fill_all(a, piece->data + b->offset, b->len, ISM_EXTENT_BAD);
		at = b->offset + b->len;
	}
	return status < 0 ? status
	                  : fill_all(a, piece->data + at, piece->len - at, ISM_EXTENT_DATA);
}

/* A chunk that is just one piece of data is encoded where it lies. */
static int give_piece(struct append *a, struct piece *piece)
{
	struct chunk *c = current(a);

	c->piece = piece_ref(piece);
	c->len = piece->len;
	if (push_run(c, 0, piece->len, ISM_EXTENT_DATA) < 0)
		return ism_error_oom(&a->r->report.error);
	a->disk += piece->len;
	return close_chunk(a);
}

static int take_piece(struct append *a, struct piece *piece)
{
	int status = fill_all(a, NULL, piece->offset - a->disk, ISM_EXTENT_UNUSED);

	if (status < 0)
		return status;
	if (piece->data && !piece->n_bad && current(a)->len == 0 && piece->len == a->chunk_size)
		return give_piece(a, piece);
	return fill_piece(a, piece);
}

static int take_all(struct append *a)
{
	struct runner *r = a->r;

	runner_phase(r, ISM_PHASE_DATA, r->shared->source->size);
	for (;;) {
		struct piece *piece = NULL;
		int status = runner_next_piece(r, 100, &piece);

		if (status == -ENODATA)
			return 0;
		if (status < 0)
			return status;
		if (runner_stopping(r)) {
			piece_put(piece);
			return runner_fail(r, -ECANCELED, a->disk, "go on");
		}
		if (!piece)
			continue;
		status = take_piece(a, piece);
		r->next_offset = piece->offset + piece->len;
		piece_put(piece);
		if (status < 0)
			return status;
	}
}

static int finish_chunks(struct append *a)
{
	uint64_t size = a->r->shared->size;
	int status = fill_all(a, NULL, size - MIN(size, a->disk), ISM_EXTENT_UNUSED);

	if (status == 0 && current(a)->len)
		status = close_chunk(a);
	while (status == 0 && a->got < a->put)
		status = append_oldest(a);
	return status;
}

static json_t *text_or_null(const char *s)
{
	json_t *j = s && *s ? json_string(s) : json_null();

	return j ? j : json_null();
}

/* What the writer cannot know: source, tool, host, times. */
static json_t *make_manifest(const struct append *a, const struct capture *cap)
{
	const struct native_info *i = &cap->info;
	struct utsname host = { 0 };
	char begun[32], ended[32];
	time_t from = (time_t)i->created, to = time(NULL);
	struct tm tm;

	uname(&host);
	strftime(begun, sizeof(begun), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&from, &tm));
	strftime(ended, sizeof(ended), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&to, &tm));
	(void)a;
	return json_pack("{s:{s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:I}, s:{s:s, s:s}, s:{s:s, "
	                 "s:s}, s:s, s:s, "
	                 "s:s, s:O?}",
	                 "source", "name", text_or_null(cap->source_name), "model",
	                 text_or_null(i->model), "serial", text_or_null(i->serial), "wwn",
	                 text_or_null(i->wwn), "bus", text_or_null(i->bus), "sector_size",
	                 (int)i->sector_size, "physical_sector_size", (int)i->physical_size,
	                 "partition", (int)i->partition, "partition_offset",
	                 (json_int_t)i->partition_offset, "tool", "name", "isomorph", "version",
	                 ISOMORPH_VERSION, "host", "name", host.nodename, "kernel", host.release,
	                 "begun", begun, "ended", ended, "mode",
	                 i->flags & NATIVE_ALL ? "all" : "used", "survey", cap->survey);
}

static int finish_image(struct append *a, const struct capture *cap, struct native_totals *totals)
{
	struct ism_error *err = &a->r->report.error;
	json_t *manifest = make_manifest(a, cap);
	int status;

	if (!manifest)
		return ism_error_oom(err);
	status = native_finish(a->writer, manifest, totals, err);
	json_decref(manifest);
	if (status == 0)
		status = sink_finish(a->sink, err);
	return status;
}

static int read_back(struct append *a)
{
	struct runner *r = a->r;
	int status;

	if (!r->policy.verify || !r->medium)
		return 0;
	runner_phase(r, ISM_PHASE_VERIFY, sink_length(a->sink));
	status = sink_read_back(a->sink, &r->done, &r->shared->stop, &r->report.read_back,
	                        &r->report.error);
	r->report.verified = status == 0;
	return status;
}

static void stop_workers(struct append *a)
{
	pthread_mutex_lock(&a->lock);
	a->closing = true;
	pthread_cond_broadcast(&a->full);
	pthread_mutex_unlock(&a->lock);
	for (unsigned i = 0; i < a->n_workers; i++)
		pthread_join(a->workers[i], NULL);
}

static void append_clear(struct append *a)
{
	stop_workers(a);
	for (size_t i = 0; i < a->n_ring; i++) {
		struct chunk *c = &a->ring[i];

		piece_put(c->piece);
		free(c->buf);
		free(c->runs);
		native_frame_clear(&c->frame);
		ism_error_clear(&c->error);
	}
	free(a->ring);
	native_writer_free(a->writer);
	sink_free(a->sink);
	pthread_cond_destroy(&a->full);
	pthread_cond_destroy(&a->done);
	pthread_mutex_destroy(&a->lock);
}

/* Behind the last sound checkpoint of an unfinished image. */
static int resume(struct append *a, const struct capture *cap, const struct native_sink *sink,
                  const char *spool)
{
	struct ism_error *err = &a->r->report.error;
	int status;

	a->kept = cap->kept;
	a->kept.file = a->r->medium;
	status = sink_resume(a->sink, cap->kept.kept_position, err);
	return status < 0 ? status : native_writer_resume(&a->kept, sink, spool, &a->writer, err);
}

static int append_open(struct append *a, const struct capture *cap)
{
	struct ism_error *err = &a->r->report.error;
	_free_ char *copy = strdup(a->r->target->path);
	const char *spool = copy && a->r->medium ? dirname(copy) : NULL;
	unsigned want = cap->threads ? cap->threads : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	struct native_sink sink;
	int status;

	a->sink = sink_new(a->r->medium, err);
	if (!a->sink)
		return err->code;
	sink = sink_native(a->sink);
	status = cap->resumes ? resume(a, cap, &sink, spool)
	                      : native_writer_new(&cap->info, &sink, spool, &a->writer, err);
	if (status < 0)
		return status;
	want = MIN(want, (unsigned)WORKERS_MAX);
	a->n_ring = MIN(2 * (size_t)want + 2, RING_MAX);
	a->ring = calloc(a->n_ring, sizeof(*a->ring));
	if (!a->ring)
		return ism_error_oom(err);
	while (a->n_workers < want) {
		if (pthread_create(&a->workers[a->n_workers], NULL, worker_main, a) != 0)
			return ism_error_set(err, -EAGAIN, NULL, ISM_NO_OFFSET,
			                     "cannot start a thread");
		a->n_workers++;
	}
	return 0;
}

int append_run(struct runner *r)
{
	const struct capture *cap = r->capture;
	struct append a = { .r = r,
		            .chunk_size = cap->info.chunk_size,
		            .level = cap->level ? cap->level : LEVEL };
	int status;

	pthread_mutex_init(&a.lock, NULL);
	pthread_cond_init(&a.full, NULL);
	pthread_cond_init(&a.done, NULL);
	r->report.changed = true;
	status = append_open(&a, cap);
	if (status == 0)
		status = take_all(&a);
	if (status == 0)
		status = runner_await_source(r);
	if (status == 0)
		status = finish_chunks(&a);
	if (status == 0) {
		runner_phase(r, ISM_PHASE_FLUSH, ISM_SIZE_UNKNOWN);
		status = finish_image(&a, cap, &r->totals);
	}
	if (status == 0)
		status = read_back(&a);
	if (status == 0)
		status = target_commit(r->target, &r->report.error);
	if (status == -ENOSPC || status == -EFBIG)
		ism_error_hint(&r->report.error,
		               "make room; the same command goes on with what is in %s.part",
		               r->target->path);
	append_clear(&a);
	return status;
}
