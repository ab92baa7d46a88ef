/* A server's SMTP session without I/O, clock or globals: octets in, requests out (RFC 5321, 1870,
 * 2920, 3030, 3461, 4954, 6152, 6531, 2033).
 *
 * The caller loops: smtp_step() consumes what it can of the input and returns the first thing it
 * needs. One thing at a time: while a reply waits (is held), nothing behind it is parsed, so
 * replies are in order whatever the client pipelines, and a held session costs no work. What is
 * allowed when is the table in command.c. The same code serves tests, fuzzers, the simulator and
 * the LMTP store. */
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

/* What a listener offers; shared by all of its sessions. While they run only `size_max`, `offer`
 * and `able` change, with the backends' abilities. */
struct smtp_service {
    const char *hostname;
    uint64_t size_max;  /* octets; 0: no limit */
    uint64_t size_free; /* up to here it is a backend's limit, and beyond it no offence (R24) */
    uint32_t recipients_max; /* 1,000 */
    bool lmtp;               /* LHLO, and the reply after the data once for each recipient */
    bool submission;         /* no MAIL without AUTH */
    uint32_t auth;           /* of enum smtp_auth: what is offered where AUTH may be; 0: nothing */
    bool auth_plain_from_afar; /* AUTH without TLS from beyond loopback (tests only) */
    bool tls;                  /* STARTTLS is offered */
    bool no_chunking;          /* BDAT is not offered, and refused */
    bool allow_nul;            /* in messages */
    uint32_t offer;            /* of enum smtp_offer: what EHLO is told */
    uint32_t able;             /* the extensions that work now, of those that EHLO has announced */
};

enum smtp_auth {
    SMTP_AUTH_PLAIN = 1,
    SMTP_AUTH_LOGIN = 2,
    SMTP_AUTH_SCRAM = 4,      /* SCRAM-SHA-256 */
    SMTP_AUTH_SCRAM_PLUS = 8, /* where TLS has what it binds to (SMTP_TLS_BINDS) */
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
    SMTP_DATA_VOID = 128,   /* the message or chunk in hand is refused, its octets dropped */
    SMTP_LMTP = 256,        /* LHLO */
    SMTP_SPOOL = 512,       /* the caller holds a spool */
    SMTP_VOID_DUE = 1024,   /* SMTP_MESSAGE_VOID comes next */
    SMTP_CHUNK_LAST = 2048, /* the chunk in hand is BDAT ... LAST */
    SMTP_SWALLOW = 4096,    /* a line is too long and thrown away up to its end */
    SMTP_TRIED = 8192,      /* MAIL was refused, or RCPT has been said: is_consequence() */
    SMTP_TLS_BINDS = 16384, /* TLS has what SCRAM-SHA-256-PLUS binds to */
    SMTP_MENDS = 32768,     /* a bare LF in this client's BDAT becomes a CRLF; see smtp_mend() */
};

/* What there is for each connection that speaks SMTP; the budget of a held one pays for it. */
struct smtp_session {
    struct envelope envelope;
    uint32_t size;       /* octets of the message so far, without stuffing; before its data the SIZE
                            that MAIL declared */
    uint32_t chunk_left; /* of the BDAT chunk being read */
    struct data_scan data;
    struct {
        uint16_t id, code;
        uint8_t enhanced[3], offence;
    } pending;         /* private: the reply that is or will be told, but its argument */
    uint16_t flags;    /* enum smtp_flag */
    uint16_t refusal;  /* private: with SMTP_DATA_VOID, enum reply_id for the end of the message */
    uint16_t repeats;  /* private: how often the reply in waiting is still to be told (LMTP) */
    uint8_t state;     /* private: enum smtp_state of command.h */
    uint8_t reading;   /* private: what the next octets are */
    uint8_t wait;      /* private: what was asked of the caller and not yet answered */
    uint8_t mechanism; /* private: AUTH in progress, and how far */
    uint8_t after;     /* private: what comes when the reply has been sent */
    bool trusted : 1;  /* the caller's to set: paths may come without their brackets */
    uint8_t offered : 3; /* private: enum smtp_offer, as EHLO was told it */
};

static_assert(sizeof(struct smtp_session) <= 56, "a held connection's memory is budgeted");

enum smtp_want {
    SMTP_INPUT,     /* more octets: call again with what was not used and what has come */
    SMTP_REPLY,     /* send step.reply (held or not), then call again */
    SMTP_RECIPIENT, /* is step.box a recipient? answer with smtp_recipient_is() */
    SMTP_PASSWORD,  /* is step.login right? answer with smtp_password_is() */
    SMTP_SCRAM,     /* a message of SCRAM's: answer with smtp_scram_is() */
    SMTP_START_TLS, /* the 220 has been sent: shake hands, then smtp_tls_is_on(). Input that was
                       there is used up (what came with STARTTLS got REPLY_INJECTED, and it never
                       comes here) */
    SMTP_MESSAGE, /* a message begins: get a spool ready (or say smtp_body_failed()), call again */
    SMTP_BODY,    /* append step.body to the spool (or say smtp_body_failed()), then call again */
    SMTP_MESSAGE_END,  /* the message is whole: hand it on; answer with smtp_message_is() */
    SMTP_MESSAGE_VOID, /* forget the spool, if there is one; call again */
    SMTP_END,          /* close the connection */
};

/* What TLS has that a login can be bound to, so that it is worth nothing over any other connection:
 * RFC 9266, RFC 5929 section 4. */
enum scram_binding { SCRAM_UNBOUND, SCRAM_TLS_EXPORTER, SCRAM_TLS_END_POINT };

struct smtp_step {
    struct reply reply;  /* SMTP_REPLY; arg valid until the next call that takes the session */
    struct mailbox box;  /* SMTP_RECIPIENT: points into the input; domain empty for <postmaster> */
    struct span address; /* SMTP_RECIPIENT: local@domain as written; same life */
    struct span body;    /* SMTP_BODY: points into the input, or static */
    struct {
        char user[256];             /* NUL-terminated; empty with SCRAM's second message */
        char response[1024];        /* NUL-terminated: the password, or SCRAM's message */
        enum scram_binding binding; /* that SCRAM's first message is bound to */
    } login;                        /* SMTP_PASSWORD, SMTP_SCRAM; the caller wipes it */
};

enum recipient_verdict {
    RECIPIENT_TAKE,     /* 250 */
    RECIPIENT_UNKNOWN,  /* 550 5.1.1 */
    RECIPIENT_RELAYING, /* 550 5.7.1 */
    RECIPIENT_TRAP,     /* 550 5.7.1 */
    RECIPIENT_LATER,    /* 451 4.3.0: the directory is down */
    RECIPIENT_MASKED,   /* 450 4.7.1 */
    RECIPIENT_OTHER,    /* as the reply given along says */
};

enum password_verdict {
    PASSWORD_RIGHT,
    PASSWORD_WRONG,
    PASSWORD_LATER,
    PASSWORD_MORE /* smtp_scram_is() only: the client has to say more */
};

/* What a client has said before it was greeted. */
enum smtp_early {
    SMTP_EARLY_TALK,
    SMTP_EARLY_CHECK, /* what a check tool says: HELO and kin, then QUIT; or a TLS handshake, which
                         the session refuses. It learns nothing. */
};
enum { SMTP_EARLY_MAX = 512 };
enum smtp_early smtp_early(struct span in);

/* A new session; its first step is the greeting. */
void smtp_start(struct smtp_session *s, bool local);

/* After smtp_start(): accept lines that end in a bare LF in this client's chunks. */
void smtp_mend(struct smtp_session *s);

/* One step, as described above. `in` is all input that is there and was not used by earlier calls;
 * *used tells how much of it this call is done with. What step's spans point to lives until the
 * next call. Only what belongs to the result is set in *step. While a request is not answered it
 * returns SMTP_INPUT and uses nothing. Input that holds less than SMTP_AUTH_LINE_MAX octets is
 * enough for any step: what cannot be a line is used up. */
enum smtp_want smtp_step(struct smtp_session *s, const struct smtp_service *service, struct span in,
                         size_t *used, struct smtp_step *step);

/* Returns the current (held) reply again, for callers that have not kept it since the step; false
 * when there is none. Valid as long as the step's. */
bool smtp_reply_again(const struct smtp_session *s, const struct smtp_service *service,
                      struct reply *reply);

/* The answers. `other` is used with RECIPIENT_OTHER only; its arg is copied. Each makes the session
 * ready for smtp_step(), which then returns the reply. `address` is the one that was asked about,
 * as the step had it (the session has kept it: smtp_asked()). A late answer, after smtp_shut(), is
 * ignored. */
void smtp_recipient_is(struct smtp_session *s, enum recipient_verdict v, struct span address,
                       const struct reply *other);
void smtp_password_is(struct smtp_session *s, enum password_verdict v);

/* The same for SCRAM, with the server's message: MORE to the client's first, RIGHT to its second
 * (the reply is then a 334, because SCRAM also authenticates the server to the client). */
void smtp_scram_is(struct smtp_session *s, enum password_verdict v, struct span message);

/* The account that the client is logged in as; empty: it is not. Until the session is next called.
 */
struct span smtp_login(const struct smtp_session *s);

/* True while SCRAM has begun and not ended. */
bool smtp_in_scram(const struct smtp_session *s);

/* The handshake is done: the client starts over with EHLO. Called between smtp_start() and the
 * first step it means implicit TLS (port 465). `binds`: SCRAM can be bound to it. */
void smtp_tls_is_on(struct smtp_session *s, bool binds);

/* Ends the transaction: the envelope's sender and recipients are gone when it returns. In LMTP the
 * reply is told once for each recipient. reply->arg is copied; it must not stand in the session's
 * envelope. */
void smtp_message_is(struct smtp_session *s, const struct reply *reply);

/* The address that SMTP_RECIPIENT asked about, local@domain as written, until it is answered; else
 * empty. */
struct span smtp_asked(const struct smtp_session *s);

/* The spool cannot take more (452 4.3.1 at the end of the data, which is read and dropped until
 * then). */
void smtp_body_failed(struct smtp_session *s);

/* The next step is this reply (421 and kin; its argument is the host name), after which the session
 * ends. Drops a held reply, a pending request to the caller and a message in progress. */
void smtp_shut(struct smtp_session *s, enum reply_id id);

/* The SIZE that MAIL declared for this transaction, or 0; until SMTP_MESSAGE has been answered. */
uint32_t smtp_declared_size(const struct smtp_session *s);

/* True while a message is being read (DATA or BDAT has begun and not ended). */
bool smtp_in_data(const struct smtp_session *s);

/* Gives back spare heap memory: for sessions that are about to be held. */
void smtp_fit(struct smtp_session *s);

void smtp_free(struct smtp_session *s);

/* The compact record of a session between commands or with a reply in waiting, for frozen holds:
 * appended to `out`. 0, -ENOMEM, or -EBUSY when it is in the middle of something (a message, a
 * question, AUTH). */
int session_freeze(const struct smtp_session *s, struct buf *out);

/* A session from its record; *s need not be started. 0, -ENOMEM, or -EBADMSG when the record is
 * damaged or of another version; *s is then zero. */
int session_thaw(struct smtp_session *s, struct span record);

#endif
