/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A medium over bytes in memory: what tests and fuzz targets read from. */
#ifndef MEDIUM_MEMORY_H
#define MEDIUM_MEMORY_H

#include "medium/medium.h"

/**
 * medium_memory() - a read-only medium over @len bytes at @data
 * @data:    not copied, not owned; must outlive the medium; may be NULL if @len is 0
 * @forward: behave like a pipe: size unknown, to be read once from start to end
 */
int medium_memory(const void *data, size_t len, bool forward, struct medium **ret,
                  struct ism_error *err);

#endif
