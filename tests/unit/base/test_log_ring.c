/* The log's last lines in memory: what many processes write is read whole, or not at all. Field
 * notes 15. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/log_ring.h"

static struct log_ring *ring;
static struct log_kept line;

static int begin(void **state)
{
    void *at =
        mmap(NULL, log_ring_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    ring = at == MAP_FAILED ? NULL : log_ring_open(at);
    return ring ? 0 : -1;
}

static int end(void **state)
{
    return munmap(ring, log_ring_size());
}

static void put(const char *text)
{
    log_ring_put(ring, 1000, LOG_INFO, span_of(text));
}

static void test_lines_are_read_by_their_numbers(void **state)
{
    assert_int_equal(log_ring_next(ring), 0);
    assert_false(log_ring_read(ring, 0, &line));
    put("event=a");
    log_ring_put(ring, 1234, LOG_WARN, SPAN("event=b"));
    assert_int_equal(log_ring_next(ring), 2);
    assert_true(log_ring_read(ring, 0, &line));
    assert_string_equal(line.text, "event=a");
    assert_true(log_ring_read(ring, 1, &line));
    assert_string_equal(line.text, "event=b");
    assert_int_equal(line.wall_ms, 1234);
    assert_int_equal(line.level, LOG_WARN);
    assert_int_equal(line.len, 7);
    assert_false(log_ring_read(ring, 2, &line));
}

static void test_the_last_ten_thousand_are_there_and_none_before_them(void **state)
{
    char text[32];

    for (int i = 0; i < LOG_RING_LINES + 7; i++) {
        snprintf(text, sizeof text, "line=%d", i);
        put(text);
    }
    assert_int_equal(log_ring_first(log_ring_next(ring)), 7);
    for (uint64_t n = 0; n < 7; n++)
        assert_false(log_ring_read(ring, n, &line));
    for (uint64_t n = 7; n < LOG_RING_LINES + 7; n++) {
        snprintf(text, sizeof text, "line=%d", (int)n);
        assert_true(log_ring_read(ring, n, &line));
        assert_string_equal(line.text, text);
    }
}

static void test_a_long_line_is_cut_and_says_so_and_never_within_a_character(void **state)
{
    char text[2000];

    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'x', sizeof text);
        for (size_t i = LOG_RING_TEXT - 20 + shift; i + 3 < LOG_RING_TEXT + 20; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        log_ring_put(ring, 1, LOG_INFO, (struct span){text, sizeof text});
        assert_true(log_ring_read(ring, shift, &line));
        assert_in_range(line.len, LOG_RING_TEXT - 3, LOG_RING_TEXT);
        assert_string_equal(line.text + line.len - 3, "...");
        assert_true((unsigned char)line.text[line.len - 4] == 0xac);
    }
}

static void test_a_mapping_of_another_layout_is_emptied(void **state)
{
    put("event=a");
    memset((char *)ring + 8, 0x55, 8);
    ring = log_ring_open(ring);
    assert_int_equal(log_ring_next(ring), 0);
    assert_false(log_ring_read(ring, 0, &line));
    put("event=b");
    ring = log_ring_open(ring); /* as an upgrade does: it stays */
    assert_true(log_ring_read(ring, 0, &line));
}

static void test_many_processes_write_and_whatever_is_read_is_one_line(void **state)
{
    enum { WRITERS = 4, LINES = 30000 };
    int left = WRITERS;
    uint64_t read = 0;

    for (int w = 0; w < WRITERS; w++)
        if (fork() == 0) {
            char text[600];
            memset(text, 'a' + w, sizeof text);
            for (int i = 0; i < LINES; i++)
                log_ring_put(ring, 1, LOG_INFO, (struct span){text, 100 + (size_t)(i % 500)});
            _exit(0);
        }
    while (left) {
        for (uint64_t n = log_ring_first(log_ring_next(ring)); n < log_ring_next(ring); n += 97)
            if (log_ring_read(ring, n, &line)) {
                read++;
                for (size_t i = 1; i < line.len; i++)
                    assert_int_equal(line.text[i], line.text[0]);
            }
        while (left && waitpid(-1, NULL, WNOHANG) > 0)
            left--;
    }
    assert_int_equal(log_ring_next(ring), WRITERS * LINES);
    assert_true(read > 0);
}

static void test_the_log_keeps_info_whatever_the_level_and_debug_never(void **state)
{
    int pipe_end[2];
    char written[4096];

    assert_int_equal(pipe(pipe_end), 0);
    log_to(pipe_end[1]);
    log_keep(ring);
    log_open(LOG_TEXT, LOG_WARN, "web");
    log_info("kept only");
    log_debug("nowhere");
    log_warn("both");
    log_open(LOG_TEXT, LOG_DEBUG, "web");
    log_debug("written only");
    log_keep(NULL);
    log_warn("not kept");
    close(pipe_end[1]);
    log_to(2);
    ssize_t n = read(pipe_end[0], written, sizeof written - 1);
    close(pipe_end[0]);
    written[n > 0 ? n : 0] = '\0';

    assert_int_equal(log_ring_next(ring), 2);
    assert_true(log_ring_read(ring, 0, &line));
    assert_string_equal(line.text, "event=notice text=\"kept only\" role=web");
    assert_true(log_ring_read(ring, 1, &line));
    assert_string_equal(line.text, "event=notice level=warn text=\"both\" role=web");
    assert_null(strstr(written, "kept only"));
    assert_non_null(strstr(written, "both"));
    assert_non_null(strstr(written, "written only"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        RING_TEST(test_lines_are_read_by_their_numbers),
        RING_TEST(test_the_last_ten_thousand_are_there_and_none_before_them),
        RING_TEST(test_a_long_line_is_cut_and_says_so_and_never_within_a_character),
        RING_TEST(test_a_mapping_of_another_layout_is_emptied),
        RING_TEST(test_many_processes_write_and_whatever_is_read_is_one_line),
        RING_TEST(test_the_log_keeps_info_whatever_the_level_and_debug_never),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
