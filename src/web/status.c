/* `status`: what mired is doing, gathered from the counters, the ledger and what the master told.
 * In the web process. */
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "config/config.h"
#include "dns/trial.h"
#include "tarpit/ledger.h"
#include "web/web_part.h"

static json_int_t sum(const struct web *w, enum metric id)
{
    return (json_int_t)metrics_sum(w->params->metrics, id);
}

/* All rows of a family, by the value of their label: {"recipient": 12, ...}. */
static json_t *family(const struct web *w, const char *name)
{
    json_t *o = json_object();

    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric_about *about = &metric_table[id];
        if (strcmp(about->family, name) != 0)
            continue;
        const char *value = strchr(about->label, '"');
        if (value)
            json_object_setn_new(o, value + 1, strcspn(value + 1, "\""),
                                 json_integer(sum(w, (enum metric)id)));
    }
    return o;
}

static json_t *backends(const struct web *w)
{
    const struct config *config = w->params->config;
    json_t *list = json_array();

    for (size_t i = 0; i < config->backend_count; i++) {
        json_t *up = json_null();
        const char *state = "not tried yet";
        for (unsigned k = 0; k < w->backends; k++)
            if (strcmp(w->backend[k].name, config->backend[i].name) == 0) {
                up = json_boolean(w->backend[k].up);
                state = w->backend[k].up ? "up" : "down";
            }
        json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "name", config->backend[i].name,
                                              "up", up, "state", state));
    }
    return list;
}

static const char *state_of_list(const struct web *w, const struct config_list *l)
{
    for (unsigned i = 0; i < w->lists; i++)
        if (strcmp(w->list[i].zone, l->zone) == 0)
            return w->list[i].state;
    return l->test ? list_state_name(LIST_UNTRIED) : "not tested";
}

/* One that does not pass its test counts for nothing. */
static void add_lists(const struct web *w, json_t *to, const char *kind,
                      const struct config_list *l, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *state = state_of_list(w, &l[i]);
        bool counts = true;
        for (int s = 0; s < LIST_STATES; s++)
            if (!list_counts((enum list_state)s) &&
                strcmp(state, list_state_name((enum list_state)s)) == 0)
                counts = false;
        json_array_append_new(to, json_pack("{s:s, s:s, s:s, s:b}", "kind", kind, "zone", l[i].zone,
                                            "state", state, "counts", counts));
    }
}

static json_t *lists(const struct web *w)
{
    const struct config *c = w->params->config;
    json_t *list = json_array();

    add_lists(w, list, "dnsbl", c->dnsbl, c->dnsbl_count);
    add_lists(w, list, "dnswl", c->dnswl, c->dnswl_count);
    return list;
}

bool web_directory_is_up(const struct web *w, enum recipients_kind kind)
{
    enum metric down = METRIC_DIRECTORY_DOWN_FILE + (enum metric)kind;
    return metrics_sum(w->params->metrics, down) == 0;
}

static json_t *directories(const struct web *w)
{
    const struct config *config = w->params->config;
    json_t *list = json_array();

    for (size_t i = 0; i < config->recipients_count; i++) {
        const struct config_recipients *r = &config->recipients[i];
        bool kept = r->kind == RECIPIENTS_FILE && sum(w, METRIC_DIRECTORY_KEPT) > 0;
        json_array_append_new(list, json_pack("{s:s, s:s*, s:b, s:b}", "kind",
                                              config_recipients_name(r->kind), "path", r->path,
                                              "up", web_directory_is_up(w, r->kind), "kept", kept));
    }
    return list;
}

static json_t *ledger(const struct web *w)
{
    struct ledger_stats stats = ledger_stats(w->params->ledger);

    return json_pack("{s:I, s:I, s:I}", "entries", (json_int_t)stats.entries, "capacity",
                     (json_int_t)stats.capacity, "evictions", (json_int_t)stats.evictions);
}

const char *status_mail_waits(const struct web *w)
{
    const struct config *config = w->params->config;
    size_t down = 0;

    for (size_t i = 0; i < config->backend_count; i++)
        for (unsigned k = 0; k < w->backends; k++)
            if (strcmp(w->backend[k].name, config->backend[i].name) == 0 && !w->backend[k].up)
                down++;
    if (config->backend_count && down == config->backend_count)
        return config->backend_count == 1 ? "the backend is down" : "all backends are down";
    for (size_t i = 0; i < config->recipients_count; i++)
        if (web_directory_is_up(w, config->recipients[i].kind))
            return NULL;
    if (config->recipients_count)
        return "no directory can be reached";
    return NULL;
}

json_t *status_json(const struct web *w)
{
    const struct config *config = w->params->config;
    uint64_t now = clock_wall_ms();
    json_int_t held_ms = sum(w, METRIC_HOLD_MS);

    return json_pack(
        "{s:s, s:s, s:s, s:I, s:f, s:i, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o, s:o, "
        "s:I, "
        "s:o, s:o, s:o, s:o, s:b, s:s?, s:b}",
        "version", MIRED_VERSION, "hostname", config->hostname, "config", config->file, "since_ms",
        (json_int_t)w->params->started_ms, "up_seconds",
        (double)(now - w->params->started_ms) / 1000.0, "workers", (int)config->workers,
        "generation", (int)w->params->generation, "connections", sum(w, METRIC_CONNECTIONS_TOTAL),
        "open", sum(w, METRIC_CONNECTIONS_OPEN), "held", sum(w, METRIC_HELD), "frozen",
        sum(w, METRIC_FROZEN), "hold_seconds", (double)held_ms / 1000.0, "attacker_hours",
        (double)held_ms / 3600000.0, "messages", family(w, "mired_messages_total"), "offences",
        family(w, "mired_offences_total"), "verdicts", family(w, "mired_verdicts_total"), "auth",
        family(w, "mired_auth_total"), "worker_restarts", sum(w, METRIC_WORKER_RESTARTS), "ledger",
        ledger(w), "backends", backends(w), "directories", directories(w), "lists", lists(w),
        "mail_passes", status_mail_waits(w) == NULL, "mail_waits_for", status_mail_waits(w),
        "observing", config->observe);
}
