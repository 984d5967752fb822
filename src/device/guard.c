/* SPDX-License-Identifier: GPL-3.0-or-later */
/* May this disk be written? Each question refuses with one sentence. DESIGN §4.1: never the wrong
 * disk. */
#include "device/guard.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

void guard_unit_free(struct guard_unit *unit)
{
	devset_free(&unit->own);
	devset_free(&unit->all);
}

/* A name that is one disk's alone, from its vendor. Cheap USB bridges all give the same one. */
static char *disk_wwid(const struct usage *u, uint64_t whole)
{
	_free_ char *dir = sysblock_dir(u->root, whole);
	_free_ char *wwid = sysblock_attr(u->root, whole, "device/wwid");

	if (!wwid)
		wwid = sysblock_attr(u->root, whole, "wwid");
	if (!dir || strstr(dir, "/usb") || !wwid ||
	    (strncmp(wwid, "naa.", 4) != 0 && strncmp(wwid, "eui.", 4) != 0) ||
	    strspn(wwid + 4, "0") == strlen(wwid + 4))
		return NULL;
	return take(wwid);
}

/* The kernel shows a disk twice when there are two paths to it and no multipath. */
static int unit_add_twins(struct guard_unit *unit, const struct usage *u, uint64_t whole)
{
	_free_ char *wwid = disk_wwid(u, whole);
	_devset_ struct devset disks = { 0 };
	uint64_t size = sysblock_number(u->root, whole, "size", 0);
	int r = wwid ? sysblock_disks(u->root, &disks) : 0;

	for (size_t i = 0; r >= 0 && i < disks.n; i++) {
		_free_ char *other = disk_wwid(u, disks.devs[i]);

		if (!other || strcmp(other, wwid) != 0 ||
		    sysblock_number(u->root, disks.devs[i], "size", 0) != size)
			continue;
		r = devset_add(&unit->own, disks.devs[i]);
		if (r >= 0)
			r = sysblock_partitions(u->root, disks.devs[i], &unit->own);
	}
	return r;
}

/* Partitions may overlap: extended ones, those of hybrid ISOs. */
static int unit_add_overlaps(struct guard_unit *unit, const struct usage *u, uint64_t dev,
                             uint64_t whole)
{
	_devset_ struct devset parts = { 0 };
	uint64_t start = sysblock_number(u->root, dev, "start", 0);
	uint64_t size = sysblock_number(u->root, dev, "size", 0);
	int r = sysblock_partitions(u->root, whole, &parts);

	for (size_t i = 0; r >= 0 && i < parts.n; i++) {
		uint64_t s = sysblock_number(u->root, parts.devs[i], "start", 0);
		uint64_t n = sysblock_number(u->root, parts.devs[i], "size", 0);

		if (s < start ? start - s < n : s - start < size)
			r = devset_add(&unit->own, parts.devs[i]);
	}
	return r;
}

int guard_unit_of(struct guard_unit *unit, const struct usage *u, uint64_t dev)
{
	uint64_t whole = sysblock_whole(u->root, dev);
	int r = devset_add(&unit->own, dev);

	if (r >= 0)
		r = sysblock_partitions(u->root, dev, &unit->own);
	if (r >= 0)
		r = whole == dev ? unit_add_twins(unit, u, whole)
		                 : unit_add_overlaps(unit, u, dev, whole);
	for (size_t i = 0; r >= 0 && i < unit->own.n; i++)
		r = devset_add(&unit->all, unit->own.devs[i]);
	return r < 0 ? r : usage_up(u, &unit->all);
}

int guard_uses(const struct usage *u, const struct mount *m, const struct devset *set)
{
	_devset_ struct devset devs = { 0 };
	int r;

	/* An overlay is no use of its own: the mounts below it are, and they are seen. */
	if (major(m->dev) == 0 && strcmp(m->type, "overlay") == 0)
		return 0;
	r = usage_mount_devs(u, m, &devs);
	return r < 0 ? r : devset_meets(&devs, set);
}

/* A mount of the system we run on, in our namespace or in that of process 1. */
static bool mount_is_ours(const struct mount *m)
{
	return m->own || m->pid == 1;
}

static int guard_system(const struct usage *u, const struct guard_unit *unit, const char *where,
                        struct ism_error *err)
{
	for (size_t i = 0; i < u->mounts.n; i++) {
		const struct mount *m = &u->mounts.list[i];
		_devset_ struct devset devs = { 0 };

		if (!mount_is_ours(m) || !mount_is_system(m->point))
			continue;
		int r = usage_mount_devs(u, m, &devs);

		if (r >= 0)
			r = usage_down(u, &devs);
		if (r < 0)
			return r;
		if (devset_meets(&devs, &unit->own)) {
			ism_error_refuse(err, -EBUSY, where, "carries the running system (%s)",
			                 m->point);
			return ism_error_hint(err, "name another disk; to write this one, start "
			                           "the computer from another medium");
		}
	}
	return 0;
}

bool guard_can_unmount(const struct usage *u, const struct guard_unit *unit, const struct mount *m)
{
	return m->own && !mount_is_system(m->point) && guard_uses(u, m, &unit->own) == 1;
}

/* A mount seen from another root is ours as well; one in another namespace goes with ours when it
 * is a copy of it; after unmounting it is looked at again.
 */
static bool has_undoable_twin(const struct usage *u, const struct guard_unit *unit,
                              const struct mount *m)
{
	for (size_t i = 0; i < u->mounts.n; i++) {
		const struct mount *other = &u->mounts.list[i];

		bool twin = other->ns == m->ns
		                    ? other->id == m->id
		                    : other->dev == m->dev && strcmp(other->point, m->point) == 0;

		if (twin && guard_can_unmount(u, unit, other))
			return true;
	}
	return false;
}

static int mount_hint(const struct usage *u, const struct guard_unit *unit, const struct mount *m,
                      struct ism_error *err)
{
	if (!m->own && m->pid == 1)
		return ism_error_hint(err, "leave the chroot or container and unmount it there");
	if (!m->own)
		return ism_error_hint(err, "stop the container or service that process %d is of",
		                      (int)m->pid);
	if (mount_is_system(m->point))
		return ism_error_hint(err,
		                      "this file system is never unmounted; name another disk");
	if (guard_can_unmount(u, unit, m))
		return ism_error_hint(err, "unmount it (umount '%s'), or give --unmount", m->point);
	return ism_error_hint(err, "unmount it (umount '%s') and stop the device %s", m->point,
	                      m->source);
}

static int mount_refuse(const struct usage *u, const struct guard_unit *unit, const struct mount *m,
                        const char *where, struct ism_error *err)
{
	if (!m->own)
		ism_error_refuse(err, -EBUSY, where,
		                 "is mounted at %s in another mount namespace (process %d)",
		                 m->point, (int)m->pid);
	else if (*m->source == '/')
		ism_error_refuse(err, -EBUSY, where, "is mounted at %s (%s)", m->point, m->source);
	else
		ism_error_refuse(err, -EBUSY, where, "is mounted at %s", m->point);
	return mount_hint(u, unit, m, err);
}

static int guard_mounted(const struct usage *u, const struct guard_unit *unit, const char *where,
                         bool unmount, struct ism_error *err)
{
	for (size_t i = 0; i < u->mounts.n; i++) {
		const struct mount *m = &u->mounts.list[i];
		int r = guard_uses(u, m, &unit->all);

		if (r < 0)
			return r;
		if (r == 0 || (unmount && (guard_can_unmount(u, unit, m) ||
		                           (!m->own && has_undoable_twin(u, unit, m)))))
			continue;
		return mount_refuse(u, unit, m, where, err);
	}
	return 0;
}

static int guard_swap(const struct usage *u, const struct guard_unit *unit, const char *where,
                      struct ism_error *err)
{
	for (size_t i = 0; i < u->swaps.n; i++) {
		uint64_t dev = usage_swap_dev(u, i);

		if (!dev || !devset_has(&unit->all, dev))
			continue;
		ism_error_refuse(err, -EBUSY, where, "holds swap space in use (%s)",
		                 u->swaps.list[i]);
		return ism_error_hint(err, "switch it off: swapoff %s", u->swaps.list[i]);
	}
	return 0;
}

static int holder_hint(const struct usage *u, uint64_t holder, struct ism_error *err)
{
	_free_ char *uuid = sysblock_attr(u->root, holder, "dm/uuid");
	_free_ char *dm = sysblock_attr(u->root, holder, "dm/name");
	_free_ char *node = sysblock_node(u->root, holder);

	if (usage_loop(u, holder))
		return ism_error_hint(err, "detach it: losetup -d %s", node);
	if (uuid && dm && strncmp(uuid, "mpath-", 6) == 0)
		return ism_error_hint(err, "name the multipath disk instead: /dev/mapper/%s", dm);
	if (uuid && strncmp(uuid, "LVM-", 4) == 0)
		return ism_error_hint(err, "deactivate its volume group: vgchange -an");
	if (uuid && dm && strncmp(uuid, "CRYPT-", 6) == 0)
		return ism_error_hint(err, "close it: cryptsetup close %s", dm);
	if (uuid && dm && strncmp(uuid, "part", 4) == 0)
		return ism_error_hint(err, "remove its partition mappings: kpartx -d");
	if (sysblock_has(u->root, holder, "md"))
		return ism_error_hint(err, "stop the array: mdadm --stop %s", node);
	if (dm)
		return ism_error_hint(err, "remove it: dmsetup remove %s", dm);
	return ism_error_hint(err, "stop what holds it");
}

/* What stands on the disk and is not the disk. */
static int guard_holders(const struct usage *u, const struct guard_unit *unit, const char *where,
                         struct ism_error *err)
{
	for (size_t i = unit->own.n; i < unit->all.n; i++) {
		_free_ char *label = sysblock_label(u->root, unit->all.devs[i]);

		ism_error_refuse(err, -EBUSY, where, "is in use by %s", label);
		return holder_hint(u, unit->all.devs[i], err);
	}
	return 0;
}

static int guard_btrfs(const struct usage *u, const struct guard_unit *unit, const char *where,
                       bool unmount, struct ism_error *err)
{
	for (size_t i = 0; !unmount && i < u->n_btrfs; i++)
		if (devset_meets(&u->btrfs[i], &unit->all)) {
			ism_error_refuse(err, -EBUSY, where, "is part of a btrfs that is mounted");
			return ism_error_hint(err, "unmount that file system");
		}
	return 0;
}

int guard_busy(const struct usage *u, const struct guard_unit *unit, const char *where,
               bool unmount, struct ism_error *err)
{
	int r = guard_system(u, unit, where, err);

	if (r == 0)
		r = guard_mounted(u, unit, where, unmount, err);
	if (r == 0)
		r = guard_swap(u, unit, where, err);
	if (r == 0)
		r = guard_holders(u, unit, where, err);
	if (r == 0)
		r = guard_btrfs(u, unit, where, unmount, err);
	return r;
}
