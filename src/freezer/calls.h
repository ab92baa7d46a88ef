/* Makes many system calls with one entry into the kernel (io_uring(7)).
 *
 * A freeze and a thaw are a dozen system calls each, and most of these do little: most of their
 * cost is entering and leaving the kernel, on a virtual machine nearly all of it. So calls for many
 * connections are collected and made together.
 *
 * Calls that belong together have the same *result, which must be 0 when the first is added. It
 * stays 0 as long as each of them returns 0; otherwise it is the first other value: -errno, a new
 * descriptor, or a number of octets. The calls after that one may have been made or not. A call
 * that must not be made after a failure must be added in the next round, when *result is known.
 *
 * Calls are made in the order in which they were added, at the latest by calls_make(), some or all
 * of them earlier. Memory that a pointer refers to must stay until then. If the kernel does not
 * support all of them in a ring (before Linux 6.11, or where io_uring is disabled), each call is
 * made at once, and all of the above holds too.
 *
 * Not thread-safe; must not be used across fork(). */
#ifndef MIRED_FREEZER_CALLS_H
#define MIRED_FREEZER_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

struct calls;

/* Opens a collection, and tries whether a ring works. NULL without memory. */
struct calls *calls_open(void);
void calls_close(struct calls *c);

/* socket(2), setsockopt(2), bind(2), connect(2) of a socket for which it does not have to wait,
 * SIOCINQ (tcp(7): octets unread), close(2). */
void calls_add_socket(struct calls *c, int *result, int domain, int type);
void calls_add_set(struct calls *c, int *result, int fd, int level, int name, const void *value,
                   socklen_t len);
/* getsockopt(2) at the level SOL_SOCKET. *result becomes the length of the value, or -errno. */
void calls_add_get(struct calls *c, int *result, int fd, int name, void *value, socklen_t len);
void calls_add_bind(struct calls *c, int *result, int fd, const struct sockaddr *a, socklen_t len);
void calls_add_connect(struct calls *c, int *result, int fd, const struct sockaddr *a,
                       socklen_t len);
void calls_add_unread(struct calls *c, int *result, int fd);
void calls_add_close(struct calls *c, int *result, int fd);

/* Closes these descriptors. Calls that were added before are made, too. */
void calls_close_all(struct calls *c, const int *fd, size_t n);

/* Makes all added calls that have not been made. If the kernel did not accept a call, its result is
 * -ENOBUFS. */
void calls_make(struct calls *c);

/* Whether there is a ring; and the end of the ring, for tests without one. */
bool calls_have_ring(const struct calls *c);
void calls_drop_ring(struct calls *c);

#endif
