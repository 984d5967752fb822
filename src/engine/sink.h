/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The file, or pipe, that an image is appended to: whole MiB at a time, each remembered by its
 * digest until the file was read back. */
#ifndef ENGINE_SINK_H
#define ENGINE_SINK_H

#include <stdatomic.h>

#include "format/native_write.h"
#include "medium/medium.h"

struct sink;

/** sink_new() - @m: a new regular file, not owned; NULL = standard output */
struct sink *sink_new(struct medium *m, struct ism_error *err);
struct sink *sink_free(struct sink *s);
/** sink_resume() - the first @position bytes are there already; what is behind them is cut off */
int sink_resume(struct sink *s, uint64_t position, struct ism_error *err);
/** sink_native() - as native_writer_new() wants it */
struct native_sink sink_native(struct sink *s);
uint64_t sink_length(const struct sink *s);
/** sink_finish() - the rest is written, the length is right, all is durable */
int sink_finish(struct sink *s, struct ism_error *err);
/** sink_read_back() - the file, past the cache, is what was appended; @done counts bytes */
int sink_read_back(struct sink *s, atomic_ullong *done, const atomic_bool *stop,
                   const char **ret_how, struct ism_error *err);

#endif
