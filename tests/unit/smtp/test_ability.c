/* The extensions of a backend, from its own words and over a restart. One that is wrongly believed
 * makes a backend refuse good mail; one that is overlooked makes mired refuse it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/ability.h"
#include "smtp/xclient.h"

static void test_only_the_first_word_of_a_line_is_an_extension(void **state)
{
    static const struct {
        const char *hello;
        uint32_t caps;
    } table[] = {
        {"", 0},
        {"\n\n\n", 0},
        {"mx", 0},
        {"mx\nPIPELINING", CAP_PIPELINING},
        {"mx\npipelining\n8BitMime\n", CAP_PIPELINING | CAP_8BITMIME},
        {"mx\nSIZE 5\nSMTPUTF8\nDSN", CAP_SIZE | CAP_SMTPUTF8 | CAP_DSN},
        {"mx\nENHANCEDSTATUSCODES\nSTARTTLS\nCHUNKING", CAP_ENHANCED | CAP_STARTTLS | CAP_CHUNKING},
        {"mx\nXCLIENT ADDR\nXFORWARD ADDR", CAP_XCLIENT | CAP_XFORWARD},
        {"mx\nAUTH PLAIN DSN\nHELP STARTTLS", 0},
        {"mx\nXPIPELINING\nPIPELININGX\nPIPELINING=1\nPIPELINING\tyes", 0},
        {"mx\n PIPELINING\n  DSN", 0},
        {"mx\nPIPELINING ", CAP_PIPELINING},
        {"mx\nCHUNKING now", CAP_CHUNKING},
        {"mx\nDSN\nDSN", CAP_DSN},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct ability a = {.caps = UINT32_MAX};
        ability_learn(&a, span_of(table[i].hello));
        if (a.caps != table[i].caps)
            fail_msg("%s: %u", table[i].hello, a.caps);
    }
}

static void test_octets_that_are_no_text_are_no_extension(void **state)
{
    static const char hello[] = "mx\nDSN\0\nSIZE\0 5\nSMTPUTF8\xff\n8BITMIME\r\nCHUNKING";
    struct ability a = {0};

    ability_learn(&a, (struct span){hello, sizeof hello - 1});
    assert_int_equal(a.caps, CAP_CHUNKING);
    assert_int_equal(a.size_max, 0);
}

/* A limit that is cut short would make mired refuse mail that the backend takes. */
static void test_a_size_that_cannot_be_read_is_no_limit(void **state)
{
    static const struct {
        const char *hello;
        uint64_t size;
    } table[] = {
        {"mx\nSIZE 18446744073709551615", UINT64_MAX},
        {"mx\nSIZE 18446744073709551616", 0},
        {"mx\nSIZE 99999999999999999999999999", 0},
        {"mx\nSIZE 10 20", 0},
        {"mx\nSIZE 0x10", 0},
        {"mx\nSIZE  5", 5},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct ability a = {.size_max = 3};
        ability_learn(&a, span_of(table[i].hello));
        if (a.size_max != table[i].size || a.caps != CAP_SIZE)
            fail_msg("%s", table[i].hello);
    }
}

/* Postfix offers XCLIENT without its attributes to a session that began with XCLIENT. */
static void test_attributes_stay_known_where_they_are_not_named_again(void **state)
{
    struct ability a = {0};

    ability_learn(&a, SPAN("mx\nXCLIENT NAME ADDR future HELO\nXFORWARD ADDR source"));
    assert_int_equal(a.xclient, ATTRIBUTE_NAME | ATTRIBUTE_ADDR | ATTRIBUTE_HELO);
    assert_int_equal(a.xforward, ATTRIBUTE_ADDR | ATTRIBUTE_SOURCE);
    ability_learn(&a, SPAN("mx\nPIPELINING"));
    assert_int_equal(a.caps, CAP_PIPELINING);
    assert_int_equal(a.xclient, ATTRIBUTE_NAME | ATTRIBUTE_ADDR | ATTRIBUTE_HELO);
    assert_int_equal(a.xforward, ATTRIBUTE_ADDR | ATTRIBUTE_SOURCE);
    ability_learn(&a, SPAN("mx\nXCLIENT ADDR"));
    assert_int_equal(a.xclient, ATTRIBUTE_ADDR);
}

/* The word outlives the program: each bit keeps its meaning, and none is added unseen. */
static void test_the_word_of_an_earlier_program_is_understood(void **state)
{
    static const struct {
        uint64_t word;
        struct ability a;
    } table[] = {
        {0, {0}},
        {UINT64_C(1), {.caps = CAP_PIPELINING}},
        {UINT64_C(2), {.caps = CAP_SIZE}},
        {UINT64_C(4), {.caps = CAP_8BITMIME}},
        {UINT64_C(8), {.caps = CAP_SMTPUTF8}},
        {UINT64_C(16), {.caps = CAP_DSN}},
        {UINT64_C(32), {.caps = CAP_ENHANCED}},
        {UINT64_C(64), {.caps = CAP_XCLIENT}},
        {UINT64_C(128), {.caps = CAP_XFORWARD}},
        {UINT64_C(256), {.caps = CAP_STARTTLS}},
        {UINT64_C(512), {.caps = CAP_CHUNKING}},
        {UINT64_C(671088640023), {.caps = 23, .size_max = 10240000}},
        {UINT64_MAX, {.caps = 0xffff, .size_max = (UINT64_C(1) << 48) - 1}},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct ability a = ability_of_word(table[i].word);
        if (a.caps != table[i].a.caps || a.size_max != table[i].a.size_max || a.xclient ||
            a.xforward || ability_word(&table[i].a) != table[i].word)
            fail_msg("row %zu", i);
    }
}

static void test_a_size_without_room_in_the_word_is_stored_as_none(void **state)
{
    static const uint64_t size[] = {UINT64_C(1) << 48, (UINT64_C(1) << 48) + 77, UINT64_MAX};

    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        struct ability a = {.caps = CAP_SIZE | CAP_DSN, .size_max = size[i]};
        a = ability_of_word(ability_word(&a));
        assert_int_equal(a.caps, CAP_SIZE | CAP_DSN);
        assert_int_equal(a.size_max, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_first_word_of_a_line_is_an_extension),
        cmocka_unit_test(test_octets_that_are_no_text_are_no_extension),
        cmocka_unit_test(test_a_size_that_cannot_be_read_is_no_limit),
        cmocka_unit_test(test_attributes_stay_known_where_they_are_not_named_again),
        cmocka_unit_test(test_the_word_of_an_earlier_program_is_understood),
        cmocka_unit_test(test_a_size_without_room_in_the_word_is_stored_as_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
