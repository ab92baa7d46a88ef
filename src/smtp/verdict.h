/* Decides what a server's reply is about: the mail that was offered, or mired's own session with
 * the server.
 *
 * A server that refuses us (our address, our EHLO, one of our commands) says nothing about the mail
 * of a client. Such a reply must never reach the client as a final refusal, and is no offence of
 * the client: rule R24. The relay, the backend directory and the backend verifier all use these
 * functions. Pure; any process. */
#ifndef MIRED_SMTP_VERDICT_H
#define MIRED_SMTP_VERDICT_H

#include <stdbool.h>

#include "smtp/reply.h"

/* What the server replies to. */
enum reply_stage {
    STAGE_GREETING, /* the connection */
    STAGE_HELLO,    /* EHLO, LHLO, HELO */
    STAGE_TLS,      /* STARTTLS */
    STAGE_XCLIENT,  /* XCLIENT, XFORWARD */
    STAGE_LOGIN,    /* AUTH with a user's own name and password */
    STAGE_MAIL,
    STAGE_RCPT,
    STAGE_DATA,    /* DATA, before any of the message */
    STAGE_MESSAGE, /* the final dot */
    STAGE_COUNT
};

/* Which identity the server sees. Decides whether "client host rejected" and "sender rejected" are
 * about us. */
enum reply_speaker {
    SPEAKER_PROBE,  /* ourselves, with MAIL FROM:<> of our own */
    SPEAKER_RELAY,  /* ourselves, with the client's sender */
    SPEAKER_CLIENT, /* the client, after XCLIENT or a PROXY header */
    SPEAKER_COUNT
};

enum reply_about {
    REPLY_ABOUT_MAIL, /* the message, its sender, a recipient, a login: may be passed on */
    REPLY_ABOUT_US,   /* 451 to the client, no offence, and a warning with the words */
};

/* "RCPT", "the greeting": for the log. */
const char *reply_stage_text(enum reply_stage stage);

/* What the reply is about. 3xx and 421 are always about our session, 2xx about the mail. To a
 * login, only 235 and a refusal of name and password are about the login. */
enum reply_about reply_about(enum reply_stage stage, enum reply_speaker speaker,
                             const struct reply *r);

/* Whether the reply is an offence of the client: a 5xx about the mail with an enhanced code of
 * 5.1.x, 5.2.1, 5.7.x or none. A full mailbox or too large a message is no offence. */
bool reply_is_offence(enum reply_stage stage, enum reply_speaker speaker, const struct reply *r);

/* Whether a reply to RCPT that is about the mail says that there is no such recipient. */
bool reply_means_nobody(const struct reply *r);

#endif
