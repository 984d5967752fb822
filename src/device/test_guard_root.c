/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Targets on real block devices: loop devices that this test makes, mounts, locks and takes apart.
 * After every refusal the disk's bytes are what they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/device.h"

#define DISK_SIZE (16 * MIB)
#define MAX_LOOPS 16

/** struct rig - a folder, and the loop devices that were attached */
struct rig {
	char folder[64], mnt[80];
	char *loops[MAX_LOOPS];
	size_t n_loops;
};

static char *in_folder(struct rig *rig, const char *name)
{
	char *path = text_format("%s/%s", rig->folder, name);

	assert_non_null(path);
	return path;
}

static char *make_file(struct rig *rig, const char *name, uint64_t size)
{
	char *path = in_folder(rig, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "isomorph test disk", 18, 1000), 18);
	close(fd);
	return path;
}

/* The loop driver keeps them for the next file, if nobody takes them away. */
static void drop_partitions(int fd)
{
	for (int number = 1; number <= 2; number++) {
		struct blkpg_partition part = { .pno = number };
		struct blkpg_ioctl_arg arg = { .op = BLKPG_DEL_PARTITION,
			                       .datalen = sizeof(part),
			                       .data = &part };

		ioctl(fd, BLKPG, &arg);
	}
}

/* Another test may take the free number first: then the next. */
static const char *attach_file(struct rig *rig, const char *file, uint32_t flags, uint32_t block)
{
	_close_ int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	_close_ int fd = open(file, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);

	assert_true(ctl >= 0 && fd >= 0 && rig->n_loops < MAX_LOOPS);
	for (unsigned tries = 0; tries < 100; tries++) {
		struct loop_config config = { .fd = (uint32_t)fd, .block_size = block };
		int number = ioctl(ctl, LOOP_CTL_GET_FREE);
		char *node = text_format("/dev/loop%d", number);
		_close_ int loop = open(node, O_RDWR | O_CLOEXEC);

		config.info.lo_flags = flags;
		snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);
		if (loop >= 0 && ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
			drop_partitions(loop);
			rig->loops[rig->n_loops++] = node;
			return node;
		}
		free(node);
	}
	fail_msg("no free loop device");
	return NULL;
}

static const char *attach(struct rig *rig, const char *name, uint64_t size)
{
	_free_ char *file = make_file(rig, name, size);

	return attach_file(rig, file, 0, 0);
}

static void detach(const char *node)
{
	_close_ int fd = open(node, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	drop_partitions(fd);
	ioctl(fd, LOOP_CLR_FD, 0);
}

static void run(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, 1);
		dup2(null, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void make_ext4(const char *node)
{
	const char *const argv[] = { "mkfs.ext4", "-q", "-F", node, NULL };

	run(argv);
}

static void mount_it(struct rig *rig, const char *node)
{
	assert_int_equal(mount(node, rig->mnt, "ext4", MS_NODEV, NULL), 0);
}

static uint64_t hash_of(const char *path)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_free_ uint64_t *buf = malloc(MIB);
	uint64_t hash = 14695981039346656037u;

	assert_true(fd >= 0);
	for (ssize_t n; (n = read(fd, buf, MIB)) > 0;)
		for (size_t i = 0; i < (size_t)n / 8; i++)
			hash = (hash ^ buf[i]) * 1099511628211u;
	return hash;
}

/** struct expect - what a target must say: a status and a part of its sentence; NULL: it opens */
struct expect {
	enum ism_status status;
	const char *words;
	bool only_open; /* target_check() says yes, target_open() no */
};

static void expect_error(const struct expect *e, int r, const struct ism_error *err)
{
	if (err->message)
		print_message("  %d: %s: %s\n    %s\n", err->status, err->where, err->message,
		              err->hint ? err->hint : "");
	assert_true(r < 0);
	assert_int_equal(err->code, r);
	assert_int_equal(err->status, e->status);
	assert_non_null(strstr(err->message, e->words));
}

static void try_target(const char *ref, const struct guard_request *rq, const struct expect *e)
{
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;
	struct medium *m = NULL;
	int r = target_resolve(ref, &t, &err);

	print_message("%s\n", ref);
	if (r < 0) {
		expect_error(e, r, &err);
		return;
	}
	r = target_check(t, rq, NULL, &err);
	if (r < 0 && !e->words)
		print_message("  %s\n", err.message);
	if (e->words && !e->only_open) {
		expect_error(e, r, &err);
		ism_error_clear(&err);
	} else {
		assert_int_equal(r, 0);
	}
	uint64_t before = t->is_new ? 0 : hash_of(t->path);

	r = target_open(t, rq, &m, &err);
	if (e->words) {
		expect_error(e, r, &err);
		assert_null(m);
		if (!t->is_new)
			assert_int_equal(hash_of(t->path), before);
	} else {
		if (err.message)
			print_message("  %s\n", err.message);
		assert_int_equal(r, 0);
		assert_true(m->writable);
		medium_close(m);
	}
	target_free(t);
}

static void refused(const char *ref, const struct guard_request *rq, const char *words)
{
	try_target(ref, rq, &(struct expect){ ISM_REFUSED, words, false });
}

static void usage(const char *ref, const struct guard_request *rq, const char *words)
{
	try_target(ref, rq, &(struct expect){ ISM_USAGE, words, false });
}

static void opens(const char *ref, const struct guard_request *rq)
{
	try_target(ref, rq, &(struct expect){ 0 });
}

static const struct guard_request plain;
static const struct guard_request unmount = { .unmount = true };
static const struct guard_request partition = { .partition_ok = true };

static int setup(void **state)
{
	static struct rig rig;

	rig = (struct rig){ .folder = "/tmp/isomorph-guard-XXXXXX" };
	assert_non_null(mkdtemp(rig.folder));
	snprintf(rig.mnt, sizeof(rig.mnt), "%s/mnt", rig.folder);
	assert_int_equal(mkdir(rig.mnt, 0700), 0);
	*state = &rig;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	while (umount2(rig->mnt, MNT_DETACH) == 0)
		;
	while (rig->n_loops) {
		char *node = rig->loops[--rig->n_loops];

		swapoff(node);
		detach(node);
		free(node);
	}
	nftw(rig->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	return 0;
}

static void test_free_disk(void **state)
{
	const char *disk = attach(*state, "a", DISK_SIZE);

	opens(disk, &plain);
	opens(disk, &unmount);
}

static void test_mounted(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);

	make_ext4(disk);
	mount_it(rig, disk);
	refused(disk, &plain, "is mounted at");
	/* a second time, at a folder in the first */
	_free_ char *inner = text_format("%s/lost+found", rig->mnt);

	assert_int_equal(mount(rig->mnt, inner, NULL, MS_BIND, NULL), 0);
	opens(disk, &unmount);
	assert_int_equal(umount(rig->mnt), -1);
	opens(disk, &plain);
}

static void test_mounted_and_busy(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);

	make_ext4(disk);
	mount_it(rig, disk);
	_free_ char *open_file = text_format("%s/open", rig->mnt);
	int fd = open(open_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	_free_ char *words = text_format("(process %d)", (int)getpid());

	assert_true(fd >= 0);
	try_target(disk, &unmount, &(struct expect){ ISM_REFUSED, words, true });
	close(fd);
	opens(disk, &unmount);
}

static void add_partition(const char *disk, int number, int64_t start, int64_t len)
{
	struct blkpg_partition part = { .start = start, .length = len, .pno = number };
	struct blkpg_ioctl_arg arg = { .op = BLKPG_ADD_PARTITION,
		                       .datalen = sizeof(part),
		                       .data = &part };
	_close_ int fd = open(disk, O_RDONLY | O_CLOEXEC);

	assert_int_equal(ioctl(fd, BLKPG, &arg), 0);
}

static void test_partitions(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);
	_free_ char *p1 = text_format("%sp1", disk), *p2 = text_format("%sp2", disk);
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;
	struct medium *m = NULL;

	add_partition(disk, 1, (int64_t)MIB, 8 * (int64_t)MIB);
	add_partition(disk, 2, 10 * (int64_t)MIB, 4 * (int64_t)MIB);
	make_ext4(p1);
	usage(p1, &plain, "is a partition, not a whole disk");
	opens(p1, &partition);
	mount_it(rig, p1);
	refused(disk, &plain, "is mounted at");
	refused(p1, &partition, "is mounted at");
	opens(p2, &partition);
	opens(disk, &unmount);

	assert_int_equal(target_resolve(disk, &t, &err), 0);
	assert_int_equal(target_open(t, &plain, &m, &err), 0);
	assert_int_equal(access(p1, F_OK), 0);
	assert_int_equal(target_drop_partitions(t, m, &err), 0);
	assert_int_equal(access(p1, F_OK), -1);
	assert_int_equal(access(p2, F_OK), -1);
	assert_int_equal(target_rescan(t, m, &err), 0);
	assert_false(target_gone(t, m));
	medium_close(m);
	target_free(t);
}

/* A child with a namespace of its own mounts the disk, says so, and waits for the end. */
static pid_t mount_elsewhere(struct rig *rig, const char *disk, int *ret_end)
{
	int ready[2], end[2];
	char c;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(end), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		close(end[1]);
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount("/", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount(disk, rig->mnt, "ext4", 0, NULL) < 0)
			_exit(1);
		c = 'x';
		_exit(write(ready[1], &c, 1) != 1 || read(end[0], &c, 1) != 0);
	}
	close(ready[1]);
	close(end[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*ret_end = end[1];
	return pid;
}

static void test_mounted_in_another_namespace(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);
	int end;

	make_ext4(disk);
	pid_t pid = mount_elsewhere(rig, disk, &end);
	_free_ char *words = text_format("in another mount namespace (process %d)", (int)pid);

	refused(disk, &plain, words);
	refused(disk, &unmount, words);
	close(end);
	waitpid(pid, NULL, 0);
	opens(disk, &plain);
}

static void test_swap(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);
	const char *const mkswap[] = { "mkswap", disk, NULL };

	run(mkswap);
	if (swapon(disk, 0) < 0) {
		print_message("no swap here: %s\n", strerror(errno));
		skip();
	}
	refused(disk, &unmount, "holds swap space in use");
	assert_int_equal(swapoff(disk), 0);
	opens(disk, &plain);
}

static void test_stacked_loops(void **state)
{
	struct rig *rig = *state;
	const char *lower = attach(rig, "a", DISK_SIZE);
	const char *upper = attach_file(rig, lower, 0, 0);
	_free_ char *words = text_format("is in use by %s", upper + strlen("/dev/"));

	refused(lower, &unmount, words);
	opens(upper, &plain);
	detach(upper);
	opens(lower, &plain);
}

/* A file on the disk's file system is behind a loop device: unmounting would not help. */
static void test_loop_on_file_on_disk(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);

	make_ext4(disk);
	mount_it(rig, disk);
	_free_ char *inner = make_file(rig, "mnt/inner", MIB);
	const char *upper = attach_file(rig, inner, 0, 0);

	refused(disk, &unmount, "is in use by loop");
	opens(upper, &plain); /* a loop device is a disk of its own */
	refused(inner, &plain, "is behind the loop device");
	detach(upper);
	opens(disk, &unmount);
}

static void test_carries_what_is_needed(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);
	_free_ char *backing = in_folder(rig, "a");
	_free_ char *image = text_format("%s/image", rig->mnt);
	_free_ char *log = text_format("%s/new.log", rig->mnt);
	_free_ char *link = in_folder(rig, "link");
	const char *keep_image[] = { "-", "http://host/x", link, NULL };
	const char *keep_log[] = { log, NULL };
	const char *keep_disk[] = { disk, NULL };
	const char *keep_backing[] = { backing, NULL };
	const char *keep_none[] = { "/proc/version", "/nowhere/at/all", NULL };

	make_ext4(disk);
	mount_it(rig, disk);
	free(make_file(rig, "mnt/image", 4096));
	assert_int_equal(symlink(image, link), 0);
	refused(disk, &(struct guard_request){ .unmount = true, .keep = keep_image },
	        "link, which this job needs");
	refused(disk, &(struct guard_request){ .unmount = true, .keep = keep_log }, "carries");
	assert_int_equal(umount(rig->mnt), 0);
	refused(disk, &(struct guard_request){ .keep = keep_disk }, "is the same disk as");
	refused(disk, &(struct guard_request){ .keep = keep_backing }, "is a loop device on");
	opens(disk, &(struct guard_request){ .keep = keep_none });

	/* a second device on the same file, and an image on a loop device on the disk */
	const char *second = attach_file(rig, backing, 0, 0);

	refused(second, &(struct guard_request){ .keep = keep_disk }, "is the same disk as");
	refused(backing, &(struct guard_request){ .keep = keep_disk }, "is the same file as");
}

static void test_image_on_loop_on_disk(void **state)
{
	struct rig *rig = *state;
	const char *lower = attach(rig, "a", DISK_SIZE);
	const char *upper = attach_file(rig, lower, 0, 0);
	_free_ char *image = text_format("%s/image", rig->mnt);
	const char *keep[] = { image, NULL };

	make_ext4(upper);
	mount_it(rig, upper);
	free(make_file(rig, "mnt/image", 4096));
	refused(lower, &(struct guard_request){ .keep = keep }, "is mounted at");
	refused(upper, &(struct guard_request){ .unmount = true, .keep = keep }, "carries");
}

static void test_system_disk(void **state)
{
	_free_ char *node = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(stat("/", &st), 0);
	if (major(st.st_dev) == 0) {
		print_message("/ has no block device of its own\n");
		skip();
	}
	_free_ char *uevent =
		text_format("/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	_free_ char *dir = realpath(uevent, NULL);

	assert_non_null(dir);
	node = text_format("/dev/%s", strrchr(dir, '/') + 1);
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;
	const struct guard_request rq = { .unmount = true, .partition_ok = true };

	assert_int_equal(target_resolve(node, &t, &err), 0);
	assert_int_equal(target_check(t, &rq, NULL, &err), -EBUSY);
	assert_int_equal(err.status, ISM_REFUSED);
	assert_non_null(strstr(err.message, "carries the running system"));
	target_free(t);
}

static void test_read_only(void **state)
{
	struct rig *rig = *state;
	_free_ char *file = make_file(rig, "a", DISK_SIZE);

	refused(attach_file(rig, file, LO_FLAGS_READ_ONLY, 0), &plain, "is read-only");
}

static void test_too_small(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE - 512);
	_free_ char *file = make_file(rig, "b", DISK_SIZE - 1);

	refused(disk, &(struct guard_request){ .need = DISK_SIZE },
	        "is too small: 16777216 bytes are needed, it has 16776704, 512 too few");
	opens(disk, &(struct guard_request){ .need = DISK_SIZE - 512 });
	refused(file, &(struct guard_request){ .need = DISK_SIZE },
	        "is too small: 16777216 bytes are needed, it has 16777215, 1 too few");
	opens(file, &(struct guard_request){ .need = DISK_SIZE - 1 });
}

static void test_sector_size(void **state)
{
	struct rig *rig = *state;
	_free_ char *file = make_file(rig, "a", DISK_SIZE);
	const char *disk = attach_file(rig, file, 0, 4096);

	refused(disk, &(struct guard_request){ .sector_size = 512 }, "has sectors of 4096 bytes");
	opens(disk, &(struct guard_request){ .sector_size = 512, .ignore_sector_size = true });
	opens(disk, &(struct guard_request){ .sector_size = 4096 });
	opens(disk, &plain);
}

static void test_held_exclusively(void **state)
{
	const char *disk = attach(*state, "a", DISK_SIZE);
	int fd = open(disk, O_RDONLY | O_EXCL | O_CLOEXEC);

	assert_true(fd >= 0);
	refused(disk, &plain, "is in use by the kernel or another program");
	close(fd);
	opens(disk, &plain);
}

static void test_locked(void **state)
{
	const char *disk = attach(*state, "a", DISK_SIZE);
	int fd = open(disk, O_RDONLY | O_CLOEXEC);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	try_target(disk, &plain,
	           &(struct expect){ ISM_REFUSED, "is locked by another program", true });
	close(fd);
	opens(disk, &plain);
}

/* As QEMU locks a disk that a virtual machine runs from. */
static void test_virtual_machine(void **state)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1 };
	const char *disk = attach(*state, "a", DISK_SIZE);
	int fd = open(disk, O_RDWR | O_CLOEXEC);

	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	try_target(disk, &plain,
	           &(struct expect){ ISM_REFUSED, "is in use by another program", true });
	close(fd);
	opens(disk, &plain);
}

/* The lock is held while the medium is open, also for a partition: on the disk. */
static void test_lock_is_held(void **state)
{
	const char *disk = attach(*state, "a", DISK_SIZE);
	_free_ char *part = text_format("%sp1", disk);
	const char *const refs[] = { disk, part };
	_close_ int fd = open(disk, O_RDONLY | O_CLOEXEC);

	add_partition(disk, 1, (int64_t)MIB, 8 * (int64_t)MIB);
	for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
		_error_ struct ism_error err = { 0 };
		struct target *t = NULL;
		struct medium *m = NULL;

		assert_int_equal(target_resolve(refs[i], &t, &err), 0);
		assert_int_equal(target_open(t, &partition, &m, &err), 0);
		assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
		assert_int_equal(open(refs[i], O_RDONLY | O_EXCL | O_CLOEXEC), -1);
		medium_close(m);
		target_free(t);
		assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
		assert_int_equal(flock(fd, LOCK_UN), 0);
	}
}

static void test_replaced(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);
	_free_ char *other = make_file(rig, "b", DISK_SIZE);
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;
	struct medium *m = NULL;

	assert_int_equal(target_resolve(disk, &t, &err), 0);
	detach(disk);
	_close_ int file = open(other, O_RDWR | O_CLOEXEC);
	_close_ int loop = open(disk, O_RDWR | O_CLOEXEC);

	assert_int_equal(ioctl(loop, LOOP_SET_FD, file), 0);
	assert_int_equal(target_open(t, &plain, &m, &err), -ESTALE);
	assert_int_equal(err.status, ISM_REFUSED);
	print_message("%s\n", err.message);
	assert_null(m);
	target_free(t);
}

static void test_gone(void **state)
{
	const char *disk = attach(*state, "a", DISK_SIZE);
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;
	struct medium *m = NULL;

	assert_int_equal(target_resolve(disk, &t, &err), 0);
	detach(disk);
	assert_true(target_open(t, &plain, &m, &err) < 0);
	assert_int_equal(err.status, ISM_REFUSED);
	target_free(t);
	usage("/dev/isomorph-no-such-disk", &plain, "does not exist");
}

/* Two devices of one btrfs; mounted, its st_dev is neither's. */
static void test_btrfs_of_two(void **state)
{
	struct rig *rig = *state;
	const char *one = attach(rig, "a", 128 * MIB), *two = attach(rig, "b", 128 * MIB);
	const char *const mkfs[] = { "mkfs.btrfs", "-q", "-f", one, two, NULL };
	const struct guard_request replace = { .replace_members = true };
	const struct guard_request both = { .replace_members = true, .unmount = true };
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;
	char **warnings = NULL;

	run(mkfs);
	refused(two, &plain, "holds a member of a set of several disks");
	assert_int_equal(target_resolve(one, &t, &err), 0);
	assert_int_equal(target_check(t, &replace, &warnings, &err), 0);
	assert_non_null(warnings);
	print_message("  %s\n", warnings[0]);
	assert_non_null(strstr(warnings[0], "btrfs"));
	assert_null(warnings[1]);
	free(warnings[0]);
	free(warnings);
	target_free(t);
	opens(one, &replace);

	_free_ char *options = text_format("device=%s,device=%s", one, two);

	if (mount(one, rig->mnt, "btrfs", 0, options) < 0) {
		print_message("no btrfs here: %s\n", strerror(errno));
		skip();
	}
	refused(one, &replace, "is mounted at");
	refused(two, &replace, "is mounted at");

	_free_ char *image = text_format("%s/image", rig->mnt);
	const char *keep[] = { image, NULL };

	refused(two,
	        &(struct guard_request){ .replace_members = true, .unmount = true, .keep = keep },
	        "carries");
	opens(two, &both);
	assert_int_equal(umount(rig->mnt), -1);
}

/* What lies over our mount is not ours to unmount. */
static void test_mount_under_another(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);

	make_ext4(disk);
	mount_it(rig, disk);
	assert_int_equal(mount("tmpfs", rig->mnt, "tmpfs", 0, NULL), 0);
	try_target(disk, &unmount,
	           &(struct expect){ ISM_REFUSED, "under another file system", true });
	assert_int_equal(umount(rig->mnt), 0);
	opens(disk, &unmount);
}

static void test_symlinks(void **state)
{
	struct rig *rig = *state;
	const char *disk = attach(rig, "a", DISK_SIZE);
	_free_ char *link = in_folder(rig, "by-id-stick");
	_error_ struct ism_error err = { 0 };
	struct target *t = NULL;

	assert_int_equal(symlink(disk, link), 0);
	assert_int_equal(target_resolve(link, &t, &err), 0);
	assert_string_equal(t->path, disk);
	assert_string_equal(t->device.path, disk);
	assert_string_equal(t->device.bus, "loop");
	assert_false(t->device.fixed);
	target_free(t);
	opens(link, &plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_free_disk),
		TEST(test_mounted),
		TEST(test_mounted_and_busy),
		TEST(test_partitions),
		TEST(test_mounted_in_another_namespace),
		TEST(test_swap),
		TEST(test_stacked_loops),
		TEST(test_loop_on_file_on_disk),
		TEST(test_carries_what_is_needed),
		TEST(test_image_on_loop_on_disk),
		TEST(test_system_disk),
		TEST(test_read_only),
		TEST(test_too_small),
		TEST(test_sector_size),
		TEST(test_held_exclusively),
		TEST(test_locked),
		TEST(test_virtual_machine),
		TEST(test_lock_is_held),
		TEST(test_replaced),
		TEST(test_gone),
		TEST(test_btrfs_of_two),
		TEST(test_mount_under_another),
		TEST(test_symlinks),
#undef TEST
	};

	if (geteuid() != 0 || access("/dev/loop-control", R_OK | W_OK) < 0) {
		printf("needs root and loop devices\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
