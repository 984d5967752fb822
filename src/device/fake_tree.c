/* SPDX-License-Identifier: GPL-3.0-or-later */
/* For tests: a sysfs and a procfs made of folders, laid out as the kernel lays them out. */
#include "device/fake_tree.h"

#include <assert.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

void tree_make(struct fake_tree *t)
{
	char base[] = "/tmp/isomorph-tree-XXXXXX";

	assert(mkdtemp(base));
	*t = (struct fake_tree){ .base = strdup(base) };
	t->sys = text_format("%s/sys", base);
	t->proc = text_format("%s/proc", base);
	t->root = (struct sys_root){ t->sys, t->proc, false };
	tree_write(t, "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	tree_write(t, "sys/block/.keep", "%s", "");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void tree_remove(struct fake_tree *t)
{
	nftw(t->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(t->base);
	free(t->sys);
	free(t->proc);
	*t = (struct fake_tree){ 0 };
}

static void folders_make(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(path, 0777);
		*p = '/';
	}
}

void tree_write(struct fake_tree *t, const char *path, const char *fmt, ...)
{
	_free_ char *full = text_format("%s/%s", t->base, path);
	va_list args;

	folders_make(full);
	FILE *f = fopen(full, "we");

	assert(f);
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	fclose(f);
}

static void tree_link(struct fake_tree *t, const char *to, const char *path)
{
	_free_ char *full = text_format("%s/%s", t->base, path);

	folders_make(full);
	unlink(full);
	assert(symlink(to, full) == 0);
}

/* The folder of a device, below the base. */
static char *folder_of(struct fake_tree *t, const char *name)
{
	_free_ char *link = text_format("%s/sys/class/block/%s", t->base, name);
	_free_ char *dir = realpath(link, NULL);

	assert(dir);
	return strdup(dir + strlen(t->base) + 1);
}

void tree_attr(struct fake_tree *t, const char *name, const char *attr, const char *text)
{
	_free_ char *folder = folder_of(t, name);
	_free_ char *path = text_format("%s/%s", folder, attr);

	tree_write(t, path, "%s\n", text);
}

static void device_make(struct fake_tree *t, const char *folder, const char *name, unsigned ma,
                        unsigned mi, unsigned long long sectors)
{
	_free_ char *to = text_format("%s/%s", t->base, folder);
	_free_ char *class_link = text_format("sys/class/block/%s", name);
	_free_ char *dev_link = text_format("sys/dev/block/%u:%u", ma, mi);
	_free_ char *dev = text_format("%s/dev", folder);
	_free_ char *size = text_format("%s/size", folder);
	_free_ char *ro = text_format("%s/ro", folder);
	_free_ char *holders = text_format("%s/holders/.keep", folder);
	_free_ char *slaves = text_format("%s/slaves/.keep", folder);

	tree_write(t, dev, "%u:%u\n", ma, mi);
	tree_write(t, size, "%llu\n", sectors);
	tree_write(t, ro, "0\n");
	tree_write(t, holders, "%s", "");
	tree_write(t, slaves, "%s", "");
	tree_link(t, to, class_link);
	tree_link(t, to, dev_link);
}

void tree_disk(struct fake_tree *t, const char *bus, const char *name, unsigned ma, unsigned mi,
               unsigned long long sectors)
{
	_free_ char *folder = text_format("sys/devices/%s/block/%s", bus, name);
	_free_ char *to = text_format("%s/%s", t->base, folder);
	_free_ char *link = text_format("sys/block/%s", name);

	device_make(t, folder, name, ma, mi, sectors);
	tree_link(t, to, link);
	tree_attr(t, name, "queue/logical_block_size", "512");
}

void tree_part(struct fake_tree *t, const char *disk, const char *name, unsigned number,
               unsigned ma, unsigned mi, unsigned long long start, unsigned long long sectors)
{
	_free_ char *parent = folder_of(t, disk);
	_free_ char *folder = text_format("%s/%s", parent, name);
	_free_ char *first = text_format("%llu", start);
	_free_ char *no = text_format("%u", number);

	device_make(t, folder, name, ma, mi, sectors);
	tree_attr(t, name, "partition", no);
	tree_attr(t, name, "start", first);
}

void tree_hold(struct fake_tree *t, const char *lower, const char *upper)
{
	_free_ char *low = folder_of(t, lower);
	_free_ char *up = folder_of(t, upper);
	_free_ char *low_full = text_format("%s/%s", t->base, low);
	_free_ char *up_full = text_format("%s/%s", t->base, up);
	_free_ char *holder = text_format("%s/holders/%s", low, upper);
	_free_ char *slave = text_format("%s/slaves/%s", up, lower);

	tree_link(t, up_full, holder);
	tree_link(t, low_full, slave);
}

void tree_btrfs(struct fake_tree *t, const char *uuid, const char *const *names)
{
	for (; *names; names++) {
		_free_ char *folder = folder_of(t, *names);
		_free_ char *to = text_format("%s/%s", t->base, folder);
		_free_ char *link = text_format("sys/fs/btrfs/%s/devices/%s", uuid, *names);

		tree_link(t, to, link);
	}
}

void tree_process(struct fake_tree *t, const char *pid, unsigned ns, const char *root,
                  const char *mountinfo)
{
	_free_ char *file = text_format("proc/%s/mountinfo", pid);
	_free_ char *ns_link = text_format("proc/%s/ns/mnt", pid);
	_free_ char *root_link = text_format("proc/%s/root", pid);
	_free_ char *text = text_format("mnt:[%u]", ns);

	tree_write(t, file, "%s", mountinfo);
	tree_link(t, text, ns_link);
	tree_link(t, root, root_link);
}

uint64_t tree_dev(struct fake_tree *t, const char *name)
{
	_free_ char *path = text_format("/dev/%s", name);

	return sysblock_find(&t->root, path);
}
