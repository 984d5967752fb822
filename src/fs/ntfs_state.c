/* SPDX-License-Identifier: GPL-3.0-or-later */
/* May the bitmap of an NTFS volume be believed: hibernation, the dirty flag, the restart pages of
 * $LogFile. Spec: the NTFS on-disk structures as documented by the Linux-NTFS project. */
#include <stdlib.h>
#include <string.h>

#include "fs/map_bits.h"
#include "fs/ntfs.h"

#define PAGE_DEFAULT 4096
#define PAGE_MAX     (64 * KIB)
#define NO_CLIENT    0xffff
#define LOG_CLEAN    0x0002 /* flag of a restart area */
#define LOG_LOOK     MIB    /* of an emptied log so much is looked at */

/* $Volume: the flags that mean that metadata may be under way. */
#define VOLUME_DIRTY            0x0001
#define VOLUME_RESIZE_LOG       0x0002
#define VOLUME_UPGRADE          0x0004
#define VOLUME_CHKDSK_UNDER_WAY 0x4000

/* How to get a source whose map can be believed. */
#define SHUT_DOWN \
	"shut Windows down with 'shutdown /s /f /t 0' (and turn fast startup off) for a smaller " \
	"image"
#define RUN_CHKDSK "run 'chkdsk /f' in Windows and shut it down for a smaller image"

/* One of the two restart pages. */
struct restart {
	bool valid, clean;
	uint64_t lsn;
	uint32_t page_size;
};

static int take_restart(uint8_t *page, uint32_t len, struct restart *ret)
{
	uint32_t at, size = le32_at(page + 16);
	const char *magic = memcmp(page, "CHKD", 4) == 0 ? "CHKD" : "RSTR";

	if (memcmp(page, magic, 4) != 0 || size < 512 || size > len || (size & (size - 1)) ||
	    ntfs_unprotect(page, size, magic) < 0)
		return 0;
	at = le16_at(page + 24);
	if (at < 30 || at % 8 || at + 48 > size)
		return 0;
	*ret = (struct restart){
		.valid = true,
		.clean = le16_at(page + at + 12) == NO_CLIENT ||
		         (le16_at(page + at + 14) & LOG_CLEAN),
		.lsn = le64_at(page + at),
		.page_size = size,
	};
	return 1;
}

static int read_restart(const struct ntfs *fs, const struct ntfs_stream *log, uint64_t offset,
                        struct restart *ret)
{
	_free_ uint8_t *page = calloc(1, PAGE_MAX);
	uint64_t left = log->size - MIN(offset, log->size);
	uint32_t len = (uint32_t)MIN(left, (uint64_t)PAGE_MAX);
	int r;

	*ret = (struct restart){ 0 };
	if (!page)
		return -ENOMEM;
	r = ntfs_stream_read(fs, log, page, len, offset);
	if (r == -ERANGE)
		return 0;
	if (r < 0)
		return r;
	return MIN(take_restart(page, len, ret), 0);
}

/* An emptied log, as formatting and other systems leave it, is all ones. Return: 1, 0, or as all
 * that read. */
static int is_empty(const struct ntfs *fs, const struct ntfs_stream *log)
{
	size_t len = (size_t)MIN(log->size, (uint64_t)LOG_LOOK);
	_free_ uint8_t *buf = malloc(len + 1);
	int r;

	if (!buf)
		return -ENOMEM;
	r = ntfs_stream_read(fs, log, buf, len, 0);
	return r < 0 ? r : len && bytes_are(buf, len, 0xff);
}

/* The newer restart page decides; when one cannot be read as such, it may have been the newer one.
 * Return: 1 = clean, 0 = not, or as all that read. */
static int is_log_clean(const struct ntfs *fs)
{
	_ntfs_stream_ struct ntfs_stream log = { 0 };
	struct restart a, b;
	int r = ntfs_stream_open(fs, NTFS_FILE_LOG, NTFS_DATA, "", &log);

	if (r < 0)
		return r;
	r = is_empty(fs, &log);
	if (r)
		return r;
	r = read_restart(fs, &log, 0, &a);
	if (r == 0)
		r = read_restart(fs, &log, a.valid ? a.page_size : PAGE_DEFAULT, &b);
	if (r < 0)
		return r;
	if (!a.valid || !b.valid)
		return 0;
	if (a.lsn == b.lsn)
		return a.clean && b.clean;
	return a.lsn > b.lsn ? a.clean : b.clean;
}

/* The flags of $Volume. */
static int read_flags(const struct ntfs *fs, uint16_t *ret)
{
	_ntfs_stream_ struct ntfs_stream info = { 0 };
	int r = ntfs_stream_open(fs, NTFS_FILE_VOLUME, NTFS_VOLUME_INFORMATION, "", &info);

	if (r < 0)
		return r;
	if (!info.resident || info.size < 12)
		return -EBADMSG;
	if (info.resident[8] != 1 && info.resident[8] != 3) /* major version: 1.2, 3.0, 3.1 */
		return -EOPNOTSUPP;
	*ret = le16_at(info.resident + 10);
	return 0;
}

static int give_up_unreadable(struct fs_facts *facts, int r, const char *what)
{
	if (r == -ENOMEM || r == -ECANCELED)
		return r;
	return map_give_up(facts, FS_DAMAGED,
	                   "%s of this NTFS volume %s: all of it counts as used; %s", what,
	                   r == -EOPNOTSUPP ? "is not known" : "cannot be read", RUN_CHKDSK);
}

int ntfs_check_state(const struct ntfs *fs, struct fs_facts *facts)
{
	uint16_t flags;
	int r = ntfs_is_hibernated(fs);

	if (r < 0)
		return give_up_unreadable(facts, r, "the root directory");
	if (r)
		return map_give_up(facts, FS_HIBERNATED,
		                   "Windows is hibernated on this NTFS volume (or shut down with "
		                   "fast startup): all of it counts as used; " SHUT_DOWN);
	r = read_flags(fs, &flags);
	if (r < 0)
		return give_up_unreadable(facts, r, "the version");
	if (flags & (VOLUME_DIRTY | VOLUME_RESIZE_LOG | VOLUME_UPGRADE | VOLUME_CHKDSK_UNDER_WAY))
		return map_give_up(
			facts, FS_DIRTY,
			"this NTFS volume is marked dirty: all of it counts as used; " RUN_CHKDSK);
	r = is_log_clean(fs);
	if (r < 0)
		return give_up_unreadable(facts, r, "the log");
	if (r == 0)
		return map_give_up(facts, FS_DIRTY,
		                   "the log of this NTFS volume was not closed: all of it counts "
		                   "as used; " SHUT_DOWN);
	return 0;
}
