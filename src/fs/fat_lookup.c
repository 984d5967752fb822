/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A look-up in a FAT file system by short names, as a firmware does for EFI/BOOT/BOOTX64.EFI. Spec:
 * Microsoft FAT 1.03. */
#include "fs/lookup.h"

#define FAT_END 0x0ffffff8

struct fat {
	const struct view *v;
	uint64_t fat_offset, data_offset;
	uint64_t root_offset; /* FAT12, FAT16 */
	uint32_t root_len;
	uint32_t root_cluster; /* FAT32 */
	uint32_t cluster_size, n_clusters;
	unsigned bits;
};

static bool is_power_of_two(uint32_t v)
{
	return v && !(v & (v - 1));
}

/* Return: 1, or 0 = the sector is no FAT boot sector. */
static int fat_open(const struct view *v, uint64_t offset, struct fat *ret)
{
	uint8_t b[512];
	uint32_t sector, total, fat_sectors, reserved, root_sectors;
	uint64_t meta;
	int r = view_read(v, b, sizeof(b), offset);

	if (r < 0)
		return r;
	sector = le16_at(b + 11);
	if (b[510] != 0x55 || b[511] != 0xaa || !is_power_of_two(sector) || sector < 512 ||
	    sector > 4096 || !is_power_of_two(b[13]) || !b[16])
		return 0;
	total = le16_at(b + 19) ? le16_at(b + 19) : le32_at(b + 32);
	fat_sectors = le16_at(b + 22) ? le16_at(b + 22) : le32_at(b + 36);
	reserved = le16_at(b + 14);
	root_sectors = (le16_at(b + 17) * 32U + sector - 1) / sector;
	meta = reserved + (uint64_t)b[16] * fat_sectors + root_sectors;
	if (!reserved || !fat_sectors || meta >= total)
		return 0;
	*ret = (struct fat){
		.v = v,
		.fat_offset = offset + (uint64_t)reserved * sector,
		.root_offset = offset + (meta - root_sectors) * sector,
		.root_len = le16_at(b + 17) * 32U,
		.data_offset = offset + meta * sector,
		.root_cluster = le32_at(b + 44),
		.cluster_size = sector * b[13],
		.n_clusters = (uint32_t)((total - meta) / b[13]),
	};
	ret->bits = ret->n_clusters < 4085 ? 12 : ret->n_clusters < 65525 ? 16 : 32;
	return 1;
}

/* The cluster that follows @cluster; FAT_END or more = none. */
static int next_cluster(const struct fat *f, uint32_t cluster, uint32_t *ret)
{
	uint64_t at = f->bits == 12 ? cluster + cluster / 2 : (uint64_t)cluster * (f->bits / 8);
	uint8_t raw[4] = { 0 };
	int r = view_read(f->v, raw, f->bits == 32 ? 4 : 2, f->fat_offset + at);

	if (r < 0)
		return r;
	if (f->bits == 32) {
		*ret = le32_at(raw) & 0x0fffffff;
		return 0;
	}
	*ret = le16_at(raw);
	if (f->bits == 12)
		*ret = cluster & 1 ? *ret >> 4 : *ret & 0xfff;
	if (*ret >= (f->bits == 12 ? 0xff8U : 0xfff8U))
		*ret = FAT_END;
	return 0;
}

/* "BOOTX64 EFI" in an entry is "bootx64.efi". */
static bool short_name_is(const uint8_t *entry, struct span name)
{
	uint8_t text[12];
	size_t len = 0;

	for (size_t i = 0; i < 8 && entry[i] != ' '; i++)
		text[len++] = entry[i];
	if (entry[8] != ' ')
		text[len++] = '.';
	for (size_t i = 8; i < 11 && entry[i] != ' '; i++)
		text[len++] = entry[i];
	return name_equals((struct span){ text, len }, name);
}

/* Return: 1 found, 0 not in these entries, 2 the directory ends here. */
static int find_entry(struct span dir, struct span name, uint32_t *ret_cluster,
                      struct found_file *ret)
{
	for (size_t at = 0; at + 32 <= dir.len; at += 32) {
		const uint8_t *e = dir.p + at;

		if (e[0] == 0)
			return 2;
		if (e[0] == 0xe5 || (e[11] & 0x08) || !short_name_is(e, name))
			continue;
		*ret_cluster = (uint32_t)le16_at(e + 20) << 16 | le16_at(e + 26);
		ret->size = le32_at(e + 28);
		ret->is_directory = e[11] & 0x10;
		return 1;
	}
	return 0;
}

static int find_in_root(const struct fat *f, struct span name, uint32_t *ret_cluster,
                        struct found_file *ret)
{
	_free_ uint8_t *bytes = malloc(f->root_len + 1);
	int r;

	if (!bytes)
		return -ENOMEM;
	r = view_read(f->v, bytes, f->root_len, f->root_offset);
	if (r < 0)
		return r;
	r = find_entry((struct span){ bytes, f->root_len }, name, ret_cluster, ret);
	return r == 2 ? 0 : r;
}

/* The chain ends because the bytes that are looked at are bounded. */
static int find_in_chain(const struct fat *f, uint32_t cluster, struct span name,
                         uint32_t *ret_cluster, struct found_file *ret)
{
	_free_ uint8_t *bytes = malloc(f->cluster_size);
	uint64_t seen = 0;

	if (!bytes)
		return -ENOMEM;
	while (cluster < FAT_END && seen < LOOKUP_DIRECTORY_MAX) {
		int r;

		if (cluster < 2 || cluster - 2 >= f->n_clusters)
			return -EBADMSG;
		r = view_read(f->v, bytes, f->cluster_size,
		              f->data_offset + (uint64_t)(cluster - 2) * f->cluster_size);
		if (r < 0)
			return r;
		r = find_entry((struct span){ bytes, f->cluster_size }, name, ret_cluster, ret);
		if (r)
			return r == 2 ? 0 : r;
		seen += f->cluster_size;
		r = next_cluster(f, cluster, &cluster);
		if (r < 0)
			return r;
	}
	return 0;
}

int fat_find(const struct view *v, uint64_t offset, const char *path, struct found_file *ret)
{
	struct fat f;
	struct found_file file = { .is_directory = true };
	uint32_t cluster = 0;
	int r = fat_open(v, offset, &f);

	if (r != 1)
		return r == -ERANGE ? 0 : r;
	if (f.bits == 32)
		cluster = f.root_cluster;
	while (path) {
		struct span name = path_part(path, &path);

		if (!file.is_directory)
			return 0;
		r = cluster ? find_in_chain(&f, cluster, name, &cluster, &file)
		            : find_in_root(&f, name, &cluster, &file);
		if (r != 1)
			return r == -ERANGE ? -EBADMSG : r;
	}
	file.offset = f.data_offset + (uint64_t)(MAX(cluster, 2U) - 2) * f.cluster_size;
	*ret = file;
	return 1;
}
