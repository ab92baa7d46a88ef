/* XCLIENT and XFORWARD: what a server behind is told of a client (field notes 12, 13). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/xclient.h"

#define POSTFIX "NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"

static struct addr addr(const char *text)
{
    struct addr a = {0};
    assert_true(addr_parse_port(span_of(text), &a) || addr_parse(span_of(text), &a));
    return a;
}

static void expect(const struct xclient_identity *who, const char *words, const char *wanted)
{
    struct buf out = {0};
    assert_int_equal(xclient_command(&out, who, xclient_attributes(span_of(words))), 0);
    if (!span_equal(buf_span(&out), span_of(wanted)))
        fail_msg("got %.*s, wanted %s", (int)out.len, out.at, wanted);
    buf_free(&out);
}

static void test_all_that_postfix_takes_is_told(void **state)
{
    struct client_names names = {NAME_IS, NAME_IS, "mail.example.net"};
    struct xclient_identity who = {.client = addr("192.0.2.7:4711"),
                                   .server = addr("198.51.100.1:25"),
                                   .names = &names,
                                   .helo = SPAN("HELO-name"),
                                   .user = SPAN("al ice+x"),
                                   .esmtp = true};
    expect(&who, POSTFIX,
           "XCLIENT NAME=mail.example.net REVERSE_NAME=mail.example.net ADDR=192.0.2.7 PORT=4711"
           " DESTADDR=198.51.100.1 DESTPORT=25 PROTO=ESMTP HELO=HELO-name LOGIN=al+20ice+2Bx\r\n");
    expect(&who, "ADDR", "XCLIENT ADDR=192.0.2.7\r\n");
    who.client = addr("[2001:db8::1]:65535");
    expect(&who, "addr port", "XCLIENT ADDR=IPV6:2001:db8::1 PORT=65535\r\n");
}

static void test_what_is_not_known_is_said_to_be_so(void **state)
{
    static const struct {
        struct client_names names;
        const char *wanted;
    } row[] = {
        {{NAME_IS, NAME_IS, "a.test"}, "XCLIENT NAME=a.test REVERSE_NAME=a.test\r\n"},
        {{NAME_NONE, NAME_IS, "a.test"}, "XCLIENT NAME=[UNAVAILABLE] REVERSE_NAME=a.test\r\n"},
        {{NAME_LATER, NAME_IS, "a.test"}, "XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=a.test\r\n"},
        {{NAME_NONE, NAME_NONE, ""}, "XCLIENT NAME=[UNAVAILABLE] REVERSE_NAME=[UNAVAILABLE]\r\n"},
        {{NAME_LATER, NAME_LATER, ""}, "XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL]\r\n"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct xclient_identity who = {.names = &row[i].names};
        expect(&who, "NAME REVERSE_NAME", row[i].wanted);
    }
    struct xclient_identity nobody = {0};
    expect(&nobody, POSTFIX,
           "XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL] PROTO=SMTP HELO=[UNAVAILABLE]"
           " LOGIN=[UNAVAILABLE]\r\n");
}

static void test_a_login_is_for_xclient_and_a_source_for_xforward(void **state)
{
    struct xclient_identity who = {.user = SPAN("alice")};
    struct buf out = {0};
    assert_int_equal(xclient_forward_command(&out, &who, ~UINT32_C(0)), 0);
    assert_null(memmem(out.at, out.len, "LOGIN", 5));
    assert_non_null(memmem(out.at, out.len, "SOURCE=REMOTE", 13));
    buf_free(&out);
}

/* Postfix takes 255 octets of xtext, and refuses the whole command for a longer value. */
static void test_a_hello_that_is_too_long_is_not_told(void **state)
{
    static const struct {
        const char *unit;
        unsigned most;
    } row[] = {{"a", 255}, {"+", 85}, {"\xc3\xa4", 42}, {"=-", 63}};

    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (unsigned more = 0; more < 2; more++) {
            struct buf helo = {0}, out = {0};
            for (unsigned n = 0; n < row[i].most + more; n++)
                assert_int_equal(buf_add_span(&helo, span_of(row[i].unit)), 0);
            struct xclient_identity who = {.helo = buf_span(&helo)};
            assert_int_equal(xclient_command(&out, &who, ATTRIBUTE_HELO), 0);
            struct span none = SPAN("XCLIENT HELO=[UNAVAILABLE]\r\n");
            assert_int_equal(span_equal(buf_span(&out), none), more);
            assert_true(out.len <= strlen("XCLIENT HELO=\r\n") + 255);
            buf_free(&helo);
            buf_free(&out);
        }
}

/* What a client says in HELO is said in its name behind a PROXY header, if a server could take it.
 */
static void test_a_hello_is_passed_on_when_it_is_one(void **state)
{
    static const char *const good[] = {"mail.example.net", "[192.0.2.7]", "[IPv6:2001:db8::1]",
                                       "user-PC",          "a_b",         "localhost"},
                             *const bad[] = {"", "a b", "a\tb", "a\r\nMAIL", "<x>", "j\xc3\xbc"};
    char out[256], longest[300];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(xclient_helo(span_of(good[i]), out, sizeof out));
        assert_string_equal(out, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(xclient_helo(span_of(bad[i]), out, sizeof out));
    memset(longest, 'a', sizeof longest);
    assert_true(xclient_helo((struct span){longest, 255}, out, sizeof out));
    assert_false(xclient_helo((struct span){longest, 256}, out, sizeof out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_postfix_takes_is_told),
        cmocka_unit_test(test_what_is_not_known_is_said_to_be_so),
        cmocka_unit_test(test_a_login_is_for_xclient_and_a_source_for_xforward),
        cmocka_unit_test(test_a_hello_that_is_too_long_is_not_told),
        cmocka_unit_test(test_a_hello_is_passed_on_when_it_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
