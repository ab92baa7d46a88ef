/* The scanner with vectors decides as the one without, for each set of instructions that this
 * processor has.
 *
 *   test_smtp_data_vectors [OCTETS [SEED]]    random octets for each set of instructions (8 million) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vectors.h"

enum { ROOM = 200000 };

static uint64_t octets = 8000000, seed = 5321;
static char text[ROOM + 128];

static uint64_t draw(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % below;
}

/* Lines as mail has them, with `faults` of 1000 lines wrong or difficult in some way. */
static size_t mail(size_t size, unsigned faults)
{
    static const char *const odd[] = {".",  "..",   ".\r\n", "\r\n.\r\n", "\n",  "\r", "\r\r\n",
                                      "\0", ".\r.", "\n\r",  "\r\n.",     ".\n", ". "};
    size_t n = 0;

    while (n < size) {
        size_t line = draw(10) ? draw(80) : draw(200);
        if (faults && draw(20000) == 0)
            line = DATA_LINE_MAX - 2 + draw(5);
        if (n + line + 8 > ROOM)
            break;
        for (size_t i = 0; i < line; i++)
            text[n++] = (char)(' ' + draw(95));
        if (draw(1000) < faults) {
            const char *what = odd[draw(sizeof odd / sizeof *odd)];
            size_t len = *what ? strlen(what) : 1;
            memcpy(text + n, what, len);
            n += len;
        }
        if (draw(1000) >= faults) {
            memcpy(text + n, "\r\n", 2);
            n += 2;
        }
    }
    return n;
}

/* Few different octets, so that line ends and dots meet often, also at the edges of blocks. */
static size_t noise(size_t size)
{
    static const char few[] = "\r\n.\r\n.ab\r\n\r\n\0..c";

    for (size_t i = 0; i < size; i++)
        text[i] = few[draw(sizeof few - 1)];
    return size;
}

static size_t random_text(void)
{
    static const unsigned faults[] = {0, 1, 20, 500};
    size_t size = draw(8) ? draw(2000) : draw(ROOM);

    return draw(5) ? mail(size, faults[draw(4)]) : noise(size);
}

static void compare(enum data_vectors level)
{
    if (!data_use_vectors(level)) {
        data_use_vectors(DATA_AVX2);
        skip();
    }
    for (uint64_t done = 0; done < octets;) {
        size_t n = random_text(), piece = draw(3) ? 0 : 1 + draw(draw(2) ? 300 : 70000);
        /* at any alignment, and with nothing readable behind */
        char *copy = malloc(n + 64);
        size_t shift = draw(64);
        assert_non_null(copy);
        memcpy(copy + 64 - shift, text, n);
        struct span in = {copy + 64 - shift, n};
        uint64_t begun = seed;
        if (data_differs(in, piece, draw(2), level) != n ||
            chunks_differ(in, piece, draw(2), level) != n)
            fail_msg("%zu octets in pieces of %zu, seed %llu", n, piece, (unsigned long long)begun);
        free(copy);
        done += n + 1;
    }
    data_use_vectors(DATA_AVX2);
}

static void test_sse2_decides_as_the_scalar_scanner(void **state)
{
    compare(DATA_SSE2);
}

static void test_avx2_decides_as_the_scalar_scanner(void **state)
{
    compare(DATA_AVX2);
}

/* A difficult octet at each place of a block, alone and beside another one. */
static void test_every_place_of_a_block_is_looked_at(void **state)
{
    static const char difficult[] = {'\r', '\n', '.', '\0'};
    char in[3 * DATA_BLOCK];

    for (enum data_vectors level = DATA_SSE2; level <= DATA_AVX2; level++) {
        if (!data_use_vectors(level))
            continue;
        for (size_t i = 0; i < 4 * sizeof in; i++)
            for (size_t k = 0; k < 16 * 4; k++) {
                memset(in, 'x', sizeof in);
                memcpy(in + 70, "\r\n", 2);
                size_t place = i / 4;
                in[place] = difficult[i % 4];
                if (place + 1 + k / 16 < sizeof in)
                    in[place + 1 + k / 16] = difficult[k % 4];
                if (place + 2 + k / 16 < sizeof in && k / 4 % 4)
                    in[place + 2 + k / 16] = difficult[k / 4 % 4];
                struct span all = {in, sizeof in};
                assert_int_equal(data_differs(all, 0, false, level), sizeof in);
                assert_int_equal(chunks_differ(all, 0, false, level), sizeof in);
                assert_int_equal(chunks_differ(all, 0, true, level), sizeof in);
            }
    }
    data_use_vectors(DATA_AVX2);
}

/* The longest line, and one octet more and less, from each place of a block on. */
static void test_the_longest_line_is_measured_alike(void **state)
{
    for (enum data_vectors level = DATA_SSE2; level <= DATA_AVX2; level++) {
        if (!data_use_vectors(level))
            continue;
        for (size_t before = 0; before < DATA_BLOCK; before++)
            for (size_t len = DATA_LINE_MAX - 1; len <= DATA_LINE_MAX + 1; len++) {
                size_t size = before + 2 + len + 2 + 2 * DATA_BLOCK;
                memset(text, 'x', size);
                memcpy(text + before, "\r\n", 2);
                memcpy(text + before + 2 + len, "\r\n", 2);
                struct span in = {text, size};
                assert_int_equal(data_differs(in, 0, false, level), size);
                assert_int_equal(chunks_differ(in, 60000, false, level), size);
            }
    }
    data_use_vectors(DATA_AVX2);
}

/* The point of it: mail without faults is skipped but for the end of the last block. */
static void test_plain_mail_is_skipped(void **state)
{
    size_t n = mail(100000, 0), dots = 0;
    struct data_scan d;

    if (!data_use_vectors(DATA_SSE2)) /* a processor without vectors */
        skip();
    data_use_vectors(DATA_AVX2);
    for (size_t i = 0; i < n; i++)
        if (text[i] == '.')
            text[i] = ',';
    data_start(&d);
    assert_int_equal(data_skip(&d, (struct span){text, n}, true, &dots),
                     n / DATA_BLOCK * DATA_BLOCK);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sse2_decides_as_the_scalar_scanner),
        cmocka_unit_test(test_avx2_decides_as_the_scalar_scanner),
        cmocka_unit_test(test_every_place_of_a_block_is_looked_at),
        cmocka_unit_test(test_the_longest_line_is_measured_alike),
        cmocka_unit_test(test_plain_mail_is_skipped),
    };
    if (argc > 1)
        octets = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
