/* Checks whether the processes that never block still answer. Master only.
 *
 * In each period each of them gets NOTE_PING and answers NOTE_PONG. If a process leaves several
 * unanswered, its loop does not run any more: the master kills it, and restarts it like any that
 * died (its accept queue and its frozen holds are kept). So a hung worker loses only its own
 * connections. The master also feeds the service manager's watchdog from the same alarm, so the
 * watchdog ends mired only if the master itself hangs.
 *
 * Rounds are counted, not time: a machine that was halted for an hour has missed one. Clerks and
 * the store wait for others by design and have time-outs of their own. */
#include <signal.h>

#include "base/log.h"
#include "base/mapfile.h"
#include "config/config.h"
#include "master/master.h"
#include "master/notify.h"
#include "query/notes.h"

enum { PERIOD_MS = 10000, MISSED_MOST = 3 };

static uint64_t period_ms(void)
{
    uint64_t watchdog = notify_watchdog_ms();

    return watchdog && watchdog < PERIOD_MS ? watchdog : PERIOD_MS;
}

static bool is_watched(const struct child *c)
{
    bool loops = c->role == ROLE_WORKER || c->role == ROLE_FREEZER || c->role == ROLE_WEB ||
                 c->role == ROLE_KEEPER;

    return loops && c->pid && c->channel.fd >= 0 && c->state != CHILD_STARTING &&
           c->state != CHILD_DEAD;
}

/* Whether its silence says that it hangs. A process of an earlier program may not know NOTE_PING. */
static bool must_answer(const struct child *c)
{
    return c->generation->config || c->pongs;
}

static void ask(const struct master *m, struct child *c)
{
    if (c->unanswered >= MISSED_MOST) {
        log_error("%s %u (process %d) has not answered for %lu s; killing it",
                  role_table[c->role].name, c->index, (int)c->pid,
                  (unsigned long)(c->unanswered * period_ms() / 1000));
        kill(c->pid, SIGKILL);
        return;
    }
    c->unanswered += must_answer(c); /* counts even if the channel had no room for the note */
    channel_tell(c->channel.fd, NOTE_PING, 0, 0, NULL);
}

/* A process that has ended its channel and runs on can be told nothing any more, not even to end.
 * None of mired does that, so it has been taken over. Only the second beat ends it, because one that
 * is just ending looks the same. */
static void end_deaf(struct child *c)
{
    if (!c->pid || c->channel.fd >= 0 || !must_answer(c))
        return;
    if (c->unanswered <= MISSED_MOST) {
        c->unanswered = MISSED_MOST + 1;
        return;
    }
    log_error("%s %u (process %d) has closed its channel to the master; killing it",
              role_table[c->role].name, c->index, (int)c->pid);
    kill(c->pid, SIGKILL);
}

static void beat(struct loop *loop, struct alarm *a)
{
    struct master *m = master_of(loop);

    mapfile_tend(true);
    spool_count_again(m);
    if (notify_watchdog_ms())
        notify_tell("WATCHDOG=1");
    for (struct child *c = m->children; c && !m->stopping; c = c->next) {
        if (is_watched(c))
            ask(m, c);
        end_deaf(c);
    }
    loop_alarm(loop, a, loop->now + period_ms());
}

void heartbeat_start(struct master *m)
{
    m->heartbeat.due = beat;
    loop_alarm(&m->loop, &m->heartbeat, m->loop.now);
}
