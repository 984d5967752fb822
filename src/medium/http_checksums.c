/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small files by HTTP, and the checksum lists that distributions put beside their images, by the
 * names in use: IMAGE.sha256 (openSUSE, Raspberry Pi OS), SHA256SUMS (Debian, Ubuntu), CHECKSUM
 * (Fedora). */
#include <ctype.h>
#include <string.h>

#include <curl/curl.h>

#include "base/bytes.h"
#include "medium/http.h"
#include "medium/http_get.h"

#define SMALL_RETRIES 2
#define LIST_MAX      (4 * 1024 * 1024)
#define SIGNATURE_MAX (64 * 1024)

struct small {
	uint8_t *data;
	size_t len, max;
	const char *shown;
};

static int small_too_large(const struct small *s, struct ism_error *err)
{
	return ism_error_set(err, -EFBIG, s->shown, ISM_NO_OFFSET, "is larger than %zu bytes",
	                     s->max);
}

static int small_head(void *arg, const struct http_response *r, struct ism_error *err)
{
	struct small *s = arg;

	if (r->status != 200)
		return ism_error_set(err, -EPROTO, s->shown, ISM_NO_OFFSET,
		                     "the server answers with a part of it");
	if (r->length != ISM_SIZE_UNKNOWN && r->length > s->max)
		return small_too_large(s, err);
	s->len = 0;
	return 0;
}

static int small_body(void *arg, const uint8_t *p, size_t len, struct ism_error *err)
{
	struct small *s = arg;
	uint8_t *data;

	if (len > s->max - s->len)
		return small_too_large(s, err);
	data = realloc(s->data, s->len + len + 1);
	if (!data)
		return ism_error_oom(err);
	memcpy(data + s->len, p, len);
	s->data = data;
	s->len += len;
	return 0;
}

static int small_fetch(struct http_get *get, struct ism_error *err)
{
	for (unsigned retry = 1;; retry++) {
		int r = http_get(get, err);

		if (r == 0 || get->failure != HTTP_BROKEN || retry > SMALL_RETRIES)
			return r;
		r = http_pause(get, retry, err);
		if (r < 0)
			return r;
	}
}

int http_fetch_small(const char *url, size_t max_bytes, const atomic_bool *stop, uint8_t **ret_data,
                     size_t *ret_len, struct ism_error *err)
{
	struct http_url at = { 0 };
	int r = http_url_parse(url, &at, err);

	if (r < 0)
		return r;

	struct small s = { .max = max_bytes, .shown = at.shown };
	struct http_get get = { .url = &at,
		                .stop = stop,
		                .head = small_head,
		                .body = small_body,
		                .arg = &s,
		                .stall_ms = http_stall_ms() };

	r = small_fetch(&get, err);
	if (r == 0 && !s.data) {
		s.data = malloc(1);
		r = s.data ? 0 : ism_error_oom(err);
	}
	http_url_clear(&at);
	if (r < 0) {
		free(s.data);
		return r;
	}
	s.data[s.len] = 0;
	*ret_data = s.data;
	*ret_len = s.len;
	return 0;
}

void http_checksums_clear(struct http_checksums *sums)
{
	free(sums->url);
	free(sums->text);
	free(sums->signature_url);
	free(sums->signature);
	free(sums->warning);
	*sums = (struct http_checksums){ 0 };
}

struct candidate {
	bool in_folder; /* its name stands for the image's, else is put behind it */
	const char *name;
	unsigned digits[2]; /* of the checksums that it may hold */
};

static const struct candidate candidates[] = {
	{ false, ".sha256", { 64 } },      { false, ".sha256sum", { 64 } },
	{ false, ".sha512", { 128 } },     { true, "SHA256SUMS", { 64 } },
	{ true, "SHA512SUMS", { 128 } },   { true, "sha256sum.txt", { 64 } },
	{ true, "CHECKSUM", { 64, 128 } },
};

static const char *const signature_suffixes[] = { ".gpg", ".sign", ".asc", ".sig" };

/* There is a run of exactly so many hexadecimal digits. */
static bool has_digest(const char *text, size_t len, unsigned digits)
{
	size_t run = 0;

	for (size_t i = 0; i < len; i++) {
		if (isxdigit((unsigned char)text[i])) {
			run++;
			continue;
		}
		if (run == digits)
			return true;
		run = 0;
	}
	return run == digits && digits;
}

/* What a server answers to a name that it does not have may be a friendly page. */
static bool is_list(const struct candidate *c, const char *text, size_t len, const char *image_name)
{
	if (memchr(text, 0, len) || text[strspn(text, " \t\r\n")] == '<')
		return false;
	if (c->in_folder && !strstr(text, image_name))
		return false;
	return has_digest(text, len, c->digits[0]) ||
	       (c->digits[1] && has_digest(text, len, c->digits[1]));
}

/* struct place - where an image lies: the address up to the path, and its name */
struct place {
	char *image;  /* with user and password, without query and fragment */
	char *folder; /* the same up to the last slash, that included */
	char *name;   /* decoded */
};

static void place_clear(struct place *p)
{
	free(p->image);
	free(p->folder);
	free(p->name);
}

static int place_find(const char *url, struct place *ret, struct ism_error *err)
{
	struct http_url checked = { 0 };
	int r = http_url_parse(url, &checked, err), decoded_len = 0;
	size_t len = strcspn(url, "?#");
	const char *slash;
	char *decoded;

	if (r < 0)
		return r;
	http_url_clear(&checked);
	ret->image = strndup(url, len);
	slash = ret->image ? strrchr(strstr(ret->image, "://") + 3, '/') : NULL;
	if (ret->image && (!slash || !slash[1]))
		return ism_error_usage(err, NULL, "the address names no file");
	if (!ret->image)
		return ism_error_oom(err);
	ret->folder = strndup(ret->image, (size_t)(slash - ret->image) + 1);
	decoded = curl_easy_unescape(NULL, slash + 1, 0, &decoded_len);
	ret->name = decoded ? strdup(decoded) : NULL;
	curl_free(decoded);
	return ret->folder && ret->name ? 0 : ism_error_oom(err);
}

/* One address of the search. 1: it is there; 0: not; -ECANCELED, -ENOMEM: stop; else: look no
 * further, the server is not in order. */
static int look(const char *url, size_t max, const atomic_bool *stop, uint8_t **data, size_t *len,
                char **warning)
{
	_error_ struct ism_error error = { 0 };
	int r = http_fetch_small(url, max, stop, data, len, &error);

	if (r == 0)
		return 1;
	if (r == -ENOENT || r == -ECANCELED || r == -ENOMEM)
		return r == -ENOENT ? 0 : r;
	if (!*warning)
		*warning = text_format("cannot look at %s: %s", error.where ? error.where : "it",
		                       error.message ? error.message : strerror(-r));
	return r == -ETIMEDOUT || r == -ECONNRESET || r == -ECONNREFUSED || r == -EHOSTUNREACH ? r
	                                                                                       : 0;
}

static bool is_fatal(int r)
{
	return r == -ECANCELED || r == -ENOMEM;
}

static int find_list(const struct place *place, const atomic_bool *stop, struct http_checksums *ret,
                     char **ret_url)
{
	for (size_t i = 0; i < ARRAY_LEN(candidates); i++) {
		const struct candidate *c = &candidates[i];
		_free_ char *url =
			text_format("%s%s", c->in_folder ? place->folder : place->image, c->name);
		_free_ uint8_t *data = NULL;
		size_t len = 0;
		int r = url ? look(url, LIST_MAX, stop, &data, &len, &ret->warning) : -ENOMEM;

		if (r < 0)
			return r;
		if (r == 0 || !is_list(c, (char *)data, len, place->name))
			continue;
		ret->url = http_shown_url(url);
		ret->text = (char *)take(data);
		ret->len = len;
		*ret_url = take(url);
		return ret->url ? 1 : -ENOMEM;
	}
	return 0;
}

static int find_signature(const char *list_url, const atomic_bool *stop, struct http_checksums *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(signature_suffixes); i++) {
		_free_ char *url = text_format("%s%s", list_url, signature_suffixes[i]);
		_free_ uint8_t *data = NULL;
		size_t len = 0;
		int r = url ? look(url, SIGNATURE_MAX, stop, &data, &len, &ret->warning) : -ENOMEM;

		if (r < 0)
			return is_fatal(r) ? r : 0;
		/* a page in HTML is no signature */
		if (r == 0 || !len || data[0] == '<')
			continue;
		ret->signature_url = http_shown_url(url);
		ret->signature = take(data);
		ret->signature_len = len;
		return ret->signature_url ? 0 : -ENOMEM;
	}
	return 0;
}

int http_find_checksums(const char *image_url, const atomic_bool *stop, struct http_checksums *ret,
                        struct ism_error *err)
{
	struct http_checksums sums = { 0 };
	struct place place = { 0 };
	_free_ char *list_url = NULL;
	int found, r = place_find(image_url, &place, err);

	if (r < 0) {
		place_clear(&place);
		return r;
	}
	found = find_list(&place, stop, &sums, &list_url);
	r = found > 0 ? find_signature(list_url, stop, &sums) : found;
	place_clear(&place);
	if (is_fatal(r)) {
		http_checksums_clear(&sums);
		return r == -ENOMEM ? ism_error_oom(err) : ism_error_canceled(err);
	}
	*ret = sums;
	return found > 0;
}
