/* Limits how many lines of the log a client may cause: for sessions, and for refused recipients.
 *
 * Each client may have a line now and then, and all strangers together so many a second. Lines
 * beyond that are counted, and every RATION_TELL_MS a summary line for each client reports them. So
 * a flood cannot push the lines of good mail out of journald, and the sums are complete. Pure: time
 * is an argument. Each worker has one; not thread-safe. */
#ifndef MIRED_WORKER_RATION_H
#define MIRED_WORKER_RATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    RATION_BURST = 20,      /* lines of a client at once */
    RATION_REFILL_MS = 500, /* then one line in so many ms */
    RATION_ALL_BURST = 400, /* of all strangers, in all workers */
    RATION_ALL_SECOND = 80, /* then so many a second */
    RATION_TELL_MS = 10000,
    RATION_TOLD_MAX = 40, /* clients with a summary line of their own; the others share one */
};

enum ration_kind { RATION_SESSION, RATION_REFUSED };

/* The sum of a client's lines that were not written. */
struct ration_sum {
    struct addr client; /* ADDR_NONE: of `clients` together */
    uint32_t clients;
    uint32_t sessions, refused, offences;
    uint64_t held_ms;
};

struct rations;

/* For one of `workers` workers; NULL without memory or a random key. */
struct rations *rations_open(uint32_t workers);
void rations_close(struct rations *r);

/* Whether this line may be written; if not, count it. `stranger`: the limit of all strangers
 * applies too. A client that is not a stranger always has its own limit, even if the table is
 * full. */
bool ration_take(struct rations *r, const struct addr *client, bool stranger, uint64_t now_ms);

/* Counts a line that was not written. */
void ration_count(struct rations *r, const struct addr *client, enum ration_kind kind,
                  uint32_t offences, uint64_t held_ms);

/* Whether lines were counted since the last ration_tell(). */
bool ration_owes(const struct rations *r);

/* Reports the counts: calls `tell` for the clients with most lines, then once for the others, and
 * resets all counts. */
void ration_tell(struct rations *r, void (*tell)(void *arg, const struct ration_sum *sum),
                 void *arg);

#endif
