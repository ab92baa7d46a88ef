/* The spool: what goes in comes out, from memory or file, and its octets are counted. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "relay/spool.h"

static char folder[] = "/tmp/test-spool-XXXXXX";
static _Atomic uint64_t used;
static struct spool_room room = {.folder = folder, .used = &used, .max = 4 << 20};
static const struct sipkey key = {1, 2};

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    return rmdir(folder); /* spool files have no names: it is empty */
}

/* Fills a spool with `size` octets in pieces and reads them back. */
static void round_trip(size_t size, size_t piece)
{
    char *text = malloc(size + 1);
    struct spool *s = spool_new(&room, &key);
    uint64_t at = 0;

    for (size_t i = 0; i < size; i++)
        text[i] = (char)(i * 7 + i / 256);
    for (size_t i = 0; i < size; i += piece)
        assert_int_equal(spool_add(s, (struct span){text + i, size - i < piece ? size - i : piece}),
                         0);
    assert_int_equal(spool_size(s), size);
    assert_true(atomic_load(&used) >= size);
    for (struct span got; (got = spool_read(s, at)).len; at += got.len)
        assert_memory_equal(got.at, text + at, got.len);
    assert_int_equal(at, size);
    spool_free(s);
    assert_int_equal(atomic_load(&used), 0);
    free(text);
}

static void test_messages_of_any_size_come_out_as_they_went_in(void **state)
{
    static const size_t sizes[] = {
        0, 1, 1000, SPOOL_MEMORY - 1, SPOOL_MEMORY, SPOOL_MEMORY + 1, 3 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        round_trip(sizes[i], 65536);
        round_trip(sizes[i], 9973);
    }
}

static void test_all_spools_together_stay_below_their_limit(void **state)
{
    static char block[1 << 20];
    struct spool *a = spool_new(&room, &key), *b = spool_new(&room, &key);
    int result = 0;

    for (int i = 0; i < 3; i++)
        assert_int_equal(spool_add(a, (struct span){block, sizeof block}), 0);
    for (int i = 0; i < 3 && result == 0; i++)
        result = spool_add(b, (struct span){block, sizeof block});
    assert_int_equal(result, -ENOSPC);
    spool_free(a);
    spool_free(b);
    assert_int_equal(atomic_load(&used), 0);
}

static void test_the_hash_is_of_the_octets_and_not_of_their_pieces(void **state)
{
    struct spool *a = spool_new(&room, &key), *b = spool_new(&room, &key),
                 *c = spool_new(&room, &key);

    spool_add(a, SPAN("one two three"));
    spool_add(b, SPAN("one "));
    spool_add(b, SPAN("two three"));
    spool_add(c, SPAN("one two thre3"));
    uint64_t of_a, of_b, of_c;
    bool named;
    spool_identify(a, &of_a, &named);
    spool_identify(b, &of_b, &named);
    spool_identify(c, &of_c, &named);
    assert_true(of_a == of_b);
    assert_false(of_a == of_c);
    spool_free(a);
    spool_free(b);
    spool_free(c);
}

static void test_received_lines_of_the_header_are_counted(void **state)
{
    struct spool *s = spool_new(&room, &key);

    spool_add(
        s,
        SPAN("Received: one\r\n folded\r\nreceIVED: two\r\nSubject: x\r\n\r\nReceived: body\r\n"));
    assert_int_equal(spool_received(s), 2);
    assert_true(spool_line_ended(s));
    spool_add(s, SPAN("no end"));
    assert_false(spool_line_ended(s));
    spool_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_of_any_size_come_out_as_they_went_in),
        cmocka_unit_test(test_all_spools_together_stay_below_their_limit),
        cmocka_unit_test(test_the_hash_is_of_the_octets_and_not_of_their_pieces),
        cmocka_unit_test(test_received_lines_of_the_header_are_counted),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
