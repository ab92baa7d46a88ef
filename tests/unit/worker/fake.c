/* A worker without its process (fake.h). */
#include "fake.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "relay/partial_delivery.h"
#include "tarpit/observed.h"
#include "tarpit/tried.h"
#include "tarpit/tries.h"
#include "worker/accounts.h"
#include "worker/auth_queue.h"
#include "worker/conn.h"
#include "worker/freeze.h"
#include "worker/guard.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/queries.h"
#include "worker/room.h"
#include "worker/sending.h"
#include "worker/tls.h"

/* ---- the clock ---- */

static uint64_t mono_ms = 1000000, wall_ms = UINT64_C(1800000000000);

uint64_t clock_mono_ms(void)
{
    return mono_ms;
}

uint64_t clock_mono_us(void)
{
    return mono_ms * 1000;
}

uint64_t clock_wall_ms(void)
{
    return wall_ms;
}

void fake_turn(struct fake *f)
{
    uint64_t moved;
    bool more;

    do {
        moved = f->w->loop.moved;
        loop_turn(&f->w->loop, 0);
        more = auth_queue_move(f->w->auth_queue, f->w);
        freeze_flush(f->w);
        guard_grow(f->w);
        room_look_after(f->w);
    } while (more || f->w->loop.moved != moved);
}

void fake_pass(struct fake *f, uint64_t ms)
{
    uint64_t end = mono_ms + ms;

    while (mono_ms < end) {
        uint64_t next = wheel_next(&f->w->loop.wheel);
        if (next <= mono_ms)
            next = mono_ms + 1;
        if (next > end)
            next = end;
        wall_ms += next - mono_ms;
        mono_ms = next;
        fake_turn(f);
    }
}

/* ---- the worker ---- */

static void pair(int type, int fd[2])
{
    assert_return_code(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static char hostname[] = "mx.example.org", domain[] = "example.org";
static char *domains[] = {domain};

static void configure(struct fake *f)
{
    f->listen = (struct config_listen){.auth = true, .chunking = true};
    f->config = (struct config){
        .hostname = hostname,
        .domains = {domains, 1},
        .timeout_ms = 300000,
        .size_max = 1000000,
        .spool_max = 100000000,
        .listen = &f->listen,
        .listen_count = 1,
        .tarpit = config_default_rules(),
    };
    f->config.tarpit.drip = 0;
    f->config.tarpit.freeze = FREEZE_OFF;
}

static void make_ends(struct fake *f)
{
    int fd[2];

    for (int i = 0; i < QUERY_QUEUES; i++) {
        pair(SOCK_SEQPACKET, fd);
        f->params.ask[i] = fd[0];
        f->clerk[i] = fd[1];
    }
    pair(SOCK_SEQPACKET, fd);
    f->own_pair[0] = fd[0];
    f->own = fd[1];
    f->params.own = f->own_pair;
    f->params.clerks = 1;
    pair(SOCK_SEQPACKET, fd);
    f->params.answer = fd[0];
    f->answers = fd[1];
}

static void open_parts(struct fake *f)
{
    struct worker *w = f->w;

    slab_init(&w->conns, sizeof(struct conn));
    ring_init(&w->awake);
    assert_return_code(loop_open(&w->loop), 0);
    w->loop.now = mono_ms;
    w->loop.wall = wall_ms;
    w->service = calloc(1, sizeof *w->service);
    assert_non_null(w->service);
    *w->service = (struct smtp_service){.junk_max = SMTP_JUNK_MAX,
                                        .hostname = f->config.hostname,
                                        .size_max = f->config.size_max,
                                        .recipients_max = ENVELOPE_RECIPIENTS_MAX,
                                        .auth_plain_from_afar = true};
    assert_int_equal(queries_open(w), 0);
    w->auth_queue = auth_queue_open(1);
    w->accounts = accounts_open();
    assert_non_null(w->queries);
    assert_non_null(w->auth_queue);
    assert_non_null(w->accounts);
    assert_true(guard_open(&w->guard) && room_open(w) && tls_open(w) && journal_open(w));
    assert_true(suspects_open(&w->suspects, &f->config, true));
    assert_true(sending_open(w));
}

void fake_open(struct fake *f)
{
    *f = (struct fake){.freezer = -1};
    log_open(LOG_TEXT, LOG_ERROR, "worker 0");
    configure(f);
    make_ends(f);
    atomic_store(&f->auth, SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN | SMTP_AUTH_SCRAM);
    f->params.config = &f->config;
    f->params.slots = 1;
    f->params.control = -1;
    f->params.freezer = -1;
    f->params.freezer_shared = &f->shared;
    f->params.auth = &f->auth;
    assert_return_code(ledger_open(&f->params.ledger, NULL, 1 << 18), 0);
    assert_return_code(observed_open(&f->params.observed, NULL), 0);
    assert_return_code(tried_open(&f->params.tried, NULL), 0);
    f->params.tries = calloc(1, tries_size());
    assert_non_null(f->params.tries);
    assert_return_code(partial_open(&f->params.partial, NULL, 3600000), 0);
    f->w = calloc(1, sizeof *f->w);
    assert_non_null(f->w);
    f->w->params = &f->params;
    f->w->config = &f->config;
    f->w->tarpit = (struct tarpit){
        .rules = f->config.tarpit, .ledger = f->params.ledger, .tries = f->params.tries};
    f->w->open_max = f->w->open_reserve_from = f->w->held_max = 1000;
    f->w->held_per_client = 1000;
    open_parts(f);
}

/* The n-th held or awake connection; NULL behind the last one. */
static struct conn *any_conn(const struct worker *w)
{
    if (!ring_is_empty(&w->awake))
        return conn_of_link(w->awake.next);
    for (int i = 0; i < GUARD_LEVELS; i++)
        if (!ring_is_empty(&w->guard.level[i]))
            return conn_of_link(w->guard.level[i].next);
    return NULL;
}

void fake_close(struct fake *f)
{
    struct worker *w = f->w;
    struct conn *c;

    w->stopping = true;
    while ((c = any_conn(w)))
        conn_shut(w, c, REPLY_SHUTDOWN);
    freeze_close(w);
    judge_close(w);
    journal_close(w);
    tls_stash_close(w);
    queries_close(w->queries);
    auth_queue_close(w->auth_queue);
    accounts_close(w->accounts);
    sending_close(w);
    suspects_close(&w->suspects);
    guard_close(&w->guard);
    room_close(w);
    tls_close(w);
    loop_close(&w->loop);
    free(w->service);
    ledger_close(f->params.ledger);
    observed_close(f->params.observed);
    tried_close(f->params.tried);
    partial_close(f->params.partial);
    for (int i = 0; i < QUERY_QUEUES; i++) {
        close(f->params.ask[i]);
        close(f->clerk[i]);
    }
    close(f->own_pair[0]);
    close(f->own);
    close(f->params.answer);
    close(f->answers);
    if (f->params.freezer >= 0)
        close(f->params.freezer);
    if (f->freezer >= 0)
        close(f->freezer);
    free(f->params.tries);
    free(w);
}

void fake_freezer(struct fake *f)
{
    int fd[2];

    pair(SOCK_SEQPACKET, fd);
    f->params.freezer = fd[0];
    f->freezer = fd[1];
    atomic_store(&f->shared.working, 1);
    assert_return_code(freeze_open(f->w), 0);
    assert_return_code(freeze_start_taking(f->w), 0);
}

/* ---- clients ---- */

static struct conn *find(const struct ring *ring, int fd)
{
    for (struct ring *link = ring->next; link != ring; link = link->next)
        if (conn_of_link(link)->watch.fd == fd)
            return conn_of_link(link);
    return NULL;
}

static struct conn *conn_of(const struct fake *f, int fd)
{
    struct conn *c = find(&f->w->awake, fd);

    for (int i = 0; !c && i < GUARD_LEVELS; i++)
        c = find(&f->w->guard.level[i], fd);
    return c;
}

struct fake_client fake_connect(struct fake *f, const char *address)
{
    struct fake_client client;
    int fd[2];

    assert_true(addr_parse(span_of(address), &client.peer));
    pair(SOCK_STREAM, fd);
    client.fd = fd[1];
    client.worker_fd = fd[0];
    conn_accept(f->w, fd[0], 0, &client.peer);
    client.c = conn_of(f, fd[0]);
    fake_turn(f);
    return client;
}

void fake_say(struct fake *f, const struct fake_client *client, const char *text)
{
    assert_int_equal(send(client->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    fake_turn(f);
}

const char *fake_heard(const struct fake_client *client)
{
    static char text[65536];
    ssize_t n = recv(client->fd, text, sizeof text - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

void fake_hang_up(struct fake *f, struct fake_client *client)
{
    close(client->fd);
    client->fd = -1;
    fake_turn(f);
}

bool fake_is_open(const struct fake *f, const struct fake_client *client)
{
    struct pollfd end = {.fd = client->fd, .events = POLLIN};

    if (client->fd < 0)
        return client->c && conn_of(f, client->worker_fd) == client->c;
    return client->c && poll(&end, 1, 0) >= 0 && !(end.revents & POLLHUP);
}

struct fake_client fake_in_mail(struct fake *f, const char *address)
{
    struct fake_client client = fake_connect(f, address);

    fake_say(f, &client, "EHLO client.example\r\n");
    fake_say(f, &client, "MAIL FROM:<someone@client.example>\r\n");
    assert_non_null(strstr(fake_heard(&client), "250 2.1.0"));
    return client;
}

/* ---- clerks and the ledger ---- */

bool fake_asked(int clerk, struct query_packet *q)
{
    return query_read(clerk, q) == 1;
}

void fake_answer(struct fake *f, uint64_t id, enum answer_result result)
{
    struct answer a = {.id = id, .result = (uint16_t)result};

    assert_return_code(answer_send(f->answers, &a), 0);
    fake_turn(f);
}

static struct tarpit_who who(const struct fake *f, const char *address)
{
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    return tarpit_who(&f->w->tarpit, &a, false);
}

double fake_offences(const struct fake *f, const char *address)
{
    const struct ledger_decay d = {f->w->tarpit.rules.half_life, f->w->tarpit.rules.good_half_life};
    struct ledger_entry e = {0};
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    struct ledger_key key = ledger_key_client(f->params.ledger, &a);
    ledger_get(f->params.ledger, &key, &d, wall_ms, &e);
    return e.offences;
}

void fake_owe(struct fake *f, const char *address, double offences)
{
    struct tarpit_who w = who(f, address);

    tarpit_listed(&f->w->tarpit, &w, offences, wall_ms);
}
