/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which partition tables a disk has, and which of them counts: the one that Linux would use
 * (block/partitions/core.c: GPT if the MBR announces it, then DOS, then Apple). */
#include "table/table.h"

#include <stdarg.h>

#include "table/bpb.h"
#include "table/reader.h"

struct table *table_new(enum table_type type, uint32_t sector_size)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->type = type;
	t->sector_size = sector_size;
	return t;
}

struct table *table_free(struct table *t)
{
	while (t) {
		struct table *also = t->also;

		for (size_t i = 0; i < t->n; i++)
			free(t->entries[i].name);
		for (size_t i = 0; i < t->n_notes; i++)
			free(t->notes[i]);
		free(t->entries);
		free(t->regions);
		free(t->notes);
		free(t);
		t = also;
	}
	return NULL;
}

void table_freep(struct table **t)
{
	*t = table_free(*t);
}

struct table_entry *table_add(struct table *t)
{
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 8;
		struct table_entry *entries = reallocarray(t->entries, room, sizeof(*entries));

		if (!entries)
			return NULL;
		t->entries = entries;
		t->room = room;
	}
	memset(&t->entries[t->n], 0, sizeof(t->entries[0]));
	return &t->entries[t->n++];
}

int table_add_region(struct table *t, uint64_t offset, uint64_t len, const char *what)
{
	struct table_region *regions;

	if (!len)
		return 0;
	regions = reallocarray(t->regions, t->n_regions + 1, sizeof(*regions));
	if (!regions)
		return -ENOMEM;
	t->regions = regions;
	t->regions[t->n_regions++] = (struct table_region){ offset, len, what };
	return 0;
}

int table_note(struct table *t, const char *fmt, ...)
{
	char **notes;
	va_list args;
	int r;

	if (t->n_notes == TABLE_NOTES_MAX)
		return 0;
	if (t->n_notes == TABLE_NOTES_MAX - 1)
		fmt = "there is more that is wrong with this table";
	notes = reallocarray(t->notes, t->n_notes + 1, sizeof(*notes));
	if (!notes)
		return -ENOMEM;
	t->notes = notes;
	va_start(args, fmt);
	r = vasprintf(&t->notes[t->n_notes], fmt, args);
	va_end(args);
	if (r < 0)
		return -ENOMEM;
	t->n_notes++;
	return 0;
}

bool table_place(struct table_entry *e, uint64_t first, uint64_t count, uint32_t unit)
{
	uint64_t offset, size, end;

	if (mul_overflows(first, (uint64_t)unit, &offset) ||
	    mul_overflows(count, (uint64_t)unit, &size) || add_overflows(offset, size, &end) ||
	    end > INT64_MAX)
		return false;
	e->offset = offset;
	e->size = size;
	return true;
}

static int by_offset(const void *a, const void *b)
{
	const struct table_entry *x = *(const struct table_entry *const *)a;
	const struct table_entry *y = *(const struct table_entry *const *)b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static int note_overlaps(struct table *t)
{
	const struct table_entry **sorted, *last = NULL;
	size_t n = 0;
	int r = 0;

	sorted = reallocarray(NULL, t->n + 1, sizeof(struct table_entry *));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++)
		if (!t->entries[i].extended && t->entries[i].size)
			sorted[n++] = &t->entries[i];
	qsort(sorted, n, sizeof(*sorted), by_offset);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct table_entry *e = sorted[i];

		if (last && e->offset < last->offset + last->size)
			r = table_note(t, "partitions %u and %u overlap", last->number, e->number);
		if (!last || e->offset + e->size > last->offset + last->size)
			last = e;
	}
	free(sorted);
	return r;
}

int table_check(struct table *t, uint64_t disk_size)
{
	for (size_t i = 0; i < t->n; i++) {
		struct table_entry *e = &t->entries[i];

		if (disk_size == ISM_SIZE_UNKNOWN || e->offset + e->size <= disk_size)
			continue;
		e->outside = true;
		if (table_note(t,
		               "partition %u ends at byte %llu, behind the end of the disk at %llu",
		               e->number, (unsigned long long)(e->offset + e->size),
		               (unsigned long long)disk_size) < 0)
			return -ENOMEM;
	}
	return note_overlaps(t);
}

/* True if @t has entries other than the one that only stands for the GPT. */
static bool has_own_entries(const struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->entries[i].type, "0xee") != 0)
			return true;
	return false;
}

/* The table of a disk that has none. */
static int read_none(const struct view *v, struct table **ret)
{
	CLEANUP(table_freep) struct table *t = table_new(TABLE_NONE, 512);
	uint8_t sector[512];
	uint32_t leftover;
	int r = view_read(v, sector, sizeof(sector), 0);

	if (!t)
		return -ENOMEM;
	if (view_fatal(r))
		return r;
	t->partial = r < 0 && r != -ERANGE;
	if (t->partial && v->medium && table_note(t, "the first sector cannot be read") < 0)
		return -ENOMEM;
	t->stated_sector_size = fs_stated_sector_size(v);
	if (t->stated_sector_size)
		t->sector_size = t->stated_sector_size;
	else if (v->medium)
		t->sector_size = v->medium->sector_size;
	leftover = gpt_leftover(v);
	if (leftover && table_note(t,
	                           "the last sector holds the backup of a GPT for sectors of %u "
	                           "bytes, but its first copy and its MBR are gone",
	                           leftover) < 0)
		return -ENOMEM;
	*ret = take(t);
	return 0;
}

struct found {
	struct table *gpt, *dos, *apm;
};

static void found_clear(struct found *f)
{
	table_free(f->gpt);
	table_free(f->dos);
	table_free(f->apm);
}

static int find_all(const struct view *v, struct found *f)
{
	int r = gpt_read(v, mbr_announces_gpt(v), &f->gpt);

	if (r >= 0)
		r = mbr_read(v, f->gpt ? f->gpt->sector_size : 0, &f->dos);
	if (r >= 0)
		r = apm_read(v, &f->apm);
	return r < 0 ? r : 0;
}

/* The one that counts, taken out of @f; NULL = none. */
static struct table *choose(const struct view *v, struct found *f, const char **note)
{
	bool announced = f->dos && f->dos->protective;

	if (f->gpt && !announced && !(f->dos && f->dos->n) &&
	    (f->gpt->damaged || fs_starts_at(v, 0))) {
		*note = "there are remains of a GPT that nothing announces";
		f->gpt = table_free(f->gpt);
	}
	if (f->gpt && announced) {
		if (has_own_entries(f->dos))
			*note = "hybrid MBR: the boot record lists partitions of its own beside "
				"the GPT";
		else
			f->dos = table_free(f->dos);
		return take(f->gpt);
	}
	if (f->dos && f->dos->n) {
		if (f->gpt)
			*note = "there is a GPT too, but the boot record does not announce it; "
				"Linux does not use it";
		return take(f->dos);
	}
	if (f->gpt) {
		*note = "no protective MBR: Linux does not use this GPT";
		f->dos = table_free(f->dos);
		return take(f->gpt);
	}
	if (f->apm) {
		f->dos = table_free(f->dos);
		return take(f->apm);
	}
	return take(f->dos);
}

static void append(struct table *t, struct table **other)
{
	while (t->also)
		t = t->also;
	t->also = take(*other);
}

int table_read_view(const struct view *v, struct table **ret, struct ism_error *err)
{
	CLEANUP(found_clear) struct found f = { 0 };
	CLEANUP(table_freep) struct table *t = NULL;
	const char *note = NULL;
	int r = find_all(v, &f);

	if (r == 0) {
		t = choose(v, &f, &note);
		r = t ? 0 : read_none(v, &t);
	}
	if (r == 0 && note)
		r = table_note(t, "%s", note);
	if (r == -ECANCELED)
		return ism_error_canceled(err);
	if (r < 0)
		return ism_error_oom(err);
	append(t, &f.gpt);
	append(t, &f.dos);
	append(t, &f.apm);
	*ret = take(t);
	return 0;
}

int table_read(struct medium *m, struct table **ret, struct ism_error *err)
{
	struct view v = view_on(m, (struct span){ NULL, 0 });

	if (m->forward)
		return ism_error_set(err, -ESPIPE, m->name, ISM_NO_OFFSET,
		                     "its partition table needs random access");
	return table_read_view(&v, ret, err);
}

int table_read_head(struct span head, uint64_t disk_size, struct table **ret, struct ism_error *err)
{
	struct view v = { head, NULL, disk_size };

	return table_read_view(&v, ret, err);
}
