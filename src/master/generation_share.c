/* What the processes of a generation share; see generation_share.h. */
#include "master/generation_share.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/shared.h"
#include "config/config.h"
#include "master/master.h"
#include "query/query.h"
#include "smtp/session.h"
#include "tarpit/ledger_proposals.h"

enum { OWNS_MOST = 4096 }; /* pairs for second messages of SCRAM logins */

/* ---- the pairs between workers and clerks ---- */

static void close_pair(int fd[2])
{
    for (int i = 0; i < 2; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

static void free_pairs(int (*pair)[2], uint32_t n)
{
    for (uint32_t i = 0; pair && i < n; i++)
        close_pair(pair[i]);
    free(pair);
}

/* Makes n pairs; NULL, and errno, if that fails. */
static int (*new_pairs(uint32_t n, int type))[2]
{
    int(*pair)[2] = calloc(n, sizeof *pair);

    for (uint32_t i = 0; pair && i < n; i++)
        if (socketpair(AF_UNIX, type, 0, pair[i]) < 0) {
            int error = errno;
            free_pairs(pair, i);
            errno = error;
            return NULL;
        }
    return pair;
}

/* Enlarges a queue for a worker's queries, so that in a flood of connections it need not wait for
 * room again and again. All queues together have the room of some 10,000 queries by the kernel's
 * accounting, which doubles their size, but each of at least 600. Without the privilege the
 * machine's own limit (net.core.wmem_max) stays. */
static void make_room(int fd, uint32_t workers)
{
    enum { ALL = 4 << 20, LEAST = 256 << 10 };
    int octets = ALL / workers > LEAST ? (int)(ALL / workers) : LEAST;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &octets, sizeof octets) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
}

static int open_pairs(struct generation *g)
{
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

    g->ask = new_pairs(g->slots * QUERY_QUEUES, type);
    if (!g->ask)
        return -errno;
    for (uint32_t i = 0; i < g->slots * QUERY_QUEUES; i++)
        make_room(g->ask[i][1], g->slots - 1);
    g->answer = new_pairs(g->slots, type);
    if (!g->answer)
        return -errno;
    g->owns = g->slots * g->clerks <= OWNS_MOST ? g->slots : (OWNS_MOST - 1) / g->clerks + 1;
    g->own = new_pairs(g->clerks * g->owns, type);
    return g->own ? 0 : -errno;
}

int *generation_ask(const struct generation *g, uint32_t slot, enum query_queue queue)
{
    return g->ask[slot * QUERY_QUEUES + queue];
}

int *generation_own(const struct generation *g, uint32_t slot, uint32_t clerk)
{
    return g->own[clerk * g->owns + slot % g->owns];
}

bool generation_is_shut(const struct generation *g)
{
    for (uint32_t i = 0; i < g->slots * QUERY_QUEUES; i++)
        if (channel_is_shut(g->ask[i]))
            return true;
    for (uint32_t i = 0; i < g->slots; i++)
        if (channel_is_shut(g->answer[i]))
            return true;
    for (uint32_t i = 0; i < g->clerks * g->owns; i++)
        if (channel_is_shut(g->own[i]))
            return true;
    return false;
}

/* ---- memory ---- */

/* Behind what the verifiers can do: for each verifier, how many logins its file had. */
static size_t size_of_auth(const struct generation *g)
{
    return (1 + g->config->auth_count) * sizeof *g->auth;
}

/* Until the clerks have checked, each verifier counts as able to do all mechanisms of its kind. */
static int share_auth(struct generation *g)
{
    g->auth = shared_map("mired auth", size_of_auth(g), &g->auth_fd);
    if (!g->auth)
        return -errno;
    atomic_init(g->auth, g->config->auth_count ? SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN : 0);
    return 0;
}

void generation_forget_offers(struct generation *g)
{
    if (g->auth)
        munmap(g->auth, size_of_auth(g));
    g->auth = NULL;
}

int generation_offers_read_only(const struct generation *g)
{
    int fd = shared_read_only(g->auth, size_of_auth(g), g->auth_fd, 0);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

uint32_t generation_logins(const struct generation *g, const char *path)
{
    for (size_t i = 0; g->config && g->auth && i < g->config->auth_count; i++)
        if (g->config->auth[i].kind == AUTH_FILE && strcmp(g->config->auth[i].path, path) == 0)
            return atomic_load(&g->auth[1 + i]);
    return 0;
}

/* One for each worker: who shares one could read away the others' rings. */
static int share_bells(struct generation *g)
{
    uint32_t workers = g->slots - 1;

    g->bell = calloc(workers, sizeof *g->bell);
    if (!g->bell)
        return -ENOMEM;
    for (uint32_t i = 0; i < workers; i++)
        g->bell[i] = -1;
    for (uint32_t i = 0; i < workers; i++) {
        g->bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (g->bell[i] < 0)
            return -errno;
    }
    return 0;
}

/* What workers, clerks and the keeper share. */
static int share_proposals(struct generation *g)
{
    uint32_t workers = g->slots - 1;
    void *logins = mmap(NULL, g->slots * sizeof *g->logins, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (logins == MAP_FAILED)
        return -errno;
    g->logins = logins;
    g->proposals = calloc(workers, sizeof *g->proposals);
    for (uint32_t i = 0; i < workers; i++) {
        void *at = g->proposals ? mmap(NULL, proposals_size(), PROT_READ | PROT_WRITE,
                                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)
                                : MAP_FAILED;
        if (at == MAP_FAILED)
            return g->proposals ? -errno : -ENOMEM;
        g->proposals[i] = at;
    }
    return share_bells(g);
}

static void unshare_proposals(struct generation *g)
{
    for (uint32_t i = 0; g->proposals && i < g->slots - 1; i++)
        if (g->proposals[i])
            munmap(g->proposals[i], proposals_size());
    free(g->proposals);
    if (g->logins)
        munmap(g->logins, g->slots * sizeof *g->logins);
    for (uint32_t i = 0; g->bell && i < g->slots - 1; i++)
        if (g->bell[i] >= 0)
            close(g->bell[i]);
    free(g->bell);
}

/* ---- all of it ---- */

int generation_share(struct generation *g)
{
    int error = open_pairs(g);

    if (!error)
        error = share_auth(g);
    if (!error)
        error = share_proposals(g);
    return error;
}

void generation_unshare(struct generation *g)
{
    free_pairs(g->ask, g->slots * QUERY_QUEUES);
    free_pairs(g->answer, g->slots);
    free_pairs(g->own, g->clerks * g->owns);
    if (g->auth) {
        close(g->auth_fd);
        munmap(g->auth, size_of_auth(g));
    }
    unshare_proposals(g);
}
