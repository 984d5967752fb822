/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kernel said about a disk last: the reason behind an "Input/output error".
 * Spec: Documentation/ABI/testing/dev-kmsg. */
#include "device/words.h"

#include "device/device.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "device/sysblock.h"

#define WORDS_LINES 8
#define RECORD_MAX  8192      /* the kernel's own bound of a record */
#define RECORDS_MAX (1 << 18) /* a log that grows while it is read has an end too */

/* The disk's name, or that of a partition: a name that ends in a digit has a 'p' between. */
static bool has_name(const char *text, const char *name)
{
	size_t n = strlen(name);
	bool numbered = n && isdigit((unsigned char)name[n - 1]);

	for (const char *p = text; n && (p = strstr(p, name)); p += n) {
		const char *rest = p + n;

		if (numbered && *rest == 'p' && isdigit((unsigned char)rest[1]))
			rest++;
		if (!numbered || rest > p + n)
			while (isdigit((unsigned char)*rest))
				rest++;
		if ((p == text || !isalnum((unsigned char)p[-1])) && !isalnum((unsigned char)*rest))
			return true;
	}
	return false;
}

/* "6,339,5140900,-;message", then lines " KEY=value", of which DEVICE=b8:16 names a block device.
 */
char *words_match(const char *record, const char *name, unsigned ma, unsigned mi)
{
	const char *text = strchr(record, ';');
	_free_ char *device = text_format("\n DEVICE=b%u:%u\n", ma, mi);

	if (!text || !device)
		return NULL;
	text++;
	size_t n = strcspn(text, "\n");
	char *line = strndup(text, n);

	if (line && !has_name(line, name) && !strstr(text + n, device)) {
		free(line);
		return NULL;
	}
	return line;
}

static char *lines_join(char *const *lines, unsigned count)
{
	char *all = NULL;

	for (unsigned i = count > WORDS_LINES ? count - WORDS_LINES : 0; i < count; i++) {
		char *more = text_format("%s%s%s", all ? all : "", all ? "\n" : "",
		                         lines[i % WORDS_LINES]);

		free(all);
		all = more;
	}
	return all;
}

char *target_kernel_words(const struct target *t)
{
	_close_ int fd = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char record[RECORD_MAX + 1], *lines[WORDS_LINES] = { NULL };
	unsigned count = 0;

	if (fd < 0 || t->is_file)
		return NULL;
	const char *slash = strrchr(t->device.path, '/');
	const char *name = slash ? slash + 1 : t->device.path;

	for (unsigned i = 0; i < RECORDS_MAX; i++) {
		ssize_t n = read(fd, record, RECORD_MAX);

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* records were overwritten before we read them */
		if (n <= 0)
			break;
		record[n] = 0;
		char *line = words_match(record, name, major(t->device.dev), minor(t->device.dev));

		if (!line)
			continue;
		free(lines[count % WORDS_LINES]);
		lines[count++ % WORDS_LINES] = line;
	}
	char *all = lines_join(lines, count);

	for (size_t i = 0; i < WORDS_LINES; i++)
		free(lines[i]);
	return all;
}
