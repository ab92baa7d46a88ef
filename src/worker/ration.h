/* How many lines of the log a client is worth: sessions, and recipients that are refused.
 *
 * Each client may have a line now and then, and all strangers together so many a second; what is
 * beyond that is counted, and told in one line a client every RATION_TELL_MS. So a flood cannot
 * push the lines of good mail out of journald, and nothing that happened is left out of the sums.
 * Pure: time is an argument. One for each worker. */
#ifndef MIRED_WORKER_RATION_H
#define MIRED_WORKER_RATION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

enum {
    RATION_BURST = 20,      /* lines of a client at once; */
    RATION_REFILL_MS = 500, /* then one in so many ms */
    RATION_ALL_BURST = 400, /* of all strangers, in all workers */
    RATION_ALL_SECOND = 80, /* then so many a second */
    RATION_TELL_MS = 10000,
    RATION_TOLD_MAX = 40, /* clients named each time; the others are one line */
};

enum ration_kind { RATION_SESSION, RATION_REFUSED };

/* What was not written of a client. */
struct ration_sum {
    struct addr client; /* ADDR_NONE: of `clients` together */
    uint32_t clients;
    uint32_t sessions, refused, offences;
    uint64_t held_ms;
};

struct rations;

/* For one of `workers` workers; NULL without memory. */
struct rations *rations_open(uint32_t workers);
void rations_close(struct rations *r);

/* May this line be written? false: count it. `stranger`: the ration of all counts too. One that is
 * not always has its own, even when the table is full. */
bool ration_take(struct rations *r, const struct addr *client, bool stranger, uint64_t now_ms);

/* Counts a line that was not written. */
void ration_count(struct rations *r, const struct addr *client, enum ration_kind kind,
                  uint32_t offences, uint64_t held_ms);

/* Whether something was counted since it was last told. */
bool ration_owes(const struct rations *r);

/* Tells what was counted: calls `tell` for the clients with most lines, then once for the others.
 * All counts are 0 then. */
void ration_tell(struct rations *r, void (*tell)(void *arg, const struct ration_sum *sum),
                 void *arg);

#endif
