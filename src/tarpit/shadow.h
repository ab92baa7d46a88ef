/* R20: shadows. A client that is observed is answered at once. Its *shadow* is the same connection
 * as it would have gone if replies had waited: what the connection does is queued, and judged when
 * the client would have come to do it. So the ledger sees offences, turns and masks at the times
 * at which it would have seen them, and a message's delay is the sum of what it met.
 *
 *   v(i) = max(t(i), v(i-1) + hold(i-1) + min(t(i) - t(i-1), 1 s))
 *
 * is when step i is judged, t(i) when the client really did it: a gap of up to a second is the
 * client's own and stays; a longer one is time in which the next message came to be, and makes up
 * for waiting.
 *
 * A connection has a shadow only while it would wait; until then its steps are judged as they
 * come. A shadow outlives its connection. All is bounded: SHADOWS_MOST shadows, half of them for
 * clients that have delivered good mail, SHADOW_OF_CLIENT of one client; SHADOW_STEPS_MOST queued
 * steps in all and SHADOW_STEPS of one shadow. An attacker that is not slowed opens more
 * connections than it could if each of them waited: of a client's connections that are closed and
 * have delivered nothing, SHADOW_IDLE are followed (as many as Postfix opens to one server), so
 * debts do not pile up.
 *
 * A shadow that has fallen SHADOW_LAG_MS behind its client gives up: few clients would have gone on.
 *
 * Time is an argument (`now`, wall ms), one process uses a set of shadows, nothing blocks. Out of
 * memory a step is not judged. */
#ifndef MIRED_TARPIT_SHADOW_H
#define MIRED_TARPIT_SHADOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/offence.h"
#include "tarpit/tarpit.h"

struct shadows; /* opaque */

enum {
    SHADOWS_MOST = 4096,
    SHADOW_STEPS_MOST = 65536,
    SHADOW_STEPS = 256,
    SHADOW_OF_CLIENT = 256,
    SHADOW_IDLE = 20,
    SHADOW_LAG_MS = 30 * 60 * 1000,
    SHADOW_RETRY_MS = 300 * 1000,       /* Postfix's times: a message that was put off */
    SHADOW_RETRY_MOST_MS = 4000 * 1000, /* earns credit when it would have come through */
    SHADOW_RETRIES_MS = 24 * 3600 * 1000,
    SHADOW_DOMAIN = 64,
};

enum shadow_kind {
    SHADOW_GREET,     /* tarpit_greet(); a client that would have been paused passes */
    SHADOW_WAIT,      /* tarpit_wait(): EHLO, MAIL, and a greeting without a pause */
    SHADOW_OFFENCE,   /* tarpit_offence() */
    SHADOW_VERDICT,   /* tarpit_ask() and tarpit_verdict() */
    SHADOW_GOOD,      /* tarpit_good(), before SHADOW_DELIVERED; at once if there is no room */
    SHADOW_DELIVERED, /* a message has been delivered */
};

/* What the connection does. */
struct shadow_step {
    enum shadow_kind kind;
    enum offence offence;
    struct tarpit_who who;
    struct addr client;
    struct span user;        /* of AUTH */
    struct span domain;      /* of MAIL FROM; for the report */
    const uint64_t *mailbox; /* of SHADOW_GOOD */
    uint32_t mailboxes;
};

/* What a step came to; all zero: nothing to tell. */
struct shadow_note {
    uint64_t owner;
    bool open; /* its connection is still open */
    struct addr client;
    char domain[SHADOW_DOMAIN]; /* of MAIL FROM, cut, ends with NUL */
    struct tarpit_hold hold;    /* would have been held, or masked, if hold.ms > 0 */
    bool first;                 /* the first hold of its connection */
    bool typo;                  /* ... which is for a typo of a client with good mail */
    bool mail;                  /* a message was delivered, and would have been: */
    bool put_off;     /* ... refused with 450 for one of its recipients at least (R5, R7) */
    uint64_t late_ms; /* ... so much later */
    uint8_t rule;     /* enum tarpit_rule: of the message's longest hold; the mask's or
                                   shield's if it was put off */
};

/* `t` is borrowed. 0 or -ENOMEM. */
int shadows_open(struct shadows **out, struct tarpit *t);
void shadows_close(struct shadows *s);

/* The connection does this now. `handle` is the caller's word for the connection: 0 at first, then
 * changed by these calls only, below 2^20. `owner` is anything that tells it from all others that
 * are open. True: *out has a note. */
bool shadow_step(struct shadows *s, uint32_t *handle, uint64_t owner,
                 const struct shadow_step *step, uint64_t now, struct shadow_note *out);

/* How much later than now the connection would be as far as is known, in ms, and the rule behind it
 * (enum tarpit_rule; 0: it would not wait). */
uint64_t shadow_lag(struct shadows *s, uint32_t handle, uint64_t owner, uint64_t now,
                    uint8_t *rule);

/* The connection is closed. */
void shadow_leave(struct shadows *s, uint32_t handle, uint64_t owner);

/* When the next step of any shadow is due; UINT64_MAX: there is none. */
uint64_t shadows_next(const struct shadows *s);

/* Judges the next step that is due. False: none is. A step may have nothing to tell. */
bool shadows_due(struct shadows *s, uint64_t now, struct shadow_note *out);

/* The process ends: takes the next message that still waits in a queue, as late as is known by now.
 * False: there are no more, and no shadows either. */
bool shadows_end(struct shadows *s, struct shadow_note *out);

#endif
