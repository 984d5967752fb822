/* SPDX-License-Identifier: GPL-3.0-or-later */
/* First signs of file systems. Specs: Microsoft FAT 1.03 §3, exFAT §3.1, NTFS boot sector, ECMA-119
 * §8.4, and the superblock magics as libblkid knows them. */
#include "table/bpb.h"

static bool is_sector_size(uint32_t n)
{
	return n >= 512 && n <= 4096 && (n & (n - 1)) == 0;
}

static uint32_t fat_sector_size(struct span s)
{
	uint32_t bytes = le16_at(s.p + 11);
	uint8_t per_cluster = s.p[13];
	uint8_t media = s.p[21];

	if (!((s.p[0] == 0xeb && s.p[2] == 0x90) || s.p[0] == 0xe9))
		return 0;
	if (!per_cluster || (per_cluster & (per_cluster - 1)) || !(s.p[14] | s.p[15]))
		return 0;
	if (!s.p[16] || (media != 0xf0 && media < 0xf8))
		return 0;
	return is_sector_size(bytes) ? bytes : 0;
}

uint32_t bpb_sector_size(struct span s)
{
	if (s.len < 512 || s.p[510] != 0x55 || s.p[511] != 0xaa)
		return 0;
	if (memcmp(s.p + 3, "EXFAT   ", 8) == 0)
		return s.p[108] >= 9 && s.p[108] <= 12 ? 1U << s.p[108] : 0;
	if (memcmp(s.p + 3, "NTFS    ", 8) == 0 || memcmp(s.p + 3, "-FVE-FS-", 8) == 0) {
		uint32_t bytes = le16_at(s.p + 11);

		return is_sector_size(bytes) ? bytes : 0;
	}
	return fat_sector_size(s);
}

static const struct {
	uint32_t offset;
	const char *bytes;
	uint32_t len;
} magics[] = {
	{ 0, "XFSB", 4 },
	{ 0, "LUKS\xba\xbe", 6 },
	{ 512, "LABELONE", 8 },
	{ 1024 + 56, "\x53\xef", 2 },    /* ext2, 3, 4 */
	{ 1024, "\x10\x20\xf5\xf2", 4 }, /* f2fs */
	{ 1024, "H+\0\4", 4 },           /* HFS+ */
	{ 1024, "HX\0\5", 4 },           /* HFSX */
	{ 0, "hsqs", 4 },                /* squashfs */
	{ 4096 - 10, "SWAPSPACE2", 10 }, /* pages of 4 KiB */
	{ 65536 + 64, "_BHRfS_M", 8 },   /* btrfs */
	{ 32768, "\1CD001\1", 7 },       /* ISO 9660 */
};

bool fs_starts_at(const struct view *v, uint64_t offset)
{
	uint8_t sector[512];
	uint8_t found[16];

	if (offset > INT64_MAX)
		return false;
	if (view_read(v, sector, sizeof(sector), offset) == 0 &&
	    bpb_sector_size((struct span){ sector, sizeof(sector) }))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if (view_read(v, found, magics[i].len, offset + magics[i].offset) == 0 &&
		    memcmp(found, magics[i].bytes, magics[i].len) == 0)
			return true;
	return false;
}

uint32_t fs_stated_sector_size(const struct view *v)
{
	uint8_t sector[512], pvd[7];
	uint32_t bytes;

	if (view_read(v, sector, sizeof(sector), 0) == 0) {
		bytes = bpb_sector_size((struct span){ sector, sizeof(sector) });
		if (bytes)
			return bytes;
		/* XFS made for 512-byte sectors cannot be mounted on larger ones; the other way
		 * round it can. */
		if (memcmp(sector, "XFSB", 4) == 0 && sector[102] == 2 && sector[103] == 0)
			return 512;
	}
	/* Blocks of 2048 bytes: cannot be mounted where sectors are larger, and no disk but an
	 * optical one has sectors between 512 and 4096. */
	if (view_read(v, pvd, sizeof(pvd), 32768) == 0 && memcmp(pvd, "\1CD001\1", 7) == 0)
		return 512;
	return 0;
}
