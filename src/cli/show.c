/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plan and report in words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void show_contents(const struct ism_device *d)
{
	char size[24];

	for (size_t i = 0; i < d->n_parts; i++) {
		const struct ism_partition *p = &d->parts[i];
		const char *what = p->fs_type ? clean(p->fs_type) : "unknown content";
		char name[32];

		snprintf(name, sizeof(name), p->number ? "partition %u" : "whole disk", p->number);
		fprintf(stderr, "      %-16s %9s  %s%s%s%s\n", p->path ? clean(p->path) : name,
		        text_size(size, p->size), what, p->label ? " \"" : "",
		        p->label ? clean(p->label) : "", p->label ? "\"" : "");
	}
	if (!d->n_parts)
		fprintf(stderr, "      nothing that is recognised lies on it\n");
}

static void show_target(const struct ism_plan *plan, const struct ism_plan_target *t)
{
	char size[24];

	if (t->is_new) {
		fprintf(stderr,
		        t->is_file && strcmp(t->ref, "-") == 0 ? "  to    %s\n"
		                                               : "  to    %s (a new file)\n",
		        clean(t->path));
		return;
	}
	if (t->is_file) {
		fprintf(stderr, "  %s    %s (a file of %s)\n",
		        plan->verb == ISM_VERB_VERIFY ? "in" : "to", clean(t->path),
		        text_size(size, t->size));
		return;
	}
	char *device = text_device(t->device);

	fprintf(stderr, "  %s    %s (%s)\n", plan->verb == ISM_VERB_VERIFY ? "in" : "to",
	        clean(t->path), device ? device : "");
	free(device);
	if (plan->verb != ISM_VERB_VERIFY) {
		fprintf(stderr, plan->verb == ISM_VERB_UNDO ? "      it holds now:\n"
		                                            : "      what will be lost:\n");
		show_contents(t->device);
	}
	for (char **w = t->warnings; w && *w; w++)
		fprintf(stderr, "      warning: %s\n", clean(*w));
}

void show_plan(const struct ism_plan *plan)
{
	static const char *const words[] = {
		[ISM_VERB_WRITE] = "Write",     [ISM_VERB_VERIFY] = "Verify",
		[ISM_VERB_ERASE] = "Erase",     [ISM_VERB_UNDO] = "Undo",
		[ISM_VERB_CAPTURE] = "Capture", [ISM_VERB_RESTORE] = "Restore",
		[ISM_VERB_CLONE] = "Clone",
	};
	char size[24];

	fprintf(stderr, "%s\n", words[plan->verb]);
	if (plan->source) {
		fprintf(stderr, "  from  %s (%s%s%s, %s)\n", clean(plan->source), plan->format,
		        plan->detail ? ", " : "", plan->detail ? clean(plan->detail) : "",
		        plan->size == ISM_SIZE_UNKNOWN ? "size not known yet"
		                                       : text_size(size, plan->size));
		if (plan->kind)
			fprintf(stderr, "        %s\n", clean(plan->kind));
	}
	for (size_t i = 0; i < plan->n_targets; i++)
		show_target(plan, &plan->targets[i]);
	for (char **n = plan->notes; n && *n; n++)
		fprintf(stderr, "  note: %s\n", clean(*n));
}

static void show_mismatch(const struct ism_target_report *t)
{
	const struct ism_mismatch *m = &t->mismatch;

	if (m->kind == ISM_MISMATCH_NONE || t->status != ISM_DIFFERS)
		return;
	fprintf(stderr, "isomorph: %s: differs at byte %llu (sector %llu): %s", clean(t->path),
	        (unsigned long long)m->offset, (unsigned long long)(m->offset / 512),
	        ism_mismatch_name(m->kind));
	if (m->kind == ISM_MISMATCH_WRAPPED)
		fprintf(stderr, ", what belongs to byte %llu", (unsigned long long)m->elsewhere);
	fputc('\n', stderr);
}

static void show_done(const struct cli_options *o, const struct ism_plan *plan,
                      const struct ism_report *report, const struct ism_target_report *t,
                      bool removable)
{
	const char *gone = !removable                        ? ""
	                   : o->job.after == ISM_AFTER_STAY  ? "; it may be removed now"
	                   : o->job.after == ISM_AFTER_EJECT ? "; it is ejected"
	                                                     : "; it is powered off";
	const char *source = plan->source ? clean(plan->source) : "";
	char size[24], left[24];

	text_size(size, report->size == ISM_SIZE_UNKNOWN ? t->written : report->size);
	text_size(left, t->equal);
	switch (plan->verb) {
	case ISM_VERB_VERIFY:
		say(o, "%s holds exactly %s (%s compared)", clean(t->path), source, size);
		break;
	case ISM_VERB_ERASE:
		say(o, "%s is blank%s%s", clean(t->path),
		    t->verified ? ", verified by reading it back" : "", gone);
		break;
	case ISM_VERB_UNDO:
		say(o, "%s is again what it was before%s%s", clean(t->path),
		    t->verified ? ", verified by reading it back" : "", gone);
		break;
	case ISM_VERB_CAPTURE:
		say(o, "%s holds %s: %s in %s%s", clean(t->path), source, size,
		    text_size(left, t->file_size),
		    t->verified ? ", verified by reading it back" : ", NOT verified");
		say(o, "fingerprint %s", t->fingerprint);
		break;
	case ISM_VERB_RESTORE:
	case ISM_VERB_CLONE:
	case ISM_VERB_WRITE:
		say(o, "%s holds %s: %s%s%s%s%s%s", clean(t->path), source, size,
		    t->equal ? ", of which " : "", t->equal ? left : "",
		    t->equal ? " were there already" : "",
		    t->verified ? ", verified by reading it back" : ", NOT verified", gone);
	}
}

/* --verbose: the figures of one target. */
static void show_figures(const struct ism_target_report *t)
{
	char written[24], equal[24], unused[24];

	fprintf(stderr, "%s: %s written, %s equal, %s left out, read back: %s, %.1f seconds\n",
	        t->path, text_size(written, t->written), text_size(equal, t->equal),
	        text_size(unused, t->unused), t->read_back ? t->read_back : "none", t->seconds);
}

static void show_damage(const struct ism_report *report)
{
	for (size_t i = 0; i < report->n_damaged; i++) {
		const struct ism_damage *d = &report->damaged[i];

		fprintf(stderr, "  lost: bytes %llu to %llu of the disk",
		        (unsigned long long)d->offset,
		        (unsigned long long)(d->offset + d->len - 1));
		if (d->first_part && d->first_part == d->last_part)
			fprintf(stderr, ", partition %u", d->first_part);
		else if (d->first_part)
			fprintf(stderr, ", partitions %u to %u", d->first_part, d->last_part);
		fputc('\n', stderr);
	}
}

void show_report(const struct cli_options *o, const struct ism_plan *plan,
                 const struct ism_report *report)
{
	char size[24];

	if (report->error.code)
		print_error(&report->error);
	show_damage(report);
	if (plan->verb == ISM_VERB_VERIFY && !plan->n_targets && !report->error.code)
		say(o, "%s is whole (%s)", plan->source, text_size(size, report->size));
	if (report->hash && !report->error.code)
		say(o, "the image has the %s that was %s%s%s%s", report->hash_name,
		    strcmp(report->hash_from, "given") == 0 ? "" : "found in ",
		    clean(report->hash_from), report->signer ? ", signed by " : "",
		    report->signer ? clean(report->signer) : "");
	for (size_t i = 0; i < report->n_targets; i++) {
		const struct ism_target_report *t = &report->targets[i];
		const struct ism_plan_target *p = &plan->targets[i];

		if (o->verbose && !o->quiet)
			show_figures(t);
		if (t->status == ISM_DONE) {
			show_done(o, plan, report, t, !p->is_file && !p->device->fixed);
			continue;
		}
		if (t->error.code)
			print_target_error(o, &t->error);
		show_mismatch(t);
		if (plan->verb == ISM_VERB_VERIFY)
			continue;
		fprintf(stderr, "%s is %s\n", clean(t->path), t->state);
		if (t->changed && strncmp(t->state, "complete", 8) != 0 &&
		    t->error.code != -ENOSPC &&
		    (plan->verb == ISM_VERB_WRITE || plan->verb == ISM_VERB_RESTORE ||
		     plan->verb == ISM_VERB_CLONE) &&
		    !p->is_new)
			fprintf(stderr, "to go on: the same command with --delta\n");
	}
}
