/* The client's side of SMTP and LMTP without I/O: one connection to a backend, one job at a time
 * (RFC 5321, 2033, 2920, 3030).
 *
 * A message goes with DATA, or with BDAT where the backend offers CHUNKING. Messages are kept
 * dot-stuffed, so one with a stuffing dot always goes with DATA, and the octets of the others are the
 * same both ways. BDAT is never sent before all recipients have been answered. A server that offers
 * CHUNKING and does not know BDAT would read the message as commands. So the first chunk of a
 * connection has only the header that mired adds, and the message follows when the server has taken
 * that chunk.
 *
 * Octets in, octets out; no clock. The job collects the backend's replies for each recipient;
 * relay/outcome.h derives the client's one reply from them. */
#ifndef MIRED_SMTP_CLIENT_H
#define MIRED_SMTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/ability.h"
#include "smtp/envelope.h"
#include "smtp/kept.h"
#include "smtp/reader.h"
#include "smtp/reply.h"
#include "smtp/verdict.h"
#include "smtp/xclient.h"

enum fate {
    FATE_OPEN,    /* no reply yet */
    FATE_HAS_IT,  /* delivered in an earlier try; skipped in this one */
    FATE_TAKEN,   /* RCPT was accepted, the data not yet */
    FATE_LATER,   /* 4xx */
    FATE_REFUSED, /* 5xx */
    FATE_DONE,    /* delivered */
};

struct job_recipient {
    struct kept_reply reply; /* LATER, REFUSED */
    uint8_t fate;            /* enum fate */
};

/* Recognises a message when its sender retries (smtp/sameness.h). `find` reads all of its octets and
 * sets the other fields. It is called when they are first needed, which is seldom. */
struct job_identity {
    void (*find)(struct job_identity *identity);
    uint64_t hash;
    uint64_t signatures; /* the hash of its signatures; 0: none */
    uint64_t source;     /* who sends it, by a hash; known from the beginning */
    bool vouched;        /* its sender is believed about any message; known from the beginning */
    bool named;          /* the message has a Message-ID */
    bool known;
};

/* One message for one backend. */
struct job {
    const struct envelope *envelope;
    struct xclient_identity who; /* spans are the caller's, for as long as the job lives */
    struct span header;          /* what mired puts before the message: CRLF at its end */
    uint64_t size;               /* octets of header and message, for SIZE= */
    uint32_t declared;           /* the SIZE that the client declared, or 0 */
    struct job_identity *identity;
    bool utf8, eightbit;
    bool again;   /* the backend may have it from an earlier connection (SMTP_AGAIN) */
    bool by_data; /* not with BDAT: it has stuffing dots, or a try with BDAT has failed */
    struct job_recipient *recipient;
    uint32_t recipients;
    struct kept_reply
        whole;    /* the reply to MAIL if it is refused, or to the message (LMTP: the last) */
    bool sent;    /* all of it was sent: the backend may have the message */
    bool lacking; /* the backend lacks an extension that this message needs; it was not offered */
};

/* After the envelope: whether the data may be sent. False when no recipient was accepted, or when
 * some were accepted and others refused with 5xx: the retry then asks each group separately. */
bool job_may_send(const struct job *j);

/* S(identifier, name): the states of a connection to a backend, by what it waits for or does. */
#define OUTBOUND_STATES(S)                                                                         \
    S(GREETING, "greeting") /* the backend's 220 */                                                \
    S(HELLO, "ehlo")        /* the reply to EHLO or LHLO; the others accordingly */                \
    S(HELO, "helo")                                                                                \
    S(STARTTLS, "starttls")                                                                        \
    S(SHAKE, "handshake")     /* the caller shakes hands, then outbound_secured() */               \
    S(IDLE, "idle")           /* may be given a job */                                             \
    S(XCLIENT, "xclient")     /* the client has been named */                                      \
    S(XHELLO, "xclient ehlo") /* ... and the session starts again */                               \
    S(XFORWARD, "xforward")                                                                        \
    S(MAIL, "mail")                                                                                \
    S(RCPT, "rcpt")                                                                                \
    S(CHUNK, "first chunk") /* the header has been sent with BDAT */                               \
    S(DATA, "data")                                                                                \
    S(BODY, "message") /* the caller sends `out` and all of it, then outbound_sent() */            \
    S(FINAL, "final dot")                                                                          \
    S(RSET, "rset")                                                                                \
    S(DEAD, "dead") /* close it */

enum outbound_state {
#define OUTBOUND_STATE_ID(id, name) OUTBOUND_##id,
    OUTBOUND_STATES(OUTBOUND_STATE_ID)
#undef OUTBOUND_STATE_ID
};

/* "first chunk". Static. */
const char *outbound_state_name(enum outbound_state state);

/* Refusals of many clients add up on one connection. Postfix waits a second before each reply after
 * the 10th error since it last took a message (smtpd_soft_error_limit), and ends the connection at
 * the 20th (smtpd_hard_error_limit). One refused recipient is two errors, because DATA is refused
 * with it. */
enum { OUTBOUND_REFUSALS_MOST = 8 };

enum outbound_tls {
    OUTBOUND_TLS_NONE,
    OUTBOUND_TLS_OFFERED, /* STARTTLS where it is offered */
    OUTBOUND_TLS_NEEDED,  /* STARTTLS, or the connection is not used */
};

struct outbound {
    struct reply_reader reader;
    struct buf out; /* to be sent */
    struct job *job;
    const char *hostname;
    const char *client_hello; /* NULL, or what to say in EHLO instead: PROXY */
    struct ability ability;
    struct kept_reply complaint; /* about us, not about the mail: for the log; code 0: none */
    uint8_t complained_of;       /* enum reply_stage */
    bool of_client;              /* the complaint may be about the client alone that was named */
    uint32_t xclient_caps;       /* CAP_XCLIENT, CAP_XFORWARD: use these if the backend has them */
    uint32_t at;                 /* the recipient whose reply comes next */
    uint8_t state;               /* enum outbound_state */
    bool lmtp;
    bool served;        /* has been ready for work */
    bool as_client;     /* by XCLIENT: the backend takes this connection for some client's */
    bool proxied;       /* ... or by a PROXY header */
    bool secure;        /* under TLS */
    uint8_t tls;        /* enum outbound_tls */
    bool over;          /* the job has ended: take it, and reset this flag */
    bool xclient_again; /* the current job's XCLIENT was refused, and sent without names */
    bool go;            /* the data may be sent after the backend's 354 */
    bool chunks;  /* use BDAT where the backend offers CHUNKING; the caller sets it between jobs */
    bool chunked; /* the current job goes with BDAT: there is no final dot */
    bool chunks_work;    /* the backend has taken a chunk on this connection */
    bool chunks_refused; /* it offers CHUNKING and has refused BDAT, as `complaint` says */
    uint32_t ahead;      /* octets of the job's header that were sent before OUTBOUND_BODY */
    uint32_t refusals;   /* replies of 4xx and 5xx to messages since it last took one */
};

/* Starts a new connection, before the backend's greeting. `xclient_caps` has bits of CAP_XCLIENT and
 * CAP_XFORWARD; `hostname` must outlive the connection. */
void outbound_start(struct outbound *o, bool lmtp, const char *hostname, uint32_t xclient_caps);

/* The extensions that the backend must have for this message (enum outbound_cap): a parameter of
 * the client is never dropped (RFC 6531 3.2, RFC 6152 3, RFC 3461 5.2). */
uint32_t outbound_needs(const struct job *j);

/* Begins a job; only in OUTBOUND_IDLE. Returns 0 or -ENOMEM. If the backend lacks an extension that
 * the message needs, the job ends at once, with job.lacking set. */
int outbound_begin(struct outbound *o, struct job *job);

/* Whether the connection must get no other job. Either the backend ties it to one client: after
 * XCLIENT, Postfix decides by the new address whether XCLIENT is allowed, so a second client is
 * refused. Or it has refused so much that the backend would soon slow down: OUTBOUND_REFUSALS_MOST
 * replies since it last took a message. */
bool outbound_is_spent(const struct outbound *o);

/* The handshake of OUTBOUND_SHAKE is done: the session starts again with EHLO. */
void outbound_secured(struct outbound *o);

/* Reads octets from the backend; afterwards look at the state and at `over`. If the state is
 * OUTBOUND_DEAD and `chunks_refused` is set, nobody has the job's message: begin the job again, with
 * `by_data` set, on another connection. */
void outbound_input(struct outbound *o, struct span in);

/* All of the message has been sent, and with DATA the final dot. */
void outbound_sent(struct outbound *o);

void outbound_free(struct outbound *o);

#endif
