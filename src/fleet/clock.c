/* The fleet process when somebody sets this machine's clock. What it remembers has local times; fleet
 * time goes on, because Redis' clock was not set. In the loop of the fleet process; the ledger and the
 * table of what others know are moved by the keeper (tarpit/ledger_clock.h). */
#include "base/clock.h"
#include "base/log.h"
#include "fleet/fleet_part.h"

enum { SET_MS = 1000 }; /* steps add up */

static int64_t ahead(void)
{
    return (int64_t)(clock_wall_ms() - clock_boot_ms());
}

void fleet_clock_begin(struct fleet *f)
{
    f->wall_ahead = ahead();
}

static void move(uint64_t *at, int64_t by_ms)
{
    if (*at && *at != UINT64_MAX)
        *at += (uint64_t)by_ms;
}

void fleet_follow_clock(struct fleet *f)
{
    int64_t by = ahead() - f->wall_ahead;

    if (by > -SET_MS && by < SET_MS)
        return;
    f->wall_ahead += by;
    f->loop.wall = clock_wall_ms();
    book_clock_was_set(f->mirror.book, by);
    outbox_clock_was_set(&f->outbox, by);
    outbox_clock_was_set(&f->keys, by);
    members_clock_was_set(&f->members, by);
    usage_clock_was_set(f->usage, by);
    f->mirror.skew -= by;
    move(&f->joined_ms, by);
    move(&f->synced_ms, by);
    move(&f->shared_ms, by);
    move(&f->resync_ms, by);
    move(&f->sweep_since_ms, by);
    send_expiry_unknown(f);
    if (!f->joined)
        return;
    log_warn("fleet: this machine's clock was set by %+.0f s; sending again everything that this "
             "member knows",
             (double)by / 1000);
    send_sweep(
        f, 0); /* some may have been sent with stamps of the new clock as if it were the old one */
}
