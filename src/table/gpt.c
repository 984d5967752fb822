/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GUID partition table: both copies, any entry count and size, any sector size. Spec: UEFI 2.10
 * §5.3. The first copy counts if it passes its checks, else the backup. */
#include <assert.h>
#include <stdio.h>
#include <zlib.h>

#include "table/reader.h"

struct gpt_header_disk {
	uint8_t signature[8];
	le32 revision, header_size, header_crc, reserved;
	le64 my_lba, alternate_lba, first_usable_lba, last_usable_lba;
	uint8_t disk_guid[16];
	le64 entries_lba;
	le32 n_entries, entry_size, entries_crc;
};
static_assert(sizeof(struct gpt_header_disk) == 92, "UEFI 2.10, 5.3.2");

struct gpt_entry_disk {
	uint8_t type[16], uuid[16];
	le64 first_lba, last_lba, flags; /* last_lba is inclusive */
	uint8_t name[72];                /* UTF-16LE, no terminator when full */
};
static_assert(sizeof(struct gpt_entry_disk) == 128, "UEFI 2.10, 5.3.3");

#define GPT_SIGNATURE        "EFI PART"
#define GPT_FLAG_LEGACY_BOOT ((uint64_t)1 << 2)

/* How one copy was found; in the order of how much is known. */
enum copy_state {
	COPY_UNSEEN,      /* could not be looked at */
	COPY_ABSENT,      /* no signature there */
	COPY_BAD_HEADER,  /* signature, but the header fails its checks */
	COPY_BAD_ENTRIES, /* header good; entries damaged or unreadable */
	COPY_GOOD,
};

struct copy {
	enum copy_state state;
	uint64_t lba; /* where it was looked for */
	const char *why;
	uint8_t guid[16];
	uint64_t alternate_lba, first_usable_lba, last_usable_lba, entries_lba;
	uint32_t n_entries, entry_size, entries_crc;
	uint8_t *entries; /* n_entries * entry_size bytes; owned; NULL = could not be read */
};

static void copy_clear(struct copy *c)
{
	free(c->entries);
}

void guid_text(const uint8_t g[16], char ret[static 37])
{
	snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	         g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12],
	         g[13], g[14], g[15]);
}

/* The header's own checks; NULL = it passes. */
static const char *check_header(uint8_t *sector, uint32_t sector_size, struct copy *ret)
{
	struct gpt_header_disk h;
	uint32_t size;

	memcpy(&h, sector, sizeof(h));
	size = le32_get(h.header_size);
	if (size < sizeof(h) || size > sector_size)
		return "its length is wrong";
	memset(sector + offsetof(struct gpt_header_disk, header_crc), 0, 4);
	if (crc32(0, sector, size) != le32_get(h.header_crc))
		return "its checksum is wrong";
	if (le64_get(h.my_lba) != ret->lba)
		return "it says that it lies in another sector";
	ret->n_entries = le32_get(h.n_entries);
	ret->entry_size = le32_get(h.entry_size);
	if (ret->entry_size < sizeof(struct gpt_entry_disk))
		return "its entries are too short";
	if (ret->n_entries > TABLE_ENTRIES_MAX ||
	    (uint64_t)ret->n_entries * ret->entry_size > TABLE_GPT_BYTES_MAX)
		return "it states more entries than any real table has";
	memcpy(ret->guid, h.disk_guid, sizeof(ret->guid));
	ret->alternate_lba = le64_get(h.alternate_lba);
	ret->first_usable_lba = le64_get(h.first_usable_lba);
	ret->last_usable_lba = le64_get(h.last_usable_lba);
	ret->entries_lba = le64_get(h.entries_lba);
	ret->entries_crc = le32_get(h.entries_crc);
	return NULL;
}

static int read_entries(const struct view *v, uint32_t sector_size, struct copy *c)
{
	size_t len = (size_t)c->n_entries * c->entry_size;
	_free_ uint8_t *entries = malloc(len + 1);
	uint64_t offset;
	int r;

	if (!entries)
		return -ENOMEM;
	c->state = COPY_BAD_ENTRIES;
	c->why = "its entries lie outside the disk";
	if (mul_overflows(c->entries_lba, (uint64_t)sector_size, &offset) || offset > INT64_MAX)
		return 0;
	r = view_read(v, entries, len, offset);
	if (view_fatal(r))
		return r;
	if (r < 0) {
		if (r != -ERANGE)
			c->why = "its entries cannot be read";
		return 0;
	}
	if (crc32(0, entries, (uInt)len) == c->entries_crc)
		c->state = COPY_GOOD;
	else
		c->why = "the checksum of its entries is wrong";
	c->entries = take(entries);
	return 0;
}

/* Look for a copy at @lba. Return: 0, or a reason to stop. */
static int read_copy(const struct view *v, uint32_t sector_size, uint64_t lba, struct copy *ret)
{
	uint8_t sector[4096];
	uint64_t offset;
	int r;

	*ret = (struct copy){ .state = COPY_ABSENT, .lba = lba };
	if (mul_overflows(lba, (uint64_t)sector_size, &offset) || offset > INT64_MAX)
		return 0;
	r = view_read(v, sector, sector_size, offset);
	if (r < 0) {
		if (r != -ERANGE)
			ret->state = COPY_UNSEEN;
		return view_fatal(r) ? r : 0;
	}
	if (memcmp(sector, GPT_SIGNATURE, 8) != 0)
		return 0;
	ret->state = COPY_BAD_HEADER;
	ret->why = check_header(sector, sector_size, ret);
	return ret->why ? 0 : read_entries(v, sector_size, ret);
}

/* Look with each sector size that disks have, that of the medium first; a copy that is whole wins
 * over one that is not. @last: in the last sector instead of sector 1. */
static int find_copy(const struct view *v, bool last, uint32_t *sector_size, struct copy *ret)
{
	uint32_t sizes[] = { v->medium ? v->medium->sector_size : 512, 512, 4096, 2048, 1024 };

	*ret = (struct copy){ .state = COPY_ABSENT };
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		CLEANUP(copy_clear) struct copy c = { 0 };
		uint64_t lba = 1;
		int r;

		if (sizes[i] < 512 || sizes[i] > 4096 || (i && sizes[i] == sizes[0]))
			continue;
		if (last && (v->size == ISM_SIZE_UNKNOWN || v->size / sizes[i] < 3))
			continue;
		if (last)
			lba = v->size / sizes[i] - 1;
		r = read_copy(v, sizes[i], lba, &c);
		if (r < 0)
			return r;
		if ((c.state == COPY_UNSEEN && ret->state == COPY_ABSENT) ||
		    (c.state > COPY_ABSENT && c.state > ret->state)) {
			free(ret->entries);
			*ret = c;
			c.entries = NULL;
			*sector_size = sizes[i];
		}
		if (ret->state == COPY_GOOD)
			break;
	}
	return 0;
}

uint32_t gpt_leftover(const struct view *v)
{
	CLEANUP(copy_clear) struct copy c = { 0 };
	uint32_t sector_size = 0;

	if (find_copy(v, true, &sector_size, &c) < 0 || c.state != COPY_GOOD)
		return 0;
	return sector_size;
}

static size_t put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* The 36 UTF-16 units of a name as UTF-8; half a surrogate pair becomes U+FFFD. NULL when empty. */
static int read_name(const uint8_t name[72], char **ret)
{
	char text[36 * 3 + 1];
	size_t len = 0;

	for (size_t i = 0; i < 36; i++) {
		uint32_t c = (uint32_t)(name[2 * i] | name[2 * i + 1] << 8);

		if (c == 0)
			break;
		if (c >= 0xd800 && c < 0xe000) {
			uint32_t low = 0;

			if (c < 0xdc00 && i < 35)
				low = (uint32_t)(name[2 * i + 2] | name[2 * i + 3] << 8);
			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i++;
			} else {
				c = 0xfffd;
			}
		}
		len += put_utf8(text + len, c);
	}
	text[len] = '\0';
	*ret = len ? strdup(text) : NULL;
	return len && !*ret ? -ENOMEM : 0;
}

static int add_entry(struct table *t, const struct copy *c, unsigned number,
                     const struct gpt_entry_disk *raw)
{
	uint64_t first = le64_get(raw->first_lba), last = le64_get(raw->last_lba);
	struct table_entry place = { 0 }, *e;

	if (last < first || last == UINT64_MAX ||
	    !table_place(&place, first, last - first + 1, t->sector_size))
		return table_note(t, "partition %u has no place on any disk (sectors %llu to %llu)",
		                  number, (unsigned long long)first, (unsigned long long)last);
	e = table_add(t);
	if (!e)
		return -ENOMEM;
	*e = place;
	e->number = number;
	guid_text(raw->type, e->type);
	guid_text(raw->uuid, e->uuid);
	e->flags = le64_get(raw->flags);
	e->bootable = e->flags & GPT_FLAG_LEGACY_BOOT;
	if (first < c->first_usable_lba || last > c->last_usable_lba)
		if (table_note(t, "partition %u lies outside the usable sectors %llu to %llu",
		               number, (unsigned long long)c->first_usable_lba,
		               (unsigned long long)c->last_usable_lba) < 0)
			return -ENOMEM;
	return read_name(raw->name, &e->name);
}

static int add_entries(struct table *t, const struct copy *c)
{
	if (!c->entries)
		return 0;
	for (uint32_t i = 0; i < c->n_entries; i++) {
		struct gpt_entry_disk raw;
		int r;

		memcpy(&raw, c->entries + (size_t)i * c->entry_size, sizeof(raw));
		if (bytes_are_zero(raw.type, sizeof(raw.type)))
			continue;
		r = add_entry(t, c, i + 1, &raw);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_regions(struct table *t, const struct copy *c, const char *header,
                       const char *entries)
{
	uint64_t unit = t->sector_size, offset;
	int r;

	if (c->state < COPY_BAD_HEADER)
		return 0;
	r = table_add_region(t, c->lba * unit, unit, header);
	if (r == 0 && c->state > COPY_BAD_HEADER && !mul_overflows(c->entries_lba, unit, &offset))
		r = table_add_region(t, offset, (uint64_t)c->n_entries * c->entry_size, entries);
	return r;
}

static int note_copy(struct table *t, const struct copy *c, const char *which)
{
	switch (c->state) {
	case COPY_UNSEEN:
		return table_note(t, "the %s GPT at sector %llu could not be looked at", which,
		                  (unsigned long long)c->lba);
	case COPY_ABSENT:
		return table_note(t, "the %s GPT is missing", which);
	case COPY_BAD_HEADER:
	case COPY_BAD_ENTRIES:
		return table_note(t, "the %s GPT at sector %llu is damaged: %s", which,
		                  (unsigned long long)c->lba, c->why);
	case COPY_GOOD:
		break;
	}
	return 0;
}

static int note_differences(struct table *t, const struct copy *a, const struct copy *b,
                            uint64_t disk_size)
{
	uint64_t last = disk_size / t->sector_size - 1;
	int r = 0;

	if (a->state != COPY_GOOD || b->state != COPY_GOOD)
		return 0;
	if (memcmp(a->guid, b->guid, sizeof(a->guid)) != 0 || a->n_entries != b->n_entries ||
	    a->entry_size != b->entry_size || a->entries_crc != b->entries_crc)
		r = table_note(t, "the two copies of the GPT differ; the first one is used");
	if (r == 0 && b->alternate_lba != a->lba)
		r = table_note(t, "the backup GPT says that the first copy is in sector %llu",
		               (unsigned long long)b->alternate_lba);
	if (r == 0 && disk_size != ISM_SIZE_UNKNOWN && b->lba != last)
		r = table_note(t,
		               "the backup GPT is in sector %llu, not in the last sector %llu: "
		               "the table was made for a smaller disk",
		               (unsigned long long)b->lba, (unsigned long long)last);
	return r;
}

/* The backup where the first copy says it is; if it is not whole there, in the last sector. */
static int find_backup(const struct view *v, uint32_t *sector_size, const struct copy *primary,
                       struct copy *ret)
{
	struct copy last = { 0 };
	uint32_t size = 0;
	int r;

	*ret = (struct copy){ .state = COPY_ABSENT };
	if (primary->state >= COPY_BAD_ENTRIES) {
		r = read_copy(v, *sector_size, primary->alternate_lba, ret);
		if (r < 0 || ret->state == COPY_GOOD)
			return r;
	}
	r = find_copy(v, true, &size, &last);
	if (r < 0)
		return r;
	/* Under a whole first copy, what states another sector size is another table. */
	if (last.state > ret->state && last.state > COPY_ABSENT &&
	    (primary->state < COPY_BAD_ENTRIES || size == *sector_size)) {
		copy_clear(ret);
		*ret = last;
		*sector_size = size;
	} else {
		copy_clear(&last);
	}
	if (ret->state == COPY_ABSENT && !v->medium && primary->state >= COPY_BAD_ENTRIES &&
	    (v->size == ISM_SIZE_UNKNOWN || v->size > v->head.len))
		ret->state = COPY_UNSEEN;
	return 0;
}

static int fill(struct table *t, const struct view *v, const struct copy *primary,
                const struct copy *backup)
{
	const struct copy *c = primary;
	int r;

	if (primary->state != COPY_GOOD && backup->state > primary->state)
		c = backup;
	t->damaged = c->state != COPY_GOOD;
	t->partial = primary->state == COPY_UNSEEN || backup->state == COPY_UNSEEN;
	if (c->state >= COPY_BAD_ENTRIES) {
		t->stated_sector_size = t->sector_size;
		guid_text(c->guid, t->id);
	}
	r = note_copy(t, primary, "first");
	/* A backup behind what can be seen of a forward source is the usual case: `partial`. */
	if (r == 0 && (backup->state != COPY_UNSEEN || v->medium))
		r = note_copy(t, backup, "backup");
	if (r == 0)
		r = note_differences(t, primary, backup, v->size);
	if (r == 0)
		r = table_add_region(t, 0, t->sector_size, "mbr");
	if (r == 0)
		r = add_regions(t, primary, "gpt header", "gpt entries");
	if (r == 0)
		r = add_regions(t, backup, "gpt backup header", "gpt backup entries");
	if (r == 0 && c->state >= COPY_BAD_ENTRIES)
		r = add_entries(t, c);
	return r < 0 ? r : table_check(t, v->size);
}

int gpt_read(const struct view *v, bool announced, struct table **ret)
{
	CLEANUP(copy_clear) struct copy primary = { 0 };
	CLEANUP(copy_clear) struct copy backup = { 0 };
	CLEANUP(table_freep) struct table *t = NULL;
	uint32_t sector_size = v->medium ? v->medium->sector_size : 512;
	int r = find_copy(v, false, &sector_size, &primary);

	if (r < 0 || (primary.state <= COPY_ABSENT && !announced))
		return r;
	r = find_backup(v, &sector_size, &primary, &backup);
	if (r < 0)
		return r;
	t = table_new(TABLE_GPT, sector_size);
	if (!t)
		return -ENOMEM;
	r = fill(t, v, &primary, &backup);
	if (r < 0)
		return r;
	*ret = take(t);
	return 1;
}
