/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A medium: anything that bytes come from or go to. Carriers (file, device, pipe, http, faulty) and
 * formats (gz, xz, …) fill in one constant table each; all others call medium_*() only. */
#ifndef MEDIUM_MEDIUM_H
#define MEDIUM_MEDIUM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <isomorph/medium.h>

#include "base/error.h"

#define MEDIUM_BUFFER_ALIGN 4096 /* address alignment that suits every O_DIRECT medium */

struct medium;

/**
 * struct medium_ops - what a medium can do; a missing hook means the default in brackets
 * @read:       fill @buf from @offset; sets *@ret_len, less than @len only at the end of the
 * medium; one call may return fewer bytes than asked: the core calls again; 0 bytes = the end. On a
 * forward medium @offset is always where the last read ended, or further ahead if it skips
 * @write:      write all @len bytes at @offset [-EROFS]
 * @zero:       make the range zero [written as zeros]
 * @discard:    the content of the range is not needed any more; a hint [nothing]
 * @flush:      all that was written is on the medium when it returns 0 [nothing]
 * @drop_cache: later reads of the range come from the medium, not from a cache [nothing]. Sets
 * *@how to a constant word for the report: "direct", "dropped", "none"
 * @next_extent: the extent at @offset: ret->offset == offset, ret->len > 0 [data to the end]
 * @resize:     make a regular file this long [-EOPNOTSUPP]
 * @close:      free @m->priv and what it holds; flushes nothing; must accept half-opened media
 * All but @close may be called from several threads at once on a random medium.
 */
struct medium_ops {
	const char *name; /* "file", "gz", …: shown to the user */
	int (*read)(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
	            struct ism_error *err);
	int (*write)(struct medium *m, const void *buf, size_t len, uint64_t offset,
	             struct ism_error *err);
	int (*zero)(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err);
	int (*discard)(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err);
	int (*flush)(struct medium *m, struct ism_error *err);
	int (*drop_cache)(struct medium *m, uint64_t offset, uint64_t len, const char **how,
	                  struct ism_error *err);
	int (*next_extent)(struct medium *m, uint64_t offset, struct ism_extent *ret,
	                   struct ism_error *err);
	int (*resize)(struct medium *m, uint64_t size, struct ism_error *err);
	void (*close)(struct medium *m);
};

/** struct medium - one open medium; filled by its driver's open, read by all */
struct medium {
	const struct medium_ops *ops;
	void *priv;           /* the driver's */
	char *name;           /* as the user would recognise it: path, address, "standard input" */
	uint64_t size;        /* bytes; ISM_SIZE_UNKNOWN if only reading to the end can tell */
	uint64_t size_hint;   /* bytes it probably has, for progress; 0 = no idea */
	uint32_t sector_size; /* logical, bytes; 512 where there is no such thing */
	uint32_t physical_size; /* physical sector, bytes; a multiple of sector_size */
	bool forward;           /* reads must go on where the last one ended */
	bool skips;             /* forward: reads may also go on further ahead */
	bool writable;
	int fd;          /* for asynchronous I/O with any length, offset and address that are
	                    multiples of `align`; -1 = use the hooks */
	bool hooks_only; /* `fd` is for asking the kernel about the device, not for its bytes */
	uint32_t align;  /* bytes; 1 = any. The hooks take any length and offset all the same */
	unsigned depth;  /* requests in flight that suit it; 0 = no opinion */
	const atomic_bool *stop; /* may be NULL */
	/* kept by medium.c */
	uint64_t position; /* forward: next byte that ops->read will give */
	uint8_t *head;     /* forward: bytes peeked and not yet read; owned */
	uint64_t head_offset;
	size_t head_len;
};

/** medium_new() - a zeroed medium with @name copied, sector sizes 512, fd -1, align 1; NULL when
 * out of memory */
struct medium *medium_new(const struct medium_ops *ops, const char *name);
/** medium_close() - NULL and half-built ones are allowed; returns NULL */
struct medium *medium_close(struct medium *m);
void medium_closep(struct medium **m);
#define _medium_ CLEANUP(medium_closep)

/**
 * medium_read() - read @len bytes at @offset
 * @ret_len: bytes read; less than @len only when the medium ends there
 * On a forward medium @offset must be where the last read ended, or behind that if it skips:
 * -ESPIPE. The error names medium and offset.
 */
int medium_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
                struct ism_error *err);
/** medium_read_all() - the same, but a medium that ends before @len bytes is -EBADMSG */
int medium_read_all(struct medium *m, void *buf, size_t len, uint64_t offset,
                    struct ism_error *err);
/**
 * medium_peek() - look at the first @len bytes (at most 1 MiB) without consuming them
 * A forward medium keeps them for the reads that follow; must come before its first read.
 */
int medium_peek(struct medium *m, void *buf, size_t len, size_t *ret_len, struct ism_error *err);
int medium_write(struct medium *m, const void *buf, size_t len, uint64_t offset,
                 struct ism_error *err);
/** medium_write_zeros() - by writing them; what medium_zero() falls back to */
int medium_write_zeros(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err);
int medium_zero(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err);
int medium_discard(struct medium *m, uint64_t offset, uint64_t len, struct ism_error *err);
int medium_flush(struct medium *m, struct ism_error *err);
/** medium_drop_cache() - *@ret_how gets "direct", "dropped" or "none": how a later read avoids the
 * cache */
int medium_drop_cache(struct medium *m, uint64_t offset, uint64_t len, const char **ret_how,
                      struct ism_error *err);
/** medium_next_extent() - the extent that starts at @offset (< size) */
int medium_next_extent(struct medium *m, uint64_t offset, struct ism_extent *ret,
                       struct ism_error *err);
/** medium_stopped() - the user asked to stop */
bool medium_stopped(const struct medium *m);
/** medium_buffer() - @len bytes aligned for any medium; free() it; NULL when out of memory. From 2
 * MiB on they lie in huge pages if there are any: a request of a MiB is then one segment, which
 * every queue takes at once. */
void *medium_buffer(size_t len);

/**
 * struct carrier_driver - where bytes come from
 * @claims: this carrier is meant by @ref; carriers are asked in the order of carriers.c
 * @open:   for reading only
 */
struct carrier_driver {
	const char *name;
	bool (*claims)(const char *ref);
	int (*open)(const char *ref, const struct ism_open_options *options, struct medium **ret,
	            struct ism_error *err);
};

extern const struct carrier_driver carrier_driver_pipe; /* "-", FIFOs */
extern const struct carrier_driver carrier_driver_http;
extern const struct carrier_driver carrier_driver_device;
extern const struct carrier_driver carrier_driver_file;

/** carrier_open() - open @ref for reading as the bytes that it is made of, no format looked at */
int carrier_open(const char *ref, const struct ism_open_options *options, struct medium **ret,
                 struct ism_error *err);

/** file_open_target() - an existing regular file, read and write, in place, uncached where it can
 * be */
int file_open_target(const char *path, struct medium **ret, struct ism_error *err);
/** file_create() - a new regular file of mode 0666 less umask; -EEXIST if there is one. *ret is
 * writable, size 0 */
int file_create(const char *path, struct medium **ret, struct ism_error *err);
/**
 * device_medium() - a block device that is already open; @fd is owned by the medium from here on,
 * on failure too Sizes come from the kernel. @writable: @fd is open for writing.
 */
int device_medium(int fd, const char *path, bool writable, struct medium **ret,
                  struct ism_error *err);

#endif
