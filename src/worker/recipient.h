/* Verdicts on RCPT: whether a recipient is one of ours (R4 to R7; RFC 5321 3.3, 4.5.1). */
#ifndef MIRED_WORKER_RECIPIENT_H
#define MIRED_WORKER_RECIPIENT_H

#include <stdbool.h>

struct answer;
struct conn;
struct query;
struct smtp_step;
struct worker;

/* Answers SMTP_RECIPIENT. True: the session has its verdict. False: a clerk is queried, and the
 * connection is CONN_ASKING. */
bool recipient_begin(struct worker *w, struct conn *c, const struct smtp_step *step);

/* A clerk's answer (NULL: none came in time, 451). Books it and gives the session its verdict. */
void recipient_answered(struct worker *w, struct conn *c, const struct query *q,
                        const struct answer *a);

#endif
