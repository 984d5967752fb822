/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The superblock of btrfs: geometry, features, where the trees begin. Spec: the "On-disk format"
 * page of the btrfs documentation. */
#include "fs/btrfs.h"

#include "fs/verdict.h"
#include "medium/view.h"

enum {
	FLAGS_KNOWN = 0x3, /* written, relocated; and: */
	/* mixed backrefs and groups, subvolumes, compression, big metadata, extended irefs,
	 * raid56, skinny metadata, no holes, metadata uuid, raid1c34; simple quotas */
	INCOMPAT_KNOWN = 0x10fff,
	INCOMPAT_MIXED_BACKREF = 0x1,
	INCOMPAT_METADATA_UUID = 0x400,
	RO_COMPAT_KNOWN = 0xf, /* free space tree and its validity, verity, block group tree */
	RO_COMPAT_GROUP_TREE = 0x8,
};
#define FLAG_SEEDING  ((uint64_t)1 << 32)
#define SECOND_MIRROR (64 * MIB)

static int bad_super(const struct btrfs *b, struct ism_error *err, const char *what)
{
	return ism_error_set(err, -EBADMSG, b->m->name, BTRFS_SUPER_OFFSET,
	                     "the btrfs superblock %s", what);
}

static bool is_size(uint32_t size)
{
	return size >= 4096 && size <= 65536 && (size & (size - 1)) == 0;
}

static int check_sizes(struct btrfs *b, struct ism_error *err)
{
	const uint8_t *s = b->super;

	b->sector_size = le32_at(s + 144);
	b->node_size = le32_at(s + 148);
	b->generation = le64_at(s + 72);
	b->devices = le64_at(s + 136);
	b->devid = le64_at(s + 201);
	b->size = le64_at(s + 209);
	if (!is_size(b->sector_size) || !is_size(b->node_size) || b->node_size < b->sector_size)
		return bad_super(b, err, "has impossible block sizes");
	if (b->devices == 0 || b->size < BTRFS_SUPER_OFFSET + BTRFS_SUPER_LEN)
		return bad_super(b, err, "has an impossible size");
	if (le32_at(s + 160) > BTRFS_SYS_MAX)
		return bad_super(b, err, "has an impossible list of system chunks");
	if (s[198] >= BTRFS_LEVELS_MAX || s[199] >= BTRFS_LEVELS_MAX)
		return bad_super(b, err, "has impossible trees");
	return 0;
}

static void take_roots(struct btrfs *b)
{
	const uint8_t *s = b->super;

	b->root_tree =
		(struct btrfs_root){ BTRFS_ROOT_TREE, le64_at(s + 80), b->generation, s[198] };
	b->chunk_tree =
		(struct btrfs_root){ BTRFS_CHUNK_TREE, le64_at(s + 88), le64_at(s + 164), s[199] };
	memcpy(b->fsid, s + 32, 16);
	memcpy(b->node_fsid, le64_at(s + 188) & INCOMPAT_METADATA_UUID ? s + 571 : s + 32, 16);
}

/* Return: why the trees must not be believed, or NULL. */
static const char *super_forbids(struct btrfs *b, enum fs_state *ret)
{
	const uint8_t *s = b->super;
	uint64_t incompat = le64_at(s + 188), ro_compat = le64_at(s + 180);

	*ret = FS_CLEAN;
	b->has_group_tree = ro_compat & RO_COMPAT_GROUP_TREE;
	if (incompat & ~(uint64_t)INCOMPAT_KNOWN || ro_compat & ~(uint64_t)RO_COMPAT_KNOWN ||
	    !(incompat & INCOMPAT_MIXED_BACKREF))
		return "it uses features of btrfs that are not known here";
	*ret = FS_DAMAGED;
	if (le64_at(s + 56) & ~(FLAGS_KNOWN | FLAG_SEEDING))
		return "it is marked as damaged, or a change of all of it was interrupted (run btrfs "
		       "check on it)";
	if (b->size > b->m->size)
		return "it is larger than its partition";
	*ret = FS_DIRTY;
	if (le64_at(s + 96) != 0)
		return "it was not unmounted cleanly, and its log was not replayed (mount and unmount "
		       "it once)";
	return NULL;
}

/* A copy of the superblock that is newer means that the first one was lost and an old one found. */
static int check_mirror(struct btrfs *b, enum fs_state *ret, const char **ret_why)
{
	uint8_t copy[BTRFS_SUPER_LEN];
	int r;

	if (b->size < SECOND_MIRROR + BTRFS_SUPER_LEN)
		return 0;
	r = medium_read_all(b->m, copy, sizeof(copy), SECOND_MIRROR, NULL);
	if (r < 0)
		return view_fatal(r) ? r : 0;
	if (memcmp(copy + 32, b->fsid, 16) != 0 || le64_at(copy + 48) != SECOND_MIRROR ||
	    memcmp(copy + 64, "_BHRfS_M", 8) != 0 || le16_at(copy + 196) != b->csum_type ||
	    !btrfs_csum_ok(b, copy, sizeof(copy)) || le64_at(copy + 72) <= b->generation)
		return 0;
	*ret = FS_DAMAGED;
	*ret_why = "a copy of its superblock is newer than the superblock (run btrfs check on it)";
	return 0;
}

int btrfs_super_read(struct btrfs *b, enum fs_state *ret_state, const char **ret_why,
                     struct ism_error *err)
{
	int r = medium_read_all(b->m, b->super, sizeof(b->super), BTRFS_SUPER_OFFSET, err);

	if (r < 0)
		return r;
	if (memcmp(b->super + 64, "_BHRfS_M", 8) != 0 ||
	    le64_at(b->super + 48) != BTRFS_SUPER_OFFSET)
		return ism_error_set(err, -EBADMSG, b->m->name, BTRFS_SUPER_OFFSET,
		                     "this is not btrfs");
	b->csum_type = le16_at(b->super + 196);
	if (b->csum_type > 3)
		return ism_error_set(err, -EOPNOTSUPP, b->m->name, BTRFS_SUPER_OFFSET,
		                     "btrfs with checksums of type %u is not read here",
		                     b->csum_type);
	if (b->csum_type == 2)
		b->sha256 = hash_new("sha256", err);
	if (b->csum_type == 2 && !b->sha256)
		return -ENOMEM;
	if (!btrfs_csum_ok(b, b->super, sizeof(b->super)))
		return bad_super(b, err, "has a wrong checksum");
	r = check_sizes(b, err);
	if (r < 0)
		return r;
	take_roots(b);
	*ret_why = super_forbids(b, ret_state);
	return *ret_why ? 0 : check_mirror(b, ret_state, ret_why);
}
