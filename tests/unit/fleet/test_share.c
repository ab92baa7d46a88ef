/* A share as octets: what is written is read again, and what does not fit is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "config/config.h"
#include "fleet/share.h"

#define NOW UINT64_C(1700000000000)

static const struct share whole = {.name = {0xc000020700000000, LEDGER_CLIENT},
                                   .stamp_ms = NOW,
                                   .at_ms = NOW,
                                   .is = {.offences = 7.5,
                                          .good = 40,
                                          .spent = 3,
                                          .turn_ms = NOW + 30000,
                                          .debt_ms = NOW + 90000,
                                          .delivered_ms = NOW - 60000,
                                          .pass_ms = NOW - 7200000,
                                          .flags = LEDGER_TRAPPED | LEDGER_SUSPECT,
                                          .paced = true}};

static int read_back(struct share *s, const uint8_t *octets, size_t len, int64_t skew)
{
    struct tarpit_rules rules = config_default_rules();
    s->name = whole.name;
    return share_read(s, (struct span){(const char *)octets, len}, &rules, skew, NOW);
}

static void test_a_share_survives_the_wire(void **state)
{
    uint8_t octets[SHARE_VALUE_MOST];
    size_t len = share_write(&whole, 0, octets);
    struct share s;

    assert_true(len <= SHARE_VALUE_MOST);
    assert_int_equal(read_back(&s, octets, len, 0), 0);
    assert_true(s.is.offences == 7.5 && s.is.good == 40 && s.is.spent == 3 && s.is.paced);
    assert_true(s.at_ms == NOW && s.is.turn_ms == NOW + 30000 && s.is.debt_ms == NOW + 90000);
    assert_true(s.is.delivered_ms == NOW - 60000 && s.is.flags == whole.is.flags);
    assert_true(s.is.pass_ms == NOW - 7200000);
}

/* Members' clocks differ; Redis' is in between. */
static void test_times_are_those_of_the_reader(void **state)
{
    uint8_t octets[SHARE_VALUE_MOST];
    struct share theirs = whole, s; /* the writer's clock is 70 s slow */
    theirs.stamp_ms += 70000;
    size_t len = share_write(&theirs, 70000, octets);

    assert_int_equal(read_back(&s, octets, len, 71000), 0); /* the reader's 71 s */
    assert_true(s.at_ms == NOW - 1000 && s.is.turn_ms == NOW + 29000);
}

static void test_another_version_is_told_apart_from_damage(void **state)
{
    uint8_t octets[SHARE_VALUE_MOST];
    size_t len = share_write(&whole, 0, octets);
    struct share s;

    octets[0] = SHARE_VERSION + 1;
    assert_int_equal(read_back(&s, octets, len, 0), -ENOTSUP);
    octets[0] = SHARE_VERSION;
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(read_back(&s, octets, cut, 0), -EINVAL);
    octets[len] = 0;
    assert_int_equal(read_back(&s, octets, len + 1, 0), -EINVAL);
    struct share less = whole;
    less.is.pass_ms = 0;
    len = share_write(&less, 0, octets);
    octets[1] |= 0x80; /* a field that is not there */
    assert_int_equal(read_back(&s, octets, len, 0), -EINVAL);
}

/* R22: a pass of tomorrow would open the greeting for a day longer. */
static void test_a_pass_is_never_later_than_its_share(void **state)
{
    struct share s, late = whole;
    uint8_t octets[SHARE_VALUE_MOST];

    late.is.pass_ms = NOW + UINT64_C(86400000);
    assert_int_equal(read_back(&s, octets, share_write(&late, 0, octets), 0), 0);
    assert_true(s.is.pass_ms == NOW);
}

static void test_amounts_that_are_none_are_refused(void **state)
{
    static const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000, 0xbf800000};
    struct share s, one = {.stamp_ms = NOW, .at_ms = NOW, .is = {.offences = 1}};
    uint8_t octets[SHARE_VALUE_MOST];
    size_t len = share_write(&one, 0, octets);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (int k = 0; k < 4; k++)
            octets[8 + k] = (uint8_t)(bad[i] >> (24 - 8 * k));
        assert_int_equal(read_back(&s, octets, len, 0), -EINVAL);
    }
}

static void test_a_batch_ends_at_the_first_record_that_is_none(void **state)
{
    uint8_t octets[2 * (SHARE_NAME + 1 + SHARE_VALUE_MOST)];
    size_t len = share_put(&whole, 0, octets);
    struct span value, batch = {(char *)octets, len + 4};
    struct ledger_name name;

    memset(octets + len, 0x55, 4);
    assert_int_equal(share_next(&batch, &name, &value), 1);
    assert_true(name.id == whole.name.id && name.kind == whole.name.kind);
    assert_int_equal(share_next(&batch, &name, &value), -EINVAL);
    octets[0] = LEDGER_MAILBOXES; /* not shared */
    batch = (struct span){(char *)octets, len};
    assert_int_equal(share_next(&batch, &name, &value), -EINVAL);
}

/* docs/fleet.md: octets a client. */
static void test_a_client_in_debt_takes_18_octets(void **state)
{
    struct share s = {.stamp_ms = NOW,
                      .at_ms = NOW,
                      .is = {.offences = 4, .turn_ms = NOW + 1000, .debt_ms = NOW + 1000}};
    uint8_t octets[SHARE_VALUE_MOST];

    assert_int_equal(share_write(&s, 0, octets), 18);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_share_survives_the_wire),
        cmocka_unit_test(test_times_are_those_of_the_reader),
        cmocka_unit_test(test_another_version_is_told_apart_from_damage),
        cmocka_unit_test(test_a_pass_is_never_later_than_its_share),
        cmocka_unit_test(test_amounts_that_are_none_are_refused),
        cmocka_unit_test(test_a_batch_ends_at_the_first_record_that_is_none),
        cmocka_unit_test(test_a_client_in_debt_takes_18_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
