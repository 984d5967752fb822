/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes native images; doc/image-format.md. The lists that come last are kept in unlinked files,
 * not in memory. */
#include "format/native_read.h"
#include "format/native_write.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/hash.h"

/* struct spool - items that are only needed at the end */
struct spool {
	FILE *f;
	uint64_t n;
};

struct native_writer {
	struct native_info info;
	struct native_sink sink;
	uint64_t position; /* bytes written */
	uint64_t sequence; /* of the next frame of ours */
	uint64_t disk;     /* bytes of the disk that are in frames */
	uint64_t chunks;
	struct spool sums, runs, seek;
	struct native_run_disk open_run; /* the last run of the image, may still grow */
	bool has_open_run;
	uint8_t group_sums[NATIVE_GROUP * 32];
	uint64_t group_first;
	uint32_t group_n;
	struct native_run_disk *group_runs;
	size_t n_group_runs, group_runs_cap;
	struct native_tree tree;
	uint64_t bytes[5];
};

static FILE *spool_open(const char *folder)
{
	int fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;

	return fd >= 0 ? fdopen(fd, "w+") : tmpfile();
}

static int spool_put(struct spool *s, const void *item, size_t len, struct ism_error *err)
{
	if (fwrite(item, len, 1, s->f) != 1)
		return ism_error_errno(err, -errno, NULL, ISM_NO_OFFSET,
		                       "cannot keep a list of the image");
	s->n++;
	return 0;
}

static int sink_put(struct native_writer *w, const void *data, size_t len, struct ism_error *err)
{
	int r = w->sink.write(w->sink.arg, data, len, err);

	if (r == 0)
		w->position += len;
	return r;
}

static int note_seek(struct native_writer *w, size_t stored, size_t len, uint32_t checksum,
                     struct ism_error *err)
{
	struct native_seek_disk s = { le32_of((uint32_t)stored), le32_of((uint32_t)len),
		                      le32_of(checksum) };

	return spool_put(&w->seek, &s, sizeof(s), err);
}

/* XXH64 of nothing, low 32 bits: the checksum of a frame that holds no bytes. */
#define EMPTY_CHECKSUM 0x51d8e999u

static int put_frame(struct native_writer *w, uint8_t *frame, size_t len, enum native_kind kind,
                     struct ism_error *err)
{
	if (native_seal(frame, len, kind, w->info.flags, w->sequence++, w->info.uuid) < 0)
		return ism_error_oom(err);
	int r = sink_put(w, frame, len, err);

	return r < 0 ? r : note_seek(w, len, 0, EMPTY_CHECKSUM, err);
}

static bool is_next_to(const struct native_run_disk *a, const struct native_run_disk *b)
{
	return a->kind == b->kind && le64_get(a->offset) + le64_get(a->len) == le64_get(b->offset);
}

static void grow_run(struct native_run_disk *a, const struct native_run_disk *b)
{
	a->len = le64_of(le64_get(a->len) + le64_get(b->len));
}

static int add_group_run(struct native_writer *w, const struct native_run_disk *run,
                         struct ism_error *err)
{
	if (w->n_group_runs && is_next_to(&w->group_runs[w->n_group_runs - 1], run)) {
		grow_run(&w->group_runs[w->n_group_runs - 1], run);
		return 0;
	}
	if (w->n_group_runs == w->group_runs_cap) {
		size_t cap = MAX(w->group_runs_cap * 2, (size_t)256);
		struct native_run_disk *more = realloc(w->group_runs, cap * sizeof(*more));

		if (!more)
			return ism_error_oom(err);
		w->group_runs = more;
		w->group_runs_cap = cap;
	}
	w->group_runs[w->n_group_runs++] = *run;
	return 0;
}

static int add_run(struct native_writer *w, const struct native_run *run, struct ism_error *err)
{
	struct native_run_disk d = { le64_of(w->disk + run->offset), le64_of(run->len),
		                     (uint8_t)run->kind };
	int r = 0;

	w->bytes[run->kind] += run->len;
	if (w->has_open_run && is_next_to(&w->open_run, &d)) {
		grow_run(&w->open_run, &d);
	} else {
		if (w->has_open_run)
			r = spool_put(&w->runs, &w->open_run, sizeof(w->open_run), err);
		w->open_run = d;
		w->has_open_run = true;
	}
	return r < 0 ? r : add_group_run(w, &d, err);
}

/* The chunks and runs since the last checkpoint; before and after it all is durable. */
static int put_checkpoint(struct native_writer *w, struct ism_error *err)
{
	size_t sums = (size_t)w->group_n * 32, runs = w->n_group_runs * sizeof(*w->group_runs);
	size_t len = sizeof(struct native_checkpoint_disk) + sums + runs + NATIVE_SUM_LEN;
	_free_ uint8_t *frame = malloc(len);
	struct native_checkpoint_disk c = { .first = le64_of(w->group_first),
		                            .chunks = le32_of(w->group_n),
		                            .runs = le32_of((uint32_t)w->n_group_runs) };
	int r;

	if (!frame)
		return ism_error_oom(err);
	memcpy(c.survey, w->info.survey, 32);
	memcpy(frame, &c, sizeof(c));
	memcpy(frame + sizeof(c), w->group_sums, sums);
	if (runs)
		memcpy(frame + sizeof(c) + sums, w->group_runs, runs);
	r = w->sink.sync ? w->sink.sync(w->sink.arg, err) : 0;
	if (r == 0)
		r = put_frame(w, frame, len, NATIVE_CHECKPOINT, err);
	if (r == 0 && w->sink.sync)
		r = w->sink.sync(w->sink.arg, err);
	w->group_first += w->group_n;
	w->group_n = 0;
	w->n_group_runs = 0;
	return r;
}

int native_append(struct native_writer *w, const struct native_frame *f, struct ism_error *err)
{
	le32 checksum;
	int r = sink_put(w, f->data, f->len, err);

	if (r < 0)
		return r;
	memcpy(&checksum, f->data + f->len - 4, 4); /* zstd's own, XXH64's low half */
	r = note_seek(w, f->len, f->raw_len, le32_get(checksum), err);
	if (r == 0)
		r = spool_put(&w->sums, f->sum, 32, err);
	for (size_t i = 0; i < f->n_runs && r == 0; i++)
		r = add_run(w, &f->runs[i], err);
	if (r < 0)
		return r;
	native_tree_add(&w->tree, f->raw_len, f->sum);
	memcpy(w->group_sums + (size_t)w->group_n * 32, f->sum, 32);
	w->disk += f->raw_len;
	w->chunks++;
	return ++w->group_n == NATIVE_GROUP ? put_checkpoint(w, err) : 0;
}

/* A list in frames of at most NATIVE_LIST_MAX; `sum` becomes the SHA-256 of all of them. */
static int put_list(struct native_writer *w, struct spool *s, size_t item, enum native_kind kind,
                    char *hex, struct ism_error *err)
{
	CLEANUP(hash_freep) struct hash *hash = hash_new("sha256", err);
	size_t room = (size_t)NATIVE_LIST_MAX / item;
	uint64_t held = s->n ? s->n : 1;
	size_t most = (size_t)MIN((uint64_t)room, held) * item;
	_free_ uint8_t *frame = malloc(sizeof(struct native_list_disk) + most + NATIVE_SUM_LEN);
	uint64_t first = 0;
	int r = 0;

	if (!hash || !frame)
		return hash ? ism_error_oom(err) : -ENOMEM;
	if (fflush(s->f) != 0)
		return ism_error_errno(err, -errno, NULL, ISM_NO_OFFSET,
		                       "cannot keep a list of the image");
	rewind(s->f);
	do {
		size_t n = (size_t)MIN((uint64_t)room, s->n - first);
		size_t len = sizeof(struct native_list_disk) + n * item + NATIVE_SUM_LEN;
		struct native_list_disk l = { .first = le64_of(first), .count = le64_of(n) };

		memcpy(frame, &l, sizeof(l));
		if (fread(frame + sizeof(l), item, n, s->f) != n)
			return ism_error_set(err, -EIO, NULL, ISM_NO_OFFSET,
			                     "cannot read a list of the image again");
		r = put_frame(w, frame, len, kind, err);
		hash_update(hash, frame, len);
		first += n;
	} while (first < s->n && r == 0);
	hash_hex(hash, hex);
	return r;
}

static void put_hex(char *out, const uint8_t *raw, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", raw[i]);
}

/* The seek table as the bytes that end the file; one entry a frame before it. */
static int make_seek(struct native_writer *w, size_t manifest_len, uint8_t **ret, size_t *ret_len,
                     struct ism_error *err)
{
	size_t n = (size_t)w->seek.n + 1, len = 8 + n * 12 + 9;
	uint8_t *s = malloc(len), *p = s + 8;
	struct native_seek_disk last = { le32_of((uint32_t)manifest_len), le32_of(0),
		                         le32_of(EMPTY_CHECKSUM) };
	le32 magic = le32_of(NATIVE_MAGIC_SEEK), size = le32_of((uint32_t)(len - 8));
	le32 count = le32_of((uint32_t)n), footer = le32_of(NATIVE_SEEK_FOOTER);

	if (!s)
		return ism_error_oom(err);
	memcpy(s, &magic, 4);
	memcpy(s + 4, &size, 4);
	if (fflush(w->seek.f) != 0 || fseek(w->seek.f, 0, SEEK_SET) != 0 ||
	    fread(p, 12, n - 1, w->seek.f) != n - 1) {
		free(s);
		return ism_error_set(err, -EIO, NULL, ISM_NO_OFFSET,
		                     "cannot read a list of the image again");
	}
	fseek(w->seek.f, 0, SEEK_END);
	p += (n - 1) * 12;
	memcpy(p, &last, 12);
	memcpy(p + 12, &count, 4);
	p[16] = 0x80; /* with checksums */
	memcpy(p + 17, &footer, 4);
	*ret = s;
	*ret_len = len;
	return 0;
}

static json_t *kinds_json(const struct native_writer *w)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "data", (json_int_t)w->bytes[ISM_EXTENT_DATA],
	                 "zero", (json_int_t)w->bytes[ISM_EXTENT_ZERO], "unused",
	                 (json_int_t)w->bytes[ISM_EXTENT_UNUSED], "bad",
	                 (json_int_t)w->bytes[ISM_EXTENT_BAD], "skipped",
	                 (json_int_t)w->bytes[ISM_EXTENT_SKIPPED]);
}

static int add_facts(struct native_writer *w, json_t *manifest, const char *hashes,
                     const char *extents, const char *seek)
{
	uint8_t root[32];
	char root_hex[65], uuid[33];
	json_t *image;

	native_tree_root(&w->tree, root);
	put_hex(root_hex, root, 32);
	put_hex(uuid, w->info.uuid, 16);
	image = json_pack("{s:i, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:o}", "version",
	                  NATIVE_VERSION, "uuid", uuid, "size", (json_int_t)w->disk, "chunk_size",
	                  (json_int_t)w->info.chunk_size, "chunks", (json_int_t)w->chunks, "hash",
	                  "sha256", "tree", root_hex, "hashes_sha256", hashes, "extents_sha256",
	                  extents, "seek_table_sha256", seek, "bytes", kinds_json(w));
	return image ? json_object_set_new(manifest, "image", image) : -1;
}

static int make_manifest(struct native_writer *w, json_t *manifest, const char *hashes,
                         const char *extents, const char *seek, uint8_t **ret, size_t *ret_len,
                         struct ism_error *err)
{
	_free_ char *text = add_facts(w, manifest, hashes, extents, seek) < 0
	                            ? NULL
	                            : json_dumps(manifest, JSON_INDENT(1) | JSON_SORT_KEYS);
	size_t n = text ? strlen(text) : 0;

	*ret_len = sizeof(struct native_frame_disk) + n + NATIVE_SUM_LEN;
	*ret = text ? malloc(*ret_len) : NULL;
	if (!*ret)
		return ism_error_oom(err);
	memcpy(*ret + sizeof(struct native_frame_disk), text, n);
	return 0;
}

/* The manifest holds the sum of the seek table, and that the length of the manifest: so it is made
 * twice, alike long. */
static int put_trailer(struct native_writer *w, json_t *manifest, const char *hashes,
                       const char *extents, struct native_totals *ret, struct ism_error *err)
{
	static const char blank[] =
		"0000000000000000000000000000000000000000000000000000000000000000";
	_free_ uint8_t *first = NULL, *second = NULL, *seek = NULL;
	size_t first_len = 0, second_len = 0, seek_len = 0;
	uint8_t sum[32];
	char hex[65];
	int r = make_manifest(w, manifest, hashes, extents, blank, &first, &first_len, err);

	if (r == 0)
		r = make_seek(w, first_len, &seek, &seek_len, err);
	if (r < 0)
		return r;
	hash_sha256(seek, seek_len, sum);
	put_hex(hex, sum, 32);
	r = make_manifest(w, manifest, hashes, extents, hex, &second, &second_len, err);
	if (r == 0 && second_len != first_len)
		r = ism_error_set(err, -EIO, NULL, ISM_NO_OFFSET,
		                  "the manifest changed its length");
	if (r == 0)
		r = put_frame(w, second, second_len, NATIVE_MANIFEST, err);
	if (r < 0)
		return r;
	hash_sha256(second + 8, second_len - 8, ret->fingerprint);
	return sink_put(w, seek, seek_len, err);
}

int native_finish(struct native_writer *w, json_t *manifest, struct native_totals *ret,
                  struct ism_error *err)
{
	char hashes[HASH_HEX_MAX], extents[HASH_HEX_MAX];
	int r = w->group_n ? put_checkpoint(w, err) : 0;

	if (r == 0)
		r = put_list(w, &w->sums, 32, NATIVE_HASHES, hashes, err);
	if (r == 0 && w->has_open_run)
		r = spool_put(&w->runs, &w->open_run, sizeof(w->open_run), err);
	if (r == 0)
		r = put_list(w, &w->runs, sizeof(struct native_run_disk), NATIVE_EXTENTS, extents,
		             err);
	if (r == 0)
		r = put_trailer(w, manifest, hashes, extents, ret, err);
	if (r == 0 && w->sink.sync)
		r = w->sink.sync(w->sink.arg, err);
	if (r < 0)
		return r;
	ret->size = w->disk;
	ret->chunks = w->chunks;
	ret->file_size = w->position;
	memcpy(ret->bytes, w->bytes, sizeof(ret->bytes));
	native_tree_root(&w->tree, ret->root);
	return 0;
}

struct native_writer *native_writer_free(struct native_writer *w)
{
	if (!w)
		return NULL;
	if (w->sums.f)
		fclose(w->sums.f);
	if (w->runs.f)
		fclose(w->runs.f);
	if (w->seek.f)
		fclose(w->seek.f);
	free(w->group_runs);
	free(w);
	return NULL;
}

static int writer_alloc(const struct native_info *info, const struct native_sink *sink,
                        const char *spool, struct native_writer **ret, struct ism_error *err)
{
	struct native_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return ism_error_oom(err);
	w->info = *info;
	w->sink = *sink;
	w->sequence = 1;
	w->sums.f = spool_open(spool);
	w->runs.f = spool_open(spool);
	w->seek.f = spool_open(spool);
	if (!w->sums.f || !w->runs.f || !w->seek.f) {
		native_writer_free(w);
		return ism_error_errno(err, -errno, spool, ISM_NO_OFFSET,
		                       "cannot make a temporary file");
	}
	*ret = w;
	return 0;
}

int native_writer_new(const struct native_info *info, const struct native_sink *sink,
                      const char *spool, struct native_writer **ret, struct ism_error *err)
{
	struct native_writer *w = NULL;
	struct native_header_disk h;
	int r = writer_alloc(info, sink, spool, &w, err);

	if (r < 0)
		return r;
	r = native_header_make(info, &h) < 0 ? ism_error_oom(err) : sink_put(w, &h, sizeof(h), err);
	if (r == 0)
		r = note_seek(w, sizeof(h), 0, EMPTY_CHECKSUM, err);
	if (r < 0) {
		native_writer_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

/* A chunk that is in the file already, and the checkpoint behind it. */
static int keep_chunk(struct native_writer *w, const struct native_image *kept, uint64_t i,
                      struct ism_error *err)
{
	const struct native_chunk *c = &kept->chunks[i];
	size_t len = native_image_chunk_len(kept, i);
	uint64_t behind = c->position + c->stored, next;
	le32 checksum;
	int r = medium_read_all(kept->file, &checksum, 4, behind - 4, err);

	if (r == 0)
		r = note_seek(w, c->stored, len, le32_get(checksum), err);
	if (r == 0)
		r = spool_put(&w->sums, kept->sums[i], 32, err);
	if (r < 0)
		return r;
	native_tree_add(&w->tree, len, kept->sums[i]);
	w->disk += len;
	w->chunks++;
	if (w->chunks % NATIVE_GROUP)
		return 0;
	w->sequence++;
	next = w->chunks < kept->kept_chunks ? kept->chunks[i + 1].position : kept->kept_position;
	return note_seek(w, (size_t)(next - behind), 0, EMPTY_CHECKSUM, err);
}

/* Runs up to where the kept chunks end; the last may go on behind it. */
static int keep_runs(struct native_writer *w, const struct native_image *kept,
                     struct ism_error *err)
{
	int r = 0;

	for (uint64_t i = 0; i < kept->n_runs && r == 0; i++) {
		struct native_run_disk run = kept->runs[i];
		uint64_t offset = le64_get(run.offset), len = le64_get(run.len);

		if (offset >= w->disk)
			break;
		len = MIN(len, w->disk - offset);
		run.len = le64_of(len);
		w->bytes[run.kind] += len;
		if (w->has_open_run)
			r = spool_put(&w->runs, &w->open_run, sizeof(w->open_run), err);
		w->open_run = run;
		w->has_open_run = true;
	}
	return r;
}

int native_writer_resume(const struct native_image *kept, const struct native_sink *sink,
                         const char *spool, struct native_writer **ret, struct ism_error *err)
{
	struct native_writer *w = NULL;
	int r = writer_alloc(&kept->info, sink, spool, &w, err);

	if (r == 0)
		r = note_seek(w, NATIVE_HEADER_LEN, 0, EMPTY_CHECKSUM, err);
	for (uint64_t i = 0; i < kept->kept_chunks && r == 0; i++)
		r = keep_chunk(w, kept, i, err);
	if (r == 0)
		r = keep_runs(w, kept, err);
	if (r < 0) {
		native_writer_free(w);
		return r;
	}
	w->position = kept->kept_position;
	w->group_first = w->chunks;
	*ret = w;
	return 0;
}
