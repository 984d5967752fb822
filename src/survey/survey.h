/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a disk holds: table, partitions, file systems, and from them the map of its bytes in use. */
#ifndef SURVEY_SURVEY_H
#define SURVEY_SURVEY_H

#include <jansson.h>

#include "fs/map.h"
#include "table/table.h"

/** struct survey_part - one partition, or the file system on a bare disk (number 0) */
struct survey_part {
	unsigned number;
	uint64_t offset, size; /* bytes */
	char type[40];         /* of the table's entry */
	char *name;            /* owned, NULL */
	struct fs_facts fs;    /* fs.type NULL: nothing recognised */
	char *content;         /* what was recognised: "ext4", "LVM2_member"; owned, NULL */
	uint64_t used;         /* bytes */
};

/** struct survey - of a whole disk; survey_clear() when done */
struct survey {
	const char *table; /* "gpt", "dos", "apm", "none" */
	uint64_t size;
	struct survey_part *parts;
	size_t n_parts;
	struct fs_map map; /* finished: bytes in use; everything outside partitions is */
	char **notes;      /* NULL-terminated sentences for the plan; may be NULL */
	size_t n_notes;
};

/**
 * survey_read() - look at all of a random medium
 * What is damaged or not understood counts as used, with a note.
 * Return: 0; -ENOMEM, -ECANCELED.
 */
int survey_read(struct medium *m, struct survey *ret, struct ism_error *err);
void survey_clear(struct survey *s);
/** survey_json() - for the manifest and for inspect; new reference, NULL when out of memory */
json_t *survey_json(const struct survey *s);
/** survey_digest() - SHA-256 that two surveys of the same disk in the same state share */
int survey_digest(const struct survey *s, uint8_t sum[32]);

/**
 * mapped_open() - @m as a source whose bytes outside @map are unused extents
 * @m: taken over on success; @map: moved into the medium on success
 */
int mapped_open(struct medium *m, struct fs_map *map, struct medium **ret, struct ism_error *err);

#endif
