/* SPDX-License-Identifier: GPL-3.0-or-later */
/* OpenPGP signatures on checksum files, checked by gpgv as a child process. What it says is read
 * from its status lines: GnuPG's doc/DETAILS, "Format of the --status-fd output". */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "format/checksums.h"

#define TIMEOUT_MS 30000
#define STATUS_MAX (64 * 1024)
#define FD_MIN     10 /* ours, out of the way of the child's 0 to 3 */

/* A child's output, bounded. */
struct sink {
	int fd;
	char *text; /* max + 1 bytes, NUL behind the last */
	size_t len, max;
	bool ended;
};

/* What gpgv found. */
struct verdict {
	char *good;        /* user id of a good signature */
	char *fingerprint; /* of a valid one */
	const char *why;   /* the reason why a signature is bad, or NULL */
	char *who;         /* whose, or the id of a key that is not in the keyring */
	unsigned unknown;  /* signatures by keys that are not in the keyring */
};

static void verdict_clear(struct verdict *v)
{
	free(v->good);
	free(v->fingerprint);
	free(v->who);
}

static void sink_clear(struct sink *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->text);
}

void checksums_signed_clear(struct checksums_signed *s)
{
	free(s->signer);
	free(s->text);
	*s = (struct checksums_signed){ 0 };
}

static int pipe_to(struct sink *s, size_t max, int *ret_write_end, struct ism_error *err)
{
	int p[2], high;

	s->max = max;
	s->text = calloc(1, max + 1);
	if (!s->text)
		return ism_error_oom(err);
	if (pipe2(p, O_CLOEXEC) < 0)
		return ism_error_errno(err, -errno, NULL, ISM_NO_OFFSET, "cannot make a pipe");
	high = fcntl(p[1], F_DUPFD_CLOEXEC, FD_MIN);
	close(p[1]);
	s->fd = p[0];
	if (high < 0)
		return ism_error_errno(err, -errno, NULL, ISM_NO_OFFSET, "cannot make a pipe");
	*ret_write_end = high;
	return 0;
}

/* The text as a file that gpgv reads from its start: the very bytes that are used later. */
static int memory_file(const char *text, size_t len, int *ret, struct ism_error *err)
{
	_close_ int low = memfd_create("signed", MFD_CLOEXEC);
	int fd = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, FD_MIN);

	if (fd < 0)
		return ism_error_errno(err, -errno, NULL, ISM_NO_OFFSET, "cannot hold the text");
	*ret = fd;
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, text + done, len - done, (off_t)done);

		if (n <= 0)
			return ism_error_errno(err, n < 0 ? -errno : -EIO, NULL, ISM_NO_OFFSET,
			                       "cannot hold the text");
		done += (size_t)n;
	}
	return 0;
}

static int spawn(const char *const *argv, int in, int out, int status, pid_t *ret,
                 struct ism_error *err)
{
	static const char *const environment[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C",
		                                   "GNUPGHOME=/nonexistent", NULL };
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, in, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (r == 0)
		r = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, status, 3);
	/* POSIX promises that it changes neither list; its type only cannot say so */
	if (r == 0)
		r = posix_spawnp(ret, argv[0], &actions, NULL, (char *const *)argv,
		                 (char *const *)environment);
	posix_spawn_file_actions_destroy(&actions);
	if (r == 0)
		return 0;
	ism_error_errno(err, -r, argv[0], ISM_NO_OFFSET,
	                "cannot be started to check the signature");
	if (r == ENOENT)
		ism_error_hint(err, "install the package gpgv");
	return -r;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What is there now; more than the bound is an error. */
static int sink_read(struct sink *s, struct ism_error *err)
{
	char over;
	ssize_t n = s->len < s->max ? read(s->fd, s->text + s->len, s->max - s->len)
	                            : read(s->fd, &over, 1);

	if (n < 0)
		return errno == EINTR ? 0
		                      : ism_error_errno(err, -errno, "gpgv", ISM_NO_OFFSET,
		                                        "cannot read what it says");
	if (n == 0)
		s->ended = true;
	else if (s->len == s->max)
		return ism_error_set(err, -EFBIG, "gpgv", ISM_NO_OFFSET, "says too much");
	else
		s->len += (size_t)n;
	return 0;
}

static int collect_output(struct sink sinks[2], struct ism_error *err)
{
	uint64_t end = now_ms() + TIMEOUT_MS;

	while (!sinks[0].ended || !sinks[1].ended) {
		struct pollfd p[2];
		uint64_t now = now_ms();
		int r = 0;

		for (int i = 0; i < 2; i++)
			p[i] = (struct pollfd){ sinks[i].ended ? -1 : sinks[i].fd, POLLIN, 0 };
		if (now >= end)
			return ism_error_set(err, -ETIMEDOUT, "gpgv", ISM_NO_OFFSET,
			                     "did not end within %d seconds", TIMEOUT_MS / 1000);
		if (poll(p, 2, (int)(end - now)) < 0 && errno != EINTR)
			return ism_error_errno(err, -errno, "gpgv", ISM_NO_OFFSET,
			                       "cannot wait for it");
		for (int i = 0; r == 0 && i < 2; i++)
			if (p[i].revents)
				r = sink_read(&sinks[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Run gpgv to its end; sinks[0] gets its status lines, sinks[1] its output. */
static int run_gpgv(const char *const *argv, const char *text, size_t len, struct sink sinks[2],
                    int *ret_exit, struct ism_error *err)
{
	_close_ int in = -1;
	_close_ int status = -1;
	_close_ int out = -1;
	int r, wait_status = 0;
	pid_t pid;

	r = memory_file(text, len, &in, err);
	if (r == 0)
		r = pipe_to(&sinks[0], STATUS_MAX, &status, err);
	if (r == 0)
		r = pipe_to(&sinks[1], CHECKSUMS_SIZE_MAX, &out, err);
	if (r == 0)
		r = spawn(argv, in, out, status, &pid, err);
	if (r < 0)
		return r;
	close(take_fd(&status));
	close(take_fd(&out));
	r = collect_output(sinks, err);
	if (r < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
		;
	*ret_exit = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128;
	return r;
}

/* A user id in a status line: %XX stands for a byte; a terminal gets to see no control characters.
 */
static char *user_id(const char *s, size_t len)
{
	char *id = malloc(len + 1);
	size_t n = 0;

	for (size_t i = 0; id && i < len; i++) {
		unsigned byte;
		char c = s[i];

		if (c == '%' && i + 2 < len && sscanf(s + i + 1, "%2x", &byte) == 1) {
			c = (char)byte;
			i += 2;
		}
		id[n++] = (unsigned char)c < ' ' || c == 127 ? '?' : c;
	}
	if (id)
		id[n] = 0;
	return id;
}

static void bad(struct verdict *v, const char *why, const char *args, size_t len)
{
	const char *space = memchr(args, ' ', len);

	if (v->why)
		return;
	v->why = why;
	free(v->who);
	v->who = space ? user_id(space + 1, len - (size_t)(space + 1 - args)) : user_id(args, len);
}

/* VALIDSIG fingerprint date timestamp expires version reserved key-algorithm hash class primary */
static void valid(struct verdict *v, const char *args, size_t len)
{
	char line[256], *save = NULL, *field;

	snprintf(line, sizeof(line), "%.*s", (int)MIN(len, sizeof(line) - 1), args);
	field = strtok_r(line, " ", &save);
	if (!field || v->fingerprint)
		return;

	char *fingerprint = strdup(field);

	for (int i = 1; i <= 8 && field; i++)
		field = strtok_r(NULL, " ", &save);
	if (field && (strcmp(field, "00") == 0 || strcmp(field, "01") == 0)) {
		v->fingerprint = fingerprint;
		return;
	}
	free(fingerprint);
	bad(v, "the signature is not one of a document", args, 0);
}

static void read_line(struct verdict *v, const char *line, size_t len)
{
	static const char prefix[] = "[GNUPG:] ";
	static const struct {
		const char *word, *why;
	} bads[] = {
		{ "BADSIG ", "the signature does not fit: the text or the signature was changed" },
		{ "EXPSIG ", "the signature has expired" },
		{ "EXPKEYSIG ", "the key that signed it has expired" },
		{ "REVKEYSIG ", "the key that signed it was revoked" },
	};
	size_t n = sizeof(prefix) - 1;

	if (len < n || memcmp(line, prefix, n) != 0)
		return;
	line += n;
	len -= n;
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		n = strlen(bads[i].word);
		if (len >= n && memcmp(line, bads[i].word, n) == 0)
			bad(v, bads[i].why, line + n, len - n);
	}
	if (len > 9 && memcmp(line, "VALIDSIG ", 9) == 0)
		valid(v, line + 9, len - 9);
	if (len > 8 && memcmp(line, "GOODSIG ", 8) == 0 && !v->good) {
		const char *space = memchr(line + 8, ' ', len - 8);

		if (space)
			v->good = user_id(space + 1, len - (size_t)(space + 1 - line));
	}
	if (len > 10 && memcmp(line, "NO_PUBKEY ", 10) == 0) {
		v->unknown++;
		if (!v->who)
			v->who = user_id(line + 10, len - 10);
	}
}

static void read_status(const struct sink *status, struct verdict *v)
{
	const char *p = status->text, *end;

	for (; (end = strchr(p, '\n')); p = end + 1)
		read_line(v, p, (size_t)(end - p));
}

/* One good signature of a trusted key, and nothing bad. Others by unknown keys say nothing. */
static int judge(const char *path, const char *keyring, const struct verdict *v, int exit_status,
                 struct ism_error *err)
{
	const char *who = v->who ? v->who : "";

	if (v->why)
		return ism_error_set(err, -EKEYREJECTED, path, ISM_NO_OFFSET, "%s%s%s%s", v->why,
		                     *who ? " (" : "", who, *who ? ")" : "");
	if (v->good && v->fingerprint && (exit_status == 0 || v->unknown))
		return 0;
	if (v->unknown) {
		ism_error_set(err, -EKEYREJECTED, path, ISM_NO_OFFSET,
		              "is signed by key %s, which is not in %s", who, keyring);
		return ism_error_hint(err, "get the publisher's key from a place that you trust");
	}
	return ism_error_set(err, -EKEYREJECTED, path, ISM_NO_OFFSET,
	                     "has no good signature by a key of %s", keyring);
}

static int check_keyring(const char *keyring, char **ret, struct ism_error *err)
{
	static const char armour[] = "-----BEGIN PGP";
	char head[sizeof(armour) - 1];
	_free_ char *path = realpath(keyring, NULL);
	_fclose_ FILE *f = path ? fopen(path, "re") : NULL;

	if (!f)
		return ism_error_errno(err, -errno, keyring, ISM_NO_OFFSET,
		                       "cannot open the keyring");
	if (fread(head, 1, sizeof(head), f) == sizeof(head) &&
	    memcmp(head, armour, sizeof(head)) == 0) {
		ism_error_set(err, -EOPNOTSUPP, keyring, ISM_NO_OFFSET,
		              "is an armoured key, not a keyring");
		return ism_error_hint(err, "convert it: gpg --dearmor < %s > keyring.gpg", keyring);
	}
	*ret = take(path);
	return 0;
}

/* The signature beside the file; NULL if there is none. */
static char *find_detached(const char *path)
{
	static const char *const suffixes[] = { "gpg", "sign", "asc", "sig" };

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		_free_ char *name = text_format("%s.%s", path, suffixes[i]);

		if (name && access(name, F_OK) == 0)
			return take(name);
	}
	return NULL;
}

/* *ret is NULL if the signature is within the text. */
static int locate_signature(const char *path, const char *given, const char *text, size_t len,
                            char **ret, struct ism_error *err)
{
	_free_ char *found = given ? strdup(given) : NULL;
	int is_inline = 0;

	if (!found) {
		is_inline = checksums_signed_part(path, &text, &len, err);
		if (is_inline)
			return is_inline < 0 ? is_inline : 0;
		found = find_detached(path);
	}
	if (!found) {
		ism_error_set(err, -ENOENT, path, ISM_NO_OFFSET, "has no signature");
		return ism_error_hint(err, "it is often beside it, as %s.gpg or .sign or .asc",
		                      path);
	}
	*ret = realpath(found, NULL);
	return *ret ? 0
	            : ism_error_errno(err, -errno, found, ISM_NO_OFFSET,
	                              "cannot open the signature");
}

/* 0: the text is what was signed; 1: what gpgv wrote to sinks[1] is, and nothing else. */
static int verify_text(const char *path, const char *signature, const char *keyring,
                       const char *text, size_t len, struct sink sinks[2], char **ret_signer,
                       struct ism_error *err)
{
	CLEANUP(verdict_clear) struct verdict v = { 0 };
	_free_ char *ring = NULL, *detached = NULL;
	const char *argv[16] = { "gpgv", "--status-fd",   "3",         "--weak-digest",
		                 "SHA1", "--weak-digest", "RIPEMD160", "--keyring" };
	size_t n = 8;
	int exit_status = 0, r;

	r = check_keyring(keyring, &ring, err);
	if (r == 0)
		r = locate_signature(path, signature, text, len, &detached, err);
	if (r < 0)
		return r;
	argv[n++] = ring;
	if (detached) {
		argv[n++] = "--";
		argv[n++] = detached;
		argv[n++] = "-";
	} else {
		argv[n++] = "--output";
		argv[n++] = "-";
	}
	r = run_gpgv(argv, text, len, sinks, &exit_status, err);
	if (r < 0)
		return r;
	read_status(&sinks[0], &v);
	r = judge(path, keyring, &v, exit_status, err);
	if (r < 0)
		return r;
	*ret_signer = text_format("%s, key %s", v.good, v.fingerprint);
	if (!*ret_signer)
		return ism_error_oom(err);
	return detached ? 0 : 1;
}

int checksums_verify_signature(const char *path, const char *signature, const char *keyring,
                               struct checksums_signed *ret, struct ism_error *err)
{
	struct sink sinks[2] = { { .fd = -1 }, { .fd = -1 } };
	_free_ char *text = NULL;
	char *signer = NULL;
	size_t len = 0;
	int r = checksums_read(path, &text, &len, err);

	if (r == 0)
		r = verify_text(path, signature, keyring, text, len, sinks, &signer, err);
	if (r == 0)
		*ret = (struct checksums_signed){ signer, take(text), len };
	else if (r > 0)
		*ret = (struct checksums_signed){ signer, take(sinks[1].text), sinks[1].len };
	sink_clear(&sinks[0]);
	sink_clear(&sinks[1]);
	return r < 0 ? r : 0;
}
