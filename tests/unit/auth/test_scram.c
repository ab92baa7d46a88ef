/* SCRAM-SHA-256, the server's side, on the conversation of RFC 7677 section 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "auth/scram.h"

/* "pencil" with RFC 7677's salt, as `doveadm pw` and `gsasl --mkpasswd` would write it. */
#define SECRET                                                                                     \
    "4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"                  \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

#define CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define OURS         "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define NONCE        "rOprNGfwEbeRWgbNEkqO" OURS
#define SERVER_FIRST "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PROOF        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void expect(struct buf *got, const char *wanted)
{
    if (!span_equal(buf_span(got), span_of(wanted)))
        fail_msg("got \"%.*s\", wanted \"%s\"", (int)got->len, got->at ? got->at : "", wanted);
    buf_free(got);
}

static struct scram_secret secret(void)
{
    struct scram_secret s;
    assert_true(scram_secret_read(SPAN(SECRET), &s));
    return s;
}

/* A login after its first message. */
static struct scram_login begun(const char *first, struct span binding)
{
    struct scram_login l = {.secret = secret()};
    struct buf answer = {0};
    assert_int_equal(scram_login_begin(&l, span_of(first), binding, SPAN(OURS), &answer), 0);
    expect(&answer, SERVER_FIRST);
    return l;
}

static void test_the_rfcs_conversation(void **state)
{
    struct scram_login l = begun(CLIENT_FIRST, SPAN(""));
    struct buf answer = {0};
    assert_true(scram_login_end(&l, SPAN("c=biws,r=" NONCE ",p=" PROOF), &answer));
    expect(&answer, SERVER_FINAL);
    scram_login_wipe(&l);
}

static void test_what_differs_anywhere_is_wrong_and_gets_no_signature(void **state)
{
    static const char *const wrong[] = {
        "c=biws,r=" NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVU=",
        "c=eSws,r=" NONCE ",p=" PROOF,  /* another header: y,, */
        "c=biws,r=" NONCE "x,p=" PROOF, /* another nonce */
        "c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF,
        "c=biws,r=" NONCE ",x=y,p=" PROOF, /* it is signed, too */
        "c=biws,r=" NONCE ",p=" PROOF "x",
        "c=biws,r=" NONCE ",p=dHzb",
        "c=biws,r=" NONCE,
        "",
    };
    struct scram_login l = begun(CLIENT_FIRST, SPAN(""));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct buf answer = {0};
        assert_false(scram_login_end(&l, span_of(wrong[i]), &answer));
        assert_int_equal(answer.len, 0);
        buf_free(&answer);
    }
    scram_login_wipe(&l);
}

static void test_the_right_proof_over_another_connection_is_wrong(void **state)
{
    /* c= of "p=tls-exporter,," and four octets; the proof fits "abcd". */
    static const char message[] =
        "c=cD10bHMtZXhwb3J0ZXIsLGFiY2Q=,r=" NONCE ",p=sL5ZKYDqswlc6U1rqsukhvuWbEZSwhGIMA1gv93Vppg=";
    static const char first[] = "p=tls-exporter,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    struct buf answer = {0};
    struct scram_login l = begun(first, SPAN("abcd"));
    assert_true(scram_login_end(&l, span_of(message), &answer));
    scram_login_wipe(&l);
    buf_free(&answer);
    l = begun(first, SPAN("abce"));
    assert_false(scram_login_end(&l, span_of(message), &answer));
    scram_login_wipe(&l);
}

static void test_binding_is_named_and_there_or_neither(void **state)
{
    static const struct {
        const char *first, *binding;
    } bad[] = {
        {"p=tls-exporter,,n=user,r=x", ""}, {"n,,n=user,r=x", "abcd"}, {"n,,r=x,n=user", ""}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct scram_login l = {.secret = secret()};
        struct buf answer = {0};
        assert_int_not_equal(scram_login_begin(&l, span_of(bad[i].first), span_of(bad[i].binding),
                                               SPAN(OURS), &answer),
                             0);
        buf_free(&answer);
        scram_login_wipe(&l);
    }
}

static void test_a_decoy_is_never_right_and_its_salt_stays(void **state)
{
    struct sipkey key = {1, 2}, other = {1, 3};
    struct scram_secret like = secret(), a, b;
    scram_secret_decoy(&key, SPAN("nobody"), &like, &a);
    assert_int_equal(a.iterations, 4096);
    assert_int_equal(a.salt_len, 16);
    scram_secret_decoy(&key, SPAN("nobody"), &like, &b);
    assert_memory_equal(&a, &b, sizeof a);
    scram_secret_decoy(&key, SPAN("nobod"), &like, &b);
    assert_memory_not_equal(a.salt, b.salt, 16);
    scram_secret_decoy(&other, SPAN("nobody"), NULL, &b);
    assert_memory_not_equal(a.salt, b.salt, 16);
    assert_int_equal(b.salt_len, 16);
    assert_false(scram_secret_is_of(&a, SPAN("")));

    struct scram_login l = begun(CLIENT_FIRST, SPAN(""));
    struct buf answer = {0};
    l.decoy = true;
    assert_false(scram_login_end(&l, SPAN("c=biws,r=" NONCE ",p=" PROOF), &answer));
    scram_login_wipe(&l);
}

/* Field notes G8: Dovecot's own answers show what its users' secrets look like. */
static void test_decoys_take_the_shapes_that_were_seen_in_their_proportions(void **state)
{
    static struct scram_shapes shapes;
    struct sipkey key = {1, 2};
    struct scram_secret like;
    char name[32];
    int slow = 0;
    assert_false(scram_shapes_like(&shapes, &key, SPAN("nobody"), &like));
    scram_shapes_note(&shapes, &key, SPAN("x"), SPAN("r=abc,s=!,i=4096")); /* no salt: not noted */
    scram_shapes_note(&shapes, &key, SPAN("x"), SPAN("e=unknown-user"));
    scram_shapes_note(&shapes, &key, SPAN("x"), SPAN("r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0"));
    assert_false(scram_shapes_like(&shapes, &key, SPAN("nobody"), &like));
    scram_shapes_note(&shapes, &key, SPAN("alice"),
                      SPAN("r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10000"));
    for (int i = 0; i < 100; i++) { /* one user seen: all decoys are like that one */
        snprintf(name, sizeof name, "nobody%d", i);
        assert_true(scram_shapes_like(&shapes, &key, span_of(name), &like));
        assert_int_equal(like.iterations, 10000);
        assert_int_equal(like.salt_len, 16);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "user%d", i);
        scram_shapes_note(&shapes, &key, span_of(name),
                          i % 2 ? SPAN("r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=10000")
                                : SPAN("r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "nobody%d", i);
        assert_true(scram_shapes_like(&shapes, &key, span_of(name), &like));
        slow += like.iterations == 10000;
    }
    assert_in_range(slow, 200, 800); /* 64 places, each of either shape */
}

static void test_a_secret_checks_passwords_too(void **state)
{
    struct scram_secret s = secret();
    assert_true(scram_secret_is_of(&s, SPAN("pencil")));
    assert_false(scram_secret_is_of(&s, SPAN("pencils")));
    assert_false(scram_secret_is_of(&s, SPAN("")));
}

static void test_what_is_no_secret_is_not_read(void **state)
{
    static const char *const bad[] = {
        "",
        "4096",
        "0,eA==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "4096,,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "4096,eA==,WG5d,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
        "4096,eA==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
        SECRET ",x",
        "99999999999,eA==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    };
    struct scram_secret s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(scram_secret_read(span_of(bad[i]), &s));
}

static void test_a_nonce_may_stand_in_a_message_and_does_not_come_again(void **state)
{
    char a[SCRAM_OURS_MAX], b[SCRAM_OURS_MAX];
    for (int round = 0; round < 100; round++) {
        assert_int_equal(scram_nonce(a, sizeof a), 0);
        for (size_t i = 0; i < sizeof a; i++)
            assert_true(a[i] > 0x20 && a[i] < 0x7f && a[i] != ',');
    }
    assert_int_equal(scram_nonce(b, sizeof b), 0);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_rfcs_conversation),
        cmocka_unit_test(test_what_differs_anywhere_is_wrong_and_gets_no_signature),
        cmocka_unit_test(test_the_right_proof_over_another_connection_is_wrong),
        cmocka_unit_test(test_binding_is_named_and_there_or_neither),
        cmocka_unit_test(test_a_decoy_is_never_right_and_its_salt_stays),
        cmocka_unit_test(test_decoys_take_the_shapes_that_were_seen_in_their_proportions),
        cmocka_unit_test(test_a_secret_checks_passwords_too),
        cmocka_unit_test(test_what_is_no_secret_is_not_read),
        cmocka_unit_test(test_a_nonce_may_stand_in_a_message_and_does_not_come_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
