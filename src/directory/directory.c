/* The directories of a domain in order, and the forms of an address that each is asked for. Runs in
 * clerks.
 *
 * For user+tag@domain a source is queried for that address, for the address without the tag, and
 * for @domain. The first source that knows one of these forms wins. If a source cannot answer, the
 * whole answer is "later" unless another source knows the address: a directory that is down must
 * never turn a recipient into an unknown one.
 *
 * A query is an inquiry, which goes from source to source as long as files and the cache have the
 * answers. If they do not, an errand queries one remote source for one form, in a thread
 * (askers.h), in the order of fair.h. Everything else runs in the clerk's own thread.
 *
 * The answers of remote sources are in a cache that all clerks share (cache.h), form by form. The
 * cache also knows which sources are down: no query waits for such a source, and one clerk at a
 * time tries whether it is up again, however long that takes. */
#include "directory/directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "config/config.h"
#include "directory/directory_part.h"
#include "directory/list_file.h"
#include "directory/traps.h"
#include "smtp/address.h"

enum { WAITING_MAX = 4096 /* errands that wait in one clerk */ };
#define NO_SOURCE UINT32_MAX

static bool has_server(const struct config *config, const struct route *backends)
{
    for (size_t i = 0; i < backends->count; i++)
        if (config->backend[backends->section[i]].kind != BACKEND_STORE)
            return true;
    return false;
}

/* The sources of a section: one; or, where it asks backends, one for each list of backends that
 * domains have, so that each is up or down by itself. `into` NULL: only counts. */
static size_t sources_of(const struct directory *d, size_t section, uint32_t lists,
                         struct source *into, bool confirmed, bool *good)
{
    const struct config_recipients *r = &d->config->recipients[section];
    struct route backends = {.rule = ""};
    size_t n = 0;

    if (r->kind != RECIPIENTS_BACKEND) {
        if (into)
            *good = source_open(into, d, r, &backends, confirmed);
        return 1;
    }
    for (uint32_t list = 0; list < lists && *good; list++) {
        if (!routes_list(d->config->routes, ROUTE_BACKEND, list, &backends) ||
            !has_server(d->config, &backends))
            continue;
        if (into) {
            d->place[section * lists + list] = (uint32_t)(into + n - d->source);
            *good = source_open(into + n, d, r, &backends, confirmed);
        }
        n++;
    }
    return n;
}

/* The source that a section asks for a domain; NULL: there is none, its backend is the store. */
static struct source *source_of(const struct directory *d, size_t section, struct span domain)
{
    if (d->config->recipients[section].kind != RECIPIENTS_BACKEND)
        return &d->source[d->first[section]];
    uint32_t lists = routes_lists(d->config->routes, ROUTE_BACKEND);
    uint32_t list = config_route(d->config, ROUTE_BACKEND, domain).list;
    uint32_t place = d->place[section * lists + list];
    return place == NO_SOURCE ? NULL : &d->source[place];
}

static bool open_sources(struct directory *d, bool confirmed)
{
    const struct config *config = d->config;
    uint32_t lists = routes_lists(config->routes, ROUTE_BACKEND);
    size_t count = 0, remote = 0;
    bool good = true;

    for (size_t i = 0; i < config->recipients_count; i++) {
        size_t its = sources_of(d, i, lists, NULL, confirmed, &good);
        count += its;
        remote += config->recipients[i].kind == RECIPIENTS_FILE ? 0 : its;
    }
    hung_open(d, remote);
    d->source = calloc(count + 1, sizeof *d->source);
    d->first = calloc(config->recipients_count + 1, sizeof *d->first);
    d->place = reallocarray(NULL, config->recipients_count * lists + 1, sizeof *d->place);
    if (!d->source || !d->first || !d->place)
        return false;
    memset(d->place, 0xff, (config->recipients_count * lists + 1) * sizeof *d->place);
    d->sources = count; /* what is not open yet can be closed, too */
    count = 0;
    for (size_t i = 0; i < config->recipients_count && good; i++) {
        d->first[i] = (uint32_t)count;
        count += sources_of(d, i, lists, d->source + count, confirmed, &good);
    }
    return good;
}

static bool open_all(struct directory *d, bool confirmed)
{
    d->traps = traps_open(d->config, confirmed);
    d->fair = fair_open(d->most, WAITING_MAX, d->slots + 1);
    if (!d->traps || !d->fair || !open_sources(d, confirmed))
        return false;
    struct askers_params params = {.most = d->threads,
                                   .arg = d,
                                   .run = errand_run,
                                   .rest = errand_rest,
                                   .has_line = errand_has_line};
    d->askers = askers_open(&params);
    if (!d->askers)
        return false;
    errands_open(d);
    return true;
}

struct directory *directory_open(const struct directory_params *params)
{
    struct directory *d = calloc(1, sizeof *d);
    uint32_t clerks = params->config->clerks;

    if (!d)
        return NULL;
    d->config = params->config;
    d->cache = params->cache;
    d->sharing = cache_sharing(d->cache);
    d->pid = (uint32_t)getpid();
    d->answered = params->answered;
    d->arg = params->arg;
    if (params->reloaded) /* there may be new accounts */
        cache_forget_unknown(d->cache, clock_wall_ms());
    d->addresses = params->addresses;
    d->slots = params->slots;
    d->most = (params->config->lookups + clerks - 1) / clerks;
    if (!open_all(d, params->confirmed)) {
        int error = errno;
        directory_close(d);
        errno = error;
        return NULL;
    }
    return d;
}

void directory_close(struct directory *d)
{
    if (!d || !askers_close(d->askers))
        return; /* a thread still waits for a source; it ends with the process */
    if (d->fair)
        errands_forget(d);
    fair_close(d->fair);
    for (size_t i = 0; i < d->sources; i++)
        source_close(d, &d->source[i]);
    free(d->source);
    free(d->first);
    free(d->place);
    traps_close(d->traps);
    free(d);
}

enum { FORMS = 3 };

/* Whether a server behind may read the local part as a route to another domain. Then a directory
 * must have exactly that address, and the backend is not queried, because it would accept it. */
static bool is_routing(const struct directory *d, struct span address)
{
    return !d->config->routing_addresses &&
           local_is_routing(span_first(address, address_sign(address)));
}

/* Makes the forms in which a directory may have an address; returns how many. */
static int make_forms(const struct directory *d, struct span address, char *room,
                      struct span form[FORMS])
{
    size_t sign = address_sign(address);
    int n = 0;

    form[n++] = address;
    if (sign == address.len || is_routing(d, address))
        return n;
    struct span local = span_first(address, sign);
    struct span domain = span_after(address, sign); /* with its @ */
    struct span bare = local_without_tag(local, d->config->recipient_delimiter);
    if (bare.len < local.len) {
        memcpy(room, bare.at, bare.len);
        memcpy(room + bare.len, domain.at, domain.len);
        form[n++] = (struct span){room, bare.len + domain.len};
    }
    form[n++] = domain;
    return n;
}

static enum answer_result ask_file(struct source *s, struct span form)
{
    uint64_t begun = clock_mono_us();
    enum answer_result r = list_file_has(s->file, form, clock_mono_ms(), clock_wall_ms());

    source_took(s, clock_mono_us() - begun);
    source_know(s, !list_file_loaded(s->file));
    return r;
}

/* A backend handles tags and whole domains itself, and LDAP directories have no "@domain"
 * entries. */
static bool wants(const struct directory *d, const struct source *s, struct span form, int number)
{
    switch (s->config->kind) {
    case RECIPIENTS_BACKEND: return number == 0 && !is_routing(d, form);
    case RECIPIENTS_LDAP: return form.len && form.at[0] != '@';
    default: return true;
    }
}

/* If a source cannot answer, a recipient that was known to exist is still accepted, but an old
 * answer refuses none. */
static enum answer_result rather_old(const struct inquiry *q, enum answer_result r)
{
    return r == ANSWER_LATER ? q->known : r;
}

enum { SURE_MS = 2000 };

/* How long answers are valid for this client. Unless it is deep in debt, a cached NO is not used
 * for minutes, because the user may have just been added: the source is asked again. The same is
 * true after a mistake or two, so that a sender that was told "unknown" may try again once the
 * administrator has added the address. Harvesters are deeper in debt soon. */
struct cache_source source_cached_for(const struct source *s, enum query_rank rank)
{
    struct cache_source cached = s->cached;

    if (rank != RANK_DEBT && cached.bad_ms > SURE_MS)
        cached.bad_ms = SURE_MS;
    return cached;
}

/* Looks up one form at one remote source: in the cache if that is fresh. False: the source is being
 * queried, and an errand owns the inquiry. */
static bool consult(struct directory *d, struct source *s, struct span form, struct inquiry *q,
                    enum answer_result *result)
{
    uint64_t now = clock_wall_ms();
    enum answer_result known = ANSWER_LATER;
    const struct cache_source cached = source_cached_for(s, q->asker.rank);
    enum cache_age age = cache_find(d->cache, &cached, form, now, &known);

    q->known = ANSWER_LATER;
    *result = known;
    if (age == CACHE_DUE && !cache_is_down(d->cache, &s->cached) &&
        cache_claim(d->cache, &s->cached, form, now))
        (void)errand_send(d, s, form, NULL, q->asker.slot);
    if (age == CACHE_FRESH || age == CACHE_DUE)
        return true;
    bool stands =
        age == CACHE_OLD && cache_find(d->cache, &s->cached, form, now, &known) != CACHE_OLD;
    if (age == CACHE_OLD && (known == ANSWER_YES || stands))
        q->known = known;
    if (!cache_is_down(d->cache, &s->cached)) {
        if (errand_send(d, s, form, q, q->asker.slot))
            return false;
    } else {
        source_know_down(s, form);
    }
    *result = rather_old(q, ANSWER_LATER);
    return true;
}

/* Records the result of a form. A source that knows one form need not be queried for others. */
static void note(struct inquiry *q, enum answer_result r)
{
    if (r != ANSWER_NO)
        q->of_source = r;
    q->form = r == ANSWER_YES ? FORMS : q->form + 1;
}

/* Looks up the remaining forms at the current source. False: the source is being queried for
 * one. */
static bool go_through_forms(struct directory *d, struct source *s, const struct span *form,
                             int forms, struct inquiry *q)
{
    while (q->form < forms) {
        enum answer_result r = ANSWER_NO;
        if (!wants(d, s, form[q->form], q->form))
            ;
        else if (source_is_file(s))
            r = ask_file(s, form[q->form]);
        else if (!consult(d, s, form[q->form], q, &r))
            return false;
        note(q, r);
    }
    return true;
}

static struct span domain_of(struct span address)
{
    return span_after(address, address_sign(address) + 1);
}

/* Goes on to the next sources of the domain. False: one is being queried. */
static bool go_on(struct directory *d, struct inquiry *q)
{
    char room[QUERY_TEXT_MAX];
    struct span form[FORMS];
    struct span address = {q->address, q->len};
    int forms = make_forms(d, address, room, form);

    while (q->section < q->route.count) {
        size_t section = q->route.section[q->section];
        struct source *s = source_of(d, section, domain_of(address));
        if (!s)
            q->of_source = ANSWER_LATER;
        else if (!go_through_forms(d, s, form, forms, q))
            return false;
        q->answer.source = (uint16_t)section;
        if (q->of_source == ANSWER_YES || q->of_source == ANSWER_OTHER) {
            q->answer.result = (uint16_t)q->of_source;
            return true;
        }
        q->later = q->later || q->of_source == ANSWER_LATER;
        q->section++;
        q->form = 0;
        q->of_source = ANSWER_NO;
    }
    q->answer.result = q->later ? ANSWER_LATER : ANSWER_NO;
    return true;
}

void inquiry_go_on(struct directory *d, struct inquiry *q, enum answer_result r)
{
    note(q, rather_old(q, r));
    if (go_on(d, q)) {
        d->answered(d->arg, &q->asker, &q->answer);
        free(q);
    }
}

static void forget_address(struct directory *d, struct span address)
{
    char room[QUERY_TEXT_MAX];
    struct span form[FORMS];
    int forms = make_forms(d, address, room, form);

    struct route route = config_route(d->config, ROUTE_RECIPIENTS, domain_of(address));

    for (size_t k = 0; k < route.count; k++) {
        struct source *s = source_of(d, route.section[k], domain_of(address));
        for (int i = 0; s && i < forms && !source_is_file(s); i++)
            cache_forget(d->cache, &s->cached, form[i]);
    }
}

bool directory_forget(struct directory *d, struct span what)
{
    bool found = false;

    if (address_sign(what) < what.len) {
        if (what.len <= QUERY_TEXT_MAX)
            forget_address(d, what);
        return true;
    }
    for (struct source *s = d->source; s < d->source + d->sources; s++)
        if (!source_is_file(s) &&
            (what.len == 0 || span_equal(what, span_of(config_recipients_name(s->config->kind))))) {
            cache_forget_source(d->cache, &s->cached, clock_wall_ms());
            found = true;
        }
    return found || what.len == 0;
}

bool directory_ask(struct directory *d, const struct directory_asker *asker, struct span address,
                   struct answer *out)
{
    struct inquiry *q;

    out->result = traps_have(d->traps, address) ? ANSWER_TRAP : ANSWER_NO;
    if (out->result == ANSWER_TRAP)
        return true;
    if (d->config->recipients_count == 0) { /* no directory: every local address is accepted */
        out->result = is_routing(d, address) ? ANSWER_NO : ANSWER_YES;
        return true;
    }
    if (address.len > QUERY_TEXT_MAX)
        return true;
    q = calloc(1, sizeof *q + address.len);
    if (!q) {
        out->result = ANSWER_LATER;
        return true;
    }
    q->asker = *asker;
    q->answer.id = asker->id;
    q->until_ms = clock_mono_ms() + QUERY_TIMEOUT_MS;
    q->of_source = ANSWER_NO;
    q->route = config_route(d->config, ROUTE_RECIPIENTS, domain_of(address));
    q->len = address.len;
    memcpy(q->address, address.at, address.len);
    bool now = go_on(d, q);
    if (now) {
        *out = q->answer;
        free(q);
    }
    errands_go(d);
    return now;
}
