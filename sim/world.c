/* The simulator's engine (world.h): makes the agents of a population and runs the steps of each at
 * its time.
 *
 * It leaves out the limits of network and server (a step takes 50 ms, however many connections
 * there are), the backend, and the guard. It measures the policy, not the machine. */
#include <stdlib.h>

#include "tarpit/ledger_table.h"
#include "tarpit/retries.h"
#include "world_part.h"

/* Legitimate senders are followed for so long after the attack. */
#define AFTERWARDS_MS (6 * 24 * (uint64_t)SIM_HOUR)

struct addr agent_address(const struct sim_group *g, uint32_t index)
{
    uint32_t per = g->per_network > 0 ? g->per_network : 1, n = index % g->addresses;
    uint32_t network = g->base + n / per, host = 1 + g->skip + n % per;
    if (g->ip6)
        return (struct addr){.family = ADDR_IP6,
                             .octets = {0x20, 0x01, 0x0d, (uint8_t)(network >> 16),
                                        (uint8_t)(network >> 8), (uint8_t)network,
                                        (uint8_t)(host >> 8), (uint8_t)host, [15] = 1}};
    return (struct addr){.family = ADDR_IP4,
                         .octets = {(uint8_t)(network >> 16), (uint8_t)(network >> 8),
                                    (uint8_t)network, (uint8_t)host}};
}

/* Attackers come together, within a second; messages are spread over the time. */
static uint64_t first_time(const struct world *w, struct agent *a)
{
    double span = a->group->role == SIM_EARLY ? 20 * SIM_SECOND
                  : a->group->role <= SIM_SPAM
                      ? (a->group->within_s > 0 ? a->group->within_s : 1) * SIM_SECOND
                      : (double)(w->end - SIM_BEGIN);
    return SIM_BEGIN + (uint64_t)(agent_chance(a) * span);
}

static void note_expected(struct world *w, const struct agent *a)
{
    uint64_t typos = (uint64_t)__builtin_popcountll(a->todo & ~a->exists);
    switch (a->group->role) {
    case SIM_MAIL:
        w->result->typos += typos;
        w->result->mails += a->group->recipients - typos;
        break;
    case SIM_CALL_OUT:
    case SIM_LOGIN: w->result->mails++; break;
    default: break;
    }
}

static void make_agent(struct world *w, const struct sim_group *g, uint32_t index, uint32_t which,
                       uint64_t seed)
{
    struct agent *a = &w->agent[which];
    struct addr from = agent_address(g, index / w->servers); /* each address goes to every server */
    struct tarpit *t;

    *a = (struct agent){.group = g, .random = seed ^ (which * UINT64_C(0x9e3779b97f4a7c15))};
    agent_chance(a);
    a->server = (uint8_t)(index % w->servers);
    a->talks_first = index % 100 < 100 * g->talks_first;
    t = &w->tarpit[a->server];
    a->who = tarpit_who(t, &from, false);
    if (index < g->addresses)
        agent_has_history(w, a);
    if (g->role == SIM_LOGIN)
        tarpit_logged_in(t, &a->who, &from, SIM_ACCOUNT, SIM_BEGIN);
    uint64_t at = first_time(w, a);
    agent_begin_message(w, a, at);
    note_expected(w, a);
    heap_add(&w->heap, at, which);
}

static uint32_t agents_of(const struct sim_population *p)
{
    uint32_t all = 0;
    for (int g = 0; g < SIM_GROUPS; g++)
        all += p->group[g].agents;
    return all;
}

static void close_world(struct world *w)
{
    for (uint32_t i = 0; i < w->servers; i++) {
        if (i == 0 || w->tarpit[i].ledger != w->tarpit[0].ledger)
            ledger_close(w->tarpit[i].ledger);
        retries_close(w->tarpit[i].retries);
    }
    for (int g = 0; g < SIM_GROUPS; g++) {
        free(w->domains[g].up_to);
        free(w->domains[g].sent);
    }
    heap_close(&w->heap);
    shadows_close(w->shadows);
    free(w->agent);
}

/* The second most frequent domain is half as frequent as the first, the third a third. */
static bool share_out(struct domains *d, uint32_t count)
{
    double all = 0, so_far = 0;

    if (count == 0)
        return true;
    d->up_to = calloc(count, sizeof *d->up_to);
    d->sent = calloc(count, sizeof *d->sent);
    if (d->up_to == NULL || d->sent == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        all += 1.0 / (i + 1);
    for (uint32_t i = 0; i < count; i++) {
        so_far += 1.0 / (i + 1);
        d->up_to[i] = so_far / all;
    }
    return true;
}

/* A ledger has eight entries for each address and domain, so that none is evicted and runs are
 * alike. */
static bool open_world(struct world *w, const struct tarpit_rules *rules, uint64_t seed)
{
    const struct sim_population *p = w->population;
    uint64_t known = 4096;
    uint32_t agents = agents_of(p);

    w->agent = calloc(agents, sizeof *w->agent);
    bool ok = heap_open(&w->heap, agents) && w->agent != NULL;
    for (int g = 0; g < SIM_GROUPS; g++) {
        known += 8 * ((uint64_t)p->group[g].addresses + p->group[g].domains);
        ok = ok && share_out(&w->domains[g], p->group[g].domains);
    }
    for (uint32_t i = 0; i < w->servers; i++) {
        w->tarpit[i].rules = *rules;
        ok = ok && retries_open(&w->tarpit[i].retries, NULL, RETRIES_SIZE) == 0;
        if (ok)
            retries_restart(w->tarpit[i].retries, seed);
        if (p->fleet && i > 0) {
            w->tarpit[i].ledger = w->tarpit[0].ledger;
            continue;
        }
        ok = ok && ledger_open(&w->tarpit[i].ledger, NULL, known * 64) == 0;
        if (ok)
            w->tarpit[i].ledger->file.key = (struct sipkey){seed, i}; /* the same each time */
    }
    return ok;
}

bool sim_run_and_tell(const struct sim_population *p, const struct tarpit_rules *rules,
                      uint64_t seed, bool observed, struct sim_fate *fate, struct sim_result *out)
{
    struct world w = {
        .population = p, .servers = p->servers > 0 ? p->servers : 1, .result = out, .fate = fate};
    struct heap_item next;
    uint32_t which = 0;

    *out = (struct sim_result){.attack_hours = p->hours};
    w.end = SIM_BEGIN + (uint64_t)(p->hours * SIM_HOUR);
    w.guesses_left = p->dictionary > 0 ? p->dictionary : UINT64_MAX;
    if (!open_world(&w, rules, seed) || (observed && shadows_open(&w.shadows, &w.tarpit[0]) < 0)) {
        close_world(&w);
        return false;
    }
    for (int g = 0; g < SIM_GROUPS; g++)
        for (uint32_t i = 0; i < p->group[g].agents; i++)
            make_agent(&w, &p->group[g], i, which++, seed);
    while (heap_next(&w.heap, &next) && next.at < w.end + AFTERWARDS_MS) {
        ask_pass(&w, next.at);
        uint64_t again = agent_step(&w, &w.agent[next.agent], next.at);
        if (again != 0)
            heap_add(&w.heap, again, next.agent);
    }
    ask_pass(&w, w.end + AFTERWARDS_MS);
    close_world(&w);
    return true;
}

bool sim_run(const struct sim_population *p, const struct tarpit_rules *rules, uint64_t seed,
             struct sim_result *out)
{
    return sim_run_and_tell(p, rules, seed, false, NULL, out);
}
