/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The native image: an ordinary .zst file whose skippable frames make it a disk image.
 * doc/image-format.md is the specification; all integers are little-endian. */
#ifndef FORMAT_NATIVE_H
#define FORMAT_NATIVE_H

#include <assert.h>

#include <isomorph/medium.h>

#include "base/bytes.h"
#include "base/error.h"

#define NATIVE_MAGIC           0x184d2a59u /* skippable frame of ours */
#define NATIVE_MAGIC_SEEK      0x184d2a5eu /* seek table, zstd seekable format 0.1.0 */
#define NATIVE_SEEK_FOOTER     0x8f92eab1u
#define NATIVE_TAG             "ISOMORPH"
#define NATIVE_VERSION         1
#define NATIVE_HEADER_LEN      4096 /* F0, all of it */
#define NATIVE_CHUNK_SMALL     MIB
#define NATIVE_CHUNK_LARGE     (4 * MIB) /* for disks above NATIVE_LARGE_FROM */
#define NATIVE_LARGE_FROM      (4 * TIB)
#define NATIVE_GROUP           1024       /* chunks between two checkpoints */
#define NATIVE_LIST_MAX        (64 * MIB) /* payload of a hash or extent frame at most */
#define NATIVE_MANIFEST_MAX    (16 * MIB)
#define NATIVE_BLOCK           4096                /* unit in which zeros are told from data */
#define NATIVE_RUNS_MAX(chunk) ((chunk) / 512 + 1) /* runs in a chunk at most: one a sector */

enum native_kind {
	NATIVE_HEADER = 1,
	NATIVE_CHECKPOINT = 2,
	NATIVE_MANIFEST = 3,
	NATIVE_HASHES = 4,
	NATIVE_EXTENTS = 5,
};

enum native_flag {
	NATIVE_ALL = 1 << 0,       /* every sector was read */
	NATIVE_PARTITION = 1 << 1, /* one partition, not a whole disk */
	NATIVE_SKIPPED = 1 << 2,   /* has skipped extents */
};

/* Every frame of ours: 8 bytes of zstd's, this, a body, the SHA-256 of payload so far. */
struct native_frame_disk {
	le32 magic;
	le32 size; /* of the payload: all that follows */
	uint8_t tag[8];
	le16 version;
	le16 kind;
	le32 flags;
	le64 sequence; /* 0 for F0, one more for each frame of ours */
	uint8_t uuid[16];
};
static_assert(sizeof(struct native_frame_disk) == 48, "doc/image-format.md");

#define NATIVE_SUM_LEN  32
#define NATIVE_OVERHEAD (sizeof(struct native_frame_disk) + NATIVE_SUM_LEN)

struct native_header_disk {
	struct native_frame_disk frame;
	le64 size; /* of the disk, bytes; all ones: not known when the image was begun */
	le32 chunk_size;
	le32 sector_size;
	le32 physical_size;
	le32 partition;        /* number of the partition that this is, or 0 */
	le64 partition_offset; /* bytes from the start of its disk */
	le64 created;          /* seconds since 1970, UTC */
	uint8_t survey[32];    /* SHA-256 that a resumed capture must find again */
	uint8_t model[128];    /* of the source; UTF-8, zero-padded */
	uint8_t serial[128];
	uint8_t wwn[128];
	uint8_t bus[32];
	uint8_t zero[3528];
	uint8_t sum[NATIVE_SUM_LEN];
};
static_assert(sizeof(struct native_header_disk) == NATIVE_HEADER_LEN, "doc/image-format.md");

/* Behind it: `chunks` SHA-256 sums, then `runs` runs. */
struct native_checkpoint_disk {
	struct native_frame_disk frame;
	le64 first; /* index of the first chunk */
	le32 chunks;
	le32 runs;
	uint8_t survey[32];
};
static_assert(sizeof(struct native_checkpoint_disk) == 96, "doc/image-format.md");

/* Hash list and extent list: `count` items from item `first` on. */
struct native_list_disk {
	struct native_frame_disk frame;
	le64 first;
	le64 count;
};
static_assert(sizeof(struct native_list_disk) == 64, "doc/image-format.md");

struct native_run_disk {
	le64 offset, len; /* bytes of the disk */
	uint8_t kind;     /* enum ism_extent_kind */
};
static_assert(sizeof(struct native_run_disk) == 17, "doc/image-format.md");

struct native_seek_disk {
	le32 stored, len, checksum;
};
static_assert(sizeof(struct native_seek_disk) == 12, "zstd seekable format 0.1.0");

/** struct native_info - what an image is of; fixed strings as in the header */
struct native_info {
	uint64_t size; /* bytes; ISM_SIZE_UNKNOWN */
	uint32_t chunk_size, sector_size, physical_size;
	uint32_t flags;
	uint32_t partition;
	uint64_t partition_offset;
	uint64_t created;
	uint8_t uuid[16];
	uint8_t survey[32];
	char model[128], serial[128], wwn[128], bus[32];
};

/** native_seal() - fill in the frame head of @buf (@len bytes in all) and the sum at its end */
int native_seal(uint8_t *buf, size_t len, enum native_kind kind, uint32_t flags, uint64_t sequence,
                const uint8_t uuid[16]);
/**
 * native_check() - is @frame, whole, a sound frame of ours of @kind?
 * @uuid: NULL = any
 */
bool native_check(struct span frame, enum native_kind kind, const uint8_t *uuid);
/** native_header_make(), native_header_read() - struct native_info to and from the 4096 bytes of F0
 */
int native_header_make(const struct native_info *info, struct native_header_disk *ret);
int native_header_read(struct span bytes, struct native_info *ret, const char *name,
                       struct ism_error *err);

/** struct native_tree - the hash tree over the chunks, growing leaf by leaf; zero it first */
struct native_tree {
	uint64_t leaves;
	uint8_t nodes[64][32]; /* nodes[i] is valid where bit i of `leaves` is set */
};
void native_tree_add(struct native_tree *t, uint64_t len, const uint8_t sum[32]);
/** native_tree_root() - 32 zeros for no leaf */
void native_tree_root(const struct native_tree *t, uint8_t root[32]);

#endif
