/* Packets of connections between workers and the freezer: what goes in comes out whole, with its own
 * descriptor. Any other packet is refused, and leaves no descriptor open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/channel.h"
#include "freezer/handoff.h"

/* Where a packet has what. The other end may be a program of an earlier or later version. */
enum {
    VERSION = 0,
    COUNT = 4,
    ITEM = 8,
    LEN = ITEM + 8,
    KIND = ITEM + 16,
    DIRECT = ITEM + 20,
    ITEM_SIZE = 24 + 2 * sizeof(struct addr),
    HEAD = ITEM + HANDOFF_BATCH * ITEM_SIZE,
    PACKET = HEAD + HANDOFF_OCTETS + 1,
};

struct line {
    int worker, freezer;
    struct handoff out, in;
    char packet[PACKET];
    size_t len;
    int before; /* the lowest free descriptor */
};

static int lowest_free(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

static int open_line(void **state)
{
    struct line *t = calloc(1, sizeof *t);
    int pair[2];
    assert_int_equal(channel_pair(pair), 0);
    t->worker = pair[0];
    t->freezer = pair[1];
    t->before = lowest_free();
    *state = t;
    return 0;
}

static int close_line(void **state)
{
    struct line *t = *state;
    close(t->worker);
    close(t->freezer);
    free(t);
    return 0;
}

/* A descriptor that is recognised by the size of its file. */
static int numbered(unsigned number)
{
    int fd = memfd_create("handed over", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, number), 0);
    return fd;
}

static unsigned number_of(int fd)
{
    struct stat about;
    assert_int_equal(fstat(fd, &about), 0);
    return (unsigned)about.st_size;
}

static struct addr address(const char *text, uint16_t port)
{
    struct addr a;
    assert_true(addr_parse(span_of(text), &a));
    a.port = port;
    return a;
}

static void give(struct line *t, unsigned number, struct span session)
{
    struct handoff_item item = {
        .fd = numbered(number),
        .way = 7 + number,
        .due_ms = UINT64_C(1) << 41 | number,
        .session = session,
        .local = address("2001:db8::1", 25),
        .remote = address("192.0.2.7", (uint16_t)(4000 + number)),
        .direct = number % 2,
    };
    assert_int_equal(handoff_add(&t->out, &item), 0);
}

static void close_given(struct handoff *h, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        close(h->item[i].fd);
}

/* Sends all, and closes our own descriptors, as the caller of handoff_send() does. */
static void send_all(struct line *t)
{
    uint32_t count = t->out.count;
    assert_int_equal(handoff_send(t->worker, &t->out), 0);
    assert_int_equal(t->out.count, 0);
    assert_int_equal(t->out.used, 0);
    close_given(&t->out, count);
}

static void expect(const struct handoff_item *item, unsigned number, struct span session)
{
    const struct addr local = address("2001:db8::1", 25),
                      remote = address("192.0.2.7", (uint16_t)(4000 + number));
    assert_int_equal(number_of(item->fd), number);
    assert_int_equal(fcntl(item->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(item->kind, HANDOFF_HOLD);
    assert_int_equal(item->way, 7 + number);
    assert_true(item->due_ms == (UINT64_C(1) << 41 | number));
    assert_true(span_equal(item->session, session));
    assert_memory_equal(&item->local, &local, sizeof local);
    assert_memory_equal(&item->remote, &remote, sizeof remote);
    assert_int_equal(item->direct, number % 2);
}

static void test_a_full_batch_arrives_whole_and_in_order(void **state)
{
    struct line *t = *state;
    char session[HANDOFF_BATCH];

    memset(session, 's', sizeof session);
    for (unsigned i = 0; i < HANDOFF_BATCH; i++)
        give(t, i, (struct span){session, i}); /* the first has none */
    assert_int_equal(handoff_add(&t->out, &(struct handoff_item){.fd = -1}), -ENOSPC);
    assert_int_equal(t->out.count, HANDOFF_BATCH);
    send_all(t);
    assert_int_equal(handoff_read(t->freezer, &t->in), 1);
    assert_int_equal(t->in.count, HANDOFF_BATCH);
    for (unsigned i = 0; i < HANDOFF_BATCH; i++)
        expect(&t->in.item[i], i, (struct span){session, i});
    close_given(&t->in, t->in.count);
    assert_int_equal(handoff_read(t->freezer, &t->in), -EAGAIN);
    assert_int_equal(lowest_free(), t->before);
}

static void test_sessions_fill_a_packet_to_the_last_octet(void **state)
{
    static char half[HANDOFF_OCTETS / 2];
    struct line *t = *state;

    memset(half, 'h', sizeof half);
    give(t, 1, (struct span){half, sizeof half});
    give(t, 2, (struct span){half, sizeof half});
    struct handoff_item more = {.fd = -1, .session = SPAN("x")};
    assert_int_equal(handoff_add(&t->out, &more), -ENOSPC);
    assert_int_equal(t->out.count, 2);
    give(t, 3, (struct span){0}); /* needs no octet */
    send_all(t);
    assert_int_equal(handoff_read(t->freezer, &t->in), 1);
    assert_int_equal(t->in.count, 3);
    expect(&t->in.item[0], 1, (struct span){half, sizeof half});
    expect(&t->in.item[1], 2, (struct span){half, sizeof half});
    expect(&t->in.item[2], 3, (struct span){0});
    close_given(&t->in, t->in.count);
}

static void test_a_batch_is_kept_until_the_other_side_has_room(void **state)
{
    static char session[HANDOFF_OCTETS];
    struct line *t = *state;
    unsigned sent = 0;
    int error;

    memset(session, 'r', sizeof session);
    do {
        give(t, sent, (struct span){session, sizeof session});
        error = handoff_send(t->worker, &t->out);
        if (!error)
            close(t->out.item[0].fd);
        sent += error == 0;
    } while (!error);
    assert_int_equal(error, -EAGAIN);
    assert_true(sent > 0);
    assert_int_equal(t->out.count, 1);
    assert_int_equal(t->out.used, sizeof session);
    for (unsigned i = 0; i <= sent; i++) {
        assert_int_equal(handoff_read(t->freezer, &t->in), 1);
        assert_int_equal(t->in.count, 1);
        expect(&t->in.item[0], i, (struct span){session, sizeof session});
        close_given(&t->in, 1);
        if (i == 0)
            send_all(t);
    }
    assert_int_equal(handoff_read(t->freezer, &t->in), -EAGAIN);
}

static void test_a_batch_survives_the_end_of_the_other_side(void **state)
{
    struct line *t = *state;

    close(t->freezer);
    give(t, 5, SPAN("record"));
    assert_int_equal(handoff_send(t->worker, &t->out), -EPIPE);
    assert_int_equal(t->out.count, 1);
    assert_int_equal(number_of(t->out.item[0].fd), 5);
    assert_true(span_equal(t->out.item[0].session, SPAN("record")));
    assert_int_equal(handoff_read(t->worker, &t->in), 0);
    close(t->out.item[0].fd);
    t->freezer = -1;
}

/* ---- packets that handoff_send() does not make ---- */

/* A good packet of two items with sessions of 3 and 4 octets, for a test to change. */
static void take_packet(struct line *t)
{
    give(t, 1, SPAN("one"));
    give(t, 2, SPAN("four"));
    send_all(t);
    ssize_t n = recv(t->freezer, t->packet, sizeof t->packet, 0); /* drops the descriptors */
    assert_int_equal(n, HEAD + 7);
    t->len = (size_t)n;
}

static void put(struct line *t, size_t at, uint32_t value)
{
    memcpy(t->packet + at, &value, sizeof value);
}

/* Sends the packet with that many descriptors, and returns what reading it comes to. */
static int pass(struct line *t, unsigned fds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(64 * sizeof(int))];
    } rights = {0};
    struct iovec part = {t->packet, t->len};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    int fd[64];

    for (unsigned i = 0; i < fds; i++)
        fd[i] = numbered(i + 1);
    if (fds) {
        msg.msg_control = rights.room;
        msg.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fds * sizeof(int));
        memcpy(CMSG_DATA(c), fd, fds * sizeof(int));
    }
    assert_int_equal(sendmsg(t->worker, &msg, MSG_NOSIGNAL), t->len);
    for (unsigned i = 0; i < fds; i++)
        close(fd[i]);
    memset(&t->in, 0xee, sizeof t->in);
    return handoff_read(t->freezer, &t->in);
}

static void test_the_packets_of_other_versions_and_of_liars_are_refused(void **state)
{
    static const struct {
        const char *what;
        uint32_t at, value; /* at HEAD: nothing is changed */
        int longer;         /* by so many octets */
        unsigned fds;
    } table[] = {
        {"an earlier version", VERSION, 2, 0, 2},
        {"a later version", VERSION, 4, 0, 2},
        {"more items than descriptors", COUNT, 3, 0, 2},
        {"fewer items than descriptors", COUNT, 1, 0, 2},
        {"no descriptor", HEAD, 0, 0, 0},
        {"as many as there are places, and one more", COUNT, 33, 0, 33},
        {"a descriptor more than there are places", COUNT, 32, 0, 33},
        {"many more than there are places", COUNT, 64, 0, 64},
        {"items without number", COUNT, UINT32_MAX, 0, 2},
        {"a session longer than the packet", LEN, 8, 0, 2},
        {"a second session longer than the rest", LEN + ITEM_SIZE, 5, 0, 2},
        {"a session as long as a word can say", LEN, UINT32_MAX, 0, 2},
        {"octets of no session", LEN, 2, 0, 2},
        {"an octet behind all", HEAD, 0, 1, 2},
        {"an octet less", HEAD, 0, -1, 2},
        {"a kind that there is not", KIND, HANDOFF_CHANNEL + 1, 0, 2},
        {"the same of the second item", KIND + ITEM_SIZE, UINT32_MAX, 0, 2},
        {"half a head", HEAD, 0, -(HEAD / 2), 2},
        {"an octet less than a head", HEAD, 0, -8, 2},
        {"an octet more than there is room for", LEN, HANDOFF_OCTETS - 4, HANDOFF_OCTETS - 7 + 1,
         2},
        {"more than a packet", HEAD, 0, PACKET - (HEAD + 7), 2},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct line *t = *state;
        take_packet(t);
        if (table[i].at < HEAD)
            put(t, table[i].at, table[i].value);
        t->len = (size_t)((int)t->len + table[i].longer);
        int r = pass(t, table[i].fds);
        if (r != -EBADMSG || t->in.count != 0 || lowest_free() != t->before)
            fail_msg("%s: %d", table[i].what, r);
        /* the next one is read as if nothing had been */
        give(t, 9, SPAN("next"));
        send_all(t);
        assert_int_equal(handoff_read(t->freezer, &t->in), 1);
        expect(&t->in.item[0], 9, SPAN("next"));
        close_given(&t->in, 1);
    }
}

/* The sum of the lengths is right in 32 bits. */
static void test_a_session_outside_the_packet_is_refused_even_if_the_sum_is_right(void **state)
{
    struct line *t = *state;

    take_packet(t);
    put(t, LEN, UINT32_MAX);
    put(t, LEN + ITEM_SIZE, 8);
    assert_int_equal(pass(t, 2), -EBADMSG);
    assert_int_equal(lowest_free(), t->before);
}

/* The same packet unchanged is taken: so it is the change that the table above has refused. */
static void test_the_packet_of_a_program_of_this_version_is_taken(void **state)
{
    struct line *t = *state;

    take_packet(t);
    assert_int_equal(pass(t, 2), 1);
    assert_int_equal(t->in.count, 2);
    expect(&t->in.item[0], 1, SPAN("one"));
    expect(&t->in.item[1], 2, SPAN("four"));
    close_given(&t->in, 2);
    assert_int_equal(lowest_free(), t->before);
}

/* Only 1 says that the client itself is at the other end: earlier programs send 0. */
static void test_a_connection_is_direct_only_by_the_word_for_it(void **state)
{
    static const uint32_t word[] = {0, 1, 2, UINT32_MAX};
    struct line *t = *state;

    for (size_t i = 0; i < sizeof word / sizeof *word; i++) {
        take_packet(t);
        put(t, DIRECT, word[i]);
        assert_int_equal(pass(t, 2), 1);
        assert_int_equal(t->in.item[0].direct, word[i] == 1);
        close_given(&t->in, 2);
    }
}

static void test_a_return_channel_is_told_from_a_hold(void **state)
{
    struct line *t = *state;

    take_packet(t);
    put(t, KIND + ITEM_SIZE, HANDOFF_CHANNEL);
    assert_int_equal(pass(t, 2), 1);
    assert_int_equal(t->in.item[0].kind, HANDOFF_HOLD);
    assert_int_equal(t->in.item[1].kind, HANDOFF_CHANNEL);
    close_given(&t->in, 2);
}

/* The kernel drops the descriptors that the process has no room for. Items must not get the
 * descriptors of others then. */
static void test_without_room_for_all_descriptors_none_is_taken(void **state)
{
    struct line *t = *state;
    struct rlimit before, few;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned i = 0; i < 4; i++)
        give(t, i, SPAN("record"));
    send_all(t);
    few = before;
    few.rlim_cur = (rlim_t)t->before + 2; /* for two of the four */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = handoff_read(t->freezer, &t->in);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EBADMSG);
    assert_int_equal(t->in.count, 0);
    assert_int_equal(lowest_free(), t->before);
}

static void test_an_empty_packet_looks_like_the_end_but_is_none(void **state)
{
    struct line *t = *state;

    assert_int_equal(send(t->worker, "", 0, MSG_NOSIGNAL), 0);
    assert_int_equal(handoff_read(t->freezer, &t->in), 0);
    assert_false(channel_has_ended(t->freezer));
    give(t, 3, SPAN("record"));
    send_all(t);
    assert_int_equal(handoff_read(t->freezer, &t->in), 1);
    expect(&t->in.item[0], 3, SPAN("record"));
    close_given(&t->in, 1);
}

#define ON_LINE(test) cmocka_unit_test_setup_teardown(test, open_line, close_line)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_LINE(test_a_full_batch_arrives_whole_and_in_order),
        ON_LINE(test_sessions_fill_a_packet_to_the_last_octet),
        ON_LINE(test_a_batch_is_kept_until_the_other_side_has_room),
        ON_LINE(test_a_batch_survives_the_end_of_the_other_side),
        ON_LINE(test_the_packets_of_other_versions_and_of_liars_are_refused),
        ON_LINE(test_a_session_outside_the_packet_is_refused_even_if_the_sum_is_right),
        ON_LINE(test_the_packet_of_a_program_of_this_version_is_taken),
        ON_LINE(test_a_connection_is_direct_only_by_the_word_for_it),
        ON_LINE(test_a_return_channel_is_told_from_a_hold),
        ON_LINE(test_without_room_for_all_descriptors_none_is_taken),
        ON_LINE(test_an_empty_packet_looks_like_the_end_but_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
