/* Verdicts on AUTH (R14; RFC 4954): is this password right? PLAIN and LOGIN are one query, SCRAM is
 * two (RFC 5802, RFC 7677). Passwords are wiped here once they have been sent on. */
#ifndef MIRED_WORKER_LOGIN_H
#define MIRED_WORKER_LOGIN_H

#include <stdbool.h>

#include "tarpit/tarpit.h"

struct answer;
struct conn;
struct query;
struct smtp_step;
struct worker;

/* What the services offer follows what the clerks can check now (params->auth). */
void login_offers(struct worker *w);

/* Answer SMTP_PASSWORD and SMTP_SCRAM. True: the session has its answer. False: a clerk is asked,
 * the connection is CONN_ASKING. The step's user and response are wiped. */
bool login_begin(struct worker *w, struct conn *c, struct smtp_step *step);
bool login_scram(struct worker *w, struct conn *c, struct smtp_step *step);

/* A clerk's answer (NULL: none came in time, 454). Books it and gives the session its answer. */
void login_answered(struct worker *w, struct conn *c, const struct query *q,
                    const struct answer *a);

/* A query stood in line: asks for its permit again, for its account's offences have changed. False:
 * it is masked now, the session has its answer, and the query must not be sent. */
bool login_judged(struct worker *w, struct conn *c, struct query *q);

/* Before the next reply, or the connection's end: books a SCRAM login that a stranger dropped after
 * our first message like a wrong password, and frees it. `booked`: the reply that comes is an
 * offence of AUTH by itself. True: it was booked here, and *hold is how long the reply waits for
 * it, which is then no offence of its own. */
bool login_dropped(struct worker *w, struct conn *c, bool booked, struct tarpit_hold *hold);

/* Frees the SCRAM login, if there is one, and books nothing. */
void login_forget(struct conn *c);

#endif
