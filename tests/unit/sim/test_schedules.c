/* No sender that comes back as real ones do loses a message, whatever situation it is in (law 1),
 * nor whatever the ledger's key is: the key is of the seed. With a number as argument: so many
 * seeds (`make soak`). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "schedules.h"

enum { HOUR = 3600 };

static uint64_t seeds = 3;

/* One of many connections takes long, so it gets fewer seeds. */
static uint64_t seeds_for(const struct sim_situation *in)
{
    return seeds > 3 || in->population.group[1].agents < 1000 ? seeds : 1;
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

static void test_no_real_schedule_loses_a_message(void **state)
{
    struct tarpit_rules rules = config_default_rules();

    for (size_t k = 0; k < sim_situations_count; k++)
        for (size_t i = 0; i < sim_schedules_count; i++)
            for (uint64_t seed = 11; seed < 11 + seeds_for(&sim_situations[k]); seed++) {
                struct sim_population p = sim_returning(&sim_schedules[i], &sim_situations[k]);
                struct sim_result r;
                if (!sim_schedules[i].real || sim_situations[k].imitator ||
                    (sim_situations[k].pool && !sim_schedules[i].moves))
                    continue;
                assert_true(sim_run(&p, &rules, seed, &r));
                assert_true(r.mails > 30);
                if (r.lost || r.delivered != r.mails || r.typos_told != r.typos)
                    fail_msg("%s, %s, seed %d: %d of %d delivered, %d lost, %d of %d typos told",
                             sim_situations[k].name, sim_schedules[i].name, (int)seed,
                             (int)r.delivered, (int)r.mails, (int)r.lost, (int)r.typos_told,
                             (int)r.typos);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_real_schedule_loses_a_message),
        cmocka_unit_test(test_without_r26_a_schedule_loses_messages),
        cmocka_unit_test(test_beside_an_imitator_few_messages_are_lost),
        cmocka_unit_test(test_the_same_seed_gives_the_same_delays),
        cmocka_unit_test(test_bots_that_do_not_come_back_lose_what_is_put_off),
        cmocka_unit_test(test_schedules_come_to_an_end),
    };
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
