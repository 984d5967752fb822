/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fuzzes the DOS table reader: as a disk of known size, and as the head of a longer one. */
#include "../../fuzz/fuzz.h"
#include "medium/memory.h"
#include "table/reader.h"

static bool read_one(const struct view *v)
{
	struct table *t = NULL;
	bool good = mbr_read(v, 0, &t) == 1 && !t->damaged && t->n;

	table_free(t);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span head = { data, size };
	struct view part = { head, NULL, ISM_SIZE_UNKNOWN };
	struct medium *m = NULL;

	if (medium_memory(data, size, false, &m, NULL) == 0) {
		struct view whole = view_on(m, (struct span){ NULL, 0 });

		if (read_one(&whole))
			fuzz_accepted();
	}
	medium_close(m);
	(void)read_one(&part);
	return 0;
}
