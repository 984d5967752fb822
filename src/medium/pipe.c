/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Standard input, FIFOs, sockets: bytes that come once, in order, until they end. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "medium/fdio.h"

#define POLL_MS 100 /* how soon a wish to stop is seen */

struct pipe {
	int fd;
};

static int pipe_wait(struct medium *m, int fd, uint64_t offset, struct ism_error *err)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int n = poll(&p, 1, POLL_MS);

		if (medium_stopped(m))
			return ism_error_canceled(err);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return ism_error_errno(err, -errno, m->name, offset,
			                       "cannot wait for data");
	}
}

static int pipe_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                     struct ism_error *err)
{
	struct pipe *pipe = m->priv;

	for (;;) {
		int r = pipe_wait(m, pipe->fd, offset, err);
		ssize_t n;

		if (r < 0)
			return r;
		n = read(pipe->fd, buf, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return ism_error_errno(err, -errno, m->name, offset, "cannot read");
		*ret_len = (size_t)n;
		return 0;
	}
}

static void pipe_close(struct medium *m)
{
	struct pipe *pipe = m->priv;

	if (pipe && pipe->fd > STDIN_FILENO)
		close(pipe->fd);
	free(pipe);
}

static const struct medium_ops pipe_ops = {
	.name = "pipe",
	.read = pipe_read,
	.close = pipe_close,
};

static bool pipe_claims(const char *ref)
{
	struct stat st;

	return strcmp(ref, "-") == 0 ||
	       (stat(ref, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)));
}

static int pipe_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                     struct ism_error *err)
{
	bool is_stdin = strcmp(ref, "-") == 0;
	_medium_ struct medium *m = medium_new(&pipe_ops, is_stdin ? "standard input" : ref);
	struct pipe *pipe = m ? calloc(1, sizeof(*pipe)) : NULL;

	if (!pipe)
		return ism_error_oom(err);
	m->priv = pipe;
	m->forward = true;
	m->stop = options->stop;
	pipe->fd = is_stdin ? STDIN_FILENO : open(ref, O_RDONLY | O_CLOEXEC);
	if (pipe->fd < 0)
		return ism_error_errno(err, -errno, ref, ISM_NO_OFFSET, "cannot open");
	if (is_stdin && isatty(STDIN_FILENO)) {
		ism_error_usage(err, m->name, "is a terminal, not an image");
		return ism_error_hint(err, "pipe the image in, or name the file");
	}
	*ret = take(m);
	return 0;
}

const struct carrier_driver carrier_driver_pipe = {
	.name = "pipe",
	.claims = pipe_claims,
	.open = pipe_open,
};
