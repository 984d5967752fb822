/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk as a target: named, identified, guarded, locked, opened, rescanned, ejected. DESIGN §4.1.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <isomorph/device.h>

#include "base/error.h"
#include "medium/medium.h"

/** struct target - what a TARGET argument names; identity taken when it was named */
struct target {
	char *ref;                /* as the user wrote it */
	char *path;               /* the node or file it stands for, symbolic links resolved */
	bool is_file;             /* a regular file */
	bool is_new;              /* a regular file that does not exist yet */
	bool keep_part;           /* is_new: what an earlier run left in NAME.part stays in it */
	bool is_partition;        /* a partition, not a whole disk */
	struct ism_device device; /* the (whole) disk; for a regular file only path, size and sector
	                             sizes are set */
	unsigned part_number;     /* is_partition: which */
	uint64_t offset, size; /* is_partition: where it lies on the disk; else 0 and the disk's or
	                          file's size */
	uint64_t dev; /* the device itself: disk or partition; of a file the one it is on */
	uint64_t ino; /* of an existing file */
	int lock_fd;  /* a partition's disk, locked from target_open() to target_free() */
};

/**
 * struct guard_request - what the guard must know beside the target
 * @need:      bytes that will be written from its start; 0 = not known before reading
 * @sector_size: what the image's tables and file systems state; 0 = they state nothing
 * @unmount:   the file systems on the target may be unmounted
 * @partition_ok: --partition-target was given
 * @ignore_sector_size: --ignore-sector-size was given
 * @keep:      NULL-terminated paths (image, log, checksum, undo files, the running program) that
 * must not lie on it
 * @replace_members: members of inactive md/LVM/btrfs/ZFS sets were confirmed
 */
struct guard_request {
	uint64_t need;
	uint32_t sector_size;
	bool unmount;
	bool partition_ok;
	bool ignore_sector_size;
	const char *const *keep;
	bool replace_members;
};

/**
 * target_resolve() - find out what @ref names: device node, by-id path or other symbolic link,
 * "serial=…", file A name under /dev that does not exist, a directory, a serial that no disk or
 * that two disks have: usage errors that say what there is. Nothing is opened for writing.
 */
int target_resolve(const char *ref, struct target **ret, struct ism_error *err);
struct target *target_free(struct target *t);
void target_freep(struct target **t);

/**
 * target_check() - may it be written? Refusals are ism_error_refuse() with one clear sentence and a
 * hint Looks only; unmounts nothing. With @rq->unmount mounts that target_open() can undo are no
 * reason.
 * @ret_warnings: NULL-terminated list, owned by the caller, of what deserves a stronger
 * confirmation; may be NULL
 */
int target_check(const struct target *t, const struct guard_request *rq, char ***ret_warnings,
                 struct ism_error *err);

/**
 * source_check() - may it be read as a source? Refused while a file system on it is mounted for writing, or swap is on
 */
int source_check(const struct target *t, struct ism_error *err);

/**
 * target_open() - check again, unmount what may be unmounted, lock, open exclusively, prove the
 * identity
 * @ret: writable medium, O_DIRECT where it can be; it holds flock(LOCK_EX) on the whole disk until
 * closed -ESTALE (refused): the disk is another one than target_resolve() saw. A new file is
 * created as NAME.part.
 */
int target_open(struct target *t, const struct guard_request *rq, struct medium **ret,
                struct ism_error *err);

/** target_drop_partitions() - make the kernel forget the partitions of the disk behind @m (BLKPG);
 * no-op on files */
int target_drop_partitions(const struct target *t, struct medium *m, struct ism_error *err);
/**
 * target_rescan() - make the kernel read the table again, wait for udev where it runs; before the
 * medium is closed. The last thing that is done to it: udev leaves a locked disk alone, so the lock
 * is given back before waiting; the exclusive open stays.
 */
int target_rescan(const struct target *t, struct medium *m, struct ism_error *err);
/** target_commit() - rename NAME.part to NAME, durable; no-op unless is_new */
int target_commit(const struct target *t, struct ism_error *err);

/** target_abandon() - remove NAME.part, in which nothing was written; no-op unless is_new */
void target_abandon(const struct target *t);

enum target_after { TARGET_STAY, TARGET_EJECT, TARGET_POWER_OFF };
/** target_release() - eject or power off, after the medium was closed */
int target_release(const struct target *t, enum target_after what, struct ism_error *err);

/**
 * target_gone() - is the disk behind @m still there? Asked after a failed write or flush
 * Return: true if the kernel says size 0, ENODEV or another diskseq.
 */
bool target_gone(const struct target *t, const struct medium *m);
/** target_kernel_words() - the last kernel log lines about this disk; malloc'ed or NULL */
char *target_kernel_words(const struct target *t);

#endif
