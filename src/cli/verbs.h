/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of each command. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli.h"

extern const struct verb verb_devices;
extern const struct verb verb_capture;
extern const struct verb verb_clone;
extern const struct verb verb_erase;
extern const struct verb verb_help;
extern const struct verb verb_inspect;
extern const struct verb verb_restore;
extern const struct verb verb_undo;
extern const struct verb verb_verify;
extern const struct verb verb_write;

#endif
