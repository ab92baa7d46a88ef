/* channel.c: notes arrive whole, with their descriptors, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/channel.h"

enum { KIND_FIRST = 1, KIND_SECOND };

static int end[2];

static int open_pair(void **state)
{
    return channel_pair(end);
}

static int close_pair(void **state)
{
    close(end[0]);
    close(end[1]);
    return 0;
}

static void test_a_note_arrives_as_it_was_sent(void **state)
{
    struct note n;

    assert_int_equal(channel_tell(end[0], KIND_SECOND, -3, 0x123456789a, "192.0.2.0/24"), 0);
    assert_int_equal(channel_tell(end[0], KIND_FIRST, 0, 0, NULL), 0);
    assert_int_equal(channel_read(end[1], &n), 1);
    assert_int_equal(n.kind, KIND_SECOND);
    assert_int_equal(n.arg, -3);
    assert_int_equal(n.tag, 0x123456789a);
    assert_int_equal(n.len, 12);
    assert_int_equal(n.fds, 0);
    assert_string_equal(n.text, "192.0.2.0/24");
    assert_int_equal(channel_read(end[1], &n), 1);
    assert_int_equal(n.kind, KIND_FIRST);
    assert_string_equal(n.text, "");
    assert_int_equal(channel_read(end[1], &n), -EAGAIN);
}

/* A process that was taken over asks for notes to others without end: the master's own find room. */
static void test_notes_that_are_passed_on_leave_half_of_the_channel(void **state)
{
    struct note n = {.kind = KIND_SECOND, .len = 100}, own = {.kind = KIND_FIRST};
    unsigned passed = 0, sent = 0;

    while (channel_pass(end[0], &n) == 0)
        passed++;
    while (channel_send(end[0], &own) == 0)
        sent++;
    assert_true(passed > 50);
    assert_true(sent > 50);
    for (unsigned i = 0; i < passed + sent; i++) {
        assert_int_equal(channel_read(end[1], &n), 1);
        assert_int_equal(n.kind, i < passed ? KIND_SECOND : KIND_FIRST);
    }
    assert_int_equal(channel_pass(end[0], &own), 0); /* there is room again */
    assert_int_equal(channel_read(end[1], &n), 1);
    close(end[1]);
    end[1] = -1;
    assert_int_equal(channel_pass(end[0], &own), -EPIPE);
}

static void test_descriptors_come_along_and_stay_with_the_sender(void **state)
{
    struct note sent = {.kind = KIND_SECOND, .fds = NOTE_FDS}, got;
    int pipe_end[2];

    assert_int_equal(pipe(pipe_end), 0);
    for (int i = 0; i < NOTE_FDS; i++)
        sent.fd[i] = pipe_end[1];
    assert_int_equal(channel_send(end[0], &sent), 0);
    assert_int_equal(channel_read(end[1], &got), 1);
    assert_int_equal(got.fds, NOTE_FDS);
    for (int i = 0; i < NOTE_FDS; i++) {
        char octet = 0;
        assert_true(fcntl(got.fd[i], F_GETFD) & FD_CLOEXEC);
        assert_int_equal(write(got.fd[i], "x", 1), 1);
        assert_int_equal(read(pipe_end[0], &octet, 1), 1);
        assert_int_equal(octet, 'x');
        close(got.fd[i]);
    }
    assert_int_equal(write(pipe_end[1], "y", 1), 1);
    close(pipe_end[0]);
    close(pipe_end[1]);
}

static void test_the_end_of_the_channel_is_told(void **state)
{
    struct note n;
    int own[2];

    assert_int_equal(channel_pair(own), 0);
    assert_int_equal(channel_tell(own[0], KIND_FIRST, 0, 0, NULL), 0);
    close(own[0]);
    assert_int_equal(channel_read(own[1], &n), 1); /* what was sent before is still read */
    assert_int_equal(channel_read(own[1], &n), 0);
    assert_int_equal(channel_tell(own[1], KIND_FIRST, 0, 0, NULL), -EPIPE);
    close(own[1]);
}

static void test_a_peer_that_left_notes_unread_has_ended_too(void **state)
{
    struct note n;
    int own[2];

    assert_int_equal(channel_pair(own), 0);
    assert_int_equal(channel_tell(own[1], KIND_FIRST, 0, 0, NULL), 0);
    close(own[0]);
    assert_int_equal(channel_read(own[1], &n), 0);
    close(own[1]);
}

static void test_a_full_channel_refuses_instead_of_waiting(void **state)
{
    int sent = 0, error;

    while ((error = channel_tell(end[0], KIND_FIRST, 0, 0, "smtp://127.0.0.1:10025 up")) == 0)
        sent++;
    assert_int_equal(error, -EAGAIN);
    assert_true(sent > 5);
}

static void test_text_is_cut_to_its_room_and_a_note_too_large_is_refused(void **state)
{
    static char text[NOTE_TEXT + 100];
    struct note n = {.len = NOTE_TEXT}, many = {.fds = NOTE_FDS + 1};

    memset(text, 'x', sizeof text - 1);
    assert_int_equal(channel_tell(end[0], KIND_FIRST, 0, 0, text), 0);
    assert_int_equal(channel_send(end[0], &n), -EMSGSIZE);
    assert_int_equal(channel_send(end[0], &many), -EMSGSIZE);
    assert_int_equal(channel_read(end[1], &n), 1);
    assert_int_equal(n.len, NOTE_TEXT - 1);
    assert_int_equal(strlen(n.text), NOTE_TEXT - 1);
}

static void test_who_takes_no_descriptors_gets_the_note_without_them(void **state)
{
    struct note sent = {.kind = KIND_SECOND, .arg = 7, .fds = NOTE_FDS}, got;
    int before = dup(end[0]);

    for (int i = 0; i < NOTE_FDS; i++)
        sent.fd[i] = end[0];
    assert_int_equal(channel_send(end[0], &sent), 0);
    assert_int_equal(channel_read_text(end[1], &got), 1);
    assert_int_equal(got.kind, KIND_SECOND);
    assert_int_equal(got.arg, 7);
    assert_int_equal(got.fds, 0);
    close(before);
    int now = dup(end[0]);
    assert_int_equal(now, before); /* none was opened */
    close(now);
}

static void test_a_malformed_packet_is_no_note(void **state)
{
    static char big[NOTE_TEXT + 100];
    struct note n;

    assert_int_equal(send(end[0], "x", 1, 0), 1);
    assert_int_equal(channel_read(end[1], &n), -EBADMSG);
    assert_int_equal(send(end[0], big, sizeof big, 0), (int)sizeof big);
    assert_int_equal(channel_read(end[1], &n), -EBADMSG);
}

#define ON_A_PAIR(test) cmocka_unit_test_setup_teardown(test, open_pair, close_pair)

/* Others may come behind such a result; after any other one nobody is there to read from. */
static void test_only_the_end_and_a_broken_channel_are_the_end(void **state)
{
    struct note n;
    char packet[2 * NOTE_TEXT] = "x";

    assert_true(channel_is_over(0));
    assert_true(channel_is_over(-ENOTCONN));
    assert_false(channel_is_over(1));
    assert_false(channel_is_over(channel_read(end[1], &n)));
    assert_true(write(end[0], packet, sizeof packet) == sizeof packet);
    assert_int_equal(channel_read_text(end[1], &n), -EBADMSG);
    assert_false(channel_is_over(-EBADMSG));
    assert_int_equal(channel_tell(end[0], KIND_FIRST, 0, 0, NULL), 0);
    assert_int_equal(channel_read_text(end[1], &n), 1);
}

static void test_a_full_channel_may_be_tried_again_and_one_without_end_not(void **state)
{
    int error;

    while ((error = channel_tell(end[0], KIND_FIRST, 0, 0, NULL)) == 0)
        ;
    assert_true(channel_may_again(error));
    assert_true(channel_may_again(-ENOBUFS));
    assert_true(channel_may_again(-ENOMEM));
    close(end[1]);
    error = channel_tell(end[0], KIND_FIRST, 0, 0, NULL);
    assert_true(error < 0);
    assert_false(channel_may_again(error));
    assert_false(channel_may_again(0));
    end[1] = dup(end[0]); /* something to close */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_PAIR(test_a_note_arrives_as_it_was_sent),
        ON_A_PAIR(test_notes_that_are_passed_on_leave_half_of_the_channel),
        ON_A_PAIR(test_descriptors_come_along_and_stay_with_the_sender),
        cmocka_unit_test(test_the_end_of_the_channel_is_told),
        cmocka_unit_test(test_a_peer_that_left_notes_unread_has_ended_too),
        ON_A_PAIR(test_a_full_channel_refuses_instead_of_waiting),
        ON_A_PAIR(test_text_is_cut_to_its_room_and_a_note_too_large_is_refused),
        ON_A_PAIR(test_who_takes_no_descriptors_gets_the_note_without_them),
        ON_A_PAIR(test_a_malformed_packet_is_no_note),
        cmocka_unit_test_setup_teardown(test_only_the_end_and_a_broken_channel_are_the_end,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(
            test_a_full_channel_may_be_tried_again_and_one_without_end_not, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
