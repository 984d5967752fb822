/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads and writes through a descriptor that may be O_DIRECT: what file and device share. */
#ifndef MEDIUM_FDIO_H
#define MEDIUM_FDIO_H

#include "medium/medium.h"

/** fdio_read(), fdio_write() - medium_ops hooks over m->fd; what is not aligned to m->align goes
 * through a bounce buffer, a write of a part of a block by read-modify-write */
int fdio_read(struct medium *m, void *buf, size_t len, uint64_t offset, size_t *ret_len,
              struct ism_error *err);
int fdio_write(struct medium *m, const void *buf, size_t len, uint64_t offset,
               struct ism_error *err);
/** fdio_flush() - fdatasync; its result decides */
int fdio_flush(struct medium *m, struct ism_error *err);
/** fdio_close() - close m->fd */
void fdio_close(struct medium *m);
/** fdio_set_direct() - try to switch O_DIRECT on; true if reads and writes now pass by the page
 * cache */
bool fdio_set_direct(int fd);

#endif
