/* Phases, flags and reasons have names, each its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "control/commands.h"
#include "fake.h"
#include "smtp/client.h"
#include "worker/conn.h"
#include "worker/conn_state.h"

static void test_each_phase_has_a_name_of_its_own(void **state)
{
    for (unsigned i = 0; i < CONN_PHASE_COUNT; i++) {
        assert_int_equal(conn_phase_by_name(conn_phase_name((enum conn_phase)i)), i);
        assert_true(strlen(conn_phase_waits_for((enum conn_phase)i)) > 5);
        assert_null(strchr(conn_phase_name((enum conn_phase)i), ' ')); /* an argument of mirectl */
    }
    assert_int_equal(conn_phase_by_name("nonsense"), CONN_PHASE_COUNT);
    assert_string_equal(conn_phase_name((enum conn_phase)CONN_PHASE_COUNT), "?");
}

static void test_flags_are_written_in_order(void **state)
{
    char text[CONN_FLAGS_TEXT];

    assert_string_equal(conn_flags_text(0, text), "");
    assert_string_equal(conn_flags_text(CONN_EXEMPT, text), "exempt");
    assert_string_equal(conn_flags_text(CONN_TLS | CONN_EXEMPT | CONN_PROXIED, text),
                        "exempt,tls,proxied");
    conn_flags_text(UINT32_MAX & 0xfff, text);
    assert_true(strlen(text) < CONN_FLAGS_TEXT);
    assert_int_equal(strcmp(strrchr(text, ','), ",proxied"), 0);
}

static void test_each_state_of_a_backends_connection_has_a_name(void **state)
{
    for (unsigned i = 0; i <= OUTBOUND_DEAD; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(outbound_state_name((enum outbound_state)i),
                                    outbound_state_name((enum outbound_state)k));
    assert_string_equal(outbound_state_name(OUTBOUND_FINAL), "final dot");
}

/* mirectl's help and completion list the phases. */
static void test_the_command_lists_all_phases(void **state)
{
    const char *at = strstr(control_commands[COMMAND_CONNECTIONS].arguments, "--phase ");

    assert_non_null(at);
    at += strlen("--phase ");
    for (unsigned i = 0; i < CONN_PHASE_COUNT; i++) {
        const char *name = conn_phase_name((enum conn_phase)i);
        assert_memory_equal(at, name, strlen(name));
        at += strlen(name);
        assert_int_equal(*at++, i + 1 < CONN_PHASE_COUNT ? '|' : ']');
    }
}

/* One table for the log and for the counters. */
static void test_each_reason_is_counted_under_its_own_name(void **state)
{
    struct metrics m;
    struct fake f;

    assert_int_equal(metrics_open(&m, 1), 0);
    metrics_use(&m.row[0]);
    fake_open(&f);
    for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++) {
        enum metric id = METRIC_SESSIONS_QUIT + (enum metric)i;
        struct fake_client client = fake_connect(&f, "192.0.2.7");
        assert_int_equal(metrics_sum(&m, id), 0);
        conn_close(f.w, client.c, (enum close_reason)i);
        assert_int_equal(metrics_sum(&m, id), 1);
        assert_non_null(strstr(metric_table[id].label, close_reason_name((enum close_reason)i)));
        assert_string_equal(metric_table[id].family, "mired_sessions_total");
    }
    fake_close(&f);
    metrics_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_phase_has_a_name_of_its_own),
        cmocka_unit_test(test_flags_are_written_in_order),
        cmocka_unit_test(test_each_state_of_a_backends_connection_has_a_name),
        cmocka_unit_test(test_the_command_lists_all_phases),
        cmocka_unit_test(test_each_reason_is_counted_under_its_own_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
