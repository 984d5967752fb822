/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Response headers, line by line: what length, range and validators a server states. RFC 9110 and
 * RFC 9112. libcurl frames the message; this decides what of it may be believed. */
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "medium/http_get.h"

#define LOCATION_MAX    (8 * 1024)
#define RETRY_AFTER_MAX 3600
/* A file that changes twice in a second keeps its Last-Modified; RFC 9110 asks for a distance, and
 * older servers' clocks for a whole minute. */
#define DATE_STRONG_S 60

struct text {
	const char *p;
	size_t len;
};

static struct text text_trim(struct text t)
{
	while (t.len && (t.p[0] == ' ' || t.p[0] == '\t'))
		t = (struct text){ t.p + 1, t.len - 1 };
	while (t.len && strchr(" \t\r\n", t.p[t.len - 1]))
		t.len--;
	return t;
}

static bool text_is(struct text t, const char *word)
{
	return t.len == strlen(word) && strncasecmp(t.p, word, t.len) == 0;
}

/* Digits only, and no more than a file may have. */
static bool text_number(struct text *t, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = 0;

	for (; n < t->len && t->p[n] >= '0' && t->p[n] <= '9'; n++) {
		if (mul_overflows(v, (uint64_t)10, &v) ||
		    add_overflows(v, (uint64_t)(t->p[n] - '0'), &v) || v > INT64_MAX)
			return false;
	}
	if (n == 0)
		return false;
	*t = (struct text){ t->p + n, t->len - n };
	*ret = v;
	return true;
}

static bool text_skip(struct text *t, char c)
{
	if (!t->len || t->p[0] != c)
		return false;
	*t = (struct text){ t->p + 1, t->len - 1 };
	return true;
}

bool http_range_parse(const char *s, size_t len, struct http_range *ret)
{
	struct text t = text_trim((struct text){ s, len });
	struct http_range range = { .total = ISM_SIZE_UNKNOWN };

	if (t.len < 6 || strncasecmp(t.p, "bytes ", 6) != 0)
		return false;
	t = text_trim((struct text){ t.p + 6, t.len - 6 });
	if (!text_number(&t, &range.first) || !text_skip(&t, '-') ||
	    !text_number(&t, &range.last) || !text_skip(&t, '/'))
		return false;
	if (!text_skip(&t, '*') && !text_number(&t, &range.total))
		return false;
	if (t.len || range.first > range.last || range.last >= range.total)
		return false;
	*ret = range;
	return true;
}

static void copy_text(char *to, size_t cap, struct text t)
{
	size_t n = t.len < cap ? t.len : 0; /* cut short it would be another validator */

	if (n)
		memcpy(to, t.p, n);
	to[n] = 0;
}

/* What can be shown on a terminal without doing something to it. */
static void copy_printable(char *to, size_t cap, struct text t)
{
	size_t n = MIN(t.len, cap - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = t.p[i] >= 0x20 && t.p[i] < 0x7f ? t.p[i] : '?';
	to[n] = 0;
}

/* entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE; a weak one is none to us. */
static bool etag_is_strong(struct text t)
{
	if (t.len < 2 || t.len >= HTTP_VALIDATOR_MAX || t.p[0] != '"' || t.p[t.len - 1] != '"')
		return false;
	for (size_t i = 1; i < t.len - 1; i++) {
		unsigned char c = (unsigned char)t.p[i];

		if (c <= 0x20 || c == '"' || c == 0x7f)
			return false;
	}
	return true;
}

static int take_etag(struct http_response *r, struct text value, const char **ret_why)
{
	char etag[HTTP_VALIDATOR_MAX] = "";

	if (etag_is_strong(value))
		copy_text(etag, sizeof(etag), value);
	if (r->has_etag && strcmp(etag, r->etag) != 0) {
		*ret_why = "it names two ETags";
		return -EBADMSG;
	}
	r->has_etag = true;
	memcpy(r->etag, etag, sizeof(etag));
	return 0;
}

static int take_length(struct http_response *r, struct text value, const char **ret_why)
{
	uint64_t length;

	if (!text_number(&value, &length) || value.len) {
		*ret_why = "its Content-Length is no number of bytes";
		return -EBADMSG;
	}
	if (r->has_length && length != r->content_length) {
		*ret_why = "it names two lengths";
		return -EBADMSG;
	}
	r->has_length = true;
	r->content_length = length;
	return 0;
}

static int take_range(struct http_response *r, struct text value, const char **ret_why)
{
	struct http_range range;

	if (r->status != 206)
		return 0; /* 416 states `bytes * / total` */
	if (!http_range_parse(value.p, value.len, &range)) {
		*ret_why = "its Content-Range makes no sense";
		return -EBADMSG;
	}
	if (r->has_range && memcmp(&range, &r->range, sizeof(range)) != 0) {
		*ret_why = "it names two ranges";
		return -EBADMSG;
	}
	r->has_range = true;
	r->range = range;
	return 0;
}

static int take_transfer_encoding(struct http_response *r, struct text value, const char **ret_why)
{
	if (!text_is(value, "chunked")) {
		*ret_why = "its Transfer-Encoding is not plain chunked";
		return -EBADMSG;
	}
	r->chunked = true;
	return 0;
}

static int take_location(struct http_response *r, struct text value, const char **ret_why)
{
	if (r->location)
		return 0;
	if (value.len > LOCATION_MAX || memchr(value.p, 0, value.len)) {
		*ret_why = "its Location is too long";
		return -EBADMSG;
	}
	r->location = strndup(value.p, value.len);
	return r->location ? 0 : -ENOMEM;
}

static int take_other(struct http_response *r, struct text name, struct text value)
{
	uint64_t seconds;

	if (text_is(name, "last-modified")) {
		copy_text(r->last_modified, sizeof(r->last_modified), value);
	} else if (text_is(name, "date")) {
		copy_text(r->date, sizeof(r->date), value);
	} else if (text_is(name, "content-encoding")) {
		if (!text_is(value, "identity") && value.len)
			copy_printable(r->encoding, sizeof(r->encoding), value);
	} else if (text_is(name, "retry-after")) {
		if (text_number(&value, &seconds) && !value.len)
			r->retry_after_s = (uint32_t)MIN(seconds, (uint64_t)RETRY_AFTER_MAX);
	}
	return 0;
}

static int take_field(struct http_response *r, struct text line, const char **ret_why)
{
	const char *colon = memchr(line.p, ':', line.len);

	if (!colon)
		return 0; /* libcurl has let it pass: nothing that we look at */

	struct text name = { line.p, (size_t)(colon - line.p) };
	struct text value = text_trim((struct text){ colon + 1, line.len - name.len - 1 });

	if (text_is(name, "content-length"))
		return take_length(r, value, ret_why);
	if (text_is(name, "content-range"))
		return take_range(r, value, ret_why);
	if (text_is(name, "etag"))
		return take_etag(r, value, ret_why);
	if (text_is(name, "transfer-encoding"))
		return take_transfer_encoding(r, value, ret_why);
	if (text_is(name, "location"))
		return take_location(r, value, ret_why);
	return take_other(r, name, value);
}

void http_response_clear(struct http_response *r)
{
	free(r->location);
	*r = (struct http_response){ .length = ISM_SIZE_UNKNOWN };
}

/* "HTTP/1.1 206 Partial Content"; what came before was a 1xx. */
static int take_status(struct http_response *r, struct text line, const char **ret_why)
{
	const char *space = memchr(line.p, ' ', line.len);
	struct text t =
		space ? text_trim((struct text){ space, line.len - (size_t)(space - line.p) })
		      : (struct text){ "", 0 };
	size_t bytes = r->bytes;
	uint64_t status;

	if (!text_number(&t, &status) || status < 100 || status > 999) {
		*ret_why = "its status line makes no sense";
		return -EBADMSG;
	}
	http_response_clear(r);
	r->bytes = bytes;
	r->status = (unsigned)status;
	copy_printable(r->reason, sizeof(r->reason), text_trim(t));
	return 0;
}

/* The empty line: a length counts only where it is what ends the body. */
static void response_end(struct http_response *r)
{
	r->complete = r->status >= 200;
	r->length = r->has_length && !r->chunked ? r->content_length : ISM_SIZE_UNKNOWN;
}

int http_response_line(struct http_response *r, const char *line, size_t len, const char **ret_why)
{
	struct text text = { line, len };

	r->bytes += len;
	if (r->bytes > HTTP_HEADERS_MAX) {
		*ret_why = "its headers do not end";
		return -EBADMSG;
	}
	if (r->complete)
		return 0; /* trailers of a chunked body */
	if (len > 5 && memcmp(line, "HTTP/", 5) == 0)
		return take_status(r, text, ret_why);
	if (text_trim(text).len)
		return take_field(r, text, ret_why);
	response_end(r);
	return 0;
}

const char *http_strong_validator(const struct http_response *r)
{
	time_t modified, date;

	if (r->has_etag)
		return r->etag[0] ? r->etag : NULL;
	if (!r->last_modified[0] || !r->date[0])
		return NULL;
	modified = curl_getdate(r->last_modified, NULL);
	date = curl_getdate(r->date, NULL);
	if (modified < 0 || date < 0 || date < DATE_STRONG_S || modified > date - DATE_STRONG_S)
		return NULL;
	return r->last_modified;
}
