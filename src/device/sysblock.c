/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Block devices as sysfs shows them. Kernel documentation: ABI/testing/sysfs-block, sysfs-dev. */
#include "device/sysblock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"

#define DEVSET_MAX 65536 /* far above what a machine has; a tree that goes on is no tree */
#define ATTR_MAX   4096  /* sysfs gives a page at most */

const struct sys_root sys_root_host = { "/sys", "/proc", true };

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

bool devset_has(const struct devset *set, uint64_t dev)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->devs[i] == dev)
			return true;
	return false;
}

int devset_add(struct devset *set, uint64_t dev)
{
	if (devset_has(set, dev))
		return 0;
	if (set->n == DEVSET_MAX)
		return -E2BIG;
	if (set->n == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 8;
		uint64_t *devs = reallocarray(set->devs, cap, sizeof(*devs));

		if (!devs)
			return -ENOMEM;
		set->devs = devs;
		set->cap = cap;
	}
	set->devs[set->n++] = dev;
	return 1;
}

bool devset_meets(const struct devset *a, const struct devset *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (devset_has(b, a->devs[i]))
			return true;
	return false;
}

void devset_free(struct devset *set)
{
	free(set->devs);
	*set = (struct devset){ 0 };
}

int text_read(const char *path, size_t max, char **ret, size_t *ret_len)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_free_ char *text = NULL;
	size_t len = 0, cap = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		if (len + 1 >= cap) {
			size_t more = MIN(cap ? cap * 2 : 1024, max + 2);
			char *p = more > cap ? realloc(text, more) : NULL;

			if (!p)
				return more > cap ? -ENOMEM : -EFBIG;
			text = p;
			cap = more;
		}
		ssize_t n = read(fd, text + len, cap - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	if (len > max)
		return -EFBIG;
	text[len] = 0;
	*ret = take(text);
	if (ret_len)
		*ret_len = len;
	return 0;
}

bool number_parse(const char *text, uint64_t *ret)
{
	char *end;

	if (!text || !isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno == 0 && *end == 0;
}

bool devno_parse(char *text, uint64_t *ret)
{
	char *colon = text ? strchr(text, ':') : NULL;
	uint64_t ma, mi;

	if (!colon)
		return false;
	*colon = 0;
	if (!number_parse(text, &ma) || !number_parse(colon + 1, &mi) || ma > 0xfff || mi > 0xfffff)
		return false;
	*ret = makedev((unsigned)ma, (unsigned)mi);
	return true;
}

static char *attr_path(const struct sys_root *root, uint64_t dev, const char *name)
{
	return text_format("%s/dev/block/%u:%u%s%s", root->sys, major(dev), minor(dev),
	                   *name ? "/" : "", name);
}

char *sysblock_dir(const struct sys_root *root, uint64_t dev)
{
	_free_ char *path = attr_path(root, dev, "");

	return path ? realpath(path, NULL) : NULL;
}

bool sysblock_has(const struct sys_root *root, uint64_t dev, const char *name)
{
	_free_ char *path = attr_path(root, dev, name);

	return path && access(path, F_OK) == 0;
}

static char *text_trimmed(const char *path)
{
	_free_ char *text = NULL;
	size_t len, start = 0;

	if (text_read(path, ATTR_MAX, &text, &len) < 0)
		return NULL;
	len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		len--;
	while (start < len && isspace((unsigned char)text[start]))
		start++;
	return len > start ? strndup(text + start, len - start) : NULL;
}

char *sysblock_attr(const struct sys_root *root, uint64_t dev, const char *name)
{
	_free_ char *path = attr_path(root, dev, name);

	return path ? text_trimmed(path) : NULL;
}

uint64_t sysblock_number(const struct sys_root *root, uint64_t dev, const char *name,
                         uint64_t otherwise)
{
	_free_ char *text = sysblock_attr(root, dev, name);
	uint64_t n;

	return number_parse(text, &n) ? n : otherwise;
}

char *sysblock_name(const struct sys_root *root, uint64_t dev)
{
	_free_ char *dir = sysblock_dir(root, dev);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	return slash ? strdup(slash + 1) : text_format("%u:%u", major(dev), minor(dev));
}

/* The kernel says the node's name in uevent; sysfs names have '!' where that has '/'. */
char *sysblock_node(const struct sys_root *root, uint64_t dev)
{
	_free_ char *uevent = sysblock_attr(root, dev, "uevent");
	_free_ char *name = NULL;

	for (char *line = uevent; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "DEVNAME=", 8) == 0)
			return text_format("/dev/%.*s", (int)strcspn(line + 8, "\n"), line + 8);
	}
	name = sysblock_name(root, dev);
	for (char *p = name; p && (p = strchr(p, '!'));)
		*p = '/';
	return name ? text_format("/dev/%s", name) : NULL;
}

char *sysblock_label(const struct sys_root *root, uint64_t dev)
{
	static const char *const names[] = { "dm/name", "loop/backing_file" };
	_free_ char *name = sysblock_name(root, dev);

	for (size_t i = 0; name && i < ARRAY_LEN(names); i++) {
		_free_ char *text = sysblock_attr(root, dev, names[i]);

		if (text)
			return text_format("%s (%s)", name, text);
	}
	return take(name);
}

bool sysblock_is_partition(const struct sys_root *root, uint64_t dev)
{
	return sysblock_has(root, dev, "partition");
}

static bool dev_read(const char *dir, const char *name, uint64_t *ret)
{
	_free_ char *path = text_format("%s/%s%sdev", dir, name, *name ? "/" : "");
	_free_ char *text = path ? text_trimmed(path) : NULL;

	return text && devno_parse(text, ret);
}

uint64_t sysblock_whole(const struct sys_root *root, uint64_t dev)
{
	_free_ char *dir = sysblock_dir(root, dev);
	uint64_t whole;

	if (!dir || !sysblock_is_partition(root, dev))
		return dev;
	*strrchr(dir, '/') = 0;
	return dev_read(dir, "", &whole) ? whole : dev;
}

/* Entries that are no devices, and hidden ones (the paths of a multipath NVMe), have no dev. */
static int links_filtered(const char *path, const char *must_have, struct devset *set)
{
	CLEANUP(dir_closep) DIR *d = opendir(path);
	uint64_t dev;

	if (!d)
		return errno == ENOMEM ? -ENOMEM : 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.' || !dev_read(path, e->d_name, &dev))
			continue;
		if (must_have) {
			_free_ char *mark = text_format("%s/%s/%s", path, e->d_name, must_have);

			if (!mark)
				return -ENOMEM;
			if (access(mark, F_OK) < 0)
				continue;
		}
		int r = devset_add(set, dev);

		if (r < 0)
			return r;
	}
	return 0;
}

int sysblock_links(const char *path, struct devset *set)
{
	return links_filtered(path, NULL, set);
}

static int sysblock_folder(const struct sys_root *root, uint64_t dev, const char *name,
                           struct devset *set)
{
	_free_ char *path = attr_path(root, dev, name);

	return path ? sysblock_links(path, set) : -ENOMEM;
}

int sysblock_disks(const struct sys_root *root, struct devset *set)
{
	_free_ char *path = text_format("%s/block", root->sys);

	return path ? sysblock_links(path, set) : -ENOMEM;
}

int sysblock_partitions(const struct sys_root *root, uint64_t disk, struct devset *set)
{
	_free_ char *path = attr_path(root, disk, "");

	return path ? links_filtered(path, "partition", set) : -ENOMEM;
}

int sysblock_holders(const struct sys_root *root, uint64_t dev, struct devset *set)
{
	return sysblock_folder(root, dev, "holders", set);
}

int sysblock_slaves(const struct sys_root *root, uint64_t dev, struct devset *set)
{
	return sysblock_folder(root, dev, "slaves", set);
}

static uint64_t find_mapper(const struct sys_root *root, const char *name)
{
	_devset_ struct devset disks = { 0 };

	if (sysblock_disks(root, &disks) < 0)
		return 0;
	for (size_t i = 0; i < disks.n; i++) {
		_free_ char *dm = sysblock_attr(root, disks.devs[i], "dm/name");

		if (dm && strcmp(dm, name) == 0)
			return disks.devs[i];
	}
	return 0;
}

uint64_t sysblock_find(const struct sys_root *root, const char *path)
{
	_free_ char *dir = text_format("%s/class/block", root->sys);
	_free_ char *name = NULL;
	struct stat st;
	uint64_t dev;

	if (root->host && stat(path, &st) == 0)
		return S_ISBLK(st.st_mode) ? st.st_rdev : 0;
	if (strncmp(path, "/dev/mapper/", 12) == 0)
		return find_mapper(root, path + 12);
	if (strncmp(path, "/dev/", 5) != 0 || !dir || !(name = strdup(path + 5)))
		return 0;
	for (char *p = name; (p = strchr(p, '/'));)
		*p = '!';
	return dev_read(dir, name, &dev) ? dev : 0;
}
