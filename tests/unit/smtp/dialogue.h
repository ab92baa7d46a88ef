/* A client's talk with a session, for unit tests and fuzzers: octets in, replies and a spool's
 * content out.
 *
 * Plays the caller of smtp_step() as a worker does: keeps what was not used, answers queries (by
 * the local part of the recipient: nobody, foreign, trap, down, masked, other; "wait" is left
 * open), keeps the body. */
#ifndef MIRED_TEST_TALK_H
#define MIRED_TEST_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp/session.h"

struct dialogue {
    struct smtp_session session;
    struct smtp_service service;
    struct buf input;     /* what the session has not used */
    struct buf replies;   /* as they went over the wire */
    struct buf asked;     /* a line for each wish that was no reply and no input */
    struct buf body;      /* of the spool, and of the last one that was handed on */
    struct reply verdict; /* of the backend */
    struct reply other;   /* LMTP: of each second recipient, if it has a code */
    size_t spool_room;    /* octets until the spool fails */
    size_t offences;      /* replies that are one */
    bool no_spool, spool_open, ended;
    bool answers, odd; /* the caller's replies to the last message, not the session's own */
    bool freeze;       /* each reply is held frozen where that is possible */
    bool fit;          /* spare memory is given back at each reply */
    size_t frozen;
    bool tls_12; /* TLS has nothing to bind to */
};

/* True while the session's own code runs, and not the test's: for who counts allocations. */
extern bool dialogue_in_session;

/* A service with all that there is, size_max 1,000,000, not local; smtp_start() is called, the
 * greeting taken. */
void dialogue_open(struct dialogue *t);
void dialogue_restart(struct dialogue *t, bool local); /* after changes to t->service */
void dialogue_close(struct dialogue *t);

/* Sends octets, `piece` at a time (0: at once), and steps the session as far as it goes. */
void dialogue_send(struct dialogue *t, struct span octets, size_t piece);

/* Steps on after an answer that was given from outside. */
void dialogue_go_on(struct dialogue *t);

#endif
