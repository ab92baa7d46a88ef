/* The tarpit's rules, R1 to R19, each as an example. What holds for all histories is in
 * test_properties.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND };
#define T0 UINT64_C(1800000000000)

static const struct span nobody;

static struct addr addr(const char *text)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    return a;
}

static struct tarpit pit(void)
{
    struct tarpit t = {.rules = tarpit_rules_default()};
    assert_int_equal(ledger_open(&t.ledger, NULL, 1 << 18), 0);
    return t;
}

static struct tarpit_who who(const struct tarpit *t, const char *text)
{
    struct addr a = addr(text);
    return tarpit_who(t, &a, false);
}

static struct tarpit_who attacker(const struct tarpit *t)
{
    return who(t, "192.0.2.7");
}

/* A question and its verdict at once. */
static struct tarpit_hold rcpt(struct tarpit *t, const struct tarpit_who *w, enum offence o,
                               uint64_t now)
{
    struct tarpit_leave leave = tarpit_ask(t, w, nobody, now);
    return tarpit_verdict(t, w, nobody, &leave, o, now);
}

static struct tarpit_hold login(struct tarpit *t, const struct tarpit_who *w, const char *user,
                                enum offence o, uint64_t now)
{
    struct tarpit_leave leave = tarpit_ask(t, w, span_of(user), now);
    return tarpit_verdict(t, w, span_of(user), &leave, o, now);
}

static void owe(struct tarpit *t, const struct tarpit_who *w, double offences, uint64_t now)
{
    struct ledger_key k = {w->client, w->client_label, LEDGER_CLIENT};
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    ledger_raise_offences(t->ledger, &k, &d, now, offences);
}

static void test_r1_the_first_typo_is_held_20_seconds_and_told(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    assert_int_equal(h.ms, 20 * SECOND);
    assert_false(h.masked);
    assert_int_equal(h.drip_at_ms, 0);
    ledger_close(t.ledger);
}

static void test_r1_each_kind_of_offence_is_held_and_grows(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    assert_int_equal(tarpit_offence(&t, &w, OFFENCE_SYNTAX, T0).ms, 20 * SECOND);
    assert_int_equal(tarpit_offence(&t, &w, OFFENCE_RELAY, T0).ms, 30 * SECOND);
    assert_int_equal(tarpit_offence(&t, &w, OFFENCE_BACKEND, T0).ms, 45 * SECOND);
    assert_int_equal(tarpit_offence(&t, &w, OFFENCE_NONE, T0).ms, 0);
    ledger_close(t.ledger);
}

static void test_r1_a_good_recipient_of_a_stranger_is_not_held(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, T0).ms, 0);
    assert_int_equal(tarpit_wait(&t, &w, T0).ms, 0);
    ledger_close(t.ledger);
}

static void test_r2_time_0_neither_holds_nor_masks(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    t.rules.time = 0;
    for (int i = 0; i < 200; i++) {
        struct tarpit_hold h = rcpt(&t, &w, i % 2 ? OFFENCE_RECIPIENT : OFFENCE_NONE, T0);
        assert_int_equal(h.ms, 0);
        assert_false(h.masked);
    }
    assert_int_equal(tarpit_wait(&t, &w, T0).ms, 0);
    ledger_close(t.ledger);
}

static void test_r3_another_conversation_waits_for_the_last_offence(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    assert_int_equal(tarpit_wait(&t, &w, T0 + 5 * SECOND).ms, 15 * SECOND);
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, T0 + 5 * SECOND).ms, 15 * SECOND);
    assert_int_equal(tarpit_wait(&t, &w, T0 + 20 * SECOND).ms, 0);
    t.rules.pace = false;
    assert_int_equal(tarpit_wait(&t, &w, T0 + 5 * SECOND).ms, 0);
    ledger_close(t.ledger);
}

static void test_r4_verdicts_take_turns_over_all_connections(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, 20 * SECOND);
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, 50 * SECOND);
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, 95 * SECOND);
    ledger_close(t.ledger);
}

static void test_r4_from_pace_after_on_good_verdicts_take_turns_as_bad_ones_do(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    owe(&t, &w, 4, T0);
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, T0).ms, 90 * SECOND);
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + 90 * SECOND).ms, 90 * SECOND);
    ledger_close(t.ledger);
}

static void test_r4_questions_asked_at_the_same_moment_are_judged_when_answered(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    struct tarpit_leave leave[20];
    int told = 0;
    for (int i = 0; i < 20; i++)
        leave[i] = tarpit_ask(&t, &w, nobody, T0);
    for (int i = 0; i < 20; i++)
        told += !tarpit_verdict(&t, &w, nobody, &leave[i], i < 5 ? OFFENCE_RECIPIENT : OFFENCE_NONE,
                                T0 + 3)
                     .masked;
    assert_int_equal(told,
                     3); /* not the fifteen existing ones, although all were free when asked */
    ledger_close(t.ledger);
}

static void test_r5_a_turn_too_far_away_is_masked_and_leaves_no_trace(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    owe(&t, &w, 10, T0);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    double before = tarpit_debt(&t, &w, T0);
    struct tarpit_leave leave = tarpit_ask(&t, &w, nobody, T0);
    assert_true(leave.masked && !leave.shielded);
    struct tarpit_hold h = tarpit_verdict(&t, &w, nobody, &leave, OFFENCE_RECIPIENT, T0);
    assert_true(h.masked);
    assert_int_equal(h.ms, 90 * SECOND);
    assert_int_equal(h.drip_at_ms, 0);
    assert_true(tarpit_debt(&t, &w, T0) == before);
    ledger_close(t.ledger);
}

static void test_r5_a_free_5xx_whose_turn_is_too_far_away_is_masked_and_not_booked(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    t.rules.time = 60 * SECOND;
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    assert_true(h.masked);
    assert_true(tarpit_debt(&t, &w, T0) < 2.01);
    ledger_close(t.ledger);
}

static void test_r6_hanging_up_early_buys_nothing(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    owe(&t, &w, 10, T0);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0); /* hangs up at once; booked all the same */
    tarpit_gave_up(&t, &w, 2 * SECOND, T0 + 2 * SECOND);
    assert_true(tarpit_debt(&t, &w, T0 + 2 * SECOND) > 10.9);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + 2 * SECOND);
    assert_int_equal(h.ms, 178 * SECOND);
    ledger_close(t.ledger);
}

static void test_r7_the_shield_gives_no_verdicts(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    owe(&t, &w, 51, T0);
    struct tarpit_leave leave = tarpit_ask(&t, &w, nobody, T0);
    assert_true(leave.masked && leave.shielded);
    assert_int_equal(leave.hold.ms, 90 * SECOND);
    t.rules.shield = 0;
    assert_false(tarpit_ask(&t, &w, nobody, T0).masked);
    ledger_close(t.ledger);
}

static void test_r8_a_covered_client_pays_for_the_5xx_only(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_good(&t, &w, 60, T0);
    for (int i = 0; i < 6; i++) { /* six typos at once: each 20 s, none after the other */
        struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
        assert_int_equal(h.ms, 20 * SECOND);
        assert_false(h.masked);
    }
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, T0).ms, 0);
    assert_int_equal(tarpit_wait(&t, &w, T0).ms, 0);
    ledger_close(t.ledger);
}

static void test_r9_debts_fade(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    owe(&t, &w, 8, T0);
    assert_true(tarpit_debt(&t, &w, T0 + 2 * HOUR) < 2.01);
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, T0 + 2 * HOUR).ms, 0);
    ledger_close(t.ledger);
}

static void test_r10_a_new_address_of_a_bad_network_starts_in_debt(void **state)
{
    struct tarpit t = pit();
    char text[ADDR_TEXT];
    for (int i = 1; i <= 80; i++) {
        snprintf(text, sizeof text, "192.0.2.%d", i);
        struct tarpit_who w = who(&t, text);
        rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    }
    struct tarpit_who fresh = who(&t, "192.0.2.200"), far = who(&t, "192.0.3.1");
    assert_true(tarpit_debt(&t, &fresh, T0) > 4.9);
    assert_true(tarpit_debt(&t, &far, T0) == 0);
    ledger_close(t.ledger);
}

static void test_r11_a_long_hold_drips_from_its_turn_on(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0); /* its turn is 20 s to 50 s */
    assert_int_equal(h.drip_at_ms, 40 * SECOND);
    ledger_close(t.ledger);
}

static void test_r11_no_reply_waits_longer_than_senders_bear(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    t.rules.time = t.rules.max = 600 * SECOND;
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, POLICY_HOLD_MAX);
    assert_true(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).masked); /* the pace is charged in full */
    ledger_close(t.ledger);
}

static void test_r12_who_hung_up_is_told_sooner_next_time_but_pays_the_pace(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    t.rules.time = 60 * SECOND;
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, 60 * SECOND);
    tarpit_gave_up(&t, &w, 30 * SECOND, T0 + 30 * SECOND);
    assert_int_equal(tarpit_wait(&t, &w, T0 + 31 * SECOND).ms, 24 * SECOND);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + 60 * SECOND);
    assert_int_equal(h.ms, 24 * SECOND);
    assert_false(h.masked);
    h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + 84 * SECOND); /* 66 s before its turn */
    assert_false(h.masked);
    assert_true(rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + 84 * SECOND).masked);
    ledger_close(t.ledger);
}

static void test_r12_the_shortest_patience_counts_and_no_patience_is_none(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_gave_up(&t, &w, 30 * SECOND, T0);
    tarpit_gave_up(&t, &w, 60 * SECOND, T0);
    tarpit_gave_up(&t, &w, SECOND / 2, T0);
    owe(&t, &w, 2, T0);
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, 24 * SECOND);
    ledger_close(t.ledger);
}

static void test_r12_heavy_offenders_are_shown_no_patience(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_gave_up(&t, &w, 10 * SECOND, T0);
    owe(&t, &w, 6, T0);
    assert_int_equal(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).ms, 90 * SECOND);
    ledger_close(t.ledger);
}

static void test_r12_the_impatient_in_debt_are_not_told_before_their_turn(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_gave_up(&t, &w, 30 * SECOND, T0);
    owe(&t, &w, 4, T0);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_NONE, T0);
    assert_int_equal(h.ms, 24 * SECOND); /* its turn has begun */
    h = rcpt(&t, &w, OFFENCE_NONE, T0);  /* its turn has not: whether patience counts would tell */
    assert_int_equal(h.ms, 180 * SECOND);
    ledger_close(t.ledger);
}

static void test_r13_a_call_out_hears_its_5xx_in_five_seconds(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    w.null_sender = true;
    for (int i = 0; i < 3; i++) {
        struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
        assert_int_equal(h.ms, 5 * SECOND);
        assert_false(h.masked);
    }
    w.null_sender = false;
    assert_int_equal(tarpit_wait(&t, &w, T0).ms, 5 * SECOND);
    ledger_close(t.ledger);
}

static void test_r14_an_attacked_account_is_slow_for_strangers_and_fast_where_it_is_known(
    void **state)
{
    struct tarpit t = pit();
    struct addr home = addr("198.51.100.9");
    struct tarpit_who owner = tarpit_who(&t, &home, false), stranger = who(&t, "203.0.113.1");
    char text[ADDR_TEXT];

    tarpit_logged_in(&t, &owner, &home, SPAN("bob"), T0);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "10.%d.0.1", i);
        struct tarpit_who bot = who(&t, text);
        login(&t, &bot, "bob", OFFENCE_AUTH, T0 + (uint64_t)i * 100 * SECOND);
    }
    uint64_t now = T0 + 100 * 100 * SECOND;
    assert_true(login(&t, &stranger, "bob", OFFENCE_NONE, now).ms >= 60 * SECOND);
    assert_int_equal(login(&t, &owner, "Bob", OFFENCE_NONE, now).ms, 0);
    assert_int_equal(login(&t, &owner, "bob", OFFENCE_AUTH, now).ms, 20 * SECOND);
    assert_int_equal(login(&t, &stranger, "alice", OFFENCE_NONE, now).ms, 0);
    ledger_close(t.ledger);
}

static void test_r14_guesses_at_one_account_from_many_addresses_take_turns(void **state)
{
    struct tarpit t = pit();
    char text[ADDR_TEXT];
    int told = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "10.%d.%d.1", i / 250, i % 250);
        struct tarpit_who bot = who(&t, text);
        told += !login(&t, &bot, "bob", OFFENCE_AUTH, T0).masked;
    }
    assert_true(told <= 6);
    ledger_close(t.ledger);
}

static void test_r15_who_writes_to_a_trap_goes_to_the_shield_whatever_good_it_did(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_good(&t, &w, 1000, T0);
    assert_true(rcpt(&t, &w, OFFENCE_TRAP, T0).ms > 0);
    assert_true(tarpit_ask(&t, &w, nobody, T0 + HOUR / 2).shielded);
    assert_false(tarpit_ask(&t, &w, nobody, T0 + 3 * HOUR).shielded);
    ledger_close(t.ledger);
}

static void test_r16_a_suspect_starts_in_debt_once_a_half_life(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_suspect(&t, &w, 3, T0);
    assert_true(tarpit_debt(&t, &w, T0) >= 2.99);
    tarpit_suspect(&t, &w, 3, T0 + HOUR / 2);
    assert_true(tarpit_debt(&t, &w, T0 + HOUR / 2) < 2.2);
    tarpit_suspect(&t, &w, 3, T0 + HOUR + 200 * SECOND);
    assert_true(tarpit_debt(&t, &w, T0 + HOUR + 200 * SECOND) >= 2.99);
    ledger_close(t.ledger);
}

static void test_r18_heavy_offenders_may_be_frozen(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    assert_false(rcpt(&t, &w, OFFENCE_RECIPIENT, T0).freeze);
    owe(&t, &w, 6, T0);
    assert_true(rcpt(&t, &w, OFFENCE_NONE, T0 + HOUR / 60).freeze);
    assert_true(tarpit_wait(&t, &w, T0 + 1).freeze);
    ledger_close(t.ledger);
}

static void test_r19_authenticated_and_exempt_sessions_are_neither_held_nor_booked(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who stranger = attacker(&t), free[3] = {stranger, stranger, stranger};
    struct ledger_key k = {stranger.client, stranger.client_label, LEDGER_CLIENT};
    free[0].authenticated = free[1].exempt = true;
    owe(&t, &stranger, 60, T0);
    ledger_exempt(t.ledger, &k, T0, T0 + HOUR);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rcpt(&t, &free[i], OFFENCE_RECIPIENT, T0).ms, 0);
        assert_int_equal(rcpt(&t, &free[i], OFFENCE_TRAP, T0).ms, 0);
        assert_int_equal(tarpit_offence(&t, &free[i], OFFENCE_SYNTAX, T0).ms, 0);
        assert_int_equal(tarpit_wait(&t, &free[i], T0).ms, 0);
        assert_true(tarpit_debt(&t, &free[i], T0) == 0);
    }
    ledger_set_flags(t.ledger, &k, T0, 0, LEDGER_EXEMPT);
    assert_true(tarpit_debt(&t, &stranger, T0) <= 60);
    ledger_close(t.ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r1_the_first_typo_is_held_20_seconds_and_told),
        cmocka_unit_test(test_r1_each_kind_of_offence_is_held_and_grows),
        cmocka_unit_test(test_r1_a_good_recipient_of_a_stranger_is_not_held),
        cmocka_unit_test(test_r2_time_0_neither_holds_nor_masks),
        cmocka_unit_test(test_r3_another_conversation_waits_for_the_last_offence),
        cmocka_unit_test(test_r4_verdicts_take_turns_over_all_connections),
        cmocka_unit_test(test_r4_from_pace_after_on_good_verdicts_take_turns_as_bad_ones_do),
        cmocka_unit_test(test_r4_questions_asked_at_the_same_moment_are_judged_when_answered),
        cmocka_unit_test(test_r5_a_turn_too_far_away_is_masked_and_leaves_no_trace),
        cmocka_unit_test(test_r5_a_free_5xx_whose_turn_is_too_far_away_is_masked_and_not_booked),
        cmocka_unit_test(test_r6_hanging_up_early_buys_nothing),
        cmocka_unit_test(test_r7_the_shield_gives_no_verdicts),
        cmocka_unit_test(test_r8_a_covered_client_pays_for_the_5xx_only),
        cmocka_unit_test(test_r9_debts_fade),
        cmocka_unit_test(test_r10_a_new_address_of_a_bad_network_starts_in_debt),
        cmocka_unit_test(test_r11_a_long_hold_drips_from_its_turn_on),
        cmocka_unit_test(test_r11_no_reply_waits_longer_than_senders_bear),
        cmocka_unit_test(test_r12_who_hung_up_is_told_sooner_next_time_but_pays_the_pace),
        cmocka_unit_test(test_r12_the_shortest_patience_counts_and_no_patience_is_none),
        cmocka_unit_test(test_r12_heavy_offenders_are_shown_no_patience),
        cmocka_unit_test(test_r12_the_impatient_in_debt_are_not_told_before_their_turn),
        cmocka_unit_test(test_r13_a_call_out_hears_its_5xx_in_five_seconds),
        cmocka_unit_test(
            test_r14_an_attacked_account_is_slow_for_strangers_and_fast_where_it_is_known),
        cmocka_unit_test(test_r14_guesses_at_one_account_from_many_addresses_take_turns),
        cmocka_unit_test(test_r15_who_writes_to_a_trap_goes_to_the_shield_whatever_good_it_did),
        cmocka_unit_test(test_r16_a_suspect_starts_in_debt_once_a_half_life),
        cmocka_unit_test(test_r18_heavy_offenders_may_be_frozen),
        cmocka_unit_test(test_r19_authenticated_and_exempt_sessions_are_neither_held_nor_booked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
