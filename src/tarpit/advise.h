/* Suggests settings from the ledger and the counters (`mirectl advise`). Pure: entries in, settings
 * with their reasons out; no clock, no ledger, and it changes nothing.
 *
 * Law 2 limits each rule: advice may spare clients, or cost clients without good mail. It never
 * makes a client with good mail wait longer, and never masks a reply that such a client gets now
 * (tests/unit/tarpit/test_advise.c checks this with random ledgers). So nothing here proposes a
 * longer `time` or `max`, which would delay a stranger's first typo.
 *
 * Use: advise_begin(), then every client (with its network's entry) and every network in any order,
 * then advise_end(). The state is a few KB, whatever the ledger's size. */
#ifndef MIRED_TARPIT_ADVISE_H
#define MIRED_TARPIT_ADVISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "tarpit/ledger.h"
#include "tarpit/observed.h"
#include "tarpit/rules.h"

/* A client with at least this many live accepted recipients has good mail. */
#define ADVISE_GOOD 0.5

enum {
    ADVISE_NAMED = 10,
    ADVISE_MOST = 3 * ADVISE_NAMED + 10,
    ADVISE_SECONDS = 300,
    ADVISE_LEVELS = 256
};

/* One proposal. */
struct advice {
    const char *key;   /* what it is about: "time", "exempt"... */
    char setting[128]; /* a line of mired.conf, or of a shell */
    char reason[384];
};

/* Facts that are not in the ledger's entries. */
struct advise_facts {
    struct ledger_stats ledger;
    uint64_t ledger_size;     /* octets */
    uint64_t held, held_most; /* connections held now, and how many there may be; 0: not known */
    uint64_t guard_evictions; /* R17, since the start */
    uint64_t shielded;        /* verdicts that the shield withheld, since the start */
};

struct advise_named {
    struct addr who;
    double offences, good;
};

/* A client whose good mail would have been late while `observe` was on. */
struct advise_late {
    struct addr who;
    uint64_t late, put_off, worst_s;
    char domain[OBSERVED_DOMAIN]; /* of the line that says most */
};

struct advise {
    struct tarpit_rules rules, after; /* after: with all proposals accepted */
    struct advise_facts facts;
    uint64_t clients, with_good;
    uint32_t patience[ADVISE_SECONDS]; /* of clients with good mail: how many hung up after that
                                          many seconds */
    uint32_t ratio[ADVISE_LEVELS];     /* of those in debt: accepted recipients an offence */
    uint32_t debts[ADVISE_LEVELS];     /* of clients without good mail */
    double worst_good;                 /* the deepest debt of a client with good mail */
    struct advise_named exempt[ADVISE_NAMED], suspect[ADVISE_NAMED]; /* heaviest first */
    size_t exempts, suspects;
    struct advise_late late[ADVISE_NAMED]; /* heaviest first */
    size_t lates;
};

void advise_begin(struct advise *a, const struct tarpit_rules *rules,
                  const struct advise_facts *facts);
void advise_client(struct advise *a, const struct addr *who, const struct ledger_entry *client,
                   const struct ledger_entry *network);
void advise_network(struct advise *a, const struct addr *who, const struct ledger_entry *network);

/* What `observe` has seen of a client and a domain (R20), before advise_client(): a client that is
 * named here is not named again. A line of mostly wrong recipients says nothing for a client. */
void advise_observed(struct advise *a, const struct observed_line *line);

/* Writes the proposals, returns their number, and leaves the resulting rules in a->after. */
size_t advise_end(struct advise *a, struct advice out[ADVISE_MOST]);

#endif
