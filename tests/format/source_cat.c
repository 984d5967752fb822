/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads a source from start to end and writes its bytes to standard output: what the tests of the
 * formats compare with the formats' own tools. Says its size, if known, on standard error. */
#include <getopt.h>
#include <stdio.h>

#include "base/bytes.h"
#include "format/format.h"

#define READ_LEN (1 << 20)

static int fail(const struct ism_error *err)
{
	fprintf(stderr, "error %d: %s: %s", err->code, err->where ? err->where : "-",
	        err->message ? err->message : "-");
	if (err->offset != ISM_NO_OFFSET)
		fprintf(stderr, " (at byte %llu)", (unsigned long long)err->offset);
	fputc('\n', stderr);
	return 1;
}

int main(int argc, char **argv)
{
	_error_ struct ism_error err = { 0 };
	struct ism_open_options options = { .threads = 2, .no_bmap = true };
	_medium_ struct medium *m = NULL;
	_free_ uint8_t *buf = malloc(READ_LEN);
	uint64_t offset = 0, limit = UINT64_MAX;
	size_t n = 0;

	for (int c; (c = getopt(argc, argv, "t:n:")) != -1;) {
		if (c == 't')
			options.threads = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'n')
			limit = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind + 1 != argc || !buf)
		return 2;
	if (source_open(argv[optind], &options, &m, NULL, &err) < 0)
		return fail(&err);
	if (m->size != ISM_SIZE_UNKNOWN)
		fprintf(stderr, "size %llu\n", (unsigned long long)m->size);
	do {
		if (medium_read(m, buf, READ_LEN, offset, &n, &err) < 0)
			return fail(&err);
		if (fwrite(buf, 1, n, stdout) != n)
			return 3;
		offset += n;
	} while (n == READ_LEN && offset < limit);
	return 0;
}
