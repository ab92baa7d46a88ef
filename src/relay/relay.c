/* The relay: its backends, what clients are offered because of them, and what the route of a
 * recipient takes; see relay.h. handover.c has the hand-overs. */
#include <stdlib.h>
#include <string.h>

#include "backend/counts.h"
#include "config/config.h"
#include "relay/relay_part.h"

/* ---- what the pool asks ---- */

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

/* ---- what clients are offered ---- */

static uint32_t offer_of(const struct backend *b)
{
    uint32_t caps = b->ability.caps;

    return (caps & CAP_8BITMIME ? SMTP_OFFER_8BITMIME : 0) |
           (caps & CAP_SMTPUTF8 ? SMTP_OFFER_SMTPUTF8 : 0) | (caps & CAP_DSN ? SMTP_OFFER_DSN : 0);
}

/* The extensions of a route's backends: of those that are up; if none is up, of those that are
 * known. */
struct having {
    uint32_t all, any; /* enum smtp_offer */
    bool told;         /* something is known */
    bool up, down;     /* one is up; all are known to be down */
    uint64_t size_max; /* of the one that takes most; 0: no limit is known */
};

static struct having having_of(const struct relay *r, const struct route *route)
{
    struct having h = {.down = route->count > 0};
    bool limited = true;

    for (size_t i = 0; i < route->count; i++) {
        const struct backend *b = &r->backend[route->section[i]];
        h.up = h.up || b->up;
        h.down = h.down && b->known && !b->up;
        limited = limited && b->learnt && b->ability.size_max;
        if (b->ability.size_max > h.size_max)
            h.size_max = b->ability.size_max;
    }
    /* A message beyond one backend's limit can wait for another one that takes it, so the largest
     * limit counts. */
    h.size_max = limited ? h.size_max : 0;
    for (size_t i = 0; i < route->count; i++) {
        const struct backend *b = &r->backend[route->section[i]];
        if (h.up ? !b->up : !b->learnt)
            continue;
        h.all = h.told ? h.all & offer_of(b) : offer_of(b);
        h.any |= offer_of(b);
        h.told = true;
    }
    return h;
}

/* Clients are offered what every route has: at EHLO nobody knows where the mail will go. A route of
 * which nothing is known yet does not count, so that it takes nothing away from the others. Of sizes
 * the largest is offered, and each recipient's own counts at RCPT. */
static void changed(void *arg)
{
    const struct relay *r = arg;
    struct relay_offer o = {.settled = true};
    bool told = false, limited = true;
    struct route route;

    for (size_t i = 0; i < r->backends; i++)
        o.settled = o.settled && (r->backend[i].known || r->backend[i].learnt);
    for (uint32_t list = 0; list < r->lists; list++) {
        if (!routes_list(r->params.config->routes, ROUTE_BACKEND, list, &route))
            continue;
        struct having h = having_of(r, &route);
        limited = limited && h.size_max;
        if (h.size_max > o.size_max)
            o.size_max = h.size_max;
        if (!h.told)
            continue;
        o.all = told ? o.all & h.all : h.all;
        o.any |= h.any;
        told = true;
    }
    if (!limited)
        o.size_max = 0;
    if (r->params.changed)
        r->params.changed(r->params.arg, &o);
}

/* ---- a recipient's route ---- */

struct route relay_route(const struct relay *r, struct span address)
{
    return r->simple ? config_route(r->params.config, ROUTE_BACKEND, (struct span){0})
                     : config_address_route(r->params.config, ROUTE_BACKEND, address);
}

static bool is_of_another_route(const struct relay *r, const struct envelope *e,
                                const struct route *route)
{
    struct envelope_recipient first = {0};

    return envelope_next(e, &first) && relay_route(r, first.address).list != route->list;
}

enum relay_fit relay_fit(const struct relay *r, const struct envelope *e, struct span address,
                         uint32_t needs, uint64_t size)
{
    if (r->simple) /* MAIL has been told */
        return RELAY_FITS;
    struct route route = relay_route(r, address);
    struct having h = having_of(r, &route);
    if (route.count == 0)
        return RELAY_NO_ROUTE;
    if (h.size_max && size > h.size_max)
        return RELAY_TOO_LARGE;
    if (h.told && needs & ~h.any)
        return RELAY_LACKS;
    return h.down && is_of_another_route(r, e, &route) ? RELAY_APART : RELAY_FITS;
}

bool relay_only_stores(const struct relay *r, struct span address)
{
    struct route route = relay_route(r, address);
    bool only = route.count > 0;

    for (size_t i = 0; i < route.count; i++)
        only = only && r->params.config->backend[route.section[i]].kind == BACKEND_STORE;
    return only;
}

/* ---- for the worker ---- */

static void count_lists(struct relay *r)
{
    const struct routes *routes = r->params.config->routes;
    struct route route;

    r->lists = routes_lists(routes, ROUTE_BACKEND);
    for (uint32_t list = 0; list < r->lists; list++)
        r->in_use += routes_list(routes, ROUTE_BACKEND, list, &route);
    r->simple =
        r->in_use == 1 && config_route(r->params.config, ROUTE_BACKEND, (struct span){0}).count;
}

static void relay_free(struct relay *r)
{
    free(r->backend);
    free(r->held);
    free(r->turn);
    free(r->count);
    free(r);
}

struct relay *relay_open(const struct relay_params *params)
{
    struct relay *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->params = *params;
    r->backends = params->config->backend_count;
    count_lists(r);
    r->backend = calloc(r->backends + 1, sizeof *r->backend);
    r->held = calloc(r->backends + 1, sizeof *r->held);
    r->turn = calloc(r->lists + 1, sizeof *r->turn);
    r->count = calloc(r->backends + 1, sizeof *r->count);
    if (!r->backend || !r->held || !r->turn || !r->count) {
        relay_free(r);
        return NULL;
    }
    for (size_t i = 0; i < r->backends; i++)
        r->count[i] = counts_place(params->counts, params->config->backend[i].name);
    r->pool.params = (struct pool_params){.config = params->config,
                                          .loop = params->loop,
                                          .master = params->master,
                                          .addresses = params->addresses,
                                          .slots = params->slots,
                                          .sharing = params->sharing,
                                          .over = handover_over,
                                          .again = handover_again,
                                          .broke = handover_broke,
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

void relay_begin(struct relay *r)
{
    for (size_t i = 0; i < r->backends; i++)
        pool_begin(&r->backend[i]);
}

void relay_close(struct relay *r)
{
    if (!r)
        return;
    r->pool.closing = true;
    for (size_t i = 0; i < r->backends; i++)
        pool_close(&r->backend[i]);
    relay_free(r);
}

void relay_tell_again(const struct relay *r)
{
    for (size_t i = 0; i < r->backends; i++) {
        const struct backend *b = &r->backend[i];
        if (b->known && r->params.reached)
            r->params.reached(r->params.arg, b->config->name, b->up);
    }
}
