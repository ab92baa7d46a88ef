/* Verdicts on AUTH (R14; RFC 4954). PLAIN and LOGIN need one query, SCRAM needs two (RFC 5802, RFC
 * 7677). Passwords are wiped here after they have been passed on. */
#ifndef MIRED_WORKER_LOGIN_H
#define MIRED_WORKER_LOGIN_H

#include <stdbool.h>

#include "tarpit/tarpit.h"

struct answer;
struct conn;
struct query;
struct smtp_step;
struct worker;

/* Updates the mechanisms that the services offer to those that the clerks can check now
 * (params->auth). */
void login_offers(struct worker *w);

/* Answer SMTP_PASSWORD and SMTP_SCRAM. True: the session has its answer. False: a clerk is queried,
 * and the connection is CONN_ASKING. The step's user and response are wiped. */
bool login_begin(struct worker *w, struct conn *c, struct smtp_step *step);
bool login_scram(struct worker *w, struct conn *c, struct smtp_step *step);

/* A clerk's answer (NULL: none came in time, 454). Books it and gives the session its answer. */
void login_answered(struct worker *w, struct conn *c, const struct query *q,
                    const struct answer *a);

/* Asks for the permit of a query again after it waited in line, because its account's offences have
 * changed. False: the verdict is masked now, the session has its answer, and the query must not be
 * sent. */
bool login_judged(struct worker *w, struct conn *c, struct query *q);

/* Call it before the next reply, or at the connection's end. If a stranger dropped a SCRAM login
 * after our first message, books that like a wrong password, and frees the login. `booked`: the
 * next reply is itself an offence of AUTH. True: it was booked here; *hold says how long the next
 * reply waits, and that reply is then no other offence. */
bool login_dropped(struct worker *w, struct conn *c, bool booked, struct tarpit_hold *hold);

/* Frees the SCRAM login, if there is one, and books nothing. */
void login_forget(struct conn *c);

#endif
