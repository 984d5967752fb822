/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tells by their magic bytes the files that people take for disk images. Magics: file(1)'s and the
 * formats' own specifications. */
#include "format/foreign.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"

#define ISO_MAGIC_OFFSET (16 * 2048 + 1)
#define HINT_EXTRACT     "extract it first, and name the disk image that was in it"
#define HINT_CONVERT     "convert it first: qemu-img convert -O raw IMAGE disk.img"
#define HINT_UNPACK      "decompress it first, and name the result"

struct foreign {
	const char *what;
	uint32_t offset;
	const char *bytes;
	uint32_t len;
	const char *hint;
};

static const struct foreign foreigners[] = {
	{ "a tar archive", 257, "ustar", 5, HINT_EXTRACT },
	{ "a 7z archive", 0, "7z\xbc\xaf\x27\x1c", 6, HINT_EXTRACT },
	{ "a rar archive", 0, "Rar!\x1a\x07", 6, HINT_EXTRACT },
	{ "a cabinet archive", 0, "MSCF\0\0\0\0", 8, HINT_EXTRACT },
	{ "a cpio archive", 0, "070701", 6, HINT_EXTRACT },
	{ "an lzip file", 0, "LZIP\x01", 5, HINT_UNPACK },
	{ "a compress (.Z) file", 0, "\x1f\x9d\x90", 3, HINT_UNPACK },
	{ "a torrent", 0, "d8:announce", 11,
	  "open it in a torrent client to get the image itself" },
	{ "a torrent", 0, "d13:announce-list", 17,
	  "open it in a torrent client to get the image itself" },
	{ "a Debian package", 0, "!<arch>\ndebian-binary", 21, NULL },
	{ "an RPM package", 0, "\xed\xab\xee\xdb", 4, NULL },
	{ "a PDF document", 0, "%PDF-", 5, NULL },
	{ "a Linux program", 0, "\177ELF", 4, NULL },
	{ "a PGP signature or key", 0, "-----BEGIN PGP", 14, NULL },
	{ "a Windows image (WIM), which holds files", 0, "MSWIM\0\0\0", 8,
	  "name the ISO that it comes from" },
	{ "an EWF (E01) image: not supported yet", 0, "EVF\x09\x0d\x0a\xff", 7,
	  "export it first: ewfexport -f raw IMAGE" },
	{ "a qcow2 image: not supported yet", 0, "QFI\xfb", 4, HINT_CONVERT },
	{ "a VMDK image: not supported yet", 0, "KDMV", 4, HINT_CONVERT },
	{ "a VMDK image: not supported yet", 0, "# Disk DescriptorFile", 21, HINT_CONVERT },
	{ "a VHDX image: not supported yet", 0, "vhdxfile", 8, HINT_CONVERT },
	{ "a dynamic VHD image: not supported yet", 0, "conectix", 8, HINT_CONVERT },
	{ "a VDI image: not supported yet", 0x40, "\x7f\x10\xda\xbe", 4, HINT_CONVERT },
	{ "an Android sparse image: not supported yet", 0, "\x3a\xff\x26\xed", 4,
	  "convert it first: simg2img IMAGE disk.img" },
};

static bool has_bytes(struct span s, uint64_t offset, const char *bytes, size_t len)
{
	struct span at;

	return span_sub(s, offset, len, &at) && memcmp(at.p, bytes, len) == 0;
}

/* HTML and XML may begin with a byte order mark and white space. */
static struct span skip_blanks(struct span s)
{
	if (has_bytes(s, 0, "\xef\xbb\xbf", 3))
		s = (struct span){ s.p + 3, s.len - 3 };
	while (s.len && (*s.p == ' ' || *s.p == '\t' || *s.p == '\r' || *s.p == '\n'))
		s = (struct span){ s.p + 1, s.len - 1 };
	return s;
}

static bool starts_with_word(struct span s, const char *word)
{
	size_t len = strlen(word);

	return s.len >= len && strncasecmp((const char *)s.p, word, len) == 0;
}

static const struct foreign *text_foreigner(struct span s)
{
	static const struct foreign page = {
		.what = "a web page",
		.hint = "the download failed, or the address is that of a page about the image",
	};
	static const struct foreign bmap = {
		.what = "a bmap file, which describes an image",
		.hint = "name the image; a bmap beside it is found by itself",
	};

	s = skip_blanks(s);
	if (starts_with_word(s, "<!doctype html") || starts_with_word(s, "<html"))
		return &page;
	if (starts_with_word(s, "<?xml")) {
		if (memmem(s.p, s.len, "\n<bmap ", 7))
			return &bmap;
		if (memmem(s.p, s.len, "<html", 5))
			return &page;
	}
	return NULL;
}

/* A DOS program has any 16-bit code behind "MZ"; a Windows one points to its PE header. */
static bool is_windows_program(struct span s)
{
	struct span at;
	le32 pe;

	if (!has_bytes(s, 0, "MZ", 2) || !span_sub(s, 0x3c, sizeof(pe), &at))
		return false;
	memcpy(&pe, at.p, sizeof(pe));
	return has_bytes(s, le32_get(pe), "PE\0\0", 4);
}

static const struct foreign *foreigner(struct span s)
{
	static const struct foreign program = { .what = "a Windows program" };

	for (size_t i = 0; i < ARRAY_LEN(foreigners); i++)
		if (has_bytes(s, foreigners[i].offset, foreigners[i].bytes, foreigners[i].len))
			return &foreigners[i];
	if (is_windows_program(s))
		return &program;
	return text_foreigner(s);
}

static int has_iso_descriptor(struct medium *m, bool *ret, struct ism_error *err)
{
	size_t want = ISO_MAGIC_OFFSET + 5, n = 0;
	_free_ uint8_t *buf = malloc(want);
	int r;

	if (!buf)
		return ism_error_oom(err);
	r = medium_peek(m, buf, want, &n, err);
	if (r < 0)
		return r;
	*ret = has_bytes((struct span){ buf, n }, ISO_MAGIC_OFFSET, "CD001", 5);
	return 0;
}

int foreign_check(struct medium *m, const uint8_t *head, size_t len, struct ism_error *err)
{
	struct span s = { head, len };
	const struct foreign *f = foreigner(s);
	bool is_iso = false;
	int r;

	if (!f || has_bytes(s, 510, "\x55\xaa", 2))
		return 0;
	r = has_iso_descriptor(m, &is_iso, err);
	if (r < 0 || is_iso)
		return r;
	r = ism_error_set(err, -EOPNOTSUPP, m->name, ISM_NO_OFFSET, "is %s%s", f->what,
	                  strchr(f->what, ':') ? "" : ", not a disk image");
	if (f->hint)
		ism_error_hint(err, "%s", f->hint);
	return r;
}
