/* envelope.c: the block, its notes and proposals, copies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/envelope.h"

static void expect(struct span got, const char *wanted)
{
    if (!span_equal(got, span_of(wanted)))
        fail_msg("got %.*s, wanted %s", (int)got.len, got.at, wanted);
}

/* HELO, sender, two recipients. */
static struct envelope filled(void)
{
    struct envelope e = {0};
    assert_int_equal(envelope_set_helo(&e, SPAN("helo.example")), 0);
    assert_int_equal(envelope_set_sender(&e, SPAN("s@example"), SPAN("RET=FULL")), 0);
    assert_int_equal(envelope_add_recipient(&e, SPAN("r1@example"), SPAN("")), 0);
    assert_int_equal(envelope_add_recipient(&e, SPAN("r2@example"), SPAN("NOTIFY=NEVER")), 0);
    return e;
}

static void expect_filled(const struct envelope *e)
{
    struct envelope_recipient r = {0};
    expect(envelope_helo(e), "helo.example");
    expect(envelope_sender(e), "s@example");
    expect(envelope_sender_params(e), "RET=FULL");
    assert_int_equal(envelope_recipients(e), 2);
    assert_true(envelope_next(e, &r));
    expect(r.address, "r1@example");
    expect(r.params, "");
    assert_true(envelope_next(e, &r));
    expect(r.address, "r2@example");
    expect(r.params, "NOTIFY=NEVER");
    assert_false(envelope_next(e, &r));
}

static void test_what_is_put_in_comes_out(void **state)
{
    struct envelope e = filled();
    expect_filled(&e);
    expect(envelope_note(&e), "");
    envelope_free(&e);
    assert_null(e.text.at);
}

static void test_an_empty_envelope_has_nothing(void **state)
{
    struct envelope e = {0};
    struct envelope_recipient r = {0};
    assert_false(envelope_has_sender(&e));
    assert_false(envelope_next(&e, &r));
    assert_int_equal(envelope_helo(&e).len + envelope_sender(&e).len + envelope_note(&e).len, 0);
    envelope_reset(&e);
    envelope_drop_note(&e);
    envelope_free(&e);
}

static void test_the_null_sender_is_one(void **state)
{
    struct envelope e = {0};
    assert_int_equal(envelope_set_sender(&e, SPAN(""), SPAN("")), 0);
    assert_true(envelope_has_sender(&e));
    assert_int_equal(envelope_sender(&e).len, 0);
    envelope_free(&e);
}

static void test_a_note_is_replaced_and_dropped(void **state)
{
    struct envelope e = filled();
    struct span kept;
    assert_int_equal(envelope_set_note(&e, SPAN("first, the longer"), NULL), 0);
    assert_int_equal(envelope_set_note(&e, SPAN("second"), &kept), 0);
    expect(kept, "second");
    expect(envelope_note(&e), "second");
    expect_filled(&e);
    assert_int_equal(envelope_add_recipient(&e, SPAN("r3@example"), SPAN("")), 0);
    expect(envelope_note(&e), "");
    assert_int_equal(envelope_recipients(&e), 3);
    assert_int_equal(envelope_set_note(&e, SPAN("third"), NULL), 0);
    envelope_drop_note(&e);
    expect(envelope_note(&e), "");
    assert_int_equal(envelope_recipients(&e), 3);
    envelope_free(&e);
}

/* Field notes 13. */
static void test_a_login_stays_until_another(void **state)
{
    struct envelope e = {0}, copy = {0};
    expect(envelope_login(&e), "");
    assert_int_equal(envelope_set_helo(&e, SPAN("helo.example")), 0);
    assert_int_equal(envelope_set_note(&e, SPAN("alice"), NULL), 0);
    assert_int_equal(envelope_set_login(&e, envelope_note(&e)), 0); /* it may be its own note */
    expect(envelope_login(&e), "alice");
    expect(envelope_helo(&e), "helo.example");
    expect(envelope_note(&e), "");
    assert_int_equal(envelope_set_helo(&e, SPAN("another")), 0);
    expect(envelope_login(&e), "alice");
    assert_int_equal(envelope_set_sender(&e, SPAN("a@example"), SPAN("RET=HDRS")), 0);
    assert_int_equal(envelope_add_recipient(&e, SPAN("b@example"), SPAN("")), 0);
    expect(envelope_login(&e), "alice");
    assert_int_equal(envelope_copy(&copy, &e), 0); /* as a frozen session's is */
    expect(envelope_login(&copy), "alice");
    envelope_reset(&e);
    expect(envelope_login(&e), "alice");
    expect(envelope_helo(&e), "another");
    assert_int_equal(envelope_set_login(&e, SPAN("bob")), 0);
    expect(envelope_login(&e), "bob");
    envelope_free(&e);
    envelope_free(&copy);
}

static void test_a_note_may_stand_where_nothing_else_does(void **state)
{
    struct envelope e = {0};
    assert_int_equal(envelope_set_note(&e, SPAN("note"), NULL), 0);
    expect(envelope_note(&e), "note");
    expect(envelope_helo(&e), "");
    assert_int_equal(envelope_set_helo(&e, SPAN("h")), 0);
    expect(envelope_note(&e), "");
    envelope_free(&e);
}

static void test_a_proposed_recipient_is_accepted_or_dropped(void **state)
{
    struct envelope e = filled();
    struct envelope_recipient r = {0};
    assert_int_equal(envelope_propose(&e, SPAN("r3@example"), SPAN("NOTIFY=DELAY")), 0);
    expect(envelope_note(&e), "r3@example");
    expect_filled(&e);
    envelope_drop_note(&e);
    expect_filled(&e);
    assert_int_equal(envelope_propose(&e, SPAN("r3@example"), SPAN("NOTIFY=DELAY")), 0);
    envelope_accept(&e);
    assert_int_equal(envelope_recipients(&e), 3);
    while (envelope_next(&e, &r))
        ;
    expect(r.address, "r3@example");
    expect(r.params, "NOTIFY=DELAY");
    envelope_free(&e);
}

static void test_texts_may_be_the_envelopes_own(void **state)
{
    struct envelope e = filled();
    /* With room and without, so that the block moves or does not. */
    for (int i = 0; i < 200; i++) {
        assert_int_equal(envelope_propose(&e, SPAN("proposed@example"), SPAN("P=1")), 0);
        assert_int_equal(envelope_set_note(&e, envelope_note(&e), NULL), 0);
        expect(envelope_note(&e), "proposed@example");
        assert_int_equal(envelope_add_recipient(&e, envelope_note(&e), envelope_helo(&e)), 0);
        if (i % 3 == 0)
            envelope_fit(&e);
    }
    assert_int_equal(envelope_set_sender(&e, envelope_sender_params(&e), envelope_sender(&e)), 0);
    expect(envelope_sender(&e), "RET=FULL");
    expect(envelope_sender_params(&e), "s@example");
    assert_int_equal(envelope_set_helo(&e, envelope_sender(&e)), 0);
    expect(envelope_helo(&e), "RET=FULL");
    envelope_free(&e);
}

static void test_a_new_sender_forgets_recipients_and_reset_keeps_helo(void **state)
{
    struct envelope e = filled();
    assert_int_equal(envelope_set_sender(&e, SPAN("t@example"), SPAN("")), 0);
    assert_int_equal(envelope_recipients(&e), 0);
    envelope_reset(&e);
    assert_false(envelope_has_sender(&e));
    expect(envelope_helo(&e), "helo.example");
    assert_int_equal(envelope_set_helo(&e, SPAN("other")), 0);
    expect(envelope_helo(&e), "other");
    envelope_free(&e);
}

static void test_a_copy_is_of_its_own(void **state)
{
    struct envelope e = filled(), copy = {0};
    assert_int_equal(envelope_copy(&copy, &e), 0);
    memset(e.text.at, 0, e.text.len);
    envelope_free(&e);
    expect_filled(&copy);
    struct envelope empty = {0};
    assert_int_equal(envelope_copy(&copy, &empty), 0);
    assert_false(envelope_has_sender(&copy));
    envelope_free(&copy);
}

static void test_only_a_sound_block_is_taken(void **state)
{
    struct envelope e = filled(), copy = {0};
    assert_int_equal(envelope_set_note(&e, SPAN("note"), NULL), 0);
    struct span block = envelope_block(&e);
    assert_int_equal(envelope_from_block(&copy, block), 0);
    expect_filled(&copy);
    expect(envelope_note(&copy), "note");
    for (size_t cut = 1; cut < 8; cut++)
        assert_int_equal(envelope_from_block(&copy, span_first(block, block.len - cut)), -EBADMSG);
    /* The second record's kind: a sender where there was one already, HELO again, nonsense, a note
     * first. */
    size_t second = 4 + strlen("helo.example");
    for (char kind = 0; kind < 10; kind++) {
        e.text.at[second] = (char)((e.text.at[second] & ~15) | kind);
        bool fine =
            kind == 2 || kind == 3; /* a recipient in the place of the sender is in order too */
        assert_int_equal(envelope_from_block(&copy, block), fine ? 0 : -EBADMSG);
    }
    envelope_free(&copy);
    envelope_free(&e);
}

static void test_a_large_block_is_given_back(void **state)
{
    struct envelope e = filled();
    for (int i = 0; i < ENVELOPE_RECIPIENTS_MAX; i++)
        assert_int_equal(envelope_add_recipient(&e, SPAN("recipient@example.org"), SPAN("")), 0);
    envelope_reset(&e);
    assert_true(e.text.cap < 4096);
    expect(envelope_helo(&e), "helo.example");
    envelope_free(&e);
}

static void test_a_harvesters_block_is_small(void **state)
{
    struct envelope e = {0};
    assert_int_equal(envelope_set_helo(&e, SPAN("client.example")), 0);
    assert_int_equal(envelope_set_sender(&e, SPAN("a@b.example"), SPAN("")), 0);
    assert_int_equal(envelope_propose(&e, SPAN("john@example.org"), SPAN("")), 0);
    envelope_fit(&e);
    assert_true(e.text.cap <= 64);
    envelope_free(&e);
}

/* Field notes 15. */
static void test_the_login_stays_with_helo_over_messages_a_new_helo_and_a_frozen_hold(void **state)
{
    struct envelope e = {0}, copy = {0};

    assert_int_equal(envelope_login(&e).len, 0);
    assert_int_equal(envelope_set_helo(&e, SPAN("client.example")), 0);
    assert_int_equal(envelope_login(&e).len, 0);
    assert_int_equal(envelope_set_note(&e, SPAN("a prompt"), NULL), 0);
    assert_int_equal(envelope_set_login(&e, SPAN("alice@example.test")), 0);
    assert_true(span_equal(envelope_login(&e), SPAN("alice@example.test")));
    assert_true(span_equal(envelope_helo(&e), SPAN("client.example")));
    assert_int_equal(envelope_set_sender(&e, SPAN("a@b"), (struct span){0}), 0);
    assert_int_equal(envelope_add_recipient(&e, SPAN("c@d"), (struct span){0}), 0);
    assert_true(span_equal(envelope_login(&e), SPAN("alice@example.test")));
    assert_true(span_equal(envelope_sender(&e), SPAN("a@b")));
    assert_int_equal(envelope_copy(&copy, &e), 0);
    assert_true(span_equal(envelope_login(&copy), SPAN("alice@example.test")));
    envelope_reset(&e);
    assert_true(span_equal(envelope_login(&e), SPAN("alice@example.test")));
    assert_int_equal(envelope_set_helo(&e, SPAN("a.much.longer.name.than.before.example")), 0);
    assert_true(span_equal(envelope_login(&e), SPAN("alice@example.test")));
    assert_true(span_equal(envelope_helo(&e), SPAN("a.much.longer.name.than.before.example")));
    envelope_free(&e);
    envelope_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_in_comes_out),
        cmocka_unit_test(test_an_empty_envelope_has_nothing),
        cmocka_unit_test(test_the_null_sender_is_one),
        cmocka_unit_test(test_a_note_is_replaced_and_dropped),
        cmocka_unit_test(test_a_login_stays_until_another),
        cmocka_unit_test(test_a_note_may_stand_where_nothing_else_does),
        cmocka_unit_test(test_a_proposed_recipient_is_accepted_or_dropped),
        cmocka_unit_test(test_texts_may_be_the_envelopes_own),
        cmocka_unit_test(test_a_new_sender_forgets_recipients_and_reset_keeps_helo),
        cmocka_unit_test(test_a_copy_is_of_its_own),
        cmocka_unit_test(test_the_login_stays_with_helo_over_messages_a_new_helo_and_a_frozen_hold),
        cmocka_unit_test(test_only_a_sound_block_is_taken),
        cmocka_unit_test(test_a_large_block_is_given_back),
        cmocka_unit_test(test_a_harvesters_block_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
