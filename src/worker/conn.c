/* A connection's life: accepted, greeted, timed, closed. Its session is stepped in conn_step.c. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/probe.h"
#include "config/config.h"
#include "worker/conn.h"
#include "worker/conn_step.h"
#include "worker/guard.h"
#include "worker/hold.h"
#include "worker/io.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/lists.h"
#include "worker/login.h"
#include "worker/message.h"
#include "worker/proxied.h"
#include "worker/queries.h"
#include "worker/recipient.h"
#include "worker/room.h"
#include "worker/suspects.h"
#include "worker/tls.h"
#include "worker/who.h"
#include "worker/worker_part.h"

static_assert((int)METRIC_SESSIONS_NO_MEMORY == (int)METRIC_SESSIONS_QUIT + (int)CLOSE_NO_MEMORY,
              "a counter for each reason, in their order");

enum { PROXY_MS = 10000 /* a balancer says it at once */ };

/* A connection takes and frees it about three times for a message. malloc() has small blocks at hand,
 * calloc() looks for one each time. */
struct work *conn_work(struct conn *c)
{
    if (c->work)
        return c->work;
    c->work = malloc(sizeof *c->work);
    if (c->work)
        *c->work = (struct work){0};
    return c->work;
}

void conn_rest(struct conn *c)
{
    struct work *k = c->work;
    if (!k)
        return;
    buf_fit(&k->in);
    if (k->login && !smtp_in_scram(&c->smtp))
        login_forget(c);
    if (k->in.len || k->out.len || k->query || k->login || k->spool || k->handover ||
        (c->flags & CONN_HOLD_SET))
        return;
    buf_free(&k->in);
    buf_free(&k->out);
    free(k);
    c->work = NULL;
}

bool conn_is_exempt(const struct worker *w, const struct addr *peer)
{
    return networks_contain(w->config->exempt.at, w->config->exempt.count, peer) ||
           lists_trust(w, peer);
}

bool conn_may_relay(const struct worker *w, const struct conn *c)
{
    const struct config_networks *relay = &w->config->relay;

    return (c->smtp.flags & SMTP_AUTHENTICATED) ||
           networks_contain(relay->at, relay->count, &c->peer);
}

static struct span domain_of(struct span sender)
{
    const char *sign = sender.len ? memrchr(sender.at, '@', sender.len) : NULL;

    return sign ? span_after(sender, (size_t)(sign - sender.at) + 1) : sender;
}

struct span conn_sender_domain(const struct conn *c)
{
    return domain_of(envelope_sender(&c->smtp.envelope));
}

bool conn_is_spared(struct worker *w, const struct conn *c)
{
    struct tarpit_who who = who_of(w, &c->peer, c->flags & CONN_EXEMPT);

    who.authenticated = c->smtp.flags & SMTP_AUTHENTICATED;
    return tarpit_is_spared(&w->tarpit, &who, w->loop.wall);
}

struct tarpit_who conn_who(struct worker *w, struct conn *c)
{
    if (!(c->flags & CONN_EXEMPT) && lists_trust(w, &c->peer))
        c->flags |= CONN_EXEMPT;
    bool exempt = c->flags & CONN_EXEMPT;
    struct span sender;
    struct tarpit_who who = envelope_get_sender(&c->smtp.envelope, &sender)
                                ? who_sends(w, &c->peer, exempt, domain_of(sender))
                                : who_of(w, &c->peer, exempt);
    who.authenticated = c->smtp.flags & SMTP_AUTHENTICATED;
    return who;
}

void conn_phase(struct worker *w, struct conn *c, enum conn_phase phase, uint64_t timer_ms)
{
    c->phase = phase;
    c->since_ms = (uint32_t)w->loop.now;
    if (timer_ms)
        loop_alarm(&w->loop, &c->alarm, w->loop.now + timer_ms);
    else
        loop_alarm_off(&w->loop, &c->alarm);
    io_want(w, c);
}

static void refuse(int fd, const char *hostname)
{
    struct reply r = reply_make(REPLY_BUSY, span_of(hostname));
    struct buf out = {0};
    if (reply_write(&r, &out) == 0)
        (void)!send(fd, out.at, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    buf_free(&out);
    close(fd);
}

struct conn *conn_new(struct worker *w, int fd, uint16_t listener, const struct addr *peer,
                      bool exempt)
{
    struct conn *c = slab_take(&w->conns);

    if (!c)
        return NULL;
    c->peer = *peer;
    c->listener = listener;
    c->opened_s = (uint32_t)(w->loop.wall / 1000);
    c->flags = exempt ? CONN_EXEMPT : 0;
    c->watch = (struct watch){.fd = fd, .events = EPOLLIN | EPOLLRDHUP, .ready = io_ready};
    c->alarm.due = conn_due;
    if (loop_watch(&w->loop, &c->watch) < 0) {
        slab_give(&w->conns, c);
        return NULL;
    }
    ring_add(&w->awake, &c->link);
    w->open++;
    room_count(w, c, 1);
    metric_add(METRIC_CONNECTIONS_OPEN, 1);
    return c;
}

void conn_prefetch(struct loop *loop, const struct watch *watch)
{
    const struct conn *c = container_of(watch, struct conn, watch);

    if (watch->ready == io_ready && c->phase == CONN_READING && !(c->flags & CONN_EXEMPT) &&
        !(c->smtp.flags & SMTP_AUTHENTICATED))
        who_prefetch(worker_of(loop), &c->peer);
}

static void log_no_room(const struct addr *peer)
{
    struct log_line l;

    log_begin(&l, LOG_DEBUG, "decision");
    log_addr(&l, "client", peer);
    log_text(&l, "what", "refused with 421");
    log_text(&l, "about", "no room for its connection");
    log_end(&l);
}

void conn_accept(struct worker *w, int fd, uint16_t listener, const struct addr *peer)
{
    const struct config *config = w->config;
    bool exempt = conn_is_exempt(w, peer);
    struct conn *c = NULL;

    metric_add(METRIC_CONNECTIONS_TOTAL, 1);
    if (proxied_is_balancer(w, listener, peer) ? guard_admit_balancer(w)
                                               : guard_admit(w, peer, exempt))
        c = conn_new(w, fd, listener, peer, exempt);
    if (!c) {
        PROBE4(accept, fd, peer->octets, peer->family, 0);
        log_no_room(peer);
        refuse(fd, config->hostname);
    } else if (proxied_is_balancer(w, listener, peer)) {
        c->flags |= CONN_PROXIED;
        conn_phase(w, c, CONN_PROXY, PROXY_MS);
        journal_step(c, "accepted", "from a balancer");
    } else {
        conn_greet(w, c);
    }
}

void conn_greet(struct worker *w, struct conn *c)
{
    const struct config *config = w->config;

    PROBE4(accept, c->watch.fd, c->peer.octets, c->peer.family, 1);

    if (suspects_contain(&w->suspects, &c->peer)) {
        struct tarpit_who who = conn_who(w, c);
        tarpit_suspect(&w->tarpit, &who, w->tarpit.rules.suspect_offences, w->loop.wall);
    }
    lists_greet(w, c);
    tarpit_sight(&w->tarpit, &c->peer);
    c->flags |= CONN_GREETING;
    journal_step(c, "greets", "%s", c->flags & CONN_EXEMPT ? "an exempt client" : "");
    smtp_start(&c->smtp, addr_is_loopback(&c->peer));
    if (config->bare_newline == BARE_NEWLINE_NORMALISE &&
        networks_contain(config->bare_newline_networks.at, config->bare_newline_networks.count,
                         &c->peer))
        smtp_mend(&c->smtp);
    if (config->listen[c->listener].tls == TLS_IMPLICIT) {
        (void)tls_begin(w, c, true);
        return;
    }
    conn_phase(w, c, CONN_READING, config->timeout_ms);
    conn_run(w, c);
}

static void work_free(struct worker *w, struct conn *c)
{
    if (!c->work)
        return;
    message_forget(w, c);
    if (c->work->query)
        queries_drop(w, c->work->query);
    login_forget(c);
    buf_free(&c->work->in);
    buf_free(&c->work->out);
    free(c->work);
}

int conn_detach(struct worker *w, struct conn *c)
{
    int fd = c->watch.fd;

    lists_forget(w, c);
    judge_closed(w, c);
    if (c->phase == CONN_HELD)
        hold_end(w, c);
    loop_alarm_off(&w->loop, &c->alarm);
    loop_forget(&w->loop, &c->watch);
    tls_free(w, c);
    work_free(w, c);
    room_count_envelope(w, c, 0);
    room_count(w, c, -1);
    smtp_free(&c->smtp);
    ring_remove(&c->link);
    w->open--;
    slab_give(&w->conns, c);
    metric_add(METRIC_CONNECTIONS_OPEN, -1);
    worker_may_end(w);
    return fd;
}

void conn_close_with(struct worker *w, struct conn *c, enum close_reason reason, const char *detail)
{
    metric_add(METRIC_SESSIONS_QUIT + (enum metric)reason, 1);
    PROBE5(close, c->watch.fd, reason, c->offences, c->messages, c->held_ms);
    if (c->phase == CONN_HELD)
        hold_end(w, c); /* so that the line has all of its held time */
    login_dropped(w, c, false, &(struct tarpit_hold){0});
    journal_session(w, c, reason, detail);
    close(conn_detach(w, c));
}

void conn_close(struct worker *w, struct conn *c, enum close_reason reason)
{
    conn_close_with(w, c, reason, NULL);
}

static enum close_reason reason_of(enum reply_id id)
{
    switch (id) {
    case REPLY_TIMEOUT: return CLOSE_TIMEOUT;
    case REPLY_EVICTED: return CLOSE_EVICTED;
    case REPLY_BUSY: return CLOSE_BUSY;
    default: return CLOSE_SHUTDOWN;
    }
}

void conn_shut(struct worker *w, struct conn *c, enum reply_id id)
{
    if (c->phase == CONN_HELD)
        hold_end(w, c);
    /* no reply can be sent in these phases */
    if (c->phase != CONN_SHAKING && c->phase != CONN_PROXY)
        io_last_words(w, c, id);
    if (c->work && id != REPLY_TIMEOUT)
        login_forget(c); /* the worker ends the session, not the client */
    c->phase = CONN_CLOSING;
    conn_close(w, c, reason_of(id));
}

void conn_due(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);
    struct conn *c = container_of(a, struct conn, alarm);

    switch ((enum conn_phase)c->phase) {
    case CONN_READING:
        if (!io_keeps_pace(w, c))
            conn_shut(w, c, REPLY_TIMEOUT);
        break;
    case CONN_HELD: hold_due(w, c); break;
    case CONN_ASKING: query_answered(w, c, NULL); break;
    case CONN_HANDING: message_due(w, c); break;
    case CONN_CLOSING: conn_close(w, c, CLOSE_TIMEOUT); break;
    case CONN_SHAKING: tls_due(w, c); break;
    case CONN_PROXY: conn_close(w, c, CLOSE_TIMEOUT); break;
    }
}
