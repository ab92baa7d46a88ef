/* R15: which unknown recipients are proposed as traps, and what attackers, enemies and floods can
 * do about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tarpit/tried.h"

#define T0  UINT64_C(1800000000000)
#define DAY (24 * UINT64_C(3600000))

static struct tried *t;

static int setup(void **state)
{
    return tried_open(&t, NULL);
}

static int teardown(void **state)
{
    tried_close(t);
    return 0;
}

static struct addr client(uint32_t network, uint8_t last)
{
    struct addr a = {.family = ADDR_IP4, .octets = {10, 0, 0, last}};
    a.octets[0] = (uint8_t)(11 + network / 65536);
    a.octets[1] = (uint8_t)(network / 256);
    a.octets[2] = (uint8_t)network;
    return a;
}

static void try(const char *address, uint32_t network, uint64_t now)
{
    struct addr a = client(network, 7);
    tried_by_stranger(t, span_of(address), &a, now);
}

/* From `networks` networks on each of `days` days. Returns the last moment. */
static uint64_t spray(const char *address, uint32_t networks, uint32_t days)
{
    for (uint32_t d = 0; d < days; d++)
        for (uint32_t n = 0; n < networks; n++)
            try(address, n * 37 + 1, T0 + d * DAY + n);
    return T0 + (days - 1) * DAY;
}

static bool proposed(const char *address, uint64_t now, struct tried_address *out)
{
    uint32_t at = 0;

    while (tried_next(t, &at, now, out))
        if (strcmp(out->address, address) == 0)
            return true;
    return false;
}

static bool is_proposed(const char *address, uint64_t now)
{
    struct tried_address a;
    return proposed(address, now, &a);
}

static void test_r15_what_many_strangers_try_is_proposed_with_its_ages(void **state)
{
    struct tried_address a;
    uint64_t now = spray("x7q.5521@a.example", 12, 6);
    assert_true(proposed("x7q.5521@a.example", now, &a));
    assert_in_range(a.networks, 10, 14);
    assert_int_equal(a.days, 6);
    assert_true(a.first_ms <= T0 && a.first_ms + DAY > T0);
    assert_true(a.last_ms + 1000 > now && !a.name_like);
}

static void test_r15_few_networks_or_few_days_are_not_enough(void **state)
{
    uint64_t now = spray("x7q.5521@a.example", 3, 9);
    assert_false(is_proposed("x7q.5521@a.example", now));
    now = spray("y8r.6632@a.example", 40, 2);
    assert_false(is_proposed("y8r.6632@a.example", now));
    for (uint32_t d = 0; d < 9; d++) /* many clients of one network are one */
        for (uint8_t n = 1; n < 200; n++) {
            struct addr a = client(5, n);
            tried_by_stranger(t, SPAN("z9s.7743@a.example"), &a, T0 + d * DAY);
        }
    assert_false(is_proposed("z9s.7743@a.example", T0 + 9 * DAY));
}

static void test_r15_one_good_client_spares_an_address_whenever_it_tries_it(void **state)
{
    tried_by_good(t, SPAN("before.1@a.example"), T0 - 30 * DAY);
    uint64_t now = spray("before.1@a.example", 20, 5);
    assert_false(is_proposed("before.1@a.example", now));
    spray("after.1@a.example", 20, 5);
    assert_true(is_proposed("after.1@a.example", now));
    tried_by_good(t, SPAN("after.1@a.example"), now);
    assert_false(is_proposed("after.1@a.example", now));
}

static void test_r15_who_was_a_user_within_a_year_is_never_proposed(void **state)
{
    tried_exists(t, SPAN("left.early7@a.example"), T0 - 360 * DAY);
    tried_exists(t, SPAN("left.long.ago8@a.example"), T0 - 380 * DAY);
    uint64_t now = spray("left.early7@a.example", 20, 4);
    spray("left.long.ago8@a.example", 20, 4);
    assert_false(is_proposed("left.early7@a.example", now));
    assert_true(is_proposed("left.long.ago8@a.example", now));
    tried_exists(t, SPAN("hired.now9+news@a.example"), now); /* a sub-address is the mailbox */
    spray("hired.now9@a.example", 20, 4);
    assert_false(is_proposed("hired.now9@a.example", now));
    assert_int_equal(tried_overflowed(t), 0);
}

/* The enemy has a competitor's correspondents' typing errors become traps, by trying them from a
 * botnet before they do. */
static void test_r15_a_typing_error_of_an_address_that_exists_is_never_proposed(void **state)
{
    static const char *const typos[] = {
        "orers7@a.example",   "ordders7@a.example", "odrers7@a.example", "ordere7@a.example",
        "orders7x@a.example", "xorders7@a.example", "orders.7@a.example"};
    uint64_t now = 0;
    tried_exists(t, SPAN("orders7@a.example"), T0);
    for (size_t i = 0; i < sizeof typos / sizeof *typos; i++)
        now = spray(typos[i], 30, 5);
    for (size_t i = 0; i < sizeof typos / sizeof *typos; i++)
        assert_false(is_proposed(typos[i], now));
    spray("orders7@b.example", 30, 5); /* of another domain */
    spray("oedxrs7@a.example", 30, 5); /* two errors */
    assert_true(is_proposed("orders7@b.example", now));
    assert_true(is_proposed("oedxrs7@a.example", now));
}

static void test_r15_what_everybody_may_write_to_is_never_proposed(void **state)
{
    uint64_t now = spray("info@a.example", 30, 5);
    spray("postmaster@a.example", 30, 5);
    spray("somebody+tag@a.example", 30, 5);
    struct tried_address a;
    uint32_t at = 0;
    assert_false(tried_next(t, &at, now, &a));
}

/* A future employee's address: mired cannot know, so it says what it looks like. */
static void test_r15_what_looks_like_a_name_is_marked(void **state)
{
    struct tried_address a;
    uint64_t now = spray("jane.doe@a.example", 9, 4);
    spray("jane@a.example", 9, 4);
    spray("20040512.ab.c@a.example", 9, 4);
    assert_true(proposed("jane.doe@a.example", now, &a) && a.name_like);
    assert_true(proposed("jane@a.example", now, &a) && a.name_like);
    assert_true(proposed("20040512.ab.c@a.example", now, &a) && !a.name_like);
}

/* An attacker with 50,000 made-up names a day, each from two networks, beside 100 candidates that
 * have been tried from 12 networks on 5 days. Networks are counted in 64 bits, where two may share
 * one: with few networks a random key would decide. */
static void test_r15_a_flood_of_made_up_names_leaves_the_candidates(void **state)
{
    char name[64];
    uint64_t now = 0;
    unsigned left = 0;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "real.%u.x9@a.example", i);
        now = spray(name, 12, 5);
    }
    for (uint32_t i = 0; i < 200000; i++) {
        snprintf(name, sizeof name, "flood%u.7@a.example", i);
        try(name, 2 * i % 5000, now + i * 4 * DAY / 200000);
        try(name, (2 * i + 1) % 5000, now + i * 4 * DAY / 200000);
    }
    now += 4 * DAY;
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "real.%u.x9@a.example", i);
        left += is_proposed(name, now);
    }
    assert_in_range(left, 99, 100);
    /* And a new one still becomes a candidate while the flood's fill the table. */
    for (uint32_t d = 0; d < 5; d++)
        for (uint32_t n = 0; n < 12; n++)
            try("late.comer.5@a.example", n * 37 + 1, now + d * DAY);
    assert_true(is_proposed("late.comer.5@a.example", now + 5 * DAY));
}

/* What one network tries leaves no text, and what nobody tries any more is forgotten. */
static void test_r15_texts_are_kept_of_candidates_only_and_not_for_ever(void **state)
{
    char path[] = "/tmp/mired-tried-XXXXXX", *all;
    struct tried *f;
    struct stat st;
    int fd = mkstemp(path);
    struct addr a = client(1, 1), b = client(2, 1);
    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(tried_open(&f, path), 0);
    tried_by_stranger(f, SPAN("secretly.mistyped@a.example"), &a, T0);
    tried_by_stranger(f, SPAN("tried.by.two@a.example"), &a, T0);
    tried_by_stranger(f, SPAN("tried.by.two@a.example"), &b, T0);
    for (uint32_t n = 3; n < 9; n++) { /* two networks may count as one */
        struct addr more = client(n, 1);
        tried_by_stranger(f, SPAN("tried.by.two@a.example"), &more, T0);
    }
    tried_exists(f, SPAN("somebody.real@a.example"), T0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 5200000);
        all = malloc((size_t)st.st_size);
        FILE *file = fopen(path, "r");
        assert_int_equal(fread(all, 1, (size_t)st.st_size, file), st.st_size);
        fclose(file);
        assert_null(memmem(all, (size_t)st.st_size, "mistyped", 8));
        assert_null(memmem(all, (size_t)st.st_size, "somebody", 8));
        assert_int_equal(memmem(all, (size_t)st.st_size, "by.two", 6) != NULL, round == 0);
        free(all);
        tried_tend(f, T0 + 91 * DAY);
    }
    tried_close(f);
    unlink(path);
}

static void test_r15_it_says_when_it_had_to_forget_who_existed(void **state)
{
    char name[64];
    for (uint32_t i = 0; i < 400000; i++) { /* a domain where every address exists */
        snprintf(name, sizeof name, "any%u@all.example", i);
        tried_exists(t, span_of(name), T0);
    }
    assert_true(tried_overflowed(t) <= T0 && tried_overflowed(t) + DAY > T0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_r15_what_many_strangers_try_is_proposed_with_its_ages),
        TEST(test_r15_few_networks_or_few_days_are_not_enough),
        TEST(test_r15_one_good_client_spares_an_address_whenever_it_tries_it),
        TEST(test_r15_who_was_a_user_within_a_year_is_never_proposed),
        TEST(test_r15_a_typing_error_of_an_address_that_exists_is_never_proposed),
        TEST(test_r15_what_everybody_may_write_to_is_never_proposed),
        TEST(test_r15_what_looks_like_a_name_is_marked),
        TEST(test_r15_a_flood_of_made_up_names_leaves_the_candidates),
        TEST(test_r15_texts_are_kept_of_candidates_only_and_not_for_ever),
        TEST(test_r15_it_says_when_it_had_to_forget_who_existed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
