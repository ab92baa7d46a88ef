/* received.c: the line, its calendar, hostile names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "smtp/received.h"
#include "smtp/session.h"

static struct received_from plain(void)
{
    struct received_from from = {.helo = SPAN("client.example.net"),
                                 .hostname = "mx.example.org",
                                 .flags = SMTP_ESMTP,
                                 .id = "beef",
                                 .only_recipient = SPAN("b@example.org")};
    assert_true(addr_parse(SPAN("192.0.2.7"), &from.client));
    return from;
}

static void expect_header(const struct received_from *from, const char *wanted)
{
    struct buf out = {0};
    assert_int_equal(received_header(from, 1795485784123, &out), 0);
    if (!span_equal(buf_span(&out), span_of(wanted)))
        fail_msg("got %.*s, wanted %s", (int)out.len, out.at, wanted);
    buf_free(&out);
}

static void test_the_line_is_that_of_rfc_5321(void **state)
{
    struct received_from from = plain();
    expect_header(&from, "Received: from client.example.net ([192.0.2.7])\r\n"
                         "\tby mx.example.org with ESMTP id beef\r\n"
                         "\tfor <b@example.org>;\r\n"
                         "\tTue, 24 Nov 2026 02:03:04 +0000\r\n");
    from.only_recipient = (struct span){0};
    assert_true(addr_parse(SPAN("2001:db8::1"), &from.client));
    expect_header(&from, "Received: from client.example.net ([IPv6:2001:db8::1])\r\n"
                         "\tby mx.example.org with ESMTP id beef;\r\n"
                         "\tTue, 24 Nov 2026 02:03:04 +0000\r\n");
}

/* Field notes 13. */
static void test_a_login_is_named_where_it_is_wanted_and_cannot_end_the_comment(void **state)
{
    static const struct {
        const char *login, *shown;
    } row[] = {
        {"alice@example.org", "\r\n\t(authenticated as alice@example.org)"},
        {"", ""},
        {"a) (b\\", "\r\n\t(authenticated as a? ?b?)"},
        {"a\r\nX: y", ""},
        {"\xff", ""},
        {"j\xc3\xbcrgen", "\r\n\t(authenticated as j\xc3\xbcrgen)"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct received_from from = plain();
        char wanted[400];
        from.flags |= SMTP_AUTHENTICATED;
        from.login = span_of(row[i].login);
        snprintf(wanted, sizeof wanted,
                 "Received: from client.example.net ([192.0.2.7])%s\r\n"
                 "\tby mx.example.org with ESMTPA id beef\r\n"
                 "\tfor <b@example.org>;\r\n"
                 "\tTue, 24 Nov 2026 02:03:04 +0000\r\n",
                 row[i].shown);
        expect_header(&from, wanted);
    }
}

static void test_a_hostile_name_is_cleaned(void **state)
{
    struct received_from from = plain();
    char name[300];
    struct buf out = {0};
    from.helo = SPAN("a\r\nX: y (z) <q>\0\xff");
    from.only_recipient = SPAN("a\r\n@b");
    expect_header(&from, "Received: from a??X:?y??z???q??? ([192.0.2.7])\r\n"
                         "\tby mx.example.org with ESMTP id beef;\r\n"
                         "\tTue, 24 Nov 2026 02:03:04 +0000\r\n");
    from.helo = (struct span){0};
    assert_int_equal(received_header(&from, 0, &out), 0);
    assert_non_null(memmem(out.at, out.len, "from unknown (", 14));
    buf_free(&out);
    memset(name, 'x', sizeof name);
    from.helo = (struct span){name, sizeof name};
    assert_int_equal(received_header(&from, 0, &out), 0);
    assert_true(span_find(buf_span(&out), '\n') < 400);
    buf_free(&out);
}

static void test_the_protocol_is_named_after_how_it_came(void **state)
{
    assert_string_equal(received_protocol(0), "SMTP");
    assert_string_equal(received_protocol(SMTP_ESMTP), "ESMTP");
    assert_string_equal(received_protocol(SMTP_ESMTP | SMTP_AUTHENTICATED), "ESMTPA");
    assert_string_equal(received_protocol(SMTP_ESMTP | SMTP_TLS_ON), "ESMTPS");
    assert_string_equal(received_protocol(SMTP_ESMTP | SMTP_TLS_ON | SMTP_AUTHENTICATED),
                        "ESMTPSA");
    assert_string_equal(received_protocol(SMTP_ESMTP | SMTP_UTF8), "UTF8SMTP");
    assert_string_equal(
        received_protocol(SMTP_ESMTP | SMTP_UTF8 | SMTP_TLS_ON | SMTP_AUTHENTICATED), "UTF8SMTPSA");
    assert_string_equal(received_protocol(SMTP_ESMTP | SMTP_LMTP), "LMTP");
    assert_string_equal(received_protocol(SMTP_ESMTP | SMTP_LMTP | SMTP_UTF8 | SMTP_TLS_ON),
                        "UTF8LMTPS");
}

static void test_dates_are_those_of_the_c_library(void **state)
{
    srand(5322);
    for (int i = 0; i < 20000; i++) {
        time_t seconds = i < 200 ? (time_t)i * 86400 * 183 : ((time_t)rand() << 4) + rand() % 16;
        char ours[RECEIVED_DATE], theirs[RECEIVED_DATE];
        struct tm tm;
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S +0000", &tm) > 0);
        if (tm.tm_mday < 10) /* one digit */
            memmove(theirs + 5, theirs + 6, strlen(theirs + 6) + 1);
        assert_string_equal(received_date((uint64_t)seconds * 1000 + 999, ours), theirs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_line_is_that_of_rfc_5321),
        cmocka_unit_test(test_a_login_is_named_where_it_is_wanted_and_cannot_end_the_comment),
        cmocka_unit_test(test_a_hostile_name_is_cleaned),
        cmocka_unit_test(test_the_protocol_is_named_after_how_it_came),
        cmocka_unit_test(test_dates_are_those_of_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
