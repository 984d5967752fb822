/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard over machines that are not here: LVM, LUKS, md, bcache, multipath, btrfs sets, live
 * systems, containers. Trees and mount lines as such machines show them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "device/fake_tree.h"
#include "device/guard.h"
#include "device/list.h"

#define GIB_SECTORS (2ull << 20)

static const char mounts_self[] =
	"24 29 0:22 / /proc rw,relatime shared:12 - proc proc rw\n"
	"29 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg-root rw,errors=remount-ro\n"
	"30 29 8:1 / /boot/efi rw,relatime shared:2 - vfat /dev/sda1 rw,fmask=0077\n"
	"31 29 8:17 / /media/my\\040stick rw,nosuid shared:3 - vfat /dev/sdb1 rw\n"
	"32 29 9:127 / /srv rw shared:4 - ext4 /dev/md127 rw\n"
	"33 29 252:0 / /cache rw shared:5 - xfs /dev/bcache0 rw\n"
	"34 29 0:45 /@data /mnt/pool rw shared:6 - btrfs /dev/sdh rw,subvol=/@data\n"
	"35 29 259:2 / /home rw shared:7 - ext4 /dev/nvme0n1p2 rw\n"
	"36 29 7:3 / /mnt/iso ro shared:8 - iso9660 /dev/loop3 ro\n"
	"37 29 0:50 / /mnt/empty rw -  tmpfs  rw\n"
	"38 29 8:192 / /mnt/path rw shared:9 - ext4 /dev/sdm rw\n"
	"39 29 104:0 / /mnt/array rw shared:9 - ext4 /dev/cciss/c0d0 rw\n"
	"40 29 8:226 / /mnt/second rw - ext4 /dev/sdo2 rw\n"
	"42 29 65:48 / /mnt/zero rw - ext4 /dev/sds rw\n"
	"41 29 0:51 / /mnt/fuse rw - fuse.fuse2fs /dev/sdq rw\n";

static const char mounts_container[] =
	"90 80 0:60 / / rw - overlay overlay rw,lowerdir=/l1:/l2,upperdir=/u,workdir=/w\n"
	"91 90 65:0 / /data rw - ext4 /dev/sdaf rw\n";

static void make_scsi_disk(struct fake_tree *t, const char *name, unsigned ma, unsigned mi)
{
	char bus[64];

	snprintf(bus, sizeof(bus), "pci0000:00/ata%u/host%u/target0:0:0/0:0:0:0", mi + 1, mi);
	tree_disk(t, bus, name, ma, mi, 100 * GIB_SECTORS);
}

static void make_dm(struct fake_tree *t, unsigned minor, const char *dm, const char *uuid)
{
	char name[16];

	snprintf(name, sizeof(name), "dm-%u", minor);
	tree_disk(t, "virtual", name, 253, minor, 10 * GIB_SECTORS);
	tree_attr(t, name, "dm/name", dm);
	tree_attr(t, name, "dm/uuid", uuid);
}

static void make_system_disks(struct fake_tree *t)
{
	make_scsi_disk(t, "sda", 8, 0);
	tree_part(t, "sda", "sda1", 1, 8, 1, 2048, 1000);
	tree_part(t, "sda", "sda2", 2, 8, 2, 4096, GIB_SECTORS);
	make_dm(t, 0, "vg-root", "LVM-abcdef");
	tree_hold(t, "sda2", "dm-0");
	tree_disk(t, "pci0/usb1/1-4/1-4:1.0/host6/target6:0:0/6:0:0:0", "sdb", 8, 16,
	          30 * GIB_SECTORS);
	tree_write(t, "sys/devices/pci0/usb1/1-4/idVendor", "0781\n");
	tree_write(t, "sys/devices/pci0/usb1/1-4/serial", "4C530001\n");
	tree_attr(t, "sdb", "removable", "1");
	tree_attr(t, "sdb", "device/vendor", "SanDisk ");
	tree_attr(t, "sdb", "device/model", "Ultra           ");
	tree_part(t, "sdb", "sdb1", 1, 8, 17, 2048, GIB_SECTORS);
}

static void make_sets(struct fake_tree *t)
{
	static const char *const pool[] = { "sdh", "sdi", NULL };
	static const char *const lone[] = { "sdp", NULL };

	make_scsi_disk(t, "sdc", 8, 32);
	tree_part(t, "sdc", "sdc1", 1, 8, 33, 2048, GIB_SECTORS);
	make_scsi_disk(t, "sdd", 8, 48);
	tree_part(t, "sdd", "sdd1", 1, 8, 49, 2048, GIB_SECTORS);
	tree_disk(t, "virtual", "md127", 9, 127, GIB_SECTORS);
	tree_attr(t, "md127", "md/level", "raid1");
	tree_hold(t, "sdc1", "md127");
	tree_hold(t, "sdd1", "md127");
	make_scsi_disk(t, "sde", 8, 64);
	tree_disk(t, "virtual", "bcache0", 252, 0, GIB_SECTORS);
	tree_hold(t, "sde", "bcache0");
	make_scsi_disk(t, "sdf", 8, 80);
	make_scsi_disk(t, "sdg", 8, 96);
	make_dm(t, 5, "mpatha", "mpath-3600508b4");
	tree_hold(t, "sdf", "dm-5");
	tree_hold(t, "sdg", "dm-5");
	make_scsi_disk(t, "sdh", 8, 112);
	make_scsi_disk(t, "sdi", 8, 128);
	tree_btrfs(t, "1c5a3b0e-0000-4000-8000-000000000001", pool);
	make_scsi_disk(t, "sdp", 8, 240);
	tree_btrfs(t, "1c5a3b0e-0000-4000-8000-000000000002", lone);
}

static void make_stacked(struct fake_tree *t)
{
	make_scsi_disk(t, "sdj", 8, 144); /* an LV that is active and not mounted */
	make_dm(t, 1, "vg2-data", "LVM-123456");
	tree_hold(t, "sdj", "dm-1");
	make_scsi_disk(t, "sdk", 8, 160); /* swap on LUKS */
	tree_part(t, "sdk", "sdk1", 1, 8, 161, 2048, GIB_SECTORS);
	make_dm(t, 7, "cryptswap", "CRYPT-LUKS2-77");
	tree_hold(t, "sdk1", "dm-7");
	tree_write(t, "proc/swaps",
	           "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	           "/dev/dm-7                               partition\t975868\t\t0\t\t-2\n"
	           "/swap\\040file                           file\t975868\t\t0\t\t-3\n");
	make_scsi_disk(t, "sdr", 65, 16); /* md on two disks, not mounted, with partitions */
	tree_disk(t, "virtual", "md5", 9, 5, GIB_SECTORS);
	tree_attr(t, "md5", "md/level", "raid0");
	tree_hold(t, "sdr", "md5");
	tree_part(t, "md5", "md5p1", 1, 259, 40, 2048, 1000);
}

static void make_odd_names(struct fake_tree *t)
{
	tree_disk(t, "pci0/nvme/nvme0", "nvme0n1", 259, 0, GIB_SECTORS);
	tree_part(t, "nvme0n1", "nvme0n1p2", 2, 259, 2, 2048, 1000);
	tree_attr(t, "nvme0n1", "wwid", "eui.0025385b01412a9d");
	tree_disk(t, "pci0/nvme/nvme0", "nvme0n12", 259, 20, GIB_SECTORS);
	tree_write(t, "sys/devices/pci0/nvme/nvme0/nvme0c0n1/hidden", "1\n");
	make_scsi_disk(t, "sdaa", 65, 160);
	make_scsi_disk(t, "sdaf", 65, 0);
	tree_disk(t, "virtual", "loop1", 7, 1, GIB_SECTORS);
	tree_disk(t, "virtual", "loop11", 7, 11, GIB_SECTORS);
	tree_attr(t, "loop11", "loop/backing_file", "/mnt/path/b.img");
	tree_attr(t, "loop1", "loop/backing_file", "/other.img");
	tree_disk(t, "virtual", "loop3", 7, 3, GIB_SECTORS);
	tree_attr(t, "loop3", "loop/backing_file", "/mnt/path/a.iso");
	tree_disk(t, "pci0/cciss0", "cciss!c0d0", 104, 0, GIB_SECTORS);
	tree_disk(t, "platform/mmc_host/mmc0/mmc0:0001", "mmcblk0", 179, 0, GIB_SECTORS);
	tree_attr(t, "mmcblk0", "device/type", "MMC");
	tree_disk(t, "platform/mmc_host/mmc0/mmc0:0001", "mmcblk0boot0", 179, 8, 8192);
	tree_attr(t, "mmcblk0boot0", "force_ro", "1");
}

static void make_paths(struct fake_tree *t)
{
	make_scsi_disk(t, "sdl", 8, 176); /* one disk by two paths, without multipath */
	make_scsi_disk(t, "sdm", 8, 192);
	tree_attr(t, "sdl", "device/wwid", "naa.5000c500a1b2c3d4");
	tree_attr(t, "sdm", "device/wwid", "naa.5000c500a1b2c3d4");
	make_scsi_disk(t, "sdn", 8, 208); /* another disk */
	make_scsi_disk(t, "sds", 65, 48); /* a name that is none */
	make_scsi_disk(t, "sdt", 65, 64);
	tree_attr(t, "sds", "device/wwid", "naa.0000000000000000");
	tree_attr(t, "sdt", "device/wwid", "naa.0000000000000000");
	tree_attr(t, "sdn", "device/wwid", "naa.5000c500a1b2c3d5");
	make_scsi_disk(t, "sdo", 8, 224); /* partitions that overlap, as hybrid ISOs have */
	tree_part(t, "sdo", "sdo1", 1, 8, 225, 0, 10000);
	tree_part(t, "sdo", "sdo2", 2, 8, 226, 4000, 2000);
	tree_part(t, "sdo", "sdo3", 3, 8, 227, 20000, 2000);
	make_scsi_disk(t, "sdq", 65, 32);
}

static int setup(void **state)
{
	static struct fake_tree t;

	tree_make(&t);
	make_system_disks(&t);
	make_sets(&t);
	make_stacked(&t);
	make_odd_names(&t);
	make_paths(&t);
	tree_process(&t, "self", 100, "/", mounts_self);
	tree_process(&t, "1", 100, "/", mounts_self);
	tree_process(&t, "4711", 200, "/", mounts_container);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	tree_remove(*state);
	return 0;
}

/* @expect: a part of the sentence, or NULL: may be written. @hint: a part of the hint, or NULL */
struct question {
	const char *name;
	bool unmount;
	const char *expect, *hint;
};

static void ask(struct fake_tree *t, const struct question *q)
{
	_usage_ struct usage u = { 0 };
	_guard_unit_ struct guard_unit unit = { 0 };
	_error_ struct ism_error err = { 0 };
	uint64_t dev = tree_dev(t, q->name);

	print_message("%s%s\n", q->name, q->unmount ? " --unmount" : "");
	assert_int_not_equal(dev, 0);
	assert_int_equal(usage_read(&u, &t->root, &err), 0);
	assert_int_equal(guard_unit_of(&unit, &u, dev), 0);
	int r = guard_busy(&u, &unit, q->name, q->unmount, &err);

	if (!q->expect) {
		if (err.message)
			print_message("  %s\n", err.message);
		assert_int_equal(r, 0);
		return;
	}
	assert_int_equal(r, -EBUSY);
	assert_int_equal(err.status, ISM_REFUSED);
	print_message("  %s (%s)\n", err.message, err.hint ? err.hint : "");
	assert_non_null(strstr(err.message, q->expect));
	if (q->hint)
		assert_non_null(strstr(err.hint, q->hint));
}

static void test_refusals(void **state)
{
	static const struct question questions[] = {
		{ "sda", false, "carries the running system (/)", NULL },
		{ "sda", true, "carries the running system (/)", NULL },
		{ "sda1", true, "carries the running system (/boot/efi)", NULL },
		{ "sda2", true, "carries the running system (/)", NULL },
		{ "dm-0", true, "carries the running system (/)", NULL },
		{ "nvme0n1", true, "carries the running system (/home)", NULL },
		{ "sdb", false, "is mounted at /media/my stick (/dev/sdb1)", "--unmount" },
		{ "sdc", false, "is mounted at /srv", NULL },
		{ "sdd1", false, "is mounted at /srv", NULL },
		{ "sdc", true, "is mounted at /srv", "stop the device /dev/md127" },
		{ "sde", false, "is mounted at /cache", NULL },
		{ "sdf", false, "is in use by dm-5 (mpatha)", "/dev/mapper/mpatha" },
		{ "sdh", false, "is mounted at /mnt/pool", NULL },
		{ "sdi", false, "is mounted at /mnt/pool", NULL },
		{ "sdp", false, "is part of a btrfs that is mounted", NULL },
		{ "sdj", false, "is in use by dm-1 (vg2-data)", "vgchange -an" },
		{ "sdj", true, "is in use by dm-1 (vg2-data)", "vgchange -an" },
		{ "sdk", true, "holds swap space in use (/dev/dm-7)", "swapoff /dev/dm-7" },
		{ "dm-7", true, "holds swap space in use (/dev/dm-7)", NULL },
		{ "sdr", true, "is in use by md5", "mdadm --stop /dev/md5" },
		{ "loop3", false, "is mounted at /mnt/iso", NULL },
		{ "sdaf", true, "at /data in another mount namespace (process 4711)", NULL },
		{ "cciss/c0d0", false, "is mounted at /mnt/array", NULL },
		{ "sdm", false, "is mounted at /mnt/", NULL },
		{ "sdl", false, "is mounted at /mnt/", NULL },   /* by its other path */
		{ "sdl", true, "is mounted at /mnt/iso", NULL }, /* through a loop device */
		{ "sdo", false, "is mounted at /mnt/second", NULL },
		{ "sdo1", false, "is mounted at /mnt/second", NULL }, /* it overlaps */
		{ "sdo2", false, "is mounted at /mnt/second", NULL },
		{ "sdq", false, "is mounted at /mnt/fuse", NULL },
	};

	for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++)
		ask(*state, &questions[i]);
}

static void test_free_disks(void **state)
{
	static const struct question questions[] = {
		{ "sdaa", false, NULL, NULL },     /* is not sda */
		{ "nvme0n12", false, NULL, NULL }, /* is not nvme0n1 */
		{ "loop1", false, NULL, NULL },    /* not loop11; its file is on the system disk */
		{ "sdn", false, NULL, NULL },      { "sdt", false, NULL, NULL },
		{ "sdo3", false, NULL, NULL }, /* a neighbour is mounted */
		{ "dm-5", false, NULL, NULL }, /* the multipath disk itself */
		{ "dm-1", false, NULL, NULL },     { "sdb", true, NULL, NULL },
		{ "sdb1", true, NULL, NULL },      { "sdi", true, NULL, NULL },
		{ "sdo1", true, NULL, NULL },      { "mmcblk0", false, NULL, NULL },
	};

	for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++)
		ask(*state, &questions[i]);
}

/* Every cheap bridge has this name; two of them are two disks. */
static void test_same_name_on_usb(void **state)
{
	struct fake_tree t;
	const struct question mounted = { "sda", false, "is mounted at /mnt", NULL };
	const struct question other = { "sdb", false, NULL, NULL };

	(void)state;
	tree_make(&t);
	tree_disk(&t, "pci0/usb1/1-1/host1", "sda", 8, 0, GIB_SECTORS);
	tree_disk(&t, "pci0/usb1/1-2/host2", "sdb", 8, 16, GIB_SECTORS);
	tree_attr(&t, "sda", "device/wwid", "naa.3000000000000001");
	tree_attr(&t, "sdb", "device/wwid", "naa.3000000000000001");
	tree_process(&t, "self", 1, "/", "30 1 8:0 / /mnt rw - ext4 /dev/sda rw\n");
	ask(&t, &mounted);
	ask(&t, &other);
	tree_remove(&t);
}

/* A live stick: / is an overlay over a squashfs in a loop device on a file of the stick. */
static void test_live_system(void **state)
{
	static const char mountinfo[] =
		"1 0 0:30 / / rw - overlay overlay rw,lowerdir=/run/live/rootfs/fs.squashfs/,"
		"upperdir=/run/live/overlay/rw,workdir=/run/live/overlay/work\n"
		"2 1 8:33 / /run/live/medium ro - iso9660 /dev/sdc1 ro\n"
		"3 1 7:0 / /run/live/rootfs/fs.squashfs ro - squashfs /dev/loop0 ro\n"
		"4 1 0:31 / /run/live/overlay rw - tmpfs tmpfs rw\n"
		"5 1 8:1 / /mnt/disk rw - ext4 /dev/sda1 rw\n";
	const struct question stick = { "sdc", true, "carries the running system (/)", NULL };
	const struct question part = { "sdc1", true, "carries the running system (/)", NULL };
	const struct question file = { "loop0", true, "carries the running system (/)", NULL };
	const struct question disk = { "sda", true, NULL, NULL };
	struct fake_tree t;

	(void)state;
	tree_make(&t);
	make_scsi_disk(&t, "sda", 8, 0);
	tree_part(&t, "sda", "sda1", 1, 8, 1, 2048, 1000);
	tree_disk(&t, "pci0/usb1/1-2/host2", "sdc", 8, 32, GIB_SECTORS);
	tree_part(&t, "sdc", "sdc1", 1, 8, 33, 0, 10000);
	tree_disk(&t, "virtual", "loop0", 7, 0, GIB_SECTORS);
	tree_attr(&t, "loop0", "loop/backing_file", "/run/live/medium/live/fs.squashfs");
	tree_process(&t, "self", 1, "/", mountinfo);
	ask(&t, &stick);
	ask(&t, &part);
	ask(&t, &file);
	ask(&t, &disk);
	tree_remove(&t);
}

/* In a chroot our own mountinfo lacks what lies outside; a process with another root shows it. */
static void test_chroot_hides_nothing(void **state)
{
	static const char inside[] = "50 1 8:1 /jail / rw - ext4 /dev/sda1 rw\n"
				     "60 50 8:17 / /stick rw - vfat /dev/sdb1 rw\n";
	static const char outside[] = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
				      "60 50 8:17 / /jail/stick rw - vfat /dev/sdb1 rw\n"
				      "61 1 8:33 / /data rw - ext4 /dev/sdc1 rw\n";
	const struct question hidden = { "sdc", true, "at /data in another", NULL };
	const struct question seen_twice = { "sdb", true, NULL, NULL };
	struct fake_tree t;

	(void)state;
	tree_make(&t);
	make_scsi_disk(&t, "sda", 8, 0);
	make_scsi_disk(&t, "sdb", 8, 16);
	make_scsi_disk(&t, "sdc", 8, 32);
	tree_part(&t, "sda", "sda1", 1, 8, 1, 2048, 1000);
	tree_part(&t, "sdb", "sdb1", 1, 8, 17, 2048, 1000);
	tree_part(&t, "sdc", "sdc1", 1, 8, 33, 2048, 1000);
	tree_process(&t, "self", 1, "/jail", inside);
	tree_process(&t, "1", 1, "/", outside);
	ask(&t, &hidden);
	ask(&t, &seen_twice);
	tree_remove(&t);
}

static void test_unreadable_is_no_permission(void **state)
{
	static const char *const bad[] = { "30 1 8:0 / /mnt rw - ext4\n", "garbage\n",
		                           "30 1 8 / /mnt rw - ext4 /dev/sda rw\n" };
	struct fake_tree t;

	(void)state;
	tree_make(&t);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		_usage_ struct usage u = { 0 };
		_error_ struct ism_error err = { 0 };

		tree_process(&t, "self", 1, "/", bad[i]);
		assert_int_equal(usage_read(&u, &t.root, &err), -EBADMSG);
		assert_non_null(strstr(err.message, "cannot find out which disks are in use"));
	}
	tree_remove(&t);
}

/* Holders in a circle, as no kernel makes them: the walk ends. */
static void test_circle_ends(void **state)
{
	struct fake_tree t;
	const struct question q = { "sda", false, "is in use by dm-0", NULL };

	(void)state;
	tree_make(&t);
	make_scsi_disk(&t, "sda", 8, 0);
	make_dm(&t, 0, "a", "x");
	make_dm(&t, 1, "b", "x");
	tree_hold(&t, "sda", "dm-0");
	tree_hold(&t, "dm-0", "dm-1");
	tree_hold(&t, "dm-1", "dm-0");
	tree_process(&t, "self", 1, "/", "");
	ask(&t, &q);
	tree_remove(&t);
}

static const struct ism_device *listed(const struct ism_device *list, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].path, path) == 0)
			return &list[i];
	return NULL;
}

static void test_list(void **state)
{
	struct fake_tree *t = *state;
	_usage_ struct usage u = { 0 };
	struct ism_device *list = NULL;
	size_t n = 0;

	tree_disk(t, "pci0/ata9/host9", "sr0", 11, 0, 1000);
	tree_disk(t, "virtual", "zram0", 251, 0, 1000);
	tree_attr(t, "zram0", "comp_algorithm", "lzo [zstd]");
	tree_disk(t, "virtual", "ram0", 1, 0, 1000);
	tree_disk(t, "virtual", "loop9", 7, 9, 0);
	tree_disk(t, "pci0/usb1/1-5/host8", "sdz", 65, 144, 0); /* an empty card reader */
	assert_int_equal(usage_read(&u, &t->root, NULL), 0);
	assert_int_equal(list_devices(&u, &list, &n, NULL), 0);
	for (size_t i = 0; i < n; i++)
		print_message("%s %s %s: %s\n", list[i].path, list[i].bus ? list[i].bus : "-",
		              list[i].fixed ? "fixed" : "loose",
		              list[i].protected_why ? list[i].protected_why : "free");
	static const char *const absent[] = { "/dev/sr0",          "/dev/zram0", "/dev/ram0",
		                              "/dev/loop9",        "/dev/sdz",   "/dev/dm-0",
		                              "/dev/mmcblk0boot0", "/dev/sda1" };

	for (size_t i = 0; i < sizeof(absent) / sizeof(*absent); i++)
		assert_null(listed(list, n, absent[i]));

	const struct ism_device *stick = listed(list, n, "/dev/sdb");

	assert_non_null(stick);
	assert_string_equal(stick->bus, "usb");
	assert_string_equal(stick->serial, "4C530001");
	assert_string_equal(stick->vendor, "SanDisk");
	assert_string_equal(stick->model, "Ultra");
	assert_true(stick->removable);
	assert_false(stick->fixed);
	assert_int_equal(stick->size, 30ull << 30);
	assert_int_equal(stick->n_parts, 1);
	assert_string_equal(stick->parts[0].path, "/dev/sdb1");
	assert_int_equal(stick->parts[0].offset, 1 << 20);
	assert_string_equal(stick->parts[0].mounts[0], "/media/my stick");
	assert_non_null(strstr(stick->protected_why, "is mounted at /media/my stick"));

	const struct ism_device *system = listed(list, n, "/dev/sda");

	assert_non_null(system);
	assert_true(system->fixed);
	assert_string_equal(system->bus, "ata");
	assert_string_equal(system->parts[1].used_by, "dm-0 (vg-root)");
	assert_string_equal(system->parts[1].mounts[0], "/");
	assert_true(listed(list, n, "/dev/sdr") < listed(list, n, "/dev/sdaa"));
	assert_null(listed(list, n, "/dev/sdaa")->protected_why);
	assert_string_equal(listed(list, n, "/dev/nvme0n1")->wwn, "eui.0025385b01412a9d");
	assert_true(listed(list, n, "/dev/mmcblk0")->fixed);
	assert_non_null(listed(list, n, "/dev/dm-5"));

	char *json = ism_devices_json(list, n);

	assert_non_null(json);
	assert_non_null(strstr(json, "\"serial\": \"4C530001\""));
	free(json);
	ism_devices_free(list, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_free_disks),
		cmocka_unit_test(test_same_name_on_usb),
		cmocka_unit_test(test_live_system),
		cmocka_unit_test(test_chroot_hides_nothing),
		cmocka_unit_test(test_unreadable_is_no_permission),
		cmocka_unit_test(test_circle_ends),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
