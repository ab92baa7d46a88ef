/* The clients that this worker judged last: their ledger keys, those with a sender's domain, and the
 * mailbox of the last recipient.
 *
 * A key is a hash, and for a message the same keys are needed about ten times. A connection has no
 * room for them, so the worker keeps those of the last few clients. The address alone selects the
 * place; if another client replaces an entry, its hashes are computed again. */
#ifndef MIRED_WORKER_WHO_H
#define MIRED_WORKER_WHO_H

#include "base/addr.h"
#include "tarpit/tarpit.h"

struct worker;

enum { WHO_PLACES = 128, WHO_DOMAIN_MAX = 47, WHO_ADDRESS_MAX = 63 };

struct who_place {
    struct addr peer; /* ADDR_NONE: free */
    uint8_t domain_len;
    char domain[WHO_DOMAIN_MAX]; /* of the pair in `who`; length 0: no pair */
    struct tarpit_who who;
    uint64_t naming; /* ledger_naming() when the pair's key was made */
    uint64_t mailbox;
    uint8_t address_len; /* 0: no recipient */
    char address[WHO_ADDRESS_MAX];
};

struct whos {
    struct who_place place[WHO_PLACES];
};

/* Like tarpit_who(). */
struct tarpit_who who_of(struct worker *w, const struct addr *peer, bool exempt);

/* Like tarpit_who() followed by tarpit_prefetch(). */
void who_prefetch(struct worker *w, const struct addr *peer);

/* Like tarpit_who() followed by tarpit_sender(). */
struct tarpit_who who_sends(struct worker *w, const struct addr *peer, bool exempt,
                            struct span domain);

/* tarpit_mailbox() of a recipient's address (local@domain as the client wrote it). */
uint64_t who_mailbox(struct worker *w, const struct addr *peer, struct span address);

/* Keeps the mailbox of an address that the caller has folded and hashed itself. */
void who_keep_mailbox(struct worker *w, const struct addr *peer, struct span address,
                      uint64_t mailbox);

#endif
