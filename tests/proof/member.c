/* The ledger of a member of a fleet: an entry with what others know of it; and the turns and the news
 * that a worker proposes. All is of any content, which other processes change at any moment. */
#include "any_fleet.h"
#include "any_worker.h"

#include "tarpit/policy.h"

static void turns(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    uint64_t from = up_to(LATEST_MS), length = up_to(POLICY_TIME_MAX), latest = up_to(LATEST_MS);

    (void)ledger_take_turn_from(l, k, now, from, length, latest, any_choice & 1);
}

static void reading(const struct ledger *l, const struct ledger_key *k,
                    const struct ledger_decay *d, uint64_t now)
{
    struct ledger_entry e;

    (void)ledger_get(l, k, d, now, &e);
    //@ assert no_negative: e.offences >= 0 && e.good >= 0;
}

static void propose(struct ledger *l, const struct ledger_key *k, uint64_t now)
{
    struct ledger_sent sent = {BUCKET_COUNT - 1, (uint32_t)any_number, (uint32_t)any_number,
                               any_choice & 1};

    switch (any_choice) {
    case 0: turns(l, k, now); break;
    case 1: ledger_sight(l, k); break;
    default: ledger_tell_sent(l, k, &sent);
    }
}

int main(void)
{
    struct ledger l = any_member();
    struct ledger_key k = any_key();
    struct ledger_decay d = any_decay();
    uint64_t now = up_to(LATEST_MS);

    if (any_choice)
        reading(&l, &k, &d, now);
    else if (is_worker(&l))
        propose(&l, &k, now);
    return 0;
}
