/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Addresses: taken apart by libcurl's parser (RFC 3986), so that what is checked here is what it
 * connects to; secrets are kept apart from what is shown. */
#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "medium/http.h"
#include "medium/http_get.h"

#define URL_MAX   (8 * 1024)
#define URL_FLAGS (CURLU_URLENCODE | CURLU_ALLOW_SPACE)

bool http_is_url(const char *ref)
{
	return strncasecmp(ref, "http://", 7) == 0 || strncasecmp(ref, "https://", 8) == 0;
}

void http_url_clear(struct http_url *url)
{
	free(url->address);
	free(url->shown);
	free(url->user);
	free(url->password);
	free(url->origin);
	*url = (struct http_url){ 0 };
}

static void cleanup_curlu(CURLU **u)
{
	curl_url_cleanup(*u);
}
#define _curlu_ CLEANUP(cleanup_curlu)

/* A copy of one part; *ret is NULL if the address has none. */
static CURLUcode url_part(CURLU *u, CURLUPart part, unsigned flags, char **ret)
{
	char *s = NULL;
	CURLUcode rc = curl_url_get(u, part, &s, flags);

	if (rc == CURLUE_OK) {
		*ret = strdup(s);
		curl_free(s);
		return *ret ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
	}
	return rc == CURLUE_NO_USER || rc == CURLUE_NO_PASSWORD || rc == CURLUE_NO_QUERY ? CURLUE_OK
	                                                                                 : rc;
}

/* scheme://host:port, and the path behind it. Queries are not shown: they carry signatures. */
static CURLUcode url_texts(CURLU *u, struct http_url *url)
{
	_free_ char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL, *query = NULL;
	_free_ char *bare_port = NULL;
	CURLUcode rc = url_part(u, CURLUPART_SCHEME, 0, &scheme);

	if (rc == CURLUE_OK)
		rc = url_part(u, CURLUPART_HOST, 0, &host);
	if (rc == CURLUE_OK)
		rc = url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port);
	if (rc == CURLUE_OK)
		rc = url_part(u, CURLUPART_PATH, 0, &path);
	if (rc == CURLUE_OK)
		rc = url_part(u, CURLUPART_QUERY, 0, &query);
	if (rc != CURLUE_OK)
		return rc;
	if (url_part(u, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, &bare_port) != CURLUE_OK)
		bare_port = NULL;
	url->tls = strcmp(scheme, "https") == 0;
	if (!url->tls && strcmp(scheme, "http") != 0)
		return CURLUE_UNSUPPORTED_SCHEME;
	url->origin = text_format("%s://%s:%s", scheme, host, port);
	url->shown = text_format("%s://%s%s%s%s%s", scheme, host, bare_port ? ":" : "",
	                         bare_port ? bare_port : "", path, query ? "?..." : "");
	return url->origin && url->shown ? CURLUE_OK : CURLUE_OUT_OF_MEMORY;
}

static CURLUcode url_fill(CURLU *u, struct http_url *url)
{
	CURLUcode rc = url_texts(u, url);

	if (rc == CURLUE_OK)
		rc = url_part(u, CURLUPART_USER, CURLU_URLDECODE, &url->user);
	if (rc == CURLUE_OK)
		rc = url_part(u, CURLUPART_PASSWORD, CURLU_URLDECODE, &url->password);
	if (rc != CURLUE_OK)
		return rc;
	curl_url_set(u, CURLUPART_USER, NULL, 0);
	curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	return url_part(u, CURLUPART_URL, 0, &url->address);
}

/* For an address that cannot be parsed: whatever could be a secret goes. */
static char *url_censored(const char *ref)
{
	const char *sep = strstr(ref, "://");
	size_t scheme_len = sep ? MIN((size_t)(sep - ref + 3), (size_t)16) : 0;
	const char *rest = ref + scheme_len;
	size_t rest_len = strchr(rest, '@') ? 0 : MIN(strcspn(rest, "?#"), (size_t)256);
	char *s = text_format("%.*s%.*s%s", (int)scheme_len, ref, (int)rest_len, rest,
	                      rest[rest_len] ? "..." : "");

	for (char *p = s; p && *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	return s;
}

static int url_error(struct ism_error *err, const char *ref, CURLUcode rc)
{
	_free_ char *censored = url_censored(ref);

	if (rc == CURLUE_OUT_OF_MEMORY)
		return ism_error_oom(err);
	return ism_error_usage(err, censored, "is not a valid address: %s", curl_url_strerror(rc));
}

int http_url_parse(const char *ref, struct http_url *ret, struct ism_error *err)
{
	_curlu_ CURLU *u = curl_url();
	struct http_url url = { 0 };
	CURLUcode rc;

	if (!u)
		return ism_error_oom(err);
	rc = strlen(ref) > URL_MAX ? CURLUE_MALFORMED_INPUT
	                           : curl_url_set(u, CURLUPART_URL, ref, URL_FLAGS);
	if (rc == CURLUE_OK)
		rc = url_fill(u, &url);
	if (rc != CURLUE_OK) {
		http_url_clear(&url);
		return url_error(err, ref, rc);
	}
	*ret = url;
	return 0;
}

/* The user's password goes on to the same server only. */
static int url_keep_user(const struct http_url *from, struct http_url *to)
{
	if (to->user || !from->user || strcmp(from->origin, to->origin) != 0)
		return 0;
	to->user = strdup(from->user);
	to->password = from->password ? strdup(from->password) : NULL;
	return to->user && (to->password || !from->password) ? 0 : -ENOMEM;
}

int http_url_redirect(const struct http_url *from, const char *location, struct http_url *ret,
                      struct ism_error *err)
{
	_curlu_ CURLU *u = curl_url();
	struct http_url url = { 0 };
	CURLUcode rc;

	if (!u || curl_url_set(u, CURLUPART_URL, from->address, 0) != CURLUE_OK)
		return ism_error_oom(err);
	rc = strlen(location) > URL_MAX ? CURLUE_MALFORMED_INPUT
	                                : curl_url_set(u, CURLUPART_URL, location, URL_FLAGS);
	if (rc == CURLUE_OK)
		rc = url_fill(u, &url);
	if (rc != CURLUE_OK || (from->tls && !url.tls)) {
		_free_ char *to = url.shown ? strdup(url.shown) : url_censored(location);

		http_url_clear(&url);
		if (rc == CURLUE_OUT_OF_MEMORY)
			return ism_error_oom(err);
		return ism_error_set(err, -EPERM, from->shown, ISM_NO_OFFSET, "redirects to %s: %s",
		                     to ? to : "?",
		                     rc == CURLUE_OK ? "leaving https is refused"
		                                     : curl_url_strerror(rc));
	}
	if (url_keep_user(from, &url) < 0) {
		http_url_clear(&url);
		return ism_error_oom(err);
	}
	*ret = url;
	return 0;
}

char *http_shown_url(const char *ref)
{
	struct http_url url = { 0 };
	char *shown;

	if (http_url_parse(ref, &url, NULL) < 0)
		return url_censored(ref);
	shown = take(url.shown);
	http_url_clear(&url);
	return shown;
}
