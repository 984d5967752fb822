/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What went wrong: a code for the program, a sentence for the person. */
#ifndef ISOMORPH_ERROR_H
#define ISOMORPH_ERROR_H

#include <stdint.h>

#if defined(__GNUC__)
#define ISM_PUBLIC            __attribute__((visibility("default")))
#define ISM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define ISM_PUBLIC
#define ISM_PRINTF(fmt, args)
#endif

#define ISM_NO_OFFSET UINT64_MAX

/** The exit status that DESIGN asks for; also the `status` of an error. */
enum ism_status {
	ISM_DONE = 0,
	ISM_FAILED = 1,
	ISM_USAGE = 2,
	ISM_DIFFERS = 3,
	ISM_INCOMPLETE = 4, /* done, but parts of the source could not be read */
	ISM_REFUSED = 5,
	ISM_INTERRUPTED = 130,
};

/**
 * struct ism_error - one failure; owned by the caller, zeroed once before its first use
 * @code:    negative errno; 0 = nothing has failed. -EBADMSG: the data is wrong; -EOPNOTSUPP:
 * right, but not supported; -ECANCELED: the user stopped it; -EBUSY: mounted or in use
 * @status:  the exit status it asks for
 * @message: what could not be done, to what; lower case, no full stop
 * @where:   device, file or address, or NULL
 * @offset:  bytes into @where, or ISM_NO_OFFSET
 * @hint:    what the user can do about it, or NULL
 */
struct ism_error {
	int code;
	enum ism_status status;
	char *message;
	char *where;
	uint64_t offset;
	char *hint;
};

/** ism_error_clear() - free what @err holds and zero it; NULL is allowed */
ISM_PUBLIC void ism_error_clear(struct ism_error *err);

#endif
