/* log.c: what a client sends can neither end a line nor forge a field, in text and in JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <pty.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static int pipe_end[2];
static char line[2 * LOG_LINE_MAX];

static int open_pipe(void **state)
{
    if (pipe2(pipe_end, O_NONBLOCK) < 0)
        return -1;
    log_to(pipe_end[1]);
    log_open(LOG_TEXT, LOG_INFO, "");
    return 0;
}

static int close_pipe(void **state)
{
    close(pipe_end[0]);
    close(pipe_end[1]);
    return 0;
}

/* What has been written since the last call, without its newline, of which there must be just one.
 */
static const char *written(void)
{
    ssize_t n = read(pipe_end[0], line, sizeof line - 1);

    if (n <= 0)
        return "";
    line[n] = '\0';
    assert_true(n <= LOG_LINE_MAX);
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
    line[n - 1] = '\0';
    return line;
}

static const char *text_of(struct span value)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, "session");
    log_span(&l, "helo", value);
    log_end(&l);
    return written();
}

static json_t *json_of(struct span value)
{
    json_t *json = json_loads(text_of(value), 0, NULL);

    assert_non_null(json);
    return json;
}

static void assert_text(struct span value, const char *expected)
{
    assert_string_equal(text_of(value), expected);
}

static void test_a_line_is_event_first_then_its_fields(void **state)
{
    struct log_line l;
    struct addr client;

    log_open(LOG_TEXT, LOG_INFO, "worker 3");
    assert_true(addr_parse(SPAN("192.0.2.7"), &client));
    log_begin(&l, LOG_INFO, "session");
    log_addr(&l, "client", &client);
    log_text(&l, "result", "sent");
    log_int(&l, "offences", -3);
    log_seconds(&l, "held", 61249);
    log_end(&l);
    assert_string_equal(written(),
                        "event=session client=192.0.2.7 result=sent offences=-3 held=61.2s "
                        "role=\"worker 3\"");
}

static void test_the_level_is_told_when_it_is_not_info(void **state)
{
    struct log_line l;

    log_begin(&l, LOG_WARN, "backend");
    log_end(&l);
    assert_string_equal(written(), "event=backend level=warn");
    log_error("cannot read %s", "/etc/mired");
    assert_string_equal(written(), "event=notice level=error text=\"cannot read /etc/mired\"");
}

static void test_below_the_level_nothing_is_written(void **state)
{
    struct log_line l;

    assert_false(log_wants(LOG_DEBUG));
    assert_true(log_wants(LOG_INFO));
    log_begin(&l, LOG_DEBUG, "step");
    log_text(&l, "a", "b");
    log_end(&l);
    log_debug("nothing");
    assert_string_equal(written(), "");
}

static void test_plain_values_stand_bare_and_others_are_quoted(void **state)
{
    assert_text(SPAN("mail.example.org"), "event=session helo=mail.example.org");
    assert_text(SPAN("a=b,c"), "event=session helo=a=b,c");
    assert_text(SPAN("a b"), "event=session helo=\"a b\"");
    assert_text(SPAN(""), "event=session helo=\"\"");
    assert_text(SPAN("say \"hi\" \\ bye"), "event=session helo=\"say \\\"hi\\\" \\\\ bye\"");
}

static void test_control_and_non_ascii_octets_cannot_leave_a_text_line(void **state)
{
    assert_text(SPAN("x\r\nevent=forged"), "event=session helo=\"x\\x0d\\x0aevent=forged\"");
    assert_text(SPAN("\0\033[31m\x7f"), "event=session helo=\"\\x00\\x1b[31m\\x7f\"");
    assert_text(SPAN("\xc3\xa9\xff"), "event=session helo=\"\\xc3\\xa9\\xff\"");
    for (int c = 0; c < 256; c++) {
        char octet = (char)c;
        const char *text = text_of((struct span){&octet, 1});
        for (; *text; text++)
            assert_true(*text >= ' ' && *text <= '~');
    }
}

static void assert_json(struct span value, const char *expected)
{
    json_t *json = json_of(value);

    assert_string_equal(json_string_value(json_object_get(json, "helo")), expected);
    assert_string_equal(json_string_value(json_object_get(json, "event")), "session");
    json_decref(json);
}

static void test_json_keeps_utf8_and_escapes_what_is_none(void **state)
{
    log_open(LOG_JSON, LOG_INFO, "worker 3");
    assert_json(SPAN("plain"), "plain");
    assert_json(SPAN("a\"b\\c\r\n\t"), "a\"b\\c\r\n\t");
    assert_json(SPAN("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
                "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_json(SPAN("\xff\xc3(\xe2\x82"), "\\xff\\xc3(\\xe2\\x82");
    assert_json(SPAN("\xc0\xaf"), "\\xc0\\xaf");                   /* overlong */
    assert_json(SPAN("\xed\xa0\x80"), "\\xed\\xa0\\x80");          /* a surrogate */
    assert_json(SPAN("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); /* beyond U+10FFFF */
    assert_json(SPAN("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");
}

static void test_json_never_holds_a_raw_control(void **state)
{
    log_open(LOG_JSON, LOG_INFO, "");
    const char *text = text_of(SPAN("\033\x7f\xc2\x9b"));
    assert_non_null(strstr(text, "\"\\u001b\\u007f\\u009b\""));
}

static void test_a_json_line_has_its_time_level_and_numbers(void **state)
{
    struct log_line l;
    json_t *json;

    log_open(LOG_JSON, LOG_INFO, "clerk 1");
    log_begin(&l, LOG_WARN, "directory");
    log_int(&l, "count", 42);
    log_seconds(&l, "took", 1950);
    log_end(&l);
    json = json_loads(written(), 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(json, "role")), "clerk 1");
    assert_int_equal(json_integer_value(json_object_get(json, "count")), 42);
    assert_float_equal(json_real_value(json_object_get(json, "took")), 2.0, 0.0001);
    const char *time = json_string_value(json_object_get(json, "time"));
    assert_int_equal(strlen(time), strlen("2026-01-01T00:00:00.000Z"));
    assert_int_equal(time[10], 'T');
    assert_int_equal(time[23], 'Z');
    json_decref(json);
}

/* Long hostile values, in all mixtures of formats and octets, must leave a whole line with the
 * fields behind. */
static void assert_cut(enum log_format format, char octet)
{
    struct log_line l;
    char value[5000];

    memset(value, octet, sizeof value);
    log_open(format, LOG_INFO, "worker 3");
    log_begin(&l, LOG_INFO, "session");
    log_span(&l, "helo", (struct span){value, sizeof value});
    log_text(&l, "result", "sent");
    log_end(&l);
    const char *text = written();
    assert_non_null(strstr(text, "..."));
    assert_non_null(
        strstr(text, format == LOG_JSON ? ",\"result\":\"sent\"}" : " result=sent role"));
    if (format == LOG_JSON) {
        json_t *json = json_loads(text, 0, NULL);
        assert_non_null(json);
        json_decref(json);
    }
}

static void test_a_long_value_is_cut_and_the_rest_of_the_line_stays(void **state)
{
    static const char octets[] = {'a', '"', '\n', '\xff', ' '};

    for (size_t i = 0; i < sizeof octets; i++) {
        assert_cut(LOG_TEXT, octets[i]);
        assert_cut(LOG_JSON, octets[i]);
    }
}

static void test_a_line_never_grows_past_its_limit(void **state)
{
    for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
        for (size_t size = 380; size < 540; size++) {
            struct log_line l;
            char value[600];
            memset(value, 'a', sizeof value);
            log_open((enum log_format)format, LOG_INFO, "worker 3");
            log_begin(&l, LOG_INFO, "session");
            for (int i = 0; i < 20; i++) {
                log_span(&l, "a_key", (struct span){value, size});
                log_int(&l, "number", INT64_MIN);
            }
            log_end(&l);
            const char *text = written();
            if (format == LOG_JSON) {
                json_t *json = json_loads(text, 0, NULL);
                assert_non_null(json);
                json_decref(json);
            }
        }
    }
}

static void test_a_long_sentence_may_fill_the_line(void **state)
{
    char sentence[LOG_LINE_MAX * 2];

    memset(sentence, 'x', sizeof sentence - 1);
    sentence[sizeof sentence - 1] = '\0';
    log_info("%s", sentence);
    const char *text = written();
    assert_true(strlen(text) > LOG_LINE_MAX - 200);
    assert_string_equal(text + strlen(text) - 4, "...\"");
}

static void test_a_terminal_gets_colour_time_and_escapes(void **state)
{
    int master, slave;

    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    log_to(slave);
    log_open(LOG_TEXT, LOG_INFO, "worker 3");
    log_warn("bad \033[2J");
    ssize_t n = read(master, line, sizeof line - 1);
    assert_true(n > 0);
    line[n] = '\0';
    assert_int_equal(strncmp(line, "\033[2m", 4), 0);
    assert_non_null(strstr(line, "\033[1;33mnotice\033[0m bad \\x1b[2J "));

    setenv("NO_COLOR", "1", 1);
    log_open(LOG_TEXT, LOG_INFO, "");
    log_info("plain");
    n = read(master, line, sizeof line - 1);
    assert_true(n > 0);
    assert_int_equal(strncmp(line, "event=notice text=\"plain\"", 25), 0);
    close(master);
    close(slave);
}

/* A warning about a worker that was taken over comes again, also when the clock was a year ahead. */
static void test_a_line_is_due_again_when_the_clock_was_set_back(void **state)
{
    const uint64_t now = UINT64_C(1800000000000), year = 365 * UINT64_C(86400000);
    uint64_t told = 0;

    assert_true(log_is_due(&told, 60000, now + year));
    assert_false(log_is_due(&told, 60000, now + year + 59999));
    assert_true(log_is_due(&told, 60000, now));
    assert_false(log_is_due(&told, 60000, now + 59999));
    assert_true(log_is_due(&told, 60000, now + 60000));
}

#define ON_A_PIPE(test) cmocka_unit_test_setup_teardown(test, open_pipe, close_pipe)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_PIPE(test_a_line_is_event_first_then_its_fields),
        ON_A_PIPE(test_the_level_is_told_when_it_is_not_info),
        ON_A_PIPE(test_below_the_level_nothing_is_written),
        ON_A_PIPE(test_plain_values_stand_bare_and_others_are_quoted),
        ON_A_PIPE(test_control_and_non_ascii_octets_cannot_leave_a_text_line),
        ON_A_PIPE(test_json_keeps_utf8_and_escapes_what_is_none),
        ON_A_PIPE(test_json_never_holds_a_raw_control),
        ON_A_PIPE(test_a_json_line_has_its_time_level_and_numbers),
        ON_A_PIPE(test_a_long_value_is_cut_and_the_rest_of_the_line_stays),
        ON_A_PIPE(test_a_line_never_grows_past_its_limit),
        ON_A_PIPE(test_a_long_sentence_may_fill_the_line),
        ON_A_PIPE(test_a_terminal_gets_colour_time_and_escapes),
        cmocka_unit_test(test_a_line_is_due_again_when_the_clock_was_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
