/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Identifying file systems by libblkid. It wants a file, and our media are not all files: it gets a
 * sparse one in memory, with the two ends of the partition in their places. */
#include "fs/identify.h"

#include <blkid.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Signatures lie in the first 512 KiB or so (UDF's anchor), or near the end (md, ZFS, DRBD). */
#define END_LEN  MIB
#define STEP     (64 * (size_t)KIB)
#define SEEN_MIN (68 * KIB) /* btrfs has its signature behind 64 KiB, most others before */

/* Copy a range into the file; steps that cannot be read stay zero. *ret_seen: bytes from its start
 * without a step missing. */
static int copy_range(const struct view *v, uint64_t from, uint64_t len, int fd, uint64_t to,
                      uint64_t *ret_seen)
{
	_free_ uint8_t *buf = malloc(STEP);
	bool gap = false;

	if (!buf)
		return -ENOMEM;
	*ret_seen = 0;
	for (uint64_t at = 0; at < len; at += STEP) {
		size_t n = (size_t)MIN(len - at, (uint64_t)STEP);
		int r = view_read(v, buf, n, from + at);

		if (view_fatal(r))
			return r;
		if (r < 0) {
			gap = true;
			continue;
		}
		if (pwrite(fd, buf, n, (off_t)(to + at)) != (ssize_t)n)
			return -ENOMEM;
		if (!gap)
			*ret_seen = at + n;
	}
	return 0;
}

static int copy_ends(const struct view *v, uint64_t offset, uint64_t size, int fd)
{
	uint64_t head = MIN(size, (uint64_t)END_LEN), tail, seen, ignored;
	int r = copy_range(v, offset, head, fd, 0, &seen);

	if (r < 0)
		return r;
	if (seen < MIN(size, (uint64_t)SEEN_MIN))
		return -ENODATA;
	tail = MIN(size - head, (uint64_t)END_LEN);
	return copy_range(v, offset + size - tail, tail, fd, size - tail, &ignored);
}

static int take_value(blkid_probe probe, const char *key, char **ret)
{
	const char *value;

	*ret = NULL;
	if (blkid_probe_lookup_value(probe, key, &value, NULL) < 0)
		return 0;
	*ret = strdup(value);
	return *ret ? 0 : -ENOMEM;
}

static int take_values(blkid_probe probe, struct fs_identity *ret)
{
	struct fs_identity id = { 0 };

	if (take_value(probe, "TYPE", &id.type) < 0 || take_value(probe, "USAGE", &id.usage) < 0 ||
	    take_value(probe, "VERSION", &id.version) < 0 ||
	    take_value(probe, "LABEL", &id.label) < 0 || take_value(probe, "UUID", &id.uuid) < 0) {
		fs_identity_clear(&id);
		return -ENOMEM;
	}
	if (!id.type) {
		fs_identity_clear(&id);
		return 0;
	}
	*ret = id;
	return 1;
}

static int probe_file(int fd, uint64_t size, struct fs_identity *ret)
{
	blkid_probe probe = blkid_new_probe();
	int r = -ENOMEM;

	if (!probe)
		return -ENOMEM;
	if (blkid_probe_set_device(probe, fd, 0, (blkid_loff_t)size) == 0) {
		blkid_probe_enable_superblocks(probe, true);
		blkid_probe_set_superblocks_flags(
			probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_VERSION |
				       BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID);
		/* 0 = found; more than one that contradict each other is no answer */
		r = blkid_do_safeprobe(probe) == 0 ? take_values(probe, ret) : 0;
	}
	blkid_free_probe(probe);
	return r;
}

int fs_identify(const struct view *v, uint64_t offset, uint64_t size, struct fs_identity *ret)
{
	_close_ int fd = -1;
	int r;

	if (size == 0 || size > INT64_MAX || offset > INT64_MAX - size)
		return 0;
	fd = memfd_create("isomorph-identify", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return -ENOMEM;
	r = copy_ends(v, offset, size, fd);
	return r < 0 ? r : probe_file(fd, size, ret);
}

void fs_identity_clear(struct fs_identity *id)
{
	free(id->type);
	free(id->usage);
	free(id->version);
	free(id->label);
	free(id->uuid);
	*id = (struct fs_identity){ 0 };
}
