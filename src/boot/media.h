/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What kind of bootable medium an image is, and what `write` is to do with it. */
#ifndef BOOT_MEDIA_H
#define BOOT_MEDIA_H

#include "base/error.h"
#include "fs/iso9660.h"
#include "table/table.h"

enum media_kind {
	MEDIA_UNKNOWN,     /* nothing recognisable */
	MEDIA_BLANK,       /* what can be seen is all zeros */
	MEDIA_FILE_SYSTEM, /* a file system without a partition table */
	MEDIA_DISK,        /* a partition table */
	MEDIA_ISO,         /* ISO 9660 or UDF; perhaps a partition table too: hybrid */
};

/** enum media_answer - "unknown" is said where only the head of an image can be seen */
enum media_answer { MEDIA_NOT_KNOWN, MEDIA_NO, MEDIA_YES };

/**
 * struct media_boots - which firmware finds something to start
 * @bios: from a disk: boot code, and a partition that it can go on with; from a disc: a catalog
 * entry
 * @uefi_*: the loader that firmware looks for on removable media: EFI/BOOT/BOOTX64.EFI and so on
 */
struct media_boots {
	enum media_answer bios, uefi_x64, uefi_ia32, uefi_aa64;
};

/**
 * struct media_facts - what an image is
 * @size:     as given
 * @iso:      MEDIA_ISO: its descriptors
 * @hybrid:   an ISO that has boot code or a partition table for disks
 * @missing:  ISO: bytes that its volume has more than the image
 * @windows:  Windows installation medium
 * @windows_image: the file that tells so: "sources/boot.wim"; constant, or NULL
 * @disk:     what it boots when copied to a disk or stick as it is
 * @disc:     ISO: what it boots when burnt to a disc
 * @table:    owned
 */
struct media_facts {
	enum media_kind kind;
	uint64_t size;
	struct iso9660 iso;
	bool hybrid;
	uint64_t missing;
	enum media_answer windows;
	const char *windows_image;
	struct media_boots disk, disc;
	struct table *table;
};

/**
 * media_detect() - find out what an image is
 * @head:   its first bytes, up to 1 MiB; may be empty if @random is given
 * @size:   of the image, or ISM_SIZE_UNKNOWN
 * @random: the image itself if it can be read at random, else NULL: then only @head is looked at
 * Return: 0 with *ret to be cleared by media_facts_clear(); -ENOMEM, -ECANCELED.
 */
int media_detect(struct span head, uint64_t size, struct medium *random, struct media_facts *ret,
                 struct ism_error *err);
void media_facts_clear(struct media_facts *facts);
/** media_kind_name() - "disk", "iso", …: also the words of the JSON document */
const char *media_kind_name(enum media_kind kind);

enum media_as { MEDIA_AS_RAW, MEDIA_AS_FILES, MEDIA_AS_WINDOWS };
#define MEDIA_WARNINGS_MAX 4

/**
 * struct media_advice - what `write` does with an image when the user does not say
 * @as:       copy it as it is, take its files, make a Windows stick
 * @why:      one clause; owned
 * @warnings: sentences for the plan; owned
 */
struct media_advice {
	enum media_as as;
	char *why;
	char *warnings[MEDIA_WARNINGS_MAX];
	size_t n_warnings;
};

/** media_advice() - Return: 0 with *ret to be cleared by media_advice_clear(), or -ENOMEM */
int media_advice(const struct media_facts *facts, struct media_advice *ret, struct ism_error *err);
void media_advice_clear(struct media_advice *advice);
/** media_as_name() - "raw", "files", "windows" */
const char *media_as_name(enum media_as as);

/**
 * media_check_raw() - may `write` copy this image as it is without being told so by --as raw?
 * @name: of the image, for the error
 * Return: 0; -EOPNOTSUPP: a copy would not boot; -EBADMSG: the image is cut off. Both ISM_FAILED,
 * with the hint that names --as raw.
 */
int media_check_raw(const struct media_facts *facts, const char *name, struct ism_error *err);
/**
 * media_check_size() - the part of media_check_raw() that a source of unknown size leaves for later
 * @volume_size: facts->iso.volume_size; 0 = nothing is stated
 * @size: of the image, when all of it has been read
 * Return: 0, or -EBADMSG: the image is cut off by more than the padding of an ISO.
 */
int media_check_size(uint64_t volume_size, uint64_t size, const char *name, struct ism_error *err);

#endif
