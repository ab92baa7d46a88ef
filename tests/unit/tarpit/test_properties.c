/* P1 to P6 of docs/tarpit.md over random histories in virtual time. A failure is shrunk to the
 * fewest events that still show it, and printed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "effort.h"
#include "history.h"
#include "tarpit/policy.h"
#include "tarpit/tarpit_part.h"

enum { SECOND = 1000, HISTORIES = 10000 };

/* ---- P1: verdicts to a client in any window W are at most W/T + 1 ---- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The least distance between two of them: of W/T + 1 in any W is the same as none closer than T. */
static uint64_t closest(uint64_t *times, uint32_t count)
{
    uint64_t least = UINT64_MAX;
    qsort(times, count, sizeof *times, by_value);
    for (uint32_t i = 1; i < count; i++)
        if (times[i] - times[i - 1] < least)
            least = times[i] - times[i - 1];
    return least;
}

static bool verdicts_keep_their_pace(const struct history *h, char why[256])
{
    enum { LATENCY_MAX = 50 };
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now, told[HISTORY_EVENTS], begun[HISTORY_EVENTS];
    uint64_t least = policy_time(&h->rules, 1);
    bool ok = true;

    history_run(h, EVENT_KINDS, &t, o, &now);
    history_end(&t);
    for (unsigned c = 0; c < HISTORY_CLIENTS && ok; c++) {
        uint32_t tells = 0, turns = 0;
        for (uint32_t i = 0; i < h->count; i++) {
            if (o[i].event->client != c || o[i].begin == 0 || o[i].hold.masked ||
                o[i].hold.rule == RULE_NETWORK)
                continue; /* free, or told without a turn (covered, R8; a newcomer's wait, R10) */
            if ((o[i].debt_asked == 0 || o[i].debt_decided == 0) && o[i].account)
                continue; /* a covered client's, in the account's queue */
            if (o[i].begin < o[i].end)
                begun[turns++] = o[i].begin;
            if (!o[i].early)
                told[tells++] = o[i].told;
            if (o[i].paced && o[i].told < o[i].begin && ok) {
                snprintf(why, 256, "event %u was told before its turn", i);
                ok = false;
            }
        }
        uint64_t turn_gap = closest(begun, turns), told_gap = closest(told, tells);
        if (ok &&
            (turn_gap < least || told_gap < (least > LATENCY_MAX ? least - LATENCY_MAX : 0))) {
            snprintf(why, 256, "client %u: turns %.3fs apart, told %.3fs apart, T(1) is %.3fs", c,
                     (double)turn_gap / 1e3, (double)told_gap / 1e3, (double)least / 1e3);
            ok = false;
        }
    }
    return ok;
}

static void test_p1_verdicts_to_a_client_are_never_closer_than_the_pace(void **state)
{
    assert_true(history_check(verdicts_keep_their_pace, effort_of(HISTORIES), 1));
}

/* ---- P2: nothing tells existing from missing before the turn ---- */

static bool same(const struct outcome *a, const struct outcome *b)
{
    return a->shown == b->shown && a->told == b->told && a->hold.masked == b->hold.masked &&
           a->hold.ms == b->hold.ms && a->hold.drip_at_ms == b->hold.drip_at_ms;
}

/* Runs the history twice, the one in question existing and missing, and compares all that any
 * client saw before its turn came; for ever, when it was masked. */
static bool nothing_leaks(const struct history *h, char why[256])
{
    struct tarpit t;
    struct outcome good[HISTORY_EVENTS], bad[HISTORY_EVENTS];
    uint64_t now;
    uint32_t probe = 0;

    while (probe < h->count && !h->event[probe].probe)
        probe++;
    if (probe == h->count)
        return true;
    history_run(h, EVENT_GOOD, &t, good, &now);
    history_end(&t);
    history_run(h, EVENT_BAD, &t, bad, &now);
    history_end(&t);

    const struct outcome *p = &good[probe];
    if (!p->paced || h->rules.time == 0)
        return true;
    if (!same(p, &bad[probe])) {
        snprintf(why, 256, "its own reply: existing after %.3fs%s, missing after %.3fs%s",
                 (double)p->hold.ms / 1e3, p->hold.masked ? " masked" : "",
                 (double)bad[probe].hold.ms / 1e3, bad[probe].hold.masked ? " masked" : "");
        return false;
    }
    uint64_t secret_until = p->hold.masked ? UINT64_MAX : p->begin;
    for (uint32_t i = 0; i < h->count; i++) {
        uint64_t first = good[i].told < bad[i].told ? good[i].told : bad[i].told;
        if (i == probe || good[i].event->client != p->event->client || first >= secret_until ||
            same(&good[i], &bad[i]))
            continue;
        if (good[i].debt_decided == 0)
            return true; /* its good mail covers it meanwhile: R8 goes before R6 */
        snprintf(why, 256, "event %u tells: %.3fs%s if existing, %.3fs%s if missing", i,
                 (double)good[i].hold.ms / 1e3, good[i].hold.masked ? " masked" : "",
                 (double)bad[i].hold.ms / 1e3, bad[i].hold.masked ? " masked" : "");
        return false;
    }
    return true;
}

static void test_p2_nothing_tells_existing_from_missing_before_the_turn(void **state)
{
    assert_true(history_check(nothing_leaks, effort_of(2 * HISTORIES), 100001));
}

/* ---- P3: a covered client's valid recipients are never held ---- */

/* R10: a newcomer in a bad network waits T(1), once: *until is when that wait ends. */
static bool waits_once(const struct tarpit_rules *r, const struct outcome *o, uint64_t *until)
{
    if (o->hold.rule != RULE_NETWORK || o->hold.masked)
        return false;
    if (*until == 0)
        *until = o->decided + policy_time(r, 1);
    return o->decided + o->hold.ms <= *until;
}

static bool covered_clients_pass(const struct history *h, char why[256])
{
    uint64_t waited[HISTORY_CLIENTS] = {0};
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now;

    history_run(h, EVENT_KINDS, &t, o, &now);
    history_end(&t);
    for (uint32_t i = 0; i < h->count; i++) {
        bool good = o[i].event->kind == EVENT_GOOD || o[i].event->kind == EVENT_CONNECT;
        if (good && o[i].debt_asked == 0 && o[i].debt_decided == 0 &&
            !waits_once(&h->rules, &o[i], &waited[o[i].event->client]) &&
            (o[i].hold.ms != 0 || o[i].hold.masked)) {
            snprintf(why, 256, "event %u was held %.3fs by %s", i, (double)o[i].hold.ms / 1e3,
                     tarpit_rule_name(o[i].hold.rule));
            return false;
        }
    }
    return true;
}

static void test_p3_a_covered_clients_good_mail_is_never_held(void **state)
{
    assert_true(history_check(covered_clients_pass, effort_of(HISTORIES), 200001));
}

/* ---- P4: exempt and authenticated sessions are never held ---- */

static bool the_free_are_free(const struct history *h, char why[256])
{
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now;
    bool ok = true;

    history_run(h, EVENT_KINDS, &t, o, &now);
    for (uint32_t i = 0; i < h->count && ok; i++) {
        uint8_t c = o[i].event->client;
        ok = (c != HISTORY_EXEMPT && c != HISTORY_AUTHENTICATED) ||
             (o[i].hold.ms == 0 && !o[i].hold.masked);
        snprintf(why, 256, "event %u was held %.3fs", i, (double)o[i].hold.ms / 1e3);
    }
    for (unsigned c = HISTORY_EXEMPT; c <= HISTORY_AUTHENTICATED && ok; c++) {
        struct tarpit_who who = history_who(&t, c);
        struct ledger_key k = {who.client, who.client_label, LEDGER_CLIENT};
        struct ledger_entry e;
        ok = !ledger_get(t.ledger, &k, &(struct ledger_decay){0}, now, &e);
        snprintf(why, 256, "client %u was booked", c);
    }
    history_end(&t);
    return ok;
}

static void test_p4_exempt_and_authenticated_sessions_are_never_held_or_booked(void **state)
{
    assert_true(history_check(the_free_are_free, effort_of(HISTORIES), 300001));
}

/* ---- P5: legitimate senders get the real 5xx ---- */

/* Of one that has nothing under way: its offences' holds and turns are over. */
static bool has_nothing_under_way(const struct tarpit *t, const struct tarpit_who *who,
                                  uint64_t now)
{
    struct ledger_key k = {who->client, who->client_label, LEDGER_CLIENT};
    struct ledger_entry e;
    ledger_get(t->ledger, &k, &(struct ledger_decay){0}, now, &e);
    return e.turn_ms <= now && e.debt_ms <= now && e.patience_ms == 0;
}

/* R10: it waits for the other guilty ones of its network too, whatever it did itself. */
static bool shares_turns(const struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct ledger_key k = {who->network, who->network_label, LEDGER_NETWORK};
    struct ledger_decay d = {t->rules.half_life, t->rules.good_half_life};
    struct ledger_entry e;
    ledger_get(t->ledger, &k, &d, now, &e);
    return policy_network_bad(&t->rules, e.offences + policy_part(&t->rules, 1));
}

static struct tarpit_hold typo(struct tarpit *t, const struct tarpit_who *who, uint64_t now)
{
    struct tarpit_permit permit = tarpit_ask(t, who, (struct span){0}, now);
    return tarpit_verdict(t, who, (struct span){0}, &permit, OFFENCE_RECIPIENT, now);
}

static uint64_t longest_silence(const struct tarpit_rules *r, const struct tarpit_hold *hold)
{
    uint64_t last = 0, longest = 0;
    for (uint32_t lines = 0;; lines++) {
        uint64_t next = drip_next(r, 0, hold, lines, last);
        uint64_t silence = (next != 0 ? next : hold->ms) - last;
        longest = silence > longest ? silence : longest;
        if (next == 0)
            return longest;
        last = next;
    }
}

static bool senders_with_30_s_read_timers_are_told(const struct history *h, char why[256])
{
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now;
    bool ok = true;

    if (h->rules.drip == 0 || h->rules.drip > 20 * SECOND)
        return true;
    history_run(h, EVENT_KINDS, &t, o, &now);
    for (unsigned c = 0; c < HISTORY_CLIENTS && ok; c++) {
        struct tarpit_who who = history_who(&t, c);
        tarpit_sender(&t, &who, SPAN("one.example"));
        if (policy_paced(&t.rules, tarpit_debt(&t, &who, now)) ||
            policy_shielded(&t.rules, tarpit_debt(&t, &who, now)) || shares_turns(&t, &who, now) ||
            !has_nothing_under_way(&t, &who, now))
            continue;
        struct tarpit_hold hold = typo(&t, &who, now);
        uint64_t silence = longest_silence(&t.rules, &hold);
        ok = !hold.masked && silence <= 30 * SECOND;
        snprintf(why, 256, "client %u: %s, silent for %.3fs of %.3fs", c,
                 hold.masked ? "masked" : "told", (double)silence / 1e3, (double)hold.ms / 1e3);
    }
    history_end(&t);
    return ok;
}

static void test_p5_a_sender_that_waits_30_s_for_each_line_gets_the_real_5xx(void **state)
{
    assert_true(
        history_check(senders_with_30_s_read_timers_are_told, effort_of(HISTORIES), 400001));
}

/* A conversation of one that gives up on any reply after `bears` ms. Returns whether it heard the
 * 5xx; *now moves to its end. */
static bool conversation(struct tarpit *t, const struct tarpit_who *who, uint64_t bears,
                         uint64_t *now)
{
    for (int stage = 0; stage < 4; stage++) { /* greeting, EHLO, MAIL, RCPT */
        struct tarpit_hold hold = stage < 3 ? tarpit_wait(t, who, *now) : typo(t, who, *now);
        if (hold.ms > bears) {
            *now += bears;
            tarpit_gave_up(t, who, bears, *now);
            return false;
        }
        *now += hold.ms;
        if (hold.masked)
            return false;
    }
    return true;
}

static bool the_second_try_is_told(const struct history *h, char why[256])
{
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now;
    bool ok = true;

    history_run(h, EVENT_KINDS, &t, o, &now);
    for (unsigned c = 0; c < HISTORY_CLIENTS && ok; c++) {
        struct tarpit_who who = history_who(&t, c);
        tarpit_sender(&t, &who, SPAN("one.example"));
        const struct tarpit_rules *r = &t.rules;
        double least = fmin(r->pace ? r->pace_after : INFINITY, r->patience_offences);
        if (r->shield > 0)
            least = fmin(least, r->shield);
        /* Not one in deep debt that its correspondent can pay for once (R21). */
        struct tarpit_who alone = history_who(&t, c);
        if (tarpit_debt(&t, &alone, now) + 1 >= least)
            continue;
        if (tarpit_debt(&t, &who, now) + 1 >= least || shares_turns(&t, &who, now) ||
            !has_nothing_under_way(&t, &who, now))
            continue;
        uint64_t bears = (1 + (h->seed + c) % 60) * SECOND;
        if (conversation(&t, &who, bears, &now))
            continue;
        now += h->seed % 7 * 13 * SECOND;
        ok = conversation(&t, &who, bears, &now);
        snprintf(why, 256, "client %u, which waits %.0fs for a reply, was not told, debt %g", c,
                 (double)bears / 1e3, tarpit_debt(&t, &who, now));
    }
    history_end(&t);
    return ok;
}

static void test_p5_any_small_offender_gets_the_real_5xx_on_its_second_try(void **state)
{
    assert_true(history_check(the_second_try_is_told, effort_of(HISTORIES), 500001));
}

/* ---- P6: bounded ---- */

/* For each client its own, its mailboxes and its bounces; for each network its own, two wider ones
 * and two pairs; an account and where it has logged in. */
enum { NETWORKS = 5, ENTRIES_MOST = 3 * HISTORY_CLIENTS + 5 * NETWORKS + 1 + NETWORKS };

static bool everything_is_bounded(const struct history *h, char why[256])
{
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now;

    history_run(h, EVENT_KINDS, &t, o, &now);
    for (unsigned c = 0; c < HISTORY_CLIENTS;
         c++) /* and once more, with all the offences there can be */
        for (int i = 0; i < 3; i++) {
            struct tarpit_who who = history_who(&t, c);
            struct ledger_key k = {who.client, who.client_label, LEDGER_CLIENT};
            ledger_add_offences(t.ledger, &k, &(struct ledger_decay){0}, now, 1e6);
            o[HISTORY_EVENTS - 1 - c] = (struct outcome){.hold = typo(&t, &who, now)};
        }
    struct ledger_stats stats = ledger_stats(t.ledger);
    history_end(&t);
    if (stats.entries > ENTRIES_MOST) {
        snprintf(why, 256, "%llu entries", (unsigned long long)stats.entries);
        return false;
    }
    for (uint32_t i = 0; i < HISTORY_EVENTS; i++) {
        if (i >= h->count && i < HISTORY_EVENTS - HISTORY_CLIENTS)
            continue;
        uint32_t lines = 0;
        for (uint64_t at = 0; (at = drip_next(&h->rules, 0, &o[i].hold, lines, at)) != 0;)
            lines++;
        if (o[i].hold.ms > POLICY_HOLD_MAX || lines > POLICY_DRIP_LINES) {
            snprintf(why, 256, "event %u: %.3fs, %u lines", i, (double)o[i].hold.ms / 1e3, lines);
            return false;
        }
    }
    return true;
}

static void test_p6_holds_lines_and_entries_stay_bounded(void **state)
{
    assert_true(history_check(everything_is_bounded, effort_of(HISTORIES), 600001));
}

/* ---- R22: the greeting pauses an unknown client only, for `greet` at most, once ---- */

static bool greetings_pause_the_unknown_once(const struct history *h, char why[256])
{
    enum { HOUR = 3600 * SECOND };
    const struct tarpit_rules *r = &h->rules;
    uint64_t known_until[HISTORY_CLIENTS] = {0}, now;
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];

    history_run(h, EVENT_KINDS, &t, o, &now);
    history_end(&t);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct event *e = o[i].event;
        if (e->kind == EVENT_PASSED && e->amount > 0) /* for longer than a history lasts */
            known_until[e->client] = UINT64_MAX;
        if (e->kind != EVENT_GREET || o[i].hold.ms == 0)
            continue;
        bool pause = o[i].hold.rule == RULE_GREET;
        if (pause && (o[i].hold.ms > r->greet || o[i].asked < known_until[e->client] ||
                      r->time == 0 || e->client == HISTORY_EXEMPT)) {
            snprintf(why, 256, "event %u: client %u pauses for %.3fs", i, e->client,
                     (double)o[i].hold.ms / 1e3);
            return false;
        }
        uint64_t until = o[i].asked + o[i].hold.ms + r->greet_pass;
        if (e->amount % 2 == 0 && known_until[e->client] + HOUR < until)
            known_until[e->client] = until - HOUR; /* the ledger notes the hour */
    }
    return true;
}

static void test_r22_a_client_pauses_once_and_never_when_it_has_delivered(void **state)
{
    assert_true(history_check(greetings_pause_the_unknown_once, effort_of(HISTORIES), 700001));
}

/* ---- what a client's own entry says alone ---- */

static uint32_t clear_clients, other_clients; /* seen by the property below */

/* A client that its own entry clears is clear in its standing too, whatever its sender's domain,
 * its correspondents and its network are: the shorter look decides nothing else. */
static bool the_shorter_look_agrees(const struct history *h, char why[256])
{
    static const char *const domain[] = {NULL, "one.example", "two.example", ""};
    struct tarpit t;
    struct outcome o[HISTORY_EVENTS];
    uint64_t now;
    bool ok = true;

    history_run(h, EVENT_KINDS, &t, o, &now);
    for (unsigned i = 0; i < HISTORY_CLIENTS * sizeof domain / sizeof *domain && ok; i++) {
        struct tarpit_who who = history_who(&t, i % HISTORY_CLIENTS);
        const char *from = domain[i / HISTORY_CLIENTS];
        if (from)
            tarpit_sender(&t, &who, span_of(from));
        struct own own = own_of(&t, &who, now);
        struct standing s = standing_of(&t, &who, now);
        bool in_debt = s.debt > 0 || s.own > 0 || s.correspondent || s.paced || s.guilty;
        clear_clients += own.clear;
        other_clients += !own.clear;
        ok = tarpit_debt(&t, &who, now) == s.debt && !(own.clear && in_debt) &&
             !(own.proven && (s.newcomer || s.shares || (!s.free && !s.delivered))) &&
             !(own.met && !s.free && !s.met);
        if (ok)
            continue;
        snprintf(why, 256, "client %u from %s: clear %d proven %d met %d; debt %f", i,
                 from ? from : "nobody yet", own.clear, own.proven, own.met, s.debt);
    }
    history_end(&t);
    return ok;
}

static void test_the_shorter_look_at_a_client_agrees_with_its_standing(void **state)
{
    assert_true(history_check(the_shorter_look_agrees, effort_of(HISTORIES), 800001));
    assert_true(clear_clients > effort_of(HISTORIES) && other_clients > effort_of(HISTORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_p1_verdicts_to_a_client_are_never_closer_than_the_pace),
        cmocka_unit_test(test_p2_nothing_tells_existing_from_missing_before_the_turn),
        cmocka_unit_test(test_p3_a_covered_clients_good_mail_is_never_held),
        cmocka_unit_test(test_p4_exempt_and_authenticated_sessions_are_never_held_or_booked),
        cmocka_unit_test(test_p5_a_sender_that_waits_30_s_for_each_line_gets_the_real_5xx),
        cmocka_unit_test(test_p5_any_small_offender_gets_the_real_5xx_on_its_second_try),
        cmocka_unit_test(test_p6_holds_lines_and_entries_stay_bounded),
        cmocka_unit_test(test_r22_a_client_pauses_once_and_never_when_it_has_delivered),
        cmocka_unit_test(test_the_shorter_look_at_a_client_agrees_with_its_standing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
