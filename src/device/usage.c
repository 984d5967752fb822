/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who uses which block device, by device numbers from sysfs, mountinfo and the loop driver. */
#include "device/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"

#define OVERLAY_DEPTH 4 /* the kernel stacks two */

static int carriers_deep(const struct usage *u, const char *path, uint64_t st_dev, unsigned depth,
                         struct devset *set);

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

void usage_free(struct usage *u)
{
	mounts_free(&u->mounts);
	swaps_free(&u->swaps);
	for (size_t i = 0; i < u->n_loops; i++) {
		free(u->loops[i].file);
		devset_free(&u->loops[i].below);
	}
	free(u->loops);
	for (size_t i = 0; i < u->n_btrfs; i++)
		devset_free(&u->btrfs[i]);
	free(u->btrfs);
	*u = (struct usage){ 0 };
}

static int devset_join(struct devset *to, const struct devset *from)
{
	for (size_t i = 0; i < from->n; i++) {
		int r = devset_add(to, from->devs[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* /sys/fs/btrfs/UUID/devices/: links to the block devices, there while it is mounted */
static int btrfs_read(struct usage *u)
{
	_free_ char *base = text_format("%s/fs/btrfs", u->root->sys);
	CLEANUP(dir_closep) DIR *d = base ? opendir(base) : NULL;

	if (!d)
		return base && errno != ENOMEM ? 0 : -ENOMEM;
	for (struct dirent *e; (e = readdir(d));) {
		_free_ char *path = text_format("%s/%s/devices", base, e->d_name);
		struct devset *list;

		if (!path)
			return -ENOMEM;
		if (e->d_name[0] == '.' || access(path, F_OK) < 0)
			continue;
		list = reallocarray(u->btrfs, u->n_btrfs + 1, sizeof(*list));
		if (!list)
			return -ENOMEM;
		u->btrfs = list;
		list[u->n_btrfs++] = (struct devset){ 0 };
		int r = sysblock_links(path, &list[u->n_btrfs - 1]);

		if (r < 0)
			return r;
	}
	return 0;
}

/* All devices of the btrfs that @dev is one of. */
static int btrfs_join(const struct usage *u, uint64_t dev, struct devset *set)
{
	for (size_t i = 0; i < u->n_btrfs; i++)
		if (devset_has(&u->btrfs[i], dev))
			return devset_join(set, &u->btrfs[i]);
	return 0;
}

/* A source that names block devices; bcachefs joins them with colons. */
static int source_devs(const struct usage *u, const char *source, struct devset *set)
{
	while (*source) {
		size_t n = strcspn(source, ":");
		_free_ char *one = strndup(source, n);
		uint64_t dev;
		int r;

		if (!one)
			return -ENOMEM;
		dev = *one == '/' ? sysblock_find(u->root, one) : 0;
		if (dev && (r = devset_add(set, dev)) < 0)
			return r;
		source += n + (source[n] == ':');
	}
	return 0;
}

/* Folders of an overlay are parted by ':'; a backslash protects what follows it. */
static int overlay_folders(const struct usage *u, char *list, unsigned depth, struct devset *set)
{
	while (*list) {
		char *end = list, *to = list;
		struct stat st;

		for (; *end && *end != ':'; end++) {
			if (*end == '\\' && end[1])
				end++;
			*to++ = *end;
		}
		char *next = *end ? end + 1 : end;

		*to = 0;
		_free_ char *path = u->root->host ? realpath(list, NULL) : strdup(list);

		if (path) {
			uint64_t dev = u->root->host && stat(path, &st) == 0 ? st.st_dev : 0;
			int r = carriers_deep(u, path, dev, depth + 1, set);

			if (r < 0)
				return r;
		}
		list = next;
	}
	return 0;
}

static int overlay_devs(const struct usage *u, const struct mount *m, unsigned depth,
                        struct devset *set)
{
	static const char *const keys[] = { "lowerdir=", "upperdir=", "lowerdir+=", "datadir+=" };
	_free_ char *options = strdup(m->super);
	char *rest = options;

	if (!options)
		return -ENOMEM;
	for (char *word; (word = strsep(&rest, ","));)
		for (size_t i = 0; i < ARRAY_LEN(keys); i++)
			if (strncmp(word, keys[i], strlen(keys[i])) == 0) {
				char *list = word + strlen(keys[i]);

				text_unescape(list);
				int r = overlay_folders(u, list, depth, set);

				if (r < 0)
					return r;
			}
	return 0;
}

static int mount_devs_deep(const struct usage *u, const struct mount *m, unsigned depth,
                           struct devset *set)
{
	_devset_ struct devset found = { 0 };
	int r = 0;

	if (major(m->dev))
		r = devset_add(&found, m->dev);
	else if (strcmp(m->type, "overlay") == 0 && depth < OVERLAY_DEPTH)
		return overlay_devs(u, m, depth, set);
	else
		r = source_devs(u, m->source, &found);
	for (size_t i = 0; r >= 0 && i < found.n; i++) {
		r = devset_add(set, found.devs[i]);
		if (r >= 0)
			r = btrfs_join(u, found.devs[i], set);
	}
	return r < 0 ? r : 0;
}

int usage_mount_devs(const struct usage *u, const struct mount *m, struct devset *set)
{
	return mount_devs_deep(u, m, 0, set);
}

static bool path_is_under(const char *path, const char *point)
{
	size_t n = strlen(point);

	if (n == 1)
		return *path == '/';
	return strncmp(path, point, n) == 0 && (path[n] == 0 || path[n] == '/');
}

/* The mount of our namespace that shows @path: the longest mount point, of equals the last. */
static const struct mount *mount_of_path(const struct usage *u, const char *path)
{
	const struct mount *best = NULL;

	for (size_t i = 0; i < u->mounts.n; i++) {
		const struct mount *m = &u->mounts.list[i];

		if (m->own && path_is_under(path, m->point) &&
		    (!best || strlen(m->point) >= strlen(best->point)))
			best = m;
	}
	return best;
}

/* The file's own number says it all, but on file systems that are made of others. */
static int carriers_deep(const struct usage *u, const char *path, uint64_t st_dev, unsigned depth,
                         struct devset *set)
{
	const struct mount *m = mount_of_path(u, path);
	int r;

	if (major(st_dev)) {
		r = devset_add(set, st_dev);
		if (r < 0 || (m && major(m->dev)))
			return r < 0 ? r : 0;
	}
	return m ? mount_devs_deep(u, m, depth, set) : 0;
}

int usage_carriers(const struct usage *u, const char *path, uint64_t st_dev, struct devset *set)
{
	return carriers_deep(u, path, st_dev, 0, set);
}

/* The loop driver knows its backing file's numbers, whatever became of its name. */
static uint64_t loop_ask(const struct usage *u, struct loop_user *loop)
{
	_free_ char *node = u->root->host ? sysblock_node(u->root, loop->dev) : NULL;
	_close_ int fd = node ? open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	struct loop_info64 info;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_rdev == loop->dev &&
	    ioctl(fd, LOOP_GET_STATUS64, &info) == 0) {
		loop->file_dev = info.lo_device;
		loop->file_ino = info.lo_inode;
		return info.lo_rdevice;
	}
	if (!u->root->host)
		return sysblock_find(u->root, loop->file);
	if (stat(loop->file, &st) < 0)
		return 0;
	loop->file_dev = st.st_dev;
	loop->file_ino = st.st_ino;
	return S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

static int loop_read(struct usage *u, uint64_t dev, char *file)
{
	struct loop_user *list = reallocarray(u->loops, u->n_loops + 1, sizeof(*list));

	if (!list) {
		free(file);
		return -ENOMEM;
	}
	u->loops = list;
	struct loop_user *loop = &list[u->n_loops++];

	*loop = (struct loop_user){ .dev = dev, .file = file };
	uint64_t rdev = loop_ask(u, loop);

	return rdev ? devset_add(&loop->below, rdev)
	            : usage_carriers(u, loop->file, loop->file_dev, &loop->below);
}

static int loops_read(struct usage *u)
{
	_devset_ struct devset disks = { 0 };
	int r = sysblock_disks(u->root, &disks);

	for (size_t i = 0; r >= 0 && i < disks.n; i++) {
		char *file = sysblock_attr(u->root, disks.devs[i], "loop/backing_file");

		if (file)
			r = loop_read(u, disks.devs[i], file);
	}
	return r < 0 ? r : 0;
}

int usage_read(struct usage *u, const struct sys_root *root, struct ism_error *err)
{
	*u = (struct usage){ .root = root };
	int r = mounts_read(&u->mounts, root);

	if (r >= 0)
		r = swaps_read(&u->swaps, root);
	if (r >= 0)
		r = btrfs_read(u);
	if (r >= 0)
		r = loops_read(u);
	if (r >= 0)
		return 0;
	usage_free(u);
	return ism_error_errno(err, r, NULL, ISM_NO_OFFSET,
	                       "cannot find out which disks are in use");
}

const struct loop_user *usage_loop(const struct usage *u, uint64_t dev)
{
	for (size_t i = 0; i < u->n_loops; i++)
		if (u->loops[i].dev == dev)
			return &u->loops[i];
	return NULL;
}

/* Each round adds new devices only, and there is an end of devices: devset_add() says so. */
int usage_down(const struct usage *u, struct devset *set)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < set->n; i++) {
		uint64_t dev = set->devs[i];
		const struct loop_user *loop = usage_loop(u, dev);

		r = devset_add(set, sysblock_whole(u->root, dev));
		if (r >= 0)
			r = sysblock_slaves(u->root, dev, set);
		if (r >= 0 && loop)
			r = devset_join(set, &loop->below);
	}
	return r < 0 ? r : 0;
}

int usage_up(const struct usage *u, struct devset *set)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < set->n; i++) {
		size_t before = set->n;
		uint64_t dev = set->devs[i];

		r = sysblock_holders(u->root, dev, set);
		for (size_t j = 0; r >= 0 && j < u->n_loops; j++)
			if (devset_has(&u->loops[j].below, dev))
				r = devset_add(set, u->loops[j].dev);
		for (size_t j = before; r >= 0 && j < set->n; j++)
			r = sysblock_partitions(u->root, set->devs[j], set);
	}
	return r < 0 ? r : 0;
}

uint64_t usage_swap_dev(const struct usage *u, size_t i)
{
	return sysblock_find(u->root, u->swaps.list[i]);
}

bool mount_is_system(const char *point)
{
	static const char *const exact[] = { "/", "/usr", "/var", "/home", "/cdrom", "/efi" };
	static const char *const folders[] = { "/run/live", "/run/archiso", "/run/initramfs",
		                               "/run/miso", "/lib/live",    "/usr/lib/live" };

	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (strcmp(point, exact[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (path_is_under(point, folders[i]))
			return true;
	return strncmp(point, "/boot", 5) == 0;
}
