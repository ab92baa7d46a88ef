/* What a member says of one key, as octets: the value of a field in Redis, and a record of a batch.
 *
 * What comes from Redis was written by another member, an older or newer version, or anybody who
 * has the password. So every value is checked and bounded here, and what does not fit is refused
 * as a whole. Times on the wire are the fleet's (Redis' clock); `skew` is what to add to this
 * machine's wall time to get it. Pure; fuzzed. */
#ifndef MIRED_FLEET_SHARE_H
#define MIRED_FLEET_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "tarpit/ledger_others.h"
#include "tarpit/rules.h"

/* A share as it stands at `at_ms`, this machine's wall time. `stamp_ms` is the same in the fleet's
 * time, as its writer said: of two shares of one member the one with the later stamp is the later
 * one. (The times of this machine would not do, because a skew is measured again each second.) */
struct share {
    struct ledger_name name;
    uint64_t stamp_ms, at_ms;
    struct ledger_share is;
};

enum {
    SHARE_VERSION = 1,
    SHARE_VALUE_MOST = 40, /* octets of a value */
    SHARE_NAME = 9,        /* octets of a name in a record */
    SHARE_AHEAD_MS = 5000, /* a share from further ahead than this is refused */
};

/* Writes the value, with its stamp; returns its length. */
size_t share_write(const struct share *s, int64_t skew, uint8_t out[SHARE_VALUE_MOST]);

/* Reads a value; s->name is the caller's. 0; -ENOTSUP: of a version that is not known; -ERANGE: its
 * time lies ahead; -EINVAL: it is none. Amounts beyond what one member can have booked in earnest
 * are cut to that (share_bound()). */
int share_read(struct share *s, struct span value, const struct tarpit_rules *rules, int64_t skew,
               uint64_t now);

/* The most that one member's share counts: what the rules let one mired book on such a key. */
void share_bound(struct share *s, const struct tarpit_rules *rules);

/* A record is a name, an octet with the value's length, and the value. */
size_t share_put(const struct share *s, int64_t skew,
                 uint8_t out[SHARE_NAME + 1 + SHARE_VALUE_MOST]);

/* The next record of a batch. 1; 0: its end; -EINVAL: the rest is no record. *name and *value are
 * set; the value is not looked into. */
int share_next(struct span *batch, struct ledger_name *name, struct span *value);

/* Whether nothing of it is left to count. */
bool share_is_nothing(const struct ledger_share *s);

/* For how long it will still count, in ms: until its amounts are below 1/16. */
uint64_t share_lasts(const struct share *s, const struct tarpit_rules *rules);

#endif
