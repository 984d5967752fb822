/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Swap areas of Linux: only the first page means anything, unless a hibernated system lies in it.
 * Spec: the kernel's include/linux/swap.h (union swap_header), and kernel/power/swap.c. */
#include "base/bytes.h"
#include "base/cleanup.h"
#include "fs/map.h"
#include "fs/names.h"
#include "fs/verdict.h"
#include "medium/view.h"

#define SIGNATURE_LEN 10
#define PAGE_MAX      65536u

/* Signatures that stand in place of the usual one while a suspended system lies in the area. */
static const char *const hibernated[] = { "S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001",
	                                  "\xed\xc3\x02\xe9\x98\x56\xe5\x0c" };

static bool is_hibernated(const uint8_t *signature)
{
	for (size_t i = 0; i < ARRAY_LEN(hibernated); i++)
		if (memcmp(signature, hibernated[i], strlen(hibernated[i])) == 0)
			return true;
	return false;
}

/* Return: the largest page size whose first page ends with a signature; 0 = none. */
static uint32_t find_page(const uint8_t *head, size_t len, bool *ret_hibernated)
{
	uint32_t found = 0;

	for (uint32_t page = 4096; page <= PAGE_MAX && page <= len; page *= 2) {
		const uint8_t *signature = head + page - SIGNATURE_LEN;
		bool image = is_hibernated(signature);

		if (image || memcmp(signature, "SWAPSPACE2", SIGNATURE_LEN) == 0)
			found = page;
		*ret_hibernated |= image;
	}
	return found;
}

static int fill_facts(const uint8_t *head, uint32_t page, uint64_t size, struct fs_facts *facts)
{
	facts->type = "swap";
	facts->block_size = page;
	facts->size = MIN(size, ((uint64_t)le32_at(head + 1028) + 1) * page);
	if (!bytes_are_zero(head + 1036, 16)) {
		facts->uuid = fs_uuid_text(head + 1036);
		if (!facts->uuid)
			return -ENOMEM;
	}
	return fs_label(head + 1052, 16, &facts->label);
}

/* A version 1 area counts its pages from 0; what it calls bad stands in the first one too. */
static bool header_ok(const uint8_t *head, uint32_t page)
{
	uint32_t version = le32_at(head + 1024), bad_pages = le32_at(head + 1032);

	return version == 1 && le32_at(head + 1028) &&
	       bad_pages <= (page - 1536 - SIGNATURE_LEN) / 4;
}

static int swap_map_read(struct medium *m, struct fs_map *map, struct fs_facts *facts,
                         struct ism_error *err)
{
	_free_ uint8_t *head = malloc(PAGE_MAX);
	bool is_image = false;
	uint32_t page;
	size_t len;
	int r = head ? medium_read(m, head, PAGE_MAX, 0, &len, err) : ism_error_oom(err);

	if (r < 0)
		return view_fatal(r) ? r : ism_error_prefix(err, "cannot read the swap header");
	page = find_page(head, len, &is_image);
	if (!page)
		return ism_error_set(err, -EBADMSG, NULL, ISM_NO_OFFSET,
		                     "there is no swap signature: all of it counts as used");
	r = fill_facts(head, page, m->size, facts);
	if (r >= 0 && is_image)
		r = fs_all_used(facts, FS_HIBERNATED,
		                "a hibernated system lies in this swap area "
		                "(start that system and shut it down)");
	else if (r >= 0 && !header_ok(head, page))
		r = fs_all_used(facts, FS_DAMAGED, "the swap header is not understood");
	else if (r >= 0)
		r = fs_map_add(map, 0, page);
	return r < 0 ? ism_error_oom(err) : 0;
}

const struct fs_driver fs_driver_swap = {
	.types = (const char *const[]){ "swap", "swsuspend", NULL },
	.read = swap_map_read,
};
