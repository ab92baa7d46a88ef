/* The result of a release, by the notes that the master and the processes send or do not send
 * (issue 14, item 7). The test plays the master and owns the loop's time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "base/bytes.h"
#include "control/holders.h"

static struct {
    int told;
    int64_t held, frozen;
    unsigned missing;
    char names[512], held_each[64], frozen_each[64];
    bool known;
} came;

static struct loop loop;
static struct holders holders;
static int master; /* its end of the channel */

static bool no_memory;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
    return no_memory ? NULL : __real_calloc(n, size);
}

static int setup(void **state)
{
    int pair[2];

    memset(&came, 0, sizeof came);
    if (loop_open(&loop) < 0 || channel_pair(pair) < 0)
        return -1;
    master = pair[1];
    holders = (struct holders){.loop = &loop, .channel = pair[0]};
    return 0;
}

static int teardown(void **state)
{
    holders_close(&holders);
    close(master);
    close(holders.channel);
    loop_close(&loop);
    return 0;
}

static void told(void *arg, const struct held *h)
{
    came.told++;
    came.held = h->held;
    came.frozen = h->frozen;
    came.missing = h->missing;
    came.known = h->known;
    snprintf(came.names, sizeof came.names, "%s", h->names);
}

static struct network client(void)
{
    struct network n;

    assert_true(network_parse(SPAN("192.0.2.7"), &n));
    return n;
}

static uint64_t asked(uint32_t kind)
{
    struct network n = client();
    struct note note;

    assert_int_equal(kind == NOTE_COUNT ? holders_count(&holders, &n, told, &came)
                                        : holders_release(&holders, &n, told, &came),
                     0);
    assert_int_equal(channel_read(master, &note), 1);
    assert_int_equal(note.kind, kind);
    return note.tag;
}

static void say(uint32_t kind, int32_t arg, uint64_t tag, const char *text)
{
    struct note n = {.kind = kind, .arg = arg, .tag = tag, .len = (uint32_t)strlen(text)};

    strcpy(n.text, text);
    holders_note(&holders, &n);
}

/* Turns the loop until `told` has been called. */
static void wait_told(void)
{
    for (int i = 0; i < 100 && !came.told; i++)
        loop_turn(&loop, 100);
    assert_int_equal(came.told, 1);
}

static void test_it_is_told_when_all_have_done_it(void **state)
{
    uint64_t tag = asked(NOTE_RELEASE);

    say(NOTE_RELEASE, 3, tag, "worker 0 [10],worker 1 [11],the freezer [12]");
    say(NOTE_RELEASED, 0, tag, "held more worker 0 [10]");
    say(NOTE_RELEASED, 5, tag, "held done worker 1 [11]");
    say(NOTE_RELEASED, 7, tag, "frozen done the freezer [12]");
    assert_int_equal(came.told, 0);
    say(NOTE_RELEASED, 2, tag, "held done worker 0 [10]");
    assert_int_equal(came.told, 1);
    assert_int_equal(came.held, 7);
    assert_int_equal(came.frozen, 7);
    assert_int_equal(came.missing, 0);
    assert_string_equal(came.names, "");
}

static void test_the_silent_one_is_named_and_what_it_did_before_counts(void **state)
{
    uint64_t tag = asked(NOTE_RELEASE), begun = loop.now;

    say(NOTE_RELEASE, 2, tag, "worker 0 [10],the freezer [12]");
    say(NOTE_RELEASED, 4, tag, "frozen more the freezer [12]");
    say(NOTE_RELEASED, 1, tag, "held done worker 0 [10]");
    wait_told();
    assert_true(loop.now >= begun + HOLDERS_SILENT_MS);
    assert_int_equal(came.frozen, 4);
    assert_int_equal(came.missing, 1);
    assert_string_equal(came.names, "the freezer [12] (no answer within 1.5 s)");
}

/* "released" without a word about them would say that nobody waits any more. */
static void test_processes_that_there_is_no_memory_for_are_missing(void **state)
{
    uint64_t tag = asked(NOTE_RELEASE);

    no_memory = true;
    say(NOTE_RELEASE, 3, tag, "worker 0 [10],worker 1 [11],the freezer [12]");
    no_memory = false;
    wait_told();
    assert_int_equal(came.missing, 3);
    assert_string_equal(came.names, "3 processes (no memory for their answers)");
}

static void test_those_that_could_not_be_told_are_named_at_once_with_the_reason(void **state)
{
    static const struct {
        int error;
        const char *why;
    } table[] = {{-EAGAIN, "its channel is full"},
                 {-ENOTCONN, "it is not running"},
                 {-EINPROGRESS, "it is starting"},
                 {-EPIPE, "Broken pipe"}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char expected[128];
        memset(&came, 0, sizeof came);
        uint64_t tag = asked(NOTE_RELEASE);
        say(NOTE_RELEASE, 2, tag, "worker 0 [10],the freezer");
        say(NOTE_RELEASED, table[i].error, tag, "frozen done the freezer");
        assert_int_equal(came.told, 0);
        say(NOTE_RELEASED, 3, tag, "held done worker 0 [10]");
        assert_int_equal(came.told, 1);
        assert_int_equal(came.held, 3);
        snprintf(expected, sizeof expected, "the freezer (%s)", table[i].why);
        assert_string_equal(came.names, expected);
    }
}

/* During a reload there are two, and one of them has the table. */
static void test_one_freezer_that_has_answered_speaks_for_the_other(void **state)
{
    static const int errors[] = {-ENOTCONN, -EPIPE, -EINPROGRESS};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        memset(&came, 0, sizeof came);
        uint64_t tag = asked(NOTE_RELEASE);
        say(NOTE_RELEASE, 2, tag, "the freezer [12],the freezer [13]");
        say(NOTE_RELEASED, errors[i], tag, "frozen done the freezer [12]");
        say(NOTE_RELEASED, 3, tag, "frozen done the freezer [13]");
        assert_int_equal(came.told, 1);
        assert_int_equal(came.frozen, 3);
        assert_int_equal(came.missing, 0);
    }
    memset(&came, 0, sizeof came);
    uint64_t tag = asked(NOTE_RELEASE);
    say(NOTE_RELEASE, 2, tag, "the freezer [12],the freezer [13]");
    say(NOTE_RELEASED, -EPIPE, tag, "frozen done the freezer [12]");
    say(NOTE_RELEASED, -EINPROGRESS, tag, "frozen done the freezer [13]");
    assert_int_equal(came.missing, 2);
}

static void test_a_full_channel_to_the_master_is_an_error_that_the_asker_hears(void **state)
{
    struct network n = client();
    int error;

    while ((error = channel_tell(holders.channel, NOTE_BACKEND, 0, 0, "filling")) == 0)
        ;
    assert_int_equal(holders_release(&holders, &n, told, &came), error);
    assert_int_equal(holders_count(&holders, &n, told, &came), error);
    assert_int_equal(came.told, 0);
}

static void test_a_master_that_says_nothing_is_named(void **state)
{
    asked(NOTE_RELEASE);
    wait_told();
    assert_false(came.known);
    assert_int_equal(came.missing, 1);
    assert_string_equal(came.names, "the master (no answer within 1.5 s)");
}

static void test_notes_that_are_nobodys_change_nothing(void **state)
{
    uint64_t tag = asked(NOTE_RELEASE);

    say(NOTE_RELEASED, 3, tag, "held done worker 0 [10]"); /* before it is known who was asked */
    say(NOTE_RELEASE, 1, tag + 1, "worker 0 [10]");
    say(NOTE_RELEASE, 1, tag, "worker 0 [10]");
    say(NOTE_RELEASE, 9, tag, "worker 0 [10]");
    say(NOTE_COUNTED, 3, tag, "held ");
    say(NOTE_RELEASED, 3, tag, "held done worker 9 [99]");
    say(NOTE_RELEASED, 3, tag, "held");
    say(NOTE_RELEASED, 3, tag, "");
    assert_int_equal(came.told, 0);
    say(NOTE_RELEASED, 2, tag, "held done worker 0 [10]");
    assert_int_equal(came.told, 1);
    assert_int_equal(came.held, 2);
    say(NOTE_RELEASED, 2, tag, "held done worker 0 [10]");
    assert_int_equal(came.told, 1);
}

static void test_an_asker_that_has_gone_is_not_told(void **state)
{
    uint64_t tag = asked(NOTE_RELEASE);

    holders_forget(&holders, &came);
    say(NOTE_RELEASE, 0, tag, "");
    assert_int_equal(came.told, 0);
}

static void test_a_count_is_told_with_what_came_in_time(void **state)
{
    uint64_t tag = asked(NOTE_COUNT);

    say(NOTE_COUNT, 3, tag, "");
    say(NOTE_COUNTED, 4, tag, "held bl.example,other.example");
    say(NOTE_COUNTED, 5, tag, "frozen ");
    wait_told();
    assert_int_equal(came.held, 4);
    assert_int_equal(came.frozen, 5);
    assert_int_equal(came.missing, 1);
}

static void told_each(void *arg, const struct held *h)
{
    told(arg, h);
    for (int i = 0; i < 2; i++) {
        char *text = i ? came.frozen_each : came.held_each;
        tally_format_counts(h->tally[i], text, sizeof came.held_each);
    }
}

static uint64_t tally_asked(void)
{
    static struct tally clients;
    struct note note;

    assert_true(tally_parse(&clients, SPAN("192.0.2.7 2001:db8:0:1::")));
    assert_int_equal(holders_tally(&holders, &clients, told_each, &came), 0);
    assert_int_equal(channel_read(master, &note), 1);
    assert_int_equal(note.kind, NOTE_TALLY);
    assert_string_equal(note.text, "192.0.2.7 2001:db8:0:1::");
    return note.tag;
}

static void test_a_tally_adds_what_each_process_holds_of_each_client(void **state)
{
    uint64_t tag = tally_asked();

    say(NOTE_TALLIED, 0, tag, "held 3 0");
    say(NOTE_TALLY, 3, tag, "");
    say(NOTE_TALLIED, 0, tag, "frozen 0 100000");
    assert_int_equal(came.told, 0);
    say(NOTE_TALLIED, 0, tag, "held 4 1");
    assert_int_equal(came.told, 1);
    assert_string_equal(came.held_each, "7 1");
    assert_string_equal(came.frozen_each, "0 100000");
    assert_int_equal(came.missing, 0);
}

static void test_a_tally_names_how_many_could_not_count_or_said_nothing(void **state)
{
    uint64_t tag = tally_asked();

    say(NOTE_TALLY, 5, tag, "");
    say(NOTE_TALLIED, 0, tag, "held 3 0");
    say(NOTE_TALLIED, -E2BIG, tag, "frozen ");
    say(NOTE_TALLIED, 0, tag, "held 3");
    say(NOTE_TALLIED, 0, tag, "nonsense");
    wait_told();
    assert_string_equal(came.held_each, "3 0");
    assert_int_equal(came.missing, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_is_told_when_all_have_done_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_silent_one_is_named_and_what_it_did_before_counts,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes_that_there_is_no_memory_for_are_missing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_those_that_could_not_be_told_are_named_at_once_with_the_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_freezer_that_has_answered_speaks_for_the_other,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_full_channel_to_the_master_is_an_error_that_the_asker_hears, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_master_that_says_nothing_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_notes_that_are_nobodys_change_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_an_asker_that_has_gone_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_count_is_told_with_what_came_in_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_tally_adds_what_each_process_holds_of_each_client,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_tally_names_how_many_could_not_count_or_said_nothing,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
