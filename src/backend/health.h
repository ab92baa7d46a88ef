/* What is known of a backend: up or down and why, what it is able to do, what it says of us.
 * Private to src/backend.
 *
 * A backend that is down is tried again with growing pauses, of POOL_RETRY_MAX_MS at most, whether
 * there is mail for it or not. */
#ifndef MIRED_BACKEND_HEALTH_H
#define MIRED_BACKEND_HEALTH_H

#include "backend/pool.h"
#include "smtp/client.h"

/* At a backend's first use: what it was able to do last time. */
void health_recall(struct backend *b);

/* EHLO has told. */
void health_learn(struct backend *b, const struct ability *a);

/* It takes mail. */
void health_up(struct backend *b);

/* It cannot be reached, or serves nobody; `why` is for the log, NULL where it is not known. Its
 * `retry` alarm is set. */
void health_down(struct backend *b, const char *why);

/* Tells the log, once a minute, what this conversation's replies said of us, and forgets it. */
void health_complain(struct backend *b, struct outbound *o);

#endif
