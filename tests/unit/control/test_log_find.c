/* `mirectl log ADDRESS`: which lines are about it. Field notes 15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/log_find.h"

static void test_an_address_is_found_as_a_whole_word(void **state)
{
    static const struct {
        const char *line, *wanted;
        bool found;
    } rows[] = {
        {"event=session client=192.0.2.1 id=abc", "192.0.2.1", true},
        {"event=session client=192.0.2.10 id=abc", "192.0.2.1", false},
        {"event=session client=10.192.0.2.1", "192.0.2.1", false},
        {"event=session client=2001:db8::1 id=abc", "2001:0DB8:0:0::1", true},
        {"event=session client=2001:db8::1 id=abc", "[2001:db8::1]", true},
        {"event=session client=198.51.100.7 id=abc", "64:ff9b::198.51.100.7", true},
        {"event=session client=198.51.100.7 id=abc", "64:ff9b::c633:6407", true},
        {"event=session client=198.51.100.7 id=abc", "::ffff:198.51.100.7", true},
        {"event=session client=2002:c633:6407::1 id=abc", "2002:c633:6407::1", true},
        {"event=session client=2001:db8::11 id=abc", "2001:db8::1", false},
        {"event=refused from=bob@a.test to=x@b.test", "bob@a.test", true},
        {"event=refused from=bob@a.test to=x@b.test", "BOB@A.Test", true},
        {"event=refused from=bob@a.test to=x@b.test", "<bob@a.test>", true},
        {"event=refused from=jbob@a.test", "bob@a.test", false},
        {"event=refused from=j.bob@a.test", "bob@a.test", false},
        {"event=refused from=bob@a.test.example", "bob@a.test", false},
        {"event=refused from=bob+news@a.test", "bob@a.test", false},
        {"event=refused from=bob@a.test", "a.test", true},
        {"event=refused from=bob@mail.a.test", "a.test", false},
        {"event=message also=\"x@b.test,bob@a.test,y@b.test\" recipients=4", "bob@a.test", true},
        {"event=message also=\"x@b.test,bob@a.test\"", "bob@a.test", true},
        {"{\"event\":\"refused\",\"to\":\"bob@a.test\"}", "bob@a.test", true},
        {"event=session client=192.0.2.1 id=k3v9x2m7qf code=250", "k3v9x2m7qf", true},
        {"event=message client=192.0.2.1 id=k3v9x2m7qf-1c9a code=250", "k3v9x2m7qf", true},
        {"event=message client=192.0.2.1 id=k3v9x2m7qf-1c9a code=250", "k3v9x2m7qf-1c9a", true},
        {"event=message backend_id=4F2K9abc code=250", "4F2K9abc", true},
        {"event=refused to=\"j\\xc3\\xb6rg@a.test\"", "j\xc3\xb6rg@a.test", true},
        {"{\"to\":\"j\xc3\xb6rg@a.test\"}", "j\xc3\xb6rg@a.test", true},
        {"", "x", false},
        {"x", "x", true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct log_wanted w;
        assert_true(log_want(&w, span_of(rows[i].wanted)));
        if (log_mentions(span_of(rows[i].line), &w) != rows[i].found)
            fail_msg("\"%s\" in: %s", rows[i].wanted, rows[i].line);
    }
}

static void test_nothing_and_what_is_too_long_is_not_looked_for(void **state)
{
    struct log_wanted w;
    char text[400];

    memset(text, 'x', sizeof text);
    assert_false(log_want(&w, SPAN("")));
    assert_false(log_want(&w, SPAN("\0x"))); /* else every line would mention it */
    assert_false(log_want(&w, (struct span){text, sizeof text}));
    assert_true(log_want(&w, (struct span){text, 140}));
}

static void test_a_line_s_session_is_its_id_field_and_no_client_can_write_one(void **state)
{
    static const struct {
        const char *line, *session;
    } rows[] = {
        {"event=session client=192.0.2.1 id=k3v9x2m7qf helo=x", "k3v9x2m7qf"},
        {"event=message client=192.0.2.1 id=k3v9x2m7qf-1c9a from=x", "k3v9x2m7qf"},
        {"event=session client=192.0.2.1 helo=\"x id=forged\" id=real", "real"},
        {"event=session client=192.0.2.1 helo=\"x\\\" id=forged\" id=real", "real"},
        {"event=notice text=\"x id=forged\"", ""},
        {"{\"event\":\"session\",\"client\":\"192.0.2.1\",\"id\":\"abc\",\"helo\":\"x\"}", "abc"},
        {"{\"event\":\"session\",\"helo\":\"x\\\",\\\"id\\\":\\\"forged\",\"id\":\"abc\"}", "abc"},
        {"event=start pid=7", ""},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span s = log_session(span_of(rows[i].line));
        if (s.len != strlen(rows[i].session) ||
            memcmp(s.at ? s.at : "", rows[i].session, s.len) != 0)
            fail_msg("\"%.*s\" of: %s", (int)s.len, s.at ? s.at : "", rows[i].line);
    }
}

static void test_a_field_s_value_is_found_and_is_only_its_own(void **state)
{
    static const struct {
        const char *line, *key, *value;
    } rows[] = {
        {"event=refused client=192.0.2.1 to=a@b.test why=unknown", "event", "refused"},
        {"event=refused client=192.0.2.1 to=a@b.test why=unknown", "why", "unknown"},
        {"event=refused to=\"a b\"@c why=x", "to", "a b"},
        {"event=refused from=\"x to=forged\" to=a@b.test", "to", "a@b.test"},
        {"event=refused from=\"x\\\" to=forged\" to=a@b.test", "to", "a@b.test"},
        {"event=refused into=x", "to", ""},
        {"event=refused to=", "to", ""},
        {"{\"event\":\"refused\",\"to\":\"a@b.test\",\"code\":550}", "event", "refused"},
        {"{\"event\":\"refused\",\"to\":\"a@b.test\",\"code\":550}", "to", "a@b.test"},
        {"{\"event\":\"refused\",\"to\":\"a@b.test\",\"code\":550}", "code", "550"},
        {"{\"a\":\"x,\\\"to\\\":\\\"forged\",\"to\":\"b\"}", "to", "b"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span v = log_value(span_of(rows[i].line), rows[i].key);
        if (!span_equal(v, span_of(rows[i].value)))
            fail_msg("%s of %s is \"%.*s\"", rows[i].key, rows[i].line, (int)v.len,
                     v.len ? v.at : "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_is_found_as_a_whole_word),
        cmocka_unit_test(test_nothing_and_what_is_too_long_is_not_looked_for),
        cmocka_unit_test(test_a_field_s_value_is_found_and_is_only_its_own),
        cmocka_unit_test(test_a_line_s_session_is_its_id_field_and_no_client_can_write_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
