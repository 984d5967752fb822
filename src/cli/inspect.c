/* SPDX-License-Identifier: GPL-3.0-or-later */
/* isomorph inspect REF: what an image or a disk is, for people, or as the JSON document it is made
 * from. */
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <isomorph/inspect.h>

#include "verbs.h"

/* What comes from a disk may hold anything; a terminal is to see text only. */
static void put_text(const char *s)
{
	for (; *s; s++)
		putchar((unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s);
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static uint64_t number_of(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

static bool is_set(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void put_label(const char *label)
{
	printf("%-14s ", label);
}

static void put_line(const char *label, const char *value)
{
	if (!value)
		return;
	put_label(label);
	put_text(value);
	putchar('\n');
}

static void put_size(const char *label, const json_t *object, const char *key)
{
	const json_t *size = json_object_get(object, key);
	char buf[24];

	put_label(label);
	if (json_is_integer(size))
		printf("%s (%llu bytes)\n", text_size(buf, (uint64_t)json_integer_value(size)),
		       (unsigned long long)json_integer_value(size));
	else
		puts("not known before it is read to its end");
}

static void put_source(const json_t *doc)
{
	const char *detail = text_of(doc, "format_detail");

	put_line("source", text_of(doc, "ref"));
	put_label("format");
	put_text(text_of(doc, "format"));
	if (detail) {
		fputs(": ", stdout);
		put_text(detail);
	}
	printf(" (%s%s)\n", text_of(doc, "carrier"),
	       is_set(doc, "random") ? "" : ", read from start to end");
	if (strcmp(text_of(doc, "format"), "raw") != 0)
		put_size("packed size", doc, "carrier_size");
	put_size("size", doc, "size");
	put_line("block map", text_of(doc, "bmap"));
	put_line("SHA-256", text_of(doc, "sha256"));
}

/* "BIOS, UEFI x64; not known: UEFI ia32" */
static void put_boots(const char *label, const json_t *boots)
{
	static const struct {
		const char *key, *name;
	} all[] = {
		{ "bios", "BIOS" },
		{ "uefi_x64", "UEFI x64" },
		{ "uefi_ia32", "UEFI ia32" },
		{ "uefi_aa64", "UEFI aa64" },
	};
	unsigned yes = 0, unknown = 0;

	put_label(label);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (is_set(boots, all[i].key))
			printf("%s%s", yes++ ? ", " : "", all[i].name);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (json_is_null(json_object_get(boots, all[i].key)))
			printf("%s%s",
			       unknown++ ? ", "
			       : yes     ? "; not known: "
			                 : "not known: ",
			       all[i].name);
	puts(yes || unknown ? "" : "nothing");
}

static void put_iso(const json_t *iso)
{
	put_line("volume", text_of(iso, "label"));
	if (json_is_integer(json_object_get(iso, "volume_size")))
		put_size("volume size", iso, "volume_size");
	if (number_of(iso, "missing"))
		printf("%-14s %llu bytes of the volume are missing\n", "",
		       (unsigned long long)number_of(iso, "missing"));
	put_boots("boots as disc", json_object_get(iso, "boots"));
}

static void put_media(const json_t *media)
{
	const json_t *iso = json_object_get(media, "iso");
	const json_t *windows = json_object_get(media, "windows");
	const char *kind = text_of(media, "kind");

	put_label("kind");
	if (json_is_object(windows))
		puts("Windows installation medium");
	else if (strcmp(kind, "iso") == 0)
		puts(is_set(iso, "hybrid") ? "hybrid ISO" : "ISO for discs");
	else
		puts(strcmp(kind, "file_system") == 0 ? "file system without a partition table"
		     : strcmp(kind, "disk") == 0      ? "disk"
		     : strcmp(kind, "blank") == 0     ? "blank"
		                                      : "not recognised");
	if (json_is_object(iso))
		put_iso(iso);
	put_boots("boots as disk", json_object_get(media, "boots"));
}

static void put_file_system(const json_t *object)
{
	const json_t *fs = json_object_get(object, "file_system");
	const char *label = text_of(fs, "label");

	if (!json_is_object(fs)) {
		if (json_is_false(json_object_get(object, "file_system_known")))
			fputs("not seen yet", stdout);
		return;
	}
	put_text(text_of(fs, "type"));
	if (label) {
		fputs(" \"", stdout);
		put_text(label);
		putchar('"');
	}
}

static void put_partition(const json_t *part)
{
	const char *type =
		text_of(part, "type_name") ? text_of(part, "type_name") : text_of(part, "type");
	const char *name = text_of(part, "name");
	char size[24];
	int width;

	printf("  %3llu %15llu %10s  ", (unsigned long long)number_of(part, "number"),
	       (unsigned long long)number_of(part, "offset"),
	       text_size(size, number_of(part, "size")));
	width = 24 - (int)strlen(type);
	put_text(type);
	printf("%*s%s ", width > 0 ? width : 0, "", is_set(part, "bootable") ? "*" : " ");
	put_file_system(part);
	if (name && !text_of(json_object_get(part, "file_system"), "label")) {
		fputs(" '", stdout);
		put_text(name);
		putchar('\'');
	}
	putchar('\n');
}

static void put_notes(const json_t *notes)
{
	const json_t *note;
	size_t i;

	json_array_foreach(notes, i, note)
	{
		fputs("  note: ", stdout);
		put_text(json_string_value(note));
		putchar('\n');
	}
}

static void put_table(const json_t *table)
{
	const json_t *parts = json_object_get(table, "partitions"), *part;
	const char *id = text_of(table, "id");
	size_t i;

	put_label("table");
	printf("%s, sectors of %llu bytes", text_of(table, "type"),
	       (unsigned long long)number_of(table, "sector_size"));
	if (id)
		printf(", id %s", id);
	puts(is_set(table, "damaged") ? ", DAMAGED" : "");
	if (json_array_size(parts))
		printf("  %3s %15s %10s  %-24s  %s\n", "no", "offset", "size", "type", "holds");
	json_array_foreach(parts, i, part) put_partition(part);
	put_notes(json_object_get(table, "notes"));
}

static void put_tables(const json_t *doc)
{
	const json_t *table = json_object_get(doc, "table"), *other;
	size_t i;

	if (strcmp(text_of(table, "type"), "none") != 0) {
		put_table(table);
	} else {
		if (json_is_object(json_object_get(doc, "file_system"))) {
			put_label("holds");
			put_file_system(doc);
			putchar('\n');
		}
		put_notes(json_object_get(table, "notes"));
	}
	json_array_foreach(json_object_get(table, "also"), i, other) put_table(other);
}

static void put_advice(const json_t *advice)
{
	const json_t *warning;
	size_t i;

	put_label("write");
	if (text_of(advice, "refused")) {
		fputs("refused without --as raw: ", stdout);
		put_text(text_of(advice, "refused"));
	} else {
		printf("as '%s': ", text_of(advice, "as"));
		put_text(text_of(advice, "why"));
	}
	putchar('\n');
	json_array_foreach(json_object_get(advice, "warnings"), i, warning)
		put_line("warning", json_string_value(warning));
}

static int put_document(const char *json)
{
	json_t *doc = json_loads(json, 0, NULL);

	if (!doc)
		return ISM_FAILED;
	put_source(doc);
	put_media(json_object_get(doc, "media"));
	put_tables(doc);
	put_advice(json_object_get(doc, "advice"));
	json_decref(doc);
	return ISM_DONE;
}

struct hashing {
	atomic_ullong done, size;
	atomic_bool over;
};

/* Draws how far the hash has come, until it is over. */
static void *watch(void *arg)
{
	struct hashing *h = arg;
	char buf[24];

	while (!atomic_load(&h->over)) {
		unsigned long long done = atomic_load(&h->done), size = atomic_load(&h->size);

		usleep(200 * 1000);
		if (size)
			fprintf(stderr, "\r%3llu %% hashed\033[K", done * 100 / size);
		else if (done)
			fprintf(stderr, "\r%s hashed\033[K", text_size(buf, done));
	}
	fputs("\r\033[K", stderr);
	return NULL;
}

static int inspect(const struct cli_options *o, const char *ref, char **ret, struct ism_error *err)
{
	struct hashing h = { 0 };
	struct ism_inspect_options options = {
		.open = o->job.open, .sha256 = o->sha256_wanted, .done = &h.done, .size = &h.size
	};
	bool drawn = o->sha256_wanted && !o->quiet && isatty(STDERR_FILENO);
	pthread_t thread;
	int r;

	drawn = drawn && pthread_create(&thread, NULL, watch, &h) == 0;
	r = ism_inspect(ref, &options, ret, err);
	atomic_store(&h.over, true);
	if (drawn)
		pthread_join(thread, NULL);
	return r;
}

static int inspect_run(const struct verb *verb, struct cli_options *o, char **args, int n)
{
	struct ism_error err = { 0 };
	char *json = NULL;
	int status = ISM_DONE;

	if (n < 1)
		return usage_error(verb, "no image and no disk is named");
	if (n > 1)
		return usage_error(verb, "one image or disk at a time, not '%s' too", args[1]);
	if (inspect(o, args[0], &json, &err) < 0)
		return show_error(o, verb->name, &err);
	if (o->json)
		puts(json);
	else
		status = put_document(json);
	free(json);
	return status;
}

const struct verb verb_inspect = {
	.name = "inspect",
	.usage = "[OPTION]… REF",
	.summary = "what an image or a disk is, and what 'write' would do with it",
	.help = "REF is an image, packed or not, a disk, an address, or '-'. Nothing is written. "
		"Of a\n"
		"packed image or a pipe the first MiB is looked at; what lies behind is 'not "
		"known'.",
	.takes = (const int[]){ OPT_HASH, OPT_THREADS, OPT_NO_BMAP, 0 },
	.run = inspect_run,
};
