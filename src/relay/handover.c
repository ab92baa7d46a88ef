/* Hand-overs: a message's way from the worker to its backends and the outcome back.
 *
 * The recipients of each route are a part, with an envelope and a backend of its own. All parts are
 * sent at once (PARTS_AT_ONCE of them, the others as these end). When the last part has ended, the
 * client hears the outcome of all together (outcome.c). part_place.c decides which backend of its
 * route a part gets, this file what happens when a connection breaks. It records which recipients
 * have the message as each part ends, because the process may die before the last part ends.
 *
 * smtp/client.c has the words on the wire, backend/pool.c the connections. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/counts.h"
#include "base/container.h"
#include "config/config.h"
#include "relay/outcome.h"
#include "relay/relay_part.h"

static void part_free(struct part *p)
{
    loop_alarm_off(p->handover->relay->params.loop, &p->delivery.alarm);
    for (uint32_t i = 0; p->delivery.job.recipient && i < p->delivery.job.recipients; i++)
        kept_free(&p->delivery.job.recipient[i].reply);
    free(p->delivery.job.recipient);
    kept_free(&p->delivery.job.whole);
    envelope_free(&p->envelope);
}

static void handover_free(struct handover *h)
{
    for (uint32_t i = 0; i < h->parts; i++)
        part_free(&h->part[i]);
    buf_free(&h->header);
    buf_free(&h->user);
    spool_free(h->spool);
    free(h);
}

/* ---- the end of all ---- */

/* Adds a name to a list, where there is room. */
static void add_name(char list[NAMES_ROOM], const char *name)
{
    size_t len = strlen(list), more = strlen(name);

    if (len + more + 2 > NAMES_ROOM)
        return;
    if (len)
        list[len++] = ',';
    memcpy(list + len, name, more + 1);
}

/* Why no backend has decided about the part. */
static void say_why(const struct part *p, char out[WHY_ROOM])
{
    const struct delivery *d = &p->delivery;

    if (p->unsettled == REPLY_LACKING)
        snprintf(out, WHY_ROOM, "no backend has an extension that it needs");
    else if (d->why)
        snprintf(out, WHY_ROOM, "%s (%s)", d->why,
                 outbound_state_name((enum outbound_state)d->broke_in));
    else
        snprintf(out, WHY_ROOM, "%s",
                 p->waited ? "no free connection in time"
                           : "no backend of its route can take it now");
}

static void tell(struct handover *h, struct relay_result *result)
{
    char backends[NAMES_ROOM] = "", routes[NAMES_ROOM] = "", why[WHY_ROOM] = "";

    for (uint32_t i = 0; i < h->parts; i++) {
        const struct part *p = &h->part[i];
        if (p->unsettled && !why[0])
            say_why(p, why);
        add_name(backends, p->delivery.backend ? p->delivery.backend->config->name : "-");
        add_name(routes, p->route.rule[0] ? p->route.rule : "default");
        result->duplicate_possible = result->duplicate_possible || p->duplicate;
    }
    result->backend = backends;
    result->route = routes;
    result->why = why[0] ? why : NULL;
    h->done(h->arg, result);
}

/* False if the client has reset the connection, which the loop may not have reported yet. One that
 * has only ended its side may still listen: Exim does. */
static bool hears(const void *arg)
{
    const struct handover *h = arg;
    struct pollfd reset = {.fd = h->socket}; /* errors and resets are reported unasked */

    return !h->abandoned && poll(&reset, 1, 0) == 0;
}

static void finish(struct handover *h)
{
    struct partial_delivery *partial = h->relay->params.partial;
    uint64_t now = h->relay->params.loop->wall;
    struct outcome_part only = {0}, *part = &only;
    struct relay_result result = {.reply = reply_make(REPLY_BACKEND_DOWN, (struct span){0}),
                                  .of = h};

    if (h->parts > 1)
        part = calloc(h->parts, sizeof *part);
    for (uint32_t i = 0; part && i < h->parts; i++)
        part[i] = (struct outcome_part){&h->part[i].delivery.job, h->part[i].unsettled};
    if (part) {
        result.reply = outcome_end(part, h->parts, partial, now, (struct outcome_client){hears, h},
                                   &result.accepted, &result.before);
        if (h->abandoned || h->unheard)
            outcome_unheard(part, h->parts, partial, now);
        partial_settle(partial); /* the client may send it again at once, to another worker */
    }
    if (!h->abandoned)
        tell(h, &result);
    if (part != &only)
        free(part);
    handover_free(h);
}

/* ---- the end of a part ---- */

static void start_parts(struct handover *h);

/* The part has ended, and with the last one the hand-over. */
static void part_over(struct part *p)
{
    struct handover *h = p->handover;
    const struct job *job = &p->delivery.job;
    bool taken = false;

    p->state = PART_OVER;
    h->over++;
    for (uint32_t i = 0; i < job->recipients && !taken; i++)
        taken = job->recipient[i].fate == FATE_DONE;
    if (taken && p->delivery.backend)
        counts_add(h->relay->params.counts, h->relay->count[p->delivery.backend->index]);
    if (h->parts > 1)
        outcome_note(job, h->relay->params.partial, h->relay->params.loop->wall);
    if (h->over == h->parts)
        finish(h);
    else
        start_parts(h);
}

/* A backend may have the message. */
static bool is_in_flight(const struct part *p)
{
    return p->delivery.job.sent || p->delivery.job.again;
}

static void part_later(struct part *p)
{
    p->duplicate = is_in_flight(p);
    p->unsettled = p->lacking ? REPLY_LACKING : REPLY_BACKEND_DOWN;
    part_over(p);
}

/* Forgets what a backend said before. */
static void begin_again(struct part *p)
{
    struct job *job = &p->delivery.job;

    for (uint32_t i = 0; i < job->recipients; i++)
        if (job->recipient[i].fate != FATE_HAS_IT) {
            kept_free(&job->recipient[i].reply);
            job->recipient[i] = (struct job_recipient){.fate = FATE_OPEN};
        }
    job->whole.code = 0;
    job->lacking = false;
}

/* Another backend of the route gets the part, unless the one that has had it may have the message. */
static bool place_elsewhere(struct part *p)
{
    return !p->delivery.job.again && part_place(p);
}

/* Since its last connection the backend has lost an extension that the message needs. Another
 * backend may have it. mired does not offer the extension when the client comes again. */
static void lacks(struct part *p)
{
    struct handover *h = p->handover;

    begin_again(p);
    p->lacking = true;
    p->tried |= part_backend_bit(p, p->delivery.backend);
    if (h->abandoned || h->relay->pool.closing || !place_elsewhere(p))
        part_later(p);
}

void handover_over(struct delivery *d)
{
    struct part *p = (struct part *)d;

    part_leave(p);
    if (d->job.lacking)
        lacks(p);
    else
        part_over(p);
}

void handover_again(struct delivery *d)
{
    struct part *p = (struct part *)d;
    struct handover *h = p->handover;
    struct relay *r = h->relay;

    part_leave(p);
    begin_again(p);
    bool left = h->abandoned || (h->unheard && relay_would_double(h));
    if (left || r->pool.closing || (!part_put(p, d->backend) && !place_elsewhere(p)))
        part_later(p);
}

/* A built-in store that dies behind the final dot may have the message, and says so itself when the
 * message is sent to its successor once more (store/twin.h). A store that is only silent may still be at
 * work on it. A message that two stores have died of may kill the next one. Without a Message-ID a client
 * that does not hear the outcome sends it again, so it must not be delivered now. */
static bool may_ask_again(const struct part *p)
{
    const struct delivery *d = &p->delivery;
    const struct handover *h = p->handover;

    return d->backend->config->kind == BACKEND_STORE && d->backend->ability.caps & CAP_AGAIN &&
           !(d->job.sent && d->job.again) && !d->silent && !d->unreadable &&
           p->breaks < POOL_BREAKS_MAX && !h->relay->pool.closing &&
           ((!h->abandoned && !h->unheard) || outcome_is_named(&d->job));
}

/* The backend may have it: do not offer it to these recipients again. */
static void broke_in_doubt(struct part *p)
{
    struct delivery *d = &p->delivery;

    if (may_ask_again(p)) {
        begin_again(p);
        d->job.sent = false;
        d->job.again = true;
        p->breaks++;
        if (part_put(p, d->backend))
            return;
    }
    part_later(p);
}

void handover_broke(struct delivery *d, bool started)
{
    struct part *p = (struct part *)d;
    struct handover *h = p->handover;
    bool closing = h->relay->pool.closing;

    part_leave(p);
    if (is_in_flight(p)) {
        broke_in_doubt(p);
        return;
    }
    uint64_t mine = part_backend_bit(p, d->backend);
    bool again = !d->unreadable && (!started || p->breaks < POOL_BREAKS_MAX);
    begin_again(p);
    if (again && !h->abandoned && !closing) {
        p->tried |= mine;
        p->breaks = (uint8_t)(p->breaks + started);
        if (part_place(p))
            return;
        if (!d->refused)
            p->tried &= ~mine; /* no other backend is left: a fresh connection to the same one */
        if (started && !d->refused && part_place(p))
            return;
    }
    part_later(p);
}

/* A backend that is up may hang, or have too much to do: another one of the route gets the part, if
 * the client still waits for that. */
static bool waits_elsewhere(struct part *p)
{
    const struct handover *h = p->handover;
    uint64_t now = h->relay->params.loop->now;

    p->tried |= part_backend_bit(p, p->delivery.backend);
    return !h->abandoned && !h->relay->pool.closing &&
           now + POOL_WAIT_MS < h->begun_ms + POOL_COMMANDS_MS && place_elsewhere(p);
}

/* The part has waited too long, or it had ended at once and this is told from the loop. */
static void due(struct loop *loop, struct alarm *a)
{
    struct part *p = container_of(a, struct part, delivery.alarm);
    const struct job *job = &p->delivery.job;
    bool all_have_it = job->recipients > 0;

    p->waited = p->delivery.backend && !p->delivery.link;
    if (p->waited)
        pool_drop(&p->delivery);
    part_leave(p);
    if (p->waited && waits_elsewhere(p))
        return;
    for (uint32_t i = 0; i < job->recipients; i++)
        all_have_it = all_have_it && job->recipient[i].fate == FATE_HAS_IT;
    if (all_have_it)
        part_over(p);
    else
        part_later(p);
}

/* ---- the beginning ---- */

/* Starts the parts that may run now. If a part cannot run, this is told from the loop. */
static void start_parts(struct handover *h)
{
    const struct relay_params *params = &h->relay->params;
    bool late = params->loop->now > h->begun_ms + POOL_WAIT_MS || h->relay->pool.closing;

    while (h->next < h->parts && h->next - h->over < PARTS_AT_ONCE) {
        struct part *p = &h->part[(h->first + h->next++) % h->parts];
        uint32_t left = outcome_begin(&p->delivery.job, params->partial, params->loop->wall);
        p->state = PART_RUNS;
        if (left && !late && part_place(p))
            continue;
        p->delivery.backend = NULL;
        loop_alarm(params->loop, &p->delivery.alarm, params->loop->now);
    }
}

static struct span read_spool(void *spool, uint64_t offset)
{
    return spool_read(spool, offset);
}

static void identify(struct job_identity *identity)
{
    struct handover *h = container_of(identity, struct handover, identity);

    struct spool_identity is;

    spool_identify(h->spool, &is);
    identity->hash = is.hash;
    identity->signatures = is.signatures;
    identity->named = is.named;
    identity->known = true;
}

/* Who sends a message: its account or else its network, under the key that all records have. */
static uint64_t source_of(const struct handover *h, const struct relay_message *m)
{
    struct addr network = addr_network(&m->client);
    struct span name =
        m->user.len ? m->user : (struct span){(char *)network.octets, sizeof network.octets};
    struct siphash hash;

    siphash_start(&hash, partial_key(h->relay->params.partial));
    siphash_add(&hash, m->user.len ? "account" : "network", 7);
    siphash_add(&hash, name.at, name.len);
    uint64_t source = siphash_end(&hash);
    return source && source != UINT64_MAX ? source : 1;
}

/* The part's recipients are those of its envelope. */
static int begin_part(struct part *p, const struct relay_message *m)
{
    struct handover *h = p->handover;
    struct job *job = &p->delivery.job;

    p->delivery.alarm.due = due;
    p->delivery.message = h->spool;
    p->delivery.read = read_spool;
    p->delivery.file = spool_file(h->spool, &p->delivery.filed);
    p->delivery.client = m->client;
    job->envelope = &p->envelope;
    job->header = buf_span(&h->header);
    job->size = h->header.len + spool_size(h->spool);
    job->by_data = spool_size(h->spool) != m->octets;
    job->identity = &h->identity;
    job->declared = m->declared;
    job->utf8 = m->utf8;
    job->eightbit = m->eightbit;
    job->who = (struct xclient_identity){.client = m->client,
                                         .server = m->server,
                                         .names = &h->names,
                                         .helo = envelope_helo(&p->envelope),
                                         .user = buf_span(&h->user),
                                         .esmtp = m->esmtp};
    job->recipients = envelope_recipients(&p->envelope);
    job->recipient = calloc(job->recipients + 1, sizeof *job->recipient);
    return job->recipient ? 0 : -1;
}

/* The routes of a message's recipients. */
struct sorting {
    uint32_t *part; /* of each list of backends: its part's number from 1 on; 0: none */
    uint32_t parts;
    struct route first;
};

static bool sort(const struct relay *r, const struct envelope *e, struct sorting *s)
{
    struct envelope_recipient to = {0};

    *s = (struct sorting){.parts = 0};
    if (r->simple && envelope_next(e, &to)) {
        s->first = relay_route(r, to.address);
        s->parts = 1;
        return true;
    }
    s->part = calloc(r->lists, sizeof *s->part);
    while (s->part && envelope_next(e, &to)) {
        struct route route = relay_route(r, to.address);
        if (s->part[route.list] == 0)
            s->part[route.list] = ++s->parts;
        if (s->parts == 1)
            s->first = route;
    }
    return s->part;
}

/* An envelope for each part, with its recipients in their order. */
static int fill_envelopes(struct handover *h, const struct envelope *e, const struct sorting *s)
{
    struct envelope_recipient to = {0};
    int error = 0;

    if (h->parts == 1) {
        h->part[0].route = s->first;
        return envelope_copy(&h->part[0].envelope, e);
    }
    for (uint32_t i = 0; i < h->parts && !error; i++) {
        struct envelope *own = &h->part[i].envelope;
        error = envelope_set_helo(own, envelope_helo(e));
        if (!error)
            error = envelope_set_sender(own, envelope_sender(e), envelope_sender_params(e));
    }
    while (!error && envelope_next(e, &to)) {
        struct route route = relay_route(h->relay, to.address);
        struct part *p = &h->part[s->part[route.list] - 1];
        if (envelope_recipients(&p->envelope) == 0)
            p->route = route;
        error = envelope_add_recipient(&p->envelope, to.address, to.params);
    }
    return error;
}

static struct handover *handover_new(struct relay *r, const struct relay_message *m)
{
    struct sorting s;
    bool any = sort(r, m->envelope, &s) && s.parts;
    size_t size = sizeof(struct handover) + s.parts * sizeof(struct part);
    struct handover *h = any ? malloc(size) : NULL;

    if (h) {
        memset(h, 0, size);
        h->relay = r;
        h->parts = s.parts;
        for (uint32_t i = 0; i < h->parts; i++)
            h->part[i].handover = h;
        if (fill_envelopes(h, m->envelope, &s) < 0 || buf_add_span(&h->user, m->user) < 0) {
            handover_free(h);
            h = NULL;
        }
    }
    free(s.part);
    return h;
}

struct handover *relay_send(struct relay *r, struct relay_message *m,
                            void (*done)(void *arg, const struct relay_result *result), void *arg)
{
    struct handover *h = handover_new(r, m);
    int error = 0;

    if (!h) {
        spool_free(m->spool);
        buf_free(&m->header);
        return NULL;
    }
    h->spool = m->spool;
    h->header = m->header;
    h->identity.find = identify;
    h->identity.source = source_of(h, m);
    h->identity.vouched = m->vouched;
    h->names = m->names;
    h->socket = m->socket;
    h->begun_ms = r->params.loop->now;
    h->first = (uint32_t)(r->handed++ * UINT64_C(2654435761) >> 7) % h->parts;
    h->done = done;
    h->arg = arg;
    for (uint32_t i = 0; i < h->parts && !error; i++)
        error = begin_part(&h->part[i], m);
    if (error) {
        handover_free(h);
        return NULL;
    }
    start_parts(h);
    return h;
}

/* ---- for the worker ---- */

bool relay_next_taken(const struct relay_result *result, struct relay_taken *i)
{
    for (; i->part < result->of->parts; i->part++, i->at = 0) {
        const struct job *job = &result->of->part[i->part].delivery.job;
        if (i->at == 0)
            i->to = (struct envelope_recipient){0};
        while (envelope_next(job->envelope, &i->to))
            if (job->recipient[i->at++].fate == FATE_DONE) {
                i->address = i->to.address;
                return true;
            }
    }
    return false;
}

void relay_unheard(struct handover *h)
{
    h->unheard = true;
}

bool relay_would_double(const struct handover *h)
{
    for (uint32_t i = 0; i < h->parts; i++)
        if (h->part[i].state == PART_OVER || is_in_flight(&h->part[i]))
            return false;
    return !outcome_is_named(&h->part[0].delivery.job);
}

/* Drops parts that have not reached a backend; the others end by themselves. */
bool relay_abandon(struct handover *h)
{
    bool dropped = true;

    h->abandoned = true;
    for (uint32_t i = 0; i < h->parts; i++) {
        struct part *p = &h->part[i];
        if (p->state == PART_OVER || is_in_flight(p)) {
            dropped = dropped && !is_in_flight(p);
            continue; /* the outcome must still be recorded (partial_delivery.c) */
        }
        if (p->delivery.backend)
            pool_drop(&p->delivery);
        part_leave(p);
        loop_alarm_off(h->relay->params.loop, &p->delivery.alarm);
        begin_again(p);
        p->unsettled = REPLY_BACKEND_DOWN;
        p->state = PART_OVER;
        h->over++;
    }
    h->next = h->parts;
    if (h->over == h->parts)
        finish(h);
    return dropped;
}

const char *relay_waits_for(const struct handover *h, const char **backend)
{
    for (uint32_t i = 0; i < h->parts; i++) {
        const struct part *p = &h->part[i];
        if (p->state != PART_RUNS || !p->delivery.backend)
            continue;
        *backend = p->delivery.backend->config->name;
        return pool_state_name(&p->delivery);
    }
    *backend = NULL;
    return "no backend";
}
