/* The settings under which mired delays as Windows Server 2003 SP1 and Exchange do (docs/tarpit.md,
 * "Classic mode"): one number of seconds, for each 5xx, on the connection that earned it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "tarpit/tarpit.h"

enum { SECOND = 1000 };
#define T0 UINT64_C(1800000000000)

static struct tarpit classic(struct tarpit_who *who)
{
    struct tarpit t = {.rules = config_default_rules()};
    struct addr a;
    t.rules.growth = 1;
    t.rules.pace = false;
    t.rules.shield = 0;
    t.rules.drip = 0;
    t.rules.patience_offences = 0;
    assert_int_equal(ledger_open(&t.ledger, NULL, 1 << 16), 0);
    assert_true(addr_parse(SPAN("192.0.2.7"), &a));
    *who = tarpit_who(&t, &a, false);
    return t;
}

static struct tarpit_hold rcpt(struct tarpit *t, const struct tarpit_who *w, enum offence o,
                               uint64_t now)
{
    struct tarpit_permit permit = tarpit_ask(t, w, (struct span){0}, now);
    assert_false(permit.masked);
    return tarpit_verdict(t, w, (struct span){0}, &permit, o, now);
}

static void test_each_5xx_is_delayed_by_the_same_time_however_many_there_are(void **state)
{
    struct tarpit_who who;
    struct tarpit t = classic(&who);
    for (int i = 0; i < 1000; i++) {
        struct tarpit_hold h = rcpt(&t, &who, OFFENCE_RECIPIENT, T0);
        assert_int_equal(h.ms, 20 * SECOND);
        assert_int_equal(h.drip_at_ms, 0);
        assert_false(h.masked);
        assert_int_equal(tarpit_offence(&t, &who, OFFENCE_SYNTAX, T0).ms, 20 * SECOND);
    }
    ledger_close(t.ledger);
}

static void test_nothing_else_is_delayed(void **state)
{
    struct tarpit_who who;
    struct tarpit t = classic(&who);
    for (int i = 0; i < 100; i++) {
        rcpt(&t, &who, OFFENCE_RECIPIENT, T0);
        assert_int_equal(rcpt(&t, &who, OFFENCE_NONE, T0).ms, 0);
        assert_int_equal(tarpit_wait(&t, &who, T0).ms, 0);
    }
    ledger_close(t.ledger);
}

static void test_neither_impatience_nor_a_null_sender_shortens_it(void **state)
{
    struct tarpit_who who;
    struct tarpit t = classic(&who);
    tarpit_gave_up(&t, &who, 5 * SECOND, T0);
    who.null_sender = true;
    assert_int_equal(rcpt(&t, &who, OFFENCE_RECIPIENT, T0).ms, 20 * SECOND);
    ledger_close(t.ledger);
}

static void test_authenticated_sessions_are_not_delayed(void **state)
{
    struct tarpit_who who;
    struct tarpit t = classic(&who);
    who.authenticated = true;
    assert_int_equal(rcpt(&t, &who, OFFENCE_RECIPIENT, T0).ms, 0);
    ledger_close(t.ledger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_5xx_is_delayed_by_the_same_time_however_many_there_are),
        cmocka_unit_test(test_nothing_else_is_delayed),
        cmocka_unit_test(test_neither_impatience_nor_a_null_sender_shortens_it),
        cmocka_unit_test(test_authenticated_sessions_are_not_delayed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
