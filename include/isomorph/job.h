/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A job: source, targets, policy. It is planned, shown, run, reported. All faces use it in this order. */
#ifndef ISOMORPH_JOB_H
#define ISOMORPH_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <isomorph/device.h>
#include <isomorph/error.h>
#include <isomorph/medium.h>

enum ism_verb {
	ISM_VERB_WRITE,  /* source onto the targets */
	ISM_VERB_VERIFY, /* do the targets hold the source? nothing is written */
	ISM_VERB_ERASE,  /* the signatures at both ends of the targets and of their partitions become zero */
	ISM_VERB_UNDO,   /* source is a file that `undo` of an earlier job made */
	ISM_VERB_CAPTURE, /* source, a disk, into a native image: the one target */
	ISM_VERB_RESTORE, /* source, a native image, onto the targets */
	ISM_VERB_CLONE,   /* source, a disk, onto the targets: capture and restore with no image between */
};

enum ism_as {
	ISM_AS_AUTO, /* what makes the target boot; -EOPNOTSUPP when that cannot be done */
	ISM_AS_RAW,  /* the image's bytes as they are */
};

/** What becomes of the bytes of a target that the image leaves out */
enum ism_unused { ISM_UNUSED_KEEP, ISM_UNUSED_DISCARD, ISM_UNUSED_ZERO };

enum ism_after { ISM_AFTER_STAY, ISM_AFTER_EJECT, ISM_AFTER_POWER_OFF };

/** struct ism_job_options - what is to be done; strings and arrays stay the caller's until the job is freed */
struct ism_job_options {
	enum ism_verb verb;
	const char *source; /* REF; not for ISM_VERB_ERASE */
	const char *const *targets;
	size_t n_targets;
	struct ism_open_options open; /* `stop` is set by the job */
	enum ism_as as;
	bool no_verify;
	bool delta; /* read first, write only what differs */
	bool unmount;
	bool keep_tail; /* leave the last MiB of a target that is larger than the image as it is */
	bool partition_target;
	bool ignore_sector_size;
	bool replace_members; /* members of inactive md, LVM, btrfs, ZFS sets may be overwritten */
	bool no_probe;        /* no fake-capacity probe of removable disks */
	const char *sha256;   /* 64 hex digits: of the image file or of the decoded image */
	const char *checksums; /* file or URL of checksums */
	const char *signature; /* detached OpenPGP signature of it; NULL = the one beside it */
	const char *keyring;   /* then the checksums must be signed by a key in it */
	bool no_checksums;     /* do not look for checksums beside a URL */
	const char *undo;      /* what is overwritten is kept in this new file */
	enum ism_after after;
	bool restart;       /* capture: an unfinished image is not gone on with but overwritten */
	bool all;           /* capture, clone: every sector, not only what is in use */
	unsigned partition; /* capture, clone: this partition alone; 0 = the whole disk */
	int level;          /* capture: of compression, -7 … 19; 0 = 3 */
	enum ism_unused unused; /* restore, clone */
	unsigned stall_timeout_s; /* a request that takes longer fails its target; 0 = 120 s */
};

/** struct ism_plan_target - one target as the plan sees it; owned by the job */
struct ism_plan_target {
	const char *ref;  /* as named by the user */
	const char *path; /* what it stands for */
	const struct ism_device *device;
	bool is_file, is_new, is_partition;
	uint64_t size;   /* bytes; 0 for a new file */
	char **warnings; /* NULL-terminated: what deserves a stronger confirmation; may be NULL */
};

/** struct ism_plan - what the job will do; owned by the job */
struct ism_plan {
	enum ism_verb verb;
	const char *source;  /* as the user would recognise it; NULL for erase */
	const char *carrier; /* "file", "device", "pipe", "http", … */
	const char *format;  /* "raw", "xz", … */
	const char *detail;  /* more about the format, or NULL */
	const char *bmap;    /* path of the bmap that is used, or NULL */
	const char *as;      /* "raw" */
	const char *kind;    /* one clause: what the image is and why it is written so, or NULL */
	uint64_t size;       /* of the image as a disk; ISM_SIZE_UNKNOWN */
	uint64_t mapped;     /* bytes of it that will be looked at; ISM_SIZE_UNKNOWN */
	char **notes;        /* NULL-terminated sentences */
	const struct ism_plan_target *targets;
	size_t n_targets;
};

enum ism_phase {
	ISM_PHASE_WAIT,
	ISM_PHASE_CHECK,   /* the image against its checksum, before any target is touched */
	ISM_PHASE_PROBE,   /* does the stick have the size that it claims? */
	ISM_PHASE_WIPE,    /* first and last MiB */
	ISM_PHASE_DATA,    /* comparing and writing, all but the first MiB */
	ISM_PHASE_FLUSH,
	ISM_PHASE_VERIFY,
	ISM_PHASE_FIRST,   /* the first MiB: all but its first block */
	ISM_PHASE_LAST,    /* the first block, last flush */
	ISM_PHASE_DONE,
	ISM_PHASE_FAILED,
};
/** ism_phase_name() - one lower-case word, stable */
ISM_PUBLIC const char *ism_phase_name(enum ism_phase phase);

/** struct ism_target_progress - how far one target is */
struct ism_target_progress {
	const char *path;
	enum ism_phase phase;
	uint64_t done;    /* bytes of this phase; in ISM_PHASE_DATA acknowledged by the medium */
	uint64_t total;   /* bytes of this phase; ISM_SIZE_UNKNOWN */
	uint64_t written; /* bytes written so far */
	uint64_t speed;   /* bytes a second over the last seconds */
	unsigned eta_s;   /* seconds to the end of the job for this target; UINT_MAX = unknown */
	double fraction;  /* of the whole job, 0 … 1; never 1 before ISM_PHASE_DONE */
};

struct ism_progress {
	uint64_t elapsed_ms;
	const struct ism_target_progress *targets;
	size_t n_targets;
	bool last; /* the job has ended */
};

/**
 * struct ism_observer - who watches a job; called from the thread that runs it, never at once from two
 * @progress: about ten times a second
 * @notice:   a sentence while it runs: a stall, a retry, a resumed download; @path may be NULL
 */
struct ism_observer {
	void (*progress)(const struct ism_progress *progress, void *data);
	void (*notice)(const char *path, const char *sentence, void *data);
	void *data;
};

enum ism_mismatch_kind {
	ISM_MISMATCH_NONE,
	ISM_MISMATCH_ZEROS,
	ISM_MISMATCH_ONES,      /* 0xFF: erased flash */
	ISM_MISMATCH_BIT_FLIPS,
	ISM_MISMATCH_WRAPPED,   /* holds what belongs to another address */
	ISM_MISMATCH_OLD_DATA,  /* other data: what was there before, or somebody else's */
};
/** ism_mismatch_name() - "zeros", "0xFF", "bit flips", "address wrap-around", "old data" */
ISM_PUBLIC const char *ism_mismatch_name(enum ism_mismatch_kind kind);

/**
 * struct ism_mismatch - what differs, at its first place
 * @offset:    byte of the first difference; with @exact false the start of the range that differs
 * @len:       bytes from @offset to the end of the range that was compared at once
 * @elsewhere: ISM_MISMATCH_WRAPPED: the address whose data is found at @offset
 */
struct ism_mismatch {
	enum ism_mismatch_kind kind;
	bool exact;
	uint64_t offset;
	uint64_t len;
	uint64_t elsewhere;
	uint64_t total; /* bytes in all ranges that differ */
};

/** struct ism_target_report - what became of one target; owned by the job */
struct ism_target_report {
	const char *path;
	enum ism_status status; /* ISM_DONE, ISM_FAILED, ISM_DIFFERS, ISM_REFUSED, ISM_INTERRUPTED */
	bool changed;  /* at least one byte was written, and not put back */
	bool wiped;    /* its first and last MiB were made blank before anything else */
	bool verified; /* read back past the cache, and equal */
	uint64_t file_size;    /* capture: bytes of the image */
	char fingerprint[65];  /* capture: SHA-256 of its manifest, hex digits; "" = none */
	const char *read_back; /* "direct", "dropped" (from the page cache first), "none" */
	uint64_t written;  /* bytes */
	uint64_t equal;    /* bytes found equal and left alone */
	uint64_t unused;   /* bytes that the image leaves out */
	uint64_t compared; /* bytes compared by verify */
	uint64_t reached;  /* how far it had come when it failed */
	double seconds;
	struct ism_mismatch mismatch;
	struct ism_error error; /* code 0 = none */
	const char *state;      /* a sentence: what the target holds now */
};

/** struct ism_damage - bytes of the disk that an image should hold and does not */
struct ism_damage {
	uint64_t offset, len;
	unsigned first_part, last_part; /* numbers of the partitions that they touch; 0 = none, or not known */
};

struct ism_report {
	enum ism_verb verb;
	enum ism_status status;
	uint64_t size;    /* bytes of the image; ISM_SIZE_UNKNOWN if its end was not reached */
	double seconds;
	const char *hash; /* hex digits that were proven, or NULL */
	const char *hash_name; /* "SHA-256" */
	const char *hash_from; /* "given", name of the checksum file */
	const char *signer;    /* who signed the checksums, or NULL */
	struct ism_error error; /* of the source or the job; code 0 = none */
	const struct ism_target_report *targets;
	size_t n_targets;
	const struct ism_damage *damaged; /* in order; the first thousand */
	size_t n_damaged;
	uint64_t damaged_bytes; /* of all */
};

struct ism_job;

/**
 * ism_job_new() - open the source, resolve and guard the targets; nothing is written
 * The plan is in ism_job_plan() afterwards. Errors carry their exit status.
 */
ISM_PUBLIC int ism_job_new(const struct ism_job_options *options, struct ism_job **ret,
                           struct ism_error *err);
ISM_PUBLIC struct ism_job *ism_job_free(struct ism_job *job);
ISM_PUBLIC const struct ism_plan *ism_job_plan(const struct ism_job *job);
/**
 * ism_job_run() - do it; once
 * Return: the exit status. Everything else is in ism_job_report().
 */
ISM_PUBLIC enum ism_status ism_job_run(struct ism_job *job, const struct ism_observer *observer);
ISM_PUBLIC const struct ism_report *ism_job_report(const struct ism_job *job);
/** ism_job_stop() - ask it to stop; may be called from a signal handler and from any thread */
ISM_PUBLIC void ism_job_stop(struct ism_job *job);
/** ism_plan_json(), ism_report_json() - schema in doc/json.md; malloc'ed, NULL when out of memory */
ISM_PUBLIC char *ism_plan_json(const struct ism_plan *plan);
ISM_PUBLIC char *ism_report_json(const struct ism_plan *plan, const struct ism_report *report);
/** ism_error_json() - the document of a job that failed before it had a plan */
ISM_PUBLIC char *ism_error_json(const char *verb, const struct ism_error *err);

#endif
