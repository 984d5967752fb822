/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Verifying an image alone: a runner without a target that reads all of the source. */
#ifndef ENGINE_CHECK_H
#define ENGINE_CHECK_H

#include "engine/runner.h"

/** check_run() - instead of the runner's own way, when r->check is set */
int check_run(struct runner *r);

#endif
