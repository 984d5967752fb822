/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is the source what it should be? Local files are hashed before any target is touched; what comes
 * only once is hashed as it passes, and no target is finished before the hash is right. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

#define READ_LEN ((size_t)MIB)

void proof_clear(struct proof *proof)
{
	tap_free(proof->tap);
	hash_free(proof->decoded);
	free(proof->from);
	free(proof->signer);
	*proof = (struct proof){ 0 };
}

static int take_hex(struct proof *proof, const char *algorithm, const char *hex,
                    struct ism_error *err)
{
	size_t n = strlen(hex);

	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)hex[i]))
			return ism_error_usage(err, NULL,
			                       "'%s' is not a hash: hexadecimal digits only", hex);
	if (n >= sizeof(proof->hex))
		return ism_error_usage(err, NULL, "'%s' is too long for a hash", hex);
	for (size_t i = 0; i <= n; i++)
		proof->hex[i] = (char)tolower((unsigned char)hex[i]);
	snprintf(proof->algorithm, sizeof(proof->algorithm), "%s", algorithm);
	proof->wanted = true;
	return 0;
}

int proof_prepare(struct ism_job *job, struct ism_error *err)
{
	struct proof *proof = &job->proof;
	int r = 0;

	if (!job->options.sha256)
		return 0;
	r = take_hex(proof, "sha256", job->options.sha256, err);
	if (r < 0)
		return r;
	proof->from = strdup("given");
	proof->tap = tap_new(proof->algorithm, err);
	proof->decoded = proof->tap ? hash_new(proof->algorithm, err) : NULL;
	if (!proof->from)
		return ism_error_oom(err);
	return proof->decoded ? 0 : -ENOMEM;
}

/* Hash all that `m` gives; it is read from its start. */
static int hash_medium(struct ism_job *job, struct medium *m, char *hex,
                       void (*seen)(struct ism_job *job, uint64_t done, uint64_t total),
                       struct ism_error *err)
{
	CLEANUP(hash_freep) struct hash *hash = hash_new(job->proof.algorithm, err);
	_free_ uint8_t *buf = medium_buffer(READ_LEN);
	uint64_t offset = 0;
	size_t n = 1;

	if (!hash || !buf)
		return hash ? ism_error_oom(err) : err->code;
	while (n) {
		int r = medium_read(m, buf, READ_LEN, offset, &n, err);

		if (r < 0)
			return r;
		hash_update(hash, buf, n);
		offset += n;
		seen(job, offset, m->size);
	}
	hash_hex(hash, hex);
	return 0;
}

static int hash_ref(struct ism_job *job, bool raw, char *hex,
                    void (*seen)(struct ism_job *job, uint64_t done, uint64_t total),
                    struct ism_error *err)
{
	struct ism_open_options open = { .raw = raw,
		                         .no_bmap = true,
		                         .threads = job->options.open.threads,
		                         .stop = &job->shared.stop };
	_medium_ struct medium *m = NULL;
	int r = source_open(job->options.source, &open, &m, NULL, err);

	return r < 0 ? r : hash_medium(job, m, hex, seen, err);
}

static int differs(struct ism_job *job, const char *hex, struct ism_error *err)
{
	const struct proof *proof = &job->proof;

	ism_error_set(err, -EBADMSG, job->source->name, ISM_NO_OFFSET,
	              "has another %s than it should: %s, not %s (%s)",
	              hash_label(proof->algorithm), hex, proof->hex, proof->from);
	return ism_error_hint(err,
	                      "the download is damaged or not what it claims to be: get it again");
}

int proof_check_file(struct ism_job *job,
                     void (*seen)(struct ism_job *job, uint64_t done, uint64_t total),
                     struct ism_error *err)
{
	struct proof *proof = &job->proof;
	char hex[HASH_HEX_MAX], decoded[HASH_HEX_MAX];
	int r;

	if (!proof->wanted || tap_is_attached(proof->tap) || job->options.verb == ISM_VERB_ERASE)
		return 0;
	r = hash_ref(job, true, hex, seen, err);
	if (r == 0 && strcmp(hex, proof->hex) == 0)
		proof->proven = true;
	else if (r == 0 && strcmp(job->facts.format, "raw") != 0) {
		/* Some publish the hash of the image inside. */
		r = hash_ref(job, false, decoded, seen, err);
		if (r == 0 && strcmp(decoded, proof->hex) == 0)
			proof->proven = true;
	}
	if (r == 0 && !proof->proven)
		r = differs(job, hex, err);
	return r;
}

void proof_see(struct ism_job *job, const struct piece *piece)
{
	static const uint8_t zeros[PIECE_LEN];

	if (job->proof.wanted && !job->proof.proven)
		hash_update(job->proof.decoded, piece->data ? piece->data : zeros, piece->len);
}

int proof_finish(struct ism_job *job, struct ism_error *err)
{
	struct proof *proof = &job->proof;
	char hex[HASH_HEX_MAX], decoded[HASH_HEX_MAX];
	int r;

	if (!proof->wanted || proof->proven)
		return 0;
	r = tap_finish(proof->tap, hex, err);
	if (r < 0)
		return r;
	hash_hex(proof->decoded, decoded);
	if (strcmp(hex, proof->hex) != 0 && strcmp(decoded, proof->hex) != 0)
		return differs(job, hex, err);
	proof->proven = true;
	return 0;
}
