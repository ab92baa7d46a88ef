/* R20: shadows. An observed client is answered at once. Its *shadow* is the same connection as it
 * would be if replies waited: each step of the connection is queued, and judged at the time when
 * the client would have made it. So the ledger sees offences, turns and masks at the times at which
 * it would have seen them, and a message's delay is the sum of its holds.
 *
 *   v(i) = max(t(i), v(i-1) + hold(i-1) + min(t(i) - t(i-1), 1 s))
 *
 * is when step i is judged; t(i) is when the client really made it. A gap of up to a second belongs
 * to the client and stays; in a longer gap the client waited for its next message, and that time
 * counts against the holds.
 *
 * A connection has a shadow only while it would wait; until then its steps are judged at once. A
 * shadow may outlive its connection. There are limits: SHADOWS_MOST shadows, half of them for
 * clients that have delivered good mail, and SHADOW_OF_CLIENT for one client; SHADOW_STEPS_MOST
 * queued steps in all, and SHADOW_STEPS for one shadow. An attacker that is not slowed opens more
 * connections than it could if each of them waited. So of a client's closed connections without a
 * delivery only SHADOW_IDLE have a shadow (as many as Postfix opens to one server), and debts do
 * not pile up.
 *
 * A shadow that is SHADOW_LAG_MS later than its client gives up, because few clients would have
 * gone on.
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
    SHADOW_RETRY_MS = 300 * 1000,       /* Postfix's times: a message that was deferred */
    SHADOW_RETRY_MOST_MS = 4000 * 1000, /* earns credit when its retry would have succeeded */
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
    uint64_t recipient;      /* of RCPT: tarpit_mailbox(); 0: not known */
    struct span domain;      /* of MAIL FROM; for the report */
    const uint64_t *mailbox; /* of SHADOW_GOOD */
    uint32_t mailboxes;
};

/* The result of a step; all zero: nothing to report. */
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
                                   shield's if it was deferred */
};

/* `t` is borrowed. 0 or -ENOMEM. */
int shadows_open(struct shadows **out, struct tarpit *t);
void shadows_close(struct shadows *s);

/* The connection makes this step now. `handle` belongs to the connection: it is 0 at first, only
 * these functions change it, and it stays below 2^20. `owner` is any value that no other open
 * connection has. True: *out has a note. */
bool shadow_step(struct shadows *s, uint32_t *handle, uint64_t owner,
                 const struct shadow_step *step, uint64_t now, struct shadow_note *out);

/* How much later than now the connection would be, as far as is known, in ms; and the rule that
 * causes it (enum tarpit_rule; 0: it would not wait). */
uint64_t shadow_lag(struct shadows *s, uint32_t handle, uint64_t owner, uint64_t now,
                    uint8_t *rule);

/* The connection is closed. */
void shadow_leave(struct shadows *s, uint32_t handle, uint64_t owner);

/* When the next step of any shadow is due; UINT64_MAX: there is none. */
uint64_t shadows_next(const struct shadows *s);

/* Judges the next step that is due; false if none is. A step may have nothing to report. */
bool shadows_due(struct shadows *s, uint64_t now, struct shadow_note *out);

/* For the end of the process: returns the next message that still waits in a queue, with the delay
 * that is known by now. False: there are no more, and no shadows either. */
bool shadows_end(struct shadows *s, struct shadow_note *out);

#endif
