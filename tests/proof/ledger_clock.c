/* The ledger after somebody has set the clock, by any step either way: a table, a head and what others
 * know of any content, which other processes change at any moment. */
#include "any_fleet.h"

#include "tarpit/ledger_clock.h"

static void follow(struct ledger *l, const struct clock_reading *r)
{
    struct clock_step step;

    if (ledger_follow_clock(l, r, &step)) {
        //@ assert a_step: -LATEST_MS <= step.by_ms <= LATEST_MS && step.now_ms <= LATEST_MS;
    }
}

int main(void)
{
    struct ledger l = any_choice ? any_member() : any_ledger();
    struct clock_reading r = {up_to(LATEST_MS), up_to(LATEST_MS), (uint32_t)any_number};

    if (any_choice)
        ledger_note_time(&l, any_number);
    else
        follow(&l, &r);
    return 0;
}
