/* Listening sockets that somebody else has ended. Master only.
 *
 * A worker has the descriptors of its listeners, and an attacker that has taken it over can end their
 * listening: connect(2) to no address (AF_UNSPEC) does, and a filter of system calls cannot see the
 * address. The kernel then spreads new connections over the other workers' sockets, if there are any.
 * The socket stays dead, whatever process has it. So the master binds another one.
 *
 * The kernel does not say which process it was. If only workers of the current generation have ever
 * had the socket, the one that serves its slot is replaced. After a reload an earlier worker may have
 * kept it, and must not be able to end a good one with all of its connections: then the current
 * worker gets the new socket and goes on. No earlier worker gets that, so a second time is clear. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "master/master.h"
#include "master/slots.h"
#include "query/notes.h"

enum { LOOK_MS = 1000 };

/* Whether this worker accepts from this socket, or will do so. A worker of an earlier generation
 * accepts nothing, and keeps its connections. */
static bool is_served_by(const struct master *m, const struct listener *l, const struct child *c)
{
    const struct generation *g = c->generation;

    return c->role == ROLE_WORKER && c->pid && (g == m->current || g == m->coming) && g->config &&
           slot_is_served_by(l->slot, c->index, g->config->workers);
}

static bool is_clear(const struct master *m, const struct listener *l)
{
    return m->current && l->since == m->current->id && !m->coming;
}

/* Kills the worker: its successor gets the new socket. */
static void replace_worker(const struct master *m, const struct listener *l)
{
    for (const struct child *c = m->children; c; c = c->next)
        if (is_served_by(m, l, c))
            kill(c->pid, SIGKILL);
}

/* Gives the new socket to the workers that go on. One that has not read for a long time is killed. */
static void hand_out(const struct master *m, struct listener *l)
{
    struct note n = {.kind = NOTE_LISTENER, .arg = (int32_t)l->slot, .fds = 1, .fd[0] = l->fd};
    char text[ADDR_TEXT];

    addr_format(&l->addr, text);
    n.len =
        (uint32_t)snprintf(n.text, sizeof n.text, l->addr.family == ADDR_IP6 ? "[%s]:%u" : "%s:%u",
                           text, l->addr.port);
    for (const struct child *c = m->children; c; c = c->next)
        if (is_served_by(m, l, c) && channel_send(c->channel.fd, &n) < 0)
            kill(c->pid, SIGKILL);
    l->since = m->current ? m->current->id : 0;
}

static void mend(struct master *m, struct listener *l)
{
    char text[ADDR_TEXT];
    bool clear = is_clear(m, l);
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
            r       ? "It listens again"
            : clear ? "Another socket and another worker take its place"
                    : "Another socket takes its place. Workers of an earlier generation may "
                      "have the old one too, so no worker is replaced");
    if (r == 0 && clear)
        replace_worker(m, l);
    else if (r == 0)
        hand_out(m, l);
    if (r == 0)
        inherited_lack(m); /* an earlier program's workers cannot be given it */
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
