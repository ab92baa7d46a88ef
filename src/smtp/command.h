/* Commands: the table of what is allowed when, and what a line is. Private to src/smtp. */
#ifndef MIRED_SMTP_COMMAND_H
#define MIRED_SMTP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct turn;

/* How far a session has come (RFC 5321 4.1.4, RFC 3030 4.2). */
enum smtp_state {
    STATE_FRESH,      /* no HELO yet, or TLS has just begun */
    STATE_READY,      /* HELO said, no mail transaction */
    STATE_SENDER,     /* MAIL taken, no recipient yet */
    STATE_RECIPIENTS, /* RCPT taken at least once */
    STATE_CHUNKS,     /* at least one BDAT taken, LAST not seen */
    STATE_BROKEN,     /* a BDAT failed: nothing goes on before RSET or EHLO */
    STATE_COUNT
};

#define IN(state) (1u << STATE_##state)

enum command_flag {
    COMMAND_ESMTP = 1,       /* needs EHLO: HELO is not enough */
    COMMAND_BARE = 2,        /* takes no argument */
    COMMAND_SMTP_ONLY = 4,   /* unknown in LMTP */
    COMMAND_LMTP_ONLY = 8,   /* unknown in SMTP */
    COMMAND_RECIPIENTS = 16, /* allowed, but refused as having no recipients in STATE_SENDER */
    COMMAND_CHUNK = 32,      /* octets follow it, even when it is refused */
    COMMAND_ARGUMENT = 64,   /* needs an argument */
    COMMAND_FOLLOWS = 128,   /* may have been pipelined behind a MAIL or RCPT that it depends on */
    COMMAND_CHECK = 256,     /* what check tools say: tells nothing, and may end in a bare LF */
};

struct command {
    const char *verb;
    void (*run)(struct turn *t, struct span arg); /* NULL: `reply` is all */
    uint16_t reply;                               /* enum reply_id, told when there is no run */
    uint16_t allowed;                             /* set of IN(state) */
    const char *instead; /* why not, or what first, in a state that does not allow it */
    uint16_t flags;      /* enum command_flag */
};

/* The command whose verb it is, letters of any case; NULL when there is none in this protocol. */
const struct command *smtp_command_find(struct span verb, bool lmtp);

/* Why a command is out of sequence: the text of the 503. */
const char *smtp_command_refusal(const struct command *c, enum smtp_state state);

/* Commands in order of the table, for tests: NULL behind the last. */
const struct command *smtp_command_at(unsigned index);

enum line_result {
    LINE_WHOLE, /* *line is one, without CRLF */
    LINE_MORE,  /* nothing, or not all of one, is there */
    LINE_LONG,  /* longer than `max`, now swallowed to its end */
    LINE_BARE,  /* the same, but LF alone ends it */
    LINE_BAD,   /* holds a bare CR or NUL; swallowed up to LF */
};

/* Takes a line off *in. Of one longer than `max` octets (CRLF counted) all that is there is taken
 * and *swallow set until its end has been seen, so that the caller need not keep it. */
enum line_result smtp_command_line(struct span *in, size_t max, bool *swallow, struct span *line);

/* Whether the octets begin as a TLS handshake does. */
bool smtp_is_tls(struct span in);

#endif
