/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Superblock and checkpoint of F2FS. Spec: the kernel's f2fs.rst, and the layout in its f2fs_fs.h.
 */
#include "fs/f2fs.h"

#include <isa-l/crc.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define SUPER_OFFSET  1024
#define SUPER_CRC     3068
#define DEVICES       2201 /* paths of the devices of a file system on several */
#define PAYLOAD_MAX   (F2FS_SEG_BLOCKS - 8)
#define CP_HEADER_LEN 192
#define CP_CRC_MAX    (F2FS_BLOCK - 4)

enum {
	FEATURE_SB_CHKSUM = 0x800,
	/* All that is known but zoned devices and read-only images: encryption to compression */
	FEATURES_KNOWN = 0x3ffd,
	/* error, fsck needed, quota fsck needed, disabled, disabled quickly, being resized */
	CP_FORBIDDEN = 0x8 | 0x10 | 0x800 | 0x1000 | 0x2000 | 0x4000,
	CP_KNOWN = 0x7fff,
};

/* The CRC-32 of zlib, begun with the magic and not inverted at its end. */
static uint32_t f2fs_crc(uint32_t crc, const void *p, size_t len)
{
	return ~crc32_gzip_refl(~crc, p, len);
}

int f2fs_read(const struct f2fs *f, void *buf, uint32_t addr, uint32_t n)
{
	int r;

	if (medium_stopped(f->m))
		return -ECANCELED;
	r = medium_read_all(f->m, buf, (size_t)n * F2FS_BLOCK, (uint64_t)addr * F2FS_BLOCK, NULL);
	return r < 0 ? view_fatal(r) ? r : 0 : 1;
}

static int bad_super(const struct f2fs *f, struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, f->m->name, SUPER_OFFSET, "the F2FS superblock %s",
	                     what);
}

static int check_units(const struct f2fs *f, struct ism_error *err)
{
	const uint8_t *s = f->super;

	if (le32_at(s) != F2FS_MAGIC)
		return ism_error_set(err, -EBADMSG, f->m->name, SUPER_OFFSET, "this is not F2FS");
	if (le32_at(s + 16) != 12)
		return ism_error_set(
			err, -EOPNOTSUPP, f->m->name, SUPER_OFFSET,
			"F2FS with other blocks than those of 4096 bytes is not read here");
	if (le32_at(s + 20) != 9 || le32_at(s + 8) > 12 || le32_at(s + 8) + le32_at(s + 12) != 12)
		return bad_super(f, err, "has impossible sizes");
	if (f->features & FEATURE_SB_CHKSUM &&
	    (le32_at(s + 32) != SUPER_CRC ||
	     f2fs_crc(F2FS_MAGIC, s, SUPER_CRC) != le32_at(s + SUPER_CRC)))
		return bad_super(f, err, "has a wrong checksum");
	return 0;
}

/* Areas follow each other without gaps, and end within the file system. */
static bool are_areas_right(const struct f2fs *f)
{
	const uint8_t *s = f->super;
	uint64_t at = le32_at(s + 72);

	if (at < 2 || le32_at(s + 52) < 2 || f->sit_segments < 2 || f->sit_segments % 2)
		return false;
	for (uint32_t i = 0; i < 4; i++) { /* checkpoint, SIT, NAT, SSA */
		if (le32_at(s + 76 + (size_t)i * 4) != at)
			return false;
		at += (uint64_t)le32_at(s + 52 + (size_t)i * 4) * F2FS_SEG_BLOCKS;
	}
	if (f->main_start != at || f->main_segments == 0)
		return false;
	at += (uint64_t)f->main_segments * F2FS_SEG_BLOCKS;
	return at <= f->blocks && f->blocks <= UINT32_MAX;
}

static const char *super_forbids(const struct f2fs *f, const uint8_t *copy, enum fs_state *ret)
{
	*ret = FS_CLEAN;
	if (f->super[DEVICES])
		return "it is spread over several devices";
	if (f->features & ~(uint32_t)FEATURES_KNOWN)
		return "it uses features of F2FS that are not known here";
	*ret = FS_DAMAGED;
	if (f->blocks > f->m->size / F2FS_BLOCK)
		return "it is larger than its partition";
	if (copy && le32_at(copy) == F2FS_MAGIC && memcmp(copy + 8, f->super + 8, 100) != 0)
		return "its two superblocks differ (run fsck.f2fs on it)";
	*ret = FS_CLEAN;
	return NULL;
}

int f2fs_super_read(struct f2fs *f, enum fs_state *ret_state, const char **ret_why,
                    struct ism_error *err)
{
	uint8_t copy[F2FS_SUPER_LEN];
	const uint8_t *s = f->super;
	int r = medium_read_all(f->m, f->super, sizeof(f->super), SUPER_OFFSET, err);

	if (r < 0)
		return r;
	f->features = le32_at(s + 2180);
	r = check_units(f, err);
	if (r < 0)
		return r;
	f->blocks = le64_at(s + 36);
	f->sit_segments = le32_at(s + 56);
	f->main_segments = le32_at(s + 68);
	f->cp_start = le32_at(s + 76);
	f->sit_start = le32_at(s + 80);
	f->main_start = le32_at(s + 92);
	f->cp_payload = le32_at(s + 1664);
	if (!are_areas_right(f) || f->cp_payload > PAYLOAD_MAX)
		return bad_super(f, err, "has areas that do not fit each other");
	r = medium_read_all(f->m, copy, sizeof(copy), F2FS_BLOCK + SUPER_OFFSET, NULL);
	if (view_fatal(r))
		return r;
	*ret_why = super_forbids(f, r < 0 ? NULL : copy, ret_state);
	return 0;
}

static bool is_cp_block(const uint8_t *cp)
{
	uint32_t at = le32_at(cp + 164), crc;

	if (at < CP_HEADER_LEN || at > CP_CRC_MAX || at % 4)
		return false;
	crc = f2fs_crc(F2FS_MAGIC, cp, at);
	if (at < CP_CRC_MAX)
		crc = f2fs_crc(crc, cp + at + 4, F2FS_BLOCK - at - 4);
	return FS_UNCHECKED || crc == le32_at(cp + at);
}

/* A pack is valid when its first and last block are, and tell the same version. */
static int read_pack(const struct f2fs *f, uint32_t addr, uint8_t *buf, uint64_t *ret_version)
{
	uint8_t last[F2FS_BLOCK];
	uint32_t n;
	int r = f2fs_read(f, buf, addr, 1 + f->cp_payload);

	if (r <= 0)
		return r;
	n = le32_at(buf + 136);
	if (!is_cp_block(buf) || n < 2 + f->cp_payload || n > F2FS_SEG_BLOCKS)
		return 0;
	r = f2fs_read(f, last, addr + n - 1, 1);
	if (r <= 0)
		return r;
	*ret_version = le64_at(buf);
	return is_cp_block(last) && le64_at(last) == *ret_version;
}

static const char *cp_forbids(const struct f2fs *f, enum fs_state *ret)
{
	*ret = FS_DAMAGED;
	if (f->cp_flags & CP_FORBIDDEN)
		return "it is marked as damaged or as being changed (run fsck.f2fs on it)";
	*ret = FS_CLEAN;
	if (f->cp_flags & ~(uint32_t)CP_KNOWN)
		return "its checkpoint uses features of F2FS that are not known here";
	*ret = FS_DIRTY;
	if (!(f->cp_flags & F2FS_CP_UMOUNT))
		return "it was not unmounted cleanly (mount and unmount it once)";
	*ret = FS_CLEAN;
	return NULL;
}

int f2fs_checkpoint_read(struct f2fs *f, enum fs_state *ret_state, const char **ret_why)
{
	size_t len = (size_t)(1 + f->cp_payload) * F2FS_BLOCK;
	_free_ uint8_t *second = malloc(len);
	uint64_t versions[2] = { 0 };
	int valid[2];

	f->cp = malloc(len);
	if (!f->cp || !second)
		return -ENOMEM;
	valid[0] = read_pack(f, f->cp_start, f->cp, &versions[0]);
	valid[1] = valid[0] < 0 ? 0
	                        : read_pack(f, f->cp_start + F2FS_SEG_BLOCKS, second, &versions[1]);
	if (valid[0] < 0 || valid[1] < 0)
		return MIN(valid[0], valid[1]);
	if (!valid[0] && !valid[1]) {
		*ret_state = FS_DAMAGED;
		*ret_why = "neither of its checkpoints is whole (run fsck.f2fs on it)";
		return 0;
	}
	f->cp_addr = f->cp_start;
	if (valid[1] && (!valid[0] || (int64_t)(versions[1] - versions[0]) > 0)) {
		memcpy(f->cp, second, len);
		f->cp_addr += F2FS_SEG_BLOCKS;
	}
	f->cp_flags = le32_at(f->cp + 132);
	f->cp_blocks = le32_at(f->cp + 136);
	f->valid_blocks = le64_at(f->cp + 16);
	f->valid_nodes = le32_at(f->cp + 144);
	*ret_why = cp_forbids(f, ret_state);
	return 0;
}
