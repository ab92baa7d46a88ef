/* Offences and verdicts: what the protocol and the tarpit both refer to.
 *
 * An offence is a 5xx reply to an anonymous session, or an act that earns one (docs/tarpit.md). The
 * table below is the one place for kinds, names and weights. */
#ifndef MIRED_BASE_OFFENCE_H
#define MIRED_BASE_OFFENCE_H

/* O(identifier, name, weight in offences, whether the reply is a verdict) */
#define OFFENCES(O)                                                                                \
    O(RECIPIENT, "recipient", 1.0, 1) /* unknown recipient */                                      \
    O(RELAY, "relay", 1.0, 0)         /* a domain that is not ours */                              \
    O(SYNTAX, "syntax", 1.0, 0)       /* cannot be parsed, too long, bare CR or LF */              \
    O(SEQUENCE, "sequence", 1.0, 0)   /* out of order */                                           \
    O(AUTH, "auth", 1.0, 1)           /* wrong password or name */                                 \
    O(POLICY, "policy", 1.0, 0)       /* refused by mired itself: size, loop, AUTH first */        \
    O(BACKEND, "backend", 1.0, 0)     /* the backend's own 5xx */                                  \
    O(EARLY, "early", 1.0, 0)         /* talked before the greeting */                             \
    O(TRAP, "trap", 1.0, 0)           /* mail to a trap address */                                 \
    O(TLS, "tls", 0.25, 0)            /* no TLS at all, or a handshake that stops */

enum offence {
    OFFENCE_NONE,
#define OFFENCE_ID(id, name, weight, verdict) OFFENCE_##id,
    OFFENCES(OFFENCE_ID)
#undef OFFENCE_ID
        OFFENCE_COUNT
};

#endif
