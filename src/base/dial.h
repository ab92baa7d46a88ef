/* Blocking connections to the administrator's own servers, for clerks. */
#ifndef MIRED_BASE_DIAL_H
#define MIRED_BASE_DIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

/* A connected stream to `addr`, or to the socket `path` when that is not NULL. Connecting, and each
 * read and write after it, gives up after `ms`. The caller's descriptor, or -errno. */
int dial(const struct addr *addr, const char *path, uint32_t ms);

/* Sends all of it: 0 or -errno (-ETIMEDOUT, -EPIPE, ...). */
int dial_send(int fd, const void *at, size_t len);

/* Some octets, at least one; -errno, -ECONNRESET at the end. */
ssize_t dial_recv(int fd, void *at, size_t room);

#endif
