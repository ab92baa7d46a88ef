/* Hand-overs: a message's way from the worker to a backend and its outcome back; see relay.h.
 *
 * Here is decided which backend gets it, what happens when a connection breaks, and what the client
 * is told. Which words are said on the wire is outbound.c's, when and over which connection
 * pool.c's, what mixed answers come to settling.c's. */
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

#include "backend/pool.h"
#include "relay/outcome.h"

static void handover_free(struct handover *h)
{
    loop_alarm_off(h->relay->params.loop, &h->alarm);
    for (uint32_t i = 0; i < h->job.recipients; i++)
        kept_free(&h->job.recipient[i].reply);
    free(h->job.recipient);
    kept_free(&h->job.whole);
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
        .backend = h->backend ? h->backend->config->name : "-",
        .duplicate_possible = duplicate,
    };
    tell(h, &result);
}

/* ---- which backend ---- */

static bool fits(const struct backend *b, const struct handover *h)
{
    return b->ability.size_max == 0 || h->job.size <= b->ability.size_max;
}

/* A message that is too large for this backend is another's, even if that is down now; one that is
 * too large for all is refused in a backend's own words. */
static bool can_take(const struct relay *r, const struct backend *b, struct handover *h)
{
    if (!fits(b, h))
        for (size_t i = 0; i < r->backends; i++)
            if (fits(&r->backend[i], h))
                return false;
    if (!b->known || !b->up || (outbound_needs(&h->job) & ~b->ability.caps) == 0)
        return true;
    h->lacking = true;
    return false;
}

/* Gives the hand-over to the first backend that is up, or else to one that may have come up again;
 * in turn with round_robin. False: there is none left. */
static bool place(struct relay *r, struct handover *h)
{
    size_t first = r->params.config->balance == BALANCE_ROUND_ROBIN ? r->turn++ : 0;

    for (int down = 0; down < 2; down++)
        for (size_t i = 0; i < r->backends; i++) {
            struct backend *b = &r->backend[(first + i) % r->backends];
            if (h->tried >> (b->index % 32) & 1 || (b->known && !b->up) != down ||
                !can_take(r, b, h))
                continue;
            if (pool_put(b, h))
                return true;
            h->tried |= (uint32_t)1 << (b->index % 32);
        }
    return false;
}

/* ---- ends ---- */

/* Forgets what a backend said before. */
static void begin_again(struct handover *h)
{
    for (uint32_t i = 0; i < h->job.recipients; i++)
        if (h->job.recipient[i].fate != FATE_HAS_IT)
            h->job.recipient[i].fate = FATE_OPEN;
    h->job.whole.code = 0;
    h->job.lacking = false;
}

/* The backend has lost what the message needs since its last connection: another one may have it.
 * When the client comes again it is not offered that any more. */
static void lacks(struct handover *h)
{
    struct relay *r = h->relay;

    begin_again(h);
    h->lacking = true;
    h->tried |= (uint32_t)1 << (h->backend->index % 32);
    if (h->abandoned || r->closing || !place(r, h))
        tell_later(h, false);
}

void handover_over(struct handover *h)
{
    struct relay *r = h->relay;
    struct relay_result result = {.backend = h->backend->config->name};

    if (h->job.lacking) {
        lacks(h);
        return;
    }

    result.reply = outcome_end(&h->job, r->params.partial, r->params.loop->wall, &result.accepted);
    if (h->abandoned)
        outcome_unheard(&h->job, r->params.partial, r->params.loop->wall);
    tell(h, &result);
}

void handover_broke(struct handover *h, bool started)
{
    struct relay *r = h->relay;
    uint32_t accepted;

    if (h->job.sent) { /* the backend may have it: whoever it told of is not told again */
        outcome_end(&h->job, r->params.partial, r->params.loop->wall, &accepted);
        tell_later(h, true);
        return;
    }
    uint32_t mine = (uint32_t)1 << (h->backend->index % 32);
    bool again = !started || h->breaks < POOL_BREAKS_MAX;
    begin_again(h);
    if (again && !h->abandoned && !r->closing) {
        h->tried |= mine;
        h->breaks = (uint8_t)(h->breaks + started);
        if (place(r, h))
            return;
        if (!h->refused)
            h->tried &= ~mine; /* nobody else has it: a fresh connection to the same one */
        if (started && !h->refused && place(r, h))
            return;
    }
    tell_later(h, false);
}

/* It waited for too long, or an end that was known at once is told from the loop. */
static void due(struct loop *loop, struct alarm *a)
{
    struct handover *h = (struct handover *)((char *)a - offsetof(struct handover, alarm));
    struct relay_result result = {.backend = "-"};

    if (h->backend && !h->link)
        pool_drop(h);
    bool all_have_it = h->job.recipients > 0;
    for (uint32_t i = 0; i < h->job.recipients; i++)
        all_have_it = all_have_it && h->job.recipient[i].fate == FATE_HAS_IT;
    if (all_have_it) {
        result.reply = reply_make(REPLY_OK, (struct span){0});
        result.accepted = h->job.recipients;
        tell(h, &result);
    } else {
        tell_later(h, false);
    }
}

/* ---- for the worker ---- */

static struct handover *handover_new(struct relay *r, struct relay_message *m)
{
    struct handover *h = calloc(1, sizeof *h);

    if (!h)
        return NULL;
    h->relay = r;
    h->alarm.due = due;
    h->job.recipients = envelope_recipients(m->envelope);
    h->job.recipient = calloc(h->job.recipients + 1, sizeof *h->job.recipient);
    if (!h->job.recipient || envelope_copy(&h->envelope, m->envelope) < 0 ||
        buf_add_span(&h->user, m->user) < 0) {
        h->job.recipients = h->job.recipient ? h->job.recipients : 0;
        handover_free(h);
        return NULL;
    }
    h->job.envelope = &h->envelope;
    h->job.declared = m->declared;
    h->job.utf8 = m->utf8;
    h->job.eightbit = m->eightbit;
    h->client = m->client;
    h->names = m->names;
    h->job.who = (struct introduction){.client = m->client,
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
    h->job.size = m->header.len + spool_size(m->spool);
    h->job.hash = spool_hash(m->spool);
    h->job.named = spool_is_named(m->spool);
    h->done = done;
    h->arg = arg;
    if (outcome_begin(&h->job, r->params.partial, r->params.loop->wall) == 0 || !place(r, h)) {
        h->backend = NULL;
        loop_alarm(r->params.loop, &h->alarm, r->params.loop->now);
    }
    return h;
}

void relay_abandon(struct handover *h)
{
    h->abandoned = true;
    if (h->job.sent)
        return; /* its outcome is still wanted, by settling */
    if (h->backend)
        pool_drop(h);
    handover_free(h);
}

static uint32_t offer_of(const struct backend *b)
{
    uint32_t caps = b->ability.caps;

    return (caps & CAP_8BITMIME ? SMTP_OFFER_8BITMIME : 0) |
           (caps & CAP_SMTPUTF8 ? SMTP_OFFER_SMTPUTF8 : 0) | (caps & CAP_DSN ? SMTP_OFFER_DSN : 0);
}

/* A message beyond a backend's limit can wait for another one that takes it, so the largest counts.
 */
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

void relay_changed(struct relay *r)
{
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
    for (size_t i = 0; i < r->backends; i++)
        pool_open(r, &r->backend[i], (uint32_t)i);
    relay_changed(r);
    return r;
}

void relay_close(struct relay *r)
{
    if (!r)
        return;
    r->closing = true;
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
