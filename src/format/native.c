/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What writing and reading a native image share: frames with their sums, the header, the hash tree.
 */
#include "format/native.h"

#include <string.h>

#include "base/hash.h"

int native_seal(uint8_t *buf, size_t len, enum native_kind kind, uint32_t flags, uint64_t sequence,
                const uint8_t uuid[16])
{
	struct native_frame_disk head = { .magic = le32_of(NATIVE_MAGIC),
		                          .size = le32_of((uint32_t)(len - 8)),
		                          .version = le16_of(NATIVE_VERSION),
		                          .kind = le16_of((uint16_t)kind),
		                          .flags = le32_of(flags),
		                          .sequence = le64_of(sequence) };

	memcpy(head.tag, NATIVE_TAG, sizeof(head.tag));
	memcpy(head.uuid, uuid, sizeof(head.uuid));
	memcpy(buf, &head, sizeof(head));
	return hash_sha256(buf + 8, len - 8 - NATIVE_SUM_LEN, buf + len - NATIVE_SUM_LEN);
}

bool native_check(struct span frame, enum native_kind kind, const uint8_t *uuid)
{
	struct native_frame_disk head;
	uint8_t sum[32];

	if (frame.len < NATIVE_OVERHEAD)
		return false;
	memcpy(&head, frame.p, sizeof(head));
	return le32_get(head.magic) == NATIVE_MAGIC && le32_get(head.size) == frame.len - 8 &&
	       memcmp(head.tag, NATIVE_TAG, sizeof(head.tag)) == 0 &&
	       le16_get(head.version) == NATIVE_VERSION && le16_get(head.kind) == kind &&
	       (!uuid || memcmp(head.uuid, uuid, 16) == 0) &&
	       hash_sha256(frame.p + 8, frame.len - 8 - NATIVE_SUM_LEN, sum) == 0 &&
	       memcmp(sum, frame.p + frame.len - NATIVE_SUM_LEN, 32) == 0;
}

static void put_text(uint8_t *out, size_t cap, const char *text)
{
	memcpy(out, text, strnlen(text, cap - 1));
}

static void get_text(char *out, const uint8_t *in, size_t cap)
{
	memcpy(out, in, cap);
	out[cap - 1] = '\0';
}

int native_header_make(const struct native_info *i, struct native_header_disk *ret)
{
	*ret = (struct native_header_disk){ .size = le64_of(i->size),
		                            .chunk_size = le32_of(i->chunk_size),
		                            .sector_size = le32_of(i->sector_size),
		                            .physical_size = le32_of(i->physical_size),
		                            .partition = le32_of(i->partition),
		                            .partition_offset = le64_of(i->partition_offset),
		                            .created = le64_of(i->created) };
	memcpy(ret->survey, i->survey, 32);
	put_text(ret->model, sizeof(ret->model), i->model);
	put_text(ret->serial, sizeof(ret->serial), i->serial);
	put_text(ret->wwn, sizeof(ret->wwn), i->wwn);
	put_text(ret->bus, sizeof(ret->bus), i->bus);
	return native_seal((uint8_t *)ret, sizeof(*ret), NATIVE_HEADER, i->flags, 0, i->uuid);
}

static int check_info(const struct native_info *i, const char *name, struct ism_error *err)
{
	if (i->chunk_size < 64 * KIB || i->chunk_size > 16 * MIB || i->chunk_size % NATIVE_BLOCK)
		return ism_error_set(err, -EBADMSG, name, 56, "states chunks of %u bytes",
		                     i->chunk_size);
	if (i->sector_size < 512 || i->sector_size > 65536 ||
	    (i->sector_size & (i->sector_size - 1)))
		return ism_error_set(err, -EBADMSG, name, 60, "states sectors of %u bytes",
		                     i->sector_size);
	if (i->size != ISM_SIZE_UNKNOWN && i->size > (uint64_t)INT64_MAX)
		return ism_error_set(err, -EBADMSG, name, 48, "states a disk of %llu bytes",
		                     (unsigned long long)i->size);
	return 0;
}

int native_header_read(struct span bytes, struct native_info *ret, const char *name,
                       struct ism_error *err)
{
	struct native_header_disk h;

	if (bytes.len < sizeof(h) ||
	    !native_check((struct span){ bytes.p, sizeof(h) }, NATIVE_HEADER, NULL))
		return ism_error_set(err, -EBADMSG, name, 0, "has a damaged header");
	memcpy(&h, bytes.p, sizeof(h));
	*ret = (struct native_info){ .size = le64_get(h.size),
		                     .chunk_size = le32_get(h.chunk_size),
		                     .sector_size = le32_get(h.sector_size),
		                     .physical_size = le32_get(h.physical_size),
		                     .flags = le32_get(h.frame.flags),
		                     .partition = le32_get(h.partition),
		                     .partition_offset = le64_get(h.partition_offset),
		                     .created = le64_get(h.created) };
	memcpy(ret->uuid, h.frame.uuid, 16);
	memcpy(ret->survey, h.survey, 32);
	get_text(ret->model, h.model, sizeof(ret->model));
	get_text(ret->serial, h.serial, sizeof(ret->serial));
	get_text(ret->wwn, h.wwn, sizeof(ret->wwn));
	get_text(ret->bus, h.bus, sizeof(ret->bus));
	if (ret->physical_size < ret->sector_size || ret->physical_size % ret->sector_size)
		ret->physical_size = ret->sector_size;
	return check_info(ret, name, err);
}

static void node_of(const uint8_t left[32], const uint8_t right[32], uint8_t out[32])
{
	uint8_t both[65] = { 1 };

	memcpy(both + 1, left, 32);
	memcpy(both + 33, right, 32);
	hash_sha256(both, sizeof(both), out);
}

void native_tree_add(struct native_tree *t, uint64_t len, const uint8_t sum[32])
{
	uint8_t leaf[1 + 8 + 8 + 32] = { 0 }, node[32];
	le64 index = le64_of(t->leaves), length = le64_of(len);
	unsigned level = 0;

	memcpy(leaf + 1, &index, 8);
	memcpy(leaf + 9, &length, 8);
	memcpy(leaf + 17, sum, 32);
	hash_sha256(leaf, sizeof(leaf), node);
	for (; t->leaves >> level & 1; level++) {
		uint8_t up[32];

		node_of(t->nodes[level], node, up);
		memcpy(node, up, 32);
	}
	memcpy(t->nodes[level], node, 32);
	t->leaves++;
}

void native_tree_root(const struct native_tree *t, uint8_t root[32])
{
	bool have = false;

	memset(root, 0, 32);
	for (unsigned level = 0; level < 64; level++) {
		if (!(t->leaves >> level & 1))
			continue;
		if (have) {
			uint8_t up[32];

			node_of(t->nodes[level], root, up);
			memcpy(root, up, 32);
		} else {
			memcpy(root, t->nodes[level], 32);
			have = true;
		}
	}
}
