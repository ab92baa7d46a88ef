/* What one client may have (field notes 26): no limit while there is plenty of room; then a part of
 * the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/budget.h"

static const struct sipkey key = {1, 2};

static struct addr addr_of(const char *text)
{
    struct addr a = {0};

    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static const struct allowed {
    const char *about;
    const char *has; /* who has `amount` */
    uint64_t amount;
    uint64_t taken;    /* by all, of 1,000 */
    const char *wants; /* one more */
    bool gets;
} table[] = {
    {"half of it is anybody's", "192.0.2.1", 499, 499, "192.0.2.1", true},
    {"then an eighth is a client's", "192.0.2.1", 500, 500, "192.0.2.1", false},
    {"who has less gets more", "192.0.2.1", 124, 900, "192.0.2.1", true},
    {"and no more than that", "192.0.2.1", 125, 900, "192.0.2.1", false},
    {"another client of the network has the rest of a quarter", "192.0.2.1", 249, 900, "192.0.2.2",
     true},
    {"and not beyond", "192.0.2.1", 250, 900, "192.0.2.2", false},
    {"another network does not care", "192.0.2.1", 900, 900, "198.51.100.1", true},
    {"an IPv6 client is its /64", "2001:db8::1", 125, 900, "2001:db8::2", false},
    {"an IPv6 network is its /48", "2001:db8:0:1::1", 250, 900, "2001:db8:0:2::1", false},
    {"of another /48 it is another one", "2001:db8:0:1::1", 250, 900, "2001:db8:1::1", true},
    {"a newcomer gets something until all is taken", "192.0.2.1", 500, 999, "198.51.100.1", true},
};

static void test_nobody_is_limited_while_there_is_room(void **state)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct allowed *t = &table[i];
        struct budget *b = budget_open(&key);
        struct addr has = addr_of(t->has), wants = addr_of(t->wants);
        budget_limit(b, BUDGET_CONNECTIONS, 1000, 16);
        budget_count(b, BUDGET_CONNECTIONS, &has, (int64_t)t->amount);
        print_message("%s\n", t->about);
        assert_int_equal(budget_allows(b, BUDGET_CONNECTIONS, &wants, 1, t->taken), t->gets);
        budget_close(b);
    }
}

/* One message of the largest size fits, whatever an eighth is. */
static void test_the_least_is_everybodys(void **state)
{
    struct budget *b = budget_open(&key);
    struct addr a = addr_of("192.0.2.1");

    budget_limit(b, BUDGET_SPOOL, 1000, 400);
    assert_true(budget_allows(b, BUDGET_SPOOL, &a, 400, 600));
    budget_count(b, BUDGET_SPOOL, &a, 400);
    assert_false(budget_allows(b, BUDGET_SPOOL, &a, 1, 600));
    budget_close(b);
}

static void test_what_is_given_back_is_there_again(void **state)
{
    struct budget *b = budget_open(&key);
    struct addr a = addr_of("192.0.2.1");

    budget_limit(b, BUDGET_ENVELOPES, 1000, 1);
    budget_count(b, BUDGET_ENVELOPES, &a, 600);
    assert_int_equal(budget_taken(b, BUDGET_ENVELOPES), 600);
    assert_false(budget_allows(b, BUDGET_ENVELOPES, &a, 0, 600));
    budget_count(b, BUDGET_ENVELOPES, &a, -600);
    assert_int_equal(budget_of(b, BUDGET_ENVELOPES, &a), 0);
    assert_true(budget_allows(b, BUDGET_ENVELOPES, &a, 500, 0));
    budget_close(b);
}

/* An attacker has as many addresses as it likes, and a stranger still gets in. */
static void test_strangers_are_seldom_taken_for_the_client_that_has_too_much(void **state)
{
    struct budget *b = budget_open(&key);
    struct addr flood = addr_of("192.0.2.1");
    unsigned refused = 0;

    budget_limit(b, BUDGET_CONNECTIONS, 1000, 16);
    budget_count(b, BUDGET_CONNECTIONS, &flood, 900);
    for (unsigned i = 0; i < 10000; i++) {
        struct addr a = {.family = ADDR_IP4, .octets = {10, (uint8_t)(i >> 8), (uint8_t)i, 1}};
        refused += !budget_allows(b, BUDGET_CONNECTIONS, &a, 1, 900);
    }
    assert_true(refused < 20);
    budget_close(b);
}

/* Clients come in turn, far more than a worker keeps the places of: each has its own counter. */
static void test_many_clients_in_any_order_have_counters_of_their_own(void **state)
{
    enum { CLIENTS = 3000 };
    struct budget *b = budget_open(&key);
    struct addr a = {.family = ADDR_IP4};

    for (int round = 0; round < 2; round++)
        for (int i = 0; i < CLIENTS; i++) {
            int n = round ? CLIENTS - 1 - i : i;
            a.octets[0] = (uint8_t)(n / 256);
            a.octets[3] = (uint8_t)n;
            if (round)
                assert_true(budget_of(b, BUDGET_CONNECTIONS, &a) >= (uint64_t)n);
            budget_count(b, BUDGET_CONNECTIONS, &a, round ? -n : n);
        }
    for (int n = 0; n < CLIENTS; n++) {
        a.octets[0] = (uint8_t)(n / 256);
        a.octets[3] = (uint8_t)n;
        assert_int_equal(budget_of(b, BUDGET_CONNECTIONS, &a), 0);
    }
    assert_int_equal(budget_taken(b, BUDGET_CONNECTIONS), 0);
    budget_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_is_limited_while_there_is_room),
        cmocka_unit_test(test_the_least_is_everybodys),
        cmocka_unit_test(test_what_is_given_back_is_there_again),
        cmocka_unit_test(test_many_clients_in_any_order_have_counters_of_their_own),
        cmocka_unit_test(test_strangers_are_seldom_taken_for_the_client_that_has_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
