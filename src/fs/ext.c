/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Allocation maps of ext2, ext3 and ext4: what the bitmaps call used, before and after the journal
 * is replayed in memory. Nothing is believed that is not consistent. */
#include "fs/ext.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "fs/names.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define MMP_CLEAN 0xff4d4d50u

/* As libblkid tells the three from each other. */
static const char *type_of(const struct ext_super *s)
{
	if ((s->incompat & ~(uint32_t)0x16) || (s->ro_compat & ~(uint32_t)0x7))
		return "ext4";
	return s->compat & EXT_COMPAT_HAS_JOURNAL ? "ext3" : "ext2";
}

static int fill_facts(const struct ext_super *s, struct fs_facts *facts)
{
	facts->type = type_of(s);
	facts->size = s->blocks * s->block_size;
	facts->block_size = s->block_size * s->cluster_blocks;
	facts->uuid = fs_uuid_text(s->uuid);
	return facts->uuid ? fs_label(s->label, sizeof(s->label), &facts->label) : -ENOMEM;
}

/* Return: why what the superblock says of its own state forbids to believe the bitmaps, or NULL. */
static const char *state_forbids(const struct ext_super *s, enum fs_state *ret)
{
	*ret = FS_DAMAGED;
	if (s->state & ~(uint32_t)EXT_STATE_VALID)
		return "errors are recorded in this file system (run e2fsck -f on it)";
	*ret = FS_DIRTY;
	if (!(s->state & EXT_STATE_VALID))
		return "it was not unmounted cleanly (run e2fsck on it)";
	return NULL;
}

/* Multiple mount protection: who uses it says so in this block. Return: as state_forbids(). */
static int mmp_forbids(struct ext *e, const char **ret_why)
{
	uint8_t mmp[8];
	int r;

	if (!(e->s.incompat & EXT_INCOMPAT_MMP) || !e->s.mmp_block)
		return 0;
	if (e->s.mmp_block >= e->s.blocks) {
		*ret_why = "its mount protection block is outside of it (run e2fsck on it)";
		return 0;
	}
	r = ext_read(e, mmp, sizeof(mmp), e->s.mmp_block * e->s.block_size);
	if (view_fatal(r))
		return r;
	if (r < 0 || le32_at(mmp) != 0x004d4d50)
		*ret_why = "its mount protection block is damaged (run e2fsck on it)";
	else if (le32_at(mmp + 4) != MMP_CLEAN)
		*ret_why = "its mount protection says that it is in use, perhaps by another "
			   "computer";
	return ext_add_blocks(e, e->s.mmp_block, 1);
}

/* The superblock as the journal leaves it decides how the bitmaps that it leaves are read. */
static int take_replayed_super(struct ext *e, const char **ret_why)
{
	uint64_t block = EXT_SUPER_OFFSET / e->s.block_size;
	struct ext_super after;
	enum fs_state ignored;
	const uint8_t *raw;
	int r = ext_block(e, &e->desc_window, block, 1, &raw);

	if (r < 0) {
		*ret_why = "its superblock cannot be read from the journal";
		return view_fatal(r) ? r : 0;
	}
	r = ext_super_parse(raw + EXT_SUPER_OFFSET % e->s.block_size, &after, NULL);
	if (r < 0)
		*ret_why = "the journal would leave a damaged superblock (run e2fsck on it)";
	else if (!ext_super_same_layout(&e->s, &after))
		*ret_why = "it was being resized (run e2fsck on it)";
	else
		*ret_why = state_forbids(&after, &ignored);
	return 0;
}

/* What is used after the journal is replayed, and what was before. */
static int map_dirty(struct ext *e, const struct ext_replay *replay, const char **ret_why)
{
	int r;

	e->replay = replay;
	r = take_replayed_super(e, ret_why);
	if (r < 0 || *ret_why)
		return r;
	r = ext_groups_map(e);
	e->replay = NULL;
	e->lenient = true;
	if (r >= 0)
		r = ext_groups_map(e);
	return r;
}

static int map_by_journal(struct ext *e, struct fs_facts *facts)
{
	struct ext_replay replay = { 0 };
	const char *why = NULL;
	int r = 0;

	if (e->s.incompat & EXT_INCOMPAT_RECOVER)
		facts->state = FS_DIRTY;
	if (facts->state == FS_DIRTY && !(e->s.compat & EXT_COMPAT_HAS_JOURNAL))
		why = "it needs a journal that it does not have (run e2fsck on it)";
	else if (facts->state == FS_DIRTY && !e->s.journal_inode)
		why = "its journal lies on another device and was not replayed (mount it once, or "
		      "run e2fsck on it)";
	else if ((e->s.compat & EXT_COMPAT_HAS_JOURNAL) && e->s.journal_inode)
		r = ext_journal_read(e, &replay, &why);
	if (r == 1)
		r = map_dirty(e, &replay, &why);
	else if (r == 0 && !why)
		r = ext_groups_map(e);
	ext_replay_clear(&replay);
	if (r >= 0 && why)
		r = fs_all_used(facts, facts->state == FS_CLEAN ? FS_DAMAGED : facts->state, "%s",
		                why);
	return r;
}

/* One sentence of what was odd; the groups it speaks of are in the map as wholly used. */
static int say_oddities(const struct ext *e, struct fs_facts *facts)
{
	uint32_t bad = e->bad_descs, bitmaps = e->bad_bitmaps, eio = e->unreadable;

	if (facts->all_used)
		return 0;
	if (bad || bitmaps || eio || e->miscounted)
		return fs_say(facts, FS_DAMAGED,
		              "block groups with damaged descriptors: %u, damaged bitmaps: %u, "
		              "unreadable bitmaps: %u, wrong free counts: %u; what is not certain "
		              "counts as used (e2fsck -f mends it)",
		              bad, bitmaps, eio, e->miscounted);
	if (facts->state == FS_DIRTY)
		return fs_say(
			facts, FS_DIRTY,
			"it was not unmounted cleanly: used is what its journal says, and what "
			"was used before");
	return 0;
}

static int read_map(struct ext *e, struct fs_facts *facts)
{
	enum fs_state state;
	const char *why = state_forbids(&e->s, &state);
	int r;

	if (why)
		return fs_all_used(facts, state, "%s", why);
	if (facts->size > e->m->size)
		return fs_all_used(facts, FS_DAMAGED,
		                   "it is larger than the partition that holds it");
	r = mmp_forbids(e, &why);
	if (r < 0)
		return r;
	if (why)
		return fs_all_used(facts, FS_DIRTY, "%s", why);
	/* The boot block and the superblock, which no bitmap need speak of. */
	r = fs_map_add(e->map, 0, MAX(EXT_SUPER_OFFSET + EXT_SUPER_LEN, e->s.block_size));
	if (r >= 0)
		r = map_by_journal(e, facts);
	return r < 0 ? r : say_oddities(e, facts);
}

static int ext_map_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                        struct ism_error *err)
{
	struct ext e = { .m = m, .map = map };
	uint8_t raw[EXT_SUPER_LEN];
	int r = medium_read_all(m, raw, sizeof(raw), EXT_SUPER_OFFSET, err);

	if (r < 0)
		return view_fatal(r) ? r : ism_error_prefix(err, "cannot read the ext superblock");
	r = ext_super_parse(raw, &e.s, err);
	if (r < 0)
		return r;
	r = fill_facts(&e.s, facts);
	if (r >= 0)
		r = read_map(&e, facts);
	free(e.desc_window.buf);
	free(e.bitmap_window.buf);
	free(e.overlay);
	if (r == -ENOMEM)
		return ism_error_oom(err);
	return r == -ECANCELED ? ism_error_canceled(err) : r;
}

const struct fs_driver fs_driver_ext = {
	.types = (const char *const[]){ "ext2", "ext3", "ext4", "ext4dev", NULL },
	.read = ext_map_read,
};
