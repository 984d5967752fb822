/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pages of doc/guide, which are part of the program. */
#ifndef CLI_GUIDE_H
#define CLI_GUIDE_H

/** struct guide_page - one task; a NULL name ends the list */
struct guide_page {
	const char *name;  /* of the file, without .md: "make-a-bootable-usb" */
	const char *title; /* its heading */
	const char *words; /* other words for the task */
	const char *text;  /* as a terminal shows it */
};

extern const struct guide_page guide_pages[];

#endif
