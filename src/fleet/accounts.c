/* Sends and receives what accounts have sent (usage.h). Everything that is new is sent within a
 * moment; after this member has joined, and when another one starts, all of it is sent again. */
#include <errno.h>

#include "fleet/fleet_part.h"

enum { TELL_EACH_MS = 50, AGAIN_MS = 10000 };

void accounts_joined(struct fleet *f)
{
    f->accounts_again = true;
}

void accounts_turn(struct fleet *f)
{
    static uint8_t batch[BATCH_OCTETS];
    struct usage_share share;
    size_t len = 0;

    if (f->state != FLEET_UP || f->refused || f->loop.now < f->accounts_ms)
        return;
    f->accounts_ms = f->loop.now + TELL_EACH_MS;
    if (f->accounts_again && f->loop.now >= f->accounts_again_ms) {
        f->accounts_again = false;
        f->accounts_again_ms = f->loop.now + AGAIN_MS;
        usage_tell_again(f->usage);
    }
    while (usage_next_untold(f->usage, f->params->ledger, f->mirror.skew, f->loop.wall, &share)) {
        usage_write(&share, batch + len);
        len += USAGE_RECORD;
        if (len + USAGE_RECORD > sizeof batch) {
            send_accounts(f, (struct span){(char *)batch, len});
            len = 0;
        }
    }
    if (len)
        send_accounts(f, (struct span){(char *)batch, len});
    servers_flush(&f->servers);
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
