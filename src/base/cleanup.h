/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Clean-up on every path, by attribute; the one line where ownership moves says take(). */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(f) __attribute__((cleanup(f)))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _free_   CLEANUP(cleanup_free)
#define _close_  CLEANUP(cleanup_close)
#define _fclose_ CLEANUP(cleanup_fclose)

/* The pointer's value; the variable is NULL afterwards. */
#define take(p) \
	({ \
		__typeof__(p) *pp_ = &(p); \
		__typeof__(p) v_ = *pp_; \
		*pp_ = NULL; \
		v_; \
	})

static inline int take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#endif
