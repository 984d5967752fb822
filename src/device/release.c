/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ejecting a medium and powering a disk off, after it was written and closed: SCSI START STOP UNIT,
 * then the USB port or the SCSI device is given back. Spec: SBC-4, 5.31; SPC-4, 6.25. */
#include "device/device.h"

#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device/sysblock.h"

#define COMMAND_MS 30000 /* a disk may take its time to write its cache out */

/* No data either way; true if the drive said yes. */
static bool scsi_command(int fd, unsigned char *cdb, unsigned char len)
{
	unsigned char sense[32] = { 0 };
	struct sg_io_hdr io = { .interface_id = 'S',
		                .dxfer_direction = SG_DXFER_NONE,
		                .cmd_len = len,
		                .cmdp = cdb,
		                .mx_sb_len = sizeof(sense),
		                .sbp = sense,
		                .timeout = COMMAND_MS };

	return ioctl(fd, SG_IO, &io) == 0 && (io.info & SG_INFO_OK_MASK) == SG_INFO_OK;
}

static bool scsi_sync(int fd)
{
	unsigned char cdb[10] = { 0x35 /* SYNCHRONIZE CACHE (10) */ };

	return scsi_command(fd, cdb, sizeof(cdb));
}

/* The kernel keeps the medium in while its device is open, as it is now. */
static bool scsi_allow_removal(int fd)
{
	unsigned char cdb[6] = { 0x1e /* PREVENT ALLOW MEDIUM REMOVAL: allow */ };

	return scsi_command(fd, cdb, sizeof(cdb));
}

/* @eject: LOEJ with START = 0 opens it; without, the unit stops. */
static bool scsi_stop(int fd, bool eject)
{
	unsigned char cdb[6] = { 0x1b /* START STOP UNIT */, 0, 0, 0, eject ? 2 : 0 };

	return scsi_command(fd, cdb, sizeof(cdb));
}

static int write_one(const char *path)
{
	_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, "1", 1) == 1 ? 0 : -errno;
}

/* The nearest USB device above, or NULL. */
static char *usb_remove_path(const char *dir)
{
	_free_ char *path = strdup(dir);

	for (char *slash; path && (slash = strrchr(path, '/')) && slash != path; *slash = 0) {
		_free_ char *vendor = text_format("%s/idVendor", path);
		_free_ char *file = text_format("%s/remove", path);

		if (vendor && file && access(vendor, F_OK) == 0)
			return take(file);
	}
	return NULL;
}

static int power_off(const struct target *t, int fd, struct ism_error *err)
{
	_free_ char *dir = sysblock_dir(&sys_root_host, t->device.dev);
	_free_ char *remove = dir ? usb_remove_path(dir) : NULL;
	int r;

	if (!remove && dir && sysblock_has(&sys_root_host, t->device.dev, "device/delete"))
		remove = text_format("%s/device/delete", dir);
	if (!remove) {
		ism_error_set(err, -EOPNOTSUPP, t->path, ISM_NO_OFFSET, "cannot be powered off");
		return ism_error_hint(err, "it is written and closed; it may be taken out");
	}
	scsi_sync(fd);
	scsi_stop(fd, false);
	r = write_one(remove);
	return r < 0 ? ism_error_errno(err, r, t->path, ISM_NO_OFFSET, "cannot power off") : 0;
}

static int eject(const struct target *t, int fd, struct ism_error *err)
{
	scsi_sync(fd); /* sticks without a cache say no, and need none */
	scsi_allow_removal(fd);
	if (scsi_stop(fd, true))
		return 0;
	ism_error_set(err, -EOPNOTSUPP, t->path, ISM_NO_OFFSET, "cannot be ejected");
	return ism_error_hint(err, "it is written and closed; it may be taken out");
}

int target_release(const struct target *t, enum target_after what, struct ism_error *err)
{
	struct stat st;

	if (what == TARGET_STAY || t->is_file)
		return 0;
	_close_ int fd = open(t->device.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return ism_error_errno(err, -errno, t->path, ISM_NO_OFFSET, "cannot open");
	if (fstat(fd, &st) < 0 || st.st_rdev != t->device.dev)
		return ism_error_refuse(err, -ESTALE, t->path, "is another disk than a moment ago");
	return what == TARGET_EJECT ? eject(t, fd, err) : power_off(t, fd, err);
}
