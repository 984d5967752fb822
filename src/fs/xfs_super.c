/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The superblock of XFS: geometry and features. Spec: "XFS Algorithms & Data Structures",
 * Superblocks. */
#include "fs/xfs.h"

#include "base/cleanup.h"
#include "fs/verdict.h"

#define SUPER_LEN        512
#define SECTOR_MAX       32768
#define CRC_OFFSET       224
#define GROUP_BLOCKS_MIN 64
#define GROUPS_MAX       (1u << 20) /* 16 TiB of the smallest groups there are */

#define VERSION_KNOWN   0xfdf0u /* all bits of version 4 but the one for shared, read-only use */
#define VERSION_LOGV2   0x0400u
#define VERSION_MORE    0x8000u
#define FEATURES2_KNOWN 0x039bu /* lazy counters, attr2, parent, projid32, crc, ftype */

enum {
	RO_COMPAT_KNOWN = 0xf, /* finobt, rmapbt, reflink, inobtcount */
	/* ftype, sparse inodes, meta uuid, bigtime, needsrepair, nrext64, exchange-range, parent,
	 * metadir; 0x200 and above speak of zoned devices */
	INCOMPAT_KNOWN = 0x1ff,
	INCOMPAT_META_UUID = 0x4,
	INCOMPAT_NEEDSREPAIR = 0x10,
	LOG_INCOMPAT_KNOWN = 0x1,
};

bool xfs_crc_ok(const uint8_t *p, size_t len, size_t crc_offset)
{
	static const uint8_t none[4];
	uint32_t crc = fs_crc32c(UINT32_MAX, p, crc_offset);

	crc = fs_crc32c(crc, none, sizeof(none));
	crc = fs_crc32c(crc, p + crc_offset + 4, len - crc_offset - 4);
	return FS_UNCHECKED || ~crc == le32_at(p + crc_offset);
}

static bool is_power(uint32_t v, uint8_t log)
{
	return log < 32 && v == 1u << log;
}

static int bad_super(const struct xfs *x, struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, x->m->name, 0, "the XFS superblock %s", what);
}

static int check_sizes(struct xfs *x, const uint8_t *sb, struct ism_error *err)
{
	x->block_size = xfs_be32(sb + 4);
	x->sector_size = xfs_be16(sb + 102);
	if (x->block_size < 512 || x->block_size > 65536 || !is_power(x->block_size, sb[120]))
		return bad_super(x, err, "has an impossible block size");
	if (x->sector_size < 512 || x->sector_size > SECTOR_MAX ||
	    !is_power(x->sector_size, sb[121]) || x->sector_size > x->block_size)
		return bad_super(x, err, "has an impossible sector size");
	return 0;
}

static int check_groups(struct xfs *x, const uint8_t *sb, struct ism_error *err)
{
	uint64_t most, bytes;
	uint8_t log = sb[124];

	x->blocks = xfs_be64(sb + 8);
	x->ag_blocks = xfs_be32(sb + 84);
	x->ag_count = xfs_be32(sb + 88);
	if (x->ag_blocks < GROUP_BLOCKS_MIN || x->ag_count == 0 || log > 31 ||
	    (uint64_t)x->ag_blocks > (uint64_t)1 << log || x->ag_blocks <= (uint64_t)1 << log >> 1)
		return bad_super(x, err, "has impossible allocation groups");
	most = (uint64_t)x->ag_count * x->ag_blocks;
	if (x->blocks > most || x->blocks < most - x->ag_blocks + GROUP_BLOCKS_MIN)
		return bad_super(x, err, "has allocation groups that do not fit its size");
	if (mul_overflows(x->blocks, x->block_size, &bytes))
		return bad_super(x, err, "has an impossible size");
	if (x->ag_count > GROUPS_MAX)
		return ism_error_set(err, -EOPNOTSUPP, x->m->name, 0,
		                     "XFS with more than %u allocation groups is not read here",
		                     GROUPS_MAX);
	return 0;
}

/* Where the log lies; a block number is group and block of it, side by side. */
static int check_log(struct xfs *x, const uint8_t *sb, struct ism_error *err)
{
	uint64_t start = xfs_be64(sb + 48);
	uint64_t group = start >> sb[124], block = start & (((uint64_t)1 << sb[124]) - 1);

	x->log_blocks = xfs_be32(sb + 96);
	x->log_block = 0;
	if (start == 0)
		return 0;
	x->log_block = group * x->ag_blocks + block;
	if (group >= x->ag_count || block >= x->ag_blocks || x->log_blocks == 0 ||
	    x->log_blocks > x->ag_blocks - block || x->log_blocks > x->blocks ||
	    x->log_block > x->blocks - x->log_blocks)
		return bad_super(x, err, "has a log that is outside of its allocation group");
	return 0;
}

static const char *v5_forbids(struct xfs *x, const uint8_t *sb)
{
	uint32_t ro_compat = xfs_be32(sb + 212), incompat = xfs_be32(sb + 216);

	if (incompat & ~(uint32_t)INCOMPAT_KNOWN || ro_compat & ~(uint32_t)RO_COMPAT_KNOWN ||
	    xfs_be32(sb + 220) & ~(uint32_t)LOG_INCOMPAT_KNOWN)
		return "it uses features of XFS that are not known here";
	x->state = incompat & INCOMPAT_NEEDSREPAIR ? FS_DAMAGED : FS_CLEAN;
	if (incompat & INCOMPAT_NEEDSREPAIR)
		return "it is marked as damaged (run xfs_repair on it)";
	if (incompat & INCOMPAT_META_UUID)
		memcpy(x->meta_uuid, sb + 248, sizeof(x->meta_uuid));
	return NULL;
}

static const char *features_forbid(struct xfs *x, const uint8_t *sb)
{
	uint16_t version = xfs_be16(sb + 100);
	uint32_t features2 = xfs_be32(sb + 200), copy = xfs_be32(sb + 204);

	x->log_v2 = version & VERSION_LOGV2;
	/* The copy is where some old kernels had put them; both, one or the other are found. */
	if (version & VERSION_MORE && (features2 | copy) & ~FEATURES2_KNOWN)
		return "it uses features of XFS that are not known here";
	if (version & 0xfff0 & ~VERSION_KNOWN)
		return "it uses features of XFS that are not known here";
	if (x->v5)
		return v5_forbids(x, sb);
	return NULL;
}

static const char *state_forbids(struct xfs *x, const uint8_t *sb)
{
	x->state = FS_DAMAGED;
	if (sb[126])
		return "it was not made completely (mkfs.xfs was interrupted)";
	if (x->blocks * x->block_size > x->m->size)
		return "it is larger than its partition";
	x->state = FS_DIRTY;
	if (x->log_block == 0)
		return "its log lies on another device, so nobody knows here whether it was "
		       "unmounted cleanly";
	x->state = FS_CLEAN;
	return NULL;
}

/* A primary superblock is as long as a sector; which size it has is told inside. */
static int check_crc(const struct xfs *x, struct ism_error *err)
{
	_free_ uint8_t *sector = malloc(x->sector_size);
	int r;

	if (!sector)
		return ism_error_oom(err);
	r = medium_read_all(x->m, sector, x->sector_size, 0, err);
	if (r < 0)
		return r;
	if (!xfs_crc_ok(sector, x->sector_size, CRC_OFFSET))
		return bad_super(x, err, "has a wrong checksum");
	return 0;
}

int xfs_super_read(struct xfs *x, const char **ret_why, struct ism_error *err)
{
	uint8_t sb[SUPER_LEN];
	int r = medium_read_all(x->m, sb, sizeof(sb), 0, err);

	if (r < 0)
		return r;
	if (memcmp(sb, "XFSB", 4) != 0)
		return ism_error_set(err, -EBADMSG, x->m->name, 0, "this is not XFS");
	r = check_sizes(x, sb, err);
	if (r < 0)
		return r;
	x->v5 = (xfs_be16(sb + 100) & 0xf) == 5;
	if (!x->v5 && (xfs_be16(sb + 100) & 0xf) != 4)
		return ism_error_set(err, -EOPNOTSUPP, x->m->name, 0,
		                     "XFS of version %u is not read here",
		                     xfs_be16(sb + 100) & 0xf);
	r = x->v5 ? check_crc(x, err) : 0;
	if (r >= 0)
		r = check_groups(x, sb, err);
	if (r >= 0)
		r = check_log(x, sb, err);
	if (r < 0)
		return r;
	memcpy(x->uuid, sb + 32, sizeof(x->uuid));
	memcpy(x->meta_uuid, sb + 32, sizeof(x->meta_uuid));
	memcpy(x->label, sb + 108, 12);
	*ret_why = features_forbid(x, sb);
	if (!*ret_why)
		*ret_why = state_forbids(x, sb);
	return 0;
}
