/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From a source to pieces: extents cut at multiples of PIECE_LEN, bad sectors read around. */
#include "engine/cursor.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define STEP_LEN (64 * KIB) /* second try of a piece that cannot be read as a whole */

bool is_bad_sector(int code)
{
	switch (-code) {
	case EIO:
	case ENODATA:
	case EILSEQ:
	case EREMOTEIO:
	case ETIMEDOUT:
	case ENOLINK:
	case EBADE:
		return true;
	default:
		return false;
	}
}

/* A stream proves its last bytes by what follows them: a checksum, an index. */
static enum cursor_result prove_end(struct cursor *c, struct ism_error *err)
{
	struct medium *source = c->source;
	uint8_t byte;
	size_t n = 0;

	if (c->ended || !source->forward || c->read_end != source->size)
		return CURSOR_END;
	c->ended = true;
	return medium_read(source, &byte, 1, source->size, &n, err) < 0 ? CURSOR_ERROR : CURSOR_END;
}

/* The extent at the cursor; CURSOR_END behind the last byte. */
static enum cursor_result find_extent(struct cursor *c, struct ism_error *err)
{
	if (c->ended || (c->source->size != ISM_SIZE_UNKNOWN && c->offset >= c->source->size))
		return prove_end(c, err);
	if (c->extent.len && c->offset < c->extent.offset + c->extent.len)
		return CURSOR_PIECE;
	if (medium_next_extent(c->source, c->offset, &c->extent, err) < 0)
		return CURSOR_ERROR;
	return CURSOR_PIECE;
}

static int note_bad(struct cursor *c, struct piece *piece, uint64_t offset, size_t len)
{
	struct piece_bad *last = piece->n_bad ? &piece->bad[piece->n_bad - 1] : NULL;
	uint32_t at = (uint32_t)(offset - piece->offset);

	if (!c->bad)
		c->first_bad = offset;
	c->bad += len;
	if (last && last->offset + last->len == at) {
		last->len += (uint32_t)len;
		return 0;
	}
	if (piece->n_bad == piece->bad_cap) {
		size_t cap = piece->bad_cap ? piece->bad_cap * 2 : 8;
		struct piece_bad *more = realloc(piece->bad, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		piece->bad = more;
		piece->bad_cap = cap;
	}
	piece->bad[piece->n_bad++] = (struct piece_bad){ at, (uint32_t)len };
	return 0;
}

/* Read [offset, offset + len) in smaller and smaller steps; what stays unreadable becomes zeros. */
static int read_around(struct cursor *c, struct piece *piece, size_t len, uint64_t offset,
                       struct ism_error *err)
{
	uint8_t *buf = piece->data + (offset - piece->offset);
	size_t sector = c->source->sector_size;
	size_t step = len > STEP_LEN ? STEP_LEN : sector;

	for (size_t done = 0; done < len;) {
		size_t n = MIN(step, len - done), got = 0;
		_error_ struct ism_error why = { 0 };
		int r = medium_read(c->source, buf + done, n, offset + done, &got, &why);

		if (r < 0 && !is_bad_sector(r))
			return ism_error_move(err, &why);
		if (r < 0 && step > sector) {
			r = read_around(c, piece, n, offset + done, err);
			if (r < 0)
				return r;
			got = n;
		} else if (r < 0) {
			memset(buf + done, 0, n);
			if (note_bad(c, piece, offset + done, n) < 0)
				return ism_error_oom(err);
		}
		if (r == 0 && got < n)
			return ism_error_set(err, -EBADMSG, c->source->name, offset + done + got,
			                     "ends before its stated size");
		done += n;
	}
	return 0;
}

static enum cursor_result read_piece(struct cursor *c, struct piece *piece, struct ism_error *err)
{
	struct medium *source = c->source;
	size_t got = 0;
	int r = medium_read(source, piece->data, piece->len, piece->offset, &got, err);

	if (r < 0 && is_bad_sector(r) && !source->forward) {
		ism_error_clear(err);
		r = read_around(c, piece, piece->len, piece->offset, err);
		got = piece->len;
	}
	if (r < 0)
		return CURSOR_ERROR;
	if (got < piece->len) {
		c->ended = true;
		if (source->size != ISM_SIZE_UNKNOWN && piece->offset + got < source->size) {
			ism_error_set(err, -EBADMSG, source->name, piece->offset + got,
			              "ends %llu bytes before its stated size",
			              (unsigned long long)(source->size - piece->offset - got));
			return CURSOR_ERROR;
		}
		piece->len = got;
	}
	c->offset += got;
	c->read_end = c->offset;
	if (!got)
		return CURSOR_END;
	piece->digest = digest_of(piece->data, piece->len);
	return CURSOR_PIECE;
}

/* Bytes from the cursor to the end of extent or slot, whichever is first. */
static size_t piece_len_at(const struct cursor *c)
{
	uint64_t end = c->extent.offset + c->extent.len;
	uint64_t slot = round_down_u64(c->offset, PIECE_LEN) + PIECE_LEN;

	return (size_t)(MIN(end, slot) - c->offset);
}

enum cursor_result cursor_next(struct cursor *c, struct pool *pool, unsigned timeout_ms,
                               struct piece **ret, struct ism_error *err)
{
	enum cursor_result result;
	struct piece *piece;

	for (;;) {
		result = find_extent(c, err);
		if (result != CURSOR_PIECE)
			return result;
		if (c->extent.kind == ISM_EXTENT_UNUSED && c->zero_unused)
			c->extent.kind = ISM_EXTENT_ZERO;
		if (c->extent.kind != ISM_EXTENT_UNUSED && c->extent.kind != ISM_EXTENT_SKIPPED &&
		    !(c->extent.kind == ISM_EXTENT_BAD && c->leave_bad))
			break;
		uint64_t end = c->extent.offset + c->extent.len;

		c->unused += end - c->offset;
		c->offset = end;
	}
	if (c->extent.kind == ISM_EXTENT_ZERO) {
		piece = piece_zero(c->offset, piece_len_at(c));
		if (!piece) {
			ism_error_oom(err);
			return CURSOR_ERROR;
		}
		piece->digest = digest_of_zeros(piece->len);
		c->offset += piece->len;
		*ret = piece;
		return CURSOR_PIECE;
	}
	piece = piece_get(pool, timeout_ms);
	if (!piece)
		return CURSOR_WAIT;
	piece->offset = c->offset;
	piece->len = piece_len_at(c);
	result = read_piece(c, piece, err);
	if (result == CURSOR_PIECE)
		*ret = piece;
	else
		piece_put(piece);
	return result;
}
