/* Replies: one table of codes, enhanced codes (RFC 3463), offences and texts, and the functions
 * that write them.
 *
 * A held reply is a few octets (its row and its argument), so a held connection need not keep its
 * text. Pure, thread-safe. */
#ifndef MIRED_SMTP_REPLY_H
#define MIRED_SMTP_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/offence.h"

/* R(identifier, code, class-subject-detail or 0,0,0 for none, offence, text). The text may have one
 * %s, the argument. For REPLY_OTHER the caller sets code, enhanced code and offence, and the
 * argument is the whole text (a backend's words, with '\n' between lines). */
#define REPLIES(R)                                                                                 \
    R(GREETING, 220, 0, 0, 0, NONE, "%s ESMTP mired")                                              \
    R(BYE, 221, 2, 0, 0, NONE, "Bye")                                                              \
    R(HELO, 250, 0, 0, 0, NONE, "%s")                                                              \
    R(EHLO, 250, 0, 0, 0, NONE, "%s")                                                              \
    R(OK, 250, 2, 0, 0, NONE, "Ok")                                                                \
    R(SENDER_OK, 250, 2, 1, 0, NONE, "Ok")                                                         \
    R(RECIPIENT_OK, 250, 2, 1, 5, NONE, "Ok")                                                      \
    R(CHUNK_OK, 250, 2, 0, 0, NONE, "Chunk taken")                                                 \
    R(VRFY, 252, 2, 5, 2, NONE, "Cannot VRFY; send some mail, I will try my best")                 \
    R(HELP, 214, 2, 0, 0, NONE, "See RFC 5321")                                                    \
    R(START_TLS, 220, 2, 0, 0, NONE, "Ready to start TLS")                                         \
    R(AUTH_PROMPT, 334, 0, 0, 0, NONE, "%s")                                                       \
    R(AUTH_OK, 235, 2, 7, 0, NONE, "Authentication successful")                                    \
    R(START_INPUT, 354, 0, 0, 0, NONE, "End data with <CR><LF>.<CR><LF>")                          \
    R(SHUTDOWN, 421, 4, 3, 2, NONE, "%s Service is closing, try again")                            \
    R(TIMEOUT, 421, 4, 4, 2, NONE, "%s Idle for too long")                                         \
    R(BUSY, 421, 4, 3, 2, NONE, "%s Too many connections, try again later")                        \
    R(TOO_MANY_MAILS, 421, 4, 7, 0, NONE, "%s Enough messages for one session, connect again")     \
    R(EVICTED, 421, 4, 7, 0, NONE, "%s Making room, try again later")                              \
    R(MASKED, 450, 4, 7, 1, NONE, "Try again later")                                               \
    R(DIRECTORY_DOWN, 451, 4, 3, 0, NONE, "Cannot look up the recipient now, try again")           \
    R(BACKEND_DOWN, 451, 4, 3, 0, NONE, "Mail cannot be handed on now, try again")                 \
    R(PARTIAL_LATER, 451, 4, 3, 0, NONE, "Recipients answered differently, try again")             \
    R(TOO_MANY, 452, 4, 5, 3, NONE, "Too many recipients")                                         \
    R(LACKING, 451, 4, 3, 3, NONE, "The server behind lacks an extension asked for, try again")    \
    R(APART, 452, 4, 5, 3, NONE, "Send to this recipient apart from the others")                   \
    R(NO_SPACE, 452, 4, 3, 1, NONE, "No room for the message now")                                 \
    R(AUTH_LATER, 454, 4, 7, 0, NONE, "Temporary authentication failure")                          \
    R(TLS_LATER, 454, 4, 7, 0, NONE, "TLS not available")                                          \
    R(UNKNOWN_COMMAND, 500, 5, 5, 2, SYNTAX, "Unknown command")                                    \
    R(LINE_TOO_LONG, 500, 5, 5, 2, SYNTAX, "Line too long")                                        \
    R(AUTH_LINE_TOO_LONG, 500, 5, 5, 6, SYNTAX, "Authentication exchange line is too long")        \
    R(BAD_LINE, 500, 5, 5, 2, SYNTAX, "Bare CR, LF or NUL")                                        \
    R(BAD_ARGUMENT, 501, 5, 5, 4, SYNTAX, "Syntax: %s")                                            \
    R(BAD_SENDER, 501, 5, 1, 7, SYNTAX, "Bad sender address")                                      \
    R(BAD_RECIPIENT, 501, 5, 1, 3, SYNTAX, "Bad recipient address")                                \
    R(BAD_BASE64, 501, 5, 5, 2, SYNTAX, "Not base64")                                              \
    R(AUTH_CANCELLED, 501, 5, 7, 0, SYNTAX, "Authentication cancelled")                            \
    R(NO_EXPN, 502, 5, 5, 1, SYNTAX, "EXPN is not offered")                                        \
    R(SEQUENCE, 503, 5, 5, 1, SEQUENCE, "%s")                                                      \
    R(NO_MECHANISM, 504, 5, 5, 4, SYNTAX, "No such authentication mechanism")                      \
    R(AUTH_FIRST, 530, 5, 7, 0, POLICY, "Authentication required")                                 \
    R(TLS_FIRST, 530, 5, 7, 0, POLICY, "Issue STARTTLS first")                                     \
    R(AUTH_FAILED, 535, 5, 7, 8, AUTH, "Authentication failed")                                    \
    R(AUTH_NEEDS_TLS, 538, 5, 7, 11, POLICY, "Encryption required for authentication")             \
    R(NO_USER, 550, 5, 1, 1, RECIPIENT, "<%s>: user unknown")                                      \
    R(NO_RELAY, 550, 5, 7, 1, RELAY, "<%s>: relaying denied")                                      \
    R(NOT_HERE, 550, 5, 1, 2, RELAY, "<%s>: no mail to other domains from here")                   \
    R(NO_ROUTE, 550, 5, 4, 4, NONE, "<%s>: no server behind takes mail for this domain")           \
    R(TRAP, 550, 5, 7, 1, TRAP, "<%s>: refused")                                                   \
    R(TOO_LARGE, 552, 5, 3, 4, POLICY, "Message exceeds the size limit")                           \
    R(TOO_LARGE_THERE, 552, 5, 3, 4, NONE,                                                         \
      "Message exceeds the size limit of this recipient's server")                                 \
    R(NEEDS_UTF8, 553, 5, 6, 7, SYNTAX, "Non-ASCII address needs SMTPUTF8")                        \
    R(BAD_DATA, 554, 5, 5, 2, SYNTAX, "Bare CR or LF, or too long a line, in the message")         \
    R(NUL_DATA, 554, 5, 5, 2, SYNTAX, "NUL in the message")                                        \
    R(EARLY_TALKER, 554, 5, 5, 0, EARLY, "Talked before it was its turn")                          \
    R(NO_HTTP, 554, 5, 5, 1, SYNTAX, "This is SMTP, not HTTP")                                     \
    R(NO_TLS_YET, 554, 5, 5, 1, SEQUENCE, "This port does not begin with TLS")                     \
    R(INJECTED, 554, 5, 5, 1, SEQUENCE, "Commands pipelined behind STARTTLS")                      \
    R(NO_RECIPIENTS, 554, 5, 5, 1, SEQUENCE, "No valid recipients")                                \
    R(LOOP, 554, 5, 4, 6, POLICY, "Too many Received lines, a mail loop")                          \
    R(BAD_PARAMETER, 555, 5, 5, 4, SYNTAX, "Parameter not known or not allowed: %s")               \
    R(OTHER, 0, 0, 0, 0, NONE, "%s")                                                               \
    R(TOO_MANY_COMMANDS, 421, 4, 7, 0, NONE, "%s Too many commands without mail, connect again")

enum reply_id {
#define REPLY_ID(id, ...) REPLY_##id,
    REPLIES(REPLY_ID)
#undef REPLY_ID
        REPLY_COUNT
};

struct reply {
    uint16_t id;         /* enum reply_id */
    uint16_t code;       /* 220..559 */
    uint8_t enhanced[3]; /* class 0: none */
    uint8_t offence;     /* enum offence: what an anonymous session commits with it */
    bool last;           /* the connection is closed after it */
    struct span arg;     /* borrowed, for as long as the function that made the reply says */
};

/* Makes the reply of a row of the table. `arg` is borrowed. */
struct reply reply_make(enum reply_id id, struct span arg);

/* Measured: Exim cuts a reply at about 940 octets, msmtp refuses more than 50 lines. RFC 5321
 * 4.5.3.1.5 allows lines of 512 octets. For the reply to EHLO only the last limit applies. */
enum { REPLY_LINE_MAX = 512, REPLY_WHOLE_MAX = 900, REPLY_LINES_MAX = 50 };

/* A dripped reply divides REPLY_WHOLE_MAX among its first drip, REPLY_DRIPS_MAX short ones (one
 * every 20 s, for 290 s) and its last line. */
enum { REPLY_DRIP_FIRST_MAX = 290, REPLY_DRIP_SHORT_MAX = 22, REPLY_DRIPS_MAX = 14 };

/* Appends the reply as it is sent: each line with code, enhanced code and CRLF. Octets of the
 * argument that are not printable ASCII or UTF-8 become '?'. No line is longer than 512 octets, and
 * the whole reply has at most 900 octets and 50 lines (except EHLO's). If it would be longer, the
 * argument is cut, so the row's own words are always sent. Returns 0 or -ENOMEM. */
int reply_write(const struct reply *r, struct buf *out);

/* Appends one continuation line ("550-5.1.1 ...") for a dripped hold: the whole first line of the
 * final reply when `first`, else a short one. 0 or -ENOMEM. */
int reply_drip(const struct reply *r, bool first, struct buf *out);

/* Appends the last line of a reply after its drips: only its first line once more. Returns 0 or
 * -ENOMEM. */
int reply_end_drip(const struct reply *r, struct buf *out);

#endif
