/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `inspect`: opens a source, looks at its table, file systems and boot facts, and hashes it if
 * asked; the answer is one JSON document. */
#include <isomorph/inspect.h>

#include "base/hash.h"
#include "boot/inspect_json.h"
#include "format/format.h"

#define HEAD_LEN       MIB
#define HASH_STEP      MIB
#define IDENTIFIED_MAX 128 /* partitions whose file system is looked for: each costs two reads */

struct inspection {
	struct medium *medium;
	struct source_facts source;
	struct media_facts media;
	struct media_advice advice;
	uint8_t *head;
	struct view view;
	char sha256[HASH_HEX_MAX];
};

static void inspection_clear(struct inspection *in)
{
	media_facts_clear(&in->media);
	media_advice_clear(&in->advice);
	source_facts_clear(&in->source);
	medium_close(in->medium);
	free(in->head);
}

/* Hash all of it; a forward source has told its size by then. */
static int hash_all(struct inspection *in, const struct ism_inspect_options *o,
                    struct ism_error *err)
{
	CLEANUP(hash_freep) struct hash *h = hash_new("sha256", err);
	_free_ void *buf = medium_buffer(HASH_STEP);
	uint64_t done = 0;
	size_t n = HASH_STEP;

	if (!h)
		return err ? err->code : -ENOMEM;
	if (!buf)
		return ism_error_oom(err);
	if (o->size && in->medium->size != ISM_SIZE_UNKNOWN)
		atomic_store(o->size, in->medium->size);
	while (n == HASH_STEP) {
		int r = medium_read(in->medium, buf, HASH_STEP, done, &n, err);

		if (r < 0)
			return ism_error_prefix(err, "cannot hash it");
		hash_update(h, buf, n);
		done += n;
		if (o->done)
			atomic_store(o->done, done);
	}
	in->view.size = done;
	hash_hex(h, in->sha256);
	return 0;
}

static int read_head(struct inspection *in, struct ism_error *err)
{
	size_t n = 0;
	int r;

	in->head = malloc(HEAD_LEN);
	if (!in->head)
		return ism_error_oom(err);
	r = medium_peek(in->medium, in->head, HEAD_LEN, &n, err);
	/* A disk whose first MiB cannot be read whole is still looked at, sector by sector. */
	if (r < 0 && (in->medium->forward || r == -ECANCELED || r == -ENOMEM))
		return r;
	if (r < 0) {
		ism_error_clear(err);
		n = 0;
	}
	in->view = view_on(in->medium, (struct span){ in->head, n });
	/* All of a short forward source has been seen. */
	if (in->medium->forward && n < HEAD_LEN)
		in->view.size = n;
	return 0;
}

static int look(struct inspection *in, const struct ism_inspect_options *o, struct ism_error *err)
{
	int r = read_head(in, err);

	if (r == 0 && o->sha256)
		r = hash_all(in, o, err);
	if (r == 0)
		r = media_detect(in->view.head, in->view.size, in->view.medium, &in->media, err);
	if (r == 0)
		r = media_advice(&in->media, &in->advice, err);
	return r;
}

/* Identify what lies at [offset, offset + size) and put it into @object. */
static int add_file_system(json_t *object, const struct inspection *in, uint64_t offset,
                           uint64_t size)
{
	struct fs_identity id = { 0 };
	int r = fs_identify(&in->view, offset, size, &id);
	json_t *known;

	if (view_fatal(r))
		return r;
	known = json_boolean(r != -ENODATA);
	r = json_object_set_new(object, "file_system_known", known);
	if (r == 0)
		r = json_object_set_new(object, "file_system", identity_json(&id));
	fs_identity_clear(&id);
	return r < 0 ? -ENOMEM : 0;
}

static int add_file_systems(json_t *table, const struct inspection *in, const struct table *t)
{
	json_t *parts = json_object_get(table, "partitions");

	for (size_t i = 0; i < t->n && i < IDENTIFIED_MAX; i++) {
		const struct table_entry *e = &t->entries[i];
		int r;

		if (e->extended)
			continue;
		r = add_file_system(json_array_get(parts, i), in, e->offset, e->size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The table that counts, with what is in its partitions; others behind it in "also". */
static int add_tables(json_t *doc, const struct inspection *in)
{
	const struct table *t = in->media.table;
	json_t *table = table_json(t), *also = json_array();
	int r = json_object_set_new(doc, "table", table);

	if (r == 0)
		r = json_object_set_new(table, "also", also);
	if (r < 0)
		return -ENOMEM;
	for (const struct table *other = t->also; other; other = other->also)
		if (json_array_append_new(also, table_json(other)) < 0)
			return -ENOMEM;
	r = add_file_systems(table, in, t);
	if (r < 0 || t->type != TABLE_NONE)
		return r;
	return add_file_system(doc, in, 0, MIN(in->view.size, (uint64_t)INT64_MAX));
}

static json_t *document(const struct inspection *in, const char *ref)
{
	const struct source_facts *s = &in->source;
	const struct medium *m = in->medium;

	return json_pack(
		"{s:i, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:I, s:b, s:o, s:o, s:o}",
		"version", 1, "verb", "inspect", "exit", 0, "ref", json_text(ref), "carrier",
		json_text(s->carrier), "format", json_text(s->format), "format_detail",
		json_text(s->detail), "bmap", json_text(s->bmap), "carrier_size",
		json_size(s->carrier_size), "parts", (json_int_t)s->parts, "size",
		json_size(in->view.size), "sector_size", (json_int_t)m->sector_size, "random",
		!m->forward, "sha256", json_text(in->sha256[0] ? in->sha256 : NULL), "media",
		media_json(&in->media), "advice", advice_json(&in->media, &in->advice));
}

static int render(const struct inspection *in, const char *ref, char **ret, struct ism_error *err)
{
	json_t *doc = document(in, ref);
	char *text = NULL;
	int r = doc ? add_tables(doc, in) : -ENOMEM;

	if (r == 0)
		text = json_dumps(doc, JSON_INDENT(2));
	json_decref(doc);
	if (r == -ECANCELED)
		return ism_error_canceled(err);
	if (!text)
		return ism_error_oom(err);
	*ret = text;
	return 0;
}

int ism_inspect(const char *ref, const struct ism_inspect_options *options, char **ret_json,
                struct ism_error *err)
{
	static const struct ism_inspect_options defaults;
	CLEANUP(inspection_clear) struct inspection in = { 0 };
	const struct ism_inspect_options *o = options ? options : &defaults;
	int r = source_open(ref, &o->open, &in.medium, &in.source, err);

	if (r == 0)
		r = look(&in, o, err);
	return r < 0 ? r : render(&in, ref, ret_json, err);
}
