/* The rows of docs/tarpit.md's tables, against what version 0.1 came to: an attacker is told hardly
 * more, an innocent waits no longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "populations.h"

static struct sim_result run_seed(const struct sim_population *p, uint64_t seed)
{
    struct tarpit_rules mired = config_default_rules();
    struct sim_result out;

    assert_true(sim_run(p, &mired, seed, &out));
    return out;
}

static struct sim_result run(const struct sim_population *p)
{
    return run_seed(p, 1);
}

static const struct sim_population *named(const struct sim_population *list, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    fail_msg("no population is named %s", name);
    return NULL;
}

static double an_hour(const struct sim_result *r)
{
    return (double)r->verdicts / (r->exhausted_s > 0 ? r->exhausted_s / 3600 : r->attack_hours);
}

static void test_no_attack_is_told_a_tenth_more_than_by_version_0_1(void **state)
{
    static const struct {
        const char *name;
        double verdicts, spam; /* of 0.1 */
    } was[] = {{"harvest, 1 connection", 42, 0},   {"harvest, 1,000 connections", 42, 0},
               {"impatient harvest", 4, 0},        {"harvest as call-outs", 4, 0},
               {"one network, 254 bots", 1376, 0}, {"10,000 bots", 420818, 0},
               {"passwords, 1,000 bots", 42, 0},   {"spam run, old list", 0, 1140},
               {"IPv6, 10,000 /64", 27448, 0}};

    assert_int_equal(sizeof was / sizeof *was, sim_attacks_count);
    for (size_t i = 0; i < sizeof was / sizeof *was; i++) {
        struct sim_result r = run(named(sim_attacks, sim_attacks_count, was[i].name));
        if (an_hour(&r) > 1.1 * was[i].verdicts || (double)r.spam > 1.1 * was[i].spam)
            fail_msg("%s: %.0f verdicts an hour, %.0f spam", was[i].name, an_hour(&r),
                     (double)r.spam);
    }
}

static void test_no_innocent_waits_longer_than_with_version_0_1(void **state)
{
    static const struct {
        const char *name;
        uint64_t late;  /* of 0.1, or less where issue 12 asks for less */
        double worst_s; /* the same */
    } was[] = {{"one typo", 0, 0},           {"small site", 0, 0},
               {"mailing list", 0, 0},       {"mailing list, new", 4, 18},
               {"big provider", 11, 18},     {"call-outs", 223, 16575},
               {"NAT pool", 0, 0},           {"NAT pool, one infected", 3, 5940},
               {"beside 10,000 bots", 0, 0}, {"provider pool", 98, 5000},
               {"beside a loud host", 0, 0}, {"bounces to a trap", 0, 0},
               {"bounces to nobody", 0, 0}};

    assert_int_equal(sizeof was / sizeof *was, sim_senders_count);
    for (size_t i = 0; i < sizeof was / sizeof *was; i++) {
        struct sim_result r = run(named(sim_senders, sim_senders_count, was[i].name));
        if (r.delivered != r.mails || r.typos_told != r.typos || r.late > was[i].late ||
            r.delay_worst_s > was[i].worst_s)
            fail_msg("%s: %.0f of %.0f delivered, %.0f late, worst %.0f s", was[i].name,
                     (double)r.delivered, (double)r.mails, (double)r.late, r.delay_worst_s);
    }
}

static void test_correspondents_of_a_provider_with_spammers_are_hardly_ever_late(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct sim_result r =
            run_seed(named(sim_senders, sim_senders_count, "provider pool"), seed);
        assert_true(r.of_correspondents > r.mails * 9 / 10);
        assert_true(r.correspondents_late * 100 <= r.of_correspondents);
    }
}

static void test_beside_an_infected_machine_hardly_anybody_is_late(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct sim_result r =
            run_seed(named(sim_senders, sim_senders_count, "NAT pool, one infected"), seed);
        assert_in_range(r.late, 0, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_attack_is_told_a_tenth_more_than_by_version_0_1),
        cmocka_unit_test(test_no_innocent_waits_longer_than_with_version_0_1),
        cmocka_unit_test(test_correspondents_of_a_provider_with_spammers_are_hardly_ever_late),
        cmocka_unit_test(test_beside_an_infected_machine_hardly_anybody_is_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
