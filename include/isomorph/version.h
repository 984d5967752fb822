/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The version of libisomorph and of the program on it. */
#ifndef ISOMORPH_VERSION_H
#define ISOMORPH_VERSION_H

#define ISOMORPH_VERSION "0.1.0"

#endif
