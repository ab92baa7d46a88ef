/* Connections to the administrator's own servers, for clerks; blocking, but for dial_at_once(). Each
 * thread may have its own. */
#ifndef MIRED_BASE_DIAL_H
#define MIRED_BASE_DIAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"

/* Connects a stream to `addr`, or to the unix socket `path` if that is not NULL. Connecting, and
 * each read and write after it, gives up after `ms`. Returns a descriptor that the caller closes,
 * or -errno. */
int dial(const struct addr *addr, const char *path, uint32_t ms);

/* Connects a stream to the unix socket `path`, and waits for nothing: neither does the descriptor
 * later. Returns it, or -errno; -EAGAIN: too many wait for the listener already. */
int dial_at_once(const char *path);

/* From now on each read and write of the connection gives up after `ms`. */
void dial_patience(int fd, uint32_t ms);

/* Sends all `len` octets. Returns 0 or -errno (-ETIMEDOUT, -EPIPE, ...). */
int dial_send(int fd, const void *at, size_t len);

/* Reads up to `room` octets and returns how many, at least one; or -errno, -ECONNRESET when the
 * other end has closed. */
ssize_t dial_recv(int fd, void *at, size_t room);

#endif
