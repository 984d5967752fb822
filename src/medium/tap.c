/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A forward medium that shows every byte to a hash as it passes. */
#include "medium/tap.h"

#include <stdlib.h>

#include "base/hash.h"

#define REST_LEN (256 * 1024)

struct tap {
	struct medium_ops ops;
	struct hash *hash;
	struct medium *below; /* NULL until attached; owned by the medium above */
	uint64_t offset;
};

struct tap *tap_new(const char *algorithm, struct ism_error *err)
{
	struct tap *tap = calloc(1, sizeof(*tap));

	if (!tap) {
		ism_error_oom(err);
		return NULL;
	}
	tap->hash = hash_new(algorithm, err);
	return tap->hash ? tap : tap_free(tap);
}

struct tap *tap_free(struct tap *tap)
{
	if (!tap)
		return NULL;
	hash_free(tap->hash);
	free(tap);
	return NULL;
}

bool tap_is_attached(const struct tap *tap)
{
	return tap->below;
}

static int tap_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                    struct ism_error *err)
{
	struct tap *tap = m->priv;
	int r = medium_read(tap->below, buf, len, offset, ret_len, err);

	if (r == 0) {
		hash_update(tap->hash, buf, *ret_len);
		tap->offset = offset + *ret_len;
	}
	return r;
}

static void tap_close(struct medium *m)
{
	struct tap *tap = m->priv;

	if (tap)
		tap->below = medium_close(tap->below);
}

int tap_attach(struct tap *tap, struct medium **m, struct ism_error *err)
{
	struct medium *below = *m, *above;

	/* It passes for the carrier itself. */
	tap->ops = (struct medium_ops){ .name = below->ops->name,
		                        .read = tap_read,
		                        .close = tap_close };
	above = medium_new(&tap->ops, below->name);
	if (!above)
		return ism_error_oom(err);
	above->priv = tap;
	above->forward = true;
	above->size = below->size;
	above->size_hint = below->size_hint;
	above->stop = below->stop;
	tap->below = below;
	*m = above;
	return 0;
}

int tap_finish(struct tap *tap, char *hex, struct ism_error *err)
{
	_free_ uint8_t *buf = malloc(REST_LEN);
	size_t n = 1;

	if (!buf)
		return ism_error_oom(err);
	while (n) {
		int r = medium_read(tap->below, buf, REST_LEN, tap->offset, &n, err);

		if (r < 0)
			return r;
		hash_update(tap->hash, buf, n);
		tap->offset += n;
	}
	hash_hex(tap->hash, hex);
	return 0;
}
