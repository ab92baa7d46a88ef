/* Records of mixed answers (settled.h), and when they are sent and taken.
 *
 * A record: what it is about (1; the highest bit: it is gone), its key (8), its value (8), its end
 * (6). Numbers are big-endian.
 *
 * Once a second the fleet process looks for records that have not been told. After it has joined,
 * and when another member starts, all of them are told again, because some may have been lost. */
#include "fleet/settled.h"

#include <errno.h>

#include "base/log.h"
#include "fleet/fleet_part.h"
#include "fleet/numbers.h"

enum { GONE = 0x80, LOOK_MS = 1000 };
enum { RECORDS_BURST = 8192, RECORDS_A_SECOND = 10 }; /* from one member */

/* ---- octets ---- */

void settled_write(const struct partial_record *r, int64_t skew, uint8_t out[SETTLED_RECORD])
{
    *out++ = (uint8_t)(r->what | (r->gone ? GONE : 0));
    out = number_put(out, r->key, 8);
    out = number_put(out, r->value, 8);
    number_put(out, (uint64_t)((int64_t)r->until_ms + skew), 6);
}

int settled_next(struct span *batch, int64_t skew, struct partial_record *r)
{
    if (batch->len == 0)
        return 0;
    if (batch->len < SETTLED_RECORD)
        return -EINVAL;
    uint64_t what = number_take(batch, 1);
    *r = (struct partial_record){.what = what & ~GONE, .gone = what & GONE};
    r->key = number_take(batch, 8);
    r->value = number_take(batch, 8);
    int64_t until = (int64_t)number_take(batch, 6) - skew;
    r->until_ms = until > 0 ? (uint64_t)until : 0;
    return r->what >= 1 && r->what <= PARTIAL_WHATS ? 1 : -EINVAL;
}

/* ---- the process ---- */

void settled_use_key(struct fleet *f)
{
    if (partial_use_key(f->params->partial, &f->key.key))
        log_info("fleet: mixed answers have the fleet's key from now on");
}

void settled_joined(struct fleet *f)
{
    settled_use_key(f);
    f->settled.again = true;
}

void settled_met(struct fleet *f)
{
    f->settled.again = true;
}

/* `state`: the place in the table. */
static bool next_record(struct fleet *f, void *state, uint8_t *out)
{
    struct partial_record r;

    if (!partial_next_untold(f->params->partial, state, f->loop.wall, &r))
        return false;
    settled_write(&r, f->mirror.skew, out);
    return true;
}

void settled_turn(struct fleet *f)
{
    uint32_t at = 0;
    bool all;

    if (!send_is_due(f, &f->settled, LOOK_MS, &all))
        return;
    if (all)
        partial_tell_again(f->params->partial);
    send_records(f, 'd', SETTLED_RECORD, next_record, &at);
}

/* How many new records a member may send now. The limit bounds the harm that a lying member can
 * do. */
static double room_of(struct fleet *f, struct member *m)
{
    double grown = (double)(f->loop.now - m->settled_ms) / 1000 * RECORDS_A_SECOND;

    m->settled_room = m->settled_ms ? m->settled_room + grown : RECORDS_BURST;
    m->settled_room = m->settled_room < RECORDS_BURST ? m->settled_room : RECORDS_BURST;
    m->settled_ms = f->loop.now;
    return m->settled_room;
}

void settled_take(struct fleet *f, struct member *m, struct span batch)
{
    struct partial_record r;
    int valid;

    while ((valid = settled_next(&batch, f->mirror.skew, &r)) == 1) {
        if (room_of(f, m) < 1)
            m->refused++;
        else if (partial_take(f->params->partial, &r, f->loop.wall))
            m->settled_room -= 1;
    }
    m->refused += valid < 0;
}
