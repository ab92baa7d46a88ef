/* Messages of SCRAM clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "smtp/scram.h"

static void test_the_rfcs_first_message(void **state)
{
    struct scram_first f;
    assert_true(scram_read_first(SPAN("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), &f));
    assert_int_equal(f.flag, 'n');
    expect_span(f.user, "user");
    expect_span(f.nonce, "rOprNGfwEbeRWgbNEkqO");
    expect_span(f.header, "n,,");
    expect_span(f.bare, "n=user,r=rOprNGfwEbeRWgbNEkqO");
    expect_span(f.authzid, "");
}

static void test_the_rfcs_final_message(void **state)
{
    struct scram_final f;
    assert_true(scram_read_final(SPAN("c=biws,r=abc%def,p=dHzbZapWIk4="), &f));
    expect_span(f.channel, "biws");
    expect_span(f.nonce, "abc%def");
    expect_span(f.proof, "dHzbZapWIk4=");
    expect_span(f.signed_part, "c=biws,r=abc%def");
}

static void test_binding_authzid_and_extensions(void **state)
{
    struct scram_first f;
    struct scram_final l;
    assert_true(scram_read_first(SPAN("p=tls-exporter,a=me,n=u,r=x,e=1,f=2"), &f));
    assert_int_equal(f.flag, 'p');
    expect_span(f.binding, "tls-exporter");
    expect_span(f.authzid, "me");
    expect_span(f.header, "p=tls-exporter,a=me,");
    expect_span(f.bare, "n=u,r=x,e=1,f=2");
    assert_true(scram_read_first(SPAN("y,,n=u,r=x"), &f));
    assert_int_equal(f.flag, 'y');
    assert_true(scram_read_final(SPAN("c=biws,r=x,e=1,p=YQ=="), &l));
    expect_span(l.signed_part, "c=biws,r=x,e=1");
}

static void test_what_is_no_first_message(void **state)
{
    static const char *const bad[] = {
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=u",
        "n,,r=x,n=u",
        "x,,n=u,r=x",
        "nn,,n=u,r=x",
        "p,,n=u,r=x",
        "p=,,n=u,r=x",
        "p=tls unique,,n=u,r=x",
        "n,me,n=u,r=x",
        "n,,m=1,n=u,r=x",
        "n,,n=u,r=",
        "n,,n=u,r=a b",
        "n,,n=u,r=\xc3\xa4",
        "n,,n=u,r=x,m=1",
        "n,,n=u,r=x,1=1",
        "n,,n=u,r=x,e",
        "n,,n=u,r=x,,e=1",
    };
    struct scram_first f;
    char long_nonce[SCRAM_NONCE_MAX + 20] = "n,,n=u,r=";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (scram_read_first(span_of(bad[i]), &f))
            fail_msg("\"%s\" was taken", bad[i]);
    memset(long_nonce + 9, 'x', SCRAM_NONCE_MAX + 1);
    assert_false(scram_read_first((struct span){long_nonce, 9 + SCRAM_NONCE_MAX + 1}, &f));
    assert_true(scram_read_first((struct span){long_nonce, 9 + SCRAM_NONCE_MAX}, &f));
}

static void test_what_is_no_final_message(void **state)
{
    static const char *const bad[] = {"",
                                      "p=YQ==",
                                      "c=biws,r=x",
                                      "c=biws,p=YQ==",
                                      "r=x,c=biws,p=YQ==",
                                      "c=biws,r=x,p=",
                                      "c=biws,r=x,p=YQ==,e=1",
                                      "c=biws,r=x y,p=YQ==",
                                      "c=biws,r=x,m=1,p=YQ=="};
    struct scram_final f;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (scram_read_final(span_of(bad[i]), &f))
            fail_msg("\"%s\" was taken", bad[i]);
}

static void test_names_with_commas_and_equals_signs(void **state)
{
    char name[8];
    assert_true(scram_name(SPAN("a=2Cb=3Dc"), name, sizeof name));
    assert_string_equal(name, "a,b=c");
    assert_true(scram_name(SPAN("1234567"), name, sizeof name));
    assert_false(scram_name(SPAN("12345678"), name, sizeof name));
    assert_false(scram_name(SPAN(""), name, sizeof name));
    assert_false(scram_name(SPAN("a=2cb"), name, sizeof name));
    assert_false(scram_name(SPAN("a=3"), name, sizeof name));
    assert_false(scram_name(SPAN("a\0b"), name, sizeof name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rfcs_first_message),
        cmocka_unit_test(test_the_rfcs_final_message),
        cmocka_unit_test(test_binding_authzid_and_extensions),
        cmocka_unit_test(test_what_is_no_first_message),
        cmocka_unit_test(test_what_is_no_final_message),
        cmocka_unit_test(test_names_with_commas_and_equals_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
