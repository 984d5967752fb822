/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disk images for the tests of partition tables, made by sfdisk and parted: tools that we did not
 * write. */
#ifndef TABLE_TEST_IMAGES_H
#define TABLE_TEST_IMAGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "table/table.h"

struct image {
	char path[64];
	int fd;
};

static inline bool have_tool(const char *tool)
{
	_free_ char *command =
		text_format("PATH=$PATH:/usr/sbin:/sbin command -v %s >/dev/null", tool);

	return system(command) == 0;
}

static inline void image_new(struct image *im, uint64_t size)
{
	strcpy(im->path, "/tmp/isomorph-table-XXXXXX.img");
	im->fd = mkostemps(im->path, 4, O_CLOEXEC);
	assert_true(im->fd >= 0);
	assert_int_equal(ftruncate(im->fd, (off_t)size), 0);
}

static inline void image_free(struct image *im)
{
	close(im->fd);
	unlink(im->path);
}

/* Run a shell command in which %s is the image. */
static inline void image_run(const struct image *im, const char *before, const char *after)
{
	_free_ char *command =
		text_format("PATH=$PATH:/usr/sbin:/sbin; %s %s %s", before, im->path, after);

	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline void image_sfdisk(const struct image *im, const char *script)
{
	_free_ char *before =
		text_format("printf '%s' | sfdisk -q --no-reread --no-tell-kernel", script);

	image_run(im, before, ">/dev/null");
}

static inline void image_write(const struct image *im, uint64_t offset, const void *p, size_t len)
{
	assert_int_equal(pwrite(im->fd, p, len, (off_t)offset), len);
}

static inline void image_read(const struct image *im, uint64_t offset, void *p, size_t len)
{
	assert_int_equal(pread(im->fd, p, len, (off_t)offset), len);
}

static inline void image_flip(const struct image *im, uint64_t offset)
{
	uint8_t b;

	image_read(im, offset, &b, 1);
	b ^= 0xff;
	image_write(im, offset, &b, 1);
}

static inline struct table *image_table(const struct image *im)
{
	struct ism_open_options options = { .raw = true };
	struct medium *m = NULL;
	struct table *t = NULL;
	struct ism_error err = { 0 };

	assert_int_equal(carrier_open(im->path, &options, &m, &err), 0);
	assert_int_equal(table_read(m, &t, &err), 0);
	medium_close(m);
	return t;
}

static inline bool has_note(const struct table *t, const char *text)
{
	for (size_t i = 0; i < t->n_notes; i++)
		if (strstr(t->notes[i], text))
			return true;
	return false;
}

static inline json_t *image_json(const struct image *im)
{
	_free_ char *command =
		text_format("PATH=$PATH:/usr/sbin:/sbin; sfdisk --json %s", im->path);
	FILE *f = popen(command, "re");
	json_t *doc;

	assert_non_null(f);
	doc = json_loadf(f, 0, NULL);
	pclose(f);
	assert_non_null(doc);
	return doc;
}

#endif
