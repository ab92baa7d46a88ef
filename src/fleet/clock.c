/* The fleet process when somebody sets this machine's clock. What it remembers has local times; fleet
 * time goes on, because Redis' clock was not set. In the loop of the fleet process; the ledger and the
 * table of what others know are moved by the keeper (tarpit/ledger_clock.h). */
#include "base/clock.h"
#include "base/log.h"
#include "fleet/fleet_part.h"

static int64_t ahead(void)
{
    return (int64_t)(clock_wall_ms() - clock_boot_ms());
}

void fleet_clock_begin(struct fleet *f)
{
    f->wall_ahead = ahead();
    f->moves = others_moves(f->params->others);
}

static void move(uint64_t *at, int64_t by_ms)
{
    if (*at && *at != UINT64_MAX)
        *at += (uint64_t)by_ms;
}

/* What was sent may have had stamps of the one clock as if they were of the other: the ledger's, if
 * the keeper follows later than this process, or those of the present, if earlier. */
static void send_again(struct fleet *f)
{
    if (f->joined)
        send_sweep(f, 0);
}

void fleet_follow_clock(struct fleet *f)
{
    uint64_t moves = others_moves(f->params->others);
    int64_t by = clock_set_by(&f->wall_ahead, ahead());

    if (moves != f->moves) {
        f->moves = moves;
        send_again(f);
    }
    if (!by)
        return;
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
    if (f->joined)
        log_warn("fleet: this machine's clock was set by %+.0f s; sending again everything that "
                 "this member knows",
                 (double)by / 1000);
    send_again(f);
}
