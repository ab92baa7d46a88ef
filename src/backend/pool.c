/* Links to one backend and the deliveries that wait for them; see pool.h. This file decides what a
 * link does next and what its end means; pool_more.c when to open one; pool_links.c opens and closes
 * links, and link.c sends and receives their octets.
 * Everything runs in the worker's loop, and nothing blocks. */
#include "backend/pool.h"

#include <openssl/ssl.h>

#include "backend/health.h"
#include "backend/limit.h"
#include "backend/link.h"
#include "backend/pool_part.h"
#include "base/container.h"
#include "base/log.h"

/* ---- links ---- */

/* Keeps the state for the log before OUTBOUND_DEAD replaces it. */
static void note_state(struct link *l)
{
    if (l->outbound.state != OUTBOUND_DEAD)
        l->lived_in = l->outbound.state;
}

static const char *why_broken(const struct link *l)
{
    return l->why ? l->why : "an unexpected reply";
}

static void log_broken(const struct link *l)
{
    struct log_line line;

    log_begin(&line, LOG_DEBUG, "backend_connection");
    if (!line.on)
        return;
    log_text(&line, "backend", l->backend->config->name);
    log_text(&line, "result", "broken");
    log_text(&line, "state", outbound_state_name((enum outbound_state)l->lived_in));
    log_text(&line, "why", why_broken(l));
    log_end(&line);
}

/* BDAT has failed, and it may be the cause: the message's other tries use DATA. */
static void doubt_chunks(struct backend *b, struct delivery *d)
{
    d->job.by_data = true;
    if (++b->chunk_failures >= POOL_CHUNK_FAILURES_MAX)
        health_no_chunks(b, NULL);
}

/* What the end of a link that never served means. True: only this link is lost, because the backend
 * serves others, or accepts one without TLS. */
static bool only_link(struct link *l)
{
    struct backend *b = l->backend;

    if (l->tls_failed || limit_refused(b, l, l->silent))
        return true;
    health_down(b, l->why);
    return false;
}

/* A delivery that has a link of its own, which was refused before it began, waits for another one. A
 * backend that says 5xx to its client would say it again. */
static bool waits_again(const struct link *l)
{
    return l->reserved && kept_get(&l->outbound.complaint).code < 500;
}

/* Logs what the backend has said about mired, or about the client that the link has named. */
static void complain(struct link *l)
{
    const struct delivery *d = l->delivery;
    bool named = l->outbound.of_client && d && (l->named || !l->reserved);

    health_complain(l->backend, &l->outbound, named ? &d->client : NULL);
}

/* The link is unusable: reports that to its delivery, or to those that wait. */
static void link_broke(struct link *l)
{
    struct delivery *d = l->delivery;
    struct backend *b = l->backend;
    bool again = d && waits_again(l), of_client = link_is_of_client(l) && !l->tls_failed;
    bool said = l->outbound.complaint.code;

    if (said)
        l->why = of_client ? "it refuses the client" : "it refuses mired";
    if (l->outbound.complaint.code >= 500 && !of_client)
        l->lasting = true;
    if (!l->why && l->outbound.tls == OUTBOUND_TLS_NEEDED && l->lived_in == OUTBOUND_HELLO &&
        !l->outbound.secure) {
        l->why = "it does not offer STARTTLS";
        l->lasting = true;
    }
    if (d && d->unreadable) {
        l->why = "the spool cannot be read";
        log_error("cannot read a message from %s/spool; its client hears 451",
                  b->pool->params.config->state);
    }
    log_broken(l);
    if (d) { /* it had served others, so the connection itself may be at fault */
        d->refused = l->outbound.complaint.code && !l->used;
        d->why = why_broken(l);
        d->broke_in = l->lived_in;
        d->silent = l->silent;
    }
    if (d && !d->unreadable && l->outbound.chunked && l->lived_in >= OUTBOUND_CHUNK)
        doubt_chunks(b, d);
    if (d) /* of one client: what it heard says nothing of the idle links */
        d->fresh = said && l->outbound.of_client;
    complain(l);
    /* The backend worked a moment ago and may be restarting: try once more at once. If it accepts
     * connections and refuses service, wait for its retry. */
    bool never_served = l->connecting && !l->outbound.served;
    bool was_down = b->known && !b->up;
    bool alone = never_served && (of_client ? !was_down : only_link(l));
    bool hopeless = never_served && !alone && was_down;
    bool idle = !d && !never_served, in_clear = l->tls_failed, silent = l->silent;
    pool_link_close(l);
    if (of_client && never_served && !was_down)
        pool_ask_for_all(b);
    /* find out whether it is down or only closes idle connections */
    if (idle && b->open == 0 && b->up) {
        b->probe = true;
        loop_alarm(b->pool->params.loop, &b->retry, b->pool->params.loop->now + POOL_RETRY_MAX_MS);
    }
    if (d)
        d->link = NULL;
    bool waits = alone && again && !(of_client && silent); /* its time to wait goes on */
    if (waits && of_client)
        pool_stand_aside(b, d);
    else if (waits)
        waits = pool_line_add(b, d);
    if (d && !waits) {
        if (!d->unreadable && !d->fresh) /* other idle links may be dead too: use a fresh one */
            pool_close_idle(b);
        b->pool->params.broke(d, true);
    }
    if (in_clear && !pool_line_first(b) && b->open == 0) /* it was to learn the backend's state */
        pool_link_open(b, NULL);
    if (!hopeless)
        pool_more_links(b);
    pool_send_away(b);
    if (pool_line_first(b)) /* its alarm may have been set to a later time */
        limit_go_on(b);
}

static void link_want(struct link *l)
{
    bool writing = l->outbound.out.len || l->outbound.state == OUTBOUND_BODY;

    loop_bulk(link_loop(l), &l->watch,
              l->outbound.state == OUTBOUND_BODY && l->delivery &&
                  l->delivery->job.size >= LOOP_BULK_OCTETS);

    if (l->ssl && link_is_shaking(l)) { /* only what the handshake waits for */
        loop_want(link_loop(l), &l->watch, SSL_want_write(l->ssl) ? EPOLLOUT : EPOLLIN);
        return;
    }
    loop_want(link_loop(l), &l->watch, EPOLLIN | EPOLLRDHUP | (writing ? EPOLLOUT : 0));
}

/* ---- what a link does next ---- */

/* Dovecot needs less time for a message with BDAT than with DATA, SMTP servers do not
 * (docs/performance.md). */
static bool wants_chunks(const struct backend *b)
{
    int chunking = b->config->chunking;

    return !b->no_chunks && (chunking == CHUNKING_ON ||
                             (chunking == CHUNKING_AUTO && b->config->kind == BACKEND_LMTP));
}

static void start(struct link *l, struct delivery *d)
{
    l->delivery = d;
    l->body_at = 0;
    d->link = l;
    d->backend = l->backend;
    loop_alarm_off(link_loop(l), &d->alarm);
    l->begun_ms = link_loop(l)->now;
    link_timer(l, POOL_REPLY_MS);
    note_state(l);
    l->outbound.chunks = wants_chunks(l->backend);
    if (outbound_begin(&l->outbound, &d->job) < 0)
        l->outbound.state = OUTBOUND_DEAD;
}

/* The delivery that an idle link can take now, or NULL. */
static struct delivery *next_of(struct link *l)
{
    if (l->outbound.state != OUTBOUND_IDLE)
        return NULL;
    if (l->reserved) {
        l->reserved = false;
        return l->delivery;
    }
    return l->delivery || pool_link_is_spent(l) || pool_link_is_stale(l)
               ? NULL
               : pool_line_take(l->backend);
}

/* Closes every connection that is too old, and gives the message to a new one. */
static void ask_young(struct link *l, struct delivery *d)
{
    struct backend *b = l->backend;

    d->doubted = true;
    d->link = NULL;
    if (l->outbound.state == OUTBOUND_IDLE)
        pool_link_quit(l);
    pool_link_close(l);
    pool_close_idle(b);
    b->pool->params.again(d);
    pool_more_links(b);
}

/* BDAT was refused, so nobody has the message: it goes again with DATA. A refusal with 4xx may have
 * been about something else. */
static void again_with_data(struct link *l)
{
    struct delivery *d = l->delivery;
    struct backend *b = l->backend;

    if (kept_get(&l->outbound.complaint).code >= 500)
        health_no_chunks(b, &l->outbound);
    complain(l);
    doubt_chunks(b, d);
    d->link = NULL;
    pool_link_close(l);
    b->pool->params.again(d);
    pool_more_links(b);
}

/* A job has ended that was sent with BDAT. */
static void note_chunks(struct link *l, const struct delivery *d)
{
    if (l->outbound.chunks_refused) /* LMTP */
        health_no_chunks(l->backend, &l->outbound);
    else if (l->outbound.chunked && d->job.sent)
        l->backend->chunk_failures = 0;
}

/* Moves a link on as far as possible; it may be closed afterwards. */
static void move(struct link *l)
{
    struct backend *b = l->backend;

    for (;;) {
        if (l->outbound.over) {
            struct delivery *d = l->delivery;
            l->outbound.over = false;
            l->delivery = NULL;
            note_chunks(l, d);
            if (pool_link_is_doubtful(l, d)) {
                ask_young(l, d);
                return;
            }
            l->used = true;
            d->link = NULL;
            if (l->outbound.state == OUTBOUND_IDLE && !b->up) /* it only refuses new links */
                health_up(b);
            if (l->outbound.state == OUTBOUND_IDLE)
                link_timer(l, POOL_IDLE_MS);
            b->pool->params.over(d);
            if (l->closed) { /* the owner has begun its next delivery here, and given it up */
                pool_more_links(b);
                return;
            }
        }
        if (l->outbound.state == OUTBOUND_DEAD) {
            if (l->delivery && l->outbound.chunks_refused && !l->delivery->job.sent)
                again_with_data(l);
            else
                link_broke(l);
            return;
        }
        if (!link_write(l) || !link_shake(l)) {
            note_state(l);
            if (l->outbound.state == OUTBOUND_BODY)
                link_read(l); /* the backend may have said why it stopped reading the message */
            l->outbound.state = OUTBOUND_DEAD;
            continue;
        }
        complain(l);
        if (l->connecting && l->outbound.state == OUTBOUND_IDLE) {
            l->connecting = false;
            l->ready_ms = link_loop(l)->now;
            b->connecting--;
            limit_ready(b, l);
            b->probe = false;
            b->spoke_ms = l->ready_ms;
            if (l->outbound.secure)
                health_tls(b);
            health_learn(b, &l->outbound.ability);
            health_up(b);
            if ((l->outbound.xclient_caps & ~b->ability.caps) && !b->told_missing) {
                log_warn("backend %s does not accept %s from mired", b->config->name,
                         b->config->xclient && !(b->ability.caps & CAP_XCLIENT) ? "XCLIENT"
                                                                                : "XFORWARD");
                b->told_missing = true;
            }
            b->pool->params.changed(b->pool->params.arg);
            link_timer(l, POOL_IDLE_MS);
        }
        struct delivery *d = next_of(l);
        if (!d)
            break;
        start(l, d);
    }
    if ((pool_link_is_spent(l) || pool_link_is_stale(l)) && l->outbound.state == OUTBOUND_IDLE &&
        !l->delivery) {
        pool_link_quit(l);
        pool_link_close(l); /* it was for one message, or to learn the backend's extensions */
    } else {
        link_want(l);
    }
    limit_look(b); /* it may close the link */
    pool_more_links(b);
}

/* Moves a link on; it may be freed afterwards. */
static void go_on(struct link *l)
{
    l->moving = true;
    move(l);
    l->moving = false;
    if (l->closed)
        free(l);
}

/* Reads replies. A backend may need long for each recipient, so each reply to a command gives it time
 * for the next one. All together have half of the time that the client waits, because the answer to
 * the final dot must come within it, too. */
static void read_replies(struct link *l)
{
    struct outbound *o = &l->outbound;
    uint64_t end = l->begun_ms + POOL_COMMANDS_MS, now = link_loop(l)->now;
    uint32_t state = o->state, at = o->at;

    link_read(l);
    if (o->served && o->state != OUTBOUND_DEAD)
        l->backend->spoke_ms = now;
    bool commands = o->state >= OUTBOUND_XCLIENT && o->state <= OUTBOUND_DATA;
    if (l->delivery && commands && (o->state != state || o->at != at) && now < end)
        link_timer(l, end - now < POOL_REPLY_MS ? end - now : POOL_REPLY_MS);
}

void pool_link_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct link *l = (struct link *)watch;

    loop_moved(loop); /* the link reads until the socket is empty */
    note_state(l);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && !link_is_shaking(l))
        read_replies(l);
    go_on(l);
}

void pool_link_due(struct loop *loop, struct alarm *a)
{
    struct link *l = container_of(a, struct link, alarm);

    if (l->outbound.over)
        go_on(l);
    else if (l->outbound.state == OUTBOUND_IDLE && !l->delivery) {
        struct backend *b = l->backend;
        pool_link_quit(l);
        pool_link_close(l);
        pool_more_links(b);
    } else if (l->reserved && !l->slow) { /* the first of its timers */
        l->slow = true;
        link_timer(l, POOL_CONNECT_MS - POOL_SILENT_MS);
        if (link_is_of_client(l))
            pool_ask_for_all(l->backend);
    } else {
        l->why = "no answer in time";
        l->silent = true;
        note_state(l);
        link_broke(l);
    }
}

/* ---- called by the owner ---- */

const char *pool_state_name(const struct delivery *d)
{
    return d->link ? outbound_state_name((enum outbound_state)d->link->outbound.state)
                   : "a free connection";
}

void pool_open(struct pool *p, struct backend *b, uint32_t index)
{
    uint32_t slots = p->params.slots ? p->params.slots : 1;

    b->pool = p;
    b->index = index;
    b->config = &p->params.config->backend[index];
    b->open_max = b->config->connections / slots;
    if (b->open_max == 0)
        b->open_max = 1;
    b->retry.due = pool_retry;
    health_recall(b);
    limit_open(b);
    (void)pool_open_tls(b); /* a confined process cannot read the file of `ca` */
}

void pool_begin(struct backend *b)
{
    pool_link_open(b, NULL);
}

void pool_close(struct backend *b)
{
    loop_alarm_off(b->pool->params.loop, &b->retry);
    loop_alarm_off(b->pool->params.loop, &b->back);
    limit_close(b);
    SSL_CTX_free(b->tls); /* connections keep a reference of their own */
    b->tls = NULL;
    while (b->links) {
        struct link *l = b->links;
        struct delivery *d = l->delivery;
        if (l->outbound.state == OUTBOUND_IDLE)
            pool_link_quit(l);
        pool_link_close(l);
        if (d) {
            d->link = NULL;
            b->pool->params.broke(d, true);
        }
    }
    for (struct delivery *d; (d = b->aside ? b->aside : pool_line_first(b));) {
        pool_drop(d);
        b->pool->params.broke(d, false);
    }
    pool_line_close(b);
}

/* Idle links that take no message keep their places from links that do. They end from the loop,
 * because a callback of such a link may have led here. */
static void end_spent(struct backend *b)
{
    for (struct link *l = b->links; l; l = l->next)
        if (l->outbound.state == OUTBOUND_IDLE && !l->delivery && pool_link_is_spent(l))
            link_timer(l, 0);
}

bool pool_put(struct backend *b, struct delivery *d)
{
    struct link *l = pool_is_single(b) ? NULL : pool_idle_link(b, d);
    bool others = pool_line_first(b);

    d->backend = b;
    d->refusals = 0;
    d->until_ms = b->pool->params.loop->now + POOL_WAIT_MS;
    if (pool_is_single(b) && pool_may_open(b) && !others && !b->doubted_ms) {
        int error = pool_link_open(b, d);
        if (error != POOL_NOT_NOW)
            return error == 0;
    }
    if (l && d->fresh && pool_may_open(b) && (b->connecting || pool_link_open(b, NULL) == 0))
        l = NULL;
    d->fresh = false;
    /* The end of its last delivery has led here: it is for the one whose turn it is. */
    if (l && l->moving && others)
        l = NULL;
    if (l) {
        start(l, d);
        if (l->outbound.state == OUTBOUND_DEAD || !link_write(l)) {
            l->outbound.state = OUTBOUND_DEAD;
        }
        if (l->outbound.state == OUTBOUND_DEAD || l->outbound.over)
            link_timer(l, 0); /* report its end from the loop, not from within this call */
        link_want(l);
        return true;
    }
    if (!pool_is_single(b) && pool_may_open(b) && b->connecting == 0)
        pool_link_open(b, NULL);
    /* A single backend's connection is for the first in the line, and is opened from the loop. */
    bool opens = pool_is_single(b) && others && pool_may_open(b);
    if (b->open == 0 && !opens && !limit_waits(b))
        return false;
    if (!pool_line_add(b, d))
        return false;
    end_spent(b);
    limit_go_on(b);
    if (pool_is_single(b) && pool_may_open(b)) /* for those that waited before */
        loop_alarm(b->pool->params.loop, &b->retry, b->pool->params.loop->now);
    return true;
}

void pool_drop(struct delivery *d)
{
    struct backend *b = d->backend;

    loop_alarm_off(b->pool->params.loop, &d->alarm);
    if (d->link) {
        d->link->delivery = NULL;
        pool_link_close(d->link);
        d->link = NULL;
        if (pool_line_first(b) &&
            !b->pool->closing) /* from the loop: those that wait have a place now */
            loop_alarm(b->pool->params.loop, &b->retry, b->pool->params.loop->now);
        return;
    }
    pool_line_drop(b, d);
}
