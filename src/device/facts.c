/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The facts of one disk from sysfs alone, so that they are there without udevd and without root;
 * udev's database is asked only for a serial number that sysfs does not have. */
#include "device/disk.h"

#include <ctype.h>
#include <dirent.h>
#include <libudev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/bytes.h"

#define SECTOR 512 /* the unit of sizes in sysfs, whatever the disk's sector is */

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

void disk_clear(struct ism_device *d)
{
	free(d->path);
	free(d->by_id);
	free(d->vendor);
	free(d->model);
	free(d->serial);
	free(d->wwn);
	free(d->bus);
	free(d->table);
	free(d->protected_why);
	for (size_t i = 0; i < d->n_parts; i++) {
		struct ism_partition *p = &d->parts[i];

		free(p->path);
		free(p->fs_type);
		free(p->label);
		free(p->uuid);
		free(p->part_label);
		for (char **m = p->mounts; m && *m; m++)
			free(*m);
		free(p->mounts);
		free(p->used_by);
	}
	free(d->parts);
	*d = (struct ism_device){ 0 };
}

/* A folder of this kind is on the way: "/usb" matches "/usb1/", "/ata" "/ata3/"; not "/atax/". */
static bool path_has(const char *path, const char *segment)
{
	size_t n = strlen(segment);

	for (const char *p = path; (p = strstr(p, segment)); p += n) {
		const char *rest = p + n;

		while (isdigit((unsigned char)*rest))
			rest++;
		if (*rest == '/' || *rest == 0)
			return true;
	}
	return false;
}

static const char *disk_bus(const struct sys_root *root, uint64_t dev, const char *dir)
{
	static const struct {
		const char *attr, *bus;
	} virtual[] = { { "loop", "loop" },     { "dm", "dm" },   { "md", "md" },
		        { "bcache", "bcache" }, { "pid", "nbd" }, { "backing_dev", "zram" } };
	static const struct {
		const char *segment, *bus;
	} buses[] = { { "/usb", "usb" },
		      { "/mmc_host", "mmc" },
		      { "/memstick", "memstick" },
		      { "/fw", "firewire" },
		      { "/ata", "ata" },
		      { "/nvme", "nvme" },
		      { "/nvme-subsystem", "nvme" },
		      { "/vbd-", "xen" },
		      { "/virtio", "virtio" } };

	for (size_t i = 0; i < ARRAY_LEN(virtual); i++)
		if (sysblock_has(root, dev, virtual[i].attr))
			return virtual[i].bus;
	if (major(dev) == 7)
		return "loop";
	for (size_t i = 0; i < ARRAY_LEN(buses); i++)
		if (path_has(dir, buses[i].segment)) {
			/* virtio-scsi is a SCSI host on virtio */
			if (strcmp(buses[i].bus, "virtio") == 0 && path_has(dir, "/host"))
				return "scsi";
			return buses[i].bus;
		}
	return path_has(dir, "/host") ? "scsi" : NULL;
}

static char *text_visible(char *s)
{
	for (char *p = s; p && *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	return s;
}

/* INQUIRY page 0x80: 4 bytes of header, length in bytes 2 and 3, then text. SPC-4, 7.8.15. */
static char *serial_from_vpd(const struct sys_root *root, uint64_t dev)
{
	_free_ char *path = text_format("%s/dev/block/%u:%u/device/vpd_pg80", root->sys, major(dev),
	                                minor(dev));
	_free_ char *page = NULL;
	size_t len, start = 4;

	if (!path || text_read(path, 4096, &page, &len) < 0 || len < 4 || page[1] != (char)0x80)
		return NULL;
	len = MIN(len, 4 + ((size_t)(uint8_t)page[2] << 8 | (uint8_t)page[3]));
	while (start < len && isspace((unsigned char)page[start]))
		start++;
	while (len > start && (isspace((unsigned char)page[len - 1]) || !page[len - 1]))
		len--;
	return len > start ? text_visible(strndup(page + start, len - start)) : NULL;
}

/* The nearest folder above that is a USB device has its serial number. */
static char *serial_from_usb(const char *dir)
{
	_free_ char *path = strdup(dir);

	while (path && *path) {
		_free_ char *vendor = text_format("%s/idVendor", path);
		_free_ char *file = text_format("%s/serial", path);
		char *text = NULL;

		if (vendor && access(vendor, F_OK) == 0) {
			if (!file || text_read(file, 4096, &text, NULL) < 0)
				return NULL;
			text[strcspn(text, "\n")] = 0;
			return text_visible(text);
		}
		char *slash = strrchr(path, '/');

		if (!slash)
			break;
		*slash = 0;
	}
	return NULL;
}

static char *serial_from_udev(uint64_t dev)
{
	struct udev *udev = udev_new();
	struct udev_device *d = udev ? udev_device_new_from_devnum(udev, 'b', dev) : NULL;
	const char *text = d ? udev_device_get_property_value(d, "ID_SERIAL_SHORT") : NULL;
	char *copy = text ? strdup(text) : NULL;

	udev_device_unref(d);
	udev_unref(udev);
	return copy;
}

static char *disk_serial(const struct sys_root *root, uint64_t dev, const char *dir,
                         const char *bus)
{
	static const char *const attrs[] = { "device/serial", "serial", "dm/uuid", "md/uuid" };
	char *text = NULL;

	if (bus && strcmp(bus, "usb") == 0)
		text = serial_from_usb(dir);
	for (size_t i = 0; !text && i < ARRAY_LEN(attrs); i++)
		text = text_visible(sysblock_attr(root, dev, attrs[i]));
	if (!text)
		text = serial_from_vpd(root, dev);
	if (!text && root->host)
		text = serial_from_udev(dev);
	return text;
}

/* Names that are one disk's alone; "t10." repeats vendor, model and serial number only. */
static char *disk_wwn(const struct sys_root *root, uint64_t dev)
{
	static const char *const attrs[] = { "wwid", "device/wwid" };

	for (size_t i = 0; i < ARRAY_LEN(attrs); i++) {
		_free_ char *text = sysblock_attr(root, dev, attrs[i]);

		if (text && strncmp(text, "t10.", 4) != 0)
			return text_visible(take(text));
	}
	return NULL;
}

static char *disk_model(const struct sys_root *root, uint64_t dev)
{
	static const char *const attrs[] = { "device/model", "device/name", "dm/name",
		                             "loop/backing_file" };

	for (size_t i = 0; i < ARRAY_LEN(attrs); i++) {
		char *text = sysblock_attr(root, dev, attrs[i]);

		if (text)
			return text_visible(text);
	}
	return NULL;
}

/* The first by-id name that is made of words; those of numbers only if there is no other. */
static char *disk_by_id(uint64_t dev)
{
	static const char folder[] = "/dev/disk/by-id";
	CLEANUP(dir_closep) DIR *d = opendir(folder);
	_free_ char *best = NULL;
	bool best_plain = false;

	if (!d)
		return NULL;
	for (struct dirent *e; (e = readdir(d));) {
		_free_ char *path = text_format("%s/%s", folder, e->d_name);
		bool plain = strncmp(e->d_name, "wwn-", 4) == 0 ||
		             strncmp(e->d_name, "nvme-eui.", 9) == 0 ||
		             strncmp(e->d_name, "scsi-", 5) == 0;
		struct stat st;

		if (!path || stat(path, &st) < 0 || !S_ISBLK(st.st_mode) || st.st_rdev != dev)
			continue;
		if (!best || (best_plain && !plain) ||
		    (best_plain == plain && strcmp(path, best) < 0)) {
			free(best);
			best = take(path);
			best_plain = plain;
		}
	}
	return take(best);
}

/* Soldered or built in: not a stick, not a card, not a loop device. */
static bool disk_is_fixed(const struct sys_root *root, const struct ism_device *d)
{
	static const char *const loose[] = { "usb", "loop", "nbd", "memstick", "firewire" };

	if (d->removable)
		return false;
	for (size_t i = 0; d->bus && i < ARRAY_LEN(loose); i++)
		if (strcmp(d->bus, loose[i]) == 0)
			return false;
	if (d->bus && strcmp(d->bus, "mmc") == 0) {
		_free_ char *type = sysblock_attr(root, d->dev, "device/type");

		return !type || strcmp(type, "SD") != 0;
	}
	return true;
}

static bool has_empty_vendor(const char *vendor)
{
	return !vendor || strncmp(vendor, "0x", 2) == 0 || strcmp(vendor, "ATA") == 0;
}

int disk_facts(const struct sys_root *root, uint64_t dev, struct ism_device *ret,
               struct ism_error *err)
{
	_free_ char *dir = sysblock_dir(root, dev);
	struct ism_device d = { .dev = dev };

	if (!dir)
		return ism_error_set(err, -ENODEV, NULL, ISM_NO_OFFSET,
		                     "the kernel does not know a disk %u:%u", major(dev),
		                     minor(dev));
	const char *bus = disk_bus(root, dev, dir);

	d.path = sysblock_node(root, dev);
	d.bus = bus ? strdup(bus) : NULL;
	d.vendor = text_visible(sysblock_attr(root, dev, "device/vendor"));
	if (has_empty_vendor(d.vendor)) {
		free(d.vendor);
		d.vendor = NULL;
	}
	d.model = disk_model(root, dev);
	d.serial = disk_serial(root, dev, dir, bus);
	d.wwn = disk_wwn(root, dev);
	d.by_id = root->host ? disk_by_id(dev) : NULL;
	d.size = sysblock_number(root, dev, "size", 0);
	if (mul_overflows(d.size, (uint64_t)SECTOR, &d.size))
		d.size = 0;
	d.sector_size = (uint32_t)sysblock_number(root, dev, "queue/logical_block_size", SECTOR);
	d.physical_size =
		(uint32_t)sysblock_number(root, dev, "queue/physical_block_size", d.sector_size);
	d.diskseq = sysblock_number(root, dev, "diskseq", 0);
	d.removable = sysblock_number(root, dev, "removable", 0) == 1;
	d.read_only = sysblock_number(root, dev, "ro", 0) == 1;
	d.rotational = sysblock_number(root, dev, "queue/rotational", 0) == 1;
	d.fixed = disk_is_fixed(root, &d);
	if (!d.path) {
		disk_clear(&d);
		return ism_error_oom(err);
	}
	*ret = d;
	return 0;
}

/* SCSI type 5 is a CD drive, 1 a tape; a RAM disk has no queue that ends anywhere. */
bool disk_is_target(const struct sys_root *root, uint64_t dev)
{
	static const unsigned never[] = { 1 /* ram */, 2 /* fd */, 11 /* sr */, 31 /* mtdblock */ };
	_free_ char *uuid = sysblock_attr(root, dev, "dm/uuid");
	_free_ char *bus_type = sysblock_attr(root, dev, "device/type");

	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (major(dev) == never[i])
			return false;
	if (sysblock_number(root, dev, "size", 0) == 0 ||
	    sysblock_number(root, dev, "hidden", 0) == 1 ||
	    sysblock_has(root, dev, "comp_algorithm") || sysblock_has(root, dev, "force_ro"))
		return false;
	if (bus_type && strcmp(bus_type, "5") == 0)
		return false;
	if (sysblock_has(root, dev, "dm"))
		return uuid && strncmp(uuid, "mpath-", 6) == 0;
	return true;
}
