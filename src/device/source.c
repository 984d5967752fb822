/* SPDX-License-Identifier: GPL-3.0-or-later */
/* May this disk be read as a source? Not while somebody can write to it: a copy would be of no
 * moment at all. */
#include <string.h>

#include "device/check.h"

static bool is_writable(const struct mount *m)
{
	return m->super && strncmp(m->super, "rw", 2) == 0 &&
	       (m->super[2] == ',' || m->super[2] == '\0');
}

static int check_swaps(const struct target *t, const struct usage *u, const struct guard_unit *unit,
                       struct ism_error *err)
{
	for (size_t i = 0; i < u->swaps.n; i++) {
		uint64_t dev = usage_swap_dev(u, i);

		if (dev && devset_has(&unit->all, dev))
			return ism_error_refuse(err, -EBUSY, t->path, "is in use as swap");
	}
	return 0;
}

int source_check(const struct target *t, struct ism_error *err)
{
	_guard_unit_ struct guard_unit unit = { 0 };
	_usage_ struct usage u = { 0 };
	int r;

	if (t->is_file)
		return 0;
	r = usage_read(&u, &sys_root_host, err);
	if (r == 0)
		r = guard_unit_of(&unit, &u, t->dev);
	for (size_t i = 0; r >= 0 && i < u.mounts.n; i++) {
		const struct mount *m = &u.mounts.list[i];

		if (!is_writable(m))
			continue;
		r = guard_uses(&u, m, &unit.all);
		if (r <= 0)
			continue;
		ism_error_refuse(err, -EBUSY, t->path,
		                 "is mounted at %s and may be written at any moment", m->point);
		return ism_error_hint(
			err,
			"unmount it, or mount it read-only, or capture it from another system");
	}
	if (r < 0)
		return err && err->code ? r
		                        : ism_error_errno(err, r, t->path, ISM_NO_OFFSET,
		                                          "cannot be checked");
	return check_swaps(t, &u, &unit, err);
}
