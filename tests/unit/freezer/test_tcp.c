/* Connections taken out of the real kernel and put back, a batch at a time, in a ring and without
 * one. In a network namespace of its own; needs root, or user namespaces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "freezer/tcp.h"

struct pair {
    int client, server;
};

static struct calls *calls;
static struct pair pair[TCP_JOBS];
static struct tcp_frozen frozen[TCP_JOBS];
static struct tcp_job job[TCP_JOBS];

static void set_up_loopback(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    close(fd);
}

/* ---- pairs ---- */

enum ends { IP4, IP6, MAPPED };

static int open_listener(enum ends ends, struct sockaddr_in6 *to)
{
    struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6};
    int off = 0, fd = socket(ends == IP4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    socklen_t len = sizeof *to;

    if (ends == IP6)
        a6.sin6_addr = in6addr_loopback;
    if (ends == MAPPED)
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), 0);
    assert_int_equal(ends == IP4 ? bind(fd, (struct sockaddr *)&a4, sizeof a4)
                                 : bind(fd, (struct sockaddr *)&a6, sizeof a6),
                     0);
    assert_int_equal(listen(fd, TCP_JOBS), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)to, &len), 0);
    if (ends == MAPPED) { /* its client comes over IPv4 */
        a4.sin_port = to->sin6_port;
        memcpy(to, &a4, sizeof a4);
    }
    return fd;
}

static void read_exactly(int fd, const char *what)
{
    char got[64] = "";

    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000), 1);
    assert_int_equal(recv(fd, got, sizeof got, 0), strlen(what));
    assert_string_equal(got, what);
}

static void say(int fd, const char *what)
{
    assert_int_equal(send(fd, what, strlen(what), MSG_NOSIGNAL), strlen(what));
}

static void talk(struct pair p)
{
    say(p.client, "NOOP\r\n");
    read_exactly(p.server, "NOOP\r\n");
    say(p.server, "250 ok\r\n");
    read_exactly(p.client, "250 ok\r\n");
}

/* The client's last acknowledgement may still be under way. */
static void wait_until_acknowledged(int fd)
{
    int unsent = 1;

    for (int i = 0; i < 1000 && unsent; i++) {
        assert_int_equal(ioctl(fd, TIOCOUTQ, &unsent), 0);
        if (unsent)
            poll(NULL, 0, 5);
    }
    assert_int_equal(unsent, 0);
}

static void open_pairs(enum ends ends)
{
    struct sockaddr_in6 to;
    int listener = open_listener(ends, &to);

    for (int i = 0; i < TCP_JOBS; i++) {
        pair[i].client = socket(ends == IP6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(pair[i].client, (struct sockaddr *)&to,
                                 ends == IP6 ? sizeof to : sizeof(struct sockaddr_in)),
                         0);
        pair[i].server = accept(listener, NULL, NULL);
        talk(pair[i]);
        wait_until_acknowledged(pair[i].server);
        job[i] = (struct tcp_job){.fd = pair[i].server, .tcp = &frozen[i]};
    }
    close(listener);
}

static void close_pairs(void)
{
    for (int i = 0; i < TCP_JOBS; i++) {
        close(pair[i].client);
        close(pair[i].server);
    }
}

static void freeze_all(void)
{
    tcp_freeze(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++)
        assert_int_equal(job[i].result, 0);
    tcp_leave(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++) {
        assert_int_equal(job[i].result, 0);
        assert_int_equal(fcntl(pair[i].server, F_GETFD), -1);
    }
}

/* As it has from its listener: another socket may be bound to its port. */
static void expect_shared_port(int fd)
{
    int shared = 0;
    socklen_t len = sizeof shared;

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &shared, &len), 0);
    assert_true(shared);
}

static void expect_thawed(int i)
{
    assert_int_equal(job[i].result, 0);
    pair[i].server = job[i].fd;
    expect_shared_port(job[i].fd);
    assert_true(fcntl(job[i].fd, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(job[i].fd, F_GETFL) & O_NONBLOCK);
    talk(pair[i]);
}

/* ---- what must hold ---- */

static void check_it_goes_on(enum ends ends)
{
    open_pairs(ends);
    for (int turn = 0; turn < 3; turn++) { /* what is frozen again is as good as new */
        freeze_all();
        tcp_thaw(calls, job, TCP_JOBS);
        for (int i = 0; i < TCP_JOBS; i++) {
            expect_thawed(i);
            wait_until_acknowledged(pair[i].server);
        }
    }
    assert_int_equal(frozen[0].family, ends == IP4 ? 4 : 6);
    close_pairs();
}

static void check_ends(void)
{
    struct addr local, remote;

    open_pairs(MAPPED);
    freeze_all();
    tcp_ends(&frozen[3], &local, &remote);
    assert_int_equal(local.family, ADDR_IP4);
    assert_int_equal(remote.family, ADDR_IP4);
    assert_true(addr_is_loopback(&remote));
    tcp_thaw(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++)
        expect_thawed(i);
    close_pairs();
}

/* The other end of some sockets is known: then it is only checked, and the record is the same. That
 * of an IPv4 client on an IPv6 socket does not count, because the socket has another form of it. */
static void check_known_ends(enum ends ends)
{
    struct addr local, remote[TCP_JOBS];
    struct tcp_frozen asked[TCP_JOBS];

    open_pairs(ends);
    freeze_all();
    for (int i = 0; i < TCP_JOBS; i++)
        tcp_ends(&frozen[i], &local, &remote[i]);
    memcpy(asked, frozen, sizeof asked);
    tcp_thaw(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++) {
        expect_thawed(i);
        wait_until_acknowledged(pair[i].server);
        if (i % 3)
            job[i].remote = remote[i];
    }
    freeze_all();
    for (int i = 0; i < TCP_JOBS; i++)
        assert_memory_equal(&frozen[i].family, &asked[i].family,
                            sizeof frozen[i] - offsetof(struct tcp_frozen, family));
    tcp_thaw(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++)
        expect_thawed(i);
    close_pairs();
}

/* Ends that a worker could tell which was taken over: another client's, another port, none. Such a
 * connection is not frozen, and goes on; the others of the batch are frozen. */
static void check_a_wrong_end_is_not_believed(void)
{
    const struct addr other = {.octets = {192, 0, 2, 7}, .port = 4321, .family = ADDR_IP4};
    struct addr local, remote[TCP_JOBS];

    open_pairs(IP4);
    freeze_all();
    for (int i = 0; i < TCP_JOBS; i++)
        tcp_ends(&frozen[i], &local, &remote[i]);
    tcp_thaw(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++) {
        expect_thawed(i);
        wait_until_acknowledged(pair[i].server);
        job[i].remote = remote[i];
    }
    job[4].remote = other;
    job[11].remote = remote[12];
    job[TCP_JOBS - 1].remote.port = 0;
    tcp_freeze(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++) {
        bool wrong = i == 4 || i == 11 || i == TCP_JOBS - 1;
        assert_int_equal(job[i].result, wrong ? -EPERM : 0);
        if (!wrong)
            tcp_unfreeze(pair[i].server, &frozen[i]);
        talk(pair[i]);
    }
    close_pairs();
}

static void await(int fd)
{
    assert_int_equal(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000), 1);
}

/* One has octets unread, one's client has begun to close: these two stay, unharmed. */
static void check_what_is_not_quiet(void)
{
    open_pairs(IP4);
    say(pair[5].client, "RSET\r\n");
    await(pair[5].server);
    shutdown(pair[7].client, SHUT_WR);
    await(pair[7].server);
    tcp_freeze(calls, job, TCP_JOBS);
    assert_int_equal(job[7].result, -EAGAIN);
    tcp_leave(calls, job, TCP_JOBS);
    assert_int_equal(job[5].result, -EAGAIN);
    read_exactly(pair[5].server, "RSET\r\n");
    talk(pair[5]); /* it hears again */
    say(pair[7].server, "221 bye\r\n");
    read_exactly(pair[7].client, "221 bye\r\n");
    for (int i = 0; i < TCP_JOBS; i++)
        assert_int_equal(job[i].result, i == 5 || i == 7 ? -EAGAIN : 0);

    struct tcp_job others[TCP_JOBS];
    int n = 0;
    for (int i = 0; i < TCP_JOBS; i++)
        if (job[i].result == 0)
            others[n++] = job[i];
    tcp_thaw(calls, others, (size_t)n);
    for (int i = 0, k = 0; i < TCP_JOBS; i++)
        if (job[i].result == 0) {
            job[i] = others[k++];
            expect_thawed(i);
        }
    close_pairs();
}

static void check_what_is_taken_back(void)
{
    open_pairs(IP6);
    tcp_freeze(calls, job, TCP_JOBS);
    for (int i = 0; i < TCP_JOBS; i++)
        tcp_unfreeze(job[i].fd, job[i].tcp);
    for (int i = 0; i < TCP_JOBS; i++) {
        expect_shared_port(pair[i].server);
        talk(pair[i]);
    }
    close_pairs();
}

/* One's address is no longer this machine's, another's place is taken: the others come back. */
static void check_what_cannot_come_back(void)
{
    struct tcp_frozen away;

    open_pairs(IP4);
    freeze_all();
    away = frozen[2];
    memcpy(away.local, "\300\0\2\7", 4);
    job[2].tcp = &away;
    tcp_thaw(calls, job, TCP_JOBS);
    assert_int_equal(job[2].result, -EADDRNOTAVAIL);
    assert_int_equal(job[2].fd, -1);
    for (int i = 0; i < TCP_JOBS; i++)
        if (i != 2)
            expect_thawed(i);

    struct tcp_job both[2] = {{.tcp = &frozen[2]}, {.tcp = &frozen[9]}};
    tcp_thaw(calls, both, 2);
    job[2] = both[0];
    expect_thawed(2);
    assert_int_equal(both[1].result, -EADDRINUSE);
    assert_int_equal(both[1].fd, -1);
    talk(pair[9]); /* which noticed nothing */
    close_pairs();
}

static void check_all(void)
{
    check_it_goes_on(IP4);
    check_it_goes_on(IP6);
    check_it_goes_on(MAPPED);
    check_ends();
    check_known_ends(IP4);
    check_known_ends(IP6);
    check_known_ends(MAPPED);
    check_a_wrong_end_is_not_believed();
    check_what_is_not_quiet();
    check_what_is_taken_back();
    check_what_cannot_come_back();
}

static void test_in_a_ring(void **state)
{
    calls = calls_open();
    assert_non_null(calls);
    if (calls_have_ring(calls))
        check_all();
    calls_close(calls);
}

static void test_call_by_call(void **state)
{
    calls = calls_open();
    assert_non_null(calls);
    calls_drop_ring(calls);
    check_all();
    calls_close(calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_a_ring),
        cmocka_unit_test(test_call_by_call),
    };

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return 77; /* meson: skipped */
    set_up_loopback();
    if (tcp_repair_works() < 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
