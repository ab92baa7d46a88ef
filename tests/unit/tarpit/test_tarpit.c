/* The tarpit's rules, R1 to R19, each as an example. What holds for all histories is in
 * test_properties.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit.h"

#include "ledger_fixture.h"

enum { SECOND = 1000, HOUR = 3600 * SECOND };
#define T0 UINT64_C(1800000000000)

static const struct span nobody;

static struct tarpit pit(void)
{
    struct tarpit t = {.rules = config_default_rules()};
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

/* A query and its verdict at once. */
static struct tarpit_hold rcpt(struct tarpit *t, const struct tarpit_who *w, enum offence o,
                               uint64_t now)
{
    struct tarpit_permit permit = tarpit_ask(t, w, nobody, now);
    return tarpit_verdict(t, w, nobody, &permit, o, now);
}

static struct tarpit_hold login(struct tarpit *t, const struct tarpit_who *w, const char *user,
                                enum offence o, uint64_t now)
{
    struct tarpit_permit permit = tarpit_ask(t, w, span_of(user), now);
    return tarpit_verdict(t, w, span_of(user), &permit, o, now);
}

static void owe(struct tarpit *t, const struct tarpit_who *w, double offences, uint64_t now)
{
    struct ledger_key k = {w->client, w->client_label, LEDGER_CLIENT};
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    ledger_raise_offences(t->ledger, &k, &d, now, offences);
}

/* A message to mailboxes `from` to `to`, none of which is another one. */
static void deliver(struct tarpit *t, const struct tarpit_who *w, unsigned from, unsigned to,
                    uint64_t now)
{
    for (unsigned i = from; i < to; i++) {
        char text[32];
        snprintf(text, sizeof text, "user%u@example.org", i);
        uint64_t mailbox = tarpit_mailbox(t, span_of(text));
        tarpit_good(t, w, &mailbox, 1, now);
    }
}

/* Puts that many clients of 198.51.100.0/24 into debt, each with three offences. */
static void spoil_network(struct tarpit *t, unsigned clients, uint64_t now)
{
    for (unsigned i = 1; i <= clients; i++) {
        char text[ADDR_TEXT];
        snprintf(text, sizeof text, "198.51.100.%u", i);
        struct tarpit_who w = who(t, text);
        for (int k = 0; k < 3; k++)
            tarpit_offence(t, &w, OFFENCE_SYNTAX, now);
    }
}

static double credit_of(struct tarpit *t, const struct tarpit_who *w, uint64_t now)
{
    struct ledger_key k = {w->client, w->client_label, LEDGER_CLIENT};
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    struct ledger_entry e;
    ledger_get(t->ledger, &k, &d, now, &e);
    return e.good;
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
    struct tarpit_permit permit[20];
    int told = 0;
    for (int i = 0; i < 20; i++)
        permit[i] = tarpit_ask(&t, &w, nobody, T0);
    for (int i = 0; i < 20; i++)
        told += !tarpit_verdict(&t, &w, nobody, &permit[i],
                                i < 5 ? OFFENCE_RECIPIENT : OFFENCE_NONE, T0 + 3)
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
    struct tarpit_permit permit = tarpit_ask(&t, &w, nobody, T0);
    assert_true(permit.masked && !permit.shielded);
    struct tarpit_hold h = tarpit_verdict(&t, &w, nobody, &permit, OFFENCE_RECIPIENT, T0);
    assert_true(h.masked);
    assert_int_equal(h.ms, 90 * SECOND);
    assert_int_equal(h.drip_at_ms, 0);
    assert_true(tarpit_debt(&t, &w, T0) == before);
    ledger_close(t.ledger);
}

static void test_r5_a_free_5xx_whose_turn_is_too_far_away_is_masked_and_booked(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    t.rules.time = 60 * SECOND;
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
    assert_true(h.masked);
    assert_true(tarpit_debt(&t, &w, T0) > 2.99); /* a good one would have been told at once */
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
    struct tarpit_permit permit = tarpit_ask(&t, &w, nobody, T0);
    assert_true(permit.masked && permit.shielded);
    assert_int_equal(permit.hold.ms, 90 * SECOND);
    t.rules.shield = 0;
    assert_false(tarpit_ask(&t, &w, nobody, T0).masked);
    ledger_close(t.ledger);
}

static void test_r8_a_covered_client_pays_for_the_5xx_only(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_sender(&t, &w, SPAN("good.example"));
    deliver(&t, &w, 0, 80, T0);
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

/* Field notes G1: a thousand RCPT of one address are one mailbox. */
static void test_r8_the_same_mailbox_earns_once_a_day(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    uint64_t postmaster = tarpit_mailbox(&t, SPAN("postmaster@example.org"));
    uint64_t tagged = tarpit_mailbox(&t, SPAN("postmaster+x@example.org"));
    for (int i = 0; i < 1000; i++)
        tarpit_good(&t, &w, &postmaster, 1, T0 + (uint64_t)i);
    tarpit_good(&t, &w, &tagged, 1, T0);
    assert_true(credit_of(&t, &w, T0) <= 2); /* two, when the entry's day has just changed */
    tarpit_good(&t, &w, &postmaster, 1, T0 + 24 * HOUR);
    double then = credit_of(&t, &w, T0 + 24 * HOUR);
    assert_true(then > 1.8);
    tarpit_good(&t, &w, &postmaster, 1, T0 + 24 * HOUR);
    assert_true(credit_of(&t, &w, T0 + 24 * HOUR) == then);
    ledger_close(t.ledger);
}

static void test_r8_different_mailboxes_earn_about_their_number_up_to_a_bound(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who few = who(&t, "192.0.2.1"), many = who(&t, "192.0.2.2"),
                      all = who(&t, "192.0.2.3");
    deliver(&t, &few, 0, 20, T0);
    deliver(&t, &many, 0, 300, T0);
    deliver(&t, &all, 0, 100000, T0);
    assert_in_range(credit_of(&t, &few, T0), 15, 25);
    assert_in_range(credit_of(&t, &many, T0), 220, 380);
    assert_in_range(credit_of(&t, &all, T0), 400, LEDGER_EARN_MOST);
    ledger_close(t.ledger);
}

static void test_r8_credit_is_spent_and_buys_no_second_time(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_sender(&t, &w, SPAN("good.example"));
    deliver(&t, &w, 0, 40, T0);
    double credit = credit_of(&t, &w, T0);
    int covered = 0;
    for (int i = 0; i < 200; i++) { /* over four days, for old debts fade and credit hardly does */
        struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + (uint64_t)i * HOUR / 2);
        covered += h.rule == RULE_COVERED;
    }
    assert_true(covered <= credit / 10);
    assert_true(covered >= 3);
    ledger_close(t.ledger);
}

/* Field notes G2: one that is as loud as it can be. */
static void test_r9_r10_a_loud_client_costs_its_neighbour_nothing(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who loud = attacker(&t), neighbour = who(&t, "192.0.2.200");
    for (int i = 0; i < 130000; i++)
        tarpit_offence(&t, &loud, OFFENCE_EARLY, T0 + (uint64_t)i / 8);
    assert_true(tarpit_debt(&t, &loud, T0 + 20 * SECOND) <= 60.01);
    assert_true(tarpit_debt(&t, &neighbour, T0 + 20 * SECOND) == 0);
    assert_int_equal(rcpt(&t, &neighbour, OFFENCE_NONE, T0 + 20 * SECOND).ms, 0);
    ledger_close(t.ledger);
}

static void test_r10_a_newcomer_in_a_bad_network_waits_once_and_is_never_masked(void **state)
{
    struct tarpit t = pit();
    spoil_network(&t, 80, T0);
    struct tarpit_who fresh = who(&t, "198.51.100.200"), far = who(&t, "192.0.2.1");
    assert_true(tarpit_debt(&t, &fresh, T0) == 0);
    assert_int_equal(tarpit_wait(&t, &fresh, T0).ms, 0);
    struct tarpit_hold h = rcpt(&t, &fresh, OFFENCE_NONE, T0);
    assert_int_equal(h.ms, 20 * SECOND);
    assert_int_equal(h.rule, RULE_NETWORK);
    assert_int_equal(rcpt(&t, &fresh, OFFENCE_NONE, T0 + 5 * SECOND).ms, 15 * SECOND);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rcpt(&t, &fresh, OFFENCE_NONE, T0 + 20 * SECOND).ms, 0);
    assert_int_equal(rcpt(&t, &far, OFFENCE_NONE, T0).ms, 0);
    ledger_close(t.ledger);
}

static void test_r10_a_newcomer_with_good_mail_does_not_wait(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who good = who(&t, "198.51.100.200");
    deliver(&t, &good, 0, 1, T0);
    spoil_network(&t, 80, T0);
    assert_int_equal(rcpt(&t, &good, OFFENCE_NONE, T0).ms, 0);
    ledger_close(t.ledger);
}

static void test_r10_questions_of_a_newcomer_are_judged_again_when_the_first_was_bad(void **state)
{
    struct tarpit t = pit();
    spoil_network(&t, 80, T0);
    struct tarpit_who fresh = who(&t, "198.51.100.200");
    struct tarpit_permit permit[50];
    int told = 0;
    for (int i = 0; i < 50; i++)
        permit[i] = tarpit_ask(&t, &fresh, nobody, T0);
    for (int i = 0; i < 50; i++)
        told += !tarpit_verdict(&t, &fresh, nobody, &permit[i],
                                i % 2 ? OFFENCE_NONE : OFFENCE_RECIPIENT, T0 + 3)
                     .masked;
    assert_true(told <= 3);
    ledger_close(t.ledger);
}

static void test_r10_the_guilty_of_a_bad_network_share_one_queue_of_turns(void **state)
{
    struct tarpit t = pit();
    int told = 0;
    spoil_network(&t, 80, T0);
    for (uint64_t now = T0 + 60 * SECOND; now < T0 + HOUR / 2; now += 10 * SECOND)
        for (unsigned i = 1; i <= 80; i++) {
            char text[ADDR_TEXT];
            snprintf(text, sizeof text, "198.51.100.%u", i);
            struct tarpit_who w = who(&t, text);
            told += !rcpt(&t, &w, OFFENCE_RECIPIENT, now).masked;
        }
    assert_in_range(told, 10, 22); /* half an hour of turns of 90 s */
    ledger_close(t.ledger);
}

/* Field notes G4: 1,500 /64 of one /48, in fifteen /48 of one /40. */
static void test_r10_ipv6_networks_count_in_wider_ones(void **state)
{
    struct tarpit t = pit();
    char text[ADDR_TEXT];
    for (unsigned n = 1; n <= 15; n++)
        for (unsigned i = 1; i <= 10; i++) {
            snprintf(text, sizeof text, "2001:db8:%x:%x::1", n, i);
            struct tarpit_who w = who(&t, text);
            for (int k = 0; k < 3; k++)
                tarpit_offence(&t, &w, OFFENCE_SYNTAX, T0);
        }
    struct tarpit_who next = who(&t, "2001:db8:77:1::1"), far = who(&t, "2001:db8:7777:1::1");
    assert_int_equal(rcpt(&t, &next, OFFENCE_NONE, T0).rule, RULE_NETWORK);
    assert_int_equal(rcpt(&t, &far, OFFENCE_NONE, T0).ms, 0);
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
    ledger_close(t.ledger);
}

/* Field notes G3: bounces of mail with a forged sender, to a hundred unknown people and a trap. */
static void test_r13_what_forged_senders_cause_never_slows_a_servers_own_mail(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_sender(&t, &w, nobody);
    for (int i = 0; i < 100; i++)
        rcpt(&t, &w, i % 10 ? OFFENCE_RECIPIENT : OFFENCE_TRAP, T0 + (uint64_t)i * SECOND);
    uint64_t now = T0 + 100 * SECOND;
    assert_false(tarpit_ask(&t, &w, nobody, now).shielded);
    assert_true(tarpit_debt(&t, &w, now) > 3);
    tarpit_sender(&t, &w, SPAN("good.example"));
    assert_true(tarpit_debt(&t, &w, now) == 0);
    assert_int_equal(tarpit_wait(&t, &w, now).ms, 0);
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, now).ms, 0);
    ledger_close(t.ledger);
}

static void test_r13_r4_questions_as_null_sender_and_others_share_one_queue(void **state)
{
    struct tarpit t = pit();
    int told = 0;
    for (int i = 0; i < 7200; i++) {
        struct tarpit_who w = attacker(&t);
        tarpit_sender(&t, &w, i % 2 ? SPAN("evil.example") : nobody);
        told += !rcpt(&t, &w, OFFENCE_RECIPIENT, T0 + (uint64_t)i * SECOND / 2).masked;
    }
    assert_true(told <= 52); /* an hour: 1.25 x 42 */
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

static void test_r15_a_client_that_writes_to_a_trap_goes_to_the_shield(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    assert_true(rcpt(&t, &w, OFFENCE_TRAP, T0).ms > 0);
    assert_true(tarpit_ask(&t, &w, nobody, T0 + HOUR / 2).shielded);
    assert_false(tarpit_ask(&t, &w, nobody, T0 + 3 * HOUR).shielded);
    ledger_close(t.ledger);
}

/* An enemy with an account at a big provider writes to the trap from there, or subscribes it to a
 * mailing list. */
static void test_r15_a_sender_of_good_mail_pays_for_a_trap_with_it(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    tarpit_sender(&t, &w, SPAN("good.example"));
    deliver(&t, &w, 0, 150, T0);
    double credit = credit_of(&t, &w, T0);
    assert_int_equal(rcpt(&t, &w, OFFENCE_TRAP, T0).ms, 20 * SECOND);
    assert_int_equal(rcpt(&t, &w, OFFENCE_NONE, T0).ms, 0);
    assert_true(credit_of(&t, &w, T0) <= credit - 50);
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

/* Field notes G9: one address, a harvester and a company behind it. */
static void test_r21_a_correspondent_goes_through_beside_a_harvester(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t), company = w, made_up = w;
    tarpit_sender(&t, &company, SPAN("good.example"));
    tarpit_sender(&t, &made_up, SPAN("evil.example"));
    deliver(&t, &company, 0, 60, T0);
    for (int i = 0; i < 200; i++)
        rcpt(&t, &made_up, OFFENCE_RECIPIENT, T0 + (uint64_t)i * SECOND);
    uint64_t now = T0 + 200 * SECOND;
    assert_true(tarpit_debt(&t, &made_up, now) > 3);
    assert_int_equal(tarpit_wait(&t, &w, now).ms, 0); /* the greeting does not wait */
    assert_true(tarpit_wait(&t, &made_up, now).ms > 0);
    assert_int_equal(tarpit_wait(&t, &company, now).ms, 0);
    assert_int_equal(tarpit_wait(&t, &company, now).rule, RULE_CORRESPONDENT);
    assert_true(tarpit_by_correspondent(&t, &company, now));
    assert_false(tarpit_by_correspondent(&t, &made_up, now));
    assert_int_equal(rcpt(&t, &company, OFFENCE_NONE, now).ms, 0);
    struct tarpit_hold h = rcpt(&t, &company, OFFENCE_RECIPIENT, now);
    assert_int_equal(h.ms, 20 * SECOND);
    assert_int_equal(h.rule, RULE_CORRESPONDENT);
    t.rules.correspondents = false;
    assert_true(tarpit_debt(&t, &company, now) > 3);
    ledger_close(t.ledger);
}

static void test_r21_many_made_up_domains_earn_no_more_than_one(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t);
    int passed = 0;
    for (unsigned i = 0; i < 50; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.example", i);
        tarpit_sender(&t, &w, span_of(domain));
        deliver(&t, &w, 0, 12, T0);
    }
    for (unsigned i = 0; i < 500; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.example", i % 50);
        tarpit_sender(&t, &w, span_of(domain));
        struct tarpit_hold h = rcpt(&t, &w, OFFENCE_RECIPIENT, T0);
        passed += h.rule == RULE_CORRESPONDENT || h.rule == RULE_COVERED;
    }
    assert_true(passed <= 1);
    ledger_close(t.ledger);
}

/* What is spent as another domain or as <> is gone for the pair that earned it, too. */
static void test_r21_client_and_pair_do_not_pay_twice_for_one_delivery(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t), a = w, b = w, as_null = w;
    int passed = 0;
    tarpit_sender(&t, &a, SPAN("a.example"));
    tarpit_sender(&t, &b, SPAN("b.example"));
    tarpit_sender(&t, &as_null, nobody);
    deliver(&t, &a, 0, 100, T0);
    double credit = credit_of(&t, &w, T0);
    for (int i = 0; i < 60; i++) {
        const struct tarpit_who *as = i < 3 ? &b : i < 40 ? &a : &as_null;
        struct tarpit_hold h = rcpt(&t, as, OFFENCE_RECIPIENT, T0);
        passed += h.rule == RULE_CORRESPONDENT || h.rule == RULE_COVERED;
    }
    assert_true(passed <= credit / 10);
    assert_true(passed >= credit / 10 - 2);
    ledger_close(t.ledger);
}

static void test_r21_does_not_hold_for_bounces_and_after_a_trap(void **state)
{
    struct tarpit t = pit();
    struct tarpit_who w = attacker(&t), pair = w;
    tarpit_sender(&t, &pair, SPAN("good.example"));
    rcpt(&t, &w, OFFENCE_TRAP, T0);
    deliver(&t, &pair, 0, 60, T0);
    assert_true(tarpit_ask(&t, &pair, nobody, T0).shielded);
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
        cmocka_unit_test(test_r5_a_free_5xx_whose_turn_is_too_far_away_is_masked_and_booked),
        cmocka_unit_test(test_r6_hanging_up_early_buys_nothing),
        cmocka_unit_test(test_r7_the_shield_gives_no_verdicts),
        cmocka_unit_test(test_r8_a_covered_client_pays_for_the_5xx_only),
        cmocka_unit_test(test_r9_debts_fade),
        cmocka_unit_test(test_r8_the_same_mailbox_earns_once_a_day),
        cmocka_unit_test(test_r8_different_mailboxes_earn_about_their_number_up_to_a_bound),
        cmocka_unit_test(test_r8_credit_is_spent_and_buys_no_second_time),
        cmocka_unit_test(test_r9_r10_a_loud_client_costs_its_neighbour_nothing),
        cmocka_unit_test(test_r10_a_newcomer_in_a_bad_network_waits_once_and_is_never_masked),
        cmocka_unit_test(test_r10_a_newcomer_with_good_mail_does_not_wait),
        cmocka_unit_test(test_r10_questions_of_a_newcomer_are_judged_again_when_the_first_was_bad),
        cmocka_unit_test(test_r10_the_guilty_of_a_bad_network_share_one_queue_of_turns),
        cmocka_unit_test(test_r10_ipv6_networks_count_in_wider_ones),
        cmocka_unit_test(test_r11_a_long_hold_drips_from_its_turn_on),
        cmocka_unit_test(test_r11_no_reply_waits_longer_than_senders_bear),
        cmocka_unit_test(test_r12_who_hung_up_is_told_sooner_next_time_but_pays_the_pace),
        cmocka_unit_test(test_r12_the_shortest_patience_counts_and_no_patience_is_none),
        cmocka_unit_test(test_r12_heavy_offenders_are_shown_no_patience),
        cmocka_unit_test(test_r12_the_impatient_in_debt_are_not_told_before_their_turn),
        cmocka_unit_test(test_r13_a_call_out_hears_its_5xx_in_five_seconds),
        cmocka_unit_test(test_r13_what_forged_senders_cause_never_slows_a_servers_own_mail),
        cmocka_unit_test(test_r13_r4_questions_as_null_sender_and_others_share_one_queue),
        cmocka_unit_test(
            test_r14_an_attacked_account_is_slow_for_strangers_and_fast_where_it_is_known),
        cmocka_unit_test(test_r14_guesses_at_one_account_from_many_addresses_take_turns),
        cmocka_unit_test(test_r15_a_client_that_writes_to_a_trap_goes_to_the_shield),
        cmocka_unit_test(test_r15_a_sender_of_good_mail_pays_for_a_trap_with_it),
        cmocka_unit_test(test_r16_a_suspect_starts_in_debt_once_a_half_life),
        cmocka_unit_test(test_r21_a_correspondent_goes_through_beside_a_harvester),
        cmocka_unit_test(test_r21_many_made_up_domains_earn_no_more_than_one),
        cmocka_unit_test(test_r21_client_and_pair_do_not_pay_twice_for_one_delivery),
        cmocka_unit_test(test_r21_does_not_hold_for_bounces_and_after_a_trap),
        cmocka_unit_test(test_r18_heavy_offenders_may_be_frozen),
        cmocka_unit_test(test_r19_authenticated_and_exempt_sessions_are_neither_held_nor_booked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
