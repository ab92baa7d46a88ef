/* System calls, many on one way into the kernel (io_uring(7)).
 *
 * A freeze and a thaw are a dozen system calls each that hardly do anything: most of what they cost
 * is the way into the kernel and back, and on a virtual machine it may be nearly all of it. So
 * calls for many connections are collected, and made together.
 *
 * Calls that belong together name the same *result, which must be 0 when the first is added. It
 * stays 0 as long as each of them returns 0; else it is what the first that did not returned:
 * -errno, or a new descriptor, or a number of octets. Whether those after it were still made is
 * open: what must not happen after a failure belongs into the next round, after a look at *result.
 *
 * They are made in the order in which they were added, by calls_make() at the latest; some, or all,
 * before that. What a pointer points to must stay until then. Where the kernel does not do all of
 * them in a ring (before Linux 6.11, or where it is switched off), each is made at once, the usual
 * way, and all of the above holds as well.
 *
 * One process, one thread; not over a fork(). */
#ifndef MIRED_FREEZER_CALLS_H
#define MIRED_FREEZER_CALLS_H

#include <stdbool.h>
#include <sys/socket.h>

struct calls;

/* NULL: no memory. Whether there is a ring is found out here, by trying it. */
struct calls *calls_open(void);
void calls_close(struct calls *c);

/* socket(2), setsockopt(2), bind(2), connect(2) of a socket for which it does not have to wait,
 * SIOCINQ (tcp(7): octets unread), close(2). */
void calls_add_socket(struct calls *c, int *result, int domain, int type);
void calls_add_set(struct calls *c, int *result, int fd, int level, int name, const void *value,
                   socklen_t len);
void calls_add_bind(struct calls *c, int *result, int fd, const struct sockaddr *a, socklen_t len);
void calls_add_connect(struct calls *c, int *result, int fd, const struct sockaddr *a,
                       socklen_t len);
void calls_add_unread(struct calls *c, int *result, int fd);
void calls_add_close(struct calls *c, int *result, int fd);

/* Makes what has been added and not been made. A call that the kernel did not take gives -ENOBUFS.
 */
void calls_make(struct calls *c);

/* Whether there is a ring, and no more of one: for tests of what goes without. */
bool calls_have_ring(const struct calls *c);
void calls_drop_ring(struct calls *c);

#endif
