/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Setting and passing on of struct ism_error. `err` may be NULL everywhere: then only the code is
 * returned. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <isomorph/error.h>

#include "base/cleanup.h"

#define _error_ CLEANUP(ism_error_clear)

/**
 * ism_error_set() - say what failed; an earlier content of @err is freed
 * @code:   negative errno, returned
 * @where:  copied; NULL if there is none
 * @offset: bytes into @where, or ISM_NO_OFFSET
 * Status is ISM_FAILED, or ISM_INTERRUPTED for -ECANCELED.
 */
int ism_error_set(struct ism_error *err, int code, const char *where, uint64_t offset,
                  const char *fmt, ...) ISM_PRINTF(5, 6);
/** ism_error_refuse() - the same for a promise that forbids the job: status ISM_REFUSED */
int ism_error_refuse(struct ism_error *err, int code, const char *where, const char *fmt, ...)
	ISM_PRINTF(4, 5);
/** ism_error_usage() - the same for what the user asked wrongly: code -EINVAL, status ISM_USAGE */
int ism_error_usage(struct ism_error *err, const char *where, const char *fmt, ...)
	ISM_PRINTF(3, 4);
/** ism_error_errno() - the same with strerror(-code) behind the message */
int ism_error_errno(struct ism_error *err, int code, const char *where, uint64_t offset,
                    const char *fmt, ...) ISM_PRINTF(5, 6);
/** ism_error_oom() - out of memory; returns -ENOMEM */
int ism_error_oom(struct ism_error *err);
/** ism_error_canceled() - the user stopped it; returns -ECANCELED */
int ism_error_canceled(struct ism_error *err);
/** ism_error_prefix() - put "text: " before the message; returns the code */
int ism_error_prefix(struct ism_error *err, const char *fmt, ...) ISM_PRINTF(2, 3);
/** ism_error_hint() - set or replace the hint; returns the code */
int ism_error_hint(struct ism_error *err, const char *fmt, ...) ISM_PRINTF(2, 3);
/** ism_error_status() - set the status; returns the code */
int ism_error_status(struct ism_error *err, enum ism_status status);
/** ism_error_move() - @to takes over what @from holds; @from is zeroed; returns the code */
int ism_error_move(struct ism_error *to, struct ism_error *from);
/** ism_error_copy() - @to gets a deep copy of @from; returns the code */
int ism_error_copy(struct ism_error *to, const struct ism_error *from);

/* strdup, printf to a new string; NULL when out of memory. */
char *text_format(const char *fmt, ...) ISM_PRINTF(1, 2);

#endif
