/* Errands of one or two clerks to a source that accepts few connections, none, or none for a while:
 * every query is answered once, none wrongly, and none is deferred while the source answers anybody.
 *
 * The source is played here (its functions are wrapped); the threads and the clock are real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "directory/cache.h"
#include "directory/directory_part.h"
#include "directory/remote.h"

enum { CLERKS = 2, SLOTS = 4, QUERIES = 200, AT_ONCE = 24 };

/* ---- the source ---- */

struct socketmap_directory {
    bool open;
    bool hangs;       /* until `go_on` is posted, once for each query */
    bool hangs_later; /* the same, but not for the address with number 1 */
};

static sem_t go_on;

static struct {
    pthread_mutex_t lock;
    int limit;       /* connections that it accepts */
    int connections; /* that there are */
    bool ends;       /* each connection ends with its answer */
    int breaks;      /* the number of an address at which it ends a connection, without an answer */
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void set_server(int limit, bool ends)
{
    pthread_mutex_lock(&server.lock);
    server.limit = limit;
    server.ends = ends;
    pthread_mutex_unlock(&server.lock);
}

static void hang_up(struct socketmap_directory *s)
{
    pthread_mutex_lock(&server.lock);
    server.connections -= s->open;
    s->open = false;
    pthread_mutex_unlock(&server.lock);
}

struct socketmap_directory *__wrap_socketmap_directory_open(const struct config_recipients *config);
void __wrap_socketmap_directory_close(struct socketmap_directory *s);
void __wrap_socketmap_directory_rest(struct socketmap_directory *s);
bool __wrap_socketmap_directory_is_open(const struct socketmap_directory *s);
enum answer_result __wrap_socketmap_directory_ask(struct socketmap_directory *s, struct span key);

struct socketmap_directory *__wrap_socketmap_directory_open(const struct config_recipients *config)
{
    struct socketmap_directory *s = calloc(1, sizeof *s);

    if (s) {
        s->hangs = strcmp(config->map, "hangs") == 0;
        s->hangs_later = strcmp(config->map, "later") == 0;
    }
    return s;
}

void __wrap_socketmap_directory_close(struct socketmap_directory *s)
{
    hang_up(s);
    free(s);
}

void __wrap_socketmap_directory_rest(struct socketmap_directory *s)
{
    hang_up(s);
}

bool __wrap_socketmap_directory_is_open(const struct socketmap_directory *s)
{
    return s->open;
}

static bool connect_to_server(struct socketmap_directory *s, bool *ends)
{
    pthread_mutex_lock(&server.lock);
    if (!s->open && server.connections < server.limit) {
        s->open = true;
        server.connections++;
    }
    bool open = s->open && server.limit > 0;
    *ends = server.ends;
    pthread_mutex_unlock(&server.lock);
    return open;
}

/* Of "u17@example.test" 17, of "@example.test" 0. The text has no end of its own. */
static int number_of(struct span key)
{
    int n = 0;

    for (size_t i = 1; i < key.len && key.at[i] >= '0' && key.at[i] <= '9'; i++)
        n = n * 10 + (key.at[i] - '0');
    return n;
}

/* Knows the addresses with an odd number. */
enum answer_result __wrap_socketmap_directory_ask(struct socketmap_directory *s, struct span key)
{
    const struct timespec work = {.tv_nsec = 300000};
    bool ends;

    if (!connect_to_server(s, &ends)) {
        hang_up(s);
        return ANSWER_SILENCE;
    }
    if (s->hangs || (s->hangs_later && number_of(key) != 1))
        while (sem_wait(&go_on) != 0)
            ;
    nanosleep(&work, NULL); /* others come meanwhile */
    if (server.breaks && number_of(key) == server.breaks) {
        hang_up(s);
        return ANSWER_SILENCE;
    }
    if (ends)
        hang_up(s);
    return number_of(key) % 2 ? ANSWER_YES : ANSWER_NO;
}

/* ---- the clerks ---- */

struct clerks {
    struct cache *cache;
    struct config *config;
    struct directory *directory[CLERKS];
    int answered[QUERIES]; /* how often */
    enum answer_result result[QUERIES];
    int sent, done;
};

static char path[] = "/tmp/mired-errands-XXXXXX";

static void take(struct clerks *c, uint64_t id, uint16_t result)
{
    assert_true(id < QUERIES);
    c->answered[id]++;
    c->result[id] = (enum answer_result)result;
    c->done++;
}

static void answered(void *arg, const struct directory_asker *asker, const struct answer *answer)
{
    assert_int_equal(answer->id, asker->id);
    take(arg, asker->id, answer->result);
}

static struct clerks *open_with(unsigned lookups, const char *sources)
{
    struct clerks *c = calloc(1, sizeof *c);
    struct buf said = {0};

    while (sem_trywait(&go_on) == 0) /* of an earlier test */
        ;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "hostname = \"mx.example.test\"\ndomains = { \"example.test\", \"hangs.test\" }\n"
            "listen \"127.0.0.1:2525\" { }\nbackend \"maildir\" { }\nclerks = 2\nlookups = %u\n"
            "recipients \"socketmap\" { path = \"inet:127.0.0.1:1\" map = \"m\" }\n%s",
            lookups, sources);
    fclose(f);
    if (config_read(path, &c->config, &said) != 0)
        fail_msg("%.*s", (int)said.len, said.at);
    buf_free(&said);
    assert_int_equal(cache_open(&c->cache, NULL, 4096), 0);
    struct directory_params params = {
        .config = c->config, .cache = c->cache, .slots = SLOTS, .answered = answered, .arg = c};
    for (uint32_t i = 0; i < CLERKS; i++) {
        c->directory[i] = directory_open(&params);
        assert_non_null(c->directory[i]);
        c->directory[i]->pid += i; /* they are two processes */
    }
    return c;
}

static int open_clerks(void **state)
{
    *state = open_with(16, "recipients \"socketmap\" { domains = { \"hangs.test\" } "
                           "path = \"inet:127.0.0.1:1\" map = \"hangs\" }\n");
    return 0;
}

static void ask_at(struct clerks *c, int clerk, int number, const char *domain)
{
    struct directory_asker asker = {
        .id = (uint64_t)number, .slot = (uint16_t)(number % SLOTS), .rank = RANK_USUAL};
    char address[40];
    struct answer a = {0};

    assert_true(addr_parse(SPAN("192.0.2.7"), &asker.client));
    asker.client.octets[1] = (uint8_t)domain[1]; /* a network has only a part of the threads */
    asker.client.octets[2] = (uint8_t)domain[2];
    asker.client.octets[3] = (uint8_t)number;
    int len = snprintf(address, sizeof address, "u%d@%s", number, domain);
    if (directory_ask(c->directory[clerk], &asker, (struct span){address, (size_t)len}, &a))
        take(c, asker.id, a.result);
}

static void ask(struct clerks *c, int clerk, int number)
{
    ask_at(c, clerk, number, "example.test");
}

/* Lets the clerks do what there is to do, or waits for it, as clerk.c does. */
static void turn(struct clerks *c)
{
    struct pollfd p[CLERKS];
    int wait = 1000;

    for (int i = 0; i < CLERKS; i++) {
        int its = directory_look_after(c->directory[i]);
        wait = its >= 0 && its < wait ? its : wait;
        p[i] = (struct pollfd){directory_fd(c->directory[i]), POLLIN, 0};
    }
    poll(p, CLERKS, wait);
    for (int i = 0; i < CLERKS; i++)
        if (p[i].revents)
            directory_read(c->directory[i]);
}

/* Also a query for which nobody waits, which tries whether a source is back. */
static bool is_asking(const struct directory *d)
{
    for (size_t i = 0; i < d->sources; i++)
        if (d->source[i].running)
            return true;
    return false;
}

static int close_clerks(void **state)
{
    struct clerks *c = *state;

    for (int i = 0; i < CLERKS; i++)
        while (is_asking(c->directory[i]))
            turn(c);
    for (int i = 0; i < CLERKS; i++)
        directory_close(c->directory[i]);
    assert_int_equal(server.connections, 0);
    cache_close(c->cache);
    config_free(c->config);
    free(c);
    return 0;
}

/* Puts so many queries to the clerks in turn, AT_ONCE at a time, until all are answered. */
static void ask_all(struct clerks *c, int clerks, int queries)
{
    memset(c->answered, 0, sizeof c->answered);
    c->sent = c->done = 0;
    while (c->done < queries) {
        while (c->sent < queries && c->sent - c->done < AT_ONCE) {
            ask(c, c->sent % clerks, c->sent);
            c->sent++;
        }
        if (c->done < queries)
            turn(c);
    }
}

static void expect_all_right(const struct clerks *c, int queries)
{
    for (int i = 0; i < queries; i++) {
        assert_int_equal(c->answered[i], 1);
        if (c->result[i] != (i % 2 ? ANSWER_YES : ANSWER_NO))
            fail_msg("query %d: %d", i, (int)c->result[i]);
    }
}

static void expect_up(const struct clerks *c, int clerks)
{
    for (int i = 0; i < clerks; i++)
        assert_false(c->directory[i]->source[0].down);
}

static void test_one_clerk_has_all_answers_from_a_source_that_takes_few(void **state)
{
    for (int limit = 1; limit <= 8; limit *= 2) {
        void *fresh;
        open_clerks(&fresh);
        set_server(limit, false);
        ask_all(fresh, 1, QUERIES);
        expect_all_right(fresh, QUERIES);
        expect_up(fresh, 1);
        close_clerks(&fresh);
    }
}

/* Whichever clerk comes first may have all connections: the other one gets some. */
static void test_two_clerks_share_a_source_that_takes_few(void **state)
{
    static const int limit[] = {1, 3, 5};

    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++) {
        void *fresh;
        open_clerks(&fresh);
        set_server(limit[i], false);
        ask_all(fresh, 1, QUERIES / 2); /* the first clerk alone */
        expect_all_right(fresh, QUERIES / 2);
        ask_all(fresh, 2, QUERIES);
        expect_all_right(fresh, QUERIES);
        expect_up(fresh, 2);
        close_clerks(&fresh);
    }
}

static void test_a_source_that_ends_each_connection_answers_all(void **state)
{
    set_server(2, true);
    ask_all(*state, 2, QUERIES);
    expect_all_right(*state, QUERIES);
    expect_up(*state, 2);
}

/* A refusal some seconds ago, which nobody tried again, is no reason to take it for down. */
static void test_a_crowded_source_is_not_down_because_of_an_old_refusal(void **state)
{
    struct clerks *c = *state;
    struct source *s = &c->directory[1]->source[0];

    set_server(1, false);
    ask_all(c, 1, 1); /* the first clerk has the connection */
    s->doubted_ms = s->refused_ms = clock_mono_ms() - 5000;
    c->sent = c->done = 0;
    memset(c->answered, 0, sizeof c->answered);
    ask(c, 1, 1);
    while (c->done < 1) {
        turn(c);
        assert_false(s->down);
    }
    assert_int_equal(c->result[1], ANSWER_YES);
}

static void test_a_query_that_breaks_the_connection_harms_no_other(void **state)
{
    struct clerks *c = *state;

    set_server(100, false);
    ask_all(c, 2, 40);
    server.breaks = 77;
    ask_all(c, 2, QUERIES);
    for (int i = 0; i < QUERIES; i++) {
        assert_int_equal(c->answered[i], 1);
        assert_int_equal(c->result[i], i == 77 ? ANSWER_LATER : i % 2 ? ANSWER_YES : ANSWER_NO);
    }
    expect_up(c, 2);
    memset(c->answered, 0, sizeof c->answered);
    for (int i = 0; i < 3; i++) { /* nobody else asks */
        c->sent = c->done = 0;
        ask(c, i % 2, 77);
        while (c->done < 1)
            turn(c);
        assert_int_equal(c->directory[i % 2]->source[0].doubted_ms, 0);
        assert_int_equal(c->result[77], ANSWER_LATER);
        expect_up(c, 2);
    }
    server.breaks = 0;
}

/* "Later", and never "unknown"; and soon, because clients wait. */
static void test_a_source_that_refuses_everybody_is_down_and_comes_back(void **state)
{
    struct clerks *c = *state;

    set_server(0, false);
    uint64_t begun = clock_mono_ms();
    ask_all(c, 2, 40);
    assert_true(clock_mono_ms() - begun < QUERY_TIMEOUT_MS / 2);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(c->answered[i], 1);
        assert_int_equal(c->result[i], ANSWER_LATER);
    }
    assert_true(c->directory[0]->source[0].down);
    assert_true(c->directory[1]->source[0].down);

    set_server(1, false);
    while (c->directory[0]->source[0].down || c->directory[1]->source[0].down) {
        assert_true(clock_mono_ms() - begun < 2 * QUERY_TIMEOUT_MS);
        turn(c);
    }
    ask_all(c, 2, QUERIES);
    expect_all_right(c, QUERIES);
}

/* Half of the queries wait for a source that hangs. The others have their answers meanwhile, and those
 * have theirs in the end. */
static void test_a_source_that_hangs_holds_up_only_its_own_queries(void **state)
{
    struct clerks *c = *state;
    const struct source *hangs = &c->directory[0]->source[1];

    set_server(100, false);
    for (int i = 0; i < QUERIES / 2; i++)
        ask_at(c, 0, i, "hangs.test");
    assert_int_equal(hangs->waiting + hangs->running, QUERIES / 2);
    assert_true(hangs->waiting > QUERIES / 4);
    for (int i = QUERIES / 2; i < QUERIES; i++) {
        ask(c, 0, i);
        while (i % 3 == 0 && c->done <= i - QUERIES / 2) /* some come together */
            turn(c);
    }
    while (c->done < QUERIES / 2)
        turn(c);
    for (int i = 0; i < QUERIES; i++)
        assert_int_equal(c->answered[i], i >= QUERIES / 2);
    assert_int_equal(hangs->waiting + hangs->running, QUERIES / 2);
    for (int i = 0; i < QUERIES; i++) /* it is asked for the domain, too */
        sem_post(&go_on);
    while (c->done < QUERIES)
        turn(c);
    expect_all_right(c, QUERIES);
    assert_int_equal(hangs->waiting + hangs->running, 0);
    assert_int_equal(c->directory[0]->idle, 2);
}

/* Of the healthy source, so many queries, one after the other and some together. */
static void expect_answers_within(struct clerks *c, int from, int to, uint64_t ms)
{
    uint64_t begun = clock_mono_ms();

    int before = c->done;
    for (int i = from; i < to; i++)
        ask(c, 0, i);
    while (c->done < before + to - from) {
        if (clock_mono_ms() > begun + ms)
            fail_msg("%d of %d queries have no answer after %u ms", before + to - from - c->done,
                     to - from, (unsigned)ms);
        turn(c);
    }
}

static void let_go_on(struct clerks *c, int queries)
{
    for (int i = 0; i < 3 * queries; i++) /* they are asked for the domain, too */
        sem_post(&go_on);
    while (c->done < queries)
        turn(c);
    expect_all_right(c, queries);
    assert_int_equal(c->directory[0]->hung, 0);
    assert_true(ring_is_empty(&c->directory[0]->runs));
    assert_int_equal(fair_asked(c->directory[0]->fair), 0);
}

/* Each of 90 companies has a directory that hangs: more than there are threads. */
static void test_sources_that_hang_leave_places_however_many_they_are(void **state)
{
    enum { HANG = 90 };
    struct buf sources = {0};
    char domain[20];

    for (int i = 0; i < HANG; i++)
        assert_int_equal(buf_addf(&sources,
                                  "recipients \"socketmap\" { domains = { \"h%d.test\" } "
                                  "path = \"inet:127.0.0.1:%d\" map = \"hangs\" }\n",
                                  i, i + 2),
                         0);
    assert_int_equal(buf_add(&sources, "", 1), 0);
    struct clerks *c = open_with(16, sources.at);
    buf_free(&sources);
    const struct directory *d = c->directory[0];
    set_server(1000, false);
    ask_all(c, 1, 1); /* the other source has answered before */
    c->answered[0] = c->done = 0;
    for (int i = 0; i < HANG; i++) {
        snprintf(domain, sizeof domain, "h%d.test", i);
        ask_at(c, 0, i, domain);
    }
    assert_int_equal(d->hung, d->threads - d->most);
    assert_int_equal(fair_asked(d->fair), d->most / 2);
    expect_answers_within(c, HANG, QUERIES, 5000);
    assert_int_equal(fair_waiting(d->fair), HANG - d->hung - d->most / 2);
    let_go_on(c, QUERIES);
    void *closed = c;
    close_clerks(&closed);
}

/* The clerk has one place. The source has answered before, so the query that hangs takes it. */
static void test_a_source_that_begins_to_hang_gives_the_last_place_back(void **state)
{
    struct clerks *c = open_with(2, "recipients \"socketmap\" { domains = { \"hangs.test\" } "
                                    "path = \"inet:127.0.0.1:1\" map = \"later\" }\n");
    const struct directory *d = c->directory[0];

    set_server(100, false);
    assert_int_equal(d->most, 1);
    ask(c, 0, 0);
    ask_at(c, 0, 1, "hangs.test");
    while (c->done < 2)
        turn(c);
    for (int i = 2; i < 20; i++)
        ask_at(c, 0, i, "hangs.test");
    assert_int_equal(fair_asked(d->fair), 1);
    assert_int_equal(d->hung, 0);
    expect_answers_within(c, 20, 40, 3000);
    assert_int_equal(d->hung, 1); /* and no more than one query goes to it at a time */
    assert_int_equal(d->source[1].running, 1);
    expect_answers_within(c, 40, 140, 1000); /* at once */
    let_go_on(c, 140);
    void *closed = c;
    close_clerks(&closed);
}

/* Waiting queries are freed, and threads that have ended their work are not waited for. */
static void test_a_clerk_ends_with_queries_that_wait(void **state)
{
    struct clerks *c = *state;

    set_server(1, false);
    for (int i = 0; i < 100; i++)
        ask(c, 0, i);
    struct pollfd p = {directory_fd(c->directory[0]), POLLIN, 0};
    while (c->directory[0]->source[0].running) { /* those that run */
        assert_int_equal(poll(&p, 1, 10000), 1);
        struct task *t = askers_done(c->directory[0]->askers), *next;
        for (; t; t = next) {
            next = t->next;
            struct errand *e = (struct errand *)t;
            e->source->running--;
            free(e->inquiry);
            buf_free(&e->good);
            free(e);
        }
    }
}

static int make_file(void **state)
{
    int fd = mkstemp(path);

    log_open(LOG_TEXT, LOG_ERROR, "test");
    if (sem_init(&go_on, 0, 0) < 0)
        return -1;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    return unlink(path);
}

#define WITH_CLERKS(test) cmocka_unit_test_setup_teardown(test, open_clerks, close_clerks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_clerk_has_all_answers_from_a_source_that_takes_few),
        cmocka_unit_test(test_two_clerks_share_a_source_that_takes_few),
        WITH_CLERKS(test_a_source_that_ends_each_connection_answers_all),
        WITH_CLERKS(test_a_crowded_source_is_not_down_because_of_an_old_refusal),
        WITH_CLERKS(test_a_query_that_breaks_the_connection_harms_no_other),
        WITH_CLERKS(test_a_source_that_refuses_everybody_is_down_and_comes_back),
        WITH_CLERKS(test_a_source_that_hangs_holds_up_only_its_own_queries),
        cmocka_unit_test(test_sources_that_hang_leave_places_however_many_they_are),
        cmocka_unit_test(test_a_source_that_begins_to_hang_gives_the_last_place_back),
        WITH_CLERKS(test_a_clerk_ends_with_queries_that_wait),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
