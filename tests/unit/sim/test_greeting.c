/* R22 in the simulator: who talks first learns nothing, who waits learns as much as before, and good
 * mail is late by one pause for each address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "populations.h"

enum { GREET_S = 8 };

static struct sim_result run(struct sim_population p, uint64_t greet_s)
{
    struct tarpit_rules r = config_default_rules();
    struct sim_result out;

    r.greet = greet_s * 1000;
    assert_true(sim_run(&p, &r, 3, &out));
    return out;
}

static struct sim_population sender(const char *name)
{
    for (size_t i = 0; i < sim_senders_count; i++)
        if (strcmp(sim_senders[i].name, name) == 0)
            return sim_senders[i];
    fail();
    return sim_senders[0];
}

static void test_bots_that_talk_first_learn_nothing(void **state)
{
    struct sim_result without = run(sim_talkers(1), 0), with = run(sim_talkers(1), GREET_S);

    assert_true(without.verdicts > 50000); /* they talk early only when R3 holds their greeting */
    assert_int_equal(with.verdicts, 0);
    assert_true(with.early > 3000);
}

static void test_a_third_of_the_bots_costs_a_third_of_the_verdicts(void **state)
{
    struct sim_result none = run(sim_talkers(0), GREET_S), third = run(sim_talkers(0.33), GREET_S);
    double share = (double)third.verdicts / (double)none.verdicts;

    assert_true(share > 0.66 && share < 0.68);
}

/* The attacker that has read the rule waits, and loses `greet` once from each address. */
static void test_bots_that_wait_lose_one_pause_each(void **state)
{
    struct sim_result without = run(sim_talkers(0), 0), with = run(sim_talkers(0), GREET_S);

    assert_int_equal(with.early, 0);
    assert_true(with.verdicts <= without.verdicts && with.verdicts * 100 > without.verdicts * 95);
}

static void test_good_mail_is_late_by_one_pause_for_each_address(void **state)
{
    struct sim_result one = run(sender("small site"), GREET_S);
    struct sim_result many = run(sender("big provider"), GREET_S);
    struct sim_result known = run(sender("mailing list"), GREET_S);

    assert_int_equal(one.delivered, one.mails);
    assert_in_range(one.late, 1, 2);
    assert_true(one.delay_worst_s <= GREET_S + 1);
    assert_int_equal(many.delivered, many.mails);
    assert_in_range(many.late, 40, 60);    /* its 48 addresses */
    assert_true(many.delay_worst_s <= 20); /* a typo before an address has delivered: T(1) */
    assert_int_equal(known.late, 0);       /* it has delivered before */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bots_that_talk_first_learn_nothing),
        cmocka_unit_test(test_a_third_of_the_bots_costs_a_third_of_the_verdicts),
        cmocka_unit_test(test_bots_that_wait_lose_one_pause_each),
        cmocka_unit_test(test_good_mail_is_late_by_one_pause_for_each_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
