/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A file system of one file, /disk, kept in a backing file, that does not store what it was given:
 * fusebad MOUNTPOINT BACKING FAULT OFFSET LENGTH [nodirect]. FAULT: drop (acknowledged, never
 * stored), flip (stored with its lowest bits wrong), late (stored, and spoilt when it is flushed).
 * Reads by others than O_DIRECT come from the kernel's page cache, which holds what was written:
 * only a reader that goes past it sees the truth. With nodirect such reads are EINVAL. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int backing;
static off_t bad_from, bad_to;
static enum { DROP, FLIP, LATE } fault;
static int no_direct;

static int bad_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (fstat(backing, st) < 0)
		return -errno;
	if (strcmp(path, "/") == 0)
		*st = (struct stat){ .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	else if (strcmp(path, "/disk") != 0)
		return -ENOENT;
	return 0;
}

static int bad_open(const char *path, struct fuse_file_info *fi)
{
	fi->keep_cache = 1;
	return strcmp(path, "/disk") == 0 ? 0 : -ENOENT;
}

static int bad_read(const char *path, char *buf, size_t len, off_t offset,
                    struct fuse_file_info *fi)
{
	ssize_t n;

	(void)path;
	if (no_direct && fi->flags & O_DIRECT)
		return -EINVAL;
	n = pread(backing, buf, len, offset);
	return n < 0 ? -errno : (int)n;
}

static int store(const char *buf, off_t from, off_t to, off_t offset)
{
	if (from >= to)
		return 0;
	return pwrite(backing, buf + (from - offset), (size_t)(to - from), from) == to - from
	               ? 0
	               : -EIO;
}

static int bad_write(const char *path, const char *buf, size_t len, off_t offset,
                     struct fuse_file_info *fi)
{
	off_t end = offset + (off_t)len;
	off_t from = fault == LATE || bad_from > end ? end : bad_from < offset ? offset : bad_from;
	off_t to = bad_to > end ? end : bad_to < from ? from : bad_to;
	char *copy = malloc(len);
	int r = copy ? 0 : -ENOMEM;

	(void)path;
	(void)fi;
	for (size_t i = 0; copy && i < len; i++)
		copy[i] = (char)(buf[i] ^ 1);
	if (r == 0)
		r = store(buf, offset, from, offset);
	if (r == 0 && fault == FLIP)
		r = store(copy, from, to, offset);
	if (r == 0)
		r = store(buf, to, end, offset);
	free(copy);
	return r < 0 ? r : (int)len;
}

static int bad_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	(void)path;
	(void)fi;
	return ftruncate(backing, size) < 0 ? -errno : 0;
}

static int bad_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	static const char spoilt[] = "spoilt after it was stored";

	(void)path;
	(void)datasync;
	(void)fi;
	return fault == LATE && store(spoilt, bad_from, bad_from + (off_t)sizeof(spoilt),
	                              bad_from) < 0
	               ? -EIO
	               : 0;
}

static void *bad_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	config->kernel_cache = 1;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = bad_init,
	.getattr = bad_getattr,
	.open = bad_open,
	.read = bad_read,
	.write = bad_write,
	.truncate = bad_truncate,
	.fsync = bad_fsync,
};

int main(int argc, char **argv)
{
	char *args[] = { argv[0], argc > 1 ? argv[1] : NULL, NULL };

	if (argc < 6) {
		fprintf(stderr, "usage: fusebad MOUNTPOINT BACKING drop|flip|late OFFSET LENGTH "
		                "[nodirect]\n");
		return 2;
	}
	backing = open(argv[2], O_RDWR | O_CLOEXEC);
	if (backing < 0) {
		perror(argv[2]);
		return 1;
	}
	fault = strcmp(argv[3], "drop") == 0 ? DROP : strcmp(argv[3], "flip") == 0 ? FLIP : LATE;
	bad_from = strtoll(argv[4], NULL, 0);
	bad_to = bad_from + strtoll(argv[5], NULL, 0);
	no_direct = argc > 6;
	return fuse_main(2, args, &operations, NULL);
}
