/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plan and report as JSON; doc/json.md is the schema. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "engine/job.h"

const char *ism_phase_name(enum ism_phase phase)
{
	static const char *const names[] = {
		[ISM_PHASE_WAIT] = "waiting",     [ISM_PHASE_CHECK] = "checking",
		[ISM_PHASE_PROBE] = "probing",    [ISM_PHASE_WIPE] = "wiping",
		[ISM_PHASE_DATA] = "writing",     [ISM_PHASE_FLUSH] = "flushing",
		[ISM_PHASE_VERIFY] = "verifying", [ISM_PHASE_FIRST] = "first-mib",
		[ISM_PHASE_LAST] = "last-block",  [ISM_PHASE_DONE] = "done",
		[ISM_PHASE_FAILED] = "failed",
	};

	return (size_t)phase < ARRAY_LEN(names) ? names[phase] : "unknown";
}

static const char *verb_name(enum ism_verb verb)
{
	static const char *const names[] = {
		[ISM_VERB_WRITE] = "write",     [ISM_VERB_VERIFY] = "verify",
		[ISM_VERB_ERASE] = "erase",     [ISM_VERB_UNDO] = "undo",
		[ISM_VERB_CAPTURE] = "capture", [ISM_VERB_RESTORE] = "restore",
		[ISM_VERB_CLONE] = "clone",
	};

	return (size_t)verb < ARRAY_LEN(names) ? names[verb] : "unknown";
}

/* Paths and labels may be any bytes; JSON is UTF-8. */
static json_t *text(const char *s)
{
	json_t *j;

	if (!s)
		return json_null();
	j = json_string(s);
	if (j)
		return j;

	_free_ char *safe = strdup(s);

	for (char *c = safe; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return safe ? json_string(safe) : json_null();
}

static json_t *size_or_null(uint64_t size)
{
	return size == ISM_SIZE_UNKNOWN ? json_null() : json_integer((json_int_t)size);
}

static json_t *error_json(const struct ism_error *err)
{
	if (!err->code)
		return json_null();
	return json_pack("{s:i, s:o, s:o, s:o, s:o}", "code", err->code, "message",
	                 text(err->message), "where", text(err->where), "offset",
	                 size_or_null(err->offset), "hint", text(err->hint));
}

static json_t *strings_json(char **list)
{
	json_t *array = json_array();

	for (char **s = list; s && *s; s++)
		json_array_append_new(array, text(*s));
	return array;
}

static json_t *plan_target_json(const struct ism_plan_target *t)
{
	const struct ism_device *d = t->device;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:b, s:b, s:b, s:o}", "name", text(t->ref),
	                 "path", text(t->path), "model", text(d->model), "serial", text(d->serial),
	                 "bus", text(d->bus), "size", (json_int_t)t->size, "file", t->is_file,
	                 "new", t->is_new, "partition", t->is_partition, "warnings",
	                 strings_json(t->warnings));
}

static json_t *plan_object(const struct ism_plan *p)
{
	json_t *targets = json_array();

	for (size_t i = 0; i < p->n_targets; i++)
		json_array_append_new(targets, plan_target_json(&p->targets[i]));
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "source",
	                 text(p->source), "carrier", text(p->carrier), "format", text(p->format),
	                 "detail", text(p->detail), "bmap", text(p->bmap), "as", text(p->as),
	                 "kind", text(p->kind), "size", size_or_null(p->size), "mapped",
	                 size_or_null(p->mapped), "notes", strings_json(p->notes), "targets",
	                 targets);
}

static json_t *mismatch_json(const struct ism_mismatch *m)
{
	if (m->kind == ISM_MISMATCH_NONE)
		return json_null();
	return json_pack("{s:s, s:b, s:I, s:I, s:o, s:I}", "kind", ism_mismatch_name(m->kind),
	                 "exact", m->exact, "offset", (json_int_t)m->offset, "length",
	                 (json_int_t)m->len, "elsewhere",
	                 m->kind == ISM_MISMATCH_WRAPPED ? json_integer((json_int_t)m->elsewhere)
	                                                 : json_null(),
	                 "total", (json_int_t)m->total);
}

static json_t *target_json(const struct ism_target_report *t)
{
	return json_pack("{s:o, s:i, s:b, s:b, s:s, s:I, s:I, s:I, s:f, s:s, s:o, s:o}", "path",
	                 text(t->path), "exit", (int)t->status, "changed", t->changed, "verified",
	                 t->verified, "read_back", t->read_back ? t->read_back : "none", "written",
	                 (json_int_t)t->written, "equal", (json_int_t)t->equal, "unused",
	                 (json_int_t)t->unused, "seconds", t->seconds, "state",
	                 t->state ? t->state : "unchanged", "mismatch", mismatch_json(&t->mismatch),
	                 "error", error_json(&t->error));
}

/* The error that a reader of one field wants: the job's own, else the first target's. */
static const struct ism_error *main_error(const struct ism_report *r)
{
	if (r->error.code)
		return &r->error;
	for (size_t i = 0; i < r->n_targets; i++)
		if (r->targets[i].error.code)
			return &r->targets[i].error;
	return &r->error;
}

static char *dump(json_t *doc)
{
	char *s = doc ? json_dumps(doc, JSON_INDENT(2)) : NULL;

	json_decref(doc);
	return s;
}

char *ism_plan_json(const struct ism_plan *plan)
{
	return dump(json_pack("{s:i, s:s, s:o, s:i}", "version", 1, "verb", verb_name(plan->verb),
	                      "plan", plan_object(plan), "exit", 0));
}

static json_t *damage_json(const struct ism_damage *d)
{
	return json_pack("{s:I, s:I, s:i, s:i}", "offset", (json_int_t)d->offset, "length",
	                 (json_int_t)d->len, "first_partition", (int)d->first_part,
	                 "last_partition", (int)d->last_part);
}

char *ism_report_json(const struct ism_plan *plan, const struct ism_report *r)
{
	json_t *targets = json_array(), *damaged = json_array();

	for (size_t i = 0; i < r->n_damaged; i++)
		json_array_append_new(damaged, damage_json(&r->damaged[i]));
	for (size_t i = 0; i < r->n_targets; i++)
		json_array_append_new(targets, target_json(&r->targets[i]));
	return dump(json_pack("{s:i, s:s, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:i}",
	                      "version", 1, "verb", verb_name(r->verb), "plan", plan_object(plan),
	                      "size", size_or_null(r->size), "seconds", r->seconds, "hash",
	                      text(r->hash), "hash_from", text(r->hash_from), "signer",
	                      text(r->signer), "targets", targets, "damaged", damaged,
	                      "damaged_bytes", (json_int_t)r->damaged_bytes, "error",
	                      error_json(main_error(r)), "exit", (int)r->status));
}

char *ism_error_json(const char *verb, const struct ism_error *err)
{
	return dump(json_pack("{s:i, s:o, s:o, s:i}", "version", 1, "verb", text(verb), "error",
	                      error_json(err), "exit",
	                      (int)(err->status ? err->status : ISM_FAILED)));
}
