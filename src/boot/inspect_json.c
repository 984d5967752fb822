/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables, media and advice as JSON; the schema is in doc/json.md. */
#include "boot/inspect_json.h"

json_t *json_text(const char *s)
{
	_free_ char *copy = NULL;
	json_t *text;

	if (!s)
		return json_null();
	text = json_string(s);
	if (text)
		return text;
	copy = strdup(s);
	if (!copy)
		return NULL;
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(copy);
}

json_t *json_size(uint64_t size)
{
	return size > INT64_MAX ? json_null() : json_integer((json_int_t)size);
}

static json_t *text_or_null(const char *s)
{
	return json_text(s && *s ? s : NULL);
}

json_t *identity_json(const struct fs_identity *id)
{
	if (!id->type)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "type", json_text(id->type), "usage",
	                 json_text(id->usage), "version", json_text(id->version), "label",
	                 json_text(id->label), "uuid", json_text(id->uuid));
}

static json_t *entry_json(const struct table *t, const struct table_entry *e)
{
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:b, s:b, s:b, s:b}", "number",
	                 (json_int_t)e->number, "offset", json_size(e->offset), "size",
	                 json_size(e->size), "type", text_or_null(e->type), "type_name",
	                 json_text(table_entry_type_name(t, e)), "name", json_text(e->name), "uuid",
	                 text_or_null(e->uuid), "flags", (json_int_t)e->flags, "bootable",
	                 e->bootable, "logical", e->logical, "extended", e->extended, "outside",
	                 e->outside);
}

static json_t *notes_json(char *const *notes, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n; i++)
		if (json_array_append_new(list, json_text(notes[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

json_t *table_json(const struct table *t)
{
	json_t *parts = json_array(), *regions = json_array();
	bool good = parts && regions;

	for (size_t i = 0; good && i < t->n; i++)
		good = json_array_append_new(parts, entry_json(t, &t->entries[i])) == 0;
	for (size_t i = 0; good && i < t->n_regions; i++)
		good = json_array_append_new(
			       regions, json_pack("{s:s, s:o, s:o}", "what", t->regions[i].what,
		                                  "offset", json_size(t->regions[i].offset), "size",
		                                  json_size(t->regions[i].len))) == 0;
	if (!good) {
		json_decref(parts);
		json_decref(regions);
		return NULL;
	}
	return json_pack(
		"{s:s, s:I, s:o, s:o, s:b, s:b, s:o, s:o, s:o}", "type", table_type_name(t->type),
		"sector_size", (json_int_t)t->sector_size, "stated_sector_size",
		t->stated_sector_size ? json_integer(t->stated_sector_size) : json_null(), "id",
		text_or_null(t->id), "damaged", t->damaged, "partial", t->partial, "partitions",
		parts, "regions", regions, "notes", notes_json(t->notes, t->n_notes));
}

static json_t *answer_json(enum media_answer a)
{
	return a == MEDIA_NOT_KNOWN ? json_null() : json_boolean(a == MEDIA_YES);
}

static json_t *boots_json(const struct media_boots *b)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "bios", answer_json(b->bios), "uefi_x64",
	                 answer_json(b->uefi_x64), "uefi_ia32", answer_json(b->uefi_ia32),
	                 "uefi_aa64", answer_json(b->uefi_aa64));
}

static json_t *catalog_json(const struct iso9660 *iso)
{
	json_t *list;

	if (!iso->eltorito)
		return json_array();
	if (!iso->catalog_known)
		return json_null();
	list = json_array();
	for (size_t i = 0; list && i < iso->n_boot; i++) {
		const struct eltorito_entry *e = &iso->boot[i];
		const char *platform = e->platform == ELTORITO_BIOS  ? "bios"
		                       : e->platform == ELTORITO_EFI ? "efi"
		                                                     : "other";
		json_t *entry =
			json_pack("{s:s, s:I, s:b, s:I, s:o, s:I}", "platform", platform,
		                  "platform_id", (json_int_t)e->platform, "bootable", e->bootable,
		                  "emulation", (json_int_t)e->emulation, "offset",
		                  json_size(e->offset), "size", (json_int_t)e->len);

		if (json_array_append_new(list, entry) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *iso_json(const struct media_facts *f)
{
	if (f->kind != MEDIA_ISO)
		return json_null();
	return json_pack("{s:o, s:o, s:I, s:b, s:b, s:b, s:b, s:o, s:o}", "label",
	                 text_or_null(f->iso.label), "volume_size",
	                 f->iso.present ? json_size(f->iso.volume_size) : json_null(), "missing",
	                 (json_int_t)f->missing, "joliet", f->iso.joliet, "udf", f->iso.udf,
	                 "hybrid", f->hybrid, "el_torito", f->iso.eltorito, "boot_catalog",
	                 catalog_json(&f->iso), "boots", boots_json(&f->disc));
}

static json_t *windows_json(const struct media_facts *f)
{
	if (f->windows == MEDIA_YES)
		return json_pack("{s:s}", "image", f->windows_image);
	return answer_json(f->windows);
}

json_t *media_json(const struct media_facts *f)
{
	return json_pack("{s:s, s:o, s:o, s:o}", "kind", media_kind_name(f->kind), "boots",
	                 boots_json(&f->disk), "iso", iso_json(f), "windows", windows_json(f));
}

json_t *advice_json(const struct media_facts *f, const struct media_advice *a)
{
	_error_ struct ism_error err = { 0 };

	(void)media_check_raw(f, "image", &err);
	return json_pack("{s:s, s:s, s:o, s:o}", "as", media_as_name(a->as), "why", a->why,
	                 "refused", json_text(err.message), "warnings",
	                 notes_json(a->warnings, a->n_warnings));
}
