/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asynchronous requests on a medium. A dead device must never hold up the report, so nothing here
 * waits without a limit; whoever gives up leaves lane and buffers behind. */
#include "engine/lane.h"

#include <liburing.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "engine/pool.h"

struct lane {
	struct medium *m;
	struct io_uring ring;
	bool has_ring;
	unsigned in_flight;
	struct lane_request *finished; /* of hooks that ran at submit */
	atomic_ullong busy_since;
};

struct lane *lane_new(struct medium *m, unsigned depth)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->m = m;
	/* Not to be had in some containers: then requests go one by one. */
	lane->has_ring =
		m->fd >= 0 && !m->hooks_only && io_uring_queue_init(depth, &lane->ring, 0) == 0;
	return lane;
}

struct lane *lane_free(struct lane *lane)
{
	if (!lane)
		return NULL;
	if (lane->has_ring)
		io_uring_queue_exit(&lane->ring);
	free(lane);
	return NULL;
}

unsigned lane_in_flight(const struct lane *lane)
{
	return lane ? lane->in_flight : 0;
}

void lane_asking(struct lane *lane, bool asking)
{
	if (lane)
		atomic_store(&lane->busy_since, asking || lane->in_flight ? now_ms() : 0);
}

uint64_t lane_busy_since(const struct lane *lane)
{
	return lane ? atomic_load(&lane->busy_since) : 0;
}

bool lane_fits(const struct lane *lane, const void *buf, size_t len, uint64_t offset)
{
	uint32_t align = lane->m->align;

	return align <= 1 ||
	       ((uintptr_t)buf % align == 0 && len % align == 0 && offset % align == 0);
}

/* With hooks a request is done when submit returns. */
static void run_hook(struct lane *lane, struct lane_request *rq)
{
	_error_ struct ism_error err = { 0 };

	switch (rq->op) {
	case LANE_READ:
		rq->result = medium_read(lane->m, rq->buf, rq->len, rq->offset, &rq->done, &err);
		break;
	case LANE_WRITE:
		rq->result = medium_write(lane->m, rq->buf, rq->len, rq->offset, &err);
		rq->done = rq->len;
		break;
	case LANE_FLUSH:
		rq->result = medium_flush(lane->m, &err);
		break;
	}
	rq->next = lane->finished;
	lane->finished = rq;
}

static void queue_ring(struct lane *lane, struct lane_request *rq)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&lane->ring);

	if (!sqe) { /* cannot be: one entry a request in flight */
		rq->result = -EBUSY;
		rq->next = lane->finished;
		lane->finished = rq;
		return;
	}
	switch (rq->op) {
	case LANE_READ:
		io_uring_prep_read(sqe, lane->m->fd, rq->buf + rq->done,
		                   (unsigned)(rq->len - rq->done), rq->offset + rq->done);
		break;
	case LANE_WRITE:
		io_uring_prep_write(sqe, lane->m->fd, rq->buf + rq->done,
		                    (unsigned)(rq->len - rq->done), rq->offset + rq->done);
		break;
	case LANE_FLUSH:
		io_uring_prep_fsync(sqe, lane->m->fd, IORING_FSYNC_DATASYNC);
		break;
	}
	io_uring_sqe_set_data(sqe, rq);
	io_uring_submit(&lane->ring);
}

void lane_submit(struct lane *lane, struct lane_request *rq)
{
	rq->done = 0;
	rq->result = 0;
	rq->next = NULL;
	if (lane->in_flight++ == 0)
		atomic_store(&lane->busy_since, now_ms());
	if (lane->has_ring && lane_fits(lane, rq->buf, rq->len, rq->offset))
		queue_ring(lane, rq);
	else
		run_hook(lane, rq);
}

/* What the kernel answered; true if the request has come to its end. */
static bool take_answer(struct lane *lane, struct lane_request *rq, int answer)
{
	if (answer == -EINTR || answer == -EAGAIN) {
		queue_ring(lane, rq);
		return false;
	}
	if (answer < 0 || rq->op == LANE_FLUSH) {
		rq->result = MIN(answer, 0);
		return true;
	}
	rq->done += (size_t)answer;
	if (rq->done >= rq->len || (rq->op == LANE_READ && answer == 0))
		return true;
	if (rq->op == LANE_WRITE && answer == 0) {
		rq->result = -ENOSPC;
		return true;
	}
	/* A short answer that is not aligned any more can only be the end of a file. */
	if (!lane_fits(lane, rq->buf, rq->done, rq->offset)) {
		if (rq->op == LANE_WRITE)
			rq->result = -EIO;
		return true;
	}
	queue_ring(lane, rq);
	return false;
}

static struct lane_request *reap_ring(struct lane *lane, unsigned timeout_ms)
{
	uint64_t until = now_ms() + timeout_ms;

	for (;;) {
		struct io_uring_cqe *cqe = NULL;
		uint64_t now = now_ms(), left = until > now ? until - now : 0;
		struct __kernel_timespec t = { .tv_sec = (long long)(left / 1000),
			                       .tv_nsec = (long long)(left % 1000) * 1000000 };
		int r = left ? io_uring_wait_cqe_timeout(&lane->ring, &cqe, &t)
		             : io_uring_peek_cqe(&lane->ring, &cqe);

		if (r == -EINTR && left)
			continue;
		if (r < 0 || !cqe)
			return NULL;

		struct lane_request *rq = io_uring_cqe_get_data(cqe);
		int answer = cqe->res;

		io_uring_cqe_seen(&lane->ring, cqe);
		if (rq && take_answer(lane, rq, answer))
			return rq;
	}
}

struct lane_request *lane_reap(struct lane *lane, unsigned timeout_ms)
{
	struct lane_request *rq = lane->finished;

	if (rq)
		lane->finished = rq->next;
	else if (lane->in_flight && lane->has_ring)
		rq = reap_ring(lane, timeout_ms);
	if (rq) {
		/* Something came back, so the device lives: the clock starts anew for the rest. */
		lane->in_flight--;
		atomic_store(&lane->busy_since, lane->in_flight ? now_ms() : 0);
	}
	return rq;
}
