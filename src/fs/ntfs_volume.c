/* SPDX-License-Identifier: GPL-3.0-or-later */
/* NTFS boot sector and file records with their update sequences. Spec: the NTFS on-disk structures
 * as documented by the Linux-NTFS project. */
#include "fs/ntfs.h"

#include <stdlib.h>
#include <string.h>

#define UPDATE_STEP 512 /* an update sequence guards the end of each so many bytes */

static int not_ntfs(const struct ntfs *fs, struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, fs->m->name, 0, "the NTFS boot sector is not valid: %s",
	                     what);
}

/* A count of sectors or clusters, or, as a negative number, the power of two that it is of bytes or
 * sectors; 0 = neither. */
static uint64_t sized_byte(uint8_t b, uint64_t unit, uint64_t unit_of_power)
{
	if (b == 0 || (b > 0x80 && b < 0xe1))
		return 0;
	return b <= 0x80 ? b * unit : unit_of_power << (256 - b);
}

static bool is_power_between(uint64_t v, uint64_t low, uint64_t high)
{
	return v >= low && v <= high && (v & (v - 1)) == 0;
}

int ntfs_open(struct ntfs *fs, struct ism_error *err)
{
	uint8_t b[512];
	uint64_t cluster, record, sectors;
	int r = medium_read_all(fs->m, b, sizeof(b), 0, err);

	if (r < 0)
		return ism_error_prefix(err, "cannot read the NTFS boot sector");
	if (memcmp(b + 3, "NTFS    ", 8) != 0 || b[510] != 0x55 || b[511] != 0xaa)
		return not_ntfs(fs, err, "no signature");
	fs->sector_size = le16_at(b + 11);
	if (!is_power_between(fs->sector_size, 256, 4096))
		return not_ntfs(fs, err, "sector size");
	cluster = sized_byte(b[13], fs->sector_size, fs->sector_size);
	if (!is_power_between(cluster, fs->sector_size, 2 * MIB))
		return not_ntfs(fs, err, "cluster size");
	fs->cluster_size = (uint32_t)cluster;
	record = sized_byte(b[64], cluster, 1);
	if (!is_power_between(record, UPDATE_STEP, 64 * KIB))
		return not_ntfs(fs, err, "size of file records");
	fs->record_size = (uint32_t)record;
	sectors = le64_at(b + 40);
	if (sectors == 0 || sectors > INT64_MAX / fs->sector_size)
		return not_ntfs(fs, err, "count of sectors");
	fs->size = sectors * fs->sector_size;
	fs->n_clusters = fs->size / cluster;
	fs->mft_lcn = le64_at(b + 48);
	fs->mirror_lcn = le64_at(b + 56);
	fs->serial = le64_at(b + 72);
	if (fs->mft_lcn >= fs->n_clusters || fs->mirror_lcn >= fs->n_clusters)
		return not_ntfs(fs, err, "place of the file table");
	return 0;
}

void ntfs_close(struct ntfs *fs)
{
	ntfs_stream_clear(&fs->mft);
}

int ntfs_unprotect(uint8_t *record, size_t len, const char *magic)
{
	uint32_t at = le16_at(record + 4), n = le16_at(record + 6);

	if (memcmp(record, magic, 4) != 0 || at < 8 || n != len / UPDATE_STEP + 1 ||
	    at + 2 * n > len || at + 2 * n > UPDATE_STEP - 2)
		return -EBADMSG;
	for (uint32_t i = 1; i < n; i++) {
		uint8_t *end = record + i * UPDATE_STEP - 2;

		if (memcmp(end, record + at, 2) != 0)
			return -EBADMSG;
		memcpy(end, record + at + 2 * i, 2);
	}
	return 0;
}

int ntfs_read_record(const struct ntfs *fs, uint64_t number, uint8_t *ret)
{
	uint64_t offset;
	int r;

	if (mul_overflows(number, fs->record_size, &offset))
		return -EBADMSG;
	r = ntfs_stream_read(fs, &fs->mft, ret, fs->record_size, offset);
	if (r < 0)
		return r == -ERANGE ? -EBADMSG : r;
	r = ntfs_unprotect(ret, fs->record_size, "FILE");
	return r < 0 ? r : le16_at(ret + 22) & 1 ? 0 : -EBADMSG;
}
