/* TLS on a connection: the handshake (CONN_SHAKING), and octets in and out under it.
 *
 * The SSL of a connection stands in worker->tls by descriptor (CONN_TLS), owned by the worker until
 * tls_free() or tls_let_go(). A handshake that fails for what a client's octets are is an offence;
 * one that fails for versions, ciphers or the certificate is not. */
#ifndef MIRED_WORKER_TLS_H
#define MIRED_WORKER_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "smtp/session.h"

struct conn;
struct worker;

/* The handshake comes next; the loop begins it: for a client in debt no sooner than its pace allows
 * (shakes.h), with `waits` no sooner than R3 allows. False: it would have to wait for too long, and
 * the connection is closed and freed. */
bool tls_begin(struct worker *w, struct conn *c, bool waits);

/* The timer of CONN_SHAKING. May free the connection. */
void tls_due(struct worker *w, struct conn *c);

/* The descriptor of CONN_SHAKING is ready; `ended`: the client ended its side. May free the
 * connection. */
void tls_step(struct worker *w, struct conn *c, bool ended);

/* As recv() and send() without waiting; errno is EAGAIN or ECONNRESET. With CONN_TLS only. */
ssize_t tls_recv(struct worker *w, struct conn *c, char *at, size_t room);
ssize_t tls_send(struct worker *w, struct conn *c, const char *at, size_t len);

/* As tls_recv(), and the octets are read again by the next call; see tls_octets_peek(). */
ssize_t tls_peek(struct worker *w, struct conn *c, char *at, size_t room);

/* Whether TLS could not read on for want of room to write (as after a client's KeyUpdate). */
bool tls_waits_to_write(const struct worker *w, const struct conn *c);

/* The client left: a handshake that nothing came of counts for the pace of its next ones. */
void tls_left(struct worker *w, struct conn *c);

/* Tells the client that nothing more comes (close_notify). */
void tls_end(struct worker *w, struct conn *c);

void tls_free(struct worker *w, struct conn *c);

/* Writes what TLS has that SCRAM can be bound to (RFC 9266, RFC 5929), `room` octets at most, and
 * returns how many; 0: nothing of that kind. */
size_t tls_binding(const struct worker *w, const struct conn *c, enum scram_binding kind, void *out,
                   size_t room);

/* The connection's TLS state; NULL when there is none, or octets are in flight in it. */
SSL *tls_at_rest(struct worker *w, struct conn *c);

/* Takes it from the connection: the caller owns it. */
void tls_let_go(struct worker *w, struct conn *c);

/* Gives a connection over another descriptor its TLS state back. False without memory: the state is
 * freed. */
bool tls_attach(struct worker *w, struct conn *c, SSL *ssl);

/* "TLSv1.3", for the log. Static. */
const char *tls_version(const struct worker *w, const struct conn *c);

#endif
