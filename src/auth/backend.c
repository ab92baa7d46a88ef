/* The backends of a login name's domain as the verifier: mired passes AUTH PLAIN on to them.
 *
 * A backend may take seconds to refuse a password, or hang. So threads ask it (directory/askers.h),
 * and the clerk's own thread goes on with other logins and with directories. A thread uses each
 * connection once, because after a right password it belongs to that user. Checks that find no free
 * thread wait, until the worker has stopped waiting for them. Worker slots share the threads and the
 * places (query/fair.h), and in each slot the lists of backends that domains have take turns. A
 * thread stays free for each list that uses none, up to half of all: so a backend that hangs takes
 * no login of another company's.
 *
 * A backend may accept fewer connections than all threads of all clerks open. A thread that is
 * refused while the backend answers others tries again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/remote.h"
#include "backend/client.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/sharing.h"
#include "config/config.h"
#include "directory/askers.h"
#include "query/fair.h"
#include "query/query.h"
#include "smtp/verdict.h"

enum {
    THREADS = 16,
    WAITING_MAX = 256,
    /* A backend that has answered so lately is not down: a wrong password takes long. */
    SERVES_MS = 5000,
    PAUSE_MS = 100, /* between two tries to get a connection to it */
};

/* One check of a password. */
struct check {
    struct task task; /* first */
    struct auth_query query;
    struct fair_item item;
    uint32_t list; /* of the backends that may answer: see struct route */
    bool tried;    /* all of these have been asked once */
    enum answer_result result;
    struct check *next; /* in `lost` */
    char text[];        /* of the query */
};

struct backend_auth {
    const struct config *config;
    const struct addresses *addresses;
    struct sharing *sharing; /* when backends answered, with the other clerks; NULL: not known */
    struct askers *askers;
    backend_answered *answered;
    void *arg;
    struct fair *fair;
    _Atomic unsigned *turn; /* of each backend: the index of the address that is tried */
    uint32_t *running;      /* checks that threads run, by list */
    uint32_t idle;          /* lists that can be asked, and run none */
    struct check *lost;     /* they have lost their places, or waited too long */
};

/* ---- in a thread ---- */

static enum answer_result ask(struct backend_client *t, struct span line)
{
    enum answer_result result = ANSWER_LATER;
    struct reply r;

    if (backend_client_say(t, line) == 0 && backend_client_reply(t, &r) == 0) {
        bool us = reply_about(STAGE_LOGIN, SPEAKER_RELAY, &r) == REPLY_ABOUT_US;
        if (us)
            backend_client_log(t, STAGE_LOGIN, &r);
        result = us ? ANSWER_LATER : r.code == 235 ? ANSWER_YES : ANSWER_NO;
    }
    backend_client_close(t);
    return result;
}

static uint64_t id_of(const struct backend_auth *b, size_t index)
{
    return sharing_id(b->sharing, span_of(b->config->backend[index].name));
}

static void note_served(const struct backend_auth *b, size_t index)
{
    if (b->sharing)
        sharing_answered(b->sharing, id_of(b, index), clock_mono_us());
}

/* Whether the backend serves others, so that its refusal is about the number of connections. */
static bool serves(const struct backend_auth *b, size_t index)
{
    return b->sharing && clock_mono_us() < sharing_last_answer(b->sharing, id_of(b, index)) +
                                               SERVES_MS * UINT64_C(1000);
}

/* *again: it may be asked again soon. When many threads connect in the same moment, none can have been
 * answered yet: so a second try comes in any case. */
static enum answer_result ask_one(const struct backend_auth *b, const struct check *c, size_t index,
                                  struct span line, bool *again)
{
    enum answer_result result = ANSWER_LATER;
    struct backend_client client;

    backend_client_init(&client, b->config, index, b->addresses);
    backend_client_is_secret(&client);
    client.turn = b->turn[index];
    int error = backend_client_ready(&client);
    b->turn[index] = client.turn;
    if (error == 0) {
        note_served(b, index);
        result = ask(&client, line);
    } else if (error != -ETIMEDOUT && (!c->tried || serves(b, index))) {
        *again = true;
    }
    backend_client_free(&client);
    return result;
}

/* The first backend that can be asked decides. *again: none can now, but one soon. */
static enum answer_result ask_all(const struct backend_auth *b, const struct check *c,
                                  struct span line, bool *again)
{
    struct route backends = config_login_backends(b->config, c->query.user);
    enum answer_result result = ANSWER_LATER;

    *again = false;
    for (size_t i = 0; i < backends.count && result == ANSWER_LATER; i++)
        if (b->config->backend[backends.section[i]].kind == BACKEND_SMTP &&
            clock_mono_ms() < c->query.until_ms)
            result = ask_one(b, c, backends.section[i], line, again);
    return result;
}

static bool run(void *arg, uint32_t asker, struct task *t)
{
    const struct backend_auth *b = arg;
    struct check *c = (struct check *)t;
    char *response = auth_plain_response(c->query.user, c->query.password);
    struct buf line = {0};
    bool again = response && buf_addf(&line, "AUTH PLAIN %s\r\n", response) == 0;

    c->result = ANSWER_LATER;
    while (again) {
        c->result = ask_all(b, c, buf_span(&line), &again);
        again = again && c->result == ANSWER_LATER;
        c->tried = true;
        if (again)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
    if (response)
        explicit_bzero(response, strlen(response));
    if (line.at)
        explicit_bzero(line.at, line.len);
    free(response);
    buf_free(&line);
    return c->result != ANSWER_LATER;
}

static void rest(void *arg, uint32_t asker, void *to)
{
}

/* ---- in the clerk's thread ---- */

static bool is_askable(const struct config *config, uint32_t list)
{
    struct route backends = {0};
    bool found = false;

    if (routes_list(config->routes, ROUTE_BACKEND, list, &backends))
        for (size_t i = 0; i < backends.count; i++)
            found = found || config->backend[backends.section[i]].kind == BACKEND_SMTP;
    return found;
}

struct backend_auth *backend_auth_open(const struct config *config,
                                       const struct addresses *addresses, uint32_t slots,
                                       struct sharing *sharing, backend_answered *answered,
                                       void *arg)
{
    struct backend_auth *b = calloc(1, sizeof *b);

    if (!b)
        return NULL;
    *b = (struct backend_auth){.config = config,
                               .addresses = addresses,
                               .sharing = sharing,
                               .answered = answered,
                               .arg = arg};
    uint32_t lists = routes_lists(config->routes, ROUTE_BACKEND);
    for (uint32_t i = 0; i < lists; i++)
        b->idle += is_askable(config, i);
    b->running = calloc(lists + 1, sizeof *b->running);
    b->turn = calloc(config->backend_count + 1, sizeof *b->turn);
    b->fair = b->running && b->turn ? fair_open(THREADS, WAITING_MAX, slots ? slots : 1) : NULL;
    b->askers = b->fair ? askers_open(&(struct askers_params){THREADS, b, run, rest}) : NULL;
    if (!b->askers) {
        fair_close(b->fair);
        free(b->running);
        free(b->turn);
        free(b);
        return NULL;
    }
    return b;
}

static struct check *check_of(struct fair_item *item)
{
    return container_of(item, struct check, item);
}

static void check_free(struct check *c)
{
    explicit_bzero(c->text, auth_query_octets(&c->query));
    free(c);
}

void backend_auth_close(struct backend_auth *b)
{
    if (!b)
        return;
    for (struct fair_item *item; (item = fair_any(b->fair));)
        check_free(check_of(item));
    for (struct check *c = b->lost, *next; c; c = next) {
        next = c->next;
        check_free(c);
    }
    b->lost = NULL;
    if (askers_close(b->askers)) { /* else a thread uses it until the process ends */
        fair_close(b->fair);
        free(b->running);
        free(b->turn);
        free(b);
    }
}

static struct check *check_new(const struct backend_auth *b, const struct auth_query *q)
{
    struct check *c = calloc(1, sizeof *c + auth_query_octets(q));

    if (!c)
        return NULL;
    c->query = auth_query_copy(q, c->text);
    c->list = config_login_backends(b->config, q->user).list;
    return c;
}

/* Lets a check wait. Returns the one that loses its place for it, or NULL. A list counts as a network,
 * so that lists take turns, and the list with the most checks loses one. */
static struct check *enqueue(struct backend_auth *b, struct check *c)
{
    struct addr list = {.family = ADDR_IP4};

    for (int i = 0; i < 3; i++) /* the octets of a /24 */
        list.octets[i] = (uint8_t)(c->list >> 8 * i);
    struct fair_item *lost = fair_put(b->fair, &c->item, c->query.asker.slot, &list, RANK_FIRST);

    return lost ? check_of(lost) : NULL;
}

/* Whether a check may have a free thread. A list without checks in flight always may. */
static bool may_go(const void *arg, const struct fair_item *item)
{
    const struct backend_auth *b = arg;
    uint32_t reserved = b->idle < THREADS / 2 ? b->idle : THREADS / 2;

    return b->running[container_of(item, const struct check, item)->list] == 0 ||
           fair_asked(b->fair) + 1 + reserved <= THREADS;
}

static void begun(struct backend_auth *b, const struct check *c)
{
    b->idle -= b->running[c->list]++ == 0 && is_askable(b->config, c->list);
}

static void ended(struct backend_auth *b, const struct check *c)
{
    b->idle += --b->running[c->list] == 0 && is_askable(b->config, c->list);
}

static void lose(struct backend_auth *b, struct check *c)
{
    c->result = ANSWER_LATER;
    c->next = b->lost;
    b->lost = c;
}

/* Gives waiting checks to free threads, and drops those that no worker waits for any more. */
static void go_on(struct backend_auth *b)
{
    struct fair_item *item;

    while ((item = fair_take(b->fair, may_go, b))) {
        struct check *c = check_of(item);
        bool late = clock_mono_ms() >= c->query.until_ms;
        if (!late && askers_put(b->askers, &c->task)) {
            begun(b, c);
            continue;
        }
        fair_done(b->fair, item);
        struct check *lost = late ? c : enqueue(b, c);
        if (lost)
            lose(b, lost);
        if (!late) /* the system allows no more threads */
            return;
    }
}

bool backend_auth_ask(struct backend_auth *b, const struct auth_query *q)
{
    struct check *c = check_new(b, q), *lost = c ? enqueue(b, c) : NULL;

    if (!c || lost == c) {
        if (c)
            check_free(c);
        return false;
    }
    if (lost) /* not from here: its answer could lead back to this function */
        lose(b, lost);
    go_on(b);
    return true;
}

static void tell(struct backend_auth *b, struct check *c)
{
    b->answered(b->arg, &c->query, c->result);
    check_free(c);
}

int backend_auth_fd(const struct backend_auth *b)
{
    return askers_fd(b->askers);
}

void backend_auth_read(struct backend_auth *b)
{
    struct task *done = askers_done(b->askers), *next;

    for (; done; done = next) {
        struct check *c = (struct check *)done;
        next = done->next;
        ended(b, c);
        fair_done(b->fair, &c->item);
        tell(b, c);
    }
    go_on(b);
    while (b->lost) {
        struct check *c = b->lost;
        b->lost = c->next;
        tell(b, c);
    }
}
