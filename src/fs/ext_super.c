/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The superblock of ext2, ext3 and ext4: features, geometry, where its copies lie. Spec: kernel
 * documentation, ext4 "Super Block". */
#include "fs/ext.h"
#include "fs/verdict.h"

/* All whose effect on the block bitmaps, or lack of one, is known. */
#define KNOWN_INCOMPAT \
	(0x2 | EXT_INCOMPAT_RECOVER | EXT_INCOMPAT_META_BG | 0x40 | EXT_INCOMPAT_64BIT | \
	 EXT_INCOMPAT_MMP | EXT_INCOMPAT_FLEX_BG | 0x400 | 0x1000 | EXT_INCOMPAT_CSUM_SEED | \
	 0x4000 | 0x8000 | 0x10000 | 0x20000)
#define KNOWN_RO_COMPAT \
	(EXT_RO_SPARSE_SUPER | 0x2 | 0x4 | 0x8 | EXT_RO_GDT_CSUM | 0x20 | 0x40 | 0x100 | \
	 EXT_RO_BIGALLOC | EXT_RO_METADATA_CSUM | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x10000)

#define BLOCKS_PER_GROUP_MIN 256 /* mke2fs makes none smaller; it bounds the number of groups */

/* CRC-16 with the polynomial 0x8005, reflected. */
uint16_t ext_crc16(uint16_t crc, const void *p, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (uint16_t)(crc >> 1 ^ (crc & 1 ? 0xa001 : 0));
	}
	return crc;
}

static int bad(struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, NULL, EXT_SUPER_OFFSET,
	                     "the ext superblock is damaged (%s): all of it counts as used", what);
}

static int unsupported(struct ism_error *err, const char *what, uint32_t bits)
{
	return ism_error_set(err, -EOPNOTSUPP, NULL, EXT_SUPER_OFFSET,
	                     "it has ext features that are not known here (%s 0x%x): all of it "
	                     "counts as used",
	                     what, bits);
}

static int check_features(const struct ext_super *s, struct ism_error *err)
{
	if (s->incompat & EXT_INCOMPAT_JOURNAL_DEV)
		return ism_error_set(err, -EOPNOTSUPP, NULL, EXT_SUPER_OFFSET,
		                     "it is the journal of another file system: all of it counts "
		                     "as used");
	if (s->incompat & ~(uint32_t)KNOWN_INCOMPAT)
		return unsupported(err, "incompatible", s->incompat & ~(uint32_t)KNOWN_INCOMPAT);
	/* bigalloc was once such a feature: a bitmap cannot be read without knowing them all */
	if (s->ro_compat & ~(uint32_t)KNOWN_RO_COMPAT)
		return unsupported(err, "read-only", s->ro_compat & ~(uint32_t)KNOWN_RO_COMPAT);
	if (s->compat & EXT_COMPAT_LAZY_BG)
		return unsupported(err, "compatible", EXT_COMPAT_LAZY_BG);
	return 0;
}

static int read_sizes(const uint8_t *raw, struct ext_super *s, struct ism_error *err)
{
	uint32_t log_block = le32_at(raw + 0x18), log_cluster = le32_at(raw + 0x1c);

	if (log_block > 6)
		return bad(err, "block size");
	s->block_size = 1024u << log_block;
	s->cluster_blocks = 1;
	s->first_data_block = le32_at(raw + 0x14);
	s->blocks_per_group = s->clusters_per_group = le32_at(raw + 0x20);
	if (s->ro_compat & EXT_RO_BIGALLOC) {
		if (log_cluster < log_block || log_cluster > 20 || s->first_data_block)
			return bad(err, "cluster size");
		s->cluster_blocks = 1u << (log_cluster - log_block);
		s->clusters_per_group = le32_at(raw + 0x24);
	}
	if (s->clusters_per_group < BLOCKS_PER_GROUP_MIN || s->clusters_per_group % 8 ||
	    s->clusters_per_group > 8 * s->block_size ||
	    s->blocks_per_group != (uint64_t)s->clusters_per_group * s->cluster_blocks)
		return bad(err, "blocks per group");
	s->blocks = le32_at(raw + 0x4);
	if (s->incompat & EXT_INCOMPAT_64BIT)
		s->blocks |= (uint64_t)le32_at(raw + 0x150) << 32;
	if (s->first_data_block > 1 || s->first_data_block >= s->blocks ||
	    (s->first_data_block && s->block_size != 1024) ||
	    s->blocks > (uint64_t)INT64_MAX / s->block_size)
		return bad(err, "number of blocks");
	return 0;
}

static int read_inode_sizes(const uint8_t *raw, struct ext_super *s, struct ism_error *err)
{
	bool old = le32_at(raw + 0x4c) == 0;
	uint64_t table;

	s->inodes_per_group = le32_at(raw + 0x28);
	s->inode_size = old ? 128 : le16_at(raw + 0x58);
	if (s->inode_size < 128 || s->inode_size > s->block_size ||
	    (s->inode_size & (s->inode_size - 1)))
		return bad(err, "inode size");
	table = (uint64_t)s->inodes_per_group * s->inode_size;
	if (!s->inodes_per_group || s->inodes_per_group > 8 * s->block_size)
		return bad(err, "inodes per group");
	s->itable_blocks = (uint32_t)(round_up_u64(table, s->block_size) / s->block_size);
	return 0;
}

static int read_groups(const uint8_t *raw, struct ext_super *s, struct ism_error *err)
{
	uint64_t data = s->blocks - s->first_data_block;
	uint64_t groups = round_up_u64(data, s->blocks_per_group) / s->blocks_per_group;

	s->desc_size = s->incompat & EXT_INCOMPAT_64BIT ? le16_at(raw + 0xfe) : 32;
	if (s->desc_size < (s->incompat & EXT_INCOMPAT_64BIT ? 64 : 32) || s->desc_size > 1024 ||
	    (s->desc_size & (s->desc_size - 1)))
		return bad(err, "descriptor size");
	if (groups > UINT32_MAX - 8192)
		return bad(err, "number of groups");
	s->groups = (uint32_t)groups;
	s->desc_per_block = s->block_size / s->desc_size;
	s->desc_blocks = (s->groups + s->desc_per_block - 1) / s->desc_per_block;
	s->old_desc_blocks = s->desc_blocks;
	if (s->incompat & EXT_INCOMPAT_META_BG)
		s->old_desc_blocks = le32_at(raw + 0x104);
	if (s->old_desc_blocks > s->desc_blocks)
		return bad(err, "first meta group");
	s->reserved_gdt = le16_at(raw + 0xce);
	if (s->reserved_gdt > s->block_size / 4)
		return bad(err, "reserved descriptor blocks");
	return 0;
}

static void read_names(const uint8_t *raw, struct ext_super *s)
{
	memcpy(s->uuid, raw + 0x68, 16);
	memcpy(s->label, raw + 0x78, 16);
	s->state = le16_at(raw + 0x3a);
	s->journal_inode = le32_at(raw + 0xe0);
	s->mmp_block = le64_at(raw + 0x168);
	s->backup_groups[0] = le32_at(raw + 0x24c);
	s->backup_groups[1] = le32_at(raw + 0x250);
	s->flex_groups = 1;
	if ((s->incompat & EXT_INCOMPAT_FLEX_BG) && raw[0x174] < 31)
		s->flex_groups = 1u << raw[0x174];
	s->has_csum = s->ro_compat & (EXT_RO_GDT_CSUM | EXT_RO_METADATA_CSUM);
	s->csum_seed = s->incompat & EXT_INCOMPAT_CSUM_SEED
	                       ? le32_at(raw + 0x270)
	                       : fs_crc32c(UINT32_MAX, s->uuid, sizeof(s->uuid));
}

int ext_super_parse(const uint8_t *raw, struct ext_super *ret, struct ism_error *err)
{
	struct ext_super s = { 0 };
	int r;

	if (le16_at(raw + 0x38) != 0xef53)
		return ism_error_set(err, -EBADMSG, NULL, EXT_SUPER_OFFSET,
		                     "there is no ext superblock: all of it counts as used");
	if (le32_at(raw + 0x4c) > 1)
		return unsupported(err, "revision", le32_at(raw + 0x4c));
	if (le32_at(raw + 0x4c) == 1) {
		s.compat = le32_at(raw + 0x5c);
		s.incompat = le32_at(raw + 0x60);
		s.ro_compat = le32_at(raw + 0x64);
	}
	r = check_features(&s, err);
	if (r < 0)
		return r;
	if (s.ro_compat & EXT_RO_METADATA_CSUM) {
		if (raw[0x175] != 1)
			return unsupported(err, "checksum type", raw[0x175]);
		if (fs_crc32c(UINT32_MAX, raw, 0x3fc) != le32_at(raw + 0x3fc))
			return bad(err, "checksum");
	}
	r = read_sizes(raw, &s, err);
	if (r >= 0)
		r = read_inode_sizes(raw, &s, err);
	if (r >= 0)
		r = read_groups(raw, &s, err);
	if (r < 0)
		return r;
	read_names(raw, &s);
	*ret = s;
	return 0;
}

bool ext_super_same_layout(const struct ext_super *a, const struct ext_super *b)
{
	const uint32_t changing = EXT_INCOMPAT_RECOVER;

	return a->blocks == b->blocks && a->block_size == b->block_size &&
	       a->cluster_blocks == b->cluster_blocks &&
	       a->first_data_block == b->first_data_block &&
	       a->blocks_per_group == b->blocks_per_group &&
	       a->inodes_per_group == b->inodes_per_group && a->inode_size == b->inode_size &&
	       a->desc_size == b->desc_size && a->old_desc_blocks == b->old_desc_blocks &&
	       a->reserved_gdt == b->reserved_gdt && a->has_csum == b->has_csum &&
	       a->csum_seed == b->csum_seed &&
	       (a->incompat & ~changing) == (b->incompat & ~changing) &&
	       memcmp(a->backup_groups, b->backup_groups, sizeof(a->backup_groups)) == 0;
}

static bool is_power_of(uint32_t v, uint32_t base)
{
	while (v > 1 && v % base == 0)
		v /= base;
	return v == 1;
}

bool ext_has_super(const struct ext_super *s, uint32_t group)
{
	if (group == 0)
		return true;
	if (s->compat & EXT_COMPAT_SPARSE_SUPER2)
		return group == s->backup_groups[0] || group == s->backup_groups[1];
	if (!(s->ro_compat & EXT_RO_SPARSE_SUPER))
		return true;
	return is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}
