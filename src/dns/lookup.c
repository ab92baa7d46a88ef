/* One client's look-up; see lookup.h. Runs in workers.
 *
 * A look-up is a slab object. It has one query for each list, one for the client's names, and for
 * each trusted one among these a query that checks whether the client's address is one of its
 * addresses. Each query is a slab object that c-ares keeps while it is open. */
#include "dns/lookup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/metrics.h"
#include "dns/lookup_part.h"
#include "dns/name.h"
#include "dns/shares.h"

/* ---- open look-ups by client ---- */

static struct lookup **bucket_of(struct lookups *l, const struct addr *client)
{
    return &l->bucket[siphash(&l->key, client->octets, sizeof client->octets) % BUCKETS];
}

static struct lookup **find(struct lookups *l, const struct addr *client)
{
    struct addr who = addr_client(client);
    struct lookup **p = bucket_of(l, &who);

    while (*p) {
        struct addr theirs = addr_client(&(*p)->client);
        if (addr_equal(&theirs, &who))
            break;
        p = &(*p)->next;
    }
    return p;
}

static uint64_t seconds(const struct lookups *l)
{
    return l->params.loop->now / 1000;
}

bool lookup_counts(const struct lookups *l, size_t list)
{
    return list_counts(trial_state(l->trial, list));
}

/* Removes the findings of lists that have not passed their test. */
static void leave_out(const struct lookups *l, struct dns_finding *f)
{
    for (size_t i = 0; i < l->params.blocked_count; i++)
        if (!lookup_counts(l, i))
            f->listed &= ~((uint32_t)1 << i);
    if (f->trust == DNS_TRUST_LIST && !lookup_counts(l, l->params.blocked_count + f->by))
        f->trust = DNS_TRUST_NONE;
}

static void remember(const struct lookup *u)
{
    known_put(u->all->known, &u->client, seconds(u->all), u->ttl_s, &u->finding);
}

static void tell(const struct lookup *u)
{
    const struct lookups *l = u->all;

    l->params.found(l->params.arg, u->owner, &u->client, &u->finding);
}

/* Reports what is certain so far; ends the look-up when its last query has ended. */
static void lookup_settle(struct lookup *u)
{
    struct lookups *l = u->all;

    leave_out(l, &u->finding);
    if (u->finding.trust == DNS_TRUST_NONE && u->trusting == 0 && u->told != u->finding.listed &&
        !l->closing) {
        u->told = u->finding.listed;
        tell(u);
    }
    if (u->open)
        return;
    if (u->heard && !l->closing && u->what & LOOKUP_TRUST)
        remember(u);
    struct lookup **p = find(l, &u->client);
    *p = u->next;
    free(u->own);
    slab_give(&l->slab, u);
}

void lookup_trusted(struct lookup *u, enum dns_trust trust, uint8_t by)
{
    if (u->finding.trust != DNS_TRUST_NONE)
        return;
    u->finding.trust = (uint8_t)trust;
    u->finding.by = by;
    remember(u); /* so that the client's other connections know it at once */
    tell(u);
}

/* A query has ended. With the last query of a kind the look-up gives its place back. A list that
 * does not answer does not count against the client. */
static void give_place(struct lookup *u, const struct lookup_query *q)
{
    struct lookups *l = u->all;

    if (query_is_list(q) && --u->lists == 0)
        shares_give(l->list_places, &u->client, seconds(l), false);
    if (query_is_list(q) || --u->names > 0)
        return;
    shares_give(l->name_places, &u->client, seconds(l), u->silent);
    if (u->own && !l->closing)
        names_put(l->names, &u->client, seconds(l), u->silent ? LOOKUP_AGAIN_S : u->ttl_s,
                  &u->own->found);
}

static void answered(void *arg, int status, const unsigned char *answer, size_t len)
{
    struct lookup_query q = *(struct lookup_query *)arg;
    struct lookup *u = q.of;

    slab_give(&u->all->queries, arg);
    if (!u->all->closing) {
        health_heard(&u->all->health, status);
        lookup_hear(u, &q, status, answer, len);
    }
    if (q.kind != ASK_BLOCKED)
        u->trusting--;
    u->open--;
    give_place(u, &q);
    lookup_settle(u);
}

/* ---- queries ---- */

void lookup_ask(struct lookup *u, const char *name, enum dns_type type, struct lookup_query about)
{
    struct lookups *l = u->all;
    struct lookup_query *q = slab_take(&l->queries);

    if (!q)
        return;
    *q = about;
    *(query_is_list(q) ? &u->lists : &u->names) += 1;
    u->open++;
    if (q->kind != ASK_BLOCKED)
        u->trusting++;
    resolver_ask(l->resolver, name, type, answered, q);
}

static void ask_lists(struct lookup *u, const struct lookup_list *list, size_t count,
                      enum kind kind)
{
    char name[DNS_NAME_ROOM];

    for (size_t i = 0; i < count; i++)
        if (dns_name_reverse(&u->client, list[i].zone, name))
            lookup_ask(u, name, DNS_A, (struct lookup_query){u, (uint8_t)kind, (uint8_t)i, 0});
}

/* Sends the queries that there are places for. An answer that comes before this returns is not the
 * last one. */
static void ask_all(struct lookup *u, bool lists, bool names)
{
    struct lookups *l = u->all;
    const struct lookup_params *params = &l->params;
    char name[DNS_NAME_ROOM];

    u->open++;
    u->trusting++;
    u->lists = (uint16_t)(u->lists + lists);
    u->names = (uint16_t)(u->names + names);
    if (lists && trial_is_open(l->trial) && !u->waits) {
        u->waits = true;
        u->open++;
        u->trusting++;
    }
    if (lists) {
        ask_lists(u, params->allowed, params->allowed_count, ASK_ALLOWED);
        ask_lists(u, params->blocked, params->blocked_count, ASK_BLOCKED);
        give_place(u, &(struct lookup_query){.kind = ASK_BLOCKED});
    }
    if (names) {
        if (dns_name_of_pointer(&u->client, name))
            lookup_ask(u, name, DNS_PTR, (struct lookup_query){u, ASK_POINTER, 0, 0});
        give_place(u, &(struct lookup_query){.kind = ASK_POINTER});
    }
    u->open--;
    u->trusting--;
    lookup_settle(u);
}

/* Lets a look-up that was started for the client's names only query the lists, too. */
static void join(struct lookup *u)
{
    struct lookups *l = u->all;

    if (!shares_take(l->list_places, &u->client, seconds(l)))
        return;
    u->what |= LOOKUP_TRUST;
    u->told = 0;
    ask_all(u, true, false);
}

bool lookups_start(struct lookups *l, const struct addr *peer, uint32_t what, void *owner)
{
    struct addr inner = addr_inner(peer), *client = &inner;

    if (client->family != ADDR_IP4 && client->family != ADDR_IP6)
        return false;
    struct lookup **p = find(l, client);
    bool want_lists = what & LOOKUP_TRUST && l->params.blocked_count + l->params.allowed_count > 0;
    if (*p) {
        if (want_lists && !((*p)->what & LOOKUP_TRUST))
            join(*p);
        return false;
    }
    bool want_names = (what & LOOKUP_TRUST && l->params.name_count > 0) ||
                      (what & LOOKUP_CLIENT_NAMES && l->names);
    bool up = !health_is_down(&l->health);
    struct lookup *u = up ? slab_take(&l->slab) : NULL;
    bool lists = u && want_lists && shares_take(l->list_places, client, seconds(l));
    bool names = u && want_names && shares_take(l->name_places, client, seconds(l));
    if (want_lists != lists || want_names != names)
        metric_add(METRIC_DNS_SKIPPED, 1);
    if (!lists && !names) {
        if (u)
            slab_give(&l->slab, u);
        return false;
    }
    u->all = l;
    u->client = *client;
    u->client.port = 0;
    u->owner = owner;
    u->what = (uint8_t)what;
    u->ttl_s =
        want_lists == lists && want_names == names ? KNOWN_TTL_MOST_S : (uint32_t)LOOKUP_AGAIN_S;
    u->own = names && l->names ? calloc(1, sizeof *u->own) : NULL;
    u->next = NULL;
    *p = u;
    ask_all(u, lists, names); /* the look-up may have ended with that */
    return true;
}

void lookups_disown(struct lookups *l, const struct addr *client, const void *owner)
{
    struct addr inner = addr_inner(client);
    struct lookup *u = *find(l, &inner);

    if (u && u->owner == owner)
        u->owner = NULL;
}

bool lookups_known(const struct lookups *l, const struct addr *client, struct dns_finding *f,
                   bool *fresh)
{
    struct addr inner = addr_inner(client);

    bool found = known_find(l->known, &inner, seconds(l), f, fresh);
    if (found)
        leave_out(l, f);
    return found;
}

bool lookups_names(const struct lookups *l, const struct addr *client, struct client_names *out,
                   bool *open)
{
    struct addr inner = addr_inner(client);
    const struct lookup *u = *find((struct lookups *)l, &inner);

    *out = (struct client_names){0};
    *open = u && u->names && addr_equal(&u->client, &inner);
    return l->names && names_find(l->names, &inner, seconds(l), out);
}

/* ---- tests of lists ---- */

static void tell_state(void *arg, size_t list, enum list_state now)
{
    const struct lookups *l = arg;

    if (l->params.tried)
        l->params.tried(l->params.arg, l->list[list].zone, now);
}

struct trial *lookups_trial(const struct lookups *l)
{
    return l->trial;
}

void lookups_tell_again(const struct lookups *l)
{
    for (size_t i = 0; i < l->params.blocked_count + l->params.allowed_count; i++)
        if (!l->list[i].untested)
            tell_state((void *)l, i, trial_state(l->trial, i));
}

static struct lookup *first_that_waits(const struct lookups *l)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct lookup *u = l->bucket[i]; u; u = u->next)
            if (u->waits)
                return u;
    return NULL;
}

/* The first tests are over: for waiting look-ups, the answers of lists now count or are dropped. */
static void tried(void *arg)
{
    struct lookups *l = arg;
    struct lookup *u;

    while ((u = first_that_waits(l))) {
        u->waits = false;
        for (size_t i = 0; i < l->params.allowed_count; i++)
            if (u->allowed >> i & 1 && lookup_counts(l, l->params.blocked_count + i))
                lookup_trusted(u, DNS_TRUST_LIST, (uint8_t)i);
        u->open--;
        u->trusting--;
        lookup_settle(u);
    }
}

static int open_trial(struct lookups *l)
{
    size_t blocked = l->params.blocked_count, all = blocked + l->params.allowed_count;

    l->list = calloc(all + 1, sizeof *l->list);
    for (size_t i = 0; l->list && i < all; i++)
        l->list[i] = i < blocked ? l->params.blocked[i] : l->params.allowed[i - blocked];
    if (l->list)
        l->trial = trial_open(&(struct trial_params){.loop = l->params.loop,
                                                     .resolver = l->resolver,
                                                     .list = l->list,
                                                     .count = all,
                                                     .changed = tell_state,
                                                     .tried = tried,
                                                     .arg = l});
    return l->trial ? 0 : -ENOMEM;
}

/* ---- opening and closing ---- */

static void close_tables(struct lookups *l)
{
    trial_free(l->trial);
    free(l->list);
    known_close(l->known);
    names_close(l->names);
    shares_close(l->list_places);
    shares_close(l->name_places);
    free(l);
}

int lookups_open(struct lookups **out, const struct lookup_params *params)
{
    struct lookups *l = calloc(1, sizeof *l);

    if (!l)
        return -ENOMEM;
    l->params = *params;
    slab_init(&l->slab, sizeof(struct lookup));
    slab_init(&l->queries, sizeof(struct lookup_query));
    l->known = known_open(LOOKUP_KNOWN);
    l->names = params->client_names ? names_open(LOOKUP_NAMES) : NULL;
    l->list_places = shares_open(LOOKUP_OPEN_MAX);
    l->name_places = shares_open(LOOKUP_OPEN_MAX);
    int error = l->known && (l->names || !params->client_names) && l->list_places && l->name_places
                    ? 0
                    : -ENOMEM;
    if (!error && getrandom(&l->key, sizeof l->key, 0) != sizeof l->key)
        error = -EAGAIN;
    if (!error)
        error = resolver_open(&l->resolver, params->loop, params->server, params->server_count);
    if (!error && (error = open_trial(l)))
        resolver_close(l->resolver);
    if (error) {
        close_tables(l);
        return error;
    }
    health_open(&l->health, params->loop, l->resolver);
    *out = l;
    return 0;
}

void lookups_close(struct lookups *l)
{
    if (!l)
        return;
    l->closing = true;
    trial_close(l->trial);
    health_close(&l->health);
    resolver_close(l->resolver); /* ends all open queries */
    close_tables(l);
}
