/* The tarpit's arithmetic, rule by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

enum { SECOND = 1000 };

static void test_r1_holds_grow_from_time_to_max(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_int_equal(policy_time(&r, 1), 20 * SECOND);
    assert_int_equal(policy_time(&r, 2), 30 * SECOND);
    assert_int_equal(policy_time(&r, 3), 45 * SECOND);
    assert_int_equal(policy_time(&r, 5), 90 * SECOND);
    assert_int_equal(policy_time(&r, 1e9), 90 * SECOND);
}

static void test_r1_less_than_one_offence_is_held_like_one(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_int_equal(policy_time(&r, 0), 20 * SECOND);
    assert_int_equal(policy_time(&r, 0.25), 20 * SECOND);
}

static void test_r1_max_bounds_time_itself(void **state)
{
    struct tarpit_rules r = config_default_rules();
    r.time = 600 * SECOND;
    assert_int_equal(policy_time(&r, 1), 90 * SECOND);
}

static void test_r2_time_0_is_no_hold_whatever_the_offences(void **state)
{
    struct tarpit_rules r = config_default_rules();
    r.time = 0;
    assert_int_equal(policy_time(&r, 1), 0);
    assert_int_equal(policy_time(&r, 1000), 0);
}

static void test_r8_ten_good_recipients_cover_one_offence(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_true(policy_debt(&r, 2, 20) == 0);
    assert_true(policy_debt(&r, 2, 10) == 1);
    r.good_ratio = 0;
    assert_true(policy_debt(&r, 2, 1e6) == 2);
}

static void test_r9_offences_saturate_a_little_above_the_shield(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_true(policy_most(&r, OFFENCE_RECIPIENT) == 60);
    assert_true(policy_most(&r, OFFENCE_EARLY) == 60);
    assert_true(policy_most(&r, OFFENCE_BACKEND) == 5);
    assert_true(policy_most(&r, OFFENCE_TLS) < r.pace_after);
    assert_true(policy_most_bounces(&r) < r.shield);
    for (double shield = 1; shield < 10; shield++) {
        r.shield = shield;
        assert_true(policy_most(&r, OFFENCE_BACKEND) < shield);
        assert_true(policy_most(&r, OFFENCE_RECIPIENT) > shield);
    }
    r.shield = 0;
    assert_true(policy_most(&r, OFFENCE_RECIPIENT) == 60);
}

static void test_r10_a_network_counts_its_clients_not_their_offences(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_true(policy_part(&r, 1) == 1);
    assert_true(policy_part(&r, 1000) == 3);
    assert_false(policy_network_bad(&r, 15));
    assert_true(policy_network_bad(&r, 16));
    r.network_share = 0;
    assert_false(policy_network_bad(&r, 1e6));
    r = config_default_rules();
    r.pace = false;
    assert_false(policy_network_bad(&r, 1e6));
}

static void test_r4_a_client_out_of_debt_is_never_paced(void **state)
{
    struct tarpit_rules r = config_default_rules();
    r.pace_after = 0;
    assert_false(policy_paced(&r, 0));
    assert_true(policy_paced(&r, 0.1));
    r.pace = false;
    assert_false(policy_paced(&r, 100));
}

static void test_r12_patience_counts_only_for_small_offenders(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_int_equal(policy_cap(&r, 1, 30 * SECOND, false), 24 * SECOND);
    assert_true(policy_cap(&r, 1, 0, false) == POLICY_NEVER);
    assert_true(policy_cap(&r, 5, 30 * SECOND, false) == POLICY_NEVER);
    r.patience_offences = 0;
    assert_true(policy_cap(&r, 0, 30 * SECOND, true) == POLICY_NEVER);
}

static void test_r13_call_outs_wait_five_seconds_at_most(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_int_equal(policy_cap(&r, 1, 0, true), 5 * SECOND);
    assert_int_equal(policy_cap(&r, 1, 4 * SECOND, true), 3200);
    assert_true(policy_cap(&r, 5, 0, true) == POLICY_NEVER);
}

static void test_r18_only_debtors_beyond_patience_are_frozen(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_false(policy_freezes(&r, 4.9, 90 * SECOND));
    assert_true(policy_freezes(&r, 5, 90 * SECOND));
    assert_false(policy_freezes(&r, 5, SECOND));
    r.freeze = FREEZE_OFF;
    assert_false(policy_freezes(&r, 5, 90 * SECOND));
}

static void test_offences_weigh_what_their_table_says(void **state)
{
    assert_true(policy_weight(OFFENCE_NONE) == 0);
    assert_true(policy_weight(OFFENCE_RECIPIENT) == 1);
    assert_true(policy_weight(OFFENCE_TLS) == 0.25);
    assert_true(policy_weight(OFFENCE_COUNT) == 0);
    assert_true(policy_is_verdict(OFFENCE_RECIPIENT));
    assert_true(policy_is_verdict(OFFENCE_AUTH));
    assert_false(policy_is_verdict(OFFENCE_SYNTAX));
}

static void test_r11_a_line_goes_out_each_drip_seconds_of_the_turn(void **state)
{
    struct tarpit_rules r = config_default_rules();
    struct tarpit_hold hold = {.ms = 90 * SECOND, .drip_at_ms = 20 * SECOND};
    assert_int_equal(drip_next(&r, 1000, &hold, 0, 1000), 21 * SECOND);
    assert_int_equal(drip_next(&r, 1000, &hold, 1, 21000), 41 * SECOND);
    assert_int_equal(drip_next(&r, 1000, &hold, 3, 61000), 81 * SECOND);
    assert_int_equal(drip_next(&r, 1000, &hold, 4, 81000), 0);
}

static void test_r11_a_late_line_is_due_at_once_and_does_not_move_the_next(void **state)
{
    struct tarpit_rules r = config_default_rules();
    struct tarpit_hold hold = {.ms = 90 * SECOND, .drip_at_ms = 20 * SECOND};
    assert_int_equal(drip_next(&r, 0, &hold, 0, 33 * SECOND), 33 * SECOND);
    assert_int_equal(drip_next(&r, 0, &hold, 1, 33 * SECOND), 40 * SECOND);
    assert_int_equal(drip_next(&r, 0, &hold, 2, 95 * SECOND), 0);
}

static void test_r11_a_reply_never_has_more_lines_than_senders_bear(void **state)
{
    struct tarpit_rules r = config_default_rules();
    r.drip = 1 * SECOND;
    struct tarpit_hold hold = {.ms = POLICY_HOLD_MAX, .drip_at_ms = 1 * SECOND};
    uint32_t lines = 0;
    uint64_t at = 0, longest = 0;
    for (uint64_t next; (next = drip_next(&r, 0, &hold, lines, at)) != 0; lines++) {
        longest = next - at > longest ? next - at : longest;
        at = next;
    }
    assert_int_equal(lines, POLICY_DRIP_LINES);
    assert_true(longest < 10 * SECOND); /* spread, not used up at the beginning */
}

static void test_r11_short_holds_do_not_drip(void **state)
{
    struct tarpit_rules r = config_default_rules();
    assert_int_equal(policy_drip_at(&r, 20 * SECOND, 0), 0);
    assert_int_equal(policy_drip_at(&r, 21 * SECOND, 0), 20 * SECOND);
    assert_int_equal(policy_drip_at(&r, 90 * SECOND, 60 * SECOND), 80 * SECOND);
    assert_int_equal(policy_drip_at(&r, 90 * SECOND, -30 * SECOND), 1);
    r.drip = 0;
    assert_int_equal(policy_drip_at(&r, 90 * SECOND, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r1_holds_grow_from_time_to_max),
        cmocka_unit_test(test_r1_less_than_one_offence_is_held_like_one),
        cmocka_unit_test(test_r1_max_bounds_time_itself),
        cmocka_unit_test(test_r2_time_0_is_no_hold_whatever_the_offences),
        cmocka_unit_test(test_r8_ten_good_recipients_cover_one_offence),
        cmocka_unit_test(test_r9_offences_saturate_a_little_above_the_shield),
        cmocka_unit_test(test_r10_a_network_counts_its_clients_not_their_offences),
        cmocka_unit_test(test_r4_a_client_out_of_debt_is_never_paced),
        cmocka_unit_test(test_r12_patience_counts_only_for_small_offenders),
        cmocka_unit_test(test_r13_call_outs_wait_five_seconds_at_most),
        cmocka_unit_test(test_r18_only_debtors_beyond_patience_are_frozen),
        cmocka_unit_test(test_offences_weigh_what_their_table_says),
        cmocka_unit_test(test_r11_a_line_goes_out_each_drip_seconds_of_the_turn),
        cmocka_unit_test(test_r11_a_late_line_is_due_at_once_and_does_not_move_the_next),
        cmocka_unit_test(test_r11_a_reply_never_has_more_lines_than_senders_bear),
        cmocka_unit_test(test_r11_short_holds_do_not_drip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
