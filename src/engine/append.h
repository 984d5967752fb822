/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Capturing: a runner whose target is a native image that grows at its end. */
#ifndef ENGINE_APPEND_H
#define ENGINE_APPEND_H

#include <jansson.h>

#include "engine/runner.h"
#include "format/native_read.h"

/**
 * struct capture - what a native image is made of, besides the bytes
 * @level:   of compression, as zstd's; 0 = 3
 * @threads: that encode; 0 = one a processor
 * @survey:  for the manifest: table, file systems; owned
 */
struct capture {
	struct native_info info;
	int level;
	unsigned threads;
	const char *source_name;
	json_t *survey;
	bool resumes; /* goes on with an unfinished image: */
	struct medium *part;
	struct native_image kept; /* what it holds, as far as its last sound checkpoint */
};

/** append_run() - instead of the runner's own way, when r->capture is set */
int append_run(struct runner *r);

#endif
