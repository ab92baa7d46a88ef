/* The server's side of an SMTP session, without I/O, clock or globals (RFC 5321, 1870, 2920, 3030,
 * 3461, 4954, 6152, 6531, 2033).
 *
 * The caller loops: smtp_step() reads input and returns the first thing that the session needs. It
 * needs one thing at a time: while a reply is held, no further input is parsed, so replies keep
 * their order whatever the client pipelines, and a held session costs no work. The table in
 * command.c says which command is allowed in which state. Workers, the store (LMTP), tests and
 * fuzzers use the same code. Not thread-safe. */
#ifndef MIRED_SMTP_SESSION_H
#define MIRED_SMTP_SESSION_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "smtp/address.h"
#include "smtp/data.h"
#include "smtp/envelope.h"
#include "smtp/reply.h"

enum { SMTP_LINE_MAX = 2048, SMTP_AUTH_LINE_MAX = 12288 };

/* A line that is too long is read and dropped up to its end, so that its sender hears 500. Beyond so
 * many octets it is no sender's line, and the session ends. */
enum { SMTP_LINE_DROPPED_MAX = 1 << 20 };

/* Enough for any sender: a client that does not know LIMITS and reaches it hears 421 between two
 * messages. */
enum { SMTP_MAILS_MAX = 50000 };

/* Junk: commands since the last message that was accepted which bring no mail forward (NOOP, HELP,
 * VRFY, EXPN, EHLO again, refused and unknown ones), transactions that were given up (RSET, EHLO, or
 * MAIL behind a refused MAIL), and messages that were refused or deferred at their end; the next one
 * hears 421. Without this limit a client could keep a worker, the directories and the backends busy
 * with them. Postfix's smtpd_junk_command_limit has the same value, so senders with connection pools
 * know it.
 *
 * The count is in steps, because a transaction with many recipients costs more than one with one.
 * RCPT, and DATA or BDAT that does not go on with a message, is one step. A message that is refused at
 * its end is four, and each SMTP_JUNK_OCTETS of a message or chunk that is refused or given up is one.
 * All other junk is ten; but RSET behind a refused message counts nothing. So a sender that changes its
 * connection after 100 messages does not meet the limit, even if all are refused.
 *
 * Between transactions the limit is SMTP_JUNK_MAX times ten. Within one it is three times that, so
 * each transaction has as many RCPTs as Postfix answers before it hangs up: 1,000
 * (smtpd_recipient_limit) and 1,000 more (smtpd_recipient_overshoot_limit).
 *
 * A message or chunk that is refused while it comes in is read on, so that its sender hears why. The
 * session ends with that reply, and the rest is not read, when the message is larger than twice
 * size_max and, with all junk before it, exceeds the limit within a transaction: 1,500 MiB of octets.
 * Empty chunks that are not the last count like other junk, with that limit. */
enum {
    SMTP_JUNK_MAX = 100,
    SMTP_JUNK_STEPS = 10,
    SMTP_JUNK_WITHIN = 3,
    SMTP_JUNK_REFUSED = 4,
    SMTP_JUNK_LATE = 30, /* a pool says NOOP and RSET before each message */
    SMTP_JUNK_OCTETS = 512 << 10
};

static_assert((SMTP_JUNK_WITHIN - 1) * SMTP_JUNK_MAX * SMTP_JUNK_STEPS >=
                  2 * ENVELOPE_RECIPIENTS_MAX,
              "a transaction may have all of its recipients, and as many that are too many");

/* What a listener offers; shared by all of its sessions. While they run, only `size_max`, `offer`
 * and `able` change, with the backends' extensions. */
struct smtp_service {
    const char *hostname;
    uint64_t size_max;       /* octets; 0: no limit */
    uint64_t size_free;      /* a message above size_max and up to here is no offence (R24) */
    uint32_t recipients_max; /* of a message; 0: ENVELOPE_RECIPIENTS_MAX */
    uint16_t mails_max;      /* MAIL commands of a session, then 421; 0: any number */
    uint8_t junk_max;        /* as SMTP_JUNK_MAX; 0: any number */
    bool lmtp;               /* LHLO, and after the data a reply for each recipient */
    bool submission;         /* no MAIL without AUTH */
    uint32_t auth; /* enum smtp_auth: mechanisms, offered where AUTH is allowed; 0: none */
    bool auth_plain_from_afar; /* AUTH without TLS from other machines too (tests only) */
    bool tls;                  /* STARTTLS is offered */
    bool no_chunking;          /* BDAT is not offered, and refused */
    bool allow_nul;            /* in messages */
    bool again;                /* XAGAIN is offered: MAIL may say that the message may have come
                                  before; then the sender's parameters in the envelope have it */
    uint32_t offer;            /* enum smtp_offer: extensions that the reply to EHLO announces */
    uint32_t able;             /* enum smtp_offer: announced extensions that still work */
};

enum smtp_auth {
    SMTP_AUTH_PLAIN = 1,
    SMTP_AUTH_LOGIN = 2,
    SMTP_AUTH_SCRAM = 4,      /* SCRAM-SHA-256 */
    SMTP_AUTH_SCRAM_PLUS = 8, /* where TLS has binding data (SMTP_TLS_BINDS) */
    SMTP_AUTH_ALL = 15
};

enum smtp_offer {
    SMTP_OFFER_8BITMIME = 1,
    SMTP_OFFER_SMTPUTF8 = 2,
    SMTP_OFFER_DSN = 4,
    SMTP_OFFER_ALL = 7
};

/* smtp_session.flags. From SMTP_SPOOL on they are private. */
enum smtp_flag {
    SMTP_ESMTP = 1, /* EHLO or LHLO, not HELO */
    SMTP_AUTHENTICATED = 2,
    SMTP_TLS_ON = 4,
    SMTP_LOCAL = 8,         /* the client is on loopback */
    SMTP_NULL_SENDER = 16,  /* MAIL FROM:<> */
    SMTP_UTF8 = 32,         /* this message asked for SMTPUTF8 */
    SMTP_8BIT = 64,         /* BODY=8BITMIME */
    SMTP_DATA_VOID = 128,   /* the current message or chunk is refused, and its octets dropped */
    SMTP_LMTP = 256,        /* LHLO */
    SMTP_SPOOL = 512,       /* the caller holds a spool */
    SMTP_VOID_DUE = 1024,   /* SMTP_MESSAGE_VOID comes next */
    SMTP_CHUNK_LAST = 2048, /* the current chunk is BDAT ... LAST */
    SMTP_SWALLOW = 4096,    /* a line is too long and is dropped up to its end */
    SMTP_TRIED = 8192,      /* MAIL was refused, or RCPT has been said: is_consequence() */
    SMTP_TLS_BINDS = 16384, /* TLS has binding data for SCRAM-SHA-256-PLUS */
    SMTP_MENDS = 32768,     /* a bare LF in this client's BDAT becomes a CRLF; see smtp_mend() */
};

/* Part of each connection that speaks SMTP, so its size counts in the budget of a held one. */
struct smtp_session {
    struct envelope envelope;
    uint32_t size;       /* octets of the message so far, without stuffing; before its data the SIZE
                            that MAIL declared */
    uint32_t chunk_left; /* octets left of the BDAT chunk that is being read; with SMTP_SWALLOW
                            those that have been dropped of the line */
    struct data_scan data;
    struct {
        uint16_t id, code;
        uint8_t enhanced[3], offence;
    } pending;        /* private: the reply that is or will be sent, without its argument */
    uint16_t flags;   /* enum smtp_flag */
    uint16_t refusal; /* private: with SMTP_DATA_VOID, enum reply_id for the end of the message */
    uint16_t repeats; /* private: how many more times the reply must be sent (LMTP) */
    uint16_t mails;   /* private: MAIL commands so far; it counts up to mails_max */
    /* Widths are checked in session_part.h. */
    uint32_t state : 3;     /* private: enum smtp_state of command.h */
    uint32_t reading : 2;   /* private: what the next octets are */
    uint32_t wait : 4;      /* private: enum session_wait, what it waits for */
    uint32_t mechanism : 3; /* private: enum session_mechanism, AUTH in progress */
    uint32_t after : 2;     /* private: enum session_after, what follows the reply */
    uint32_t offered : 3;   /* private: enum smtp_offer, as announced in the reply to EHLO */
    uint32_t junk : 14;     /* private: steps since the last accepted message (SMTP_JUNK_STEPS) */
    bool trusted : 1;       /* set by the caller: paths may lack their brackets */
};

static_assert(sizeof(struct smtp_session) <= 56, "a held connection's memory is budgeted");

enum smtp_want {
    SMTP_INPUT,     /* needs more octets: call again with unused and new octets */
    SMTP_REPLY,     /* send step.reply (held or not), then call again */
    SMTP_RECIPIENT, /* look up step.box, and answer with smtp_recipient_is() */
    SMTP_PASSWORD,  /* check step.login, and answer with smtp_password_is() */
    SMTP_SCRAM,     /* pass on a message of SCRAM, and answer with smtp_scram_is() */
    SMTP_START_TLS, /* the 220 has been sent: shake hands, then smtp_tls_is_on(). Input that was
                       there is used up (what came with STARTTLS got REPLY_INJECTED, and it never
                       comes here) */
    SMTP_MESSAGE, /* a message begins: get a spool ready (or say smtp_body_failed()), call again */
    SMTP_BODY,    /* append step.body to the spool (or call smtp_body_failed()), then call again */
    SMTP_MESSAGE_END,  /* the message is complete: hand it over; answer with smtp_message_is() */
    SMTP_MESSAGE_VOID, /* free the spool, if there is one; call again */
    SMTP_END,          /* close the connection */
};

/* Binding data of TLS. A login that is bound to it cannot be used over any other connection: RFC
 * 9266, RFC 5929 section 4. */
enum scram_binding { SCRAM_UNBOUND, SCRAM_TLS_EXPORTER, SCRAM_TLS_END_POINT };

struct smtp_step {
    struct reply reply;  /* SMTP_REPLY; arg is valid until the next call with this session */
    struct mailbox box;  /* SMTP_RECIPIENT: points into the input; domain empty for <postmaster> */
    struct span address; /* SMTP_RECIPIENT: local@domain as written; same life */
    struct span body;    /* SMTP_BODY: points into the input, or static */
    struct {
        char user[256];             /* NUL-terminated; empty with SCRAM's second message */
        char response[1024];        /* NUL-terminated: the password, or SCRAM's message */
        enum scram_binding binding; /* what SCRAM's first message is bound to */
    } login;                        /* SMTP_PASSWORD, SMTP_SCRAM; the caller must wipe it */
};

enum recipient_verdict {
    RECIPIENT_TAKE,     /* 250 */
    RECIPIENT_UNKNOWN,  /* 550 5.1.1 */
    RECIPIENT_RELAYING, /* 550 5.7.1 */
    RECIPIENT_TRAP,     /* 550 5.7.1 */
    RECIPIENT_LATER,    /* 451 4.3.0: the directory is down */
    RECIPIENT_MASKED,   /* 450 4.7.1 */
    RECIPIENT_OTHER,    /* the reply that the caller passes */
};

enum password_verdict {
    PASSWORD_RIGHT,
    PASSWORD_WRONG,
    PASSWORD_LATER,
    PASSWORD_MORE /* smtp_scram_is() only: the client must send another message */
};

/* What a client sent before the greeting. */
enum smtp_early {
    SMTP_EARLY_TALK,
    SMTP_EARLY_CHECK, /* words of a check tool: HELO or the like, then QUIT; or a TLS handshake, which
                         the session refuses. The replies reveal nothing. */
};
enum { SMTP_EARLY_MAX = 512 };
enum smtp_early smtp_early(struct span in);

/* A new session; its first step is the greeting. */
void smtp_start(struct smtp_session *s, bool local);

/* After smtp_start(): accept lines that end in a bare LF in this client's chunks. */
void smtp_mend(struct smtp_session *s);

/* Makes one step, as described above. `in` is all input that earlier calls have not used; *used
 * says how much of it this call has used. Spans in *step are valid until the next call. Only the
 * fields for the result are set in *step. While a request is not answered, it returns SMTP_INPUT
 * and uses nothing. An input buffer of SMTP_AUTH_LINE_MAX octets is large enough: octets that
 * cannot be a line are used up. */
enum smtp_want smtp_step(struct smtp_session *s, const struct smtp_service *service, struct span in,
                         size_t *used, struct smtp_step *step);

/* Returns the current (held) reply again, for callers that have not kept it since the step; false
 * if there is none. It is valid as long as that of the step. */
bool smtp_reply_again(const struct smtp_session *s, const struct smtp_service *service,
                      struct reply *reply);

/* The answers. `other` is used with RECIPIENT_OTHER only; its arg is copied. Each makes the session
 * ready for smtp_step(), which then returns the reply. `address` is that of the step (the session
 * has kept it: smtp_asked()). A late answer, after smtp_shut(), is ignored. */
void smtp_recipient_is(struct smtp_session *s, enum recipient_verdict v, struct span address,
                       const struct reply *other);
void smtp_password_is(struct smtp_session *s, enum password_verdict v);

/* The same for SCRAM, with the server's message: MORE to the client's first, RIGHT to its second
 * (the reply is then a 334, because SCRAM also authenticates the server to the client). */
void smtp_scram_is(struct smtp_session *s, enum password_verdict v, struct span message);

/* The account that the client has logged in as; empty if it has not. Valid until the next call with
 * this session. */
struct span smtp_login(const struct smtp_session *s);

/* True while a SCRAM login is in progress. */
bool smtp_in_scram(const struct smtp_session *s);

/* The handshake is done: the client starts over with EHLO. A call between smtp_start() and the
 * first step means implicit TLS (port 465). `binds`: TLS has binding data for SCRAM. */
void smtp_tls_is_on(struct smtp_session *s, bool binds);

/* Ends the transaction: when it returns, the envelope has no sender and no recipients. In LMTP the
 * reply is sent once for each recipient. reply->arg is copied; it must not point into the session's
 * envelope. */
void smtp_message_is(struct smtp_session *s, const struct reply *reply);

/* In LMTP, when a reply of smtp_message_is() has been sent: the recipients that have had no reply yet
 * get this one, each until the next call. So a caller that has a reply for each recipient says the
 * first with smtp_message_is() and each of the others with this, in the order of the recipients.
 * Ignored when no recipient is left. Not for a message that the session itself has refused. */
void smtp_message_next(struct smtp_session *s, const struct reply *reply);

/* The address of an unanswered SMTP_RECIPIENT, local@domain as written; else empty. */
struct span smtp_asked(const struct smtp_session *s);

/* The spool cannot take more. The rest of the data is read and dropped, and the reply at its end is
 * 452 4.3.1. */
void smtp_body_failed(struct smtp_session *s);

/* Makes this reply (a 421; its argument is the host name) the next step, after which the session
 * ends. Drops a held reply, an unanswered request and a message in progress. */
void smtp_shut(struct smtp_session *s, enum reply_id id);

/* The SIZE that MAIL declared for this transaction, or 0; until SMTP_MESSAGE has been answered. */
uint32_t smtp_declared_size(const struct smtp_session *s);

/* Whether the session ends, or has ended, because of SMTP_JUNK_MAX. */
bool smtp_is_junk(const struct smtp_session *s);

/* Whether it has brought so much junk since its last accepted message (SMTP_JUNK_LATE) that it can wait
 * while others have something to do. */
bool smtp_is_late(const struct smtp_session *s);

/* True while a message is being read (DATA or BDAT has begun and not ended). */
bool smtp_in_data(const struct smtp_session *s);

/* The octets that come before the next command for certain: what is left of the chunk, SIZE_MAX with
 * DATA, 0 between messages and chunks. */
size_t smtp_octets_due(const struct smtp_session *s);

/* True while a line is too long and its end has not come: its octets are no progress. */
bool smtp_in_long_line(const struct smtp_session *s);

/* Frees unused heap memory; for sessions that will be held. */
void smtp_fit(struct smtp_session *s);

void smtp_free(struct smtp_session *s);

/* Appends the compact record of a session to `out`, for frozen holds. The session must be between
 * commands or have a held reply. Returns 0, -ENOMEM, or -EBUSY if it is in the middle of something
 * else (a message, a query, AUTH). */
int session_freeze(const struct smtp_session *s, struct buf *out);

/* Restores a session from its record; *s need not be started. Returns 0, -ENOMEM, or -EBADMSG if
 * the record is damaged or of another version; after a failure *s is zero. */
int session_thaw(struct smtp_session *s, struct span record);

#endif
