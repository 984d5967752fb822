/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs a fuzz target over the files of the folders named on the command line, and over nothing. A
 * target reports how many of its inputs reached the success path of its parser; none at all fails.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

unsigned long fuzz_successes;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	size_t cap = 16 << 20, len;
	uint8_t *buf;

	if (!f)
		return -1;
	buf = malloc(cap);
	if (!buf) {
		fclose(f);
		return -1;
	}
	len = fread(buf, 1, cap, f);
	fclose(f);
	/* An exact allocation, so that a sanitizer sees a read behind the end. */
	uint8_t *exact = malloc(len ? len : 1);

	if (exact) {
		memcpy(exact, buf, len);
		LLVMFuzzerTestOneInput(exact, len);
	}
	free(exact);
	free(buf);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long n = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);

		if (!d) {
			fprintf(stderr, "no seeds in %s\n", argv[i]);
			return 1;
		}
		for (struct dirent *e; (e = readdir(d));) {
			char path[4096];

			if (e->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
			if (run_file(path) == 0)
				n++;
		}
		closedir(d);
	}
	printf("%lu seeds, %lu accepted\n", n, fuzz_successes);
	return n == 0 || fuzz_successes == 0;
}
