/* SPDX-License-Identifier: GPL-3.0-or-later */
/* FAT12, FAT16 and FAT32 allocation maps from the file allocation tables, all copies together.
 * Spec: Microsoft FAT 1.03. */
#include <stdlib.h>
#include <string.h>

#include "fs/map_bits.h"

#define TABLE_STEP ((size_t)MIB)

/* Boot sectors of BitLocker To Go look like FAT32; this GUID is at byte 424. */
static const uint8_t bitlocker_to_go[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
	                                     0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01 };

struct fat_volume {
	struct medium *m;
	uint8_t boot[512];
	unsigned bits; /* of a table entry: 12, 16, 32 */
	uint32_t sector_size, cluster_size, n_clusters;
	uint64_t table_offset, table_size; /* of the first table; they lie one behind the other */
	uint32_t table_need;               /* bytes of it that speak of clusters */
	unsigned n_tables, active;         /* active: the one that is right when they differ */
	bool mirrored;
	uint64_t root_offset; /* FAT12, FAT16 */
	uint32_t root_len;
	uint32_t root_cluster; /* FAT32 */
	uint64_t data_offset, size;
};

static int not_fat(const struct fat_volume *v, struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, v->m->name, 0, "the FAT boot sector is not valid: %s",
	                     what);
}

/* The fields that all kinds share. */
static int take_geometry(struct fat_volume *v, struct ism_error *err)
{
	const uint8_t *b = v->boot;
	uint32_t sector = le16_at(b + 11), total = le16_at(b + 19), table = le16_at(b + 22);
	uint32_t reserved = le16_at(b + 14), root_sectors;
	uint64_t meta;

	if (b[510] != 0x55 || b[511] != 0xaa)
		return not_fat(v, err, "no signature");
	if (sector < 512 || sector > 4096 || (sector & (sector - 1)))
		return not_fat(v, err, "sector size");
	if (!b[13] || (b[13] & (b[13] - 1)))
		return not_fat(v, err, "cluster size");
	if (b[21] != 0xf0 && b[21] < 0xf8)
		return not_fat(v, err, "media byte");
	total = total ? total : le32_at(b + 32);
	table = table ? table : le32_at(b + 36);
	root_sectors = (le16_at(b + 17) * 32U + sector - 1) / sector;
	meta = reserved + (uint64_t)b[16] * table + root_sectors;
	if (!reserved || !table || !b[16] || meta >= total)
		return not_fat(v, err, "its areas do not fit in its size");
	v->sector_size = sector;
	v->cluster_size = sector * b[13];
	v->n_clusters = (uint32_t)((total - meta) / b[13]);
	v->n_tables = b[16];
	v->table_offset = (uint64_t)reserved * sector;
	v->table_size = (uint64_t)table * sector;
	v->root_offset = (meta - root_sectors) * sector;
	v->root_len = le16_at(b + 17) * 32U;
	v->data_offset = meta * sector;
	v->size = (uint64_t)total * sector;
	return 0;
}

/* The count of clusters decides; a boot sector without a 16-bit table size is read as FAT32 by
 * every driver, however few clusters there are. Return: 0 = the two contradict each other. */
static unsigned entry_bits(const struct fat_volume *v)
{
	if (le16_at(v->boot + 22) == 0)
		return v->n_clusters <= 0x0ffffff5 && v->root_len == 0 ? 32 : 0;
	if (v->n_clusters < 4085)
		return 12;
	/* Windows begins FAT16 two clusters later than the specification does. */
	return v->n_clusters > 4086 && v->n_clusters < 65525 ? 16 : 0;
}

static void take_fat32(struct fat_volume *v)
{
	uint16_t flags = le16_at(v->boot + 40);

	v->root_cluster = le32_at(v->boot + 44);
	v->mirrored = !(flags & 0x80);
	v->active = v->mirrored ? 0 : flags & 0x0f;
}

static int take_boot_sector(struct fat_volume *v, struct ism_error *err)
{
	int r = medium_read_all(v->m, v->boot, sizeof(v->boot), 0, err);

	if (r < 0)
		return ism_error_prefix(err, "cannot read the FAT boot sector");
	r = take_geometry(v, err);
	if (r < 0)
		return r;
	if (memcmp(v->boot + 424, bitlocker_to_go, sizeof(bitlocker_to_go)) == 0)
		return ism_error_set(err, -EOPNOTSUPP, v->m->name, ISM_NO_OFFSET,
		                     "it is encrypted by BitLocker To Go");
	v->mirrored = true;
	v->bits = entry_bits(v);
	if (v->bits == 0)
		return not_fat(v, err, "its count of clusters fits no kind of FAT");
	if (v->bits == 32)
		take_fat32(v);
	v->table_need = (uint32_t)(((uint64_t)(v->n_clusters + 2) * v->bits + 7) / 8);
	return 0;
}

/* Used is what is not 0: also reserved values, the mark of a bad cluster, and the end of a chain.
 * The four upper bits of a FAT32 entry mean nothing. */
static void entries_to_bits(const struct fat_volume *v, const uint8_t *table, size_t n,
                            uint8_t *bits)
{
	memset(bits, 0, (n + 7) / 8);
	for (size_t i = 0; i < n; i++) {
		uint32_t entry;

		if (v->bits == 32)
			entry = le32_at(table + 4 * i) & 0x0fffffff;
		else if (v->bits == 16)
			entry = le16_at(table + 2 * i);
		else
			entry = i & 1 ? le16_at(table + i + i / 2) >> 4
			              : le16_at(table + i + i / 2) & 0xfff;
		bits[i / 8] |= (uint8_t)((entry != 0) << (i % 8));
	}
}

struct table_facts {
	bool differ, unreadable;
};

/* The bytes [at, at + len) of all tables, laid over each other: an entry that is not 0 in one of
 * them is not 0 here. */
static int read_tables(const struct fat_volume *v, uint64_t at, size_t len, uint8_t *all,
                       uint8_t *one, struct table_facts *facts)
{
	size_t ignore = at == 0 ? v->bits / 4U : 0; /* entries 0 and 1 are no clusters */

	for (unsigned i = 0; i < v->n_tables; i++) {
		uint8_t *to = i ? one : all;
		int r = medium_read_all(v->m, to, len, v->table_offset + i * v->table_size + at,
		                        NULL);

		if (r == -ENOMEM || r == -ECANCELED)
			return r;
		if (r < 0) {
			facts->unreadable = true;
			memset(all, 0xff, len);
			return 0;
		}
		if (i == 0 || memcmp(all, one, len) == 0)
			continue;
		if (len > ignore && memcmp(all + ignore, one + ignore, len - ignore) != 0)
			facts->differ = true;
		for (size_t k = 0; k < len; k++)
			all[k] |= one[k];
	}
	return 0;
}

/* A table of 12-bit entries is never longer than one step. */
static int add_clusters(const struct fat_volume *v, struct fs_map *map, struct table_facts *facts)
{
	_free_ uint8_t *all = malloc(TABLE_STEP + 1);
	_free_ uint8_t *one = malloc(TABLE_STEP);
	_free_ uint8_t *bits = malloc(TABLE_STEP / 16 + 8);
	uint64_t first = 0; /* the entry that the step begins with */

	if (!all || !one || !bits)
		return -ENOMEM;
	for (uint64_t at = 0; at < v->table_need; at += TABLE_STEP) {
		size_t len = (size_t)MIN(v->table_need - at, (uint64_t)TABLE_STEP);
		size_t n = len * 8 / v->bits, skip = at == 0 ? 2 : 0;
		int r = read_tables(v, at, len, all, one, facts);

		if (r < 0)
			return r;
		all[len] = 0;
		entries_to_bits(v, all, n, bits);
		r = map_add_bits(map, bits, skip, n - skip,
		                 v->data_offset + (first + skip - 2) * v->cluster_size,
		                 v->cluster_size);
		if (r < 0)
			return r;
		first += n;
	}
	return 0;
}

/* Drive number, state, 0x29, serial number, label. */
static const uint8_t *extended_fields(const struct fat_volume *v)
{
	return v->boot + (v->bits == 32 ? 64 : 36);
}

static bool has_extended_fields(const struct fat_volume *v)
{
	return (extended_fields(v)[2] & 0xfe) == 0x28;
}

/* Entry 0 repeats the media byte, entry 1 holds the flags. Return: false = this is no table. */
static bool take_flags(const struct fat_volume *v, const uint8_t *raw, bool *ret_dirty,
                       bool *ret_errors)
{
	uint32_t first = le16_at(raw) & (v->bits == 12 ? 0xfff : 0xffff), second, ones;

	*ret_dirty = has_extended_fields(v) && (extended_fields(v)[1] & 1); /* Linux's mark */
	*ret_errors = false;
	if (v->bits == 32) {
		first = le32_at(raw) & 0x0fffffff;
		second = le32_at(raw + 4);
		*ret_dirty |= !(second & 0x08000000);
		*ret_errors = !(second & 0x04000000);
	} else if (v->bits == 16) {
		second = le16_at(raw + 2);
		*ret_dirty |= !(second & 0x8000);
		*ret_errors = !(second & 0x4000);
	}
	ones = (v->bits == 32 ? 0x0fffffffU : v->bits == 16 ? 0xffffU : 0xfffU) & ~0xffU;
	return (first & ones) == ones && ((first & 0xff) == 0xf0 || (first & 0xff) >= 0xf8);
}

/* The entry of the root directory that holds the label; one cluster of FAT32 is looked at, where
 * every formatting tool puts it. */
static int take_label(const struct fat_volume *v, struct fs_facts *facts)
{
	uint32_t len = v->bits == 32 ? v->cluster_size : v->root_len;
	_free_ uint8_t *dir = malloc(len + 1);
	uint64_t at = v->bits == 32 ? v->data_offset + (v->root_cluster - 2ULL) * v->cluster_size
	                            : v->root_offset;
	int r;

	if (!dir)
		return -ENOMEM;
	r = medium_read_all(v->m, dir, len, at, NULL);
	if (r < 0)
		return r == -ENOMEM || r == -ECANCELED ? r : 0;
	for (uint32_t i = 0; i + 32 <= len && dir[i]; i += 32) {
		const char *name = (const char *)dir + i;
		size_t n = 11;

		if (dir[i] == 0xe5 || (dir[i + 11] & 0x3f) == 0x0f || !(dir[i + 11] & 0x08))
			continue;
		while (n && name[n - 1] == ' ')
			n--;
		facts->label = strndup(name, n);
		return facts->label ? 0 : -ENOMEM;
	}
	return 0;
}

static int take_names(const struct fat_volume *v, struct fs_facts *facts)
{
	uint32_t serial = le32_at(extended_fields(v) + 3);

	if (has_extended_fields(v)) {
		facts->uuid = text_format("%04X-%04X", serial >> 16, serial & 0xffff);
		if (!facts->uuid)
			return -ENOMEM;
	}
	return take_label(v, facts);
}

/* Why this volume has no map that could be trusted. Return: 1 = it has; 0 = said; -ENOMEM. */
static int check_volume(const struct fat_volume *v, struct fs_facts *facts)
{
	if (v->size > v->m->size)
		return map_give_up(facts, FS_DAMAGED,
		                   "the FAT file system is larger than its partition: all of it "
		                   "counts as used");
	if (v->table_size < v->table_need)
		return map_give_up(
			facts, FS_DAMAGED,
			"the file allocation table is too short for its %u clusters: all "
			"of it counts as used",
			v->n_clusters);
	if (v->bits == 32 && le16_at(v->boot + 42) != 0)
		return map_give_up(facts, FS_CLEAN,
		                   "this version of FAT32 is not known: all of it counts as used");
	if (v->active >= v->n_tables ||
	    (v->bits == 32 && (v->root_cluster < 2 || v->root_cluster - 2 >= v->n_clusters)))
		return map_give_up(facts, FS_DAMAGED,
		                   "the FAT32 boot sector contradicts itself: all of it counts as "
		                   "used");
	return 1;
}

static int note_state(const struct fat_volume *v, const struct table_facts *tables, bool dirty,
                      bool errors, struct fs_facts *facts)
{
	int r = 0;

	if (dirty) {
		facts->state = FS_DIRTY;
		r = map_note(facts, "the FAT file system was not unmounted: what its tables call "
		                    "used is taken; check it with fsck.fat or chkdsk");
	}
	if (errors && r == 0)
		r = map_note(facts, "the FAT file system notes that its disk had read or write "
		                    "errors");
	if (tables->differ && r == 0) {
		facts->state = v->mirrored ? FS_DAMAGED : facts->state;
		r = map_note(facts, "the copies of the file allocation table differ: what one of "
		                    "them calls used counts as used");
	}
	if (tables->unreadable && r == 0) {
		facts->state = FS_DAMAGED;
		r = map_note(facts, "parts of the file allocation table cannot be read: what they "
		                    "speak of counts as used");
	}
	return r;
}

static int add_all(const struct fat_volume *v, struct fs_map *map, struct fs_facts *facts)
{
	uint64_t end = v->data_offset + (uint64_t)v->n_clusters * v->cluster_size;
	struct table_facts tables = { 0 };
	uint8_t raw[8] = { 0 };
	bool dirty, errors;
	int r = medium_read_all(v->m, raw, sizeof(raw), v->table_offset + v->active * v->table_size,
	                        NULL);

	if (r == -ENOMEM || r == -ECANCELED)
		return r;
	if (r < 0 || !take_flags(v, raw, &dirty, &errors))
		return map_give_up(facts, FS_DAMAGED,
		                   "the file allocation table %s: all of it counts as used",
		                   r < 0 ? "cannot be read" : "does not begin as one should");
	r = fs_map_add(map, 0, v->data_offset);
	if (r == 0)
		r = add_clusters(v, map, &tables);
	if (r == 0)
		r = note_state(v, &tables, dirty, errors, facts);
	if (r < 0)
		return r;
	if (v->bits == 32 &&
	    !map_covers(map, v->data_offset + (v->root_cluster - 2ULL) * v->cluster_size,
	                v->cluster_size))
		return map_give_up(
			facts, FS_DAMAGED,
			"the file allocation table calls the root directory free: all of "
			"it counts as used");
	return fs_map_add(map, end, map->size - end);
}

static int fat_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                    struct ism_error *err)
{
	struct fat_volume v = { .m = m };
	int r = take_boot_sector(&v, err);

	if (r < 0)
		return r;
	facts->type = "vfat";
	facts->size = MIN(v.size, m->size);
	facts->block_size = v.cluster_size;
	r = check_volume(&v, facts);
	if (r == 1)
		r = take_names(&v, facts);
	if (r == 0 && !facts->all_used)
		r = add_all(&v, map, facts);
	if (r == -ECANCELED)
		return ism_error_canceled(err);
	return r < 0 ? ism_error_oom(err) : 0;
}

static const char *const fat_types[] = { "vfat", "msdos", "fat", NULL };
const struct fs_driver fs_driver_fat = { .types = fat_types, .read = fat_read };
