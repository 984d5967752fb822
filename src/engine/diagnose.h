/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What bytes that should be others look like: the difference between a dying stick, a fake one and
 * a lost write. */
#ifndef ENGINE_DIAGNOSE_H
#define ENGINE_DIAGNOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <isomorph/job.h>

/** first_difference() - index of the first byte in which a and b differ; len if none */
size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len);
/**
 * next_differing_range() - whole blocks of 4 KiB in which a and b differ, at or behind @start;
 * ranges that lie close together are one, since a request costs more than the bytes between them
 */
bool next_differing_range(const uint8_t *a, const uint8_t *b, size_t len, size_t start,
                          size_t *ret_from, size_t *ret_to);
/** diagnose() - the kind of the difference
 * @want: what should be there; NULL = not at hand, then only what @got itself shows
 * @at:   index of the first difference; 0 if @want is NULL
 */
enum ism_mismatch_kind diagnose(const uint8_t *got, const uint8_t *want, size_t len, size_t at);

#endif
