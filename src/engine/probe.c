/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Does a stick have the size that it claims? Marked blocks are written at growing distances and
 * read back; a fake loses them, or shows one at another's address. What lay there is put back, last
 * one first, so that also on a medium whose addresses wrap every block ends as it was. Method of
 * f3probe, for wraps at powers of two. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "engine/job.h"

#define MARKS_MAX 64
#define MARK_BASE \
	((uint64_t)MIB) /* address whose content a wrap at 2^k repeats at MARK_BASE + 2^k */
#define MARK_FIRST 20   /* smallest k */

struct marks {
	size_t block; /* bytes */
	size_t n;
	uint64_t at[MARKS_MAX]; /* growing; at[0] is MARK_BASE */
	uint8_t *old;           /* n blocks: what was there */
	uint8_t *new;           /* n blocks: what is written */
	uint8_t *got;           /* one block */
	size_t written;         /* so many of the last were overwritten */
};

static void marks_place(struct marks *m, uint64_t size)
{
	uint64_t last = round_down_u64(size, m->block) - m->block;

	m->at[m->n++] = MARK_BASE;
	for (unsigned k = MARK_FIRST; k < 63; k++) {
		uint64_t at = MARK_BASE + ((uint64_t)1 << k);

		if (at >= last || m->n + 1 >= MARKS_MAX)
			break;
		m->at[m->n++] = at;
	}
	m->at[m->n++] = last;
}

static void marks_clear(struct marks *m)
{
	free(m->old);
	free(m->new);
	free(m->got);
}

static int marks_make(struct runner *r, struct marks *m)
{
	size_t len;

	m->block = MAX((size_t)4096, (size_t)r->medium->physical_size);
	marks_place(m, r->medium->size);
	len = m->n * m->block;
	m->old = medium_buffer(len);
	m->new = medium_buffer(len);
	m->got = medium_buffer(m->block);
	if (!m->old || !m->new || !m->got)
		return ism_error_oom(&r->report.error);
	for (size_t done = 0; done < len;) {
		ssize_t n = getrandom(m->new + done, MIN(len - done, (size_t)256), 0);

		if (n < 0)
			return ism_error_errno(&r->report.error, -errno, NULL, ISM_NO_OFFSET,
			                       "cannot make random bytes");
		done += (size_t)n;
	}
	return 0;
}

static int marks_save(struct runner *r, struct marks *m)
{
	int status = 0;

	for (size_t i = 0; i < m->n && status == 0; i++)
		status = runner_io(r, LANE_READ, m->old + i * m->block, m->block, m->at[i]);
	return status;
}

/* From the last to the first. */
static int marks_write(struct runner *r, struct marks *m)
{
	int status = 0;

	for (size_t i = m->n; i-- > 0 && status == 0;) {
		m->written = m->n - i;
		status = runner_io(r, LANE_WRITE, m->new + i * m->block, m->block, m->at[i]);
	}
	return status < 0 ? status : runner_flush(r);
}

/* In the opposite order, also after a wish to stop: what was probed must be as it was. */
static int marks_restore(struct runner *r, struct marks *m)
{
	int status = 0;

	for (size_t i = m->n - m->written; i < m->n; i++) {
		lane_asking(r->lane, true);
		int one = medium_write(r->medium, m->old + i * m->block, m->block, m->at[i],
		                       r->report.error.code ? NULL : &r->report.error);

		if (one < 0)
			status = one;
	}
	if (status == 0)
		status = medium_flush(r->medium, r->report.error.code ? NULL : &r->report.error);
	lane_asking(r->lane, false);
	return status;
}

static int fake(struct runner *r, uint64_t real)
{
	struct ism_error *err = &r->report.error;

	ism_error_set(err, -EIO, r->target->path, real,
	              "claims to have %llu bytes, but has only about %llu: it is a fake, or broken",
	              (unsigned long long)r->medium->size, (unsigned long long)real);
	return ism_error_hint(err, "do not use it; --no-probe leaves this test out");
}

static int marks_check(struct runner *r, struct marks *m)
{
	const char *how;
	int status = medium_drop_cache(r->medium, 0, r->medium->size, &how, &r->report.error);

	for (size_t i = 0; i < m->n && status == 0; i++) {
		status = runner_io(r, LANE_READ, m->got, m->block, m->at[i]);
		if (status == 0 && memcmp(m->got, m->new + i * m->block, m->block) != 0)
			status = fake(r, i ? m->at[i] - MARK_BASE : 0);
	}
	return status;
}

/* struct ends - what the two ends held, while they are blank */
struct ends {
	uint8_t *head, *tail;
	size_t head_len, tail_len;
	uint64_t tail_at;
};

static int ends_save(struct runner *r, struct ends *e)
{
	uint64_t size = r->medium->size;
	int status;

	e->head_len = e->tail_len = (size_t)MIB;
	e->tail_at = size - e->tail_len;
	e->head = medium_buffer(e->head_len);
	e->tail = medium_buffer(e->tail_len);
	if (!e->head || !e->tail)
		return ism_error_oom(&r->report.error);
	status = runner_io(r, LANE_READ, e->head, e->head_len, 0);
	return status < 0 ? status : runner_io(r, LANE_READ, e->tail, e->tail_len, e->tail_at);
}

/* The first MiB comes last, as always. */
static int ends_put_back(struct runner *r, const struct ends *e)
{
	int status = runner_write_now(r, e->tail, e->tail_len, e->tail_at);

	if (status == 0)
		status = runner_flush_now(r);
	if (status == 0)
		status = runner_write_now(r, e->head, e->head_len, 0);
	if (status == 0)
		status = runner_flush_now(r);
	if (status < 0)
		return status;
	r->wiped = false;
	r->report.changed = false;
	return target_rescan(r->target, r->medium, NULL);
}

static int probe_marks(struct runner *r)
{
	struct marks m = { 0 };
	int status, restored = 0;

	runner_phase(r, ISM_PHASE_PROBE, ISM_SIZE_UNKNOWN);
	status = marks_make(r, &m);
	if (status == 0)
		status = marks_save(r, &m);
	if (status == 0)
		status = marks_write(r, &m);
	if (status == 0)
		status = marks_check(r, &m);
	if (m.written)
		restored = marks_restore(r, &m);
	marks_clear(&m);
	return status < 0 ? status : restored;
}

int probe_capacity(struct runner *r)
{
	struct ends ends = { 0 };
	int status;

	if (r->medium->size < 4 * MARK_BASE)
		return 0;
	/* A power cut in the middle of the test must not leave a disk that looks whole and is not.
	 */
	status = ends_save(r, &ends);
	if (status == 0)
		status = ends_wipe(r);
	if (status == 0) {
		status = probe_marks(r);
		if (status < 0)
			ends_put_back(r, &ends);
	}
	free(ends.head);
	free(ends.tail);
	return status;
}
