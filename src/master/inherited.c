/* What becomes of the processes of an earlier program that serve on, because the generation which the
 * new program has started after an upgrade has failed. Master only.
 *
 * This program has no configuration for them, so it can neither start one again that has died nor give
 * one a socket. Clients of a dead worker wait in its accept queues, and without the clerk all mail
 * hears 451. Only a generation of this program's own can help, so the master reloads: at once, because
 * what made the first one fail may be over, and then with growing delays, up to ten seconds, until a
 * reload succeeds. */
#include "base/log.h"
#include "master/master.h"

enum { LOOK_MS = 1000, BEGIN_AGAIN_MS = 10000 };

/* Whether those of an earlier program serve. */
static bool serve(const struct master *m)
{
    return m->current && !m->current->config && !m->stopping && !m->draining;
}

static void try_reload(struct loop *loop, struct alarm *a)
{
    struct master *m = master_of(loop);

    if (!serve(m)) {
        m->inherited_lack = false;
        m->inherited_tries = (struct backoff){0};
        return;
    }
    bool busy = master_is_busy(m); /* what is in progress may help */
    loop_alarm(loop, a, loop->now + (busy ? LOOK_MS : backoff_next(&m->inherited_tries, 0)));
    if (!busy)
        master_reload(m, (struct asker){0});
}

void inherited_lack(struct master *m)
{
    if (!serve(m))
        return;
    if (!m->inherited_lack)
        log_warn("this program cannot replace what the earlier one's processes have lost: it "
                 "reloads, again and again until its own processes serve");
    m->inherited_lack = true;
    m->inherited_alarm.due = try_reload;
    loop_alarm(&m->loop, &m->inherited_alarm, m->loop.now);
}

void inherited_start(struct master *m)
{
    if (serve(m)) { /* else generation_start() has done it */
        listeners_heed(&m->listeners);
        listeners_watch(m);
    }
    m->inherited_alarm.due = try_reload;
    /* Not at once: a generation of this program is coming, or has just failed. If not even the runtime
     * could be opened, a reload begins the program again, which then comes here. */
    if (m->inherited_lack)
        loop_alarm(&m->loop, &m->inherited_alarm,
                   m->loop.now + (m->runtime.open ? LOOK_MS : BEGIN_AGAIN_MS));
}
