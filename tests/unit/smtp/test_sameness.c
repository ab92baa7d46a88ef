/* Which messages are the same when they come again, in whatever pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/sameness.h"

static const struct sipkey key = {1, 2};

static struct sameness take(const char *text, size_t piece)
{
    struct span in = span_of(text);
    struct sameness s;

    sameness_start(&s, &key);
    for (; in.len; in = span_after(in, piece))
        sameness_add(&s, span_first(in, piece));
    return s;
}

static uint64_t hash(const char *text)
{
    struct sameness s = take(text, SIZE_MAX);
    return sameness_end(&s);
}

#define ID "Message-ID: <1@a.test>\r\n"

/* field notes 4, 25 */
static void test_fields_of_the_way_do_not_count_beside_a_message_id(void **state)
{
    static const struct {
        const char *one, *two;
        bool same;
    } table[] = {
        {ID "\r\nx", ID "\r\nx", true},
        {ID "\r\nx", ID "\r\ny", false},
        {ID "Subject: x\r\n\r\n", ID "Subject: y\r\n\r\n", false},
        {"Received: by a\r\n" ID "\r\nx", "Received: by b\r\n" ID "\r\nx", true},
        {"Received: by a\r\n" ID "\r\nx", ID "\r\nx", true},
        {ID "received: by a\r\n\tfor <x>;\r\n now\r\nA: b\r\n\r\nx", ID "A: b\r\n\r\nx", true},
        {ID "A: b\r\n more\r\n\r\nx", ID "A: b\r\n less\r\n\r\nx", false},
        {"DKIM-Signature: v=1; t=1\r\n" ID "\r\nx", "DKIM-Signature: v=1; t=2\r\n" ID "\r\nx",
         true},
        {"ARC-Seal: i=1\r\n" ID "\r\nx", ID "\r\nx", true},
        {"ARC-Message-Signature: i=1\r\n" ID "\r\nx", ID "\r\nx", true},
        {"ARC-Authentication-Results: i=1\r\n" ID "\r\nx", ID "\r\nx", true},
        {"Authentication-Results: a; b=c\r\n" ID "\r\nx", ID "\r\nx", true},
        {"X-Google-DKIM-Signature: v=1\r\n" ID "\r\nx", ID "\r\nx", true},
        {"X-Received: by a\r\n" ID "\r\nx", ID "\r\nx", true},
        {"Return-Path: <a@b>\r\n" ID "\r\nx", ID "\r\nx", true},
        {"Received-SPF: pass\r\n" ID "\r\nx", ID "\r\nx", true},
        {"Receive: by a\r\n" ID "\r\nx", "Receive: by b\r\n" ID "\r\nx", false},
        {"Received-By: a\r\n" ID "\r\nx", "Received-By: b\r\n" ID "\r\nx", false},
        {"Message-ID: <1@a>\r\n\r\nx", "Message-ID: <2@a>\r\n\r\nx", false},
        {"Received: a\r\nmessage-id:\r\n <1@a>\r\n\r\n", "MESSAGE-ID:\r\n <1@a>\r\n\r\n", false},
        {"Received: a\r\nmessage-id:\r\n <1@a>\r\n\r\n", "message-id:\r\n <1@a>\r\n\r\n", true},
        /* To Postfix the body begins at a line without a colon: people read what follows. */
        {"Received words\r\n" ID "\r\nx", ID "\r\nx", false},
        {ID "Received words\r\n more\r\n\r\nx", ID "\r\nx", false},
        {ID "Received\twords\r\n\r\nx", ID "\r\nx", false},
        {ID "Received : words\r\n\r\nx", ID "\r\nx", false},
        {ID "Received\r\n\r\nx", ID "\r\nx", false},
        {ID "Received\r\n words\r\n\r\nx", ID "\r\nx", false},
        {ID "DKIM-Signature words\r\n\r\nx", ID "\r\nx", false},
        /* Without one, all that the sender's queue wrote tells messages apart. */
        {"Received: by a\r\nA: b\r\n\r\nx", "Received: by b\r\nA: b\r\n\r\nx", false},
        {"Received: by a\r\nMessage-ID:\r\n\r\nx", "Received: by b\r\nMessage-ID:\r\n\r\nx", false},
        {"Received: by a\r\nA: b\r\n\r\n" ID, "Received: by b\r\nA: b\r\n\r\n" ID, false},
        /* Only the header has fields. */
        {ID "\r\nReceived: a\r\n", ID "\r\nReceived: b\r\n", false},
        {ID "no field\r\nReceived: a\r\n\r\n", ID "no field\r\nReceived: b\r\n\r\n", true},
        {ID, ID "\r\n", false},
        {"", "\r\n", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if ((hash(table[i].one) == hash(table[i].two)) != table[i].same)
            fail_msg("row %zu", i);
}

static uint64_t signatures(const char *text, size_t piece)
{
    struct sameness s = take(text, piece);
    return sameness_signatures(&s);
}

static void test_signatures_have_a_hash_of_their_own(void **state)
{
    static const char one[] = "DKIM-Signature: b=x\r\n y\r\n";
    static const struct {
        const char *text;
        bool same; /* as a message with that signature alone */
    } table[] = {
        {"DKIM-Signature: b=x\r\n y\r\n" ID "\r\nx", true},
        {"Received: a\r\n" ID "A: b\r\nDKIM-Signature: b=x\r\n y\r\n\r\nother", true},
        {"DKIM-Signature: b=x\r\n z\r\n" ID "\r\nx", false},
        {"DKIM-Signature: b=z\r\n y\r\n" ID "\r\nx", false},
        {"DKIM-Signature: b=x\r\n" ID "\r\n y\r\n", false},
        {"DKIM-Signature: b=x\r\n y\r\nDKIM-Signature: b=x\r\n y\r\n" ID "\r\nx", false},
        {"X-Google-DKIM-Signature: b=x\r\n y\r\n" ID "\r\nx", false},
        {"DKIM-Signature b=x\r\n y\r\n" ID "\r\nx", false},
        {ID "\r\nDKIM-Signature: b=x\r\n y\r\n", false},
        {ID "\r\nx", false},
    };
    uint64_t is = signatures(one, SIZE_MAX);

    assert_true(is != 0);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t piece = 1; piece < 9; piece++)
            if ((signatures(table[i].text, piece) == is) != table[i].same)
                fail_msg("row %zu, pieces of %zu", i, piece);
    assert_true(signatures(ID "\r\nDKIM-Signature: b=x\r\n", 1) == 0);
}

static void test_pieces_do_not_matter(void **state)
{
    static const char *const texts[] = {
        "Received: by a\r\n folded\r\n" ID "Subject: x\r\n\r\nbody\r\nReceived: b\r\n",
        "Received: by a\r\nSubject: x\r\n\r\nbody\r\n", "\r\nbody", "no header\n\nat all", ID};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t piece = 1; piece < 40; piece++) {
            struct sameness s = take(texts[i], piece);
            assert_true(sameness_end(&s) == hash(texts[i]));
        }
}

static void test_a_message_id_is_a_field_with_an_identifier(void **state)
{
    static const struct {
        const char *text;
        bool named;
    } table[] = {
        {ID "\r\n", true},
        {"A: b\r\nMESSAGE-ID :<1@a>\r\n\r\n", true},
        {"Message-ID:\r\n\t<1@a>\r\n\r\n", true},
        {"Message-ID: none\r\n\r\n", false},
        {"Message-ID:\r\nA: <b>\r\n\r\n", false},
        {"A: b\r\n\r\n" ID, false},
        {"X-Message-ID: <1@a>\r\n\r\n", false},
        {"Resent-Message-ID: <1@a>\r\n\r\n", false},
        {"", false},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct sameness s = take(table[i].text, 3);
        if (sameness_is_named(&s) != table[i].named)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_of_the_way_do_not_count_beside_a_message_id),
        cmocka_unit_test(test_signatures_have_a_hash_of_their_own),
        cmocka_unit_test(test_pieces_do_not_matter),
        cmocka_unit_test(test_a_message_id_is_a_field_with_an_identifier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
