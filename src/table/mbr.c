/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DOS partition table: sector 0, and the chain of logical partitions in each extended one. There is
 * no spec; the kernel's block/partitions/msdos.c says what counts. */
#include <assert.h>
#include <stdio.h>

#include "table/bpb.h"
#include "table/reader.h"

struct mbr_entry_disk {
	uint8_t boot; /* 0x80 = active, else 0 */
	uint8_t first_chs[3], type, last_chs[3];
	le32 first_lba, sectors;
};
static_assert(sizeof(struct mbr_entry_disk) == 16, "16 bytes an entry");

struct mbr_disk {
	uint8_t code[440];
	le32 id;
	uint8_t reserved[2];
	struct mbr_entry_disk entries[4];
	uint8_t signature[2];
};
static_assert(sizeof(struct mbr_disk) == 512, "a sector");

#define MBR_TYPE_GPT 0xee
/* Linux gives up after 100 links and Windows far earlier; the chain may go backwards, so its end is
 * sure only because no link is followed twice and their number is bounded. */
#define MBR_LINKS_MAX 256

struct chain {
	const struct view *v;
	struct table *t;
	uint64_t visited[MBR_LINKS_MAX];
	size_t n_visited;
	unsigned next_number;
};

static bool is_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* Read a sector that carries entries. Return: 1, 0 = it is none, else why it could not be read. */
static int read_sector(const struct view *v, uint64_t offset, struct mbr_disk *ret)
{
	int r = offset > INT64_MAX ? -ERANGE : view_read(v, ret, sizeof(*ret), offset);

	if (r < 0)
		return r;
	return ret->signature[0] == 0x55 && ret->signature[1] == 0xaa;
}

/* Boot sectors of file systems, kernels and boot loaders end in the same two bytes: a table has
 * sane boot bytes. In one that is a file system's boot sector too, only entries behind that sector
 * count (mkfs.fat writes one that starts at sector 0, for Windows). */
static bool is_table(const struct mbr_disk *mbr)
{
	bool is_fs = bpb_sector_size((struct span){ (const uint8_t *)mbr, sizeof(*mbr) }) != 0;
	bool used = false;

	for (size_t i = 0; i < 4; i++) {
		const struct mbr_entry_disk *e = &mbr->entries[i];

		if (e->boot & 0x7f)
			return false;
		if (le32_get(e->sectors) && (!is_fs || le32_get(e->first_lba)))
			used = true;
	}
	return used || (!is_fs && bytes_are_zero(mbr->entries, sizeof(mbr->entries)));
}

bool mbr_announces_gpt(const struct view *v)
{
	struct mbr_disk mbr;

	if (read_sector(v, 0, &mbr) != 1)
		return false;
	for (size_t i = 0; i < 4; i++)
		if (mbr.entries[i].type == MBR_TYPE_GPT)
			return is_table(&mbr);
	return false;
}

/* Nothing in a DOS table says how long a sector is; the file systems that it points at do. */
static uint32_t guess_unit(const struct view *v, const struct mbr_disk *mbr)
{
	static const uint32_t units[] = { 512, 4096, 2048, 1024 };
	uint32_t usual = v->medium ? v->medium->sector_size : 512;

	for (size_t u = 0; u < ARRAY_LEN(units); u++)
		for (size_t i = 0; i < 4; i++) {
			const struct mbr_entry_disk *e = &mbr->entries[i];
			uint64_t first = le32_get(e->first_lba);
			struct mbr_disk link;

			if (!first || !le32_get(e->sectors) || e->type == MBR_TYPE_GPT)
				continue;
			if (is_extended(e->type) ? read_sector(v, first * units[u], &link) == 1
			                         : fs_starts_at(v, first * units[u]))
				return units[u];
		}
	return usual;
}

static int add_entry(struct table *t, const struct mbr_entry_disk *raw, unsigned number,
                     uint64_t base_lba)
{
	struct table_entry *e = table_add(t);

	if (!e)
		return -ENOMEM;
	/* 33 bits of sectors of at most 4096 bytes always fit. */
	(void)table_place(e, base_lba + le32_get(raw->first_lba), le32_get(raw->sectors),
	                  t->sector_size);
	e->number = number;
	e->logical = number > 4;
	e->extended = is_extended(raw->type);
	e->bootable = raw->boot == 0x80;
	e->flags = raw->boot;
	snprintf(e->type, sizeof(e->type), "0x%02x", raw->type);
	snprintf(e->uuid, sizeof(e->uuid), "%s-%02x", t->id + 2, number);
	return 0;
}

static bool was_visited(const struct chain *c, uint64_t lba)
{
	for (size_t i = 0; i < c->n_visited; i++)
		if (c->visited[i] == lba)
			return true;
	return false;
}

/* Slots 2 and 3 of a link are junk as often as not: kept only if they lie inside. */
static bool slot_counts(const struct mbr_entry_disk *e, size_t slot, uint64_t lba,
                        const struct mbr_entry_disk *container)
{
	uint64_t start = le32_get(container->first_lba), end = start + le32_get(container->sectors);
	uint64_t first = lba + le32_get(e->first_lba);

	if (!le32_get(e->sectors) || is_extended(e->type))
		return false;
	return slot < 2 || (first >= start && first + le32_get(e->sectors) <= end);
}

/* Take the partitions of one link; *ret_next is the next one, 0 = the last. */
static int read_link(struct chain *c, const struct mbr_disk *link, uint64_t lba,
                     const struct mbr_entry_disk *container, uint64_t *ret_next)
{
	*ret_next = 0;
	for (size_t i = 0; i < 4; i++) {
		int r;

		if (!slot_counts(&link->entries[i], i, lba, container))
			continue;
		r = add_entry(c->t, &link->entries[i], c->next_number++, lba);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < 4; i++) {
		const struct mbr_entry_disk *e = &link->entries[i];

		if (le32_get(e->sectors) && is_extended(e->type)) {
			*ret_next =
				(uint64_t)le32_get(container->first_lba) + le32_get(e->first_lba);
			break;
		}
	}
	return 0;
}

static int note_broken_link(struct chain *c, uint64_t lba, int r)
{
	unsigned long long sector = lba;

	c->t->damaged |= r == 0 || r == -ERANGE;
	c->t->partial |= r < 0 && r != -ERANGE;
	if (r == -ENODATA)
		return 0;
	if (r == 0)
		return table_note(c->t, "the chain of logical partitions breaks at sector %llu",
		                  sector);
	if (r == -ERANGE)
		return table_note(c->t,
		                  "the chain of logical partitions leaves the disk (sector %llu)",
		                  sector);
	return table_note(c->t, "sector %llu in the chain of logical partitions cannot be read",
	                  sector);
}

static int walk_chain(struct chain *c, const struct mbr_entry_disk *container)
{
	uint64_t lba = le32_get(container->first_lba);

	while (lba) {
		struct mbr_disk link;
		int r;

		if (was_visited(c, lba) || c->n_visited == MBR_LINKS_MAX) {
			c->t->damaged = true;
			return table_note(
				c->t,
				"the chain of logical partitions runs in a circle or is too "
				"long (sector %llu)",
				(unsigned long long)lba);
		}
		c->visited[c->n_visited++] = lba;
		r = read_sector(c->v, lba * c->t->sector_size, &link);
		if (view_fatal(r))
			return r;
		if (r != 1)
			return note_broken_link(c, lba, r);
		r = table_add_region(c->t, lba * c->t->sector_size, c->t->sector_size, "ebr");
		if (r == 0)
			r = read_link(c, &link, lba, container, &lba);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a protective entry should be: from sector 1 to the end, or as far as 32 bits reach. */
static int check_protective(struct table *t, const struct mbr_entry_disk *e, uint64_t disk_size)
{
	uint64_t sectors = le32_get(e->sectors);

	t->protective = true;
	if (le32_get(e->first_lba) != 1)
		return table_note(t, "the protective entry starts at sector %u, not 1",
		                  le32_get(e->first_lba));
	if (disk_size == ISM_SIZE_UNKNOWN || sectors == UINT32_MAX)
		return 0;
	if (sectors != disk_size / t->sector_size - 1)
		return table_note(t, "the protective entry covers %llu sectors of %llu",
		                  (unsigned long long)sectors,
		                  (unsigned long long)(disk_size / t->sector_size - 1));
	return 0;
}

static int read_primary(struct table *t, const struct view *v, const struct mbr_disk *mbr)
{
	for (unsigned i = 0; i < 4; i++) {
		const struct mbr_entry_disk *e = &mbr->entries[i];
		int r = 0;

		if (e->type == MBR_TYPE_GPT)
			r = check_protective(t, e, v->size);
		/* Type 0 with a size is how isohybrid marks its partition: Linux takes it. */
		if (r == 0 && le32_get(e->sectors))
			r = add_entry(t, e, i + 1, 0);
		if (r < 0)
			return r;
	}
	return 0;
}

int mbr_read(const struct view *v, uint32_t unit, struct table **ret)
{
	CLEANUP(table_freep) struct table *t = NULL;
	struct mbr_disk mbr;
	struct chain c = { .v = v, .next_number = 5 };
	int r = read_sector(v, 0, &mbr);

	if (view_fatal(r))
		return r;
	if (r != 1 || !is_table(&mbr))
		return 0;
	t = table_new(TABLE_DOS, unit ? unit : guess_unit(v, &mbr));
	if (!t)
		return -ENOMEM;
	c.t = t;
	snprintf(t->id, sizeof(t->id), "0x%08x", le32_get(mbr.id));
	t->boot_code = !bytes_are_zero(mbr.code, sizeof(mbr.code));
	r = table_add_region(t, 0, t->sector_size, "mbr");
	if (r == 0)
		r = read_primary(t, v, &mbr);
	for (size_t i = 0; i < 4 && r == 0; i++)
		if (is_extended(mbr.entries[i].type) && le32_get(mbr.entries[i].sectors))
			r = walk_chain(&c, &mbr.entries[i]);
	if (r == 0)
		r = table_check(t, v->size);
	if (r < 0)
		return r;
	if (t->n)
		t->stated_sector_size = t->sector_size;
	*ret = take(t);
	return 1;
}
