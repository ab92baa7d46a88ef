/* `advise`: goes over the ledger once and lets tarpit/advise.h judge. In the web process, which has
 * the ledger mapped. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "control/control_part.h"
#include "tarpit/advise.h"

/* A week, as `mirectl observe` tells without other words. */
#define OBSERVED_MS (7 * 24 * UINT64_C(3600000))

static struct advise_facts facts(const struct steering *s)
{
    const struct config *config = s->params->config;
    const struct tarpit_rules *rules = &config->tarpit;
    const struct metrics *m = s->params->metrics;
    double may = (double)config->connections_max * (1.0 - rules->reserve);

    return (struct advise_facts){
        .ledger = ledger_stats(s->params->ledger),
        .ledger_size = config->ledger_size,
        .held = metrics_sum(m, METRIC_HELD),
        .held_most = rules->held_max ? rules->held_max : (uint64_t)may,
        .guard_evictions = metrics_sum(m, METRIC_GUARD_EVICTIONS),
        .shielded = metrics_sum(m, METRIC_VERDICT_SHIELD),
    };
}

static bool is_exempt(const struct steering *s, const struct addr *who, uint64_t now)
{
    const struct config *config = s->params->config;
    struct ledger *ledger = s->params->ledger;
    struct ledger_decay d = steering_decay(s);
    struct ledger_key key[] = {ledger_key_client(ledger, who), ledger_key_network(ledger, who)};
    struct ledger_entry e;

    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        if (ledger_get(ledger, &key[i], &d, now, &e) && e.flags & LEDGER_EXEMPT)
            return true;
    return networks_contain(config->exempt.at, config->exempt.count, who);
}

/* What `observe` has seen of the last days. */
static void look_at_observed(const struct steering *s, struct advise *a, uint64_t now)
{
    struct observed_line line;
    uint32_t at = 0;

    while (observed_next(s->params->observed, &at, now - OBSERVED_MS, now, &line))
        if (!is_exempt(s, &line.client, now))
            advise_observed(a, &line);
}

static void look_at_all(const struct steering *s, struct advise *a)
{
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms(), at = 0;
    struct ledger_key key;
    struct ledger_entry entry, network;
    struct addr who;

    look_at_observed(s, a, now);
    while (ledger_next(s->params->ledger, &at, &d, now, &key, &who, &entry)) {
        if (key.kind == LEDGER_NETWORK)
            advise_network(a, &who, &entry);
        if (key.kind != LEDGER_CLIENT)
            continue;
        struct ledger_key around = ledger_key_network(s->params->ledger, &who);
        ledger_get(s->params->ledger, &around, &d, now, &network);
        if (!networks_contain(s->params->config->exempt.at, s->params->config->exempt.count, &who))
            advise_client(a, &who, &entry, &network);
    }
}

void run_advise(struct control *c, const json_t *args)
{
    struct advise *a = malloc(sizeof *a);
    struct advice *advice = calloc(ADVISE_MOST, sizeof *advice);
    struct advise_facts known = facts(c->steering);
    json_t *list = json_array();

    if (!a || !advice || !list) {
        control_fail(c, CONTROL_REFUSED, "not enough memory");
        json_decref(list);
    } else {
        advise_begin(a, &c->steering->params->config->tarpit, &known);
        look_at_all(c->steering, a);
        size_t n = advise_end(a, advice);
        for (size_t i = 0; i < n; i++)
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s}", "key", advice[i].key, "setting",
                                            advice[i].setting, "reason", advice[i].reason));
        control_done(c,
                     json_pack("{s:o, s:I, s:I}", "advice", list, "clients", (json_int_t)a->clients,
                               "with_good_mail", (json_int_t)a->with_good));
    }
    free(a);
    free(advice);
}
