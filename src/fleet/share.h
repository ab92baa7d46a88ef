/* A member's share of one key, as octets: the value of a field in Redis, and a record of a batch.
 *
 * A value in Redis was written by another member, an older or newer version, or anybody who has the
 * password. So every value is checked and bounded here, and one that does not fit is refused as a
 * whole. Times on the wire are in fleet time (Redis' clock), which is this machine's wall time plus
 * `skew`. Pure; fuzzed. */
#ifndef MIRED_FLEET_SHARE_H
#define MIRED_FLEET_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "tarpit/ledger_others.h"
#include "tarpit/rules.h"

/* A share with its amounts at `at_ms`, this machine's wall time. `stamp_ms` is the same moment in
 * fleet time, given by the writer. It decides which of two shares of one member is the later one.
 * (`at_ms` cannot decide that, because the skew is measured again each second.) */
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

/* Reads a value; the caller sets s->name. 0, -ENOTSUP (unknown version), -ERANGE (its time is in
 * the future) or -EINVAL (malformed). Amounts larger than one member can have booked are cut to
 * that (share_bound()). */
int share_read(struct share *s, struct span value, const struct tarpit_rules *rules, int64_t skew,
               uint64_t now);

/* Cuts a share to the most that the rules let one mired book on such a key. */
void share_bound(struct share *s, const struct tarpit_rules *rules);

/* Takes out of it what a release forgets: offences, what they made wait for, traps. Good mail stays. */
void share_forget(struct ledger_share *s);

/* A record is a name, an octet with the value's length, and the value. */
size_t share_put(const struct share *s, int64_t skew,
                 uint8_t out[SHARE_NAME + 1 + SHARE_VALUE_MOST]);

/* The next record of a batch. 1, and *name and *value are set; 0 at its end; -EINVAL if the rest is
 * malformed. The value itself is not checked. */
int share_next(struct span *batch, struct ledger_name *name, struct span *value);

/* Whether all its amounts have decayed to nothing. */
bool share_is_nothing(const struct ledger_share *s);

/* How long it will still count, in ms: until its amounts are below 1/16. */
uint64_t share_lasts(const struct share *s, const struct tarpit_rules *rules);

#endif
