/* What a child gives up between fork() and its role's body; see role_rights.h. */
#include "master/role_rights.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "backend/addresses.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/shared.h"
#include "base/sharing.h"
#include "clerk/clerk.h"
#include "config/config.h"
#include "directory/cache.h"
#include "fleet/orderbook.h"
#include "master/generation_share.h"
#include "master/master.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_proposals.h"
#include "tarpit/observed.h"
#include "tarpit/retries.h"
#include "tarpit/tried.h"
#include "tarpit/tries.h"
#include "tls/server.h"

enum { ORPHAN_S = 3 }; /* how long an orphan has to send 421 to its clients */

static int by_number(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Closes all descriptors above standard error except those in `keep`, which it sorts. */
static void close_others(int *keep, size_t n)
{
    unsigned from = STDERR_FILENO + 1;

    qsort(keep, n, sizeof *keep, by_number);
    for (size_t i = 0; i < n; i++) {
        if (keep[i] < (int)from)
            continue;
        if ((unsigned)keep[i] > from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    close_range(from, ~0U, 0);
}

/* When the master dies, a child sees the end of its channel; this ends a child that is stuck. */
static void orphaned(int signal_number)
{
    signal(SIGALRM, SIG_DFL);
    alarm(ORPHAN_S);
}

static int follow_master(pid_t master)
{
    struct sigaction action = {.sa_handler = orphaned, .sa_flags = SA_RESTART};

    sigaction(SIGUSR1, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0);
    return getppid() == master ? 0 : -ESRCH; /* the master died before the prctl() call */
}

/* Only workers keep keys, and each only those of its own generation. */
static void forget_keys(struct master *m, const struct child *c)
{
    for (struct generation *g = m->generations; g; g = g->next) {
        if (c->role == ROLE_WORKER && g == c->generation)
            continue;
        tls_server_close(g->tls);
        g->tls = NULL;
    }
}

/* Only clerks keep the directories' answers mapped, so that a compromised process of another role
 * cannot change them. */
static void forget_answers(struct master *m, const struct child *c)
{
    if (c->role == ROLE_CLERK)
        return;
    cache_close(m->runtime.answers);
    m->runtime.answers = NULL;
}

/* Who keeps what of the shared memory; the rest is closed, so that a process that was taken over
 * cannot change it. Workers keep the ledger and the memory of mixed answers, to read them
 * (below), `observed` and `tried`, where they write what people will see, and `retries`, which
 * decides nothing but which of two queries gets a turn. What they say in `tries` decides which
 * passwords are checked at once, and a worker that was taken over has any password checked at
 * once anyway. Web reads that. */
static void forget_memory(struct master *m, const struct child *c)
{
    enum {
        WORKER = 1 << ROLE_WORKER,
        KEEPER = 1 << ROLE_KEEPER,
        WEB = 1 << ROLE_WEB,
        FLEET = 1 << ROLE_FLEET
    };
    const unsigned role = 1U << c->role;
    struct runtime *h = &m->runtime;

    if (!(role & (WORKER | KEEPER | FLEET))) {
        partial_close(h->partial);
        h->partial = NULL;
    }
    if (!(role & (WORKER | KEEPER | WEB | FLEET))) {
        ledger_close(h->ledger);
        h->ledger = NULL;
    }
    if (!(role & (WORKER | WEB))) {
        observed_close(h->observed);
        tried_close(h->tried);
        h->observed = NULL;
        h->tried = NULL;
    }
    if (!(role & WORKER)) {
        retries_close(h->retries);
        h->retries = NULL;
        sharing_close(h->sharing);
        h->sharing = NULL;
    }
    if (role & WEB)
        mprotect(h->tries, tries_size(), PROT_READ);
    else if (!(role & WORKER))
        munmap(h->tries, tries_size());
    if (c->role != ROLE_FLEET) {
        orderbook_close(h->orderbook);
        h->orderbook = NULL;
    }
    if (c->role != ROLE_CLERK)
        mapfile_close(&h->decoys);
}

/* A worker has its own proposals only, the keeper all, and web all to read. No other process has
 * any. */
static void forget_proposals(struct master *m, const struct child *c)
{
    for (struct generation *g = m->generations; g; g = g->next) {
        bool own = g == c->generation;
        for (uint32_t i = 0; g->proposals && i < g->slots - 1; i++)
            if (own && c->role == ROLE_WEB) {
                mprotect(g->proposals[i], proposals_size(), PROT_READ);
            } else if (!own ||
                       (c->role != ROLE_KEEPER && (c->role != ROLE_WORKER || i != c->index))) {
                munmap(g->proposals[i], proposals_size());
                g->proposals[i] = NULL;
            }
        if (g->logins && (!own || (c->role != ROLE_KEEPER && c->role != ROLE_CLERK))) {
            munmap(g->logins, g->slots * sizeof *g->logins);
            g->logins = NULL;
        }
    }
    if (c->role != ROLE_WORKER && c->role != ROLE_KEEPER)
        munmap(m->runtime.turns, turns_size());
}

/* Clerks write what their verifiers can do, and the workers of the same generation read it. */
static void forget_offers(struct master *m, const struct child *c)
{
    for (struct generation *g = m->generations; g; g = g->next)
        if (g != c->generation || (c->role != ROLE_CLERK && c->role != ROLE_WORKER))
            generation_forget_offers(g);
}

/* A worker can read these, and not write them. */
static void only_read(struct master *m, const struct child *c)
{
    struct runtime *h = &m->runtime;
    int error = ledger_read_only(h->ledger), fd = -1;

    if (!error)
        error = partial_read_only(h->partial);
    if (!error)
        error = addresses_read_only(c->generation->addresses);
    if (!error)
        error = generation_offers_read_only(c->generation);
    if (!error && h->others)
        fd = shared_read_only(h->others, h->others_size, h->others_fd, 0);
    if (fd >= 0)
        close(fd);
    else if (h->others && !error)
        error = fd;
    if (error)
        log_warn("the ledger cannot be protected from this process: %s", strerrordesc_np(-error));
}

/* Only the fleet process talks to Redis. */
static void forget_fleet(struct master *m, const struct child *c)
{
    for (struct generation *g = m->generations; g; g = g->next)
        if (g->config && (c->role != ROLE_FLEET || g != c->generation))
            config_forget_fleet(g->config);
}

/* Only clerks may raise their priority (clerk_run() has the reason). If the master cannot grant
 * that, the administrator's limit stays. */
static void limit_precedence(const struct child *c)
{
    rlim_t most = c->role == ROLE_CLERK ? CLERK_PRECEDENCE + 20 : 0;

    setrlimit(RLIMIT_NICE, &(struct rlimit){most, most});
}

static const struct identity *identity_of(const struct child *c)
{
    static const enum users_kind kinds[ROLE_COUNT] = {
        [ROLE_WORKER] = USERS_WORKER, [ROLE_CLERK] = USERS_CLERK, [ROLE_STORE] = USERS_STORE,
        [ROLE_FREEZER] = USERS_OTHER, [ROLE_WEB] = USERS_OTHER,   [ROLE_FLEET] = USERS_OTHER,
        [ROLE_KEEPER] = USERS_KEEPER};

    return &c->generation->users.of[kinds[c->role]];
}

int role_give_up(struct master *m, const struct child *c, const int *keep, size_t n, uint64_t needs)
{
    int *all = calloc(n + MAPFILE_GUARDED_MAX, sizeof *all);

    if (!all)
        return -ENOMEM;
    forget_answers(m, c);
    forget_memory(m, c);
    forget_proposals(m, c);
    forget_offers(m, c);
    if (c->role == ROLE_WORKER)
        only_read(m, c);
    memcpy(all, keep, n * sizeof *all);
    close_others(all, n + mapfile_descriptors(all + n));
    free(all);
    forget_keys(m, c);
    forget_fleet(m, c);
    limit_precedence(c);
    int error = privileges_drop(identity_of(c), needs);
    if (!error && (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
                   setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0))
        error = -errno;
    if (!error) /* after the change of identity, which would undo it */
        error = follow_master(m->pid);
    if (error)
        log_error("cannot give up privileges: %s", strerrordesc_np(-error));
    return error;
}
