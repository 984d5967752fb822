/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the check of a target and its opening share. */
#ifndef DEVICE_CHECK_H
#define DEVICE_CHECK_H

#include "device/device.h"
#include "device/disk.h"
#include "device/guard.h"

/** check_refuse_in_use() - the kernel said EBUSY to O_EXCL */
int check_refuse_in_use(const struct target *t, struct ism_error *err);
/** unmount_all() - unmount what is mounted on the target; never forced, never lazily */
int unmount_all(const struct target *t, struct ism_error *err);

#endif
