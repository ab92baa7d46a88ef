/* Converts between struct addr and the kernel's socket addresses. Thread-safe. */
#ifndef MIRED_BASE_SOCKADDR_H
#define MIRED_BASE_SOCKADDR_H

#include <sys/socket.h>

#include "base/addr.h"

/* IPv4-mapped becomes IPv4; AF_UNIX becomes ADDR_UNIX; anything else ADDR_NONE. */
struct addr addr_from_sockaddr(const struct sockaddr *sa, socklen_t len);

/* Fills *out and returns its length; 0 for ADDR_NONE and ADDR_UNIX. */
socklen_t addr_to_sockaddr(const struct addr *a, struct sockaddr_storage *out);

/* The local address of a connected socket; ADDR_NONE when the kernel does not say. */
struct addr addr_of_socket(int fd);

#endif
