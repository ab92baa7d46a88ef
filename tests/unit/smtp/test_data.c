/* data.c: the scanners, against examples and against a naive reader over random octets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "naive.h"
#include "smtp/data.h"

static void scan(struct span in, size_t piece, struct scanned *out)
{
    assert_int_equal(scan_in_pieces(in, piece, out), 0);
}

static void test_only_crlf_dot_crlf_ends(void **state)
{
    static const struct {
        const char *in;
        int end, body, bad;
    } cases[] = {
        {".\r\n", 3, 0, 0},         {"a\r\n.\r\n", 6, 3, 0},
        {"a\r\n.\r\nb", 6, 3, 0},   {"..\r\n.\r\n", 7, 4, 0},
        {".a\r\n.\r\n", 7, 4, 0},   {"a.\r\n.\r\n", 7, 4, 0},
        {".\n", 0, 2, 1},           {"a\n.\r\n", 0, 5, 1},
        {"a\r.\r\n", 0, 5, 1},      {"a\r\n.\n", 0, 5, 1},
        {"a\r\n.\r.\r\n", 0, 8, 1}, {"a\r\r\n.\r\n", 7, 4, 1},
        {"\r\n.\r\n", 5, 2, 0},     {"\n\r\n.\r\n", 6, 3, 1},
        {".\r\r\n.\r\n", 7, 4, 1},  {"a\r\n.\r\n.\r\n", 6, 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t piece = 0; piece < 5; piece++) {
            struct scanned s;
            scan(span_of(cases[i].in), piece, &s);
            assert_int_equal(s.ended, cases[i].end != 0);
            if (s.ended)
                assert_int_equal(s.used, cases[i].end);
            assert_int_equal(s.body, cases[i].body);
            assert_int_equal(s.bad, cases[i].bad);
        }
    }
}

static void test_a_dot_that_may_be_the_last_is_left_until_more_comes(void **state)
{
    struct data_scan d;
    struct data_found f;
    data_start(&d);
    assert_int_equal(data_scan(&d, SPAN("a\r\n.\r"), &f), DATA_MORE);
    assert_int_equal(f.used, 3);
    assert_int_equal(f.body, 3);
    assert_int_equal(data_scan(&d, SPAN(".\r"), &f), DATA_MORE);
    assert_int_equal(f.used, 0);
    assert_int_equal(data_scan(&d, SPAN(".\r\nQUIT"), &f), DATA_END);
    assert_int_equal(f.used, 3);
    assert_int_equal(f.body, 0);
}

static void test_a_line_of_64_kib_is_passed_and_one_more_octet_is_bad(void **state)
{
    char *line = malloc(DATA_LINE_MAX + 6);
    assert_non_null(line);
    for (size_t extra = 0; extra < 2; extra++) {
        struct scanned s;
        memset(line, 'x', DATA_LINE_MAX + extra);
        memcpy(line + DATA_LINE_MAX + extra, "\r\n.\r\n", 5);
        for (size_t piece = 0; piece < 3000; piece += 1000) {
            scan((struct span){line, DATA_LINE_MAX + extra + 5}, piece, &s);
            assert_true(s.ended);
            assert_int_equal(s.bad, extra);
        }
    }
    free(line);
}

/* Few different octets, so that line ends and dots meet often. */
static void random_octets(char *to, size_t n)
{
    static const char octets[] = "\r\n.a\r\n..\r\nb";
    for (size_t i = 0; i < n; i++)
        to[i] = octets[(size_t)rand() % (sizeof octets - 1)];
}

static void test_the_scanner_agrees_with_a_naive_reader(void **state)
{
    srand(5321);
    for (int i = 0; i < 200000; i++) {
        char octets[24];
        size_t n = (size_t)rand() % sizeof octets;
        struct scanned ours, naive;
        random_octets(octets, n);
        struct span in = {octets, n};
        scan(in, (size_t)rand() % 4, &ours);
        naive_scan(in, &naive);
        if (ours.ended != naive.ended || (ours.ended && ours.used != naive.used) ||
            (ours.ended && (ours.body != naive.body || ours.bad != naive.bad)))
            fail_msg("case %d: ended %d %d, used %zu %zu, body %zu %zu, bad %d %d", i, ours.ended,
                     naive.ended, ours.used, naive.used, ours.body, naive.body, ours.bad,
                     naive.bad);
    }
}

static void test_chunks_are_stuffed_as_data_would_be(void **state)
{
    srand(3030);
    for (int i = 0; i < 100000; i++) {
        char octets[24], stuffed[64], plain[64];
        size_t n = (size_t)rand() % sizeof octets;
        random_octets(octets, n);
        bool bad, ended, line_start = true;
        size_t length =
            stuff_in_pieces((struct span){octets, n}, (size_t)rand() % 4, stuffed, &ended, &bad);
        assert_int_equal(bad, naive_line_ends_are_bad((struct span){octets, n}));
        if (bad)
            continue;
        /* Sent by DATA, it ends where it should and is the same for the reader. */
        struct scanned s;
        memcpy(stuffed + length, ".\r\n", 3);
        scan((struct span){stuffed, length + 3}, 0, &s);
        assert_true(s.ended && !s.bad);
        assert_int_equal(s.body, length);
        size_t back = data_unstuff(&line_start, (struct span){stuffed, length}, plain);
        assert_int_equal(back, n + (ended ? 0 : 2));
        assert_memory_equal(plain, octets, n);
        assert_true(line_start);
    }
}

/* field notes 10: with each bare LF mended, a chunk is what its lines with CRLF would have been. */
static void test_mended_chunks_are_stuffed_as_their_lines_would_be(void **state)
{
    srand(3031);
    for (int i = 0; i < 100000; i++) {
        char octets[24], whole[64], ours[128], theirs[128];
        size_t n = (size_t)rand() % sizeof octets, length = 0;
        bool bad, naive_bad, ended, naive_ended;
        random_octets(octets, n);
        for (size_t k = 0; k < n; k++) {
            if (octets[k] == '\n' && (k == 0 || octets[k - 1] != '\r'))
                whole[length++] = '\r';
            whole[length++] = octets[k];
        }
        size_t theirs_length =
            stuff_in_pieces((struct span){whole, length}, 0, theirs, &naive_ended, &naive_bad);
        size_t ours_length =
            stuff_mended((struct span){octets, n}, (size_t)rand() % 4, ours, &ended, &bad);
        assert_int_equal(bad, naive_bad);
        if (bad)
            continue;
        assert_int_equal(ours_length, theirs_length);
        assert_memory_equal(ours, theirs, ours_length);
        assert_int_equal(ended, naive_ended);
    }
}

static void test_unstuffing_may_be_cut_anywhere(void **state)
{
    struct span in = SPAN("..a\r\n.b\r\nc.d\r\n...\r\n");
    for (size_t cut = 0; cut <= in.len; cut++) {
        char out[32];
        bool line_start = true;
        size_t n = data_unstuff(&line_start, span_first(in, cut), out);
        n += data_unstuff(&line_start, span_after(in, cut), out + n);
        assert_true(span_equal((struct span){out, n}, SPAN(".a\r\nb\r\nc.d\r\n..\r\n")));
    }
}

/* True if a line begins with NULs and a dot, and ends there, or has a NUL behind the dot. */
static bool dot_for_somebody(const char *line, size_t length)
{
    size_t nuls = 0;
    while (nuls < length && line[nuls] == '\0')
        nuls++;
    if (nuls == length || line[nuls] != '.')
        return false;
    return nuls + 1 == length ? nuls > 0 : line[nuls + 1] == '\0';
}

static bool a_line_is_dot_for_somebody(const char *text, size_t length)
{
    bool found = false;
    for (size_t from = 0, i = 0; i < length; i++) {
        if (text[i] != '\n')
            continue;
        found = found || dot_for_somebody(text + from, i - 1 - from);
        from = i + 1;
    }
    return found;
}

/* As it is scanned with NULs allowed, in two calls that are cut at `cut`. */
static bool bad_with_nuls_allowed(struct span in, size_t cut, bool chunks)
{
    struct data_scan d;
    struct data_found f = {0};
    data_start(&d);
    d.allow_nul = d.mend = 1;
    for (size_t end = cut, at = 0; at < in.len; end = in.len) {
        struct span part = span_after(span_first(in, end), at);
        if (chunks && !(f.used = data_scan_chunk(&d, part)))
            (void)data_chunk_owes(&d);
        else if (!chunks && data_scan(&d, part, &f) == DATA_END)
            break;
        at += f.used;
    }
    return d.bad;
}

static void test_where_nuls_are_allowed_no_line_is_a_dot_for_a_server_that_drops_them(void **state)
{
    static const char *const pieces[] = {"\r\n", ".", "a", "\0"};
    static const size_t lengths[] = {2, 1, 1, 1};
    size_t bad = 0;
    for (unsigned code = 0; code < 1 << 14; code++) { /* 7 of the pieces */
        char text[32];
        size_t length = 0;
        for (unsigned i = 0, rest = code; i < 7; i++, rest >>= 2) {
            memcpy(text + length, pieces[rest & 3], lengths[rest & 3]);
            length += lengths[rest & 3];
        }
        memcpy(text + length, "\r\n.\r\n", 5);
        size_t end = 0; /* where DATA ends: behind the first line that is a dot */
        while (!((end == 0 || text[end - 1] == '\n') && memcmp(text + end, ".\r\n", 3) == 0))
            end++;
        bool expected = a_line_is_dot_for_somebody(text, end);
        bool in_chunks = a_line_is_dot_for_somebody(text, length + 5);
        bad += expected;
        char bare[32]; /* the same with bare LFs, which are mended */
        size_t lines = 0;
        for (size_t i = 0; i < length + 5; i++)
            if (text[i] != '\r')
                bare[lines++] = text[i];
        for (size_t cut = 0; cut <= length + 5; cut++) {
            struct span in = {text, length + 5};
            if (bad_with_nuls_allowed(in, cut, false) != expected ||
                bad_with_nuls_allowed(in, cut, true) != in_chunks ||
                bad_with_nuls_allowed((struct span){bare, lines}, cut, true) != in_chunks)
                fail_msg("code %u cut at %zu", code, cut);
        }
    }
    assert_true(bad > 1000);
}

static uint16_t received_in(const char *text)
{
    uint16_t first = 0;
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        struct received_count r = {0};
        received_scan(&r, span_first(span_of(text), cut));
        received_scan(&r, span_after(span_of(text), cut));
        if (cut)
            assert_int_equal(r.count, first);
        first = r.count;
    }
    return first;
}

static void test_received_lines_are_counted_in_the_header_only(void **state)
{
    assert_int_equal(received_in("Received: a\r\nRECEIVED:b\r\n\tReceived: c\r\n"
                                 "X-Received: d\r\nReceivedd: e\r\n\r\nReceived: f\r\n"),
                     2);
    assert_int_equal(received_in("\r\nReceived: a\r\n"), 0);
    assert_int_equal(received_in("Received : a\r\nReceive: b\r\nReceived:"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_crlf_dot_crlf_ends),
        cmocka_unit_test(test_a_dot_that_may_be_the_last_is_left_until_more_comes),
        cmocka_unit_test(test_a_line_of_64_kib_is_passed_and_one_more_octet_is_bad),
        cmocka_unit_test(test_the_scanner_agrees_with_a_naive_reader),
        cmocka_unit_test(test_chunks_are_stuffed_as_data_would_be),
        cmocka_unit_test(test_mended_chunks_are_stuffed_as_their_lines_would_be),
        cmocka_unit_test(test_unstuffing_may_be_cut_anywhere),
        cmocka_unit_test(test_where_nuls_are_allowed_no_line_is_a_dot_for_a_server_that_drops_them),
        cmocka_unit_test(test_received_lines_are_counted_in_the_header_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
