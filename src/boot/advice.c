/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What `write` is to do with an image, and when a plain copy is refused because it would not boot.
 */
#include "boot/media.h"

#include <stdarg.h>

/* What mkisofs pads a volume with, for drives that read ahead: an image may lack it and lose
 * nothing. */
#define PADDING_MAX  (150 * (uint64_t)ISO9660_SECTOR)
#define ROUNDING_MAX MIB /* to a whole cylinder */

static bool none_boots(const struct media_boots *b)
{
	return b->bios == MEDIA_NO && b->uefi_x64 == MEDIA_NO && b->uefi_ia32 == MEDIA_NO &&
	       b->uefi_aa64 == MEDIA_NO;
}

static bool uefi_boots(const struct media_boots *b)
{
	return b->uefi_x64 == MEDIA_YES || b->uefi_ia32 == MEDIA_YES || b->uefi_aa64 == MEDIA_YES;
}

static enum media_as choose(const struct media_facts *f)
{
	if (f->kind != MEDIA_ISO)
		return MEDIA_AS_RAW;
	if (f->windows == MEDIA_YES)
		return MEDIA_AS_WINDOWS;
	if (f->iso.eltorito && none_boots(&f->disk))
		return MEDIA_AS_FILES;
	return MEDIA_AS_RAW;
}

static const char *why_raw(const struct media_facts *f)
{
	switch (f->kind) {
	case MEDIA_ISO:
		if (none_boots(&f->disk))
			return "an ISO with nothing to boot";
		if (f->hybrid)
			return "a hybrid ISO, made to be copied to a stick as it is";
		return "an ISO of which too little can be seen before it is read";
	case MEDIA_DISK:
		return "an image of a whole disk";
	case MEDIA_FILE_SYSTEM:
		return "a file system without a partition table";
	case MEDIA_BLANK:
	case MEDIA_UNKNOWN:
		break;
	}
	return "nothing that is recognised: copied as it is";
}

static char *explain(const struct media_facts *f, enum media_as as)
{
	switch (as) {
	case MEDIA_AS_WINDOWS:
		return text_format("a Windows installation medium (%s)", f->windows_image);
	case MEDIA_AS_FILES:
		return text_format("an ISO that boots from a disc alone, with nothing in it that a "
		                   "BIOS or UEFI starts from a stick");
	case MEDIA_AS_RAW:
		break;
	}
	return text_format("%s", why_raw(f));
}

static int warn(struct media_advice *a, const char *fmt, ...) ISM_PRINTF(2, 3);

static int warn(struct media_advice *a, const char *fmt, ...)
{
	va_list args;
	int r;

	if (a->n_warnings == MEDIA_WARNINGS_MAX)
		return 0;
	va_start(args, fmt);
	r = vasprintf(&a->warnings[a->n_warnings], fmt, args);
	va_end(args);
	if (r < 0)
		return -ENOMEM;
	a->n_warnings++;
	return 0;
}

static int warn_iso(const struct media_facts *f, struct media_advice *a)
{
	int r = 0;

	if (!f->iso.eltorito && none_boots(&f->disk))
		r = warn(a, "this ISO has no boot entry: nothing will boot from it");
	else if (a->as == MEDIA_AS_RAW && f->disc.bios == MEDIA_YES && f->disk.bios == MEDIA_NO)
		r = warn(a, "a BIOS boots this ISO from a disc, but not from a stick; UEFI does");
	else if (a->as == MEDIA_AS_RAW && uefi_boots(&f->disc) && !uefi_boots(&f->disk) &&
	         f->disk.uefi_x64 == MEDIA_NO && f->disk.uefi_aa64 == MEDIA_NO)
		r = warn(a, "UEFI boots this ISO from a disc, but not from a stick; a BIOS does");
	if (r == 0 && f->missing)
		r = warn(a, "the ISO says that it has %llu bytes, the image has only %llu",
		         (unsigned long long)f->iso.volume_size, (unsigned long long)f->size);
	return r;
}

static int warn_disk(const struct media_facts *f, struct media_advice *a)
{
	const struct table *t = f->table;

	if (t->damaged && warn(a, "its partition table is damaged") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].outside)
			return warn(a,
			            "partition %u ends at byte %llu, but the image has only %llu: "
			            "it may be cut off",
			            t->entries[i].number,
			            (unsigned long long)(t->entries[i].offset + t->entries[i].size),
			            (unsigned long long)f->size);
	return 0;
}

int media_advice(const struct media_facts *f, struct media_advice *ret, struct ism_error *err)
{
	struct media_advice a = { .as = choose(f) };
	int r = 0;

	a.why = explain(f, a.as);
	if (!a.why)
		return ism_error_oom(err);
	if (f->kind == MEDIA_ISO)
		r = warn_iso(f, &a);
	else if (f->kind == MEDIA_DISK)
		r = warn_disk(f, &a);
	else if (f->kind == MEDIA_BLANK)
		r = warn(&a, "the image begins with nothing but zeros");
	if (r < 0) {
		media_advice_clear(&a);
		return ism_error_oom(err);
	}
	*ret = a;
	return 0;
}

void media_advice_clear(struct media_advice *a)
{
	free(a->why);
	for (size_t i = 0; i < a->n_warnings; i++)
		free(a->warnings[i]);
	*a = (struct media_advice){ 0 };
}

const char *media_as_name(enum media_as as)
{
	static const char *const names[] = {
		[MEDIA_AS_RAW] = "raw",
		[MEDIA_AS_FILES] = "files",
		[MEDIA_AS_WINDOWS] = "windows",
	};

	return names[as];
}

static int refuse_kind(const char *name, struct media_advice *a, struct ism_error *err)
{
	ism_error_set(err, -EOPNOTSUPP, name, ISM_NO_OFFSET,
	              "a plain copy would not boot: this is %s, and making a stick of such is not "
	              "built yet",
	              a->why);
	ism_error_hint(err, "--as raw copies it all the same, for instance to be read as a disc");
	media_advice_clear(a);
	return -EOPNOTSUPP;
}

/* A partition that goes on far behind the end of the image: a download that broke off. Tools round
 * ends up a little. */
static int check_partitions(const struct media_facts *f, const char *name, struct ism_error *err)
{
	int r = media_check_size(f->iso.present ? f->iso.volume_size : 0, f->size, name, err);

	for (size_t i = 0; r == 0 && f->table && f->size != ISM_SIZE_UNKNOWN && i < f->table->n;
	     i++) {
		const struct table_entry *e = &f->table->entries[i];

		if (e->extended || strcmp(e->type, "0xee") == 0 ||
		    e->offset + e->size <= f->size + ROUNDING_MAX)
			continue;
		ism_error_set(
			err, -EBADMSG, name, f->size,
			"is cut off: its partition %u ends at byte %llu, the image has only %llu",
			e->number, (unsigned long long)(e->offset + e->size),
			(unsigned long long)f->size);
		ism_error_hint(err, "get it again; --as raw copies what there is");
		r = -EBADMSG;
	}
	return r;
}

int media_check_raw(const struct media_facts *f, const char *name, struct ism_error *err)
{
	struct media_advice a;
	int r = media_advice(f, &a, err);

	if (r < 0)
		return r;
	if (a.as != MEDIA_AS_RAW)
		return refuse_kind(name, &a, err);
	media_advice_clear(&a);
	return check_partitions(f, name, err);
}

int media_check_size(uint64_t volume_size, uint64_t size, const char *name, struct ism_error *err)
{
	if (size == ISM_SIZE_UNKNOWN || volume_size <= PADDING_MAX ||
	    size >= volume_size - PADDING_MAX)
		return 0;
	ism_error_set(err, -EBADMSG, name, size,
	              "is cut off: the ISO says that it has %llu bytes, the image has only %llu",
	              (unsigned long long)volume_size, (unsigned long long)size);
	ism_error_hint(err, "get it again; --as raw copies what there is");
	return -EBADMSG;
}
