/* The clerk process: reads queries, asks directories and verifiers, and answers.
 *
 * Directories get many queries at once (directory.h); the clerk never waits for one of them.
 * Passwords are checked one at a time, except those that another server checks. The first clerk
 * also has threads that look up the addresses of backends that are configured by name. */
#include "clerk/clerk.h"
#include "clerk/confine.h"
#include "clerk/pairs.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/auth.h"
#include "backend/lookers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/scheduling.h"
#include "config/config.h"
#include "directory/cache.h"
#include "directory/directory.h"
#include "query/notes.h"
#include "query/query.h"

enum {
    LOOK_MS = 2000,
    AGAIN_MS = 20, /* after the kernel had no memory */
    FIRST_LOOK_UP_S = 2,
    EVENTS = 16, /* of a turn; the kernel reports the others first in the next one */
    /* Several queries of a queue are answered as long as they are quick, because polling costs as
     * much as an answer. The queues of a turn share this time. */
    TOGETHER_US = 1000
};

struct clerk {
    const struct clerk_params *params;
    struct directory *directory;
    struct auth *auth;
    struct pairs *pairs;
    uint64_t looked_ms; /* monotonic: when the verifiers were last checked */
    int nice;           /* the value at the start */
};

/* Raises or restores the priority. If many more workers are busy than there are cores, two clerks
 * would get the CPU time of two processes, although a query costs a worker a dozen times what it
 * costs a clerk, and queries would time out. So clerks go first, except while they check passwords:
 * that takes milliseconds of CPU, and anyone can cause it. If RLIMIT_NICE does not allow it,
 * nothing changes. */
static void go_first(const struct clerk *c, bool first)
{
    setpriority(PRIO_PROCESS, 0, c->nice - (first ? CLERK_PRECEDENCE : 0));
}

/* Tells the keeper that this worker has asked for a right password, so that it may book the login.
 * One login takes up to CLERK_BOOKINGS. */
static void allow_login(const struct clerk *c, uint16_t slot, uint16_t result)
{
    enum { CLERK_BOOKINGS = 4, MOST = 1000 };

    if (result == ANSWER_YES && c->params->logins && slot < c->params->pairs.slots &&
        atomic_load(&c->params->logins[slot]) < MOST)
        atomic_fetch_add(&c->params->logins[slot], CLERK_BOOKINGS);
}

static bool check_password(struct clerk *c, const struct auth_asker *asker, struct span user,
                           struct span password, const struct addr *client, struct answer *answer)
{
    go_first(c, false);
    bool now = auth_check(c->auth, asker, user, password, client, answer);
    go_first(c, true);
    return now;
}

static bool ask_directory(struct clerk *c, const struct query_packet *q, struct span address,
                          struct answer *a)
{
    struct directory_asker asker = {.id = q->head.id,
                                    .slot = q->head.slot,
                                    .rank = q->head.rank < RANKS ? (enum query_rank)q->head.rank
                                                                 : RANK_DEBT,
                                    .client = q->head.client};

    return directory_ask(c->directory, &asker, address, a);
}

/* The last slot is the web process's, and only people make clerks forget answers. */
static bool is_web(const struct clerk *c, const struct query_packet *q)
{
    return q->head.slot + 1U == c->params->pairs.slots;
}

/* False: the answer comes later. */
static bool answer_to(struct clerk *c, const struct query_packet *q, struct answer *a)
{
    struct span first = {q->text, q->head.first},
                second = {q->text + q->head.first, q->head.second};
    struct auth_asker asker = {q->head.id, q->head.slot};
    bool now = true;

    switch ((enum query_kind)q->head.kind) {
    case QUERY_RECIPIENT: now = ask_directory(c, q, first, a); break;
    case QUERY_PASSWORD: now = check_password(c, &asker, first, second, &q->head.client, a); break;
    case QUERY_SCRAM:
        if (q->head.login_id)
            now = auth_scram_go_on(c->auth, &asker, q->head.login_id, first, a);
        else
            now = auth_scram_begin(c->auth, &asker, first, second, &q->head.client, a);
        break;
    case QUERY_FORGET:
        a->result = is_web(c, q) && directory_forget(c->directory, first) ? ANSWER_YES : ANSWER_NO;
        break;
    case QUERY_KINDS: break;
    }
    return now;
}

static void answer_one(void *arg, struct query_packet *q)
{
    struct clerk *c = arg;
    struct answer a = {.id = q->head.id};
    bool now = answer_to(c, q, &a);

    /* it may have been a password */
    explicit_bzero(q->text, (size_t)q->head.first + q->head.second);
    if (now && (q->head.kind == QUERY_PASSWORD || q->head.kind == QUERY_SCRAM))
        allow_login(c, q->head.slot, a.result);
    if (now)
        pairs_answer(c->pairs, q->head.slot, &a);
}

/* A later answer of a directory. */
static void recipient_answered(void *arg, const struct directory_asker *asker,
                               const struct answer *answer)
{
    const struct clerk *c = arg;

    pairs_answer(c->pairs, asker->slot, answer);
}

/* A later answer of a verifier. */
static void answered(void *arg, const struct auth_asker *asker, const struct answer *answer)
{
    const struct clerk *c = arg;

    allow_login(c, asker->slot, answer->result);
    pairs_answer(c->pairs, asker->slot, answer);
}

/* Whether the master wants us to end. */
static bool told_to_stop(int control)
{
    struct note n;
    int r;

    while ((r = channel_read_text(control, &n)) == 1 || r == -EBADMSG)
        if (r == 1 && n.kind == NOTE_STOP)
            return true;
    return channel_is_over(r);
}

/* Updates the mechanisms that clients are offered: a file may have other lines, or Dovecot may be
 * up again. */
static void look(struct clerk *c)
{
    uint64_t now = clock_mono_ms();

    if (c->looked_ms && now < c->looked_ms + LOOK_MS)
        return;
    c->looked_ms = now;
    uint32_t offers = auth_offers(c->auth);
    if (offers != atomic_load(c->params->auth))
        atomic_store(c->params->auth, offers);
}

static int earlier(int ms, int other)
{
    return other >= 0 && other < ms ? other : ms;
}

/* How long to wait for a query. */
static int wait_ms(struct clerk *c)
{
    int directory = directory_look_after(c->directory);
    bool hashes = auth_has_checks(c->auth);

    if (hashes)
        go_first(c, false);
    int verifiers = auth_look_after(c->auth);
    if (hashes)
        go_first(c, true);

    look(c);
    if (!pairs_look_after(c->pairs))
        verifiers = earlier(AGAIN_MS, verifiers);
    return earlier(earlier(LOOK_MS, directory), verifiers);
}

/* ---- serving ---- */

/* What else a clerk waits for, behind enum pairs_what. */
enum source { CONTROL = PAIRS_WHATS, DIRECTORIES, VERIFIER };

/* Adds a descriptor to wait for; -1 is ignored, and a descriptor that is already watched stays. */
static bool watch(int set, int fd, enum source source)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = source};

    return fd < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) == 0 || errno == EEXIST;
}

/* False if the clerk is to end. */
static bool handle(struct clerk *c, const struct epoll_event *event, uint64_t us)
{
    switch (event->data.u64) {
    case CONTROL: return !told_to_stop(c->params->control);
    case DIRECTORIES: directory_read(c->directory); return true;
    case VERIFIER: auth_read(c->auth); return true;
    default: pairs_ready(c->pairs, event, us, answer_one, c); return true;
    }
}

static void serve(struct clerk *c, int set)
{
    struct epoll_event event[EVENTS];

    while (pairs_are_left(c->pairs)) {
        int wait = wait_ms(c);
        if (!watch(set, auth_fd(c->auth), VERIFIER)) /* no memory now */
            wait = earlier(AGAIN_MS, wait);
        int n = epoll_wait(set, event, EVENTS, wait);
        if (n < 0 && errno != EINTR)
            return;
        for (int i = 0; i < n; i++)
            if (!handle(c, &event[i], TOGETHER_US / (uint64_t)n))
                return;
    }
}

/* Opens what the clerk needs, and *set. 0 or -errno. */
static int open_all(struct clerk *c, const struct auth_params *auth,
                    const struct directory_params *directory, int *set)
{
    /* before the first thread, and before it reads the copies of lists: an earlier clerk, which may have
     * been taken over, has written them */
    clerk_confine(c->params->config);
    c->auth = auth_open(auth);
    if (!c->auth)
        return -errno;
    c->directory = directory_open(directory);
    if (!c->directory)
        return errno ? -errno : -EINVAL;
    *set = epoll_create1(EPOLL_CLOEXEC);
    if (*set < 0 || !watch(*set, c->params->control, CONTROL) ||
        !watch(*set, directory_fd(c->directory), DIRECTORIES))
        return -errno;
    c->pairs = pairs_open(&c->params->pairs, *set);
    if (!c->pairs)
        return -errno;
    if (c->params->index > 0 || !c->params->addresses)
        return 0;
    return lookers_start(c->params->addresses, c->params->config, FIRST_LOOK_UP_S);
}

int clerk_run(const struct clerk_params *params)
{
    struct auth_params auth = {.config = params->config,
                               .addresses = params->addresses,
                               .sharing = params->cache ? cache_sharing(params->cache) : NULL,
                               .slots = params->pairs.slots,
                               .clerk = params->index,
                               .decoys = params->decoys,
                               .shapes = params->shapes,
                               .accepted = params->accepted};
    struct clerk c = {.params = params, .nice = getpriority(PRIO_PROCESS, 0)};
    struct directory_params directory = {.config = params->config,
                                         .cache = params->cache,
                                         .addresses = params->addresses,
                                         .slots = params->pairs.slots,
                                         .confirmed = params->confirmed,
                                         .reloaded = params->reloaded,
                                         .answered = recipient_answered,
                                         .arg = &c};
    int set = -1, error = open_all(&c, &auth, &directory, &set);

    if (error) {
        log_error("a clerk cannot start: %s", strerrordesc_np(-error));
    } else {
        auth_tell(c.auth, answered, &c);
        auth_settle(c.auth);
        look(&c);
        sched_normal();
        go_first(&c, true);
        error = note_ready(params->control, sandbox_compiled());
        if (!error)
            serve(&c, set);
    }
    if (set >= 0)
        close(set);
    directory_close(c.directory);
    auth_close(c.auth);
    pairs_close(c.pairs);
    return error ? 1 : 0;
}
