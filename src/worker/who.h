/* The clients that this worker judged last: their ledger keys, and those with a sender's domain.
 *
 * A key is a hash, and a message asks for the same ones about ten times. A connection has no room
 * for them, so the worker keeps those of the last few clients. Which client has a place is decided
 * by its address alone; one that pushes another out costs the other the time of its hashes. */
#ifndef MIRED_WORKER_WHO_H
#define MIRED_WORKER_WHO_H

#include "base/addr.h"
#include "tarpit/tarpit.h"

struct worker;

enum { WHO_PLACES = 128, WHO_DOMAIN_MAX = 47 };

struct who_place {
    struct addr peer; /* ADDR_NONE: free */
    uint8_t domain_len;
    char domain[WHO_DOMAIN_MAX]; /* whose pair `who` has; none of length 0 */
    struct tarpit_who who;
    uint64_t naming; /* ledger_naming() when the pair's key was made */
};

struct whos {
    struct who_place place[WHO_PLACES];
};

/* As tarpit_who(). */
struct tarpit_who who_of(struct worker *w, const struct addr *peer, bool exempt);

/* As tarpit_who() and then tarpit_sender(). */
struct tarpit_who who_sends(struct worker *w, const struct addr *peer, bool exempt,
                            struct span domain);

#endif
