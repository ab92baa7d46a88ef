/* Which mailboxes hang: calls on them do not return, as in a folder on a file server that is gone.
 * A call in the kernel cannot be taken back, so the store keeps the threads few that may be lost in
 * one: a mailbox that hangs refuses all further messages at once, and of a domain in which several
 * hang, those that have not been well since get few tries at a time; the same for all domains.
 *
 * The memory is one of this process and of limited size. Times are monotonic ms, given by the caller.
 * Thread-safe; never blocks. */
#ifndef MIRED_STORE_JAMS_H
#define MIRED_STORE_JAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ring.h"
#include "store/box.h"

enum {
    JAM_MS = 5000,       /* a call that takes as long hangs */
    JAM_CROWD_MS = 1000, /* the same, if there are so many at the same mailbox: */
    JAM_CROWD = 8,
    JAM_DOMAIN = 4,       /* mailboxes that hang, from which the domain is suspect */
    JAM_DOMAIN_MOST = 16, /* from which it gets no more tries */
    JAM_DOMAIN_TRIES = 2, /* at a time */
    JAM_ALL = 8,          /* the same for all: domains that hang; tries at a time */
    JAM_ALL_TRIES = 8,
};

/* A call, or several, on one mailbox. Private but for its memory. */
struct jam {
    struct ring link;
    uint64_t box, domain; /* hashes */
    uint64_t since_ms;
    bool trial;
};

/* Begins calls on a mailbox; jam_leave() must follow. False: it hangs, and nothing is begun; with
 * `must` never. */
bool jam_enter(struct jam *j, const struct box_path *box, bool must, uint64_t now_ms);

/* They have returned. `stored`: with a message in the mailbox. */
void jam_leave(struct jam *j, bool stored, uint64_t now_ms);

/* Whether the mailbox hangs, or has not been well since it did. */
bool jam_is_doubtful(const struct box_path *box, uint64_t now_ms);

#endif
