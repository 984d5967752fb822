/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Response headers as a server may send them: what is taken from them must hold together. */
#include <assert.h>
#include <string.h>

#include "../../fuzz/fuzz.h"
#include "medium/http_get.h"

static void check_response(const struct http_response *r)
{
	const char *validator = http_strong_validator(r);

	if (r->has_range) {
		assert(r->status == 206);
		assert(r->range.first <= r->range.last && r->range.last < r->range.total);
	}
	if (validator) {
		assert(strlen(validator) < HTTP_VALIDATOR_MAX);
		assert(!strpbrk(validator, "\r\n"));
	}
	if (r->has_etag && r->etag[0])
		assert(r->etag[0] == '"' && strchr(r->etag + 1, '"')[1] == 0);
	for (const char *p = r->reason; *p; p++)
		assert(*p >= 0x20 && *p < 0x7f);
	assert(r->length == ISM_SIZE_UNKNOWN || r->length <= INT64_MAX);
	assert(r->bytes <= HTTP_HEADERS_MAX || r->complete);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_response r = { .length = ISM_SIZE_UNKNOWN };
	const char *why = NULL;

	while (size) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) + 1 : size;

		if (http_response_line(&r, (const char *)data, len, &why) < 0)
			break;
		data += len;
		size -= len;
	}
	if (!why)
		check_response(&r);
	if (r.complete && !why)
		fuzz_accepted();
	http_response_clear(&r);
	return 0;
}
