/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Picks the lines about one disk out of the kernel's log. */
#ifndef DEVICE_WORDS_H
#define DEVICE_WORDS_H

/** words_match() - the text of a /dev/kmsg record if it is about this disk; malloc'ed or NULL */
char *words_match(const char *record, const char *name, unsigned ma, unsigned mi);

#endif
