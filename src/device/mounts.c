/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads /proc/PID/mountinfo of one process in each mount namespace, and /proc/swaps. Spec: proc(5).
 * What cannot be read completely is an error: the guard must not take it for "not mounted". */
#include "device/mounts.h"

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"

#define MOUNTINFO_MAX (64 * MIB) /* of one namespace; the kernel allows 100000 mounts in one */
#define SWAPS_MAX     (1 * MIB)
#define MOUNTS_MAX    (4u << 20)

static void dir_closep(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int octal_at(const char *s)
{
	if (s[0] < '0' || s[0] > '3' || s[1] < '0' || s[1] > '7' || s[2] < '0' || s[2] > '7')
		return -1;
	return (s[0] - '0') << 6 | (s[1] - '0') << 3 | (s[2] - '0');
}

void text_unescape(char *s)
{
	char *to = s;

	while (*s) {
		int c = *s == '\\' ? octal_at(s + 1) : -1;

		if (c > 0) {
			*to++ = (char)c;
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

static void mount_free(struct mount *m)
{
	free(m->root);
	free(m->point);
	free(m->type);
	free(m->source);
	free(m->super);
}

void mounts_free(struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		mount_free(&m->list[i]);
	free(m->list);
	*m = (struct mounts){ 0 };
}

static int mounts_append(struct mounts *m, const struct mount *one)
{
	if (m->n == MOUNTS_MAX)
		return -EFBIG;
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct mount *list = reallocarray(m->list, cap, sizeof(*list));

		if (!list)
			return -ENOMEM;
		m->list = list;
		m->cap = cap;
	}
	m->list[m->n++] = *one;
	return 0;
}

/* The next word of the line, NUL-terminated in place; NULL at its end. */
static char *word_next(char **p)
{
	char *start = *p;

	if (!start)
		return NULL;
	char *blank = strchr(start, ' ');

	if (blank)
		*blank++ = 0;
	*p = blank;
	return start;
}

/* An empty source is printed as nothing between two blanks. */
static char *word_copy(const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (copy)
		text_unescape(copy);
	return copy;
}

/* id parent major:minor root point options [optional …] - type source super */
static int line_parse(char *line, const struct mount *like, struct mount *ret)
{
	struct mount m = *like;
	char *p = line, *root, *point, *word;
	uint64_t parent;

	if (!number_parse(word_next(&p), &m.id) || !number_parse(word_next(&p), &parent) ||
	    !devno_parse(word_next(&p), &m.dev))
		return -EBADMSG;
	root = word_next(&p);
	point = word_next(&p);
	word_next(&p);
	do
		word = word_next(&p);
	while (word && strcmp(word, "-") != 0);
	char *type = word_next(&p), *source = word_next(&p), *super = word_next(&p);

	if (!super)
		return -EBADMSG;
	m.root = word_copy(root);
	m.point = word_copy(point);
	m.type = word_copy(type);
	m.source = word_copy(source);
	m.super = strdup(super); /* unescaped where it is taken apart */
	if (!m.root || !m.point || !m.type || !m.source || !m.super) {
		mount_free(&m);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

int mounts_parse(struct mounts *m, const char *text, size_t len, const struct mount *like)
{
	while (len) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;
		_free_ char *line = strndup(text, n);
		struct mount one;

		if (!line)
			return -ENOMEM;
		if (n) {
			int r = strlen(line) == n ? line_parse(line, like, &one) : -EBADMSG;

			if (r == 0 && (r = mounts_append(m, &one)) < 0)
				mount_free(&one);
			if (r < 0)
				return r;
		}
		n += end != NULL;
		text += n;
		len -= n;
	}
	return 0;
}

/**
 * struct view - what a process can see: its namespace, and its root folder in that
 * A mountinfo shows no mounts outside the root of its process.
 */
struct view {
	uint64_t ns;
	char *root;
};

struct views {
	struct view *list;
	size_t n;
};

static void views_free(struct views *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->list[i].root);
	free(v->list);
}

/* 1: new, and @root is taken over; 0: was there. */
static int views_add(struct views *v, uint64_t ns, char **root)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->list[i].ns == ns && strcmp(v->list[i].root, *root) == 0)
			return 0;

	struct view *list = reallocarray(v->list, v->n + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	v->list = list;
	list[v->n++] = (struct view){ ns, take(*root) };
	return 1;
}

/* The number of a process's mount namespace: the text "mnt:[4026531841]" of its link. */
static char *link_of(const struct sys_root *root, const char *pid, const char *name)
{
	_free_ char *path = text_format("%s/%s/%s", root->proc, pid, name);
	_free_ char *text = malloc(PATH_MAX + 1);
	ssize_t n = path && text ? readlink(path, text, PATH_MAX) : -1;

	if (n < 0)
		return NULL;
	text[n] = 0;
	return take(text);
}

/* Of processes that may not be looked at, all count as one view: the first, which is init, is read.
 */
static int view_of(struct views *v, const struct sys_root *root, const char *pid, uint64_t *ret_ns)
{
	_free_ char *ns_text = link_of(root, pid, "ns/mnt");
	_free_ char *folder = link_of(root, pid, "root");
	uint64_t ns = 0;

	if (ns_text && strncmp(ns_text, "mnt:[", 5) == 0) {
		ns_text[strcspn(ns_text, "]")] = 0;
		if (!number_parse(ns_text + 5, &ns))
			ns = 0;
	}
	if (!folder)
		folder = strdup(ns ? "/" : "");
	if (!folder)
		return -ENOMEM;
	*ret_ns = ns;
	return views_add(v, ns, &folder);
}

static int mounts_of(struct mounts *m, const struct sys_root *root, const char *pid,
                     const struct mount *like)
{
	_free_ char *path = text_format("%s/%s/mountinfo", root->proc, pid);
	_free_ char *text = NULL;
	size_t len;

	if (!path)
		return -ENOMEM;
	int r = text_read(path, MOUNTINFO_MAX, &text, &len);

	return r < 0 ? r : mounts_parse(m, text, len, like);
}

/* Processes that are gone meanwhile are passed over. */
static int mounts_others(struct mounts *m, const struct sys_root *root, struct views *seen)
{
	CLEANUP(dir_closep) DIR *d = opendir(root->proc);

	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d));) {
		struct mount like = { 0 };

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		like.pid = atoi(e->d_name); /* NOLINT(cert-err34-c): the kernel's own number */
		int r = view_of(seen, root, e->d_name, &like.ns);

		if (r > 0)
			r = mounts_of(m, root, e->d_name, &like);
		if (r == -ENOMEM || r == -EFBIG || r == -EBADMSG)
			return r;
	}
	return 0;
}

int mounts_read(struct mounts *m, const struct sys_root *root)
{
	CLEANUP(views_free) struct views seen = { 0 };
	struct mount like = { .own = true, .pid = getpid() };
	int r = view_of(&seen, root, "self", &like.ns);

	if (r >= 0)
		r = mounts_of(m, root, "self", &like);
	return r < 0 ? r : mounts_others(m, root, &seen);
}

void swaps_free(struct swaps *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->list[i]);
	free(s->list);
	*s = (struct swaps){ 0 };
}

/* After a line of headings: name, kind, size …, with blanks or tabs between. */
int swaps_parse(struct swaps *s, const char *text)
{
	const char *line = strchr(text, '\n');

	for (; line && line[1]; line = strchr(line + 1, '\n')) {
		size_t n = strcspn(line + 1, " \t\n");
		char **list = reallocarray(s->list, s->n + 1, sizeof(*list));
		char *name = strndup(line + 1, n);

		if (list)
			s->list = list;
		if (!list || !name) {
			free(name);
			return -ENOMEM;
		}
		text_unescape(name);
		s->list[s->n++] = name;
	}
	return 0;
}

int swaps_read(struct swaps *s, const struct sys_root *root)
{
	_free_ char *path = text_format("%s/swaps", root->proc);
	_free_ char *text = NULL;

	if (!path)
		return -ENOMEM;
	int r = text_read(path, SWAPS_MAX, &text, NULL);

	if (r == -ENOENT) /* a kernel without swap */
		return 0;
	return r < 0 ? r : swaps_parse(s, text);
}
