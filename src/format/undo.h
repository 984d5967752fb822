/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The undo file: what a target held before it was overwritten. Written by engine/undo.c while a job
 * runs, read here. Little-endian: a header of 4096 bytes, then records; a cut-off last record is
 * ignored. */
#ifndef FORMAT_UNDO_H
#define FORMAT_UNDO_H

#include <assert.h>

#include "base/bytes.h"
#include "medium/medium.h"

#define UNDO_MAGIC "ISMUNDO1"
#define UNDO_TAG_OLD \
	0x20444c4fu /* "OLD ": what was there; payload: zstd frame, or the bytes as they were */
#define UNDO_TAG_NEW  0x2057454eu /* "NEW ": SHA-256 of what was put there; no payload */
#define UNDO_TAG_DONE 0x454e4f44u /* "DONE": the job came to its end; no payload */
#define UNDO_LEN_MAX  ((uint64_t)MIB)
#define UNDO_RECORDS_MAX \
	(4u << 20) /* 4 TiB in pieces of 1 MiB; bounds what an index can take to 256 MiB */

struct undo_header_disk {
	uint8_t magic[8];
	le32 version; /* 1 */
	le32 sector_size;
	le64 target_size;
	uint8_t uuid[16];
	uint8_t target[256]; /* model and serial of the target, UTF-8, zero-terminated: for people
	                      */
	uint8_t zero[4096 - 8 - 4 - 4 - 8 - 16 - 256 - 32];
	uint8_t sha256[32]; /* of all before it */
};
static_assert(sizeof(struct undo_header_disk) == 4096, "doc/undo-file.md");

struct undo_record_disk {
	le32 tag;
	le32 stored;         /* bytes of payload that follow */
	le64 offset;         /* bytes into the target */
	le64 len;            /* bytes of the target, 1 … 1 MiB; 0 for DONE */
	uint8_t sha256[32];  /* of those bytes */
	le64 payload_digest; /* XXH3-64 of the payload */
	le64 digest;         /* XXH3-64 of this record before this field */
};
static_assert(sizeof(struct undo_record_disk) == 72, "doc/undo-file.md");

/** struct undo_entry - one record of an undo file */
struct undo_entry {
	uint64_t offset, len;
	uint64_t payload; /* where it starts in the file */
	uint32_t stored;
	uint8_t sha256[32];
};

/** struct undo_index - all records of an undo file; arrays sorted by offset, old ones never overlap
 */
struct undo_index {
	struct undo_header_disk header;
	struct undo_entry *old, *new;
	size_t n_old, n_new;
	uint64_t end; /* of the last whole record, bytes into the file */
	bool done;
};

/** undo_index_read() - read all records; -EBADMSG when it is no undo file or its records contradict
 * each other */
int undo_index_read(struct medium *file, struct undo_index *ret, struct ism_error *err);
void undo_index_clear(struct undo_index *index);
/** undo_index_of() - the index of a medium that the "undo" format has opened; NULL for any other */
const struct undo_index *undo_index_of(const struct medium *m);

#endif
