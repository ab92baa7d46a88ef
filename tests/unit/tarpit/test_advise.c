/* Advice (tarpit/advise.h): what each rule proposes and when, and above all that no client with
 * good mail ever waits longer, or hears less, when all proposals are followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/advise.h"
#include "tarpit/tarpit.h"

enum { NOW = 1700000000, CLIENTS = 48 };
#define NOW_MS ((uint64_t)NOW * 1000)

/* ---- a ledger drawn by lot ---- */

struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *d, uint64_t sides)
{
    d->state = d->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (d->state >> 33) % sides;
}

static struct addr client_addr(unsigned i)
{
    struct addr a = {.family = ADDR_IP4,
                     .octets = {192, 0, (uint8_t)(i % 6), (uint8_t)(1 + i / 6)}};
    return a;
}

static struct tarpit_rules random_rules(struct dice *d)
{
    static const uint64_t times[] = {0, 5000, 20000, 60000};
    struct tarpit_rules r = config_default_rules();

    r.time = times[roll(d, 4)];
    r.max = r.time + roll(d, 90000);
    r.growth = 1 + (double)roll(d, 3) / 2;
    r.pace = roll(d, 5) > 0;
    r.pace_after = (double)(1 + roll(d, 4));
    r.shield = (double)(roll(d, 3) * 40);
    r.good_ratio = (double)(roll(d, 4) * 5);
    r.network_share = (double)(roll(d, 4) * 8);
    r.patience_offences = (double)(roll(d, 3) * 5);
    r.freeze = roll(d, 2) ? FREEZE_AUTO : FREEZE_OFF;
    r.held_max = roll(d, 2) * 1000;
    return r;
}

enum { EVENT_GREETING, EVENT_GOOD, EVENT_BAD, EVENT_CALL_OUT, EVENT_SYNTAX, EVENTS };

/* What the tarpit does with it: the hold of its reply. */
static struct tarpit_hold happen(struct tarpit *t, const struct addr *who, int event, uint64_t now)
{
    struct tarpit_who w = tarpit_who(t, who, false);
    struct span nobody = {0};

    w.null_sender = event == EVENT_CALL_OUT;
    if (event == EVENT_GREETING)
        return tarpit_wait(t, &w, now);
    if (event == EVENT_SYNTAX)
        return tarpit_offence(t, &w, OFFENCE_SYNTAX, now);
    struct tarpit_permit permit = tarpit_ask(t, &w, nobody, now);
    if (permit.masked)
        return permit.hold;
    return tarpit_verdict(t, &w, nobody, &permit,
                          event == EVENT_GOOD ? OFFENCE_NONE : OFFENCE_RECIPIENT, now);
}

static struct tarpit build(uint64_t seed, const struct tarpit_rules *rules)
{
    struct tarpit t = {.rules = *rules};
    struct ledger_decay decay = {rules->half_life, rules->good_half_life};
    struct dice d = {seed};
    bool patient = roll(&d, 2), owing = roll(&d, 2), crowded = roll(&d, 2);

    assert_int_equal(ledger_open(&t.ledger, NULL, 65536), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct addr a = client_addr(i);
        struct ledger_key c = ledger_key_client(t.ledger, &a), n = ledger_key_network(t.ledger, &a);
        bool good = i % 6 < 4 && roll(&d, 2);
        double accepted = good ? (double)(1 + roll(&d, 300)) : 0;
        double offences = good ? (double)roll(&d, owing ? 60 : 4) : (double)roll(&d, 120);
        if (crowded && i % 6 == 0)
            offences = good ? 0 : 200;
        for (int k = 0; k < 2; k++) {
            ledger_add_good(t.ledger, k ? &n : &c, &decay, NOW_MS, accepted);
            ledger_add_offences(t.ledger, k ? &n : &c, &decay, NOW_MS, offences);
        }
        if (roll(&d, 3) == 0)
            ledger_set_patience(t.ledger, &c, NOW_MS,
                                (uint32_t)(patient ? 60000 : 1500 + roll(&d, 20000)));
        if (roll(&d, 8) == 0)
            ledger_set_flags(t.ledger, &c, NOW_MS, LEDGER_TRAPPED, 0);
        if (roll(&d, 3) == 0) /* turns and debts, as they come about */
            for (uint64_t now = NOW_MS - 60000; now < NOW_MS; now += 1 + roll(&d, 40000))
                happen(&t, &a, (int)roll(&d, EVENTS), now);
    }
    return t;
}

static size_t advise_all(const struct tarpit *t, const struct advise_facts *facts, struct advise *a,
                         struct advice advice[ADVISE_MOST])
{
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    struct ledger_entry e, n;
    struct ledger_key key;
    struct addr who;
    uint64_t at = 0;

    advise_begin(a, &t->rules, facts);
    while (ledger_next(t->ledger, &at, &d, NOW_MS, &key, &who, &e)) {
        struct ledger_key around = ledger_key_network(t->ledger, &who);
        if (key.kind == LEDGER_NETWORK)
            advise_network(a, &who, &e);
        ledger_get(t->ledger, &around, &d, NOW_MS, &n);
        if (key.kind == LEDGER_CLIENT)
            advise_client(a, &who, &e, &n);
    }
    return advise_end(a, advice);
}

/* Takes what advice says beside the rules: exemptions and suspects. */
static void take_lists(struct tarpit *t, const struct advise *a)
{
    for (size_t i = 0; i < a->exempts && t->rules.time; i++) {
        struct ledger_key k = ledger_key_client(t->ledger, &a->exempt[i].who);
        ledger_exempt(t->ledger, &k, NOW_MS, 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct addr who = client_addr(i);
        for (size_t k = 0; k < a->suspects; k++) {
            struct network n = {a->suspect[k].who, 24};
            struct tarpit_who w = tarpit_who(t, &who, false);
            if (network_contains(&n, &who))
                tarpit_suspect(t, &w, t->rules.suspect_offences, NOW_MS);
        }
    }
}

/* ---- the property ---- */

static void test_no_client_with_good_mail_waits_longer_when_advice_is_taken(void **state)
{
    unsigned proposals = 0, compared = 0, shorter = 0;
    struct advice advice[ADVISE_MOST];
    static struct advise a;

    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct dice d = {seed * 977};
        struct tarpit_rules rules = random_rules(&d);
        struct advise_facts facts = {.guard_evictions = roll(&d, 2) * 9,
                                     .shielded = roll(&d, 3) == 0};
        struct tarpit seen = build(seed, &rules);
        size_t n = advise_all(&seen, &facts, &a, advice);
        ledger_close(seen.ledger);
        proposals += (unsigned)n;
        if (n == 0)
            continue;
        for (int try = 0; try < 20; try++) {
            struct addr who = client_addr((unsigned)roll(&d, CLIENTS));
            int event = (int)roll(&d, EVENTS);
            struct tarpit before = build(seed, &rules), after = build(seed, &rules);
            struct ledger_decay decay = {rules.half_life, rules.good_half_life};
            struct ledger_key k = ledger_key_client(before.ledger, &who);
            struct ledger_entry e;
            ledger_get(before.ledger, &k, &decay, NOW_MS, &e);
            after.rules = a.after;
            take_lists(&after, &a);
            struct tarpit_hold was = happen(&before, &who, event, NOW_MS),
                               is = happen(&after, &who, event, NOW_MS);
            if (e.good >= ADVISE_GOOD) {
                if (is.ms > was.ms || (is.masked && !was.masked))
                    fail_msg("seed %lu, event %d: %lu ms%s become %lu ms%s", (unsigned long)seed,
                             event, (unsigned long)was.ms, was.masked ? " masked" : "",
                             (unsigned long)is.ms, is.masked ? " masked" : "");
                compared++;
                shorter += is.ms < was.ms;
            }
            ledger_close(before.ledger);
            ledger_close(after.ledger);
        }
    }
    print_message("%u proposals, %u holds compared, %u shorter\n", proposals, compared, shorter);
    assert_true(proposals > 400 && compared > 500 && shorter > 100);
}

/* ---- each rule ---- */

struct seen {
    bool begun;
    struct tarpit_rules rules;
    struct advise_facts facts;
    struct advise advise;
    struct advice advice[ADVISE_MOST];
    size_t count;
};

static struct seen *begin(void)
{
    static struct seen s;

    s = (struct seen){.rules = config_default_rules()};
    return &s;
}

static void start(struct seen *s)
{
    if (!s->begun)
        advise_begin(&s->advise, &s->rules, &s->facts);
    s->begun = true;
}

static void see(struct seen *s, unsigned from, unsigned count, struct ledger_entry client,
                struct ledger_entry network)
{
    start(s);
    for (unsigned i = from; i < from + count; i++) {
        struct addr who = client_addr(i);
        advise_client(&s->advise, &who, &client, &network);
    }
}

static const struct advice *end(struct seen *s, const char *key)
{
    start(s);
    s->count = advise_end(&s->advise, s->advice);
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->advice[i].key, key) == 0)
            return &s->advice[i];
    return NULL;
}

static const struct ledger_entry nothing;

static void test_nothing_seen_is_nothing_advised(void **state)
{
    struct seen *s = begin();

    assert_null(end(s, "time"));
    assert_int_equal(s->count, 0);
}

static void test_a_time_above_the_patience_of_good_senders(void **state)
{
    struct seen *s = begin();

    see(s, 0, 10, (struct ledger_entry){.good = 20, .patience_ms = 12500}, nothing);
    const struct advice *one = end(s, "time");
    assert_non_null(one);
    assert_string_equal(one->setting, "tarpit { time = 9s }");
    assert_non_null(strstr(one->reason, "10 clients with good mail"));
    assert_int_equal(s->advise.after.time, 9000);
}

static void test_the_patience_of_attackers_shortens_nothing(void **state)
{
    struct seen *s = begin();

    see(s, 0, 40, (struct ledger_entry){.offences = 9, .patience_ms = 3000}, nothing);
    assert_null(end(s, "time"));
}

static void test_patience_rules_that_are_off_while_good_senders_hang_up(void **state)
{
    struct seen *s = begin();

    s->rules.patience_offences = 0;
    see(s, 0, 4, (struct ledger_entry){.good = 20, .patience_ms = 60000}, nothing);
    assert_non_null(end(s, "patience_offences"));
}

static void test_a_ratio_that_leaves_good_senders_in_debt(void **state)
{
    struct seen *s = begin();

    see(s, 0, 5, (struct ledger_entry){.good = 30, .offences = 5}, nothing);
    const struct advice *one = end(s, "good_ratio");
    assert_non_null(one);
    assert_string_equal(one->setting, "tarpit { good_ratio = 6 }");
    see(s = begin(), 0, 5, (struct ledger_entry){.good = 30, .offences = 20}, nothing);
    assert_null(end(s, "good_ratio")); /* two for one: that is no sender of good mail */
}

static void test_a_shield_that_nobody_meets(void **state)
{
    struct seen *s = begin();

    see(s, 0, 8, (struct ledger_entry){.offences = 40}, nothing);
    see(s, 8, 2, (struct ledger_entry){.good = 10, .offences = 9}, nothing);
    const struct advice *one = end(s, "shield");
    assert_non_null(one);
    assert_string_equal(one->setting, "tarpit { shield = 16 }");
    (s = begin())->facts.shielded = 1;
    see(s, 0, 8, (struct ledger_entry){.offences = 40}, nothing);
    assert_null(end(s, "shield"));
}

static void test_a_good_sender_with_dead_addresses_may_be_exempt(void **state)
{
    struct seen *s = begin();

    see(s, 3, 1, (struct ledger_entry){.good = 400, .offences = 20}, nothing);
    see(s, 4, 1, (struct ledger_entry){.good = 60, .offences = 40}, nothing);
    see(s, 5, 1, (struct ledger_entry){.good = 400, .offences = 20, .flags = LEDGER_TRAPPED},
        nothing);
    see(s, 6, 1, (struct ledger_entry){.good = 400, .offences = 20, .flags = LEDGER_EXEMPT},
        nothing);
    see(s, 7, 1, (struct ledger_entry){.good = 400}, nothing);
    const struct advice *one = end(s, "exempt");
    assert_non_null(one);
    assert_string_equal(one->setting, "mirectl exempt 192.0.3.1");
    assert_int_equal(s->advise.exempts, 1);
}

static struct observed_line line_of(unsigned i, const char *domain, uint64_t late, uint64_t put_off)
{
    struct observed_line l = {
        .client = client_addr(i), .late = late, .put_off = put_off, .worst_s = 20 + i};
    snprintf(l.domain, sizeof l.domain, "%s", domain);
    return l;
}

static void test_good_mail_that_observe_saw_late_comes_first(void **state)
{
    struct seen *s = begin();
    struct observed_line a = line_of(3, "a.example", 2, 0), b = line_of(3, "b.example", 5, 1),
                         deferred = line_of(4, "c.example", 0, 9), none = line_of(5, "", 0, 0),
                         harvester = line_of(6, "d.example", 3, 0);

    harvester.typos = 40;
    start(s);
    advise_observed(&s->advise, &a);
    advise_observed(&s->advise, &b);
    advise_observed(&s->advise, &deferred);
    advise_observed(&s->advise, &none);
    advise_observed(&s->advise, &harvester);
    /* the ledger would name it as well */
    see(s, 3, 1, (struct ledger_entry){.good = 400, .offences = 20}, nothing);
    const struct advice *one = end(s, "exempt");
    assert_non_null(one);
    assert_int_equal(s->count, 2);
    assert_string_equal(s->advice[0].setting, "mirectl exempt 192.0.4.1");
    assert_non_null(strstr(s->advice[0].reason, "and 9 deferred"));
    assert_non_null(strstr(s->advice[0].reason, "(c.example): 0 would"));
    assert_string_equal(s->advice[1].setting, "mirectl exempt 192.0.3.1");
    assert_non_null(strstr(s->advice[1].reason, "7 would have been late, by at most 23 s"));
    assert_non_null(strstr(s->advice[1].reason, "(b.example)"));
}

static void test_of_many_late_senders_the_ten_heaviest_are_named(void **state)
{
    struct seen *s = begin();

    start(s);
    for (unsigned i = 0; i < 40; i++) {
        struct observed_line l = line_of(i, "x.example", 1 + (i * 7) % 40, 0);
        advise_observed(&s->advise, &l);
    }
    assert_non_null(end(s, "exempt"));
    assert_int_equal(s->advise.lates, ADVISE_NAMED);
    for (size_t i = 0; i < ADVISE_NAMED; i++)
        assert_int_equal(s->advise.late[i].late, 40 - i);
}

static void test_a_shield_that_outlasts_the_patience_of_real_senders(void **state)
{
    struct seen *s = begin();

    s->rules.half_life = 24 * UINT64_C(3600000);
    const struct advice *one = end(s, "half_life");
    assert_non_null(one);
    assert_string_equal(one->setting, "tarpit { half_life = 6h }");
    s = begin();
    s->rules.half_life = 12 * UINT64_C(3600000);
    assert_null(end(s, "half_life"));
}

static void test_telling_the_impatient_pays_those_that_do_not_wash(void **state)
{
    struct seen *s = begin();

    s->rules.patience_offences = 50;
    assert_non_null(end(s, "patience_offences"));
    assert_true(s->advise.after.patience_offences == 5);
    s = begin(); /* a good sender in such a debt may be one of the impatient */
    s->rules.patience_offences = 50;
    see(s, 0, 1, (struct ledger_entry){.good = 10, .offences = 9}, nothing);
    assert_null(end(s, "patience_offences"));
}

static void test_only_the_ten_heaviest_are_named(void **state)
{
    struct seen *s = begin();

    for (unsigned i = 0; i < 30; i++)
        see(s, i, 1, (struct ledger_entry){.good = 100 + (i * 7) % 30, .offences = 2}, nothing);
    assert_non_null(end(s, "exempt"));
    assert_int_equal(s->advise.exempts, ADVISE_NAMED);
    for (size_t i = 0; i < ADVISE_NAMED; i++)
        assert_true(s->advise.exempt[i].good == (double)(129 - i));
}

static void test_networks_that_are_nothing_but_offences(void **state)
{
    struct seen *s = begin();
    struct addr who = addr_network(&(struct addr){.family = ADDR_IP4, .octets = {203, 0, 113, 7}});

    see(s, 0, 1, nothing, nothing);
    advise_network(&s->advise, &who, &(struct ledger_entry){.offences = 300});
    const struct advice *one = end(s, "suspect");
    assert_non_null(one);
    assert_non_null(strstr(one->setting, "203.0.113.0/24"));
    see(s = begin(), 0, 1, nothing, nothing);
    advise_network(&s->advise, &who, &(struct ledger_entry){.offences = 300, .good = 1});
    assert_null(end(s, "suspect"));
}

static void test_too_little_room(void **state)
{
    struct seen *s = begin();

    s->facts = (struct advise_facts){.held = 900, .held_most = 1000};
    s->rules.held_max = 1000;
    const struct advice *one = end(s, "held_max");
    assert_non_null(one);
    assert_string_equal(one->setting, "tarpit { held_max = 2000 }");
    s = begin();
    s->facts.guard_evictions = 5;
    s->rules.freeze = FREEZE_OFF;
    assert_non_null(end(s, "freeze"));
}

static void test_a_ledger_that_forgets(void **state)
{
    struct seen *s = begin();

    s->facts = (struct advise_facts){.ledger = {1000, 990, 4000}, .ledger_size = 64 << 20};
    const struct advice *one = end(s, "ledger_size");
    assert_non_null(one);
    assert_string_equal(one->setting, "tarpit { ledger_size = 128M }");
    assert_non_null(strstr(one->reason, "ledger load"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_client_with_good_mail_waits_longer_when_advice_is_taken),
        cmocka_unit_test(test_nothing_seen_is_nothing_advised),
        cmocka_unit_test(test_a_time_above_the_patience_of_good_senders),
        cmocka_unit_test(test_the_patience_of_attackers_shortens_nothing),
        cmocka_unit_test(test_patience_rules_that_are_off_while_good_senders_hang_up),
        cmocka_unit_test(test_a_ratio_that_leaves_good_senders_in_debt),
        cmocka_unit_test(test_a_shield_that_nobody_meets),
        cmocka_unit_test(test_a_good_sender_with_dead_addresses_may_be_exempt),
        cmocka_unit_test(test_good_mail_that_observe_saw_late_comes_first),
        cmocka_unit_test(test_of_many_late_senders_the_ten_heaviest_are_named),
        cmocka_unit_test(test_a_shield_that_outlasts_the_patience_of_real_senders),
        cmocka_unit_test(test_telling_the_impatient_pays_those_that_do_not_wash),
        cmocka_unit_test(test_only_the_ten_heaviest_are_named),
        cmocka_unit_test(test_networks_that_are_nothing_but_offences),
        cmocka_unit_test(test_too_little_room),
        cmocka_unit_test(test_a_ledger_that_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
