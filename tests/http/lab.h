/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The hostile web server of server.py, started and stopped for a test program, and downloads from
 * it that are compared byte for byte with what it was told to send. */
#ifndef TESTS_HTTP_LAB_H
#define TESTS_HTTP_LAB_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"

extern char lab_dir[64];
extern unsigned lab_port, lab_tls_port, lab_self_port;

/** lab_start(), lab_stop() - cmocka group setup and teardown */
int lab_start(void **state);
int lab_stop(void **state);
/** lab_content() - @size bytes of SHAKE-128(@seed), by OpenSSL; malloc'ed */
uint8_t *lab_content(const char *seed, size_t size);
/** lab_file() - make the file DIR/files/@name with @text in it */
void lab_file(const char *name, const char *text);

/** struct lab_result - what a download gave */
struct lab_result {
	int code;
	struct ism_error error;
	char *name;           /* of the medium, or NULL */
	uint64_t size;        /* as opening says */
	uint64_t len;         /* bytes read before the end or the error */
	uint64_t first_wrong; /* of the bytes read; == len: all are right */
	uint64_t ms;
};

/** lab_download() - open and read @url to its end, or to @most bytes, against @want */
struct lab_result lab_download(const char *url, const uint8_t *want, uint64_t want_len,
                               uint64_t most, const atomic_bool *stop);
void lab_result_clear(struct lab_result *result);
/** lab_log() - the requests that the server counted under @id, a line
 * "Range|If-Range|Accept-Encoding" each */
char *lab_log(const char *id);
unsigned lab_log_lines(const char *log);

#endif
