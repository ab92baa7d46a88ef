/* Hand-overs: a message goes from the worker to a backend, and the outcome back; see relay.h.
 *
 * This file decides which backend gets a message, what happens when a connection breaks, and what
 * the client hears. smtp/client.c has the protocol, backend/pool.c the connections, and outcome.c
 * turns mixed answers into one reply. */
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#include "backend/pool.h"
#include "base/container.h"
#include "relay/outcome.h"

struct handover {
    struct delivery delivery; /* first */
    struct relay *relay;
    struct envelope envelope;
    struct spool *spool;
    struct buf header;
    struct client_names names;
    struct buf user; /* authenticated as, or empty */
    uint32_t tried;  /* a bit for each backend with which it broke */
    uint8_t breaks;  /* connections that broke during it */
    bool lacking;    /* a backend lacked an extension that the message needs */
    bool abandoned;
    void (*done)(void *arg, const struct relay_result *result);
    void *arg;
};

struct relay {
    struct relay_params params;
    struct pool pool;
    struct backend *backend;
    size_t backends;
    uint32_t turn; /* round robin */
};

static void handover_free(struct handover *h)
{
    loop_alarm_off(h->relay->params.loop, &h->delivery.alarm);
    for (uint32_t i = 0; i < h->delivery.job.recipients; i++)
        kept_free(&h->delivery.job.recipient[i].reply);
    free(h->delivery.job.recipient);
    kept_free(&h->delivery.job.whole);
    envelope_free(&h->envelope);
    buf_free(&h->header);
    buf_free(&h->user);
    spool_free(h->spool);
    free(h);
}

static void tell(struct handover *h, const struct relay_result *result)
{
    if (!h->abandoned)
        h->done(h->arg, result);
    handover_free(h);
}

static void tell_later(struct handover *h, bool duplicate)
{
    struct relay_result result = {
        .reply = reply_make(h->lacking ? REPLY_LACKING : REPLY_BACKEND_DOWN, (struct span){0}),
        .backend = h->delivery.backend ? h->delivery.backend->config->name : "-",
        .duplicate_possible = duplicate,
    };
    tell(h, &result);
}

/* ---- which backend ---- */

static bool fits(const struct backend *b, const struct handover *h)
{
    return b->ability.size_max == 0 || h->delivery.job.size <= b->ability.size_max;
}

/* A message that is too large for this backend waits for another one, even if that is down now. If
 * it is too large for all, a backend refuses it with its own reply. */
static bool can_take(const struct relay *r, const struct backend *b, struct handover *h)
{
    if (!fits(b, h))
        for (size_t i = 0; i < r->backends; i++)
            if (fits(&r->backend[i], h))
                return false;
    if (!b->known || !b->up || (outbound_needs(&h->delivery.job) & ~b->ability.caps) == 0)
        return true;
    h->lacking = true;
    return false;
}

/* Gives the hand-over to the first backend that is up, or to one that may be up again; with
 * round_robin, to each in turn. False if none is left. */
static bool place(struct relay *r, struct handover *h)
{
    size_t first = r->params.config->balance == BALANCE_ROUND_ROBIN ? r->turn++ : 0;

    for (int down = 0; down < 2; down++)
        for (size_t i = 0; i < r->backends; i++) {
            struct backend *b = &r->backend[(first + i) % r->backends];
            if (h->tried >> (b->index % 32) & 1 || (b->known && !b->up) != down ||
                !can_take(r, b, h))
                continue;
            if (pool_put(b, &h->delivery))
                return true;
            h->tried |= (uint32_t)1 << (b->index % 32);
        }
    return false;
}

/* ---- ends ---- */

/* Forgets what a backend has said so far. */
static void begin_again(struct handover *h)
{
    for (uint32_t i = 0; i < h->delivery.job.recipients; i++)
        if (h->delivery.job.recipient[i].fate != FATE_HAS_IT)
            h->delivery.job.recipient[i].fate = FATE_OPEN;
    h->delivery.job.whole.code = 0;
    h->delivery.job.lacking = false;
}

/* The backend no longer has an extension that the message needs. Another backend may have it. When
 * the client retries, the extension is not offered any more. */
static void lacks(struct handover *h)
{
    struct relay *r = h->relay;

    begin_again(h);
    h->lacking = true;
    h->tried |= (uint32_t)1 << (h->delivery.backend->index % 32);
    if (h->abandoned || r->pool.closing || !place(r, h))
        tell_later(h, false);
}

static void over(struct delivery *d)
{
    struct handover *h = (struct handover *)d;
    struct relay *r = h->relay;
    struct relay_result result = {.backend = h->delivery.backend->config->name};

    if (h->delivery.job.lacking) {
        lacks(h);
        return;
    }

    result.reply =
        outcome_end(&h->delivery.job, r->params.partial, r->params.loop->wall, &result.accepted);
    if (h->abandoned)
        outcome_unheard(&h->delivery.job, r->params.partial, r->params.loop->wall);
    tell(h, &result);
}

static void doubted(struct delivery *d)
{
    struct handover *h = (struct handover *)d;
    struct relay *r = h->relay;

    begin_again(h);
    if (r->pool.closing || (!pool_put(d->backend, d) && !place(r, h)))
        tell_later(h, false);
}

static void broke(struct delivery *d, bool started)
{
    struct handover *h = (struct handover *)d;
    struct relay *r = h->relay;
    uint32_t accepted;

    /* the backend may have it: do not offer it to these recipients again */
    if (h->delivery.job.sent) {
        outcome_end(&h->delivery.job, r->params.partial, r->params.loop->wall, &accepted);
        tell_later(h, true);
        return;
    }
    uint32_t mine = (uint32_t)1 << (h->delivery.backend->index % 32);
    bool again = !started || h->breaks < POOL_BREAKS_MAX;
    begin_again(h);
    if (again && !h->abandoned && !r->pool.closing) {
        h->tried |= mine;
        h->breaks = (uint8_t)(h->breaks + started);
        if (place(r, h))
            return;
        /* no other backend is left: use a fresh connection to the same one */
        if (!h->delivery.refused)
            h->tried &= ~mine;
        if (started && !h->delivery.refused && place(r, h))
            return;
    }
    tell_later(h, false);
}

/* The hand-over has waited too long; or its end was known at once, and is reported here, from the
 * loop. */
static void due(struct loop *loop, struct alarm *a)
{
    struct handover *h = container_of(a, struct handover, delivery.alarm);
    struct relay_result result = {.backend = "-"};

    if (h->delivery.backend && !h->delivery.link)
        pool_drop(&h->delivery);
    bool all_have_it = h->delivery.job.recipients > 0;
    for (uint32_t i = 0; i < h->delivery.job.recipients; i++)
        all_have_it = all_have_it && h->delivery.job.recipient[i].fate == FATE_HAS_IT;
    if (all_have_it) {
        result.reply = reply_make(REPLY_OK, (struct span){0});
        result.accepted = h->delivery.job.recipients;
        tell(h, &result);
    } else {
        tell_later(h, false);
    }
}

/* ---- called by the pool ---- */

static struct span read_spool(void *spool, uint64_t offset)
{
    return spool_read(spool, offset);
}

static void remember(void *arg, const char *backend, uint64_t word)
{
    const struct relay_params *p = &((struct relay *)arg)->params;

    partial_note_backend(p->partial, span_of(backend), word, p->loop->wall);
}

static bool recall(void *arg, const char *backend, uint64_t *word)
{
    const struct relay_params *p = &((struct relay *)arg)->params;

    return partial_backend(p->partial, span_of(backend), p->loop->wall, word);
}

static void reached(void *arg, const char *backend, bool up)
{
    const struct relay_params *p = &((struct relay *)arg)->params;

    if (p->reached)
        p->reached(p->arg, backend, up);
}

/* ---- called by the worker ---- */

static struct handover *handover_new(struct relay *r, struct relay_message *m)
{
    struct handover *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->relay = r;
    h->delivery.alarm.due = due;
    h->delivery.job.recipients = envelope_recipients(m->envelope);
    h->delivery.job.recipient =
        calloc(h->delivery.job.recipients + 1, sizeof *h->delivery.job.recipient);
    if (!h->delivery.job.recipient || envelope_copy(&h->envelope, m->envelope) < 0 ||
        buf_add_span(&h->user, m->user) < 0) {
        h->delivery.job.recipients = h->delivery.job.recipient ? h->delivery.job.recipients : 0;
        handover_free(h);
        return NULL;
    }
    h->delivery.job.envelope = &h->envelope;
    h->delivery.job.declared = m->declared;
    h->delivery.job.utf8 = m->utf8;
    h->delivery.job.eightbit = m->eightbit;
    h->delivery.client = m->client;
    h->names = m->names;
    h->delivery.job.who = (struct introduction){.client = m->client,
                                                .server = m->server,
                                                .names = &h->names,
                                                .helo = envelope_helo(&h->envelope),
                                                .user = buf_span(&h->user),
                                                .esmtp = m->esmtp};
    return h;
}

struct handover *relay_send(struct relay *r, struct relay_message *m,
                            void (*done)(void *arg, const struct relay_result *result), void *arg)
{
    struct handover *h = handover_new(r, m);

    if (!h) {
        spool_free(m->spool);
        buf_free(&m->header);
        return NULL;
    }
    h->spool = m->spool;
    h->header = m->header;
    h->delivery.header = buf_span(&h->header);
    h->delivery.message = m->spool;
    h->delivery.read = read_spool;
    h->delivery.job.size = m->header.len + spool_size(m->spool);
    h->delivery.job.hash = spool_hash(m->spool);
    h->delivery.job.named = spool_is_named(m->spool);
    h->done = done;
    h->arg = arg;
    if (outcome_begin(&h->delivery.job, r->params.partial, r->params.loop->wall) == 0 ||
        !place(r, h)) {
        h->delivery.backend = NULL;
        loop_alarm(r->params.loop, &h->delivery.alarm, r->params.loop->now);
    }
    return h;
}

bool relay_abandon(struct handover *h)
{
    h->abandoned = true;
    if (h->delivery.job.sent)
        return false; /* its outcome must still be recorded (partial_delivery.c) */
    if (h->delivery.backend)
        pool_drop(&h->delivery);
    handover_free(h);
    return true;
}

const char *relay_waits_for(const struct handover *h, const char **backend)
{
    const struct backend *b = h->delivery.backend;

    *backend = b ? b->config->name : NULL;
    return b ? pool_state_name(&h->delivery) : "no backend";
}

static uint32_t offer_of(const struct backend *b)
{
    uint32_t caps = b->ability.caps;

    return (caps & CAP_8BITMIME ? SMTP_OFFER_8BITMIME : 0) |
           (caps & CAP_SMTPUTF8 ? SMTP_OFFER_SMTPUTF8 : 0) | (caps & CAP_DSN ? SMTP_OFFER_DSN : 0);
}

/* A message that is too large for one backend can wait for another one, so the largest limit
 * counts. */
static uint64_t size_offered(const struct relay *r)
{
    uint64_t max = 0;

    for (size_t i = 0; i < r->backends; i++) {
        const struct backend *b = &r->backend[i];
        if (!b->learnt || b->ability.size_max == 0)
            return 0;
        if (b->ability.size_max > max)
            max = b->ability.size_max;
    }
    return max;
}

static void changed(void *arg)
{
    const struct relay *r = arg;
    struct relay_offer o = {.size_max = size_offered(r), .settled = true};
    bool up = relay_is_up(r);
    size_t told = 0;

    for (size_t i = 0; i < r->backends; i++) {
        const struct backend *b = &r->backend[i];
        o.settled = o.settled && (b->known || b->learnt);
        if (up ? !b->up : !b->learnt)
            continue;
        o.all = told++ ? o.all & offer_of(b) : offer_of(b);
        o.any |= offer_of(b);
    }
    if (r->params.changed)
        r->params.changed(r->params.arg, &o);
}

struct relay *relay_open(const struct relay_params *params)
{
    struct relay *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->params = *params;
    r->backends = params->config->backend_count;
    r->backend = calloc(r->backends + 1, sizeof *r->backend);
    if (!r->backend) {
        free(r);
        return NULL;
    }
    r->pool.params = (struct pool_params){.config = params->config,
                                          .loop = params->loop,
                                          .store_path = params->store_path,
                                          .addresses = params->addresses,
                                          .slots = params->slots,
                                          .over = over,
                                          .doubted = doubted,
                                          .broke = broke,
                                          .changed = changed,
                                          .reached = reached,
                                          .remember = remember,
                                          .recall = recall,
                                          .arg = r};
    for (size_t i = 0; i < r->backends; i++)
        pool_open(&r->pool, &r->backend[i], (uint32_t)i);
    changed(r);
    return r;
}

void relay_close(struct relay *r)
{
    if (!r)
        return;
    r->pool.closing = true;
    for (size_t i = 0; i < r->backends; i++)
        pool_close(&r->backend[i]);
    free(r->backend);
    free(r);
}

void relay_tell_again(const struct relay *r)
{
    for (size_t i = 0; i < r->backends; i++) {
        const struct backend *b = &r->backend[i];
        if (b->known && r->params.reached)
            r->params.reached(r->params.arg, b->config->name, b->up);
    }
}

bool relay_is_up(const struct relay *r)
{
    for (size_t i = 0; i < r->backends; i++)
        if (r->backend[i].up)
            return true;
    return false;
}
