/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All disks that could be a target or a source, and the list as JSON. */
#include <isomorph/device.h>

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "device/disk.h"
#include "device/guard.h"
#include "device/list.h"

/* sdb before sdaa, nvme2n1 before nvme10n1. */
static int device_compare(const void *a, const void *b)
{
	const char *x = ((const struct ism_device *)a)->path;
	const char *y = ((const struct ism_device *)b)->path;
	size_t n = 0, m = 0;

	while (isalpha((unsigned char)x[5 + n]))
		n++;
	while (isalpha((unsigned char)y[5 + m]))
		m++;
	if (n != m && x[5] == y[5] && x[6] == y[6])
		return n < m ? -1 : 1;
	return strverscmp(x, y);
}

static int device_guard(const struct usage *u, struct ism_device *d, struct ism_error *err)
{
	_guard_unit_ struct guard_unit unit = { 0 };
	_error_ struct ism_error why = { 0 };
	int r = guard_unit_of(&unit, u, d->dev);

	if (r < 0)
		return ism_error_errno(err, r, d->path, ISM_NO_OFFSET, "cannot be looked at");
	r = guard_busy(u, &unit, d->path, false, &why);
	if (r < 0)
		d->protected_why = strdup(why.message ? why.message : "cannot be looked at");
	else if (d->read_only)
		d->protected_why = strdup("is read-only");
	return 0;
}

static int device_add(const struct usage *u, uint64_t dev, struct ism_device *d,
                      struct ism_error *err)
{
	int r = disk_facts(u->root, dev, d, err);

	if (r == 0)
		r = disk_contents(u, d, err);
	return r < 0 ? r : device_guard(u, d, err);
}

int list_devices(const struct usage *u, struct ism_device **ret, size_t *ret_n,
                 struct ism_error *err)
{
	_devset_ struct devset disks = { 0 };
	size_t n = 0;
	int r = sysblock_disks(u->root, &disks);

	if (r < 0)
		return ism_error_errno(err, r, u->root->sys, ISM_NO_OFFSET, "cannot list disks");
	struct ism_device *list = calloc(disks.n + 1, sizeof(*list));

	if (!list)
		return ism_error_oom(err);
	for (size_t i = 0; i < disks.n; i++) {
		if (!disk_is_target(u->root, disks.devs[i]))
			continue;
		r = device_add(u, disks.devs[i], &list[n], err);
		if (r == -ENODEV || (r < 0 && !sysblock_has(u->root, disks.devs[i], "size"))) {
			disk_clear(&list[n]); /* pulled out while we looked */
			ism_error_clear(err);
			continue;
		}
		n++;
		if (r < 0) {
			ism_devices_free(list, n);
			return r;
		}
	}
	qsort(list, n, sizeof(*list), device_compare);
	*ret = list;
	*ret_n = n;
	return 0;
}

int ism_devices(struct ism_device **ret, size_t *ret_n, struct ism_error *err)
{
	_usage_ struct usage u = { 0 };
	int r = usage_read(&u, &sys_root_host, err);

	return r < 0 ? r : list_devices(&u, ret, ret_n, err);
}

void ism_devices_free(struct ism_device *devices, size_t n)
{
	for (size_t i = 0; devices && i < n; i++)
		disk_clear(&devices[i]);
	free(devices);
}

/* Strings of a disk are not always UTF-8: what is not is left out of the document. */
static json_t *json_text(const char *s)
{
	json_t *j = s ? json_string(s) : json_null();

	return j ? j : json_null();
}

static json_t *json_list(char *const *list)
{
	json_t *j = json_array();

	for (; list && *list; list++)
		json_array_append_new(j, json_text(*list));
	return j;
}

static json_t *json_partition(const struct ism_partition *p)
{
	return json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "path",
	                 json_text(p->path), "number", (json_int_t)p->number, "offset",
	                 (json_int_t)p->offset, "size", (json_int_t)p->size, "fs_type",
	                 json_text(p->fs_type), "label", json_text(p->label), "uuid",
	                 json_text(p->uuid), "part_label", json_text(p->part_label), "mounts",
	                 json_list(p->mounts), "used_by", json_text(p->used_by));
}

static json_t *json_device(const struct ism_device *d)
{
	json_t *parts = json_array();

	for (size_t i = 0; i < d->n_parts; i++)
		json_array_append_new(parts, json_partition(&d->parts[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:b, s:b, s:b, "
	                 "s:b, s:o, s:o, s:o}",
	                 "path", json_text(d->path), "by_id", json_text(d->by_id), "vendor",
	                 json_text(d->vendor), "model", json_text(d->model), "serial",
	                 json_text(d->serial), "wwn", json_text(d->wwn), "bus", json_text(d->bus),
	                 "size", (json_int_t)d->size, "sector_size", (json_int_t)d->sector_size,
	                 "physical_size", (json_int_t)d->physical_size, "diskseq",
	                 (json_int_t)d->diskseq, "removable", d->removable, "read_only",
	                 d->read_only, "rotational", d->rotational, "fixed", d->fixed, "table",
	                 json_text(d->table), "partitions", parts, "protected",
	                 json_text(d->protected_why));
}

char *ism_devices_json(const struct ism_device *devices, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_device(&devices[i]));
	json_t *doc = json_pack("{s:i, s:s, s:o, s:i}", "version", 1, "verb", "devices", "devices",
	                        list, "exit", 0);
	char *text = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;

	json_decref(doc);
	return text;
}
