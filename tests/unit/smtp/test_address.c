/* address.c: paths, mailboxes, folding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/address.h"

static void expect_path(const char *text, enum path_result wanted, const char *local,
                        const char *domain)
{
    struct mailbox box;
    size_t used;
    enum path_result got = path_parse(span_of(text), &used, &box);
    if (got != wanted)
        fail_msg("%s: got %d, wanted %d", text, got, wanted);
    if (got == PATH_BAD) {
        assert_int_equal(used, 0);
        return;
    }
    assert_int_equal(used, strlen(text));
    assert_true(span_equal(box.local, span_of(local)));
    assert_true(span_equal(box.domain, span_of(domain)));
}

static void test_paths_that_are_good(void **state)
{
    expect_path("<a@b.example>", PATH_OK, "a", "b.example");
    expect_path("<a.b+c/d=e@x-y.b_c.1>", PATH_OK, "a.b+c/d=e", "x-y.b_c.1");
    expect_path("<!#$%&'*-/?^_`{|}~@localhost>", PATH_OK, "!#$%&'*-/?^_`{|}~", "localhost");
    expect_path("<\"a b\"@c.example>", PATH_OK, "\"a b\"", "c.example");
    expect_path("<\"a@b>\\\"\\\\\"@c.example>", PATH_OK, "\"a@b>\\\"\\\\\"", "c.example");
    expect_path("<\"\"@c.example>", PATH_OK, "\"\"", "c.example");
    expect_path("<a@[192.0.2.1]>", PATH_OK, "a", "[192.0.2.1]");
    expect_path("<a@[IPv6:2001:db8::1]>", PATH_OK, "a", "[IPv6:2001:db8::1]");
    expect_path("<a@[x400:what/ever]>", PATH_OK, "a", "[x400:what/ever]");
    expect_path("<>", PATH_NULL, "", "");
    expect_path("<PostMaster>", PATH_POSTMASTER, "PostMaster", "");
    expect_path("<postmaster@b.example>", PATH_OK, "postmaster", "b.example");
}

/* field notes 10: what mobile carriers have given out, and what others write. */
static void test_addresses_from_the_wild_are_taken(void **state)
{
    static const struct {
        const char *path, *local, *domain, *folded;
    } wild[] = {
        {"<user..name@docomo.test>", "user..name", "docomo.test", "user..name@docomo.test"},
        {"<user.@docomo.test>", "user.", "docomo.test", "user.@docomo.test"},
        {"<User...@docomo.test>", "User...", "docomo.test", "user...@docomo.test"},
        {"<.user@ezweb.test>", ".user", "ezweb.test", ".user@ezweb.test"},
        {"<..a..b..@ezweb.test>", "..a..b..", "ezweb.test", "..a..b..@ezweb.test"},
        {"<a.-.b@ezweb.test>", "a.-.b", "ezweb.test", "a.-.b@ezweb.test"},
        {"<\"user..name\"@docomo.test>", "\"user..name\"", "docomo.test", "user..name@docomo.test"},
        {"<\".\"@docomo.test>", "\".\"", "docomo.test", "\".\"@docomo.test"},
        {"<\"..\"@docomo.test>", "\"..\"", "docomo.test", "\"..\"@docomo.test"},
        {"<a@b.example.>", "a", "b.example", "a@b.example"},
        {"<a@localhost.>", "a", "localhost", "a@localhost"},
        {"<a.@B.Example.>", "a.", "B.Example", "a.@b.example"},
        {"<@one.example:a@b.example.>", "a", "b.example", "a@b.example"},
    };

    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        struct mailbox box;
        size_t used;
        char folded[ADDRESS_MAX];
        expect_path(wild[i].path, PATH_OK, wild[i].local, wild[i].domain);
        path_parse(span_of(wild[i].path), &used, &box);
        mailbox_fold(&box, folded, sizeof folded);
        assert_string_equal(folded, wild[i].folded);
    }
}

static void test_a_mailbox_may_stand_without_brackets_where_that_is_asked_for(void **state)
{
    static const struct {
        const char *text;
        enum path_result result;
        size_t used;
    } cases[] = {
        {"a@b.example", PATH_OK, 11},
        {"a@b.example SIZE=1", PATH_OK, 11},
        {"a@b.example. X", PATH_OK, 12},
        {"\"a b\"@c.example", PATH_OK, 15},
        {"a@[192.0.2.1] X", PATH_OK, 13},
        {"a..b@c", PATH_OK, 6},
        {"<a@b.example>", PATH_BAD, 0},
        {"", PATH_BAD, 0},
        {"postmaster", PATH_BAD, 0},
        {"postmaster>", PATH_BAD, 0},
        {"@b", PATH_BAD, 0},
        {"a@", PATH_BAD, 0},
    };
    struct mailbox box;
    size_t used;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(path_parse_bare(span_of(cases[i].text), &used, &box), cases[i].result);
        if (cases[i].result != PATH_BAD)
            assert_int_equal(used, cases[i].used);
    }
}

static void test_paths_that_are_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "<",
        "a@b",
        "<a@b",
        "<a>",
        "<@b>",
        "<a@>",
        "<a@@b>",
        "<a b@c>",
        "<.@b>",
        "<..@b>",
        "<a@.b>",
        "<a@.>",
        "<a@b..>",
        "<a@b..c>",
        "<a@b-.>",
        "<a@[192.0.2.1].>",
        "<a@b.c. >",
        "<a@b.c.@d>",
        "<a@-b>",
        "<a@b-.c>",
        "<a@b c>",
        "<a@b@c>",
        "<\"a@b>",
        "<\"a\"b@c>",
        "<a\"b\"@c>",
        "<\"a\x01\"@b>",
        "<\"a\\\x7f\"@b>",
        "<a@[]>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.4>",
        "<a@[IPv6:]>",
        "<a@[IPv6:1.2.3.4]>",
        "<a@[IPv6:2001:db8::g]>",
        "<a@[:x]>",
        "<a@[x:]>",
        "<a@[x: y]>",
        "<a@[2001:db8::1\\]>",
        "< a@b>",
        "<a@b >",
        "<a,b@c>",
        "<a\x7f@b>",
        "<a@b\x01>",
        "<\xff@b>",
        "<a@\xc0\x80>",
        "<a\xc2\x85@b>",
        "< >",
        "<@a.example:postmaster>",
        "<@a.example:>",
        "<@a.example,b@c>",
        "<@a.example>",
        "<@:b@c>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_path(bad[i], PATH_BAD, "", "");
}

static void test_routes_are_skipped(void **state)
{
    expect_path("<@one.example:a@b.example>", PATH_OK, "a", "b.example");
    expect_path("<@one.example,@[192.0.2.1],@three:a@b.example>", PATH_OK, "a", "b.example");
}

static void test_utf8_is_told_apart(void **state)
{
    expect_path("<j\xc3\xb6rg@example.org>", PATH_NON_ASCII, "j\xc3\xb6rg", "example.org");
    expect_path("<a@b\xc3\xbc"
                "cher.example>",
                PATH_NON_ASCII, "a",
                "b\xc3\xbc"
                "cher.example");
    expect_path("<\"\xe2\x82\xac 5\"@b.example>", PATH_NON_ASCII, "\"\xe2\x82\xac 5\"",
                "b.example");
}

static void test_a_path_tells_how_far_it_goes(void **state)
{
    struct mailbox box;
    size_t used;
    assert_int_equal(path_parse(SPAN("<a@b> SIZE=1"), &used, &box), PATH_OK);
    assert_int_equal(used, 5);
    assert_int_equal(path_parse(SPAN("<>x"), &used, &box), PATH_NULL);
    assert_int_equal(used, 2);
}

static void test_lengths_are_limited(void **state)
{
    char text[600];
    struct mailbox box;
    size_t used;
    /* 254 octets between the brackets, and one more */
    for (int n = 250; n <= 251; n++) {
        int len = snprintf(text, sizeof text, "<%0*d@b.c>", n, 0);
        enum path_result r = path_parse((struct span){text, (size_t)len}, &used, &box);
        assert_int_equal(r, n == 250 ? PATH_OK : PATH_BAD);
    }
    for (int n = 63; n <= 64; n++) {
        int len = snprintf(text, sizeof text, "<a@%0*d.c>", n, 0);
        enum path_result r = path_parse((struct span){text, (size_t)len}, &used, &box);
        assert_int_equal(r, n == 63 ? PATH_OK : PATH_BAD);
    }
}

static void expect_fold(const char *path, const char *wanted)
{
    struct mailbox box;
    size_t used;
    char out[ADDRESS_MAX * 4];
    assert_int_not_equal(path_parse(span_of(path), &used, &box), PATH_BAD);
    size_t n = mailbox_fold(&box, out, sizeof out);
    assert_string_equal(out, wanted);
    assert_int_equal(n, strlen(wanted));
}

static void test_folding_gives_one_form(void **state)
{
    expect_fold("<Alice@Example.ORG>", "alice@example.org");
    expect_fold("<\"Alice\"@Example.ORG>", "alice@example.org");
    expect_fold("<\"\\A\\l.i\"@example.org>", "al.i@example.org");
    expect_fold("<\"a b\"@example.org>", "\"a b\"@example.org");
    expect_fold("<\"a\\b\\ c\\\\\\\"\"@example.org>", "\"ab c\\\\\\\"\"@example.org");
    expect_fold("<\"\"@example.org>", "\"\"@example.org");
    expect_fold("<\".a\"@example.org>", ".a@example.org");
    expect_fold("<\"a@b\"@example.org>", "\"a@b\"@example.org");
    expect_fold("<J\xc3\x96rg@B\xc3\x9c"
                "cher.Example>",
                "j\xc3\x96rg@xn--bcher-kva.example");
    expect_fold("<a@XN--BCHER-KVA.example>", "a@xn--bcher-kva.example");
    expect_fold("<a@[IPv6:2001:DB8::1]>", "a@[ipv6:2001:db8::1]");
    expect_fold("<Postmaster>", "postmaster");
}

static void test_folding_refuses_what_is_no_domain_or_does_not_fit(void **state)
{
    char out[64];
    struct mailbox box = {SPAN("a"), SPAN("\xef\xbc\xa0.example")}; /* a full-width "@" */
    assert_int_equal(mailbox_fold(&box, out, sizeof out), 0);
    box.domain = SPAN("-\xc3\xbc.example");
    assert_int_equal(mailbox_fold(&box, out, sizeof out), 0);
    box.domain = SPAN("example.org");
    assert_int_equal(mailbox_fold(&box, out, sizeof "a@example.org"), 13);
    assert_int_equal(mailbox_fold(&box, out, sizeof "a@example.org" - 1), 0);
    assert_int_equal(mailbox_fold(&box, out, 0), 0);
}

static void test_tags_are_cut_off(void **state)
{
    assert_true(span_equal(local_without_tag(SPAN("user+tag"), "+"), SPAN("user")));
    assert_true(span_equal(local_without_tag(SPAN("user-a+b"), "+-"), SPAN("user")));
    assert_true(span_equal(local_without_tag(SPAN("user"), "+"), SPAN("user")));
    assert_true(span_equal(local_without_tag(SPAN("+user+x"), "+"), SPAN("+user")));
    assert_true(span_equal(local_without_tag(SPAN("user+tag"), ""), SPAN("user+tag")));
    assert_true(span_equal(local_without_tag(SPAN(""), "+"), SPAN("")));
}

/* field notes 24 */
static void test_routes_in_local_parts_are_found_however_they_are_written(void **state)
{
    static const char *const routes[] = {"<joe%evil@x.test>",         "<evil!joe@x.test>",
                                         "<\"joe@evil\"@x.test>",     "<\"joe%evil\"@x.test>",
                                         "<\"evil!joe\"@x.test>",     "<\"joe\\@evil\"@x.test>",
                                         "<\"\\joe\\%evil\"@x.test>", "<a+b%evil@x.test>",
                                         "<\"@relay:joe\"@x.test>",   "<%@x.test>",
                                         "<\"a b@c\"@x.test>",        "<!@x.test>",
                                         "<postmaster%evil@x.test>",  "<@y.test:a%b@x.test>"};
    static const char *const none[] = {"<joe@x.test>",     "<joe+evil=x.test@x.test>",
                                       "<\"a b\"@x.test>", "<SRS0=x=y=evil.test=joe@x.test>",
                                       "<a/b@x.test>",     "<postmaster>"};
    char out[ADDRESS_MAX * 4];
    struct mailbox box;
    size_t used;

    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        path_parse(span_of(routes[i]), &used, &box);
        struct span folded = {out, mailbox_fold(&box, out, sizeof out)};
        size_t sign = address_sign(folded);
        assert_true(span_equal(span_after(folded, sign), SPAN("@x.test")));
        if (!local_is_routing(span_first(folded, sign)) || !local_is_routing(box.local))
            fail_msg("%s", routes[i]);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        path_parse(span_of(none[i]), &used, &box);
        struct span folded = {out, mailbox_fold(&box, out, sizeof out)};
        assert_false(local_is_routing(span_first(folded, address_sign(folded))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_that_are_good),
        cmocka_unit_test(test_addresses_from_the_wild_are_taken),
        cmocka_unit_test(test_a_mailbox_may_stand_without_brackets_where_that_is_asked_for),
        cmocka_unit_test(test_paths_that_are_bad),
        cmocka_unit_test(test_routes_are_skipped),
        cmocka_unit_test(test_utf8_is_told_apart),
        cmocka_unit_test(test_a_path_tells_how_far_it_goes),
        cmocka_unit_test(test_lengths_are_limited),
        cmocka_unit_test(test_folding_gives_one_form),
        cmocka_unit_test(test_folding_refuses_what_is_no_domain_or_does_not_fit),
        cmocka_unit_test(test_tags_are_cut_off),
        cmocka_unit_test(test_routes_in_local_parts_are_found_however_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
