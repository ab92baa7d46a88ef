/* Washing: mired tells spammers in time which addresses are dead (R12), so that lists get clean;
 * telling them sooner would pay those that do not wash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"
#include "populations.h"
#include "washing.h"

static struct washing_result run(bool drops, double bears_s, double patience, enum sim_setting s)
{
    struct tarpit_rules mired = config_default_rules(), r = sim_rules(s, &mired);
    struct washing w = {drops, 0.8, bears_s};
    struct washing_result out;

    if (patience > 0)
        r.patience_offences = patience;
    assert_true(washing_run(&w, &r, 5, &out));
    return out;
}

static void test_r12_impatient_washers_learn_what_a_fixed_delay_never_tells_them(void **state)
{
    struct washing_result mired = run(true, 10, 0, SIM_MIRED);
    struct washing_result classic = run(true, 10, 0, SIM_CLASSIC);

    assert_int_equal(mired.left, 0);
    assert_true(mired.connections[44] < mired.connections[0] / 4);
    assert_int_equal(classic.told, 0);
    assert_int_equal(classic.connections[WASHING_DAYS - 1], classic.connections[0]);
}

static void test_nobody_is_told_more_than_the_pace_allows(void **state)
{
    static const double bears[] = {10, 30, 60};

    for (size_t i = 0; i < 3; i++) {
        struct washing_result r = run(false, bears[i], 0, SIM_MIRED);
        struct washing_result off = run(false, bears[i], 0, SIM_OFF);
        assert_true(r.told * 10 < off.told);
        assert_true(r.spam * 10 < off.spam);
        assert_int_equal(off.left, r.left);
    }
}

/* Why there is no option that tells washers sooner: a keeper cannot be told from a washer, and hears
 * several times as many verdicts. */
static void test_telling_sooner_pays_keepers_more_than_it_saves(void **state)
{
    struct washing_result now = run(false, 60, 0, SIM_MIRED),
                          sooner = run(false, 60, 50, SIM_MIRED);

    assert_true(sooner.told > 3 * now.told);
    assert_true(sooner.spam > 3 * now.spam);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r12_impatient_washers_learn_what_a_fixed_delay_never_tells_them),
        cmocka_unit_test(test_nobody_is_told_more_than_the_pace_allows),
        cmocka_unit_test(test_telling_sooner_pays_keepers_more_than_it_saves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
