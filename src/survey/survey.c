/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Table, then what each partition holds, then one map of the whole disk. Partitions may overlap
 * (hybrid tables): a byte is unused only if no partition that it lies in, and no gap, says
 * otherwise. */
#include "survey/survey.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "fs/identify.h"
#include "medium/slice.h"

static int add_note(struct survey *s, const char *fmt, ...) ISM_PRINTF(2, 3);

static int add_note(struct survey *s, const char *fmt, ...)
{
	char **more = realloc(s->notes, (s->n_notes + 2) * sizeof(*more));
	va_list args;

	if (!more)
		return -ENOMEM;
	s->notes = more;
	va_start(args, fmt);
	if (vasprintf(&more[s->n_notes], fmt, args) < 0)
		more[s->n_notes] = NULL;
	va_end(args);
	if (!more[s->n_notes])
		return -ENOMEM;
	more[++s->n_notes] = NULL;
	return 0;
}

void survey_clear(struct survey *s)
{
	for (size_t i = 0; i < s->n_parts; i++) {
		free(s->parts[i].name);
		free(s->parts[i].content);
		fs_facts_clear(&s->parts[i].fs);
	}
	free(s->parts);
	for (size_t i = 0; i < s->n_notes; i++)
		free(s->notes[i]);
	free(s->notes);
	fs_map_clear(&s->map);
	*s = (struct survey){ 0 };
}

static int note_part(struct survey *s, const struct survey_part *p)
{
	if (!p->fs.why)
		return 0;
	return p->number ? add_note(s, "partition %u (%s): %s", p->number,
	                            p->content ? p->content : "unknown", p->fs.why)
	                 : add_note(s, "%s: %s", p->content ? p->content : "unknown", p->fs.why);
}

/* What [offset, offset + size) holds; its used bytes go into the disk's map. */
static int survey_part(struct survey *s, struct medium *m, struct survey_part *p,
                       struct ism_error *err)
{
	struct view view = view_on(m, (struct span){ 0 });
	struct fs_identity id = { 0 };
	_medium_ struct medium *slice = NULL;
	struct fs_map map = { 0 };
	int r = fs_identify(&view, p->offset, p->size, &id);

	if (r < 0 && view_fatal(r)) {
		fs_identity_clear(&id);
		return r == -ECANCELED ? ism_error_canceled(err) : ism_error_oom(err);
	}
	p->content = take(id.type);
	fs_identity_clear(&id);
	r = slice_open(m, p->offset, p->size, &slice, err);
	if (r == 0)
		r = fs_map_read(slice, p->content, &map, &p->fs, err);
	if (r == 0) {
		p->used = fs_map_used(&map);
		r = note_part(s, p);
	}
	for (size_t i = 0; i < map.n && r == 0; i++)
		r = fs_map_add(&s->map, p->offset + map.runs[i].offset, map.runs[i].len);
	fs_map_clear(&map);
	return r == -ENOMEM ? ism_error_oom(err) : r;
}

static int by_offset(const void *a, const void *b)
{
	const struct survey_part *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Everything between partitions is in use. */
static int add_gaps(struct survey *s)
{
	uint64_t at = 0;

	for (size_t i = 0; i < s->n_parts; i++) {
		const struct survey_part *p = &s->parts[i];

		if (p->offset > at && fs_map_add(&s->map, at, p->offset - at) < 0)
			return -ENOMEM;
		at = MAX(at, p->offset + p->size);
	}
	return at < s->size ? fs_map_add(&s->map, at, s->size - at) : 0;
}

/* What belongs to the tables themselves is in use, also where a partition reaches over it. */
static int add_tables(struct survey *s, const struct table *t)
{
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n_regions; i++)
			if (fs_map_add(&s->map, t->regions[i].offset, t->regions[i].len) < 0)
				return -ENOMEM;
	return 0;
}

/* The partitions of one table that hold something of their own. */
static int take_entries(struct survey *s, const struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct table_entry *e = &t->entries[i];
		struct survey_part *more;

		if (e->extended || e->size == 0 || e->offset >= s->size)
			continue;
		more = realloc(s->parts, (s->n_parts + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->parts = more;
		s->parts[s->n_parts] =
			(struct survey_part){ .number = e->number,
			                      .offset = e->offset,
			                      .size = MIN(e->size, s->size - e->offset),
			                      .name = e->name ? strdup(e->name) : NULL };
		memcpy(s->parts[s->n_parts++].type, e->type, sizeof(e->type));
	}
	return 0;
}

static bool is_trusted(const struct table *t)
{
	for (; t; t = t->also)
		if (t->damaged || t->partial)
			return false;
	return true;
}

static int survey_all_used(struct survey *s, const char *why)
{
	return add_note(s, "%s: every sector counts as used", why) < 0 || fs_map_all(&s->map) < 0
	               ? -ENOMEM
	               : 0;
}

static int survey_bare(struct survey *s, struct medium *m, struct ism_error *err)
{
	s->parts = calloc(1, sizeof(*s->parts));
	if (!s->parts)
		return ism_error_oom(err);
	s->n_parts = 1;
	s->parts[0].size = s->size;
	return survey_part(s, m, &s->parts[0], err);
}

/* The container of logical partitions is no partition: what lies in it outside them is in use like
 * every gap. A protective or hybrid entry only repeats what the first table says. */
static int survey_table(struct survey *s, struct medium *m, const struct table *t,
                        struct ism_error *err)
{
	size_t own;
	int r = take_entries(s, t);

	if (r < 0)
		return ism_error_oom(err);
	qsort(s->parts, s->n_parts, sizeof(*s->parts), by_offset);
	own = s->n_parts;
	if (add_gaps(s) < 0)
		return ism_error_oom(err);
	for (size_t i = 0; i < own && r == 0; i++)
		r = survey_part(s, m, &s->parts[i], err);
	return r;
}

/* Partitions of a second table that do not coincide with one of the first: nothing is known of what
 * that means. */
static bool has_strangers(const struct survey *s, const struct table *also)
{
	for (; also; also = also->also)
		for (size_t i = 0; i < also->n; i++) {
			const struct table_entry *e = &also->entries[i];
			bool known = e->extended || e->size == 0;

			for (size_t k = 0; k < s->n_parts && !known; k++)
				known = s->parts[k].offset == e->offset &&
				        s->parts[k].size == e->size;
			if (!known && strcmp(e->type, "0xee") != 0)
				return true;
		}
	return false;
}

int survey_read(struct medium *m, struct survey *ret, struct ism_error *err)
{
	CLEANUP(table_freep) struct table *t = NULL;
	struct survey s = { .size = m->size };
	int r = table_read(m, &t, err);

	if (r < 0)
		return r;
	fs_map_init(&s.map, m->size);
	s.table = table_type_name(t->type);
	for (size_t i = 0; i < t->n_notes && r == 0; i++)
		r = add_note(&s, "%s", t->notes[i]);
	if (r == 0 && !is_trusted(t))
		r = survey_all_used(&s,
		                    "the partition table is damaged or could not be read whole");
	else if (r == 0 && t->type == TABLE_NONE)
		r = survey_bare(&s, m, err);
	else if (r == 0)
		r = survey_table(&s, m, t, err);
	if (r == 0 && add_tables(&s, t) < 0)
		r = ism_error_oom(err);
	if (r == 0 && has_strangers(&s, t->also))
		r = survey_all_used(&s, "two partition tables on this disk contradict each other");
	if (r == 0)
		r = fs_map_finish(&s.map);
	if (r < 0) {
		survey_clear(&s);
		return err && err->code ? r : ism_error_oom(err);
	}
	*ret = s;
	return 0;
}

static const char *state_name(enum fs_state state)
{
	static const char *const names[] = {
		[FS_CLEAN] = "clean",
		[FS_DIRTY] = "dirty",
		[FS_HIBERNATED] = "hibernated",
		[FS_DAMAGED] = "damaged",
	};

	return names[state];
}

static json_t *text(const char *s)
{
	json_t *j = s ? json_string(s) : json_null();

	return j ? j : json_null();
}

static json_t *part_json(const struct survey_part *p)
{
	return json_pack("{s:i, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:b}", "number",
	                 (int)p->number, "offset", (json_int_t)p->offset, "size",
	                 (json_int_t)p->size, "type", text(p->type), "name", text(p->name),
	                 "content", text(p->content), "label", text(p->fs.label), "used",
	                 (json_int_t)p->used, "block_size", (json_int_t)p->fs.block_size, "state",
	                 state_name(p->fs.state), "all_used", p->fs.all_used);
}

json_t *survey_json(const struct survey *s)
{
	json_t *parts = json_array(), *notes = json_array();

	for (size_t i = 0; i < s->n_parts; i++)
		json_array_append_new(parts, part_json(&s->parts[i]));
	for (size_t i = 0; i < s->n_notes; i++)
		json_array_append_new(notes, text(s->notes[i]));
	return json_pack("{s:s, s:I, s:I, s:o, s:o}", "table", s->table, "size",
	                 (json_int_t)s->size, "used", (json_int_t)fs_map_used(&s->map),
	                 "partitions", parts, "notes", notes);
}

int survey_digest(const struct survey *s, uint8_t sum[32])
{
	CLEANUP(hash_freep) struct hash *hash = hash_new("sha256", NULL);
	size_t len = 0;

	if (!hash)
		return -ENOMEM;
	hash_update(hash, &s->size, sizeof(s->size));
	hash_update(hash, s->map.runs, s->map.n * sizeof(*s->map.runs));
	hash_raw(hash, sum, &len);
	return 0;
}
