/* No sender that comes back as real ones do loses a message, whatever situation it is in (law 1),
 * nor whatever the ledger's key is: the key is of the seed. With a number as argument: so many
 * seeds (`make soak`); with the names of situations after it: only the first test, in these; with
 * "--imitators N" after it: only what N connections of imitators cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "effort.h"
#include "schedules.h"

enum { HOUR = 3600 };

static uint64_t seeds = 3;
static char **only; /* names of situations, up to a NULL; NULL: all */

static bool takes_long(const struct sim_situation *in)
{
    return in->population.group[1].agents >= 1000;
}

/* One of many connections takes long, so it gets fewer seeds. */
static uint64_t seeds_for(const struct sim_situation *in)
{
    if (seeds > 3)
        return seeds;
    return takes_long(in) ? 1 : effort_of((uint32_t)seeds);
}

/* In a slow build such a situation meets a third of the schedules: another third than the one
 * before. One of those that move (the first three) is among them. */
static bool meet(size_t schedule, size_t situation)
{
    return seeds > 3 || effort_is_whole() || !takes_long(&sim_situations[situation]) ||
           (schedule + situation) % 3 == 0;
}

static bool is_wanted(const struct sim_situation *in)
{
    if (!only)
        return true;
    for (char **name = only; *name; name++)
        if (strcmp(in->name, *name) == 0)
            return true;
    return false;
}

static const struct sim_situation *named(const char *name)
{
    for (size_t k = 0; k < sim_situations_count; k++)
        if (strcmp(sim_situations[k].name, name) == 0)
            return &sim_situations[k];
    fail_msg("no situation is named %s", name);
    return NULL;
}

static const struct sim_schedule *schedule(const char *name)
{
    for (size_t i = 0; i < sim_schedules_count; i++)
        if (strcmp(sim_schedules[i].name, name) == 0)
            return &sim_schedules[i];
    fail_msg("no schedule is named %s", name);
    return NULL;
}

/* Adds one run's messages to *mails. */
static void lose_nothing(const struct sim_schedule *s, const struct sim_situation *in,
                         uint64_t seed, uint64_t *mails)
{
    struct tarpit_rules rules = config_default_rules();
    struct sim_population p = sim_returning(s, in);
    struct sim_result r;

    assert_true(sim_run(&p, &rules, seed, &r));
    assert_true(r.mails > 30);
    *mails += r.mails;
    if (r.lost || r.delivered != r.mails || r.typos_told != r.typos)
        fail_msg("%s, %s, seed %d: %d of %d delivered, %d lost, %d of %d typos told", in->name,
                 s->name, (int)seed, (int)r.delivered, (int)r.mails, (int)r.lost, (int)r.typos_told,
                 (int)r.typos);
}

static void test_no_real_schedule_loses_a_message(void **state)
{
    for (char **name = only; name && *name; name++)
        named(*name);
    for (size_t k = 0; k < sim_situations_count; k++) {
        const struct sim_situation *in = &sim_situations[k];
        uint64_t mails = 0;
        if (in->imitator || !is_wanted(in))
            continue;
        for (size_t i = 0; i < sim_schedules_count; i++)
            for (uint64_t seed = 11; seed < 11 + seeds_for(in); seed++)
                if (sim_schedules[i].real && meet(i, k) && (!in->pool || sim_schedules[i].moves))
                    lose_nothing(&sim_schedules[i], in, seed, &mails);
        print_message("%s: %d seeds, %d messages, none lost\n", in->name, (int)seeds_for(in),
                      (int)mails);
    }
}

/* The ledger's key decides which mailboxes count as one, so it is of the seed, too. */
static void test_the_same_seed_gives_the_same_delays(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct sim_population p = sim_returning(&sim_schedules[0], named("shares it, many domains"));
    struct sim_result a, b;

    for (uint64_t seed = 11; seed < 14; seed++) {
        assert_true(sim_run(&p, &rules, seed, &a));
        assert_true(sim_run(&p, &rules, seed, &b));
        assert_memory_equal(&a, &b, sizeof a);
    }
}

/* R26 is why: without it AOL's schedule loses messages beside 1,000 connections. */
static void test_without_r26_a_schedule_loses_messages(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct sim_population p = sim_returning(schedule("AOL"), named("shares it with 1,000"));
    struct sim_result r;

    rules.retry_after = 0;
    assert_true(sim_run(&p, &rules, 11, &r));
    assert_in_range(r.lost, 1, 100);
}

/* Nobody can tell an imitated retry from a real one. With ten connections of imitators behind its
 * address a schedule loses few messages; the harvester is told no more than without imitation. */
static void test_beside_an_imitator_few_messages_are_lost(void **state)
{
    struct tarpit_rules rules = config_default_rules();

    for (size_t k = 0; k < sim_situations_count; k++)
        for (size_t i = 0; sim_situations[k].imitator && i < sim_schedules_count; i++) {
            struct sim_population p = sim_returning(&sim_schedules[i], &sim_situations[k]);
            struct sim_result r;
            if (!sim_schedules[i].real)
                continue;
            assert_true(sim_run(&p, &rules, 11, &r));
            assert_in_range(r.lost, 0, 5);
            assert_true((double)r.verdicts <= 42 * r.attack_hours);
        }
}

/* Connections of imitators that ask evenly, for a week, which is longer than any schedule. */
static struct sim_population beside_imitators(const struct sim_schedule *s, uint32_t connections)
{
    struct sim_population p = sim_returning(s, named("beside an imitator"));

    p.hours = 7 * 24;
    p.group[1].agents = connections;
    p.group[1].within_s = 285;
    return p;
}

static uint32_t imitators = 10;

/* The bound of docs/tarpit.md: what a sender loses depends on how often it tries. */
static void test_a_schedule_with_many_tries_loses_nothing_beside_imitators(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    bool all = imitators != 10 || seeds > 3;

    for (size_t i = 0; i < sim_schedules_count; i++) {
        const struct sim_schedule *s = &sim_schedules[i];
        bool patient = strcmp(s->name, "sendmail") == 0 || strcmp(s->name, "Postfix") == 0;
        uint64_t lost = 0, mails = 0;
        if (!s->real || !(all || patient || strcmp(s->name, "AOL") == 0))
            continue;
        for (uint64_t seed = 11; seed < 11 + (all ? seeds : 1); seed++) {
            struct sim_population p = beside_imitators(s, imitators);
            struct sim_result r;
            assert_true(sim_run(&p, &rules, seed, &r));
            assert_true(r.mails > 30 && r.delivered + r.lost == r.mails);
            assert_true((double)r.verdicts <= 42 * r.attack_hours);
            lost += r.lost;
            mails += r.mails;
        }
        if (all)
            print_message("%d connections of imitators, %s: %d of %d messages lost\n",
                          (int)imitators, s->name, (int)lost, (int)mails);
        assert_true(lost == 0 || (!patient && lost * 10 <= mails) || imitators > 10);
    }
}

/* A sender whose domain has delivered before does not compete with them (R21). */
static void test_imitators_cost_a_correspondent_nothing(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    struct sim_population p = beside_imitators(schedule("AOL"), 100);
    struct sim_result r;

    p.hours = 36;
    p.group[0].domains = 1;
    p.group[0].history = 100;
    assert_true(sim_run(&p, &rules, 11, &r));
    assert_true(r.mails > 30 && r.delivered == r.mails);
    assert_int_equal(r.lost, 0);
}

/* The first test can fail: a sender that does not come back loses what is put off. */
static void test_bots_that_do_not_come_back_lose_what_is_put_off(void **state)
{
    struct tarpit_rules rules = config_default_rules();
    uint64_t lost = 0;

    for (size_t k = 0; k < sim_situations_count; k++)
        for (size_t i = 0; i < sim_schedules_count; i++) {
            struct sim_population p = sim_returning(&sim_schedules[i], &sim_situations[k]);
            struct sim_result r;
            if (sim_schedules[i].real || sim_situations[k].pool ||
                sim_situations[k].population.group[1].agents >= 1000)
                continue;
            assert_true(sim_run(&p, &rules, 1, &r));
            assert_int_equal(r.delivered + r.lost, r.mails);
            lost += r.lost;
        }
    assert_in_range(lost, 100, 100000);
}

static void test_schedules_come_to_an_end(void **state)
{
    for (size_t i = 0; i < sim_schedules_count; i++) {
        const struct sim_schedule *s = &sim_schedules[i];
        double age = 0;
        uint32_t tries = 1, wait;
        while ((wait = sim_schedule_wait(s, tries, age)) > 0) {
            age += wait;
            tries++;
        }
        assert_true(age <= s->gives_up_s && age + 40000 >= s->gives_up_s * (s->real ? 1 : 0));
    }
    assert_int_equal(sim_schedule_wait(schedule("Postfix"), 1, 0), 300);
    assert_int_equal(sim_schedule_wait(schedule("Postfix"), 9, HOUR), 4000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest cost[] = {
        cmocka_unit_test(test_a_schedule_with_many_tries_loses_nothing_beside_imitators),
    };
    const struct CMUnitTest situations[] = {
        cmocka_unit_test(test_no_real_schedule_loses_a_message),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_real_schedule_loses_a_message),
        cmocka_unit_test(test_without_r26_a_schedule_loses_messages),
        cmocka_unit_test(test_beside_an_imitator_few_messages_are_lost),
        cmocka_unit_test(test_a_schedule_with_many_tries_loses_nothing_beside_imitators),
        cmocka_unit_test(test_imitators_cost_a_correspondent_nothing),
        cmocka_unit_test(test_the_same_seed_gives_the_same_delays),
        cmocka_unit_test(test_bots_that_do_not_come_back_lose_what_is_put_off),
        cmocka_unit_test(test_schedules_come_to_an_end),
    };
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc == 4 && strcmp(argv[2], "--imitators") == 0) {
        imitators = (uint32_t)strtoul(argv[3], NULL, 10);
        return cmocka_run_group_tests(cost, NULL, NULL);
    }
    if (argc > 2) {
        only = argv + 2;
        return cmocka_run_group_tests(situations, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
