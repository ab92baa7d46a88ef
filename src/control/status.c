/* `status`: what mired is doing, from the counters, the ledger and the master's notes. In the web
 * process. */
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "config/config.h"
#include "control/control_part.h"
#include "directory/allowances.h"
#include "dns/trial.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_proposals.h"

static json_int_t sum(const struct steering *s, enum metric id)
{
    return (json_int_t)metrics_sum(s->params->metrics, id);
}

/* All rows of a family, by the value of their label: {"recipient": 12, ...}. */
static json_t *family(const struct steering *s, const char *name)
{
    json_t *o = json_object();

    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric_about *about = &metric_table[id];
        if (strcmp(about->family, name) != 0)
            continue;
        const char *value = strchr(about->label, '"');
        if (value)
            json_object_setn_new(o, value + 1, strcspn(value + 1, "\""),
                                 json_integer(sum(s, (enum metric)id)));
    }
    return o;
}

const struct steering_backend *steering_backend_of(const struct steering *s, const char *name)
{
    for (unsigned i = 0; i < s->backends; i++)
        if (strncmp(s->backend[i].name, name, sizeof s->backend[i].name - 1) == 0)
            return &s->backend[i];
    return NULL;
}

enum { DOMAINS_SHOWN = 3 };

/* "a.example, .branches.example and 12 more"; empty: the domains that no other backend names. */
static json_t *domains_of(const struct config_backend *backend)
{
    const struct config_strings *list = &backend->domains;
    struct buf text = {0};

    for (size_t i = 0; i < list->count && i < DOMAINS_SHOWN; i++)
        buf_addf(&text, "%s%s", i ? ", " : "", list->at[i]);
    if (list->count > DOMAINS_SHOWN)
        buf_addf(&text, " and %zu more", list->count - DOMAINS_SHOWN);
    json_t *shown = json_stringn(text.len ? text.at : "", text.len);
    buf_free(&text);
    return shown;
}

static json_t *backends(const struct steering *s)
{
    const struct config *config = s->params->config;
    json_t *list = json_array();

    for (size_t i = 0; i < config->backend_count; i++) {
        const struct config_backend *b = &config->backend[i];
        const struct steering_backend *known = steering_backend_of(s, b->name);
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:s, s:o}", "name", b->name, "up",
                                        known ? json_boolean(known->up) : json_null(), "state",
                                        !known      ? "not tried yet"
                                        : known->up ? "up"
                                                    : "down",
                                        "domains", domains_of(b)));
    }
    return list;
}

static const char *state_of_list(const struct steering *s, const struct config_list *l)
{
    for (unsigned i = 0; i < s->lists; i++)
        if (strcmp(s->list[i].zone, l->zone) == 0)
            return s->list[i].state;
    return l->test ? list_state_name(LIST_UNTRIED) : "not tested";
}

/* Adds the lists; the answers of one that fails its test do not count. */
static void add_lists(const struct steering *s, json_t *to, const char *kind,
                      const struct config_list *l, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *state = state_of_list(s, &l[i]);
        bool counts = true;
        for (int k = 0; k < LIST_STATES; k++)
            if (!list_counts((enum list_state)k) &&
                strcmp(state, list_state_name((enum list_state)k)) == 0)
                counts = false;
        json_array_append_new(to, json_pack("{s:s, s:s, s:s, s:b}", "kind", kind, "zone", l[i].zone,
                                            "state", state, "counts", counts));
    }
}

static json_t *lists(const struct steering *s)
{
    const struct config *c = s->params->config;
    json_t *list = json_array();

    add_lists(s, list, "dnsbl", c->dnsbl, c->dnsbl_count);
    add_lists(s, list, "dnswl", c->dnswl, c->dnswl_count);
    return list;
}

bool status_directory_is_up(const struct steering *s, enum recipients_kind kind)
{
    enum metric down = METRIC_DIRECTORY_DOWN_FILE + (enum metric)kind;
    return metrics_sum(s->params->metrics, down) == 0;
}

static json_t *directories(const struct steering *s)
{
    const struct config *config = s->params->config;
    json_t *list = json_array();

    for (size_t i = 0; i < config->recipients_count; i++) {
        const struct config_recipients *r = &config->recipients[i];
        bool kept = r->kind == RECIPIENTS_FILE && sum(s, METRIC_DIRECTORY_KEPT) > 0;
        json_array_append_new(list,
                              json_pack("{s:s, s:s*, s:b, s:b}", "kind",
                                        config_recipients_name(r->kind), "path", r->path, "up",
                                        status_directory_is_up(s, r->kind), "kept", kept));
    }
    return list;
}

/* R23. */
static json_t *allowance(const struct steering *s)
{
    const struct config_allowance *a = &s->params->config->allowance;

    return json_pack("{s:b, s:s?, s:b, s:I, s:I}", "on", allowances_are_on(s->allowances), "file",
                     a->file, "kept", sum(s, METRIC_ALLOWANCE_KEPT) > 0, "refusals",
                     sum(s, METRIC_ALLOWANCE_REFUSALS), "stolen", sum(s, METRIC_ALLOWANCE_STOLEN));
}

uint64_t status_waiting(const struct steering *s)
{
    uint64_t all = 0;

    for (uint32_t i = 0; s->params->proposals && i < s->params->workers; i++)
        all += proposals_waiting(s->params->proposals[i]);
    return all;
}

static json_t *ledger(const struct steering *s)
{
    struct ledger_stats stats = ledger_stats(s->params->ledger);

    return json_pack("{s:I, s:I, s:I, s:I}", "entries", (json_int_t)stats.entries, "capacity",
                     (json_int_t)stats.capacity, "evictions", (json_int_t)stats.evictions,
                     "waiting", (json_int_t)status_waiting(s));
}

/* Whether all backends of a route are known to be down. */
static bool is_down(const struct steering *s, const struct route *route)
{
    for (size_t i = 0; i < route->count; i++) {
        const char *name = s->params->config->backend[route->section[i]].name;
        const struct steering_backend *known = steering_backend_of(s, name);
        if (!known || known->up)
            return false;
    }
    return route->count > 0;
}

/* One of our domains whose mail goes to that list of backends; NULL: none of ours does. */
static const char *domain_of_list(const struct config *config, uint32_t list)
{
    for (size_t i = 0; i < config->domains.count; i++) {
        const char *domain = config->domains.at[i];
        if (config_route(config, ROUTE_BACKEND, span_of(domain)).list == list)
            return domain;
    }
    return NULL;
}

/* How many backends are known to be down. */
static size_t count_down(const struct steering *s)
{
    const struct config *config = s->params->config;
    size_t down = 0;

    for (size_t i = 0; i < config->backend_count; i++) {
        const struct steering_backend *known = steering_backend_of(s, config->backend[i].name);
        down += known && !known->up;
    }
    return down;
}

/* A domain of ours whose backends are all down; NULL: each has one that is up. */
static const char *domain_that_waits(const struct steering *s)
{
    const struct config *config = s->params->config;
    const char *domain = NULL;
    struct route route;

    if (count_down(s) == 0)
        return NULL;
    for (uint32_t list = 0; list < routes_lists(config->routes, ROUTE_BACKEND) && !domain; list++)
        if (routes_list(config->routes, ROUTE_BACKEND, list, &route) && is_down(s, &route))
            domain = domain_of_list(config, list);
    return domain;
}

const char *status_mail_waits(const struct steering *s)
{
    const struct config *config = s->params->config;

    if (config->backend_count && count_down(s) == config->backend_count)
        return config->backend_count == 1 ? "the backend is down" : "all backends are down";
    for (size_t i = 0; i < config->recipients_count; i++)
        if (status_directory_is_up(s, config->recipients[i].kind))
            return NULL;
    if (config->recipients_count)
        return "no directory can be reached";
    return NULL;
}

/* How many processes each part confines. */
static json_t *sandbox(const struct steering *s)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "seccomp", sum(s, METRIC_SANDBOX_SECCOMP), "landlock",
                     sum(s, METRIC_SANDBOX_LANDLOCK), "root", sum(s, METRIC_SANDBOX_ROOT), "none",
                     sum(s, METRIC_SANDBOX_NONE));
}

static json_t *users(const struct steering *s)
{
    json_t *all = json_object();

    for (size_t i = 0; i < s->params->user_count; i++)
        json_object_set_new(all, s->params->users[i].role, json_string(s->params->users[i].name));
    return all;
}

/* R25; null without a fleet. */
static json_t *fleet(const struct steering *s)
{
    const struct config_fleet *c = &s->params->config->fleet;

    if (c->redis.count == 0)
        return json_null();
    return json_pack("{s:s, s:s, s:b, s:I, s:I}", "name", c->name, "member", c->member, "up",
                     sum(s, METRIC_FLEET_UP) > 0, "members", sum(s, METRIC_FLEET_MEMBERS), "keys",
                     sum(s, METRIC_FLEET_KEYS));
}

json_t *status_json(const struct steering *s)
{
    const struct config *config = s->params->config;
    uint64_t now = clock_wall_ms();
    json_int_t held_ms = sum(s, METRIC_HOLD_MS);

    return json_pack(
        "{s:s, s:s, s:s, s:I, s:f, s:i, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:o, "
        "s:I, "
        "s:o, s:o, s:o, s:o, s:b, s:s?, s:s?, s:b, s:o, s:o, s:o, s:o}",
        "version", MIRED_VERSION, "hostname", config->hostname, "config", config->file, "since_ms",
        (json_int_t)s->params->started_ms, "up_seconds",
        (double)clock_since(s->params->started_ms, now) / 1000.0, "workers", (int)config->workers,
        "generation", (int)s->params->generation, "connections", sum(s, METRIC_CONNECTIONS_TOTAL),
        "open", sum(s, METRIC_CONNECTIONS_OPEN), "held", sum(s, METRIC_HELD), "frozen",
        sum(s, METRIC_FROZEN), "hold_seconds", (double)held_ms / 1000.0, "attacker_hours",
        (double)held_ms / 3600000.0, "messages", family(s, "mired_messages_total"), "offences",
        family(s, "mired_offences_total"), "verdicts", family(s, "mired_verdicts_total"), "auth",
        family(s, "mired_auth_total"), "worker_restarts", sum(s, METRIC_WORKER_RESTARTS), "ledger",
        ledger(s), "backends", backends(s), "directories", directories(s), "lists", lists(s),
        "mail_passes", status_mail_waits(s) == NULL, "mail_waits_for", status_mail_waits(s),
        "domain_waits", domain_that_waits(s), "observing", config->observe, "allowance",
        allowance(s), "sandbox", sandbox(s), "users", users(s), "fleet", fleet(s));
}
