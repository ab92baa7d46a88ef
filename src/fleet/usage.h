/* What accounts have sent at all members of a fleet (R23, R25).
 *
 * Each member's own ledger has the buckets of the whole fleet: what is sent here, which workers book,
 * and what is sent elsewhere, which the fleet process adds. A member tells two numbers of an account:
 * how many recipients it has counted itself since it began, which only grows unless something is
 * given back, and what is in its buckets. Another member adds the difference to what it heard
 * before, so a message that is lost or comes twice does no harm. When it hears of an account for the
 * first time it raises its buckets to the other member's, which contain what all members have sent.
 *
 * No more is added than is in the other member's buckets, because what was sent long ago has leaked
 * there. What a member says is hostile input: all numbers are bounded. Time is an argument (wall
 * ms). For the fleet process; one thread. */
#ifndef MIRED_FLEET_USAGE_H
#define MIRED_FLEET_USAGE_H

#include "base/bytes.h"
#include "tarpit/ledger_allowance.h"
#include "tarpit/ledger_others.h"

struct usage;

/* A stamp from further ahead than SHARE_AHEAD_MS does not win over a later one: Redis' clock was wrong
 * when it was given. */
enum { USAGE_SELF = 0, USAGE_RECORD = 62 };

struct usage_share {
    uint64_t id;                  /* the account's common name */
    uint64_t stamp_ms;            /* fleet time */
    uint32_t epoch;               /* when its member began to count, fleet time, s */
    uint32_t most[BUCKET_COUNT];  /* that the buckets may hold; 0: no limit, or not known */
    uint32_t count[BUCKET_COUNT]; /* recipients since then */
    float level[BUCKET_COUNT];
};

/* The rate of a bucket that may hold `most`. */
struct ledger_rate usage_rate(uint32_t most, enum ledger_bucket bucket);

void usage_write(const struct usage_share *s, uint8_t out[USAGE_RECORD]);

/* The next record of a batch. 1: *s is set, within its bounds; 0: at its end; -EINVAL: the rest is
 * malformed. */
int usage_next(struct span *batch, struct usage_share *s);

/* Room for so many (account, member); the oldest make room for new ones. 0 or -ENOMEM. */
int usage_open(struct usage **out, uint32_t places);
void usage_close(struct usage *s);

/* From now on fleet time is this machine's plus `skew` ms. Before the first call they are the same. */
void usage_skew(struct usage *s, int64_t skew);

/* This machine's wall clock was set by so much; fleet time goes on as before. */
void usage_clock_was_set(struct usage *s, int64_t by_ms);

/* Something was booked here (OTHERS_SENT). */
void usage_booked(struct usage *s, struct ledger *l, const struct others_event *e, uint64_t now);

/* Takes what a member (not USAGE_SELF) says. `at_ms`: its stamp in this machine's time. True if it
 * was new. */
bool usage_take(struct usage *s, struct ledger *l, uint16_t member, const struct usage_share *share,
                uint64_t at_ms, uint64_t now);

/* The account was released at `since_s` (fleet time, s; no longer than a few hours ago): what was
 * sent before does not count any more, and a member that says how much that was is not believed, for
 * USAGE_RELEASED_S. Call it when this ledger has forgotten it too. */
enum { USAGE_RELEASED_S = 6 * 3600 };
void usage_release(struct usage *s, uint64_t id, uint32_t since_s, uint64_t now);

/* The next account with something to tell, and its values now; its stamp is later than that of the
 * one before. False: there is none. usage_tell_again(): of all. */
bool usage_next_untold(struct usage *s, const struct ledger *l, uint64_t now,
                       struct usage_share *share);
void usage_tell_again(struct usage *s);

#endif
