/* Commands: the table that says in which state each is allowed, and how lines are read. Pure; runs
 * in workers and in the store. Private to src/smtp. */
#ifndef MIRED_SMTP_COMMAND_H
#define MIRED_SMTP_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct turn;

/* The states of a session (RFC 5321 4.1.4, RFC 3030 4.2). */
enum smtp_state {
    STATE_FRESH,      /* no HELO yet, or TLS has just begun */
    STATE_READY,      /* HELO said, no mail transaction */
    STATE_SENDER,     /* MAIL taken, no recipient yet */
    STATE_RECIPIENTS, /* RCPT taken at least once */
    STATE_CHUNKS,     /* at least one BDAT taken, LAST not seen */
    STATE_BROKEN,     /* a BDAT failed: RSET or EHLO must come first */
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
    COMMAND_FOLLOWS = 128,   /* may have been pipelined after a MAIL or RCPT that it depends on */
    COMMAND_CHECK = 256,     /* sent by check tools: its reply reveals nothing */
    COMMAND_BARE_LF = 512,   /* a bare LF may end it while there is no transaction */
    COMMAND_JUNK = 1024,     /* brings no mail forward */
};

struct command {
    const char *verb;
    void (*run)(struct turn *t, struct span arg); /* the handler; NULL: only reply */
    uint16_t reply;                               /* enum reply_id, if there is no handler */
    uint16_t allowed;                             /* set of IN(state) */
    const char *instead; /* text of the 503 in other states: why not, or what must come first */
    uint16_t flags;      /* enum command_flag */
};

/* Finds the command with this verb, in any case; NULL if the protocol (SMTP or LMTP) has none.
 * Static. */
const struct command *smtp_command_find(struct span verb, bool lmtp);

/* The text of the 503 for a command that this state does not allow. Static. */
const char *smtp_command_refusal(const struct command *c, enum smtp_state state);

/* The commands in the order of the table, for tests; NULL after the last. */
const struct command *smtp_command_at(unsigned index);

enum line_result {
    LINE_WHOLE, /* *line is a complete line, without CRLF */
    LINE_MORE,  /* there is no complete line yet */
    LINE_LONG,  /* longer than `max`; dropped up to its end */
    LINE_BARE,  /* as LINE_WHOLE, but LF alone ends it */
    LINE_BAD,   /* has a bare CR or NUL; dropped up to LF */
};

/* Takes a line from the front of *in. If it is longer than `max` octets (CRLF included), takes all
 * of it that is there, and sets *swallow until its end has come, so that the caller need not keep
 * it. *line points into *in. */
enum line_result smtp_command_line(struct span *in, size_t max, bool *swallow, struct span *line);

/* Whether the octets begin like a TLS handshake. */
bool smtp_is_tls(struct span in);

#endif
