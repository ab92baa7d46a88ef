/* A worker's side of the ledger: its ring of proposals, its own table and those that workers share, all
 * of any content; and the keeper's side of the ring. */
#include "any_worker.h"

#include "tarpit/ledger_accounts.h"

static struct proposal any_proposal(void)
{
    struct proposal p;

    Frama_C_make_unknown((char *)&p, sizeof p);
    return p;
}

static void worker(struct ledger *l, struct proposals *p, struct turns *t, uint64_t now)
{
    struct ledger_key k = any_key();
    uint64_t done;
    struct ledger_slot *slot;

    if (ledger_propose_to(l, p, t) != 0)
        return;
    switch (any_choice) {
    case 0: (void)proposer_find(l, k.hash); break;
    case 1: (void)proposer_claim(l, &k, now); break;
    case 2:
        slot = proposer_claim(l, &k, now);
        (void)proposer_compare(l, slot, WORD_GOOD, k.hash, now);
        break;
    case 3: ledger_propose(l, &k, now, any_proposal()); break;
    case 4: (void)proposer_number(l->proposer, &done); break;
    case 5:
        (void)proposer_take_turn(l->proposer, k.hash, now, any_number, any_number, any_number,
                                 any_number);
        break;
    default: proposer_close(l->proposer);
    }
}

static void ring(struct proposals *p)
{
    struct proposal what = any_proposal();
    uint32_t at = (uint32_t)any_number;

    switch (any_choice) {
    case 0: (void)proposals_write(p, &what); break;
    case 1: (void)proposals_must_wake(p); break;
    case 2: (void)proposals_waiting(p); break;
    case 3: (void)proposals_read(p, &what); break;
    case 4: (void)proposals_read_again(p, &at, &what); break;
    case 5: proposals_finish(p); break;
    case 6: proposals_give_up(p); break;
    case 7: (void)proposals_are_given_up(p); break;
    case 8: (void)proposals_are_attached(p); break;
    default: (void)proposals_sleep(p);
    }
}

static void shared(struct turns *t, const struct proposals *p)
{
    switch (any_choice) {
    case 0: turns_end_round(t, turns_begin_round(t, (uint32_t)any_number)); break;
    case 1: turns_withdraw(t, (uint32_t)any_number, p, any_number, any_choice & 1); break;
    case 2: turns_clock_was_set(t, (int64_t)any_number, up_to(LATEST_MS)); break;
    default: (void)turns_may_believe(t, any_number);
    }
}

int main(void)
{
    struct ledger l = any_ledger();
    struct proposals *p = any_memory(proposals_size());
    struct turns *t = any_memory(turns_size());

    if (!p || !t)
        return 0;
    switch (any_choice) {
    case 0: worker(&l, p, any_choice ? t : NULL, up_to(LATEST_MS)); break;
    case 1: ring(p); break;
    default: shared(t, p);
    }
    return 0;
}
