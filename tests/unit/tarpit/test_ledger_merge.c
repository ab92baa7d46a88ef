/* ledger_merge(): what another ledger knew is taken in, and nothing that is known here is lowered.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tarpit/ledger.h"

#define NOW  UINT64_C(1700000000000)
#define HOUR UINT64_C(3600000)
static const struct ledger_decay decay = {HOUR, 24 * HOUR};

static struct ledger *open_empty(struct ledger_key *k)
{
    struct addr a = {.family = ADDR_IP4, .octets = {192, 0, 2, 7}};
    struct ledger *l;

    assert_int_equal(ledger_open(&l, NULL, 65536), 0);
    *k = ledger_key_client(l, &a);
    return l;
}

static struct ledger_entry get(struct ledger *l, const struct ledger_key *k)
{
    struct ledger_entry e;

    ledger_get(l, k, &decay, NOW, &e);
    return e;
}

static const struct ledger_entry known = {.offences = 8,
                                          .good = 40,
                                          .turn_ms = NOW + 50000,
                                          .debt_ms = NOW + 60000,
                                          .pass_ms = NOW - 5 * HOUR,
                                          .patience_ms = 30000,
                                          .paced = true,
                                          .flags = LEDGER_SUSPECT | LEDGER_TRAPPED | LEDGER_EXEMPT};

static void assert_is_known(struct ledger_entry e)
{
    assert_true(e.offences > 7.99 && e.offences < 8.01);
    assert_true(e.good > 39.9 && e.good < 40.1);
    assert_int_equal(e.turn_ms, known.turn_ms);
    assert_int_equal(e.debt_ms, known.debt_ms);
    assert_in_range(e.pass_ms, NOW - 6 * HOUR, NOW - 4 * HOUR);
    assert_int_equal(e.patience_ms, known.patience_ms);
    assert_int_equal(e.flags, known.flags);
    assert_int_equal(e.exempt_until_ms, 0);
    assert_true(e.paced);
}

static void test_into_an_empty_ledger_all_of_it_comes_and_twice_is_once(void **state)
{
    struct ledger_key k;
    struct ledger *l = open_empty(&k);

    ledger_merge(l, &k, &decay, NOW, &known, NOW);
    assert_is_known(get(l, &k));
    ledger_merge(l, &k, &decay, NOW, &known, NOW);
    assert_is_known(get(l, &k));
    ledger_close(l);
}

static void test_nothing_is_lowered(void **state)
{
    struct ledger_key k;
    struct ledger *l = open_empty(&k);
    struct ledger_entry less = {.offences = 1,
                                .good = 2,
                                .turn_ms = NOW + 1000,
                                .debt_ms = NOW + 1000,
                                .patience_ms = 90000,
                                .exempt_until_ms = NOW + HOUR,
                                .flags = LEDGER_EXEMPT};

    ledger_merge(l, &k, &decay, NOW, &known, NOW);
    ledger_merge(l, &k, &decay, NOW, &less, NOW);
    assert_is_known(get(l, &k));
    ledger_close(l);
}

static void test_the_order_does_not_matter(void **state)
{
    struct ledger_entry other = {.offences = 20, .good = 3, .patience_ms = 9000};

    for (int order = 0; order < 2; order++) {
        struct ledger_key k;
        struct ledger *l = open_empty(&k);
        ledger_merge(l, &k, &decay, NOW, order ? &other : &known, NOW);
        ledger_merge(l, &k, &decay, NOW, order ? &known : &other, NOW);
        struct ledger_entry e = get(l, &k);
        assert_true(e.offences > 19.9 && e.good > 39.9);
        assert_int_equal(e.patience_ms, 9000);
        assert_int_equal(e.turn_ms, known.turn_ms);
        ledger_close(l);
    }
}

static void test_amounts_fade_while_they_lie_in_a_file(void **state)
{
    struct ledger_key k;
    struct ledger *l = open_empty(&k);

    ledger_merge(l, &k, &decay, NOW, &known, NOW - 2 * HOUR);
    struct ledger_entry e = get(l, &k);
    assert_true(e.offences > 1.99 && e.offences < 2.01);
    ledger_close(l);
}

static void test_what_is_over_does_not_come_back(void **state)
{
    struct ledger_key k;
    struct ledger *l = open_empty(&k);
    struct ledger_entry old = {
        .turn_ms = NOW - 1, .debt_ms = NOW - 1, .flags = LEDGER_EXEMPT, .exempt_until_ms = NOW - 1};

    ledger_merge(l, &k, &decay, NOW, &old, NOW - HOUR);
    struct ledger_entry e = get(l, &k);
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.turn_ms, 0);
    assert_int_equal(e.debt_ms, 0);
    ledger_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_into_an_empty_ledger_all_of_it_comes_and_twice_is_once),
        cmocka_unit_test(test_nothing_is_lowered),
        cmocka_unit_test(test_the_order_does_not_matter),
        cmocka_unit_test(test_amounts_fade_while_they_lie_in_a_file),
        cmocka_unit_test(test_what_is_over_does_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
