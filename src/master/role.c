/* What each child does: the table of roles, and the code that gives each child exactly what it
 * needs. Except for the counts, it runs in the child, between fork() and the role's own body.
 *
 * A body here gathers the params, names the descriptors that it keeps, gives up everything else
 * (role_rights.h) and then runs. To add a role: a row in the table, and a body. */
#include <linux/capability.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "clerk/clerk.h"
#include "config/config.h"
#include "control/steering.h"
#include "fleet/fleet.h"
#include "freezer/freezer.h"
#include "keeper/keeper.h"
#include "master/generation_share.h"
#include "master/master.h"
#include "master/role_rights.h"
#include "master/slots.h"
#include "store/store.h"
#include "web/web.h"
#include "worker/worker.h"

/* A process that confines itself changes its root directory before it serves, and then gives this
 * capability up, too. */
static uint64_t to_change_root(const struct child *c)
{
    return c->generation->config->sandbox && sandbox_is_built() ? (uint64_t)1 << CAP_SYS_CHROOT : 0;
}

/* ---- worker ---- */

static uint32_t count_workers(const struct config *config)
{
    return config->workers;
}

static uint32_t count_freezers(const struct config *config)
{
    return freezer_is_wanted(config);
}

/* The sockets of this worker's slots, for each address of its configuration. */
static uint32_t gather_listeners(const struct master *m, const struct child *c,
                                 struct worker_listener *listener)
{
    const struct config *config = c->generation->config;
    uint32_t n = 0;

    for (size_t i = 0; i < config->listen_count; i++)
        for (size_t k = 0; k < m->listeners.count; k++) {
            const struct listener *l = &m->listeners.at[k];
            if (listener_is(l, &config->listen[i].addr) &&
                slot_is_served_by(l->slot, c->index, config->workers))
                listener[n++] =
                    (struct worker_listener){.fd = l->fd, .slot = l->slot, .index = (uint16_t)i};
        }
    return n;
}

/* By a reload of which the administrator says that files are right as they are. Other reloads come
 * from timers and hooks, while an export may just have failed. */
static bool is_confirmed(const struct generation *g)
{
    return g->state == GENERATION_COMING && g->asker.accepts_shorter;
}

/* New accounts may be the reason for it. */
static bool is_reload(const struct master *m, const struct generation *g)
{
    return g->state == GENERATION_COMING && m->current && m->current->config;
}

static int run_worker(struct master *m, const struct child *c)
{
    const struct generation *g = c->generation;
    size_t most = m->listeners.count, n = 0;
    struct worker_listener *listener = calloc(most + 1, sizeof *listener);
    int *keep = calloc(most + 4 + QUERY_QUEUES + g->clerks, sizeof *keep);
    int *own = calloc(g->clerks, sizeof *own);

    if (!listener || !keep || !own)
        return 1;
    struct worker_params params = {
        .config = g->config,
        .confirmed = is_confirmed(g),
        .slot = c->index,
        .slots = g->config->workers,
        .listener = listener,
        .listeners = gather_listeners(m, c, listener),
        .control = c->channel.fd,
        .ask = {generation_ask(g, c->index, QUERY_FIRST)[1],
                generation_ask(g, c->index, QUERY_STRANGERS)[1]},
        .answer = g->answer[c->index][0],
        .own = own,
        .clerks = g->clerks,
        .auth = g->auth,
        /* also if it freezes nothing: what an earlier worker has frozen comes back */
        .freezer = m->runtime.handoff[c->index][0],
        .freezer_shared = &m->runtime.shared->freezer,
        .ledger = m->runtime.ledger,
        .observed = m->runtime.observed,
        .retries = m->runtime.retries,
        .tries = m->runtime.tries,
        .tried = m->runtime.tried,
        .tls = g->tls,
        .partial = m->runtime.partial,
        .proposals = g->proposals[c->index],
        .turns = m->runtime.turns,
        .generation = g->id,
        .bell = g->bell[c->index],
        .addresses = g->addresses,
        .counts = m->runtime.counts,
        .sharing = m->runtime.sharing,
        .spool_used = &m->runtime.shared->spool_used};
    for (; n < params.listeners; n++)
        keep[n] = listener[n].fd;
    keep[n++] = params.control;
    for (int i = 0; i < QUERY_QUEUES; i++)
        keep[n++] = params.ask[i];
    keep[n++] = params.answer;
    keep[n++] = params.bell;
    keep[n++] = params.freezer;
    for (uint32_t i = 0; i < g->clerks; i++)
        keep[n++] = own[i] = generation_own(g, c->index, i)[1];
    if (role_give_up(m, c, keep, n, to_change_root(c)) < 0)
        return 1;
    free(keep);
    return worker_run(&params);
}

/* ---- freezer ---- */

/* A pair that was shut is replaced at a reload, and only a new freezer gets the new one. */
static bool keeps_freezer(const struct master *m, const struct config *before,
                          const struct config *now)
{
    return count_freezers(before) && count_freezers(now) && before->workers == now->workers &&
           !runtime_handoff_is_shut(&m->runtime) && freezer_is_same(before, now);
}

static int run_freezer(struct master *m, const struct child *c)
{
    const uint64_t needs = (uint64_t)1 << CAP_NET_ADMIN | (uint64_t)1 << CAP_NET_BIND_SERVICE;
    unsigned owner = geteuid(); /* the master's */
    uint32_t slots = m->runtime.handoffs;
    int *slot = calloc(slots, sizeof *slot);
    int *keep = calloc(slots + 1, sizeof *keep);

    if (!slot || !keep)
        return 1;
    for (uint32_t i = 0; i < slots; i++)
        keep[i] = slot[i] = m->runtime.handoff[i][1];
    keep[slots] = c->channel.fd;
    if (role_give_up(m, c, keep, slots + 1, needs) < 0)
        return 1;
    free(keep);
    return freezer_run(&(struct freezer_params){.config = c->generation->config,
                                                .control = c->channel.fd,
                                                .slot = slot,
                                                .slots = slots,
                                                .owner = owner,
                                                .shared = &m->runtime.shared->freezer});
}

/* ---- clerk ---- */

static uint32_t count_clerks(const struct config *config)
{
    return config->clerks;
}

/* The clerk's ends of its pairs, of which `keep` gets a copy. False without memory. */
static bool gather_pairs(const struct child *c, struct pairs_params *pairs, int *keep, size_t *n)
{
    const struct generation *g = c->generation;
    bool for_strangers = c->index > 0 || g->clerks == 1;
    int(*ask)[QUERY_QUEUES] = calloc(g->slots, sizeof *ask);
    int *answer = calloc(g->slots, sizeof *answer), *own = calloc(g->owns, sizeof *own);

    if (!ask || !answer || !own)
        return false;
    for (uint32_t i = 0; i < g->slots; i++) {
        keep[(*n)++] = answer[i] = g->answer[i][1];
        keep[(*n)++] = ask[i][QUERY_FIRST] = generation_ask(g, i, QUERY_FIRST)[0];
        ask[i][QUERY_STRANGERS] = for_strangers ? generation_ask(g, i, QUERY_STRANGERS)[0] : -1;
        if (for_strangers)
            keep[(*n)++] = ask[i][QUERY_STRANGERS];
    }
    for (uint32_t i = 0; i < g->owns; i++)
        keep[(*n)++] = own[i] = generation_own(g, i, c->index)[0];
    *pairs = (struct pairs_params){
        .ask = ask, .answer = answer, .slots = g->slots, .own = own, .owns = g->owns};
    return true;
}

static int run_clerk(struct master *m, const struct child *c)
{
    const struct generation *g = c->generation;
    int *keep = calloc((size_t)g->slots * (1 + QUERY_QUEUES) + g->owns + 1, sizeof *keep);
    struct pairs_params pairs;
    size_t n = 0;

    if (!keep || !gather_pairs(c, &pairs, keep, &n))
        return 1;
    keep[n++] = c->channel.fd;
    if (role_give_up(m, c, keep, n, 0) < 0)
        return 1;
    free(keep);
    return clerk_run(&(struct clerk_params){.config = g->config,
                                            .cache = m->runtime.answers,
                                            .addresses = g->addresses,
                                            .index = c->index,
                                            .confirmed = is_confirmed(g),
                                            .reloaded = is_reload(m, g),
                                            .control = c->channel.fd,
                                            .pairs = pairs,
                                            .decoys = m->runtime.decoys.key,
                                            .shapes = m->runtime.decoys.body,
                                            .auth = g->auth,
                                            .accepted = g->auth + 1,
                                            .logins = g->logins});
}

/* ---- store ---- */

static uint32_t count_stores(const struct config *config)
{
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].kind == BACKEND_STORE)
            return 1;
    return 0;
}

static bool keeps_store(const struct master *m, const struct config *before,
                        const struct config *now)
{
    return count_stores(before) && count_stores(now) && store_is_same(before, now);
}

static int run_store(struct master *m, const struct child *c)
{
    int keep[] = {c->channel.fd, m->runtime.store_listen, m->runtime.store_pair[1]};

    if (role_give_up(m, c, keep, 3, to_change_root(c)) < 0)
        return 1;
    return store_run(&(struct store_params){.config = c->generation->config,
                                            .control = c->channel.fd,
                                            .listen = m->runtime.store_listen,
                                            .workers = m->runtime.store_pair[1]});
}

/* ---- web ---- */

static uint32_t count_webs(const struct config *config)
{
    return 1;
}

static int run_web(struct master *m, const struct child *c)
{
    const struct generation *g = c->generation;
    uint32_t slot = g->slots - 1;
    struct steering_user users[USERS_KINDS];
    for (int i = 0; i < USERS_KINDS; i++)
        users[i] = (struct steering_user){users_title((enum users_kind)i), g->users.of[i].name};
    int ask = generation_ask(g, slot, QUERY_FIRST)[1];
    int keep[] = {c->channel.fd, m->runtime.control_listen, ask, g->answer[slot][0]};

    if (role_give_up(m, c, keep, 4, 0) < 0)
        return 1;
    return web_run(&(struct steering_params){.config = g->config,
                                             .control = c->channel.fd,
                                             .control_listen = m->runtime.control_listen,
                                             .ask = ask,
                                             .answer = g->answer[slot][0],
                                             .answer_slot = (uint16_t)slot,
                                             .generation = g->id,
                                             .metrics = &m->runtime.metrics,
                                             .counts = m->runtime.counts,
                                             .ledger = m->runtime.ledger,
                                             .proposals = g->proposals,
                                             .workers = g->config->workers,
                                             .observed = m->runtime.observed,
                                             .tried = m->runtime.tried,
                                             .tries = m->runtime.tries,
                                             .log = m->runtime.log,
                                             .users = users,
                                             .user_count = USERS_KINDS,
                                             .started_ms = m->runtime.started_ms,
                                             .confirmed = is_confirmed(g)});
}

/* ---- fleet ---- */

static uint32_t count_fleets(const struct config *config)
{
    return config->fleet.redis.count > 0;
}

static int run_fleet(struct master *m, const struct child *c)
{
    if (!m->runtime.others || role_give_up(m, c, &c->channel.fd, 1, 0) < 0)
        return 1;
    return fleet_run(&(struct fleet_params){.config = c->generation->config,
                                            .control = c->channel.fd,
                                            .generation = c->generation->id,
                                            .mired = m->runtime.id,
                                            .ledger = m->runtime.ledger,
                                            .others = m->runtime.others,
                                            .metrics = &m->runtime.metrics,
                                            .orderbook = m->runtime.orderbook,
                                            .partial = m->runtime.partial});
}

/* ---- keeper ---- */

static uint32_t count_keepers(const struct config *config)
{
    return 1;
}

static int run_keeper(struct master *m, const struct child *c)
{
    const struct generation *g = c->generation;
    uint32_t workers = g->config->workers;
    int *keep = calloc(workers + 2, sizeof *keep);

    if (!keep)
        return 1;
    for (uint32_t i = 0; i < workers; i++)
        keep[i] = g->bell[i];
    keep[workers] = c->channel.fd;
    keep[workers + 1] = m->runtime.empty;
    if (role_give_up(m, c, keep, workers + 2, to_change_root(c)) < 0)
        return 1;
    free(keep);
    return keeper_run(&(struct keeper_params){.config = g->config,
                                              .control = c->channel.fd,
                                              .bell = g->bell,
                                              .empty = m->runtime.empty,
                                              .ledger = m->runtime.ledger,
                                              .partial = m->runtime.partial,
                                              .proposals = g->proposals,
                                              .turns = m->runtime.turns,
                                              .logins = g->logins,
                                              .workers = workers,
                                              .generation = g->id,
                                              .started_ms = m->runtime.started_ms});
}

const struct role role_table[ROLE_COUNT] = {
    [ROLE_WORKER] = {"worker", count_workers, run_worker, RETIRE_DRAIN, NULL},
    [ROLE_CLERK] = {"clerk", count_clerks, run_clerk, RETIRE_LAST, NULL},
    [ROLE_STORE] = {"store", count_stores, run_store, RETIRE_REPLACED, keeps_store},
    [ROLE_FREEZER] = {"freezer", count_freezers, run_freezer, RETIRE_STOP, keeps_freezer},
    [ROLE_WEB] = {"web", count_webs, run_web, RETIRE_STOP, NULL},
    [ROLE_KEEPER] = {"keeper", count_keepers, run_keeper, RETIRE_LAST, NULL},
    [ROLE_FLEET] = {"fleet", count_fleets, run_fleet, RETIRE_STOP, NULL},
};
