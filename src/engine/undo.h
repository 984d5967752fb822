/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeping what a job overwrites, and proving before it is put back that nobody else has written
 * since. */
#ifndef ENGINE_UNDO_H
#define ENGINE_UNDO_H

#include "device/device.h"
#include "format/undo.h"

struct undo;

/**
 * undo_create() - start the undo file @path for @target, or go on with an unfinished one of the
 * same target A finished one, or another target's, is refused.
 */
int undo_create(const char *path, const struct target *target, uint64_t size, uint32_t sector_size,
                struct undo **ret, struct ism_error *err);
struct undo *undo_free(struct undo *u);
/** undo_keep() - what [offset, offset + len) holds now; parts that are kept already are left out */
int undo_keep(struct undo *u, uint64_t offset, const uint8_t *old, size_t len,
              struct ism_error *err);
/** undo_commit() - all that was kept is durable; before the first byte of it is overwritten */
int undo_commit(struct undo *u, struct ism_error *err);
/** undo_note_new() - what was put there, so that a later change by others can be told */
int undo_note_new(struct undo *u, uint64_t offset, const uint8_t *data, size_t len,
                  struct ism_error *err);
/** undo_finish() - the job came to its end */
int undo_finish(struct undo *u, struct ism_error *err);

/**
 * undo_check() - does @target still hold what the job left there, or what was there before it?
 * @source: the opened undo file. A range that is neither is refused, with its offset.
 */
int undo_check(struct medium *source, struct medium *target, struct ism_error *err);
/** undo_covers() - the whole of [from, to) was kept */
bool undo_covers(const struct undo_index *index, uint64_t from, uint64_t to);

#endif
