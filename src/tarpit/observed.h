/* R20: what would have waited while `observe` is on: totals of each day, and a line for each client
 * and sender domain whose good mail or typos would have been late. The source of `mirectl observe`.
 *
 * A mapped file of fixed size (2,048 lines of about 1 KB: 2 MB in all, `state`/observed), so it
 * survives restarts and cannot grow: if a set of lines is full, a new line replaces the one with
 * the least delay. Only clients that have delivered good mail get lines, so a flood of strangers
 * does not push them out. Counts are plain atomic words. If two processes change one at the same
 * moment, at most one count is lost.
 *
 * `now` is wall ms. All functions are safe from any process that mapped the file; none blocks. */
#ifndef MIRED_TARPIT_OBSERVED_H
#define MIRED_TARPIT_OBSERVED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "tarpit/tarpit.h"

struct observed; /* opaque */

enum { OBSERVED_DAYS = 31, OBSERVED_LINES = 2048, OBSERVED_DOMAIN = 64 };

/* Opens or creates the file (NULL: memory only). Call it before the processes that share it start.
 * Returns 0 or -errno. The caller closes it with observed_close(), which keeps the file. */
int observed_open(struct observed **out, const char *path);
void observed_close(struct observed *o);

/* A reply that would have been held, or masked. `first`: the first of its connection. */
void observed_hold(struct observed *o, const struct tarpit_hold *hold, bool first, uint64_t now);

/* A message of a stranger has been delivered. Also says that this day was observed. */
void observed_message(struct observed *o, uint64_t now);

/* Good mail of a client that would have been `late_ms` late, or deferred with a 450 (R5, R7). */
struct observed_mail {
    struct addr client;
    struct span domain; /* of MAIL FROM; empty for <> */
    uint64_t late_ms;
    bool put_off;
    uint8_t rule; /* enum tarpit_rule: the rule that decided last about it */
};
void observed_good(struct observed *o, const struct observed_mail *mail, uint64_t now);

/* Counts a typo of such a client, which would have heard its 5xx `ms` later. */
void observed_typo(struct observed *o, const struct addr *client, struct span domain, uint64_t ms,
                   uint64_t now);

struct observed_line {
    struct addr client; /* as addr_client() has it: an IPv6 /64 is one */
    char domain[OBSERVED_DOMAIN];
    uint64_t late, put_off, typos;    /* messages, messages, replies */
    uint64_t late_s, worst_s, typo_s; /* seconds in all, the worst message's, of typos in all */
    uint64_t last_day_ms;             /* of what is told here, wall ms */
    uint8_t rule;                     /* of the worst message: deferred, or the latest */
};

/* Iterates over the lines; counts are sums from the day of `since` (wall ms) on. *at is 0 at first.
 * Returns false at the end. */
bool observed_next(const struct observed *o, uint32_t *at, uint64_t since, uint64_t now,
                   struct observed_line *out);

struct observed_sums {
    uint64_t first_day_ms;                          /* of what is known, wall ms; 0: nothing is */
    uint64_t messages;                              /* of strangers, delivered */
    uint64_t replies, seconds, connections, untold; /* untold: masked, or on the shield */
    uint64_t by_rule[RULE_COUNT];
};
void observed_sums(const struct observed *o, uint64_t since, uint64_t now,
                   struct observed_sums *out);

/* The same by day, oldest first; late mail and typos are those of the lines that are kept. Returns
 * how many days are known. */
struct observed_day {
    uint64_t day_ms; /* its beginning, wall ms (UTC) */
    uint64_t messages, late, put_off, typos;
    uint64_t replies, seconds, connections, untold;
};
unsigned observed_days(const struct observed *o, uint64_t since, uint64_t now,
                       struct observed_day out[OBSERVED_DAYS]);

#endif
