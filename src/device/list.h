/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The list of disks over one look at the machine. */
#ifndef DEVICE_LIST_H
#define DEVICE_LIST_H

#include "device/disk.h"

/** list_devices() - ism_devices() over a usage that is already there */
int list_devices(const struct usage *u, struct ism_device **ret, size_t *ret_n,
                 struct ism_error *err);

#endif
