/* Messages: received as a whole and handed over as a whole (docs/architecture.md). The client's 250
 * is the backend's own. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/metrics.h"
#include "base/probe.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "relay/partial_delivery.h"
#include "relay/relay.h"
#include "smtp/received.h"
#include "worker/conn.h"
#include "worker/conn_step.h"
#include "worker/ident.h"
#include "worker/io.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/lists.h"
#include "worker/message.h"
#include "worker/room.h"
#include "worker/sending.h"
#include "worker/who.h"
#include "worker/worker_part.h"

enum { GOOD_AT_ONCE = 64 };
enum { NAMES_WAIT_MS = 1000, NAMES_LOOK_MS = 20 };
enum { TRIM_MS = 5000, TRIM_SOON_MS = 20, SETTLE_OCTETS = 16 << 20 };
enum { BULK_MS = 500, PIECES_FREE = 8, PIECE_SMALL = 1024 };
enum { RECEIVED_MAX = 100 }; /* RFC 5321 6.3: more is a loop */

/* Large messages whose clients have stopped must not keep the memory that is for fast ones. */
static void settle(struct worker *w)
{
    uint64_t octets = 0;

    for (struct ring *at = w->spooling.next; at != &w->spooling && octets < SETTLE_OCTETS;
         at = at->next)
        octets += spool_settle(container_of(at, struct work, spooling)->spool);
}

/* Blocks that were not needed from one look to the next go back to the kernel. */
static void trim(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    settle(w);
    switch (blocks_trim(&w->spool_room.blocks)) {
    case BLOCKS_NONE: break;
    case BLOCKS_LATER: loop_alarm(loop, a, loop->now + TRIM_MS); break;
    case BLOCKS_SOON: loop_alarm(loop, a, loop->now + TRIM_SOON_MS); break;
    }
}

int message_open(struct worker *w)
{
    ring_init(&w->spooling);
    w->trim_alarm.due = trim;
    return spool_room_open(&w->spool_room, w->params->slots, w->config->spool_memory);
}

void message_close(struct worker *w)
{
    loop_alarm_off(&w->loop, &w->trim_alarm);
    spool_room_close(&w->spool_room);
}

static void forget_spool(struct conn *c)
{
    c->work->spool = NULL;
    ring_remove(&c->work->spooling);
}

bool message_begin(struct worker *w, struct conn *c)
{
    if (!conn_work(c))
        return true; /* message_add() will fail */
    c->work->handed_us = 0;
    c->work->spool = spool_new(&w->spool_room, partial_key(w->params->partial));
    if (c->work->spool) {
        c->work->conn = c;
        ring_add(&w->spooling, &c->work->spooling);
    }
    c->work->window = 0;
    c->work->pieces = 0;
    c->work->heard_ms = c->work->begun_ms = (uint32_t)w->loop.now;
    if (!wheel_is_set(&w->trim_alarm.timer))
        loop_alarm(&w->loop, &w->trim_alarm, w->loop.now + TRIM_MS);
    loop_alarm(&w->loop, &c->alarm, w->loop.now + w->config->timeout_ms); /* io_keeps_pace() */
    c->work->declared = smtp_declared_size(&c->smtp);
    return true;
}

void message_heard(struct worker *w, struct conn *c, size_t octets)
{
    c->work->window += octets;
    c->work->heard_ms = (uint32_t)w->loop.now;
}

/* It is large, takes long, or comes in pieces that are so small that there may be any number of
 * them. */
static bool is_bulk(const struct worker *w, const struct work *k)
{
    uint64_t size = spool_size(k->spool);

    return size >= LOOP_BULK_OCTETS || (uint32_t)w->loop.now - k->begun_ms >= BULK_MS ||
           (k->pieces > PIECES_FREE && size / k->pieces < PIECE_SMALL);
}

/* Others need not wait for it. A known sender's list may name many people before its message comes. */
static bool is_late(struct worker *w, struct conn *c)
{
    if (!smtp_is_late(&c->smtp))
        return false;
    struct tarpit_who who = conn_who(w, c);
    return !tarpit_in_good_standing(&w->tarpit, &who, w->loop.wall);
}

void message_rank(struct worker *w, struct conn *c)
{
    const struct work *k = c->work;
    bool coming = smtp_in_data(&c->smtp);
    bool bulk = coming ? c->watch.events & LOOP_BULK : is_late(w, c);

    if (coming && k && k->spool)
        bulk = is_bulk(w, k);
    loop_bulk(&w->loop, &c->watch, bulk);
}

int message_place(struct conn *c, struct iovec *place, int max, size_t octets)
{
    return c->work && c->work->spool ? spool_place(c->work->spool, place, max, octets) : 0;
}

void message_fit(struct conn *c)
{
    if (c->work && c->work->spool)
        spool_fit(c->work->spool);
}

/* The spool is full: gives up the message that began last, if that is one that began after this
 * one. So the earlier messages become complete and leave, and the later ones are deferred. */
static bool make_room(struct worker *w, struct conn *c)
{
    for (struct ring *at = w->spooling.prev; at != &c->work->spooling; at = at->prev) {
        struct conn *last = container_of(at, struct work, spooling)->conn;
        bool coming = last->phase == CONN_READING && smtp_in_data(&last->smtp) &&
                      !(last->flags & CONN_RUNNING) && spool_size(last->work->spool) > 0;
        if (!coming || (room_is_free(last) && !room_is_free(c)))
            continue;
        journal_step(last, "makes room", "its message is put off, for earlier ones");
        metric_add(METRIC_BUDGET_SPOOL, 1);
        message_void(w, last);
        smtp_body_failed(&last->smtp);
        return true;
    }
    return false;
}

static bool add(struct worker *w, struct conn *c, struct span body)
{
    int r;

    do
        r = spool_add(c->work->spool, body);
    while (r == -EAGAIN && make_room(w, c));
    return r == 0;
}

void message_add(struct worker *w, struct conn *c, struct span body)
{
    /* The session asks for message_void() next. Not here: octets that it has not seen yet may be in
     * the spool's blocks (conn_run_places()). */
    if (!c->work || !c->work->spool || !room_for_octets(w, c, body.len) || !add(w, c, body))
        smtp_body_failed(&c->smtp);
    else
        room_count_octets(w, c, (int64_t)body.len);
    if (c->work)
        c->work->pieces++;
}

void message_void(struct worker *w, struct conn *c)
{
    if (c->work && c->work->spool) {
        room_count_octets(w, c, -(int64_t)spool_size(c->work->spool));
        spool_free(c->work->spool);
        forget_spool(c);
    }
}

/* The relay has the message no longer: its octets are not its client's any more. */
static void out_of_hand(struct worker *w, struct conn *c)
{
    if (c->work->in_hand)
        room_count_octets(w, c, -(int64_t)c->work->in_hand);
    c->work->in_hand = 0;
}

void message_forget(struct worker *w, struct conn *c)
{
    message_void(w, c);
    out_of_hand(w, c);
    if (c->work->handover) {
        bool dropped = relay_abandon(c->work->handover);
        sending_over(w, c, dropped ? c->work->allowed : 0);
        c->work->handover = NULL;
        metric_add(METRIC_MESSAGES_DEFERRED, 1);
    }
}

static void tell(struct conn *c, const struct reply *r)
{
    c->last_code = r->code;
    metric_add(r->code < 300   ? METRIC_MESSAGES_PASSED
               : r->code < 500 ? METRIC_MESSAGES_DEFERRED
                               : METRIC_MESSAGES_REFUSED,
               1);
    smtp_message_is(&c->smtp, r);
}

static bool tell_row(struct worker *w, struct conn *c, enum reply_id id)
{
    struct reply r = reply_make(id, (struct span){0});
    message_void(w, c);
    tell(c, &r);
    return true;
}

/* R8: counts the mailboxes that a backend has put the message into in this try, whatever the reply
 * to all is. What an earlier try has delivered earns nothing again: not for a client that repeats
 * another one's message. */
static void note_good(struct worker *w, struct conn *c, const struct relay_result *result)
{
    struct relay_taken taken = {0};
    uint64_t mailbox[GOOD_AT_ONCE];
    uint32_t count = 0;

    while (relay_next_taken(result, &taken)) {
        mailbox[count++] = who_mailbox(w, &c->peer, taken.address);
        if (count == GOOD_AT_ONCE) {
            judge_good(w, c, mailbox, count);
            count = 0;
        }
    }
    if (count)
        judge_good(w, c, mailbox, count);
}

/* Handles the end of a hand-over. */
static void done(void *arg, const struct relay_result *result)
{
    struct conn *c = arg;
    struct worker *w = c->work->worker;
    uint64_t us = clock_mono_us() - c->work->handed_us;

    c->work->handover = NULL;
    out_of_hand(w, c);
    if (!result->duplicate_possible)
        sending_over(w, c,
                     envelope_recipients(&c->smtp.envelope) - result->accepted + result->before);
    metric_took(METRIC_TIME_MESSAGE, us);
    bool correspondent = judge_by_correspondent(w, c); /* before this message earns credit */
    struct tarpit_hold would = {0};
    note_good(w, c, result);
    if (result->reply.code < 300) {
        would = judge_delivered(w, c);
        c->messages++;
    }
    journal_message(w, c, result, us, &would, correspondent);
    tell(c, &result->reply);
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    conn_run(w, c);
}

/* Whether the message begins with a space or a tab. Then its first line would go on with the header
 * field that mired puts before it (RFC 5322 2.2.3), as if mired had written it. */
static bool begins_folded(struct conn *c)
{
    struct span first = spool_read(c->work->spool, 0);

    return first.len && (first.at[0] == ' ' || first.at[0] == '\t');
}

/* An empty line keeps the client's words out of it: they are text, as they are to Postfix, which does
 * the same. */
static int make_header(struct worker *w, struct conn *c, struct buf *header)
{
    struct received_from from = {
        .helo = envelope_helo(&c->smtp.envelope),
        .client = c->peer,
        .login = w->config->received_login ? smtp_login(&c->smtp) : (struct span){0},
        .hostname = w->config->hostname,
        .flags = c->smtp.flags,
        .id = ident_message(&c->peer, c->opened_s, c->work->handed_us, c->work->id),
    };
    struct envelope_recipient only = {0};

    if (envelope_recipients(&c->smtp.envelope) == 1 && envelope_next(&c->smtp.envelope, &only))
        from.only_recipient = only.address;
    if (received_header(&from, w->loop.wall, header) < 0)
        return -ENOMEM;
    return begins_folded(c) ? buf_add_span(header, SPAN("\r\n")) : 0;
}

/* A backend that checks the client's name must not defer good mail because the DNS is slower than
 * the client. So the message waits a little while the name is looked up. */
static bool waits_for_names(struct worker *w, struct conn *c, struct client_names *names)
{
    struct work *k = c->work;

    if (!k->handed_us)
        k->handed_us = clock_mono_us();
    if (!lists_client_names(w, &c->peer, names) || w->stopping ||
        clock_mono_us() - k->handed_us > NAMES_WAIT_MS * 1000)
        return false;
    conn_phase(w, c, CONN_HANDING, NAMES_LOOK_MS);
    return true;
}

bool message_would_double(const struct conn *c)
{
    return !c->work->handover || relay_would_double(c->work->handover);
}

void message_due(struct worker *w, struct conn *c)
{
    if (c->work->handover || !message_end(w, c))
        return;
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    conn_run(w, c);
}

bool message_end(struct worker *w, struct conn *c)
{
    struct work *k = c->work;
    struct relay_message m = {
        .envelope = &c->smtp.envelope,
        .client = c->peer,
        .user = smtp_login(&c->smtp),
        .octets = c->smtp.size,
        .socket = c->watch.fd,
        .esmtp = c->smtp.flags & SMTP_ESMTP,
        .utf8 = c->smtp.flags & SMTP_UTF8,
        .eightbit = c->smtp.flags & SMTP_8BIT,
        .vouched = !(c->smtp.flags & SMTP_AUTHENTICATED) && conn_is_spared(w, c),
    };

    struct reply refusal;
    char text[SENDING_TEXT];

    if (!k || !k->spool)
        return tell_row(w, c, REPLY_NO_SPACE);
    if (spool_received(k->spool) > RECEIVED_MAX)
        return tell_row(w, c, REPLY_LOOP);
    if (waits_for_names(w, c, &m.names))
        return false;
    /* the balancer connected to us, not the client */
    if (w->sends_xclient && !(c->flags & CONN_PROXIED))
        m.server = addr_of_socket(c->watch.fd);
    if (make_header(w, c, &m.header) < 0) {
        buf_free(&m.header);
        return tell_row(w, c, REPLY_NO_SPACE);
    }
    if (!sending_message(w, c, &refusal, text)) {
        buf_free(&m.header);
        message_void(w, c);
        tell(c, &refusal);
        return true;
    }
    m.declared = k->declared;
    /* They fill the spool until the backend has answered, however long that takes, so they count for
     * their client: one with a slow backend must leave room for the others. */
    k->in_hand = spool_size(k->spool);
    message_fit(c);
    m.spool = k->spool;
    forget_spool(c);
    k->worker = w;
    PROBE3(handover, c->watch.fd, c->smtp.size, envelope_recipients(&c->smtp.envelope));
    k->handover = relay_send(w->relay, &m, done, c);
    if (!k->handover) {
        out_of_hand(w, c);
        sending_over(w, c, k->allowed);
        return tell_row(w, c, REPLY_BACKEND_DOWN);
    }
    if (c->flags & CONN_SEEN_END) /* its end is not reported again */
        relay_unheard(k->handover);
    conn_phase(w, c, CONN_HANDING, 0);
    journal_step(c, "delivers", "%lu octets, %u recipients", (unsigned long)c->smtp.size,
                 (unsigned)envelope_recipients(&c->smtp.envelope));
    return false;
}
