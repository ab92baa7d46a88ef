/* The addresses of named backends, with a resolver that the test plays. It never answers a name that
 * begins with "silent", and does not know one with "wrong"; "slow" is wrong after a while and silent
 * from then on, and "late" is right after some failures. */
#include <netdb.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backend/addresses.h"
#include "backend/lookers.h"
#include "base/clock.h"
#include "config/config.h"

enum { PATIENCE_S = 60, SLOW = LOOKERS_MOST + 8, BACKENDS = SLOW + 1 };

static _Atomic uint32_t asked;      /* calls */
static _Atomic uint32_t slow, hung; /* of names that are slow; those that have no answer */
static _Atomic uint32_t failures;   /* of "late" */
static sem_t never;
static const char *answer = "192.0.2.7";

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list);

static void take(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0)
        ;
}

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    struct addrinfo numeric = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};

    atomic_fetch_add(&asked, 1);
    if (strncmp(host, "slow", 4) == 0 && atomic_fetch_add(&slow, 1) < SLOW) {
        take(LOOKERS_SLOW_MS + 100);
        return EAI_AGAIN;
    }
    if (strncmp(host, "silent", 6) == 0 || strncmp(host, "slow", 4) == 0) {
        atomic_fetch_add(&hung, host[1] == 'l');
        while (sem_wait(&never) != 0)
            ;
    }
    if (strncmp(host, "wrong", 5) == 0 ||
        (strncmp(host, "late", 4) == 0 && atomic_fetch_add(&failures, 1) < 3))
        return EAI_AGAIN;
    return __real_getaddrinfo(answer, NULL, &numeric, list);
}

/* The threads of a test run on: what they use stays. */
static struct site {
    struct config config;
    struct config_backend backend[BACKENDS];
    char host[BACKENDS][32], name[BACKENDS][64];
    struct addresses *addresses;
} sites[16];
static size_t used;

static struct site *site(size_t count, const char *const host[])
{
    struct site *s = &sites[used++];

    for (size_t i = 0; i < count; i++) {
        snprintf(s->host[i], sizeof s->host[i], "%s", host[i]);
        snprintf(s->name[i], sizeof s->name[i], "smtp://%s:%zu", host[i], 1000 + i);
        s->backend[i].host = s->host[i];
        s->backend[i].name = s->name[i];
        s->backend[i].addr.port = (uint16_t)(1000 + i);
    }
    s->config.backend = s->backend;
    s->config.backend_count = count;
    assert_int_equal(addresses_open(&s->addresses, &s->config), 0);
    return s;
}

static bool find(const struct site *s, size_t index, const char *address)
{
    struct addr a;
    char text[ADDR_TEXT];

    if (!addresses_find(s->addresses, &s->backend[index], index, 0, &a))
        return false;
    assert_string_equal(addr_format(&a, text), address);
    assert_int_equal(a.port, 1000 + index);
    return true;
}

static void until_found(const struct site *s, size_t index)
{
    uint64_t end = clock_mono_ms() + PATIENCE_S * UINT64_C(1000);

    while (!find(s, index, "192.0.2.7")) {
        assert_true(clock_mono_ms() < end);
        take(1); /* nothing tells when a thread writes the table */
    }
}

static int setup(void **state)
{
    atomic_store(&asked, 0);
    answer = "192.0.2.7";
    return 0;
}

static void test_names_are_known_when_the_start_has_waited(void **state)
{
    const struct site *s = site(3, (const char *[]){"a.test", "b.test", "c.test"});

    assert_int_equal(lookers_start(s->addresses, &s->config, PATIENCE_S), 0);
    for (size_t i = 0; i < 3; i++)
        assert_true(find(s, i, "192.0.2.7"));
}

static void test_names_without_an_answer_do_not_delay_another_one(void **state)
{
    const char *host[LOOKERS_MOST];
    char text[LOOKERS_MOST][32];

    for (size_t i = 0; i < LOOKERS_MOST; i++) {
        snprintf(text[i], sizeof text[i], "silent%zu.test", i);
        host[i] = text[i];
    }
    host[LOOKERS_MOST - 1] = "good.test";
    const struct site *s = site(LOOKERS_MOST, host);
    assert_int_equal(lookers_start(s->addresses, &s->config, 0), 0);
    until_found(s, LOOKERS_MOST - 1);
    assert_false(find(s, 0, "192.0.2.7"));
}

/* Without that part for others, all threads would be silent when "late" is due again. */
static void test_slow_names_leave_threads_to_others(void **state)
{
    const char *host[BACKENDS];
    char text[BACKENDS][32];

    for (size_t i = 0; i < SLOW; i++) {
        snprintf(text[i], sizeof text[i], "slow%zu.test", i);
        host[i] = text[i];
    }
    host[SLOW] = "late.test";
    const struct site *s = site(BACKENDS, host);
    assert_int_equal(lookers_start(s->addresses, &s->config, PATIENCE_S), 0);
    until_found(s, SLOW);
    assert_in_range(atomic_load(&hung), 1, LOOKERS_MOST / 2);
}

static void test_the_start_does_not_wait_longer_for_a_name_without_an_answer(void **state)
{
    const struct site *s = site(2, (const char *[]){"silent.test", "good.test"});
    uint64_t begun = clock_mono_ms();

    assert_int_equal(lookers_start(s->addresses, &s->config, 1), 0);
    assert_true(clock_mono_ms() < begun + PATIENCE_S * UINT64_C(1000));
    until_found(s, 1);
}

static void test_a_name_of_several_backends_is_looked_up_once(void **state)
{
    const struct site *s =
        site(4, (const char *[]){"one.test", "ONE.test", "two.test", "one.test"});

    assert_int_equal(lookers_start(s->addresses, &s->config, PATIENCE_S), 0);
    assert_int_equal(atomic_load(&asked), 2);
    for (size_t i = 0; i < 4; i++)
        assert_true(find(s, i, "192.0.2.7"));
}

static void test_a_name_that_is_not_found_keeps_its_addresses(void **state)
{
    struct site *s = site(1, (const char *[]){"good.test"});

    assert_true(addresses_look_up(s->addresses, &s->config, 0));
    snprintf(s->host[0], sizeof s->host[0], "wrong.test");
    assert_true(addresses_look_up(s->addresses, &s->config, 0));
    assert_true(find(s, 0, "192.0.2.7"));
}

static void test_a_name_that_was_never_found_has_no_address(void **state)
{
    const struct site *s = site(2, (const char *[]){"good.test", "wrong.test"});

    assert_false(addresses_look_up(s->addresses, &s->config, 1));
    assert_false(find(s, 1, "192.0.2.7"));
    assert_false(find(s, 0, "192.0.2.7"));
}

static void test_a_new_table_begins_with_the_addresses_of_the_same_names(void **state)
{
    const struct site *old = site(3, (const char *[]){"a.test", "wrong.test", "b.test"}),
                      *new = site(4, (const char *[]){"B.test", "wrong.test", "c.test", "a.test"});

    for (size_t i = 0; i < 3; i++)
        addresses_look_up(old->addresses, &old->config, i);
    addresses_inherit(new->addresses, &new->config, NULL, NULL);
    assert_false(find(new, 0, "192.0.2.7"));
    addresses_inherit(new->addresses, &new->config, old->addresses, &old->config);
    assert_true(find(new, 0, "192.0.2.7"));
    assert_false(find(new, 1, "192.0.2.7"));
    assert_false(find(new, 2, "192.0.2.7"));
    assert_true(find(new, 3, "192.0.2.7"));
    answer = "192.0.2.8"; /* the next look-up counts */
    assert_true(addresses_look_up(new->addresses, &new->config, 0));
    assert_true(find(new, 0, "192.0.2.8"));
    addresses_inherit(new->addresses, &new->config, old->addresses, &old->config);
    assert_true(find(new, 0, "192.0.2.8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_names_are_known_when_the_start_has_waited, setup),
        cmocka_unit_test_setup(test_names_without_an_answer_do_not_delay_another_one, setup),
        cmocka_unit_test_setup(test_slow_names_leave_threads_to_others, setup),
        cmocka_unit_test_setup(test_the_start_does_not_wait_longer_for_a_name_without_an_answer,
                               setup),
        cmocka_unit_test_setup(test_a_name_of_several_backends_is_looked_up_once, setup),
        cmocka_unit_test_setup(test_a_name_that_is_not_found_keeps_its_addresses, setup),
        cmocka_unit_test_setup(test_a_name_that_was_never_found_has_no_address, setup),
        cmocka_unit_test_setup(test_a_new_table_begins_with_the_addresses_of_the_same_names, setup),
    };

    if (sem_init(&never, 0, 0) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
