/* SPDX-License-Identifier: GPL-3.0-or-later */
/* NTFS, read-only: boot sector, file records, attributes and their runs, as far as a map of what is
 * in use needs them. Spec: the NTFS on-disk structures as documented by the Linux-NTFS project. */
#ifndef FS_NTFS_H
#define FS_NTFS_H

#include "base/bytes.h"
#include "fs/map.h"

enum {
	NTFS_FILE_MFT = 0,
	NTFS_FILE_LOG = 2,
	NTFS_FILE_VOLUME = 3,
	NTFS_FILE_ROOT = 5,
	NTFS_FILE_BITMAP = 6,
};

enum {
	NTFS_ATTRIBUTE_LIST = 0x20,
	NTFS_VOLUME_NAME = 0x60,
	NTFS_VOLUME_INFORMATION = 0x70,
	NTFS_DATA = 0x80,
	NTFS_INDEX_ROOT = 0x90,
	NTFS_INDEX_ALLOCATION = 0xa0,
	NTFS_BITMAP = 0xb0,
};

#define NTFS_HOLE UINT64_MAX

/** struct ntfs_run - @len clusters of a stream from its cluster @vcn on lie at cluster @lcn of the
 * volume; NTFS_HOLE = nowhere */
struct ntfs_run {
	uint64_t vcn, lcn, len;
};

/** struct ntfs_stream - the content of an attribute, bytes of the file record or runs; owned */
struct ntfs_stream {
	uint8_t *resident; /* NULL: runs */
	struct ntfs_run *runs;
	size_t n;
	uint64_t clusters; /* that the runs speak of */
	uint64_t size, initialized;
	bool plain; /* neither compressed, encrypted nor sparse */
};

struct ntfs {
	struct medium *m;
	uint32_t sector_size, cluster_size, record_size;
	uint64_t n_clusters, size; /* size: without the backup boot sector behind it */
	uint64_t mft_lcn, mirror_lcn, serial;
	struct ntfs_stream mft;
};

/*
 * All that read: 0; -ENOENT: there is no such attribute; -EBADMSG: damaged; -EOPNOTSUPP;
 * -ENOMEM, -ECANCELED; else why the medium could not be read.
 */

/** ntfs_open() - boot sector, $MFT; @fs is to be closed after a failure too */
int ntfs_open(struct ntfs *fs, struct ism_error *err);
/** ntfs_load_mft() - the runs of $MFT; before it nothing can be read */
int ntfs_load_mft(struct ntfs *fs);
void ntfs_close(struct ntfs *fs);

/** ntfs_unprotect() - check and take out the update sequence of a record that begins with @magic
 * and is @len bytes long */
int ntfs_unprotect(uint8_t *record, size_t len, const char *magic);
/** ntfs_read_record() - file record @number, in use; @ret has fs->record_size bytes */
int ntfs_read_record(const struct ntfs *fs, uint64_t number, uint8_t *ret);

/** ntfs_stream_open() - all pieces of an attribute of file @number; @name is ASCII, "" = none */
int ntfs_stream_open(const struct ntfs *fs, uint64_t number, uint32_t type, const char *name,
                     struct ntfs_stream *ret);
/** ntfs_stream_read() - exactly @len bytes; holes and what was never written are zeros; -ERANGE
 * behind the end */
int ntfs_stream_read(const struct ntfs *fs, const struct ntfs_stream *s, void *buf, size_t len,
                     uint64_t offset);
void ntfs_stream_clear(struct ntfs_stream *s);
#define _ntfs_stream_ CLEANUP(ntfs_stream_clear)

/** ntfs_check_state() - hibernated, dirty, unclean log: then facts->all_used and why.
 * Return: 0, -ENOMEM, -ECANCELED */
int ntfs_check_state(const struct ntfs *fs, struct fs_facts *facts);
/** ntfs_is_hibernated() - the root directory has a hiberfil.sys that a sleeping Windows waits in.
 * Return: 1, 0, or as all that read */
int ntfs_is_hibernated(const struct ntfs *fs);

#endif
