/* TLS on a connection: the handshake (CONN_SHAKING), and reading and writing octets.
 *
 * The SSL of a connection is in worker->tls, indexed by descriptor (CONN_TLS); the worker owns it
 * until tls_free() or tls_let_go(). A handshake that fails because the client's octets are not TLS
 * is an offence; one that fails because of versions, ciphers or the certificate is not. */
#ifndef MIRED_WORKER_TLS_H
#define MIRED_WORKER_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "smtp/session.h"

struct conn;
struct worker;

/* False without memory. tls_close() frees no connection's TLS state. */
bool tls_open(struct worker *w);
void tls_close(struct worker *w);

/* Schedules the handshake, which the loop begins: for a client in debt when its pace allows it
 * (shakes.h), and with `waits` when R3 allows it. False: it would have to wait too long, and the
 * connection is closed and freed. */
bool tls_begin(struct worker *w, struct conn *c, bool waits);

/* The timer of CONN_SHAKING. May free the connection. */
void tls_due(struct worker *w, struct conn *c);

/* The descriptor of CONN_SHAKING is ready; `ended`: the client ended its side. If the client has too
 * many unfinished handshakes, this one waits in line for the end of one of them, and has no more
 * time for that. May free the connection. */
void tls_step(struct worker *w, struct conn *c, bool ended);

/* Like recv() and send() on a non-blocking socket; errno is EAGAIN or ECONNRESET. Only with
 * CONN_TLS. */
ssize_t tls_recv(struct worker *w, struct conn *c, char *at, size_t room);
ssize_t tls_send(struct worker *w, struct conn *c, const char *at, size_t len);

/* As tls_recv(), into the first of these places and then the next. Together they must have room for
 * a record (TLS_RECORD_MAX): all of it is read, because epoll does not report octets that OpenSSL
 * has buffered. If it is a full one, the next one is read, too, and so on. */
struct iovec;
enum { TLS_RECORD_MAX = 16384 };
ssize_t tls_recv_places(struct worker *w, struct conn *c, const struct iovec *place, int places);

/* Whether the client's close_notify has been read. */
bool tls_has_ended(const struct worker *w, const struct conn *c);

/* As tls_recv(), and the octets are read again by the next call; see tls_octets_peek(). */
ssize_t tls_peek(struct worker *w, struct conn *c, char *at, size_t room);

/* Whether TLS cannot read because it must first write (as after a client's KeyUpdate). */
bool tls_waits_to_write(const struct worker *w, const struct conn *c);

/* The client left: if it did nothing after its handshake, that counts as a failed one for the pace
 * of its next ones. */
void tls_left(struct worker *w, struct conn *c);

/* Sends close_notify. */
void tls_end(struct worker *w, struct conn *c);

/* Frees the TLS state, if there is one, and the connection's place in line. */
void tls_free(struct worker *w, struct conn *c);

/* Writes TLS's binding data for SCRAM (RFC 9266, RFC 5929), `room` octets at most, and returns how
 * many; 0 if there is none of that kind. */
size_t tls_binding(const struct worker *w, const struct conn *c, enum scram_binding kind, void *out,
                   size_t room);

/* The connection's TLS state; NULL if there is none, or if it has octets in flight. */
SSL *tls_at_rest(struct worker *w, struct conn *c);

/* Takes it from the connection: the caller owns it. */
void tls_let_go(struct worker *w, struct conn *c);

/* Attaches a TLS state to a connection, which may have another descriptor than before. False
 * without memory: the state is freed. */
bool tls_attach(struct worker *w, struct conn *c, SSL *ssl);

/* "TLSv1.3", for the log. Static. */
const char *tls_version(const struct worker *w, const struct conn *c);

#endif
