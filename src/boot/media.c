/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What kind of bootable medium an image is: from its partition table, its ISO 9660 and UDF
 * descriptors, its El Torito catalog, and the names of a few files. */
#include "boot/media.h"

#include "boot/loaders.h"
#include "fs/lookup.h"
#include "table/bpb.h"

static bool is_blank(const struct view *v)
{
	uint8_t bytes[4096];

	for (uint64_t at = 0; at < 64 * KIB; at += sizeof(bytes)) {
		int r = view_read(v, bytes, sizeof(bytes), at);

		if (r < 0)
			return at > 0 && (r == -ERANGE || r == -ENODATA);
		if (!bytes_are_zero(bytes, sizeof(bytes)))
			return false;
	}
	return true;
}

/* Is any of @names there? Not known if one could not be looked for. */
static int find_any(const struct view *v, const struct iso9660 *iso, const struct udf *udf,
                    const char *const *names, size_t n, const char **ret)
{
	bool unknown = false;

	*ret = NULL;
	for (size_t i = 0; i < n; i++) {
		struct found_file file;
		int r = udf ? udf_find(v, udf, names[i], &file) : 0;

		if (r == 0 || (r < 0 && !view_fatal(r))) {
			unknown |= r < 0;
			r = iso9660_find(v, iso, names[i], &file);
		}
		if (view_fatal(r))
			return r;
		if (r == 1) {
			*ret = names[i];
			return MEDIA_YES;
		}
		unknown |= r < 0;
	}
	return unknown ? MEDIA_NOT_KNOWN : MEDIA_NO;
}

/* Setup's own image beside its boot manager or an UEFI loader. On discs for two architectures
 * "sources" lies one folder deeper. */
static int look_for_windows(const struct view *v, struct media_facts *f)
{
	static const char *const images[] = {
		"sources/boot.wim",        "sources/install.wim",     "sources/install.esd",
		"sources/install.swm",     "x64/sources/boot.wim",    "x86/sources/boot.wim",
		"x64/sources/install.wim", "x64/sources/install.esd",
	};
	static const char *const loaders[] = {
		"bootmgr",
		"bootmgr.efi",
		"efi/boot/bootx64.efi",
		"efi/boot/bootaa64.efi",
		"efi/boot/bootia32.efi",
	};
	struct udf udf;
	const char *loader;
	int has_udf = f->iso.udf ? udf_open(v, &udf) : 0;
	int r;

	if (view_fatal(has_udf))
		return has_udf;
	r = find_any(v, &f->iso, has_udf == 1 ? &udf : NULL, images, ARRAY_LEN(images),
	             &f->windows_image);
	if (r == MEDIA_YES)
		r = find_any(v, &f->iso, has_udf == 1 ? &udf : NULL, loaders, ARRAY_LEN(loaders),
		             &loader);
	if (r < 0)
		return r;
	/* What ISO 9660 says is a stub where UDF has the files. */
	f->windows = r == MEDIA_NO && has_udf < 0 ? MEDIA_NOT_KNOWN : (enum media_answer)r;
	return 0;
}

static void check_volume_size(struct media_facts *f)
{
	if (f->iso.present && f->size != ISM_SIZE_UNKNOWN && f->iso.volume_size > f->size)
		f->missing = f->iso.volume_size - f->size;
}

static bool has_partitions(const struct table *t)
{
	for (; t; t = t->also)
		if (t->n || t->type == TABLE_GPT)
			return true;
	return false;
}

static int detect_iso(const struct view *v, struct media_facts *f)
{
	int r;

	f->kind = MEDIA_ISO;
	f->hybrid = has_partitions(f->table) || f->disk.bios == MEDIA_YES;
	check_volume_size(f);
	r = loaders_on_disc(v, &f->iso, &f->disc);
	return r < 0 ? r : look_for_windows(v, f);
}

static int detect(const struct view *v, struct media_facts *f)
{
	int r = iso9660_read(v, &f->iso);

	if (r == 0)
		r = loaders_on_disk(v, f->table, &f->disk);
	if (r < 0)
		return r;
	if (f->iso.present || f->iso.udf)
		return detect_iso(v, f);
	f->windows = MEDIA_NO;
	f->disc = (struct media_boots){ MEDIA_NO, MEDIA_NO, MEDIA_NO, MEDIA_NO };
	if (f->table->type != TABLE_NONE)
		f->kind = MEDIA_DISK;
	else if (fs_starts_at(v, 0))
		f->kind = MEDIA_FILE_SYSTEM;
	else
		f->kind = is_blank(v) ? MEDIA_BLANK : MEDIA_UNKNOWN;
	return 0;
}

int media_detect(struct span head, uint64_t size, struct medium *random, struct media_facts *ret,
                 struct ism_error *err)
{
	struct view v = { head, random, size };
	struct media_facts f = { .size = size };
	int r = table_read_view(&v, &f.table, err);

	if (r < 0)
		return r;
	r = detect(&v, &f);
	if (r < 0) {
		media_facts_clear(&f);
		return r == -ECANCELED ? ism_error_canceled(err) : ism_error_oom(err);
	}
	*ret = f;
	return 0;
}

void media_facts_clear(struct media_facts *f)
{
	f->table = table_free(f->table);
}

const char *media_kind_name(enum media_kind kind)
{
	static const char *const names[] = {
		[MEDIA_UNKNOWN] = "unknown",
		[MEDIA_BLANK] = "blank",
		[MEDIA_FILE_SYSTEM] = "file_system",
		[MEDIA_DISK] = "disk",
		[MEDIA_ISO] = "iso",
	};

	return names[kind];
}
