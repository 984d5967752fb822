/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See lab.h. The server ends when its standard input does, so also when the test program dies. */
#include "lab.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "medium/http.h"
#include "medium/http_get.h"
#include "medium/medium.h"

char lab_dir[64];
unsigned lab_port, lab_tls_port, lab_self_port;

static pid_t server;
static int server_stdin = -1;

static void server_exec(int in, int out)
{
	const char *root = getenv("ISOMORPH_SOURCE_ROOT");
	char script[4096];

	snprintf(script, sizeof(script), "%s/tests/http/server.py", root ? root : ".");
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execlp("python3", "python3", script, lab_dir, NULL);
	_exit(127);
}

static int server_ports(int fd)
{
	_fclose_ FILE *f = fdopen(fd, "r");

	return f && fscanf(f, "%u %u %u", &lab_port, &lab_tls_port, &lab_self_port) == 3 ? 0 : -1;
}

int lab_start(void **state)
{
	static const char *const unset[] = { "http_proxy",  "https_proxy",   "all_proxy",
		                             "HTTPS_PROXY", "ALL_PROXY",     "no_proxy",
		                             "NO_PROXY",    "SSL_CERT_FILE", "CURL_CA_BUNDLE",
		                             "SSL_CERT_DIR" };
	char files[80];
	int in[2], out[2];

	(void)state;
	for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
		unsetenv(unset[i]);
	setenv("ISOMORPH_HTTP_STALL_MS", "500", 1);
	snprintf(lab_dir, sizeof(lab_dir), "/tmp/isomorph-http-XXXXXX");
	if (!mkdtemp(lab_dir) || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		return -1;
	snprintf(files, sizeof(files), "%s/files", lab_dir);
	mkdir(files, 0700);
	server = fork();
	if (server == 0)
		server_exec(in[0], out[1]);
	close(in[0]);
	close(out[1]);
	server_stdin = in[1];
	return server > 0 ? server_ports(out[0]) : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int lab_stop(void **state)
{
	(void)state;
	close(server_stdin);
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	}
	return nftw(lab_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

uint8_t *lab_content(const char *seed, size_t size)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *p = malloc(size ? size : 1);

	EVP_DigestInit_ex(ctx, EVP_shake128(), NULL);
	EVP_DigestUpdate(ctx, seed, strlen(seed));
	EVP_DigestFinalXOF(ctx, p, size);
	EVP_MD_CTX_free(ctx);
	return p;
}

void lab_file(const char *name, const char *text)
{
	_free_ char *path = text_format("%s/files/%s", lab_dir, name);
	_fclose_ FILE *f = NULL;

	for (char *slash = strchr(path + strlen(lab_dir) + 7, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	if (f)
		fputs(text, f);
}

static uint64_t compare(const uint8_t *got, const uint8_t *want, uint64_t len)
{
	uint64_t i = 0;

	while (i < len && got[i] == want[i])
		i++;
	return i;
}

static int read_to_end(struct medium *m, const uint8_t *want, uint64_t want_len, uint64_t most,
                       struct lab_result *ret)
{
	static uint8_t buf[100003]; /* no power of two: crosses the ring's end */

	while (ret->len < most) {
		size_t n = 0;
		int r = medium_read(m, buf, sizeof(buf), ret->len, &n, &ret->error);

		if (r < 0)
			return r;
		if (n == 0)
			break;
		if (ret->first_wrong == ret->len && ret->len < want_len)
			ret->first_wrong +=
				compare(buf, want + ret->len,
			                n < want_len - ret->len ? n : want_len - ret->len);
		ret->len += n;
	}
	return 0;
}

struct lab_result lab_download(const char *url, const uint8_t *want, uint64_t want_len,
                               uint64_t most, const atomic_bool *stop)
{
	struct ism_open_options options = { .stop = stop };
	struct lab_result result = { 0 };
	struct medium *m = NULL;
	uint64_t start = http_now_ms();

	result.code = carrier_driver_http.open(url, &options, &m, &result.error);
	if (result.code == 0) {
		result.name = strdup(m->name);
		result.size = m->size;
		result.code = read_to_end(m, want, want_len, most, &result);
	}
	medium_close(m);
	result.ms = http_now_ms() - start;
	return result;
}

void lab_result_clear(struct lab_result *result)
{
	ism_error_clear(&result->error);
	free(result->name);
	*result = (struct lab_result){ 0 };
}

char *lab_log(const char *id)
{
	_free_ char *url = text_format("http://127.0.0.1:%u/log?id=%s", lab_port, id);
	uint8_t *data = NULL;
	size_t len;

	return http_fetch_small(url, 1 << 20, NULL, &data, &len, NULL) == 0 ? (char *)data : NULL;
}

unsigned lab_log_lines(const char *log)
{
	unsigned n = log && *log ? 1 : 0;

	for (; log && *log; log++)
		n += *log == '\n';
	return n;
}
