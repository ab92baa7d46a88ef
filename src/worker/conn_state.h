/* The phases and flags of a connection, with the names that logs and `mirectl connections` show.
 * These tables are the only place with the names. Pure. */
#ifndef MIRED_WORKER_CONN_STATE_H
#define MIRED_WORKER_CONN_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/close_reason.h"

/* P(identifier, name, what the connection waits for) */
#define CONN_PHASES(P)                                                                             \
    P(READING, "reading", "input from the client")                                                 \
    P(HELD, "held", "the end of its hold")                                                         \
    P(ASKING, "asking", "a clerk's answer")                                                        \
    P(HANDING, "delivering", "the backend's reply to the message")                                 \
    P(CLOSING, "closing", "the client to take the last reply")                                     \
    P(SHAKING, "handshake", "the client's part of the TLS handshake")                              \
    P(PROXY, "proxy", "the balancer's PROXY header")

enum conn_phase {
#define CONN_PHASE_ID(id, name, waits_for) CONN_##id,
    CONN_PHASES(CONN_PHASE_ID)
#undef CONN_PHASE_ID
};

enum {
#define CONN_PHASE_ONE(id, name, waits_for) 1,
    CONN_PHASE_COUNT = sizeof((char[]){CONN_PHASES(CONN_PHASE_ONE)})
#undef CONN_PHASE_ONE
};

/* F(identifier, bit, name) */
#define CONN_FLAGS(F)                                                                              \
    F(EXEMPT, 0, "exempt")        /* by configuration, or by what the DNS says (lists.c) */        \
    F(READ_OFF, 1, "read-off")    /* there is input that must wait; EPOLLIN is off */              \
    F(SEEN_END, 2, "ended")       /* the client has ended its side */                              \
    F(GREETING, 3, "greeting")    /* the greeting has not been sent yet */                         \
    F(HOLD_SET, 4, "decided")     /* the next reply is decided: it waits work->hold.ms, or 0 */    \
    F(LOOKED_UP, 5, "looked-up")  /* a look-up may refer to it: see lists_forget() */              \
    F(RUNNING, 6, "running")      /* conn_run() is on the stack */                                 \
    F(FREEZE, 7, "freeze")        /* this hold may be frozen */                                    \
    F(TLS, 8, "tls")              /* octets go through worker->tls */                              \
    F(TLS_LATER, 9, "tls-later")  /* CONN_SHAKING, which begins with its timer */                  \
    F(TLS_WRITE, 10, "tls-write") /* TLS waits for room to write before it reads on */             \
    F(PROXIED, 11, "proxied")     /* its socket is a balancer's */

enum conn_flag {
#define CONN_FLAG_ID(id, bit, name) CONN_##id = 1 << (bit),
    CONN_FLAGS(CONN_FLAG_ID)
#undef CONN_FLAG_ID
};

/* "held", and "the end of its hold". Static; "?" for an invalid phase. */
const char *conn_phase_name(enum conn_phase phase);
const char *conn_phase_waits_for(enum conn_phase phase);

/* The phase with that name; CONN_PHASE_COUNT if there is none. */
unsigned conn_phase_by_name(const char *name);

enum { CONN_FLAGS_TEXT = 112 };

/* "exempt,tls,proxied": the names of all flags that are set; empty for none. Returns `out`. */
const char *conn_flags_text(uint32_t flags, char out[CONN_FLAGS_TEXT]);

/* "gave up". Static. */
const char *close_reason_name(enum close_reason reason);

#endif
