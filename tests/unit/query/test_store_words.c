/* store_words.c: what a worker says to the store, as it comes from one that was taken over too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "query/store_words.h"

static void comes_as_it_was(const char *domain, const char *delimiters)
{
    char text[STORE_WORDS_TEXT];
    struct store_words words;
    size_t len = store_words_write(span_of(domain), delimiters, text);

    assert_true(store_words_read((struct span){text, len}, &words));
    assert_string_equal(words.domain, domain);
    assert_string_equal(words.delimiters, delimiters);
}

static void test_words_come_as_they_were(void **state)
{
    char longest[STORE_WORD];

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    comes_as_it_was("example.test", "+");
    comes_as_it_was("example.test", "");
    comes_as_it_was("example.test", "+ -");
    comes_as_it_was(longest, longest);
}

static void test_what_is_too_long_is_not_said(void **state)
{
    char text[STORE_WORDS_TEXT], more[STORE_WORD + 1];
    struct store_words words;

    memset(more, 'x', sizeof more - 1);
    more[sizeof more - 1] = '\0';
    assert_int_equal(store_words_write(span_of(more), "+", text), 0);
    assert_int_equal(store_words_write(span_of("a"), more, text), 0);
    assert_false(store_words_read((struct span){text, 0}, &words));
}

static void test_what_no_worker_says_is_no_word(void **state)
{
    const struct span wrong[] = {SPAN("a"), SPAN(" +"), SPAN("a\0b +"), SPAN("a +\0")};
    char more[3 * STORE_WORD];
    struct store_words words;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(store_words_read(wrong[i], &words));
    memset(more, 'x', sizeof more);
    more[1] = ' ';
    assert_false(store_words_read((struct span){more, sizeof more}, &words));
    more[1] = 'x';
    more[sizeof more - 1] = ' ';
    assert_false(store_words_read((struct span){more, sizeof more}, &words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_come_as_they_were),
        cmocka_unit_test(test_what_is_too_long_is_not_said),
        cmocka_unit_test(test_what_no_worker_says_is_no_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
