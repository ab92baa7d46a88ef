/* Why a client's connection ended: one word for the log (`result` of event=session), the counters
 * (mired_sessions_total) and `mirectl log`. The table is the one place where they are named. */
#ifndef MIRED_BASE_CLOSE_REASON_H
#define MIRED_BASE_CLOSE_REASON_H

/* R(..., identifier, name): the arguments before the identifier are passed on, so that another
 * table can contain these rows (METRICS). */
#define CLOSE_REASONS(R, ...)                                                                      \
    R(__VA_ARGS__, QUIT, "quit")                  /* the client said QUIT, or its 5xx ends it */   \
    R(__VA_ARGS__, HUNG_UP, "hung up")            /* the client closed or reset it */              \
    R(__VA_ARGS__, GAVE_UP, "gave up")            /* ... while its reply was held */               \
    R(__VA_ARGS__, TIMEOUT, "timeout")            /* the client sent or read nothing in time */    \
    R(__VA_ARGS__, EVICTED, "evicted")            /* it made room for others (R17) */              \
    R(__VA_ARGS__, BUSY, "busy")                  /* there was no room for it */                   \
    R(__VA_ARGS__, SHUTDOWN, "shutdown")          /* the worker ends */                            \
    R(__VA_ARGS__, HANDSHAKE, "handshake failed") /* of TLS */                                     \
    R(__VA_ARGS__, NO_PROXY, "invalid PROXY header") /* of the balancer */                         \
    R(__VA_ARGS__, NO_MEMORY, "no memory")                                                         \
    R(__VA_ARGS__, JUNK, "too many commands") /* ... without mail (SMTP_JUNK_MAX) */

enum close_reason {
#define CLOSE_ID(unused, id, name) CLOSE_##id,
    CLOSE_REASONS(CLOSE_ID, )
#undef CLOSE_ID
        CLOSE_REASON_COUNT
};

#endif
