/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One GET by libcurl: redirects under our rules, bounded headers, no silence longer than the stall
 * time, and a sentence for all that goes wrong. RFC 9110. */
#include "medium/http_get.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/bytes.h"

#define POLL_MS          100 /* how soon a wish to stop is seen */
#define STALL_DEFAULT_MS 30000
#define STALL_LEAST      256 /* bytes in a stall time; fewer is as good as silence */
#define BUFFER_SIZE      (256L * 1024)

/* One request of a GET: each redirect is a new one. */
struct transfer {
	struct http_get *get;
	const struct http_url *url;
	struct http_response response;
	struct ism_error *err;
	int failed; /* what a callback has put into err */
	uint64_t window_start_ms, window_bytes;
	char words[CURL_ERROR_SIZE];
};

uint64_t http_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t http_stall_ms(void)
{
	const char *s = secure_getenv("ISOMORPH_HTTP_STALL_MS");
	char *end = NULL;
	long ms = s ? strtol(s, &end, 10) : 0;

	return s && end != s && !*end && ms > 0 ? (uint64_t)ms : STALL_DEFAULT_MS;
}

static bool is_set(const atomic_bool *flag)
{
	return flag && atomic_load_explicit(flag, memory_order_relaxed);
}

static bool get_stopped(const struct http_get *get)
{
	return is_set(get->stop) || is_set(get->quit);
}

int http_pause(const struct http_get *get, unsigned retry, struct ism_error *err)
{
	/* 1, 2, 4, 8, 16 s by default; the server's own wish counts up to two stall times */
	uint64_t wait = (get->stall_ms / 30) << MIN(retry - 1, 4U);
	uint64_t asked = MIN((uint64_t)get->retry_after_s * 1000, 2 * get->stall_ms);
	uint64_t end = http_now_ms() + MAX(wait, asked);

	for (uint64_t now = http_now_ms(); now < end; now = http_now_ms()) {
		uint64_t ms = MIN(end - now, (uint64_t)POLL_MS);

		if (get_stopped(get))
			return ism_error_canceled(err);
		nanosleep(&(struct timespec){ .tv_nsec = (long)ms * 1000000 }, NULL);
	}
	return 0;
}

static bool is_redirect(const struct http_response *r)
{
	return r->location && (r->status == 301 || r->status == 302 || r->status == 303 ||
	                       r->status == 307 || r->status == 308);
}

static bool is_wanted(const struct http_response *r)
{
	return r->status == 200 || r->status == 206;
}

/* Some servers call x.img.gz a packed x.img. It is sent as the file that was asked for all the
 * same. */
static bool is_packed_by_name(const char *encoding, const char *shown)
{
	static const struct {
		const char *encoding, *suffix;
	} names[] = {
		{ "gzip", ".gz" }, { "x-gzip", ".gz" }, { "bzip2", ".bz2" }, { "x-bzip2", ".bz2" },
		{ "xz", ".xz" },   { "x-xz", ".xz" },   { "zstd", ".zst" },
	};
	size_t path_len = strcspn(shown, "?");

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		size_t len = strlen(names[i].suffix);

		if (strcasecmp(encoding, names[i].encoding) == 0 && path_len > len &&
		    strncasecmp(shown + path_len - len, names[i].suffix, len) == 0)
			return true;
	}
	return false;
}

static int check_head(struct transfer *t)
{
	const struct http_response *r = &t->response;

	if (r->encoding[0] && !is_packed_by_name(r->encoding, t->url->shown)) {
		ism_error_set(t->err, -EPROTO, t->url->shown, ISM_NO_OFFSET,
		              "the server sends it packed as %s, though asked for it as it is",
		              r->encoding);
		return ism_error_hint(t->err, "name an address that gives the plain file");
	}
	return t->get->head(t->get->arg, r, t->err);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	bool was_complete = t->response.complete;
	const char *why = "";
	int r = http_response_line(&t->response, line, size * n, &why);

	if (r == -ENOMEM)
		t->failed = ism_error_oom(t->err);
	else if (r < 0)
		t->failed = ism_error_set(t->err, r, t->url->shown, ISM_NO_OFFSET,
		                          "the server's answer cannot be trusted: %s", why);
	if (r < 0)
		return 0;
	if (was_complete || !t->response.complete)
		return size * n;
	t->window_start_ms = http_now_ms();
	t->window_bytes = 0;
	if (!is_wanted(&t->response))
		return 0; /* nobody reads the body of an error or a redirect */
	t->failed = check_head(t);
	return t->failed < 0 ? 0 : size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t start = http_now_ms();

	t->failed = t->get->body(t->get->arg, (const uint8_t *)p, size * n, t->err);
	t->window_bytes += size * n;
	t->window_start_ms += http_now_ms() - start; /* our own waiting is no stall */
	return t->failed < 0 ? 0 : size * n;
}

/* Private CAs, as OpenSSL and curl name them in the environment; libcurl itself looks at neither.
 */
static CURLcode set_trust(CURL *c)
{
	const char *file = secure_getenv("CURL_CA_BUNDLE"), *dir = secure_getenv("SSL_CERT_DIR");
	CURLcode rc = CURLE_OK;

	if (!file || !*file)
		file = secure_getenv("SSL_CERT_FILE");
	if (file && *file)
		rc = curl_easy_setopt(c, CURLOPT_CAINFO, file);
	if (rc == CURLE_OK && dir && *dir)
		rc = curl_easy_setopt(c, CURLOPT_CAPATH, dir);
	return rc;
}

static CURLcode set_condition(CURL *c, const struct http_get *get, struct curl_slist **headers)
{
	char range[32];

	*headers = curl_slist_append(NULL, "Accept-Encoding: identity");
	if (!*headers)
		return CURLE_OUT_OF_MEMORY;
	if (get->first) {
		_free_ char *line = text_format("If-Range: %s", get->if_range);
		struct curl_slist *more = line ? curl_slist_append(*headers, line) : NULL;

		if (!more)
			return CURLE_OUT_OF_MEMORY;
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)get->first);
		curl_easy_setopt(c, CURLOPT_RANGE, range);
	}
	return curl_easy_setopt(c, CURLOPT_HTTPHEADER, *headers);
}

static CURLcode set_address(CURL *c, const struct http_url *url)
{
	CURLcode rc = curl_easy_setopt(c, CURLOPT_URL, url->address);

	if (rc == CURLE_OK)
		rc = curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	if (rc == CURLE_OK && url->user)
		rc = curl_easy_setopt(c, CURLOPT_USERNAME, url->user);
	if (rc == CURLE_OK && url->user)
		rc = curl_easy_setopt(c, CURLOPT_PASSWORD, url->password ? url->password : "");
	return rc;
}

static CURLcode set_up(CURL *c, struct transfer *t, struct curl_slist **headers)
{
	CURLcode rc = set_address(c, t->url);

	if (rc == CURLE_OK)
		rc = set_condition(c, t->get, headers);
	if (rc == CURLE_OK)
		rc = set_trust(c);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->words);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a name server at the end */
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)t->get->stall_ms);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "isomorph");
	return rc;
}

/* Headers must be whole within the stall time; of a body some bytes must come in each. */
static bool transfer_stalls(struct transfer *t)
{
	uint64_t now = http_now_ms();

	if (now < t->window_start_ms + t->get->stall_ms)
		return false;
	if (!t->response.complete || t->window_bytes < STALL_LEAST)
		return true;
	t->window_start_ms = now;
	t->window_bytes = 0;
	return false;
}

static CURLcode transfer_result(CURLM *multi)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left)))
		if (message->msg == CURLMSG_DONE)
			return message->data.result;
	return CURLE_RECV_ERROR;
}

static CURLcode transfer_run(CURLM *multi, struct transfer *t)
{
	for (;;) {
		int running = 0;

		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return CURLE_FAILED_INIT;
		if (!running)
			return transfer_result(multi);
		if (get_stopped(t->get))
			return CURLE_ABORTED_BY_CALLBACK;
		if (transfer_stalls(t))
			return CURLE_OPERATION_TIMEDOUT;
		if (curl_multi_poll(multi, NULL, 0, POLL_MS, NULL) != CURLM_OK)
			return CURLE_FAILED_INIT;
	}
}

static int status_code(unsigned status)
{
	switch (status) {
	case 401:
	case 403:
	case 407:
		return -EACCES;
	case 404:
	case 410:
		return -ENOENT;
	case 416:
		return -ESTALE;
	default:
		return -EIO;
	}
}

static void status_hint(struct transfer *t, unsigned status)
{
	const char *hint = NULL;

	if (status == 401)
		hint = t->url->user ? "the server does not take this user and password"
		                    : "the address may hold a user and a password: "
		                      "https://user:password@host/...";
	else if (status == 403)
		hint = "the address may have expired, or may need a login";
	else if (status == 404 || status == 410)
		hint = "look for the address where the image is offered";
	else if (status == 407)
		hint = "the proxy wants a user and a password";
	else if (status == 416)
		hint = "the file on the server has become shorter";
	if (hint)
		ism_error_hint(t->err, "%s", hint);
}

/* An answer that is neither the file nor a way to it. */
static int status_error(struct transfer *t)
{
	struct http_get *get = t->get;
	unsigned status = t->response.status;

	get->status = status;
	get->retry_after_s = t->response.retry_after_s;
	if (status >= 500 || status == 408 || status == 425 || status == 429)
		get->failure = HTTP_BROKEN;
	ism_error_set(t->err, status_code(status), t->url->shown, ISM_NO_OFFSET,
	              "the server says %u%s%s", status, t->response.reason[0] ? " " : "",
	              t->response.reason);
	status_hint(t, status);
	return status_code(status);
}

static enum http_failure curl_failure(CURLcode rc)
{
	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
		return HTTP_BROKEN;
	default:
		return HTTP_FINAL;
	}
}

static int curl_code(CURLcode rc)
{
	switch (rc) {
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return -EKEYREJECTED;
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
		return -ECONNRESET;
	default:
		return -EPROTO;
	}
}

static const char *curl_failed(CURLcode rc)
{
	switch (rc) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return "the server cannot be trusted";
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return "cannot reach the server";
	default:
		return "the transfer failed";
	}
}

static int curl_error(struct transfer *t, CURLcode rc)
{
	const char *words = t->words[0] ? t->words : curl_easy_strerror(rc);
	const char *where = t->url->shown;

	t->get->failure = curl_failure(rc);
	for (char *p = t->words; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return ism_error_set(t->err, -ETIMEDOUT, where, ISM_NO_OFFSET,
		                     "the server has sent nothing, or next to it, for %g s",
		                     (double)t->get->stall_ms / 1000);
	ism_error_set(t->err, curl_code(rc), where, ISM_NO_OFFSET, "%s: %s", curl_failed(rc),
	              words);
	if (rc == CURLE_PEER_FAILED_VERIFICATION)
		ism_error_hint(t->err,
		               "if the server's certificate is of a CA of your own, name the "
		               "CA's file in SSL_CERT_FILE");
	return curl_code(rc);
}

/* What came of it: first what we refused ourselves, then what the server said, then what broke. */
static int transfer_judge(struct transfer *t, CURLcode rc)
{
	if (get_stopped(t->get))
		return ism_error_canceled(t->err);
	if (t->failed < 0)
		return t->failed;
	if (t->response.complete && is_redirect(&t->response))
		return 0;
	if (t->response.complete && !is_wanted(&t->response))
		return status_error(t);
	if (rc == CURLE_OUT_OF_MEMORY)
		return ism_error_oom(t->err);
	return rc == CURLE_OK ? 0 : curl_error(t, rc);
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int transfer_perform(struct transfer *t)
{
	struct curl_slist *headers = NULL;
	CURLM *multi;
	CURL *c;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	pthread_once(&curl_once, curl_start);
	multi = curl_multi_init();
	c = curl_easy_init();
	if (multi && c) {
		rc = set_up(c, t, &headers);
		t->window_start_ms = http_now_ms();
		if (rc == CURLE_OK && curl_multi_add_handle(multi, c) == CURLM_OK) {
			rc = transfer_run(multi, t);
			curl_multi_remove_handle(multi, c);
		}
	}
	curl_easy_cleanup(c);
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	return transfer_judge(t, rc);
}

int http_get(struct http_get *get, struct ism_error *err)
{
	struct http_url at = { 0 };
	int r = 0;

	get->failure = HTTP_FINAL;
	get->status = 0;
	get->retry_after_s = 0;
	for (unsigned hop = 0; hop <= HTTP_REDIRECTS_MAX; hop++) {
		struct transfer t = { .get = get, .url = hop ? &at : get->url, .err = err };
		struct http_url next = { 0 };
		bool again;

		http_response_clear(&t.response);
		r = transfer_perform(&t);
		again = r == 0 && is_redirect(&t.response);
		if (again)
			r = http_url_redirect(t.url, t.response.location, &next, err);
		http_response_clear(&t.response);
		http_url_clear(&at);
		at = next;
		if (r < 0 || !again) {
			http_url_clear(&at);
			return r;
		}
	}
	http_url_clear(&at);
	return ism_error_set(err, -ELOOP, get->url->shown, ISM_NO_OFFSET,
	                     "the server redirects more than %d times", HTTP_REDIRECTS_MAX);
}
