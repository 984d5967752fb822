/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the HTTP carrier: addresses, what a response's headers say, and one GET. RFC 9110. */
#ifndef MEDIUM_HTTP_GET_H
#define MEDIUM_HTTP_GET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <isomorph/medium.h>

#include "base/error.h"

#define HTTP_HEADERS_MAX \
	(64 * 1024) /* bytes of all headers of one response; servers allow 8 KiB \
	             */
#define HTTP_REDIRECTS_MAX 10
#define HTTP_VALIDATOR_MAX 256 /* a longer ETag is taken for none */

/** struct http_url - an address taken apart; all strings owned */
struct http_url {
	char *address;  /* what is asked for: no user, password or fragment */
	char *shown;    /* what messages say: no secrets, the query left out */
	char *user;     /* decoded, or NULL */
	char *password; /* decoded, or NULL */
	char *origin;   /* scheme, host and port: whom the password is for */
	bool tls;
};

bool http_is_url(const char *ref);
int http_url_parse(const char *ref, struct http_url *ret, struct ism_error *err);
/** http_url_redirect() - where a `Location:` leads; -EPERM from https to http, and to other schemes
 */
int http_url_redirect(const struct http_url *from, const char *location, struct http_url *ret,
                      struct ism_error *err);
void http_url_clear(struct http_url *url);

/** struct http_range - `Content-Range: bytes first-last/total`; first <= last < total */
struct http_range {
	uint64_t first, last;
	uint64_t total; /* ISM_SIZE_UNKNOWN for `*` */
};

/** struct http_response - status and headers of one response, filled line by line */
struct http_response {
	unsigned status;
	char reason[48]; /* printable ASCII, as the server words it */
	bool complete;   /* the empty line has come, and it is no 1xx */
	size_t bytes;    /* of all header lines so far, those of 1xx included */
	uint64_t length; /* of the body; ISM_SIZE_UNKNOWN unless stated, and no chunks */
	bool has_length, has_range, has_etag, chunked;
	uint64_t content_length;                /* if has_length */
	struct http_range range;                /* if has_range */
	char etag[HTTP_VALIDATOR_MAX];          /* strong, with its quotes, or "" */
	char last_modified[HTTP_VALIDATOR_MAX]; /* as sent, or "" */
	char date[HTTP_VALIDATOR_MAX];
	char encoding[24];      /* of the content, if it is not plain; else "" */
	char *location;         /* owned, or NULL */
	uint32_t retry_after_s; /* 0 = none */
};

/**
 * http_response_line() - take one header line, its CRLF included
 * Return: 0, -EBADMSG with a constant clause in *@ret_why when the headers cannot be trusted,
 * -ENOMEM
 */
int http_response_line(struct http_response *r, const char *line, size_t len, const char **ret_why);
void http_response_clear(struct http_response *r);
/** http_range_parse() - the value of a Content-Range header that names a range */
bool http_range_parse(const char *s, size_t len, struct http_range *ret);
/** http_strong_validator() - what If-Range may carry: a strong ETag, or a date by the rule of RFC
 * 9110, 8.8.2.2; NULL if there is none */
const char *http_strong_validator(const struct http_response *r);

/** How a GET failed: whether asking again can help. */
enum http_failure {
	HTTP_FINAL,
	HTTP_UNREACHABLE, /* no server there, or it does not speak TLS */
	HTTP_BROKEN,      /* broke off, stalled, or the server is overloaded */
};

/**
 * struct http_get - one GET, with redirects
 * @url:      not owned
 * @first:    0 = the whole; else `Range: bytes=first-` on condition of @if_range
 * @stop:     the user stopped it; @quit: the medium is being closed; either may be NULL
 * @head:     looks at the headers of a 200 or 206 before any byte of the body; a negative return
 * ends the transfer
 * @body:     takes the bytes; may wait
 * @stall_ms: how long a server may be silent
 * @failure, @status, @retry_after_s: results, when it fails; status 0 = no answer
 */
struct http_get {
	const struct http_url *url;
	uint64_t first;
	const char *if_range;
	const atomic_bool *stop, *quit;
	int (*head)(void *arg, const struct http_response *response, struct ism_error *err);
	int (*body)(void *arg, const uint8_t *p, size_t len, struct ism_error *err);
	void *arg;
	uint64_t stall_ms;
	enum http_failure failure;
	unsigned status;
	uint32_t retry_after_s;
};

int http_get(struct http_get *get, struct ism_error *err);
/** http_stall_ms() - 30 s, or what ISOMORPH_HTTP_STALL_MS says */
uint64_t http_stall_ms(void);
uint64_t http_now_ms(void);
/** http_pause() - wait before try number @retry (from 1), longer each time; -ECANCELED if stopped
 */
int http_pause(const struct http_get *get, unsigned retry, struct ism_error *err);

#endif
