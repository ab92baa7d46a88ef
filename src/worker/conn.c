/* A connection's life: accepted, stepped, closed.
 *
 * The session (src/smtp) says what it needs next, and this file gets it: input from io.c, verdicts
 * from recipient.c, a backend's reply from message.c; hold.c decides when a reply is sent. To wait,
 * a step returns to the loop, and continues later in conn_run(). Nothing else steps a session. */
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

/* Replies of a pipelined group are sent together, but no more octets than this are collected. */
enum { OUT_ENOUGH = 16 * 1024 };

static_assert((int)METRIC_SESSIONS_NO_MEMORY == (int)METRIC_SESSIONS_QUIT + (int)CLOSE_NO_MEMORY,
              "a counter for each reason, in their order");

enum { PROXY_MS = 10000 /* a balancer says it at once */ };

struct work *conn_work(struct conn *c)
{
    if (!c->work)
        c->work = calloc(1, sizeof *c->work);
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

struct span conn_sender_domain(const struct conn *c)
{
    struct span sender = envelope_sender(&c->smtp.envelope);
    size_t at = sender.len;

    while (at > 0 && sender.at[at - 1] != '@')
        at--;
    return span_after(sender, at);
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
    struct tarpit_who who = envelope_has_sender(&c->smtp.envelope)
                                ? who_sends(w, &c->peer, exempt, conn_sender_domain(c))
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

    if (watch->ready != io_ready || c->phase != CONN_READING || c->flags & CONN_EXEMPT ||
        c->smtp.flags & SMTP_AUTHENTICATED)
        return;
    struct worker *w = worker_of(loop);
    struct tarpit_who who = who_of(w, &c->peer, false);
    tarpit_prefetch(&w->tarpit, &who);
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
    if (guard_admit(w, peer, exempt || proxied_is_balancer(w, listener, peer)))
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

static void count_reply(struct conn *c, const struct reply *r)
{
    static const enum metric class[] = {METRIC_REPLIES_2, METRIC_REPLIES_3, METRIC_REPLIES_4,
                                        METRIC_REPLIES_5};
    if (r->code >= 200 && r->code < 600)
        metric_add(class[r->code / 100 - 2], 1);
    if (r->code >= 400)
        c->last_code = r->code;
    c->flags &= ~(uint32_t)CONN_GREETING;
}

bool conn_say(struct conn *c, const struct reply *r)
{
    count_reply(c, r);
    return conn_work(c) && reply_write(r, &c->work->out) == 0;
}

bool conn_say_end(struct conn *c, const struct reply *r)
{
    count_reply(c, r);
    return conn_work(c) && reply_end_drip(r, &c->work->out) == 0;
}

/* The result of a step. */
enum go {
    GO_ON,
    GO_WAIT,
    GO_FULL, /* waits until the output has been sent */
    GO_GONE,
};

static enum go say(struct worker *w, struct conn *c, const struct reply *r)
{
    switch (hold_reply(w, c, r)) {
    case HOLD_HELD: return GO_WAIT;
    case HOLD_GONE: return GO_GONE;
    case HOLD_NONE: break;
    }
    if (!conn_say(c, r)) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return GO_GONE;
    }
    if (c->work->out.len < OUT_ENOUGH)
        return GO_ON;
    if (!io_flush(w, c))
        return GO_GONE;
    return c->work->out.len >= OUT_ENOUGH ? GO_FULL : GO_ON;
}

static enum go finish(struct worker *w, struct conn *c)
{
    if (!io_flush(w, c))
        return GO_GONE;
    if (c->work && c->work->out.len) {
        conn_phase(w, c, CONN_CLOSING, w->config->timeout_ms);
        return GO_WAIT;
    }
    io_end(w, c);
    conn_close(w, c, smtp_is_junk(&c->smtp) ? CLOSE_JUNK : CLOSE_QUIT);
    return GO_GONE;
}

static enum go serve(struct worker *w, struct conn *c, enum smtp_want want, struct smtp_step *step)
{
    switch (want) {
    case SMTP_REPLY: return say(w, c, &step->reply);
    case SMTP_RECIPIENT: return recipient_begin(w, c, step) ? GO_ON : GO_WAIT;
    case SMTP_PASSWORD: return login_begin(w, c, step) ? GO_ON : GO_WAIT;
    case SMTP_SCRAM: return login_scram(w, c, step) ? GO_ON : GO_WAIT;
    case SMTP_MESSAGE: return message_begin(w, c) ? GO_ON : GO_WAIT;
    case SMTP_BODY: message_add(w, c, step->body); return GO_ON;
    case SMTP_MESSAGE_VOID: message_void(w, c); return GO_ON;
    case SMTP_MESSAGE_END: return message_end(w, c) ? GO_ON : GO_WAIT;
    case SMTP_END: return finish(w, c);
    case SMTP_START_TLS: return tls_begin(w, c, false) ? GO_WAIT : GO_GONE;
    case SMTP_INPUT: break;
    }
    return GO_WAIT;
}

/* Input that the session steps through: first octets that were received where they stay, in the
 * spool, then those in w->input from `at` up to `have`. */
struct input {
    const struct iovec *place;
    int places;
    size_t at, have;
};

/* Moves what is left of the places into w->input. */
static void leave_places(struct worker *w, struct input *in, size_t used)
{
    in->at = in->have = 0;
    for (; in->places; in->places--, in->place++) {
        size_t left = in->place->iov_len - used;
        assert(in->have + left <= sizeof w->input);
        memcpy(w->input + in->have, (char *)in->place->iov_base + used, left);
        in->have += left;
        used = 0;
    }
    w->input_in_use = in->have;
}

enum { STEP_AGAIN = -1 };

/* A step through the first place; returns enum smtp_want or STEP_AGAIN. If the session has used all of it and the message has all of it,
 * the next place follows. Otherwise the octets from there on do not stay where they are, or they
 * are not of the message, or they would be freed with it. */
static int step_in_place(struct worker *w, struct conn *c, struct input *in, struct smtp_step *step)
{
    struct span octets = {in->place->iov_base, in->place->iov_len};
    size_t used = 0;
    int places = in->places;
    enum smtp_want want = smtp_step(&c->smtp, &w->service[c->listener], octets, &used, step);

    if (want == SMTP_BODY && step->body.at == octets.at && step->body.len == octets.len) {
        in->place++;
        in->places--;
        return want;
    }
    leave_places(w, in, used);
    /* the session has not seen what follows the place */
    return want == SMTP_INPUT && places > 1 ? STEP_AGAIN : (int)want;
}

static int step_in_input(struct worker *w, struct conn *c, struct input *in, struct smtp_step *step)
{
    size_t used = 0;
    enum smtp_want want =
        smtp_step(&c->smtp, &w->service[c->listener],
                  (struct span){w->input + in->at, in->have - in->at}, &used, step);

    in->at += used;
    if (want == SMTP_PASSWORD) /* leave no password in the buffer */
        explicit_bzero(w->input + in->at - used, used);
    return want;
}

/* Keeps the unused part of w->input for the next run. */
static bool keep_input(struct worker *w, struct conn *c, const struct input *in)
{
    if (in->at == in->have)
        return true;
    return conn_work(c) && buf_add(&c->work->in, w->input + in->at, in->have - in->at) == 0;
}

static void run(struct worker *w, struct conn *c, struct input *in)
{
    enum go go = GO_ON;
    size_t in_use = w->input_in_use;
    bool moved = in->places > 0;

    login_offers(w);
    c->flags |= CONN_RUNNING;
    c->smtp.trusted = c->flags & CONN_EXEMPT;
    w->input_in_use = in->have;
    while (go == GO_ON) {
        struct smtp_step step;
        int want = in->places ? step_in_place(w, c, in, &step) : step_in_input(w, c, in, &step);
        if (want != STEP_AGAIN)
            go = serve(w, c, (enum smtp_want)want, &step);
    }
    w->input_in_use = in_use;
    if (go == GO_GONE)
        return;
    c->flags &= ~(uint32_t)CONN_RUNNING;
    message_fit(c);
    if (!keep_input(w, c, in)) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return;
    }
    room_count_envelope(w, c, (uint32_t)envelope_block(&c->smtp.envelope).len);
    /* part of a line is no progress */
    if ((moved || in->at) && c->phase == CONN_READING && !smtp_in_data(&c->smtp))
        loop_alarm(&w->loop, &c->alarm, w->loop.now + w->config->timeout_ms);
    /* with a full output, EPOLLOUT continues, and reads the rest of the input */
    if (go != GO_FULL && !io_flush(w, c))
        return;
    if (w->stopping && c->phase == CONN_READING) { /* its hand-over has ended; see stop() */
        conn_shut(w, c, REPLY_SHUTDOWN);
        return;
    }
    conn_rest(c);
    io_want(w, c);
}

void conn_run_input(struct worker *w, struct conn *c, size_t have)
{
    struct input in = {.have = have};

    run(w, c, &in);
}

void conn_run_places(struct worker *w, struct conn *c, const struct iovec *place, int places)
{
    struct input in = {.place = place, .places = places};

    run(w, c, &in);
}

void conn_run(struct worker *w, struct conn *c)
{
    /* the octets of the outer connection, during whose run this answer has come */
    struct buf aside = {0};
    size_t have = 0;

    if (c->flags & CONN_RUNNING) /* the answer came at once: the run that asked goes on */
        return;
    if (c->work && c->work->in.len) {
        assert(c->work->in.len <= sizeof w->input);
        if (w->input_in_use && buf_add(&aside, w->input, w->input_in_use) < 0) {
            conn_close(w, c, CLOSE_NO_MEMORY);
            return;
        }
        have = c->work->in.len;
        memcpy(w->input, c->work->in.at, have);
        buf_free(&c->work->in);
    }
    conn_run_input(w, c, have);
    if (aside.len)
        memcpy(w->input, aside.at, aside.len);
    buf_free(&aside);
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
