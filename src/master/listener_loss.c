/* Listening sockets that somebody else has ended. Master only.
 *
 * A worker has the descriptors of its listeners, and an attacker that has taken it over can end their
 * listening: connect(2) to no address (AF_UNSPEC) does, and a filter of system calls cannot see the
 * address. The kernel then spreads new connections over the other workers' sockets, if there are any.
 * The socket stays dead, whatever process has it. So the master binds another one and replaces the
 * worker that serves it. */
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "master/master.h"
#include "master/slots.h"

enum { LOOK_MS = 1000 };

/* Kills the workers that accept from this socket, or will do so: their successors get the new one. A
 * worker of an earlier generation accepts nothing, and keeps its connections. */
static void replace_workers(const struct master *m, const struct listener *l)
{
    for (const struct child *c = m->children; c; c = c->next) {
        const struct generation *g = c->generation;
        if (c->role == ROLE_WORKER && c->pid && (g == m->current || g == m->coming) && g->config &&
            slot_is_served_by(l->slot, c->index, g->config->workers))
            kill(c->pid, SIGKILL);
    }
}

static void mend(struct master *m, struct listener *l)
{
    char text[ADDR_TEXT];
    int r = listeners_mend(&m->listeners, l);

    addr_format(&l->addr, text);
    if (r < 0)
        log_error("no socket listens on %s port %u for worker %u any more, and none can be bound: "
                  "%s. Restart mired",
                  text, l->addr.port, l->slot, strerrordesc_np(-r));
    else
        log_error(
            "a socket for %s port %u (slot %u) has stopped listening, which no process of "
            "mired does to it. An attacker may have taken a worker over: please report it. %s",
            text, l->addr.port, l->slot,
            r ? "It listens again" : "Another socket and another worker take its place");
    if (r == 0)
        replace_workers(m, l);
}

static void look_again(struct loop *loop, struct alarm *a);

/* At most once a second, because a passed socket has no worker that could be replaced. */
static void look(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct master *m = master_of(loop);

    m->look_alarm.due = look_again;
    loop_want(loop, watch, 0);
    loop_alarm(loop, &m->look_alarm, loop->now + LOOK_MS);
    loop_moved(loop);
    for (size_t i = 0; i < m->listeners.count; i++)
        if (listener_is_lost(&m->listeners.at[i]))
            mend(m, &m->listeners.at[i]);
}

static void look_again(struct loop *loop, struct alarm *a)
{
    loop_want(loop, &master_of(loop)->lost, EPOLLIN);
}

void listeners_watch(struct master *m)
{
    if (!m->listeners.lost || m->lost.ready)
        return;
    m->lost = (struct watch){.fd = m->listeners.lost, .events = EPOLLIN, .ready = look};
    (void)loop_watch(&m->loop, &m->lost);
}
