/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A medium that misbehaves as it is told: for tests of everything that must survive bad media. */
#ifndef MEDIUM_FAULTY_H
#define MEDIUM_FAULTY_H

#include "medium/medium.h"

/**
 * faulty_wrap() - *@m is replaced by one that has the faults of @spec
 * @spec: comma-separated; numbers are bytes and take K, M, G:
 *   read-error@O[+L]   reading any of these L (default 512) bytes is EIO
 *   write-error@O[+L]  writing them is EIO
 *   stale@O[+L]        writes to them are acknowledged and lost
 *   flip@O             the lowest bit of the byte at O is wrong when it is read
 *   zeros@O[+L], ones@O[+L]  what is read there
 *   wrap=S             the medium really has S bytes; addresses are taken modulo S
 *   short@O            a read that passes O ends there
 *   full@O             writing at or behind O is ENOSPC
 *   gone@O             once O was touched every request is ENODEV
 *   stall@O            a request that touches O never ends (until the program does)
 *   freeze@O           the first request that touches O is EIO, and none after it ever ends
 *   read-bps=N, write-bps=N  no faster than N bytes a second
 *   flush-ms=N         a flush takes N milliseconds more
 */
int faulty_wrap(struct medium **m, const char *spec, struct ism_error *err);
/** faulty_spec_for() - what the environment variable ISOMORPH_FAULTY ("PATH=SPEC;PATH=SPEC") says
 * of @path; malloc'ed, NULL if nothing */
char *faulty_spec_for(const char *path);

#endif
