/* What the other members of a fleet (R25) know, beside the ledger: a shared mapping with two
 * parts.
 *
 *   the table  the sum of what all other members have booked on a key. The fleet process writes it;
 *              the ledger's own functions add it to what this member has booked itself.
 *   the ring   which keys have changed here, or are needed here. The processes that write the ledger
 *              write it (workers have it read-only and propose), the fleet process reads it. A
 *              writer never waits: a reader that falls behind has lost events, sees that, and
 *              repairs it by going through the ledger.
 *
 * Each ledger hashes its keys with a secret of its own, so members need other names for entries: a
 * client or network is named by its address (the label), a pair or account by a hash with the
 * fleet's key (its `common` name). All places in the table come from a hash with the fleet's key.
 *
 * Without a fleet (others_activate() was not called, or NULL) each call costs a branch. Nothing
 * blocks, allocates or fails. Each word of the table changes atomically; no process keeps a lock.
 * `now` is wall time in ms. */
#ifndef MIRED_TARPIT_LEDGER_OTHERS_H
#define MIRED_TARPIT_LEDGER_OTHERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_allowance.h"

struct ledger_others;

/* others_size() is the size in octets of a mapping with room for `places` keys. The other function
 * prepares a mapping, which is zero or from an earlier program; one with another layout or size is
 * emptied. NULL stays NULL. */
size_t others_size(uint64_t places);
struct ledger_others *others_open(void *mapping, size_t size);

/* From now on the ledger of this process tells its changes and adds what others know; NULL ends
 * that. Call it before the processes that use the ledger start. */
void ledger_share(struct ledger *l, struct ledger_others *o);

/* ---- for the fleet process ---- */

/* Starts to use the table with the fleet's key, for `owner` (not 0, and not the number of another
 * fleet process of this mired). A different key empties the table. others_rest() stops that if the
 * table still belongs to this owner; every process then uses its own ledger only. others_take_over()
 * makes a table that is in use this owner's, with the key that it has. */
void others_activate(struct ledger_others *o, const struct sipkey *key, uint64_t owner);
void others_take_over(struct ledger_others *o, uint64_t owner);
void others_rest(struct ledger_others *o, uint64_t owner);
bool others_is_active(const struct ledger_others *o);

/* How often all times of the ledger have moved because the clock was set (ledger_clock.h): since then
 * what was read of it before is of other times. The keeper counts, when it is done. */
uint64_t others_moves(const struct ledger_others *o);

/* What one member or several together have booked on a key: amounts decayed to `now`. */
struct ledger_share {
    double offences, good;                   /* good: what is left of what was earned there */
    double spent;                            /* of good mail that was earned at other members */
    uint64_t turn_ms, debt_ms, delivered_ms; /* wall ms; 0: none */
    uint64_t pass_ms; /* R22: the last pass; of an account's network: the first login from there */
    uint32_t flags;   /* LEDGER_TRAPPED, LEDGER_KNOWN, LEDGER_SUSPECT */
    bool paced;
    uint8_t queues; /* of a sum: how many members have a turn that has not ended */
};

/* The name that members have for an entry in common. */
struct ledger_name {
    uint64_t id;  /* a label, or the common hash */
    uint8_t kind; /* enum ledger_kind, with LEDGER_NAME_IP6 for an IPv6 address */
};
enum { LEDGER_NAME_IP6 = 8 };

/* Whether members share entries of that kind; and whether `id` of that kind is a label. */
bool ledger_name_is_shared(uint8_t kind);
bool ledger_name_is_label(uint8_t kind);

/* The ledger's key for a name that is a label; hash 0 for other names. */
struct ledger_key ledger_key_named(const struct ledger *l, const struct ledger_name *n);

/* Sets what the others know. All zero: nothing. */
void others_set(struct ledger_others *o, const struct ledger_name *n, const struct ledger_decay *d,
                uint64_t now, const struct ledger_share *sum);

/* How many other members the table says have a turn of the key that has not ended. */
unsigned others_queues(const struct ledger_others *o, const struct ledger_name *n, uint64_t now);

/* Prefetches what the functions around this one read of a key. Most keys of others are new here, so
 * a search reads whole sets. */
void others_prefetch(const struct ledger *l, const struct ledger_name *n);

/* What this member has booked on the key itself, and when last (*seen_ms); false: nothing. */
bool ledger_own(const struct ledger *l, const struct ledger_key *k, const struct ledger_name *n,
                const struct ledger_decay *d, uint64_t now, struct ledger_share *own,
                uint64_t *seen_ms);

/* Raises what this member has booked itself to a share that it sent earlier. */
void ledger_own_again(struct ledger *l, const struct ledger_key *k, const struct ledger_name *n,
                      const struct ledger_decay *d, uint64_t now, const struct ledger_share *was);

/* Goes through the ledger's own entries that have a label, like ledger_next(), but without adding
 * what others know. */
bool ledger_next_own(const struct ledger *l, uint64_t *at, struct ledger_key *key,
                     struct ledger_name *name, uint64_t *seen_ms);

enum others_what {
    OTHERS_CHANGED = 1, /* something was booked on it here */
    OTHERS_SIGHT,       /* a decision about it comes: what do others know? */
    OTHERS_FORGOTTEN,   /* ledger_forget() */
    OTHERS_SENT,        /* R23: an account has logged in or sent something here */
};

/* What was booked in a bucket of an account (ledger_allowance.h). */
struct ledger_sent {
    enum ledger_bucket bucket;
    uint32_t recipients; /* 0: it has logged in */
    uint32_t most;       /* that the bucket may hold */
    bool given_back;     /* the recipients did not get it after all */
};

struct others_event {
    struct ledger_name name;
    uint64_t hash; /* the ledger's own, which finds the entry */
    uint8_t what;
    struct ledger_sent sent; /* of OTHERS_SENT */
};

/* The number of the next event to be written: where a reader begins. */
uint64_t others_next(const struct ledger_others *o);

/* Reads event *at and advances. 1: *out is set; 0: there is none yet; -1: events were overwritten
 * before they were read, and *at is now at the oldest one left. Writers see how far the owner has
 * read, and leave out events that it has not read yet. */
int others_read(struct ledger_others *o, uint64_t owner, uint64_t *at, struct others_event *out);

/* Skips event *at, whose writer was killed while it wrote it. The event is lost. */
void others_skip(struct ledger_others *o, uint64_t owner, uint64_t *at);

/* ---- for the ledger and the tarpit ---- */

/* Changes when keys get other common names. A caller that keeps keys then computes them again. */
uint64_t ledger_naming(const struct ledger *l);

/* Tells the fleet process what was booked on an allowance. Each call counts. (The keeper tells it for
 * workers, so in a worker only a login has an effect.) */
void ledger_tell_sent(const struct ledger *l, const struct ledger_key *k,
                      const struct ledger_sent *sent);

/* Whether another member knows the account with that allowance. */
bool ledger_is_elsewhere(const struct ledger *l, const struct ledger_key *k);

/* Tells the fleet process that a decision about this key is coming. */
void ledger_sight(const struct ledger *l, const struct ledger_key *k);

#endif
