/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What firmware would find to start: boot code in sector 0 (BIOS), EFI/BOOT/BOOT*.EFI in a FAT file
 * system (UEFI 2.10 §3.5), images in the El Torito catalog. */
#include "boot/loaders.h"

#include "fs/lookup.h"
#include "table/bpb.h"

/* Firmware tries the system partition first, then whatever it can mount; a table with more FAT
 * partitions than this is no boot medium. */
#define FAT_PARTITIONS_MAX 16

static const char *const loader_paths[] = {
	"EFI/BOOT/BOOTX64.EFI",
	"EFI/BOOT/BOOTIA32.EFI",
	"EFI/BOOT/BOOTAA64.EFI",
};

static void answer(struct media_boots *b, size_t loader, enum media_answer a)
{
	enum media_answer *field = loader == 0   ? &b->uefi_x64
	                           : loader == 1 ? &b->uefi_ia32
	                                         : &b->uefi_aa64;

	/* One "yes" decides; "not known" is lost to no "no". */
	if (*field != MEDIA_YES && (a == MEDIA_YES || *field == MEDIA_NO))
		*field = a;
}

/* Add what the FAT file system at @offset can start; it may be none at all. */
static int look_in_fat(const struct view *v, uint64_t offset, struct media_boots *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(loader_paths); i++) {
		struct found_file file;
		int r = fat_find(v, offset, loader_paths[i], &file);

		if (view_fatal(r))
			return r;
		if (r == 1 && !file.is_directory && file.size)
			answer(ret, i, MEDIA_YES);
		else if (r == -ENODATA || (r < 0 && r != -ERANGE && r != -EBADMSG))
			answer(ret, i, MEDIA_NOT_KNOWN);
	}
	return 0;
}

/* May an entry of this type hold a file system that UEFI reads? Its type says "no" only for what is
 * certainly something else. */
static bool may_be_fat(const struct table *t, const struct table_entry *e)
{
	static const char *const others[] = { "0x05", "0x0f", "0x82", "0x83",
		                              "0x85", "0x8e", "0xee", "0xfd" };
	const char *name = table_entry_type_name(t, e);

	if (!e->size || e->extended || t->type == TABLE_APM)
		return false;
	if (t->type == TABLE_GPT)
		return !name || strncmp(name, "EFI", 3) == 0 ||
		       strcmp(name, "Microsoft basic data") == 0;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(e->type, others[i]) == 0)
			return false;
	return true;
}

static int look_for_uefi(const struct view *v, const struct table *t, struct media_boots *ret)
{
	size_t looked = 0;
	int r = 0;

	if (t->type == TABLE_NONE)
		return look_in_fat(v, 0, ret);
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n && r == 0; i++)
			if (may_be_fat(t, &t->entries[i]) && looked++ < FAT_PARTITIONS_MAX)
				r = look_in_fat(v, t->entries[i].offset, ret);
	return r;
}

static bool contains(const uint8_t *p, size_t len, const char *text)
{
	return memmem(p, len, text, strlen(text)) != NULL;
}

static bool has_active(const struct table *t)
{
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n; i++)
			if (t->entries[i].bootable)
				return true;
	return false;
}

static bool has_bios_partition(const struct table *t)
{
	for (; t; t = t->also)
		for (size_t i = 0; i < t->n; i++) {
			const char *name = table_entry_type_name(t, &t->entries[i]);

			if (name && strcmp(name, "BIOS boot") == 0)
				return true;
		}
	return false;
}

/* Partitioning tools put code into sector 0 that only says that there is nothing to start, so code
 * alone is no "yes": it also takes somewhere to go on. */
static enum media_answer look_for_bios(const struct view *v, const struct table *t)
{
	uint8_t s[512];

	if (view_read(v, s, sizeof(s), 0) < 0)
		return MEDIA_NOT_KNOWN;
	if (s[510] != 0x55 || s[511] != 0xaa || bytes_are_zero(s, 440))
		return MEDIA_NO;
	if (t->type == TABLE_NONE)
		/* mkfs.fat's code says "This is not a bootable disk". */
		return contains(s, sizeof(s), "not a bootable") ? MEDIA_NO : MEDIA_NOT_KNOWN;
	if (contains(s, 440, "GRUB") || contains(s, 440, "isolinux") || has_active(t) ||
	    has_bios_partition(t))
		return MEDIA_YES;
	return MEDIA_NOT_KNOWN;
}

int loaders_on_disk(const struct view *v, const struct table *t, struct media_boots *ret)
{
	*ret = (struct media_boots){ look_for_bios(v, t), MEDIA_NO, MEDIA_NO, MEDIA_NO };
	return look_for_uefi(v, t, ret);
}

int loaders_on_disc(const struct view *v, const struct iso9660 *iso, struct media_boots *ret)
{
	enum media_answer first = MEDIA_NO;
	int r = 0;

	if (iso->eltorito && !iso->catalog_known)
		first = MEDIA_NOT_KNOWN;
	*ret = (struct media_boots){ first, first, first, first };
	for (size_t i = 0; i < iso->n_boot && r == 0; i++) {
		const struct eltorito_entry *e = &iso->boot[i];

		if (!e->bootable)
			continue;
		if (e->platform == ELTORITO_BIOS)
			ret->bios = MEDIA_YES;
		else if (e->platform == ELTORITO_EFI)
			r = look_in_fat(v, e->offset, ret);
	}
	return r;
}
