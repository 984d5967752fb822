/* SPDX-License-Identifier: GPL-3.0-or-later */
/* struct ism_error: set where the facts are known, prefixed on the way up. */
#include "base/error.h"

#include <stdarg.h>
#include <string.h>

void ism_error_clear(struct ism_error *err)
{
	if (!err)
		return;
	free(err->message);
	free(err->where);
	free(err->hint);
	*err = (struct ism_error){ 0 };
}

ISM_PRINTF(6, 0)
static int error_fill(struct ism_error *err, int code, enum ism_status status, const char *where,
                      uint64_t offset, const char *fmt, va_list args)
{
	char *message = NULL;

	if (!err)
		return code;
	if (vasprintf(&message, fmt, args) < 0)
		message = NULL;
	/* `where` may be the one that err holds */
	char *where_copy = where ? strdup(where) : NULL;

	ism_error_clear(err);
	*err = (struct ism_error){ .code = code,
		                   .status = status,
		                   .message = message,
		                   .where = where_copy,
		                   .offset = offset };
	return code;
}

int ism_error_set(struct ism_error *err, int code, const char *where, uint64_t offset,
                  const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_fill(err, code, code == -ECANCELED ? ISM_INTERRUPTED : ISM_FAILED, where, offset, fmt,
	           args);
	va_end(args);
	return code;
}

int ism_error_refuse(struct ism_error *err, int code, const char *where, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_fill(err, code, ISM_REFUSED, where, ISM_NO_OFFSET, fmt, args);
	va_end(args);
	return code;
}

int ism_error_usage(struct ism_error *err, const char *where, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_fill(err, -EINVAL, ISM_USAGE, where, ISM_NO_OFFSET, fmt, args);
	va_end(args);
	return -EINVAL;
}

int ism_error_errno(struct ism_error *err, int code, const char *where, uint64_t offset,
                    const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	error_fill(err, code, code == -ECANCELED ? ISM_INTERRUPTED : ISM_FAILED, where, offset, fmt,
	           args);
	va_end(args);
	if (err && err->message) {
		char *with = text_format("%s: %s", err->message, strerror(-code));

		if (with) {
			free(err->message);
			err->message = with;
		}
	}
	return code;
}

int ism_error_oom(struct ism_error *err)
{
	return ism_error_set(err, -ENOMEM, NULL, ISM_NO_OFFSET, "out of memory");
}

int ism_error_canceled(struct ism_error *err)
{
	return ism_error_set(err, -ECANCELED, NULL, ISM_NO_OFFSET, "stopped");
}

int ism_error_prefix(struct ism_error *err, const char *fmt, ...)
{
	va_list args;
	char *prefix = NULL;

	if (!err)
		return -EIO;
	va_start(args, fmt);
	if (vasprintf(&prefix, fmt, args) < 0)
		prefix = NULL;
	va_end(args);
	if (prefix) {
		char *with = text_format("%s: %s", prefix, err->message ? err->message : "failed");

		if (with) {
			free(err->message);
			err->message = with;
		}
		free(prefix);
	}
	return err->code;
}

int ism_error_hint(struct ism_error *err, const char *fmt, ...)
{
	va_list args;
	char *hint = NULL;

	if (!err)
		return -EIO;
	va_start(args, fmt);
	if (vasprintf(&hint, fmt, args) < 0)
		hint = NULL;
	va_end(args);
	if (hint) {
		free(err->hint);
		err->hint = hint;
	}
	return err->code;
}

int ism_error_status(struct ism_error *err, enum ism_status status)
{
	if (!err)
		return -EIO;
	err->status = status;
	return err->code;
}

int ism_error_move(struct ism_error *to, struct ism_error *from)
{
	int code = from->code;

	if (!to) {
		ism_error_clear(from);
		return code;
	}
	ism_error_clear(to);
	*to = *from;
	*from = (struct ism_error){ 0 };
	return code;
}

static char *copy_or_null(const char *s)
{
	return s ? strdup(s) : NULL;
}

int ism_error_copy(struct ism_error *to, const struct ism_error *from)
{
	if (!to)
		return from->code;
	ism_error_clear(to);
	*to = *from;
	to->message = copy_or_null(from->message);
	to->where = copy_or_null(from->where);
	to->hint = copy_or_null(from->hint);
	return to->code;
}

char *text_format(const char *fmt, ...)
{
	va_list args;
	char *s = NULL;

	va_start(args, fmt);
	if (vasprintf(&s, fmt, args) < 0)
		s = NULL;
	va_end(args);
	return s;
}
