/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What can be had of a native image whose end is missing or wrong: its frames tell their lengths,
 * its checkpoints the rest; doc/image-format.md. */
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "format/native_read.h"

#define MAGIC_ZSTD    0xfd2fb528u
#define FRAME_MIN     9 /* no zstd frame with a checksum is shorter: bounds what may be lost */
#define CHECK_MAX     (64 * MIB) /* of a checkpoint that is believed */
#define STRANGERS_MAX 64         /* what only looks like a frame of ours, before we give up */

/* struct walk - over the frames, with a window on the file */
struct walk {
	struct native_image *image;
	uint64_t position;
	uint64_t from;  /* what is told of chunks ends there: the first byte after a lost frame */
	uint64_t group; /* first chunk that no checkpoint has spoken of */
	size_t cap_chunks, cap_runs;
	unsigned strangers;
	bool broken; /* a frame was lost */
	uint8_t *window;
	uint64_t window_at;
	size_t window_len, window_cap;
};

/* Up to `len` bytes at `position`, less only at the end of the file; ret->p is good until the next
 * call. */
static int look(struct walk *w, uint64_t position, size_t len, struct span *ret,
                struct ism_error *err)
{
	struct medium *file = w->image->file;
	uint64_t left = file->size - MIN(file->size, position);
	int r = 0;

	len = (size_t)MIN((uint64_t)len, left);
	if (position < w->window_at || position + len > w->window_at + w->window_len) {
		w->window_at = position;
		w->window_len = (size_t)MIN((uint64_t)w->window_cap, left);
		r = medium_read_all(file, w->window, w->window_len, position, err);
		if (r < 0)
			w->window_len = 0;
	}
	*ret = (struct span){ w->window + (position - w->window_at), len };
	return r;
}

static int add_chunk(struct walk *w, uint64_t position, uint32_t stored)
{
	struct native_image *i = w->image;

	if (i->n_chunks == w->cap_chunks) {
		size_t cap = MAX(w->cap_chunks * 2, (size_t)1024);
		void *chunks = realloc(i->chunks, cap * sizeof(*i->chunks));
		void *sums = chunks ? realloc(i->sums, cap * sizeof(*i->sums)) : NULL;
		void *has = sums ? realloc(i->has_sum, cap * sizeof(*i->has_sum)) : NULL;

		i->chunks = chunks ? chunks : i->chunks;
		i->sums = sums ? sums : i->sums;
		if (!has)
			return -ENOMEM;
		i->has_sum = has;
		w->cap_chunks = cap;
	}
	i->has_sum[i->n_chunks] = false;
	memset(i->sums[i->n_chunks], 0, 32);
	i->chunks[i->n_chunks++] = (struct native_chunk){ position, stored };
	return 0;
}

static int add_run(struct walk *w, uint64_t offset, uint64_t len, uint8_t kind)
{
	struct native_image *i = w->image;
	struct native_run_disk *last = i->n_runs ? &i->runs[i->n_runs - 1] : NULL;

	if (len == 0)
		return 0;
	if (last && last->kind == kind) {
		last->len = le64_of(le64_get(last->len) + len);
		return 0;
	}
	if (i->n_runs == w->cap_runs) {
		size_t cap = MAX(w->cap_runs * 2, (size_t)256);
		void *more = realloc(i->runs, cap * sizeof(*i->runs));

		if (!more)
			return -ENOMEM;
		i->runs = more;
		w->cap_runs = cap;
	}
	i->runs[i->n_runs++] = (struct native_run_disk){ le64_of(offset), le64_of(len), kind };
	return 0;
}

/* Chunks of which no checkpoint speaks count as data, or as bad where they are lost. */
static int add_plain_runs(struct walk *w, uint64_t end)
{
	struct native_image *i = w->image;
	int r = 0;

	for (; w->group < end && r == 0; w->group++)
		r = add_run(w, w->group * i->info.chunk_size, native_image_chunk_len(i, w->group),
		            i->chunks[w->group].stored ? ISM_EXTENT_DATA : ISM_EXTENT_BAD);
	return r;
}

/* Where the chunks of a checkpoint end on the disk; with a size that is not known its runs say it.
 */
static uint64_t end_of(const struct native_image *i, uint64_t end, uint64_t offset,
                       const struct native_run_disk *runs, size_t n)
{
	uint64_t most = end * i->info.chunk_size;

	if (i->info.size != ISM_SIZE_UNKNOWN)
		return MIN(most, i->info.size);
	for (size_t k = 0; k < n; k++)
		offset += MIN(le64_get(runs[k].len), most);
	return offset > most - i->info.chunk_size ? MIN(offset, most) : most;
}

/* The runs of a checkpoint cover its chunks and nothing else. */
static bool runs_cover(const struct native_run_disk *runs, size_t n, uint64_t at, uint64_t end)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t len = le64_get(runs[i].len);

		if (le64_get(runs[i].offset) != at || len == 0 || len > end - at ||
		    runs[i].kind > ISM_EXTENT_SKIPPED)
			return false;
		at += len;
	}
	return at == end;
}

/* A sound checkpoint: chunks that were lost before it are counted, sums and runs taken over.
 * 0 = believed, 1 = not. */
static int take_checkpoint(struct walk *w, struct span frame)
{
	struct native_image *i = w->image;
	struct native_checkpoint_disk c;
	const uint8_t *sums = frame.p + sizeof(c);
	const struct native_run_disk *runs;
	uint64_t first, end, offset, stop, room = (w->position - w->from) / FRAME_MIN + 1;
	uint32_t n, n_runs;
	int r = 0;

	memcpy(&c, frame.p, sizeof(c));
	first = le64_get(c.first);
	n = le32_get(c.chunks);
	n_runs = le32_get(c.runs);
	if (n == 0 || n > NATIVE_GROUP ||
	    frame.len - sizeof(c) - NATIVE_SUM_LEN != (uint64_t)n * 32 + (uint64_t)n_runs * 17 ||
	    first > (uint64_t)INT64_MAX / i->info.chunk_size - n)
		return 1;
	end = first + n;
	if (first < w->group || end < i->n_chunks || end - i->n_chunks > room)
		return 1;
	offset = first * i->info.chunk_size;
	runs = (const void *)(sums + (size_t)n * 32); /* bytes only: any address will do */
	stop = end_of(i, end, offset, runs, n_runs);
	if (!runs_cover(runs, n_runs, offset, stop))
		return 1;
	while (i->n_chunks < end && r == 0)
		r = add_chunk(w, 0, 0);
	if (r == 0)
		r = add_plain_runs(w, first);
	for (uint32_t k = 0; k < n_runs && r == 0; k++)
		r = add_run(w, le64_get(runs[k].offset), le64_get(runs[k].len), runs[k].kind);
	if (r < 0)
		return r;
	memcpy(i->sums[first], sums, (size_t)n * 32);
	memset(i->has_sum + first, true, n);
	w->group = end;
	i->disk = stop;
	return 0;
}

enum step { STEP_NEXT, STEP_LOST, STEP_END };

/* A frame of ours at w->position. */
static int step_ours(struct walk *w, enum step *ret, struct ism_error *err)
{
	struct native_frame_disk head;
	struct span s;
	uint64_t size;
	int r = look(w, w->position, sizeof(head), &s, err);

	*ret = STEP_LOST;
	if (r < 0 || s.len < sizeof(head))
		return r;
	memcpy(&head, s.p, sizeof(head));
	size = (uint64_t)le32_get(head.size) + 8;
	if (memcmp(head.tag, NATIVE_TAG, 8) != 0 || memcmp(head.uuid, w->image->info.uuid, 16) != 0)
		return 0;
	if (le16_get(head.kind) != NATIVE_CHECKPOINT) {
		*ret = STEP_END; /* the lists: no chunks come any more */
		return 0;
	}
	if (size > CHECK_MAX || size > w->image->file->size - w->position)
		return 0;
	_free_ uint8_t *frame = malloc((size_t)size);

	if (!frame)
		return ism_error_oom(err);
	r = medium_read_all(w->image->file, frame, (size_t)size, w->position, err);
	if (r < 0)
		return r;
	if (!native_check((struct span){ frame, (size_t)size }, NATIVE_CHECKPOINT,
	                  w->image->info.uuid) ||
	    size < sizeof(struct native_checkpoint_disk) + NATIVE_SUM_LEN)
		return 0;
	r = take_checkpoint(w, (struct span){ frame, (size_t)size });
	if (r < 0)
		return ism_error_oom(err);
	if (r > 0)
		return 0;
	*ret = STEP_NEXT;
	w->position += size;
	w->from = w->position;
	/* A checkpoint of fewer chunks is the last of an image that came to its lists. */
	if (!w->broken && w->group % NATIVE_GROUP == 0) {
		w->image->kept_chunks = w->group;
		w->image->kept_position = w->position;
	}
	return 0;
}

/* A zstd frame at w->position: a chunk if it is of the right length. */
static int step_chunk(struct walk *w, enum step *ret, struct ism_error *err)
{
	struct native_image *i = w->image;
	uint64_t left = i->info.size - MIN(i->info.size, i->n_chunks * i->info.chunk_size);
	unsigned long long content;
	struct span s;
	size_t stored;
	int r = look(w, w->position, ZSTD_compressBound(i->info.chunk_size), &s, err);

	*ret = STEP_LOST;
	if (r < 0)
		return r;
	stored = ZSTD_findFrameCompressedSize(s.p, s.len);
	if (ZSTD_isError(stored))
		return 0;
	content = ZSTD_getFrameContentSize(s.p, s.len);
	if (i->info.size == ISM_SIZE_UNKNOWN ? content == 0 || content > i->info.chunk_size
	                                     : content != MIN(left, (uint64_t)i->info.chunk_size))
		return 0;
	if (content == 0 || add_chunk(w, w->position, (uint32_t)stored) < 0)
		return content ? ism_error_oom(err) : 0;
	i->disk = (i->n_chunks - 1) * i->info.chunk_size + content;
	w->position += stored;
	*ret = STEP_NEXT;
	return 0;
}

/* On to what begins like a frame of ours; the end of the file if nothing does. */
static int find_ours(struct walk *w, struct ism_error *err)
{
	static const uint8_t magic[] = { 0x59, 0x2a, 0x4d, 0x18 };
	struct span s = { 0 };
	int r;

	while (w->position < w->image->file->size) {
		const uint8_t *hit;

		r = look(w, w->position, 64 * KIB, &s, err);
		if (r < 0)
			return r;
		hit = memmem(s.p, s.len, magic, sizeof(magic));
		if (hit && hit > s.p) {
			w->position += (uint64_t)(hit - s.p);
			return 0;
		}
		if (hit)
			return 0;
		if (s.len <= sizeof(magic))
			break;
		w->position += s.len - (sizeof(magic) - 1);
	}
	w->position = w->image->file->size;
	return 0;
}

static int walk_frames(struct walk *w, struct ism_error *err)
{
	uint64_t end = w->image->file->size;
	bool lost = false;
	int r = 0;

	while (r == 0 && w->position < end && w->strangers < STRANGERS_MAX) {
		enum step step = STEP_LOST;
		uint32_t magic = 0;
		struct span s;

		if (medium_stopped(w->image->file))
			return ism_error_canceled(err);
		r = look(w, w->position, 4, &s, err);
		if (r == 0 && s.len == 4) {
			le32 m;

			memcpy(&m, s.p, 4);
			magic = le32_get(m);
		}
		if (r == 0 && magic == NATIVE_MAGIC)
			r = step_ours(w, &step, err);
		else if (r == 0 && magic == MAGIC_ZSTD && !lost)
			r = step_chunk(w, &step, err);
		if (r < 0 || step == STEP_END)
			return r;
		lost = step == STEP_LOST;
		if (!lost)
			continue;
		w->broken = true;
		/* Which chunks come next only a checkpoint tells. */
		w->strangers += magic == NATIVE_MAGIC;
		w->position++;
		r = find_ours(w, err);
	}
	return r;
}

static int finish(struct walk *w, struct ism_error *err)
{
	struct native_image *i = w->image;
	uint64_t at;

	/* A size that was never written down is what was found. */
	if (i->info.size == ISM_SIZE_UNKNOWN)
		i->info.size = i->disk;
	at = MIN(i->n_chunks * i->info.chunk_size, i->info.size);
	if (add_plain_runs(w, i->n_chunks) < 0 ||
	    add_run(w, at, i->info.size - at, ISM_EXTENT_BAD) < 0)
		return ism_error_oom(err);
	return 0;
}

int native_image_salvage(struct medium *file, struct native_image *ret, struct ism_error *err)
{
	struct native_image image = { .file = file, .salvaged = true };
	struct walk w = { .image = &image,
		          .position = NATIVE_HEADER_LEN,
		          .from = NATIVE_HEADER_LEN };
	_free_ uint8_t *head = malloc(NATIVE_HEADER_LEN);
	int r;

	if (!head)
		return ism_error_oom(err);
	r = medium_read_all(file, head, NATIVE_HEADER_LEN, 0, err);
	if (r == 0)
		r = native_header_read((struct span){ head, NATIVE_HEADER_LEN }, &image.info,
		                       file->name, err);
	if (r < 0)
		return r;
	w.window_cap = 2 * ZSTD_compressBound(image.info.chunk_size);
	w.window = malloc(w.window_cap);
	r = w.window ? walk_frames(&w, err) : ism_error_oom(err);
	if (r == 0)
		r = finish(&w, err);
	free(w.window);
	if (r < 0) {
		native_image_clear(&image);
		return r;
	}
	if (!image.kept_chunks)
		image.kept_position = NATIVE_HEADER_LEN;
	*ret = image;
	return 0;
}
