/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files that are taken for disk images and are none: archives, failed downloads, virtual disks. */
#ifndef FORMAT_FOREIGN_H
#define FORMAT_FOREIGN_H

#include "medium/medium.h"

/**
 * foreign_check() - refuse what is plainly no disk image, by its strong magic
 * @head: the first @len bytes of @m, which is not consumed
 * A boot signature at byte 510 or an ISO 9660 descriptor makes anything a disk.
 * Return: 0, or -EOPNOTSUPP with a sentence that says what it is and what to do.
 */
int foreign_check(struct medium *m, const uint8_t *head, size_t len, struct ism_error *err);

#endif
