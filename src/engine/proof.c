/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Is the source what it should be? Local files are hashed before any target is touched; what comes
 * only once is hashed as it passes, and no target is finished before the hash is right. */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/job.h"
#include "format/checksums.h"
#include "medium/http.h"

#define READ_LEN ((size_t)MIB)
#define SHOW_MS  100

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

static int take_entry(struct proof *proof, const struct checksum_entry *entry, const char *from,
                      struct ism_error *err)
{
	proof->from = strdup(from);
	return proof->from ? take_hex(proof, entry->algorithm, entry->hex, err)
	                   : ism_error_oom(err);
}

/* struct kept_file - bytes from a server, as a file that gpgv can be given */
struct kept_file {
	char path[64];
};

static void kept_file_remove(const struct kept_file *f)
{
	if (f->path[0])
		unlink(f->path);
}

static int keep_file(struct kept_file *f, const void *data, size_t len, struct ism_error *err)
{
	const char *p = data;
	int fd;

	snprintf(f->path, sizeof(f->path), "/tmp/isomorph-XXXXXX");
	fd = mkostemp(f->path, O_CLOEXEC);
	if (fd < 0) {
		f->path[0] = '\0';
		return ism_error_errno(err, -errno, "/tmp", ISM_NO_OFFSET,
		                       "cannot make a temporary file");
	}
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n <= 0) {
			close(fd);
			return ism_error_errno(err, n ? -errno : -ENOSPC, f->path, ISM_NO_OFFSET,
			                       "cannot write");
		}
		p += n;
		len -= (size_t)n;
	}
	return close(fd) == 0
	               ? 0
	               : ism_error_errno(err, -errno, f->path, ISM_NO_OFFSET, "cannot write");
}

/* The line about our image, from a file whose signature is checked first if a keyring was given. */
static int use_file(struct ism_job *job, const char *path, const char *signature, const char *from,
                    struct ism_error *err)
{
	const struct ism_job_options *o = &job->options;
	CLEANUP(checksums_signed_clear) struct checksums_signed good = { 0 };
	struct checksum_entry entry = { 0 };
	_free_ char *data = NULL;
	size_t len = 0;
	int r;

	if (o->keyring) {
		r = checksums_verify_signature(path, signature, o->keyring, &good, err);
		if (r == 0)
			r = checksums_find(from, good.text, good.len, o->source, &entry, err);
	} else {
		r = checksums_read(path, &data, &len, err);
		if (r == 0)
			r = checksums_find(from, data, len, o->source, &entry, err);
	}
	if (r == 0)
		r = take_entry(&job->proof, &entry, from, err);
	if (r == 0)
		job->proof.signer = take(good.signer);
	return r;
}

static int use_fetched(struct ism_job *job, const struct http_checksums *sums,
                       struct ism_error *err)
{
	CLEANUP(kept_file_remove) struct kept_file list = { 0 }, signature = { 0 };
	int r = keep_file(&list, sums->text, sums->len, err);

	if (r == 0 && sums->signature)
		r = keep_file(&signature, sums->signature, sums->signature_len, err);
	return r < 0 ? r
	             : use_file(job, list.path,
	                        sums->signature ? signature.path : job->options.signature,
	                        sums->url, err);
}

/* --checksums with an address: that list, and its signature beside it if one is wanted. */
static int use_address(struct ism_job *job, const char *url, struct ism_error *err)
{
	static const char *const endings[] = { "gpg", "sign", "asc", "sig" };
	CLEANUP(http_checksums_clear) struct http_checksums sums = { 0 };
	_free_ uint8_t *text = NULL;
	int r = http_fetch_small(url, CHECKSUMS_SIZE_MAX, &job->shared.stop, &text, &sums.len, err);

	if (r < 0)
		return r;
	sums.text = (char *)take(text);
	sums.url = http_shown_url(url);
	for (size_t i = 0;
	     job->options.keyring && !job->options.signature && i < ARRAY_LEN(endings); i++) {
		_free_ char *beside = text_format("%s.%s", url, endings[i]);

		if (beside && http_fetch_small(beside, CHECKSUMS_SIZE_MAX, &job->shared.stop,
		                               &sums.signature, &sums.signature_len, NULL) == 0)
			break;
	}
	return sums.url ? use_fetched(job, &sums, err) : ism_error_oom(err);
}

/* What lies beside the image on its server. None is no error, unless a signed one was asked for. */
static int look_beside(struct ism_job *job, struct ism_error *err)
{
	const struct ism_job_options *o = &job->options;
	CLEANUP(http_checksums_clear) struct http_checksums sums = { 0 };
	_error_ struct ism_error why = { 0 };
	int r = http_find_checksums(o->source, &job->shared.stop, &sums, err);

	if (r < 0)
		return r;
	if (r == 0) {
		if (o->keyring)
			return ism_error_set(
				err, -ENOENT, o->source, ISM_NO_OFFSET,
				"no checksums lie beside it, so none that are signed%s%s",
				sums.warning ? ": " : "", sums.warning ? sums.warning : "");
		if (sums.warning)
			job_note(job, "whether checksums lie beside the image is not known: %s",
			         sums.warning);
		return 0;
	}
	r = use_fetched(job, &sums, &why);
	if (r == -EOPNOTSUPP || r == -ENOENT) {
		if (o->keyring)
			return ism_error_move(err, &why);
		job_note(job, "the checksums beside the image are of no use: %s", why.message);
		return 0;
	}
	return r < 0 ? ism_error_move(err, &why) : 0;
}

static bool is_address(const char *ref)
{
	return carrier_driver_http.claims(ref);
}

static int find_hash(struct ism_job *job, struct ism_error *err)
{
	const struct ism_job_options *o = &job->options;
	struct proof *proof = &job->proof;

	if (o->sha256) {
		proof->from = strdup("given");
		return proof->from ? take_hex(proof, "sha256", o->sha256, err) : ism_error_oom(err);
	}
	if (o->checksums)
		return is_address(o->checksums)
		               ? use_address(job, o->checksums, err)
		               : use_file(job, o->checksums, o->signature, o->checksums, err);
	if (o->source && is_address(o->source) && !o->no_checksums)
		return look_beside(job, err);
	return 0;
}

int proof_prepare(struct ism_job *job, struct ism_error *err)
{
	struct proof *proof = &job->proof;
	int r = find_hash(job, err);

	if (r < 0 || !proof->wanted)
		return r;
	proof->tap = tap_new(proof->algorithm, err);
	proof->decoded = proof->tap ? hash_new(proof->algorithm, err) : NULL;
	return proof->decoded ? 0 : -ENOMEM;
}

static void show_check(struct ism_job *job, const struct ism_observer *o, uint64_t done,
                       uint64_t total)
{
	job->check_done = done;
	job->check_total = total;
	if (now_ms() - job->shown_ms >= SHOW_MS)
		job_show(job, o, false);
}

/* Hash all that `m` gives; it is read from its start. */
static int hash_medium(struct ism_job *job, struct medium *m, char *hex,
                       const struct ism_observer *o, struct ism_error *err)
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
		show_check(job, o, offset, m->size);
	}
	hash_hex(hash, hex);
	return 0;
}

static int hash_ref(struct ism_job *job, bool raw, char *hex, const struct ism_observer *o,
                    struct ism_error *err)
{
	struct ism_open_options open = { .raw = raw,
		                         .no_bmap = true,
		                         .threads = job->options.open.threads,
		                         .stop = &job->shared.stop };
	_medium_ struct medium *m = NULL;
	int r = source_open(job->options.source, &open, &m, NULL, err);

	return r < 0 ? r : hash_medium(job, m, hex, o, err);
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

int proof_check_file(struct ism_job *job, const struct ism_observer *o, struct ism_error *err)
{
	struct proof *proof = &job->proof;
	char hex[HASH_HEX_MAX], decoded[HASH_HEX_MAX];
	int r;

	if (!proof->wanted || tap_is_attached(proof->tap) || job->options.verb == ISM_VERB_ERASE)
		return 0;
	r = hash_ref(job, true, hex, o, err);
	if (r == 0 && strcmp(hex, proof->hex) == 0)
		proof->proven = true;
	else if (r == 0 && (job->facts.parts || strcmp(job->facts.format, "raw") != 0)) {
		/* Some publish the hash of the image inside, or of all parts together. */
		r = hash_ref(job, false, decoded, o, err);
		if (r == 0 && strcmp(decoded, proof->hex) == 0)
			proof->proven = true;
	}
	if (r == 0 && !proof->proven)
		r = differs(job, hex, err);
	return r;
}

void proof_see(struct ism_job *job, const struct piece *piece)
{
	if (job->proof.wanted && !job->proof.proven)
		hash_update(job->proof.decoded, piece_data(piece), piece->len);
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
