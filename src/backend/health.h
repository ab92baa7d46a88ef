/* The state of a backend: up or down and why, its extensions, and its replies about mired. Private
 * to src/backend.
 *
 * Retries a backend that is down with growing pauses, up to POOL_RETRY_MAX_MS, with or without mail
 * for it. */
#ifndef MIRED_BACKEND_HEALTH_H
#define MIRED_BACKEND_HEALTH_H

#include "backend/pool.h"
#include "smtp/client.h"

/* Loads the extensions that the backend had in an earlier run; called at its first use. */
void health_recall(struct backend *b);

/* Stores the extensions that its reply to EHLO announced. */
void health_learn(struct backend *b, const struct ability *a);

/* The backend accepts mail. */
void health_up(struct backend *b);

/* The backend cannot be reached or refuses service; `why` is for the log, NULL if not known. Sets
 * its `retry` alarm. */
void health_down(struct backend *b, const char *why);

/* BDAT has failed: from now on, until the next reload, messages go to this backend with DATA. `o` has
 * the refusal as its complaint, which is logged and cleared; NULL: none. */
void health_no_chunks(struct backend *b, struct outbound *o);

/* TLS has failed, for `why`; `ended`: the connection has ended in the handshake. True: links do
 * without it for BACKEND_PLAIN_MS, because it is not required; then it is tried again. False: the
 * link is lost. */
bool health_no_tls(struct backend *b, const char *why, bool ended);

/* A link with TLS is ready. */
void health_tls(struct backend *b);

/* Whether links do without TLS because it has failed. */
bool health_is_plain(const struct backend *b);

/* Logs, at most once a minute, what this session's replies said about mired, and clears it. If they
 * demand TLS, which has failed, it is soon tried again. `client`: they may be about this client alone,
 * which the session has named; NULL: they are about mired. What is said about clients keeps nothing
 * about mired out of the log. */
void health_complain(struct backend *b, struct outbound *o, const struct addr *client);

#endif
