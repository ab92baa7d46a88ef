/* Rations of log lines: the lines of a flood become sums, and the sums are complete. Field notes
 * 15, 31. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <cmocka.h>

#include "worker/ration.h"

/* In place of the C library's: the same places in each run. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    memset(out, 0x5a, len);
    return (ssize_t)len;
}

static struct rations *r;
static struct ration_sum total, sums[RATION_TOLD_MAX + 2];
static unsigned told;

static int begin(void **state)
{
    r = rations_open(1);
    return r ? 0 : -1;
}

static int end(void **state)
{
    rations_close(r);
    return 0;
}

static struct addr client(unsigned n)
{
    char text[32];
    struct addr a;

    snprintf(text, sizeof text, "10.%u.%u.%u", n >> 16, n >> 8 & 255, n & 255);
    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static bool line(const struct addr *a, bool stranger, uint64_t now)
{
    if (ration_take(r, a, stranger, now))
        return true;
    ration_count(r, a, RATION_SESSION, 2, 1000);
    return false;
}

static void note(void *arg, const struct ration_sum *s)
{
    assert_true(told < sizeof sums / sizeof sums[0]);
    sums[told++] = *s;
    total.sessions += s->sessions;
    total.refused += s->refused;
    total.offences += s->offences;
    total.held_ms += s->held_ms;
}

static void tell(void)
{
    total = (struct ration_sum){0};
    told = 0;
    ration_tell(r, note, NULL);
}

/* How many pages of the table have memory. */
static unsigned pages_touched(void)
{
    enum { PAGE = 4096, PAGES = 256 };
    unsigned char in_core[PAGES] = {0};
    uintptr_t from = (uintptr_t)r & ~(uintptr_t)(PAGE - 1);
    size_t pages = ((uintptr_t)r + malloc_usable_size(r) - from) / PAGE;
    unsigned n = 0;

    assert_in_range(pages, 1, PAGES);
    assert_int_equal(mincore((void *)from, pages * PAGE, in_core), 0);
    for (size_t i = 0; i < pages; i++)
        n += in_core[i] & 1;
    return n;
}

/* A held connection costs 256 octets with all that the worker has for it (docs/performance.md). So
 * the table costs what its clients need. This test comes first: later tables may be in memory that
 * an earlier test has touched. */
static void test_few_clients_touch_few_pages(void **state)
{
    unsigned before = pages_touched();

    for (unsigned i = 0; i < 150; i++) {
        struct addr a = client(i * 77);
        line(&a, true, 5);
    }
    assert_in_range(pages_touched() - before, 0, 8); /* 150 places, and all numbers */
}

static void test_one_client_has_a_burst_and_then_two_lines_a_second(void **state)
{
    struct addr a = client(1);
    int written = 0;

    for (int i = 0; i < 1000; i++)
        written += line(&a, true, 5);
    assert_int_equal(written, RATION_BURST);
    for (uint64_t now = 5; now < 5 + 10000; now += 10)
        written += line(&a, true, now);
    assert_in_range(written, RATION_BURST + 19, RATION_BURST + 20);
}

static void test_a_client_is_not_silenced_by_another(void **state)
{
    struct addr a = client(1), b = client(2);

    for (int i = 0; i < 1000; i++)
        line(&a, true, 5);
    assert_true(line(&b, true, 5));
}

static void test_an_ipv6_client_is_its_64(void **state)
{
    struct addr a, b;
    int written = 0;

    assert_true(addr_parse(SPAN("2001:db8::1"), &a) && addr_parse(SPAN("2001:db8::2"), &b));
    for (int i = 0; i < 100; i++)
        written += line(i % 2 ? &a : &b, true, 5);
    assert_int_equal(written, RATION_BURST);
}

static void test_all_strangers_together_have_their_ration_and_good_clients_another(void **state)
{
    struct addr good = client(1 << 20);
    int written = 0;

    for (unsigned i = 0; i < 5000; i++) {
        struct addr a = client(i);
        written += line(&a, true, 5);
    }
    assert_int_equal(written, RATION_ALL_BURST);
    assert_true(line(&good, false, 5));
    for (unsigned i = 5000; i < 15000; i++) {
        struct addr a = client(i);
        written += line(&a, true, 5 + (i - 5000));
    }
    assert_in_range(written, RATION_ALL_BURST + 10 * RATION_ALL_SECOND - 2,
                    RATION_ALL_BURST + 10 * RATION_ALL_SECOND);
}

static void test_workers_share_the_ration_of_all(void **state)
{
    int written = 0;

    rations_close(r);
    r = rations_open(8);
    for (unsigned i = 0; i < 10000; i++) {
        struct addr a = client(i);
        written += line(&a, true, 5 + i);
    }
    assert_in_range(written, (RATION_ALL_BURST + 10 * RATION_ALL_SECOND) / 8 - 2,
                    (RATION_ALL_BURST + 10 * RATION_ALL_SECOND) / 8 + 1);
}

static void test_what_was_not_written_is_in_the_sums_to_the_last(void **state)
{
    unsigned counted = 0;

    assert_false(ration_owes(r));
    for (unsigned i = 0; i < 20000; i++) { /* far more clients than there are places */
        struct addr a = client(i % 9000);
        counted += !line(&a, true, 5);
    }
    assert_true(ration_owes(r));
    tell();
    assert_in_range(told, 1, RATION_TOLD_MAX + 1);
    assert_int_equal(total.sessions, counted);
    assert_int_equal(total.offences, 2 * counted);
    assert_int_equal(total.held_ms, 1000 * (uint64_t)counted);
    assert_false(ration_owes(r));
    tell();
    assert_int_equal(told, 0);
}

static void test_those_with_most_lines_are_named(void **state)
{
    struct addr loud = client(4242);

    for (unsigned i = 0; i < 200; i++)
        for (int k = 0; k < 25; k++) {
            struct addr a = client(i);
            line(&a, true, 5);
        }
    for (int i = 0; i < 500; i++)
        line(&loud, true, 5);
    ration_count(r, &loud, RATION_REFUSED, 0, 0);
    tell();
    assert_int_equal(told, RATION_TOLD_MAX + 1);
    unsigned found = 0;
    for (unsigned i = 0; i < told; i++)
        if (addr_equal(&sums[i].client, &loud)) {
            found++;
            assert_in_range(sums[i].sessions, 480, 500);
            assert_int_equal(sums[i].refused, 1);
        }
    assert_int_equal(found, 1);
    assert_int_equal(sums[told - 1].client.family, ADDR_NONE);
    assert_true(sums[told - 1].clients > 100);
}

static void test_a_place_is_free_again_when_its_client_is_quiet(void **state)
{
    struct addr a = client(7);

    for (unsigned i = 0; i < 100000; i++) { /* each place many times over, slowly */
        struct addr other = client(i);
        line(&other, false, 5 + (uint64_t)i * 1000);
    }
    tell();
    assert_int_equal(told, 0);
    assert_true(line(&a, true, (uint64_t)200000 * 1000));
}

int main(void)
{
#define RATION_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        RATION_TEST(test_few_clients_touch_few_pages),
        RATION_TEST(test_one_client_has_a_burst_and_then_two_lines_a_second),
        RATION_TEST(test_a_client_is_not_silenced_by_another),
        RATION_TEST(test_an_ipv6_client_is_its_64),
        RATION_TEST(test_all_strangers_together_have_their_ration_and_good_clients_another),
        RATION_TEST(test_workers_share_the_ration_of_all),
        RATION_TEST(test_what_was_not_written_is_in_the_sums_to_the_last),
        RATION_TEST(test_those_with_most_lines_are_named),
        RATION_TEST(test_a_place_is_free_again_when_its_client_is_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
