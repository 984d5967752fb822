/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is Windows asleep on this NTFS volume: hiberfil.sys in the root directory and what it begins
 * with. Spec: the NTFS on-disk structures as documented by the Linux-NTFS project. */
#include <stdlib.h>
#include <string.h>

#include "fs/ntfs.h"

#define HIBER_HEADER   4096
#define DIRECTORY_MAX  (256 * MIB) /* a million names in the root directory */
#define ENTRY_IS_LAST  2
#define NAME_IN_ENTRY  (16 + 66) /* behind the entry's head and the times and sizes of the file */
#define LENGTH_OF_NAME (16 + 64)

static bool is_hiberfil(const uint8_t *name, size_t n)
{
	static const char wanted[] = "HIBERFIL.SYS";

	if (n != sizeof(wanted) - 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint16_t c = le16_at(name + 2 * i);

		if ((c >= 'a' && c <= 'z' ? c - 32 : c) != wanted[i])
			return false;
	}
	return true;
}

/* The entries of one node, @node being its index header and all behind it. Return: 1 with the
 * reference of hiberfil.sys, 0, -EBADMSG. */
static int search_node(struct span node, uint64_t *ret)
{
	uint32_t used, len;

	if (node.len < 16)
		return -EBADMSG;
	used = le32_at(node.p + 4);
	if (used > node.len)
		return -EBADMSG;
	node.len = used;
	for (uint64_t at = le32_at(node.p);; at += len) {
		struct span e;

		if (!span_sub(node, at, 16, &e))
			return -EBADMSG;
		len = le16_at(e.p + 8);
		if (len < 16 || !span_sub(node, at, len, &e))
			return -EBADMSG;
		if (le16_at(e.p + 12) & ENTRY_IS_LAST)
			return 0;
		if (len < NAME_IN_ENTRY || len < NAME_IN_ENTRY + 2U * e.p[LENGTH_OF_NAME])
			return -EBADMSG;
		if (is_hiberfil(e.p + NAME_IN_ENTRY, e.p[LENGTH_OF_NAME])) {
			*ret = le64_at(e.p);
			return 1;
		}
	}
}

static int search_block(const struct ntfs *fs, const struct ntfs_stream *blocks, uint8_t *buf,
                        uint32_t size, uint64_t no, uint64_t *ret)
{
	int r = ntfs_stream_read(fs, blocks, buf, size, no * size);

	if (r == 0)
		r = ntfs_unprotect(buf, size, "INDX");
	return r < 0 ? r : search_node((struct span){ buf + 24, size - 24 }, ret);
}

/* All blocks of the index that its bitmap calls used, in the order that they lie in: a look that a
 * damaged tree cannot lead astray. */
static int search_blocks(const struct ntfs *fs, uint32_t size, uint64_t *ret)
{
	_ntfs_stream_ struct ntfs_stream blocks = { 0 }, bitmap = { 0 };
	_free_ uint8_t *buf = malloc(size);
	int r = ntfs_stream_open(fs, NTFS_FILE_ROOT, NTFS_INDEX_ALLOCATION, "$I30", &blocks);

	if (r == -ENOENT)
		return 0;
	if (r == 0)
		r = ntfs_stream_open(fs, NTFS_FILE_ROOT, NTFS_BITMAP, "$I30", &bitmap);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (!buf)
		return -ENOMEM;
	if (blocks.size > DIRECTORY_MAX || blocks.size / size > 8 * bitmap.size)
		return -EBADMSG;
	for (uint64_t no = 0; no < blocks.size / size && r == 0; no++) {
		uint8_t bits;

		r = ntfs_stream_read(fs, &bitmap, &bits, 1, no / 8);
		if (r == 0 && (bits >> (no % 8) & 1))
			r = search_block(fs, &blocks, buf, size, no, ret);
	}
	return r;
}

/* Return: 1 with its reference, 0, or as all that read. */
static int find_hiberfil(const struct ntfs *fs, uint64_t *ret)
{
	_ntfs_stream_ struct ntfs_stream root = { 0 };
	uint32_t size;
	int r = ntfs_stream_open(fs, NTFS_FILE_ROOT, NTFS_INDEX_ROOT, "$I30", &root);

	if (r < 0)
		return r;
	if (!root.resident || root.size < 32)
		return -EBADMSG;
	size = le32_at(root.resident + 8);
	if (size < 512 || size > 64 * KIB || (size & (size - 1)))
		return -EBADMSG;
	r = search_node((struct span){ root.resident + 16, (size_t)root.size - 16 }, ret);
	return r ? r : search_blocks(fs, size, ret);
}

int ntfs_is_hibernated(const struct ntfs *fs)
{
	_ntfs_stream_ struct ntfs_stream file = { 0 };
	uint8_t head[HIBER_HEADER];
	uint64_t reference;
	int r = find_hiberfil(fs, &reference);

	if (r != 1)
		return r == -ENOENT || r == -ERANGE ? -EBADMSG : r;
	r = ntfs_stream_open(fs, reference & 0xffffffffffff, NTFS_DATA, "", &file);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	/* Windows leaves a short file on a volume that belongs to a sleeping system elsewhere. */
	if (file.size < sizeof(head) || !file.plain)
		return 1;
	r = ntfs_stream_read(fs, &file, head, sizeof(head), 0);
	if (r < 0)
		return r;
	if (bytes_are_zero(head, sizeof(head)))
		return 0;
	/* Windows has woken from it since; what it did then, the dirty flag and the log tell. */
	return memcmp(head, "wake", 4) != 0 && memcmp(head, "WAKE", 4) != 0;
}
