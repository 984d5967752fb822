/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ISO 9660 descriptors, the El Torito catalog, and a look-up in the plain directory tree. Specs:
 * ECMA-119 §8 and §9, ECMA-167 part 2, El Torito 1.0. */
#include "fs/iso9660.h"

#include "fs/lookup.h"

#define DESCRIPTORS_OFFSET (16 * (uint64_t)ISO9660_SECTOR)
/* Volume descriptors, then the UDF sequence: a dozen sectors on real discs. */
#define DESCRIPTORS_MAX 64
#define CATALOG_SIZE    ISO9660_SECTOR

static void take_primary(const uint8_t *d, struct iso9660 *iso)
{
	size_t len = 32;
	uint32_t block_size = le16_at(d + 128);

	if (iso->present)
		return;
	/* Only 2048 is seen in the wild; the spec allows smaller powers of two. */
	if (block_size < 512 || block_size > ISO9660_SECTOR || (block_size & (block_size - 1)))
		block_size = ISO9660_SECTOR;
	iso->present = true;
	iso->block_size = block_size;
	iso->volume_size = (uint64_t)le32_at(d + 80) * block_size;
	iso->root_offset = (uint64_t)le32_at(d + 156 + 2) * block_size;
	iso->root_size = le32_at(d + 156 + 10);
	while (len && (d[40 + len - 1] == ' ' || d[40 + len - 1] == '\0'))
		len--;
	memcpy(iso->label, d + 40, len);
	iso->label[len] = '\0';
}

static void take_descriptor(const uint8_t *d, struct iso9660 *iso)
{
	if (memcmp(d + 1, "NSR0", 4) == 0) {
		iso->udf = true;
		return;
	}
	if (memcmp(d + 1, "CD001", 5) != 0)
		return;
	if (d[0] == 1)
		take_primary(d, iso);
	if (d[0] == 2 && d[88] == '%' && d[89] == '/')
		iso->joliet = true;
	if (d[0] == 0 && memcmp(d + 7, "EL TORITO SPECIFICATION", 23) == 0 && !iso->eltorito) {
		iso->eltorito = true;
		iso->catalog_offset = (uint64_t)le32_at(d + 0x47) * ISO9660_SECTOR;
	}
}

static void add_boot_entry(struct iso9660 *iso, uint8_t platform, const uint8_t *raw)
{
	if (iso->n_boot == ELTORITO_ENTRIES_MAX)
		return;
	iso->boot[iso->n_boot++] = (struct eltorito_entry){
		.platform = platform,
		.bootable = raw[0] == 0x88,
		.emulation = raw[1] & 0x0f,
		.offset = (uint64_t)le32_at(raw + 8) * ISO9660_SECTOR,
		.len = (uint32_t)le16_at(raw + 6) * 512,
	};
}

static bool catalog_is_valid(const uint8_t *c)
{
	uint16_t sum = 0;

	for (size_t i = 0; i < 32; i += 2)
		sum = (uint16_t)(sum + le16_at(c + i));
	return c[0] == 1 && c[30] == 0x55 && c[31] == 0xaa && sum == 0;
}

/* Validation entry, initial entry, then sections: a header (0x90, the last one 0x91) and its
 * entries, each perhaps followed by extensions (0x44). */
static void take_catalog(const uint8_t *c, struct iso9660 *iso)
{
	size_t at = 64;

	add_boot_entry(iso, c[1], c + 32);
	while (at + 32 <= CATALOG_SIZE && (c[at] == 0x90 || c[at] == 0x91)) {
		bool last = c[at] == 0x91;
		uint8_t platform = c[at + 1];
		unsigned n = le16_at(c + at + 2);

		at += 32;
		while (n && at + 32 <= CATALOG_SIZE) {
			bool extended = c[at + 1] & 0x20;

			add_boot_entry(iso, platform, c + at);
			at += 32;
			n--;
			while (extended && at + 32 <= CATALOG_SIZE && c[at] == 0x44) {
				extended = c[at + 1] & 0x20;
				at += 32;
			}
		}
		if (last)
			break;
	}
}

int iso9660_read(const struct view *v, struct iso9660 *ret)
{
	uint8_t d[ISO9660_SECTOR];
	int r = 0;

	*ret = (struct iso9660){ 0 };
	for (unsigned i = 0; i < DESCRIPTORS_MAX; i++) {
		r = view_read(v, d, sizeof(d), DESCRIPTORS_OFFSET + i * sizeof(d));
		if (r < 0)
			break;
		if (memcmp(d + 1, "CD001", 5) != 0 && memcmp(d + 1, "BEA01", 5) != 0 &&
		    memcmp(d + 1, "NSR0", 4) != 0 && memcmp(d + 1, "TEA01", 5) != 0 &&
		    memcmp(d + 1, "BOOT2", 5) != 0)
			break;
		take_descriptor(d, ret);
	}
	if (view_fatal(r))
		return r;
	if (!ret->eltorito)
		return 0;
	r = view_read(v, d, CATALOG_SIZE, ret->catalog_offset);
	if (view_fatal(r))
		return r;
	ret->catalog_known = r == 0 && catalog_is_valid(d);
	if (ret->catalog_known)
		take_catalog(d, ret);
	return 0;
}

/* "BOOT.WIM;1" is BOOT.WIM, and "BOOT.;1" is BOOT. */
static struct span plain_name(struct span name)
{
	const uint8_t *version = memchr(name.p, ';', name.len);

	if (version)
		name.len = (size_t)(version - name.p);
	if (name.len && name.p[name.len - 1] == '.')
		name.len--;
	return name;
}

/* Look for @name among the records of one directory. */
static int find_record(struct span dir, struct span name, uint32_t block_size,
                       struct found_file *ret)
{
	size_t at = 0;

	while (at + 34 <= dir.len) {
		const uint8_t *rec = dir.p + at;
		struct span text;

		if (rec[0] == 0) { /* records do not cross sectors */
			at = (size_t)round_up_u64(at + 1, ISO9660_SECTOR);
			continue;
		}
		if (rec[0] < 34 || !span_sub(dir, at + 33, rec[32], &text) ||
		    33 + (size_t)rec[32] > rec[0])
			return -EBADMSG;
		at += rec[0];
		if (!name_equals(plain_name(text), name))
			continue;
		ret->offset = (uint64_t)le32_at(rec + 2) * block_size;
		ret->size = le32_at(rec + 10);
		ret->is_directory = rec[25] & 0x02;
		return 1;
	}
	return 0;
}

int iso9660_find(const struct view *v, const struct iso9660 *iso, const char *path,
                 struct found_file *ret)
{
	struct found_file at = { iso->root_offset, iso->root_size, true };

	if (!iso->present)
		return 0;
	while (path) {
		struct span name = path_part(path, &path), dir;
		_free_ uint8_t *bytes = NULL;
		int r;

		if (!at.is_directory)
			return 0;
		dir.len = (size_t)MIN(at.size, (uint64_t)LOOKUP_DIRECTORY_MAX);
		dir.p = bytes = malloc(dir.len + 1);
		if (!bytes)
			return -ENOMEM;
		r = view_read(v, bytes, dir.len, at.offset);
		if (r == 0)
			r = find_record(dir, name, iso->block_size, &at);
		if (r != 1)
			return r == -ERANGE ? -EBADMSG : r;
	}
	*ret = at;
	return 1;
}
