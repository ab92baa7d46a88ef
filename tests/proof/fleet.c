/* What the members of a fleet know of each other: the table, the ring of events, and the ledger's own
 * functions with both. */
#include "any_fleet.h"

static double amount(void)
{
    return Frama_C_double_interval(0, 1e9);
}

static struct ledger_share any_share(void)
{
    return (struct ledger_share){.offences = amount(),
                                 .good = amount(),
                                 .spent = amount(),
                                 .turn_ms = any_number,
                                 .debt_ms = any_number,
                                 .delivered_ms = any_number,
                                 .pass_ms = any_number,
                                 .flags = (uint32_t)any_number,
                                 .paced = any_choice & 1,
                                 .queues = (uint8_t)any_number};
}

static void table(struct ledger *l, const struct ledger_decay *d, uint64_t now)
{
    struct sipkey key = {any_number, any_number};
    struct ledger_name n = any_name();
    struct ledger_share s = any_share();

    switch (any_choice) {
    case 0: others_activate(l->others, &key, any_number); break;
    case 1: others_rest(l->others, any_number); break;
    case 2: others_set(l->others, &n, d, now, &s); break;
    case 3: (void)others_queues(l->others, &n, now); break;
    case 4: others_prefetch(l, &n); break;
    case 5: (void)others_is_active(l->others); break;
    case 6: (void)others_moves(l->others); break;
    case 7: (void)others_next(l->others); break;
    case 8: others_take_over(l->others, any_number); break;
    default: (void)ledger_naming(l);
    }
}

static void ring(struct ledger *l, const struct ledger_key *k)
{
    uint64_t at = any_number;
    struct others_event e;
    struct ledger_sent sent = {(enum ledger_bucket)Frama_C_interval(0, BUCKET_COUNT - 1),
                               (uint32_t)any_number, (uint32_t)any_number, any_choice & 1};

    switch (any_choice) {
    case 0:
        if (others_read(l->others, any_number, &at, &e) == 1) {
            //@ assert a_bucket: e.sent.bucket < BUCKET_COUNT;
        }
        break;
    case 1: others_skip(l->others, any_number, &at); break;
    case 2: ledger_tell_sent(l, k, &sent); break;
    case 3: ledger_sight(l, k); break;
    default: ledger_tell(l, k, (uint8_t)any_number);
    }
}

static void own(struct ledger *l, const struct ledger_key *k, const struct ledger_decay *d,
                uint64_t now)
{
    struct ledger_name n = any_name();
    struct ledger_share s = any_share(), theirs;
    uint64_t seen, at = any_number;
    double spent;
    struct ledger_key key;

    switch (any_choice) {
    case 0: (void)ledger_own(l, k, &n, d, now, &s, &seen); break;
    case 1: ledger_own_again(l, k, &n, d, now, &s); break;
    case 2: (void)ledger_next_own(l, &at, &key, &n, &seen); break;
    case 3: (void)ledger_others_get(l, k, d, now, &theirs, &spent); break;
    case 4: ledger_others_spend(l, k, d, now, amount()); break;
    case 5: ledger_others_forget(l, k); break;
    case 6: ledger_others_prefetch(l, k); break;
    default: (void)ledger_is_elsewhere(l, k);
    }
}

int main(void)
{
    struct ledger l = any_member();
    struct ledger_key k = any_key();
    struct ledger_decay d = any_decay();
    uint64_t now = up_to(LATEST_MS);

    switch (any_choice) {
    case 0: table(&l, &d, now); break;
    case 1: ring(&l, &k); break;
    default: own(&l, &k, &d, now);
    }
    return 0;
}
