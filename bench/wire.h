/* A load generator's connection, plain or under TLS 1.3, without blocking. */
#ifndef MIRED_BENCH_WIRE_H
#define MIRED_BENCH_WIRE_H

#include <openssl/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/bytes.h"

struct wire {
    int fd;
    SSL *ssl; /* NULL: plain */
};

/* What all connections under TLS share; it verifies no certificate and resumes no session. NULL
 * without memory. The caller keeps it until the process ends. */
SSL_CTX *wire_context(void);

/* Takes over `fd`, a socket that connects. `tls` NULL: plain. False without memory. The first
 * wire_recv() begins the handshake, so call it when the socket is connected. */
bool wire_open(struct wire *s, int fd, SSL_CTX *tls);

/* Sends the head and then the tail; either may be empty. Returns how many octets the kernel has
 * taken, of both together, 0 if none for now, and -1 when the connection has ended. What is left
 * has to be offered again. */
ssize_t wire_send(struct wire *s, struct span head, struct span tail);

/* Returns how many octets it has read, 0 if there are none for now, and -1 when the connection has
 * ended. Call it until it returns 0: TLS may have octets that the socket no longer has. */
ssize_t wire_recv(struct wire *s, char *at, size_t n);

/* Closes the socket, without TLS's farewell, as many mail servers do. Does nothing when closed. */
void wire_close(struct wire *s);

#endif
