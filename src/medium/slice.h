/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A part of a random medium as a medium of its own: a partition, as a file system sees it.
 * Read-only. */
#ifndef MEDIUM_SLICE_H
#define MEDIUM_SLICE_H

#include "medium/medium.h"

/** slice_open() - bytes [offset, offset + size) of @below, which is not owned and must live longer
 */
int slice_open(struct medium *below, uint64_t offset, uint64_t size, struct medium **ret,
               struct ism_error *err);

#endif
