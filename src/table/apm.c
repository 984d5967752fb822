/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Apple partition map, as hybrid ISOs carry it. Spec: Inside Macintosh: Devices, chapter 3; the
 * kernel's block/partitions/mac.c. */
#include <assert.h>

#include "table/reader.h"

struct apm_driver_disk {
	uint8_t signature[2]; /* "ER" */
	be16 block_size;
	be32 n_blocks;
};

struct apm_entry_disk {
	uint8_t signature[2]; /* "PM" */
	uint8_t reserved[2];
	be32 map_entries, first_block, n_blocks;
	uint8_t name[32], type[32];
	be32 data_first, data_count, status;
};
static_assert(sizeof(struct apm_entry_disk) == 92, "Inside Macintosh: Devices, 3-26");

#define APM_ENTRIES_MAX     256 /* as many as Linux takes (DISK_MAX_PARTS) */
#define APM_STATUS_BOOTABLE 0x08
#define APM_MAP_TYPE        "Apple_partition_map"

static bool is_entry(const struct apm_entry_disk *e)
{
	return e->signature[0] == 'P' && e->signature[1] == 'M';
}

static int read_entry(const struct view *v, uint32_t unit, uint64_t index,
                      struct apm_entry_disk *ret)
{
	int r = view_read(v, ret, sizeof(*ret), index * unit);

	return r < 0 ? r : is_entry(ret);
}

/* Block 1 holds the first entry; how long a block is, block 0 says, if it is there and right. */
static uint32_t find_unit(const struct view *v, struct apm_entry_disk *first)
{
	uint32_t units[] = { 0, 512, 2048, 4096, 1024 };
	struct apm_driver_disk driver;

	if (view_read(v, &driver, sizeof(driver), 0) == 0 && driver.signature[0] == 'E' &&
	    driver.signature[1] == 'R')
		units[0] = be16_get(driver.block_size);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (units[i] >= 512 && units[i] <= 4096 && !(units[i] & (units[i] - 1)) &&
		    read_entry(v, units[i], 1, first) == 1 && be32_get(first->map_entries))
			return units[i];
	return 0;
}

/* Mac Roman in theory; what is not ASCII becomes '?'. */
static void copy_text(char *to, const uint8_t from[32])
{
	size_t i;

	for (i = 0; i < 32 && from[i]; i++)
		to[i] = (char)(from[i] < 0x80 ? from[i] : '?');
	to[i] = '\0';
}

static int add_entry(struct table *t, const struct apm_entry_disk *raw, unsigned number)
{
	struct table_entry *e = table_add(t);
	char name[33];

	if (!e)
		return -ENOMEM;
	/* 33 bits of blocks of at most 4096 bytes always fit. */
	(void)table_place(e, be32_get(raw->first_block), be32_get(raw->n_blocks), t->sector_size);
	e->number = number;
	copy_text(e->type, raw->type);
	copy_text(name, raw->name);
	e->flags = be32_get(raw->status);
	e->bootable = e->flags & APM_STATUS_BOOTABLE;
	if (name[0]) {
		e->name = strdup(name);
		if (!e->name)
			return -ENOMEM;
	}
	return 0;
}

static int read_map(struct table *t, const struct view *v, uint32_t n)
{
	struct apm_entry_disk raw;
	int r;

	if (n > APM_ENTRIES_MAX) {
		t->damaged = true;
		r = table_note(t, "the Apple partition map states %u entries; only %u are read", n,
		               APM_ENTRIES_MAX);
		if (r < 0)
			return r;
		n = APM_ENTRIES_MAX;
	}
	for (uint32_t i = 1; i <= n; i++) {
		r = read_entry(v, t->sector_size, i, &raw);
		if (view_fatal(r))
			return r;
		if (r != 1) {
			t->damaged |= r == 0 || r == -ERANGE;
			t->partial |= r < 0 && r != -ERANGE;
			return table_note(t, "the Apple partition map ends at entry %u of %u", i,
			                  n);
		}
		r = add_entry(t, &raw, i);
		if (r < 0)
			return r;
	}
	return 0;
}

int apm_read(const struct view *v, struct table **ret)
{
	CLEANUP(table_freep) struct table *t = NULL;
	struct apm_entry_disk first;
	uint32_t unit = find_unit(v, &first);
	int r;

	if (!unit)
		return 0;
	t = table_new(TABLE_APM, unit);
	if (!t)
		return -ENOMEM;
	r = read_map(t, v, be32_get(first.map_entries));
	if (r == 0)
		r = table_add_region(t, 0, unit, "driver map");
	if (r == 0)
		r = table_add_region(t, unit, (uint64_t)t->n * unit, "apple partition map");
	if (r == 0)
		r = table_check(t, v->size);
	if (r < 0)
		return r;
	*ret = take(t);
	return 1;
}
