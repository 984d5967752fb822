/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The HTTP carrier against a server that breaks off, stalls, lies and changes its mind: right
 * bytes, or an error that says why; never wrong bytes, never a hang. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../tests/http/lab.h"
#include "base/bytes.h"
#include "medium/http.h"
#include "medium/http_get.h"
#include "medium/medium.h"

#define ANY  (ISM_NO_OFFSET - 1)
#define SIZE 300000

/* struct lie - one behaviour of the server, and what must come of it */
struct lie {
	const char *what, *query;
	int code;
	uint64_t offset;    /* of the error; ANY */
	unsigned requests;  /* 0 = any number */
	const char *second; /* how the second request must begin in the log; NULL = any */
	uint64_t len;       /* bytes that come when all is well; 0 = SIZE */
	bool unknown_size;
	const char *name; /* put behind /file */
};

static const struct lie lies[] = {
	{ "all well", "", .requests = 1 },
	{ "chunked: size not known", "&chunked=1", .requests = 1, .unknown_size = true },
	{ "no length, end of connection", "&bare=1", .requests = 1, .unknown_size = true },
	{ "breaks off once, strong ETag", "&etag=e1&ranges=1&drop=200000&drops=1", .requests = 2,
	  .second = "bytes=134464-|\"e1\"|identity" },
	{ "breaks off each time, goes forward", "&etag=e1&ranges=1&drop=90000", .requests = 10 },
	{ "chunked, breaks off once", "&etag=e1&ranges=1&chunked=1&drop=200000&drops=1",
	  .requests = 2, .second = "bytes=134464-|\"e1\"|", .unknown_size = true },
	{ "breaks off at once", "&etag=e1&ranges=1&drop=0&drops=2", .requests = 3 },
	{ "old Last-Modified is a validator", "&lm=old&ranges=1&drop=200000&drops=1", .requests = 2,
	  .second = "bytes=134464-|Mon, 13 Nov 2023" },
	{ "young Last-Modified is none", "&lm=new&ranges=always&drop=200000&drops=1", .requests = 2,
	  .second = "-|-|" },
	{ "weak ETag is not used", "&etag=weak:e1&ranges=always&drop=200000&drops=1", .requests = 2,
	  .second = "-|-|" },
	{ "no validator: from zero, compared", "&ranges=always&drop=200000&drops=1", .requests = 2,
	  .second = "-|-|" },
	{ "200 to a range: from zero, compared", "&etag=e1&drop=200000&drops=2", .requests = 3 },
	{ "another ETag, the same bytes", "&etag=e1&etag2=e2&ranges=1&drop=200000&drops=2",
	  .requests = 3 },
	{ "answers ranges in parts", "&etag=e1&ranges=1&drop=100000&drops=1&part=150000",
	  .requests = 4 },
	{ "no ranges, breaks off each time", "&drop=200000", -ECONNRESET, 200000, .requests = 6 },
	{ "changed, ETag says so", "&etag=e1&etag2=e2&seed2=b&ranges=1&drop=200000&drops=1",
	  -ESTALE, 0 },
	{ "changed, ETag lies", "&etag=e1&flip=190000&ranges=1&drop=200000&drops=1", -ESTALE,
	  190000, .requests = 2 },
	{ "changed, no validator", "&flip=5&drop=200000&drops=1", -ESTALE, 5, .requests = 2 },
	{ "changed in size", "&size2=300001&drop=200000&drops=1", -ESTALE, 200000 },
	{ "chunked, became shorter", "&chunked=1&size2=150000&drop=200000&drops=1", -ESTALE,
	  150000 },
	{ "wrong start of range", "&lie=start&etag=e1&ranges=1&drop=200000&drops=1", -EPROTO,
	  134464 },
	{ "right range, bytes of another", "&lie=shift&etag=e1&ranges=1&drop=200000&drops=1",
	  -ESTALE, 134464 },
	{ "wrong total", "&lie=total&etag=e1&ranges=1&drop=200000&drops=1", -ESTALE, 134464 },
	{ "range and length disagree", "&lie=length&etag=e1&ranges=1&drop=200000&drops=1", -EPROTO,
	  134464 },
	{ "206 with no range", "&lie=none&etag=e1&ranges=1&drop=200000&drops=1", -EPROTO, 134464 },
	{ "206 of another ETag", "&lie=etag&etag=e1&ranges=1&drop=200000&drops=1", -ESTALE,
	  134464 },
	{ "range beyond its total", "&lie=beyond&etag=e1&ranges=1&drop=200000&drops=1", -EBADMSG,
	  200000 },
	{ "total not said, but known", "&lie=star&etag=e1&ranges=1&drop=200000&drops=1",
	  .requests = 2 },
	{ "total never said", "&chunked=1&lie=star&etag=e1&ranges=1&drop=200000&drops=1", -EPROTO,
	  134464, .unknown_size = true },
	{ "416", "&etag=e1&status2=416&drop=200000&drops=1", -ESTALE, 200000, .requests = 2 },
	{ "gone half-way", "&etag=e1&status2=404&drop=200000&drops=1", -ENOENT, 200000,
	  .requests = 2 },
	{ "overloaded half-way", "&etag=e1&ranges=1&status2=503&statuses=3&drop=200000&drops=1",
	  .requests = 4 },
	{ "sends less than it says", "&length=5", -ECONNRESET, SIZE, .requests = 6 },
	{ "sends more than it says", "&length=-5", .requests = 1, .len = SIZE - 5 },
	{ "silent once", "&etag=e1&ranges=1&stall=100000&stalls=1", .requests = 2,
	  .second = "bytes=34464-|" },
	{ "500 twice, then well", "&status=500&statuses=2", .requests = 3 },
	{ "404", "&status=404", -ENOENT, ANY, .requests = 1 },
	{ "403", "&status=403", -EACCES, ANY, .requests = 1 },
	{ "401", "&user=u:p", -EACCES, ANY, .requests = 1 },
	{ "204 is no file", "&status=204", -EIO, ANY, .requests = 1 },
	{ "304 to no question", "&status=304", -EIO, ANY, .requests = 1 },
	{ "206 to no range", "&status=206", -EPROTO, ANY, .requests = 1 },
	{ "500 for ever", "&status=500", -EIO, ANY, .requests = 6 },
	{ "headers without end", "&headers=90", -EBADMSG, ANY, .requests = 1 },
	{ "many headers, bounded", "&headers=40", .requests = 1 },
	{ "two lengths", "&lengths=1", -EBADMSG, ANY, .requests = 1 },
	{ "a negative length", "&length=-300007", -EPROTO, ANY, .requests = 1 },
	{ "not HTTP at all", "&garbage=1", -EPROTO, ANY, .requests = 1 },
	{ "packed unasked", "&encoding=gzip", -EPROTO, ANY, .requests = 1 },
	{ "packed by its name", "&encoding=x-gzip", .name = "/x.img.gz", .requests = 1 },
	{ "packed unlike its name", "&encoding=gzip&y=.gz", -EPROTO, ANY, .name = "/x.img.xz",
	  .requests = 1 },
	{ "identity is not packed", "&encoding=identity", .requests = 1 },
	{ "packed on the way", "&te=gzip", -EBADMSG, ANY, .requests = 1 },
};

static void check_log(const struct lie *lie, const char *id)
{
	_free_ char *log = lab_log(id);
	const char *second = log ? strchr(log, '\n') : NULL;

	assert_non_null(log);
	if (lie->requests)
		assert_int_equal(lab_log_lines(log), lie->requests);
	if (lie->second) {
		assert_non_null(second);
		if (strncmp(second + 1, lie->second, strlen(lie->second)) != 0)
			fail_msg("second request: %s", second + 1);
	}
}

static void check_lie(const struct lie *lie, const uint8_t *want, unsigned number)
{
	uint64_t len = lie->len ? lie->len : SIZE;
	_free_ char *id = text_format("lie%u", number);
	_free_ char *url = text_format("http://127.0.0.1:%u/file%s?id=%s&size=%d%s", lab_port,
	                               lie->name ? lie->name : "", id, SIZE, lie->query);
	struct lab_result r = lab_download(url, want, SIZE, UINT64_MAX, NULL);

	printf("http: %s: %llu bytes in %llu ms: %s\n", lie->what, (unsigned long long)r.len,
	       (unsigned long long)r.ms, r.code ? r.error.message : "right");
	assert_int_equal(r.code, lie->code);
	assert_int_equal(r.first_wrong, r.len);
	if (lie->code == 0) {
		assert_int_equal(r.len, len);
		assert_true(r.size == (lie->unknown_size ? ISM_SIZE_UNKNOWN : len));
	} else {
		assert_non_null(r.error.where);
		assert_null(strchr(r.error.message, '\033'));
		if (lie->offset != ANY)
			assert_int_equal(r.error.offset, lie->offset);
	}
	assert_true(r.ms < 5000);
	check_log(lie, id);
	lab_result_clear(&r);
}

static void test_lies(void **state)
{
	_free_ uint8_t *want = lab_content("a", SIZE);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(lies); i++)
		check_lie(&lies[i], want, i);
}

/* More than the ring holds: what is compared is a hash. */
static void test_beyond_the_ring(void **state)
{
	size_t size = 12 << 20;
	_free_ uint8_t *want = lab_content("a", size);
	_free_ char *url = text_format(
		"http://127.0.0.1:%u/file?id=big&size=%zu&drop=11000000&drops=1", lab_port, size);
	_free_ char *flipped = text_format(
		"http://127.0.0.1:%u/file?id=flip&flip=5&size=%zu&drop=11000000&drops=1", lab_port,
		size);
	struct lab_result r = lab_download(url, want, size, UINT64_MAX, NULL);

	(void)state;
	assert_int_equal(r.code, 0);
	assert_int_equal(r.len, size);
	assert_int_equal(r.first_wrong, size);
	lab_result_clear(&r);
	r = lab_download(flipped, want, size, UINT64_MAX, NULL);
	assert_int_equal(r.code, -ESTALE);
	assert_int_equal(r.error.offset, 11000000);
	assert_int_equal(r.first_wrong, r.len);
	printf("http: a new start of 12 MiB is compared by hash: %s\n", r.error.message);
	lab_result_clear(&r);
}

static void test_silence(void **state)
{
	static const char *const queries[] = { "&stall=1000", "&stall=1000&trickle=20" };
	_free_ uint8_t *want = lab_content("a", SIZE);

	(void)state;
	setenv("ISOMORPH_HTTP_STALL_MS", "200", 1);
	for (unsigned i = 0; i < ARRAY_LEN(queries); i++) {
		_free_ char *url =
			text_format("http://127.0.0.1:%u/file?id=silent%u&etag=e&ranges=1"
		                    "&size=%d%s",
		                    lab_port, i, SIZE, queries[i]);
		struct lab_result r = lab_download(url, want, SIZE, UINT64_MAX, NULL);

		printf("http: silent for ever (%s): %s, at byte %llu after %llu ms\n", queries[i],
		       r.error.message, (unsigned long long)r.error.offset,
		       (unsigned long long)r.ms);
		assert_int_equal(r.code, -ETIMEDOUT);
		assert_int_equal(r.first_wrong, r.len);
		assert_true(r.error.offset >= 1000 && r.error.offset < 1500);
		assert_true(r.ms > 1000 && r.ms < 5000);
		lab_result_clear(&r);
	}
	setenv("ISOMORPH_HTTP_STALL_MS", "500", 1);
}

static void test_endless(void **state)
{
	_free_ char *url =
		text_format("http://127.0.0.1:%u/file?id=endless&endless=1&size=1000000", lab_port);
	struct rusage before, after;
	struct lab_result r;

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	r = lab_download(url, NULL, 0, 60000000, NULL);
	getrusage(RUSAGE_SELF, &after);
	printf("http: endless: %llu bytes read, %ld KiB more memory, closed after %llu ms\n",
	       (unsigned long long)r.len, after.ru_maxrss - before.ru_maxrss,
	       (unsigned long long)r.ms);
	assert_int_equal(r.code, 0);
	assert_true(r.size == ISM_SIZE_UNKNOWN);
	assert_true(r.len >= 60000000);
	assert_true(after.ru_maxrss - before.ru_maxrss < 24 * 1024);
	lab_result_clear(&r);
}

/* struct redirect - where /redirect and its like lead, %u = port of the plain server */
struct redirect {
	const char *what, *path;
	unsigned *port;
	int code;
};

static void test_redirects(void **state)
{
	_free_ char *file =
		text_format("http%%3A%%2F%%2F127.0.0.1%%3A%u%%2Ffile%%3Fid%%3Dr", lab_port);
	_free_ char *tls =
		text_format("https%%3A%%2F%%2F127.0.0.1%%3A%u%%2Ffile%%3Fid%%3Dr", lab_tls_port);
	_free_ char *ten = text_format("/chain?n=10&to=%s", file);
	_free_ char *eleven = text_format("/chain?n=11&to=%s", file);
	_free_ char *down = text_format("/redirect?to=%s", file);
	_free_ char *up = text_format("/redirect?to=%s", tls);
	_free_ char *ca = text_format("%s/ca.pem", lab_dir);
	_free_ uint8_t *want = lab_content("a", 100000);
	const struct redirect redirects[] = {
		{ "ten redirects", ten, &lab_port, 0 },
		{ "eleven redirects", eleven, &lab_port, -ELOOP },
		{ "a circle", "/loop", &lab_port, -ELOOP },
		{ "from http to https", up, &lab_port, 0 },
		{ "from https to http", down, &lab_tls_port, -EPERM },
		{ "to a local file", "/redirect?to=file:///etc/passwd", &lab_port, -EPERM },
		{ "to ftp", "/redirect?to=ftp://127.0.0.1/x", &lab_port, -EPERM },
		{ "to nonsense", "/redirect?to=http://%3A%3A%3A/", &lab_port, -EPERM },
	};

	(void)state;
	setenv("SSL_CERT_FILE", ca, 1);
	for (unsigned i = 0; i < ARRAY_LEN(redirects); i++) {
		const struct redirect *c = &redirects[i];
		_free_ char *url =
			text_format("http%s://127.0.0.1:%u%s", c->port == &lab_tls_port ? "s" : "",
		                    *c->port, c->path);
		struct lab_result r = lab_download(url, want, 100000, UINT64_MAX, NULL);

		printf("http: %s: %s\n", c->what, r.code ? r.error.message : "right");
		assert_int_equal(r.code, c->code);
		assert_int_equal(r.first_wrong, r.code ? 0 : 100000);
		lab_result_clear(&r);
	}
	unsetenv("SSL_CERT_FILE");
}

static void test_tls(void **state)
{
	const struct {
		const char *what, *variable;
		unsigned port;
		int code;
	} cases[] = {
		{ "self-signed", NULL, lab_self_port, -EKEYREJECTED },
		{ "a CA that nobody knows", NULL, lab_tls_port, -EKEYREJECTED },
		{ "SSL_CERT_FILE names the CA", "SSL_CERT_FILE", lab_tls_port, 0 },
		{ "CURL_CA_BUNDLE names the CA", "CURL_CA_BUNDLE", lab_tls_port, 0 },
		{ "self-signed, another CA named", "SSL_CERT_FILE", lab_self_port, -EKEYREJECTED },
	};
	_free_ char *ca = text_format("%s/ca.pem", lab_dir);
	_free_ uint8_t *want = lab_content("a", 100000);

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		_free_ char *url = text_format("https://127.0.0.1:%u/file?id=tls", cases[i].port);
		struct lab_result r;

		if (cases[i].variable)
			setenv(cases[i].variable, ca, 1);
		r = lab_download(url, want, 100000, UINT64_MAX, NULL);
		if (cases[i].variable)
			unsetenv(cases[i].variable);
		printf("http: TLS, %s: %s\n", cases[i].what, r.code ? r.error.message : "right");
		assert_int_equal(r.code, cases[i].code);
		assert_int_equal(r.first_wrong, r.code ? 0 : 100000);
		lab_result_clear(&r);
	}
}

/* The certificate is of 127.0.0.1, and the server is asked for by another name. */
static void test_tls_host(void **state)
{
	_free_ char *ca = text_format("%s/ca.pem", lab_dir);
	_free_ char *url = text_format("https://localhost:%u/file?id=tls", lab_tls_port);
	struct lab_result r;

	(void)state;
	setenv("SSL_CERT_FILE", ca, 1);
	r = lab_download(url, NULL, 0, UINT64_MAX, NULL);
	unsetenv("SSL_CERT_FILE");
	printf("http: TLS, another host's certificate: %s\n", r.error.message);
	assert_int_equal(r.code, -EKEYREJECTED);
	assert_int_equal(r.len, 0);
	lab_result_clear(&r);
}

static void assert_no_secret(const struct lab_result *r)
{
	const char *texts[] = { r->name, r->error.where, r->error.message, r->error.hint };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_true(!texts[i] || !strstr(texts[i], "secret"));
}

static void test_passwords(void **state)
{
	const struct {
		const char *what, *format;
		int code;
	} cases[] = {
		{ "taken", "http://u:secret@127.0.0.1:%u/file?id=pw&user=u:secret", 0 },
		{ "with signs",
		  "HTTP://u%%40x:a%%2Fsecret@127.0.0.1:%u/file?id=pw"
		  "&user=u%%40x:a%%2Fsecret",
		  0 },
		{ "wrong", "http://u:secret@127.0.0.1:%u/file?id=pw&user=u:other", -EACCES },
		{ "kept by a redirect at home",
		  "http://u:secret@127.0.0.1:%u/redirect"
		  "?to=/file?user=u:secret",
		  0 },
		{ "not given to another server",
		  "http://u:secret@localhost:%u/redirect"
		  "?to=http://127.0.0.1:%u/file?user=u:secret",
		  -EACCES },
		{ "of no address", "http://u:secret@:999999%u/x", -EINVAL },
		{ "with a slash", "http://u:p/secret@127.0.0.1:%u/x", -EINVAL },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char url[256];
		struct lab_result r;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(url, sizeof(url), cases[i].format, lab_port, lab_port);
#pragma GCC diagnostic pop
		r = lab_download(url, NULL, 0, UINT64_MAX, NULL);
		printf("http: password %s: %s %s\n", cases[i].what, r.name ? r.name : r.error.where,
		       r.code ? r.error.message : "right");
		assert_int_equal(r.code, cases[i].code);
		assert_no_secret(&r);
		lab_result_clear(&r);
	}
}

static void *stop_later(void *arg)
{
	usleep(300000);
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

static void test_stop(void **state)
{
	_free_ uint8_t *want = lab_content("a", SIZE);
	_free_ char *silent =
		text_format("http://127.0.0.1:%u/file?id=stop&size=%d&stall=1000", lab_port, SIZE);
	struct sockaddr_in sin = { .sin_family = AF_INET,
		                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t sin_len = sizeof(sin);
	int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char mute_url[64];
	const char *urls[] = { silent, mute_url };

	(void)state;
	assert_return_code(bind(mute, (struct sockaddr *)&sin, sizeof(sin)), errno);
	assert_return_code(listen(mute, 5), errno);
	getsockname(mute, (struct sockaddr *)&sin, &sin_len);
	snprintf(mute_url, sizeof(mute_url), "http://127.0.0.1:%u/", ntohs(sin.sin_port));
	setenv("ISOMORPH_HTTP_STALL_MS", "30000", 1);
	for (unsigned i = 0; i < ARRAY_LEN(urls); i++) {
		atomic_bool stop = false;
		pthread_t thread;
		struct lab_result r;

		pthread_create(&thread, NULL, stop_later, &stop);
		r = lab_download(urls[i], want, SIZE, UINT64_MAX, &stop);
		pthread_join(thread, NULL);
		printf("http: stopped while %s: after %llu ms\n", i ? "opening" : "reading",
		       (unsigned long long)r.ms);
		assert_int_equal(r.code, -ECANCELED);
		assert_int_equal(r.error.status, ISM_INTERRUPTED);
		assert_true(r.ms >= 250 && r.ms < 300 + 400);
		lab_result_clear(&r);
	}
	close(mute);
	setenv("ISOMORPH_HTTP_STALL_MS", "500", 1);
}

static void test_close_while_silent(void **state)
{
	_free_ char *url =
		text_format("http://127.0.0.1:%u/file?id=close&size=%d&stall=1000", lab_port, SIZE);
	struct ism_open_options options = { 0 };
	struct medium *m = NULL;
	uint8_t head[512];
	size_t n = 0;
	uint64_t start;

	(void)state;
	setenv("ISOMORPH_HTTP_STALL_MS", "30000", 1);
	assert_int_equal(carrier_driver_http.open(url, &options, &m, NULL), 0);
	assert_true(m->forward);
	assert_string_equal(m->ops->name, "http");
	assert_int_equal(medium_peek(m, head, sizeof(head), &n, NULL), 0);
	assert_int_equal(n, sizeof(head));
	start = http_now_ms();
	medium_close(m);
	printf("http: closed while the server is silent: after %llu ms\n",
	       (unsigned long long)(http_now_ms() - start));
	assert_true(http_now_ms() - start < 400);
	setenv("ISOMORPH_HTTP_STALL_MS", "500", 1);
}

/* What curl is told by the environment: the server stands in for a proxy. */
static void test_proxy(void **state)
{
	_free_ char *proxy = text_format("http://127.0.0.1:%u", lab_port);
	_free_ uint8_t *want = lab_content("a", 100000);
	struct lab_result r;

	(void)state;
	setenv("http_proxy", proxy, 1);
	r = lab_download("http://images.invalid/file?id=proxy", want, 100000, UINT64_MAX, NULL);
	unsetenv("http_proxy");
	printf("http: by a proxy: %s\n", r.code ? r.error.message : "right");
	assert_int_equal(r.code, 0);
	assert_int_equal(r.first_wrong, 100000);
	lab_result_clear(&r);
}

/* The reader looks away for longer than a server may be silent: that is no stall. */
static void test_slow_reader(void **state)
{
	size_t size = 20 << 20;
	_free_ uint8_t *want = lab_content("a", size), *got = malloc(size);
	_free_ char *url = text_format("http://127.0.0.1:%u/file?id=slow&size=%zu", lab_port, size);
	_free_ char *log = NULL;
	struct ism_open_options options = { 0 };
	struct medium *m = NULL;

	(void)state;
	assert_int_equal(carrier_driver_http.open(url, &options, &m, NULL), 0);
	assert_int_equal(medium_read_all(m, got, 1, 0, NULL), 0);
	usleep(1500000);
	assert_int_equal(medium_read_all(m, got + 1, size - 1, 1, NULL), 0);
	medium_close(m);
	assert_memory_equal(got, want, size);
	log = lab_log("slow");
	printf("http: a reader that waits: %u request\n", lab_log_lines(log));
	assert_int_equal(lab_log_lines(log), 1);
}

static void test_tls_resumes(void **state)
{
	_free_ char *ca = text_format("%s/ca.pem", lab_dir);
	_free_ char *url = text_format("https://127.0.0.1:%u/file?id=tlsr&size=%d&etag=e&ranges=1"
	                               "&drop=120000",
	                               lab_tls_port, SIZE);
	_free_ uint8_t *want = lab_content("a", SIZE);
	struct lab_result r;

	(void)state;
	setenv("SSL_CERT_FILE", ca, 1);
	r = lab_download(url, want, SIZE, UINT64_MAX, NULL);
	unsetenv("SSL_CERT_FILE");
	printf("http: TLS, breaks off each time: %s\n", r.code ? r.error.message : "right");
	assert_int_equal(r.code, 0);
	assert_int_equal(r.first_wrong, SIZE);
	lab_result_clear(&r);
}

static void test_claims(void **state)
{
	(void)state;
	assert_true(carrier_driver_http.claims("http://h/x"));
	assert_true(carrier_driver_http.claims("HttpS://h/x"));
	assert_false(carrier_driver_http.claims("http:/h/x"));
	assert_false(carrier_driver_http.claims("https"));
	assert_false(carrier_driver_http.claims("./http://h/x"));
	assert_false(carrier_driver_http.claims("ftp://h/x"));
	assert_false(carrier_driver_http.claims(""));
}

static void test_nobody_there(void **state)
{
	struct lab_result r = lab_download("http://127.0.0.1:1/x.iso", NULL, 0, UINT64_MAX, NULL);

	(void)state;
	printf("http: nobody there: %s, after %llu ms\n", r.error.message,
	       (unsigned long long)r.ms);
	assert_int_equal(r.code, -ECONNREFUSED);
	assert_true(r.ms < 400);
	lab_result_clear(&r);
}

static void test_busy_server_is_waited_for(void **state)
{
	_free_ char *url = text_format(
		"http://127.0.0.1:%u/file?id=busy&status=503&statuses=1&retry=1", lab_port);
	struct lab_result r = lab_download(url, NULL, 0, UINT64_MAX, NULL);

	(void)state;
	printf("http: 503 with Retry-After: waited %llu ms\n", (unsigned long long)r.ms);
	assert_int_equal(r.code, 0);
	assert_true(r.ms >= 950 && r.ms < 3000);
	lab_result_clear(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_beyond_the_ring),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_tls_host),
		cmocka_unit_test(test_tls_resumes),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_close_while_silent),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_busy_server_is_waited_for),
	};

	return cmocka_run_group_tests_name("http", tests, lab_start, lab_stop);
}
