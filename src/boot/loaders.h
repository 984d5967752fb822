/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What firmware would find to start on a disk or a disc. */
#ifndef BOOT_LOADERS_H
#define BOOT_LOADERS_H

#include "boot/media.h"

/** loaders_on_disk() - read as a disk or stick. Return: 0, -ENOMEM, -ECANCELED */
int loaders_on_disk(const struct view *v, const struct table *t, struct media_boots *ret);
/** loaders_on_disc() - read as a CD or DVD; returns as above */
int loaders_on_disc(const struct view *v, const struct iso9660 *iso, struct media_boots *ret);

#endif
