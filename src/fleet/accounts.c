/* Sends and receives what accounts have sent (usage.h). Everything that is new is sent within a
 * moment; after this member has joined, and when another one starts, all of it is sent again. */
#include "fleet/fleet_part.h"

enum { TELL_EACH_MS = 50 };

void accounts_joined(struct fleet *f)
{
    f->accounts.again = true;
}

static bool next_account(struct fleet *f, void *state, uint8_t *out)
{
    struct usage_share share;

    if (!usage_next_untold(f->usage, f->params->ledger, f->loop.wall, &share))
        return false;
    usage_write(&share, out);
    return true;
}

void accounts_turn(struct fleet *f)
{
    bool all;

    if (!send_is_due(f, &f->accounts, TELL_EACH_MS, &all))
        return;
    if (all)
        usage_tell_again(f->usage);
    send_records(f, 'a', USAGE_RECORD, next_account, NULL);
}

void accounts_take(struct fleet *f, struct member *m, struct span batch)
{
    const struct ledger_decay d = {f->mirror.rules.half_life, f->mirror.rules.good_half_life};
    const struct ledger_share known = {.flags = LEDGER_KNOWN};
    struct usage_share share;
    int valid;

    while ((valid = usage_next(&batch, &share)) == 1) {
        int64_t at = (int64_t)share.stamp_ms - f->mirror.skew;
        if (at <= 0 || (uint64_t)at > f->loop.wall + SHARE_AHEAD_MS) {
            m->refused++;
            continue;
        }
        struct ledger_name name = {share.id, LEDGER_ALLOWANCE};
        others_set(f->params->others, &name, &d, f->loop.wall, &known);
        usage_take(f->usage, f->params->ledger, members_number(&f->members, m), &share,
                   (uint64_t)at, f->loop.wall);
    }
    m->refused += valid < 0;
}
