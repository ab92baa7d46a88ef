/* What the processes of a generation share; see generation_share.h. */
#include "master/generation_share.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/config.h"
#include "master/master.h"
#include "query/query.h"
#include "smtp/session.h"
#include "tarpit/ledger_proposals.h"

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

/* Enlarges the queues for workers' queries, so that even in a flood of connections they are
 * answered in order of arrival; workers that must wait for room would be served in random order.
 * Without the privilege the machine's own limit (net.core.wmem_max) stays. */
static void make_room(int fd)
{
    /* some 10,000 queries by the kernel's accounting, which doubles their size */
    int octets = 4 << 20;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &octets, sizeof octets) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &octets, sizeof octets);
}

static int open_pairs(struct generation *g)
{
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

    g->ask = new_pairs(QUERY_QUEUES, type);
    if (!g->ask)
        return -errno;
    for (int i = 0; i < QUERY_QUEUES; i++)
        make_room(g->ask[i][1]);
    g->answer = new_pairs(g->slots, type);
    if (!g->answer)
        return -errno;
    g->own = new_pairs(g->clerks, type);
    return g->own ? 0 : -errno;
}

/* ---- memory ---- */

/* Until the clerks have checked, each verifier counts as able to do all mechanisms of its kind. */
static int share_auth(struct generation *g)
{
    void *at =
        mmap(NULL, sizeof *g->auth, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return -errno;
    g->auth = at;
    atomic_init(g->auth, g->config->auth_count ? SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN : 0);
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
    g->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return g->bell < 0 ? -errno : 0;
}

static void unshare_proposals(struct generation *g)
{
    for (uint32_t i = 0; g->proposals && i < g->slots - 1; i++)
        if (g->proposals[i])
            munmap(g->proposals[i], proposals_size());
    free(g->proposals);
    if (g->logins)
        munmap(g->logins, g->slots * sizeof *g->logins);
    if (g->bell >= 0)
        close(g->bell);
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
    free_pairs(g->ask, QUERY_QUEUES);
    free_pairs(g->answer, g->slots);
    free_pairs(g->own, g->clerks);
    if (g->auth)
        munmap(g->auth, sizeof *g->auth);
    unshare_proposals(g);
}
