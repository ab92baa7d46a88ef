/* Many calls at once, in a ring and without one: the same results, in the same order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freezer/calls.h"

static struct calls *with_ring_or_not(bool ring)
{
    struct calls *c = calls_open();

    assert_non_null(c);
    if (!ring)
        calls_drop_ring(c);
    return c;
}

static int make_socket(struct calls *c)
{
    int fd = 0;

    calls_add_socket(c, &fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC);
    calls_make(c);
    assert_true(fd > 0);
    return fd;
}

static struct sockaddr_in loopback(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in name_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return a;
}

static int segment_of(int fd)
{
    int value;
    socklen_t len = sizeof value;

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, &len), 0);
    return value;
}

static void check_order(bool ring)
{
    enum { MANY = 1500 }; /* more than a ring takes */
    struct calls *c = with_ring_or_not(ring);
    int fd = make_socket(c), size[MANY], result = 0;

    for (int i = 0; i < MANY; i++) {
        size[i] = 200 + i % 1000;
        calls_add_set(c, &result, fd, IPPROTO_TCP, TCP_MAXSEG, &size[i], sizeof size[i]);
    }
    calls_make(c);
    assert_int_equal(result, 0);
    assert_int_equal(segment_of(fd), size[MANY - 1]);
    close(fd);
    calls_close(c);
}

static void check_results(bool ring)
{
    struct calls *c = with_ring_or_not(ring);
    struct sockaddr_in a = loopback(), elsewhere = a;
    int fd[3], result[3] = {0}, one = 1;

    elsewhere.sin_addr.s_addr = htonl(0xc0000207); /* 192.0.2.7 is nobody's */
    for (int i = 0; i < 3; i++)
        fd[i] = make_socket(c);
    for (int i = 0; i < 3; i++) {
        calls_add_set(c, &result[i], fd[i], IPPROTO_TCP, i == 1 ? 12345 : TCP_NODELAY, &one,
                      sizeof one);
        calls_add_bind(c, &result[i], fd[i], (struct sockaddr *)(i == 2 ? &elsewhere : &a),
                       sizeof a);
    }
    calls_make(c);
    assert_int_equal(result[0], 0);
    assert_int_equal(result[1], -ENOPROTOOPT); /* the first that failed */
    assert_int_equal(result[2], -EADDRNOTAVAIL);
    assert_int_not_equal(name_of(fd[0]).sin_port, 0);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    calls_close(c);
}

static void check_a_connection(bool ring)
{
    struct calls *c = with_ring_or_not(ring);
    int listener = make_socket(c), fd = make_socket(c), result = 0, unread = 0, closed = 0;
    struct sockaddr_in a = loopback();

    calls_add_bind(c, &result, listener, (struct sockaddr *)&a, sizeof a);
    calls_make(c);
    assert_int_equal(listen(listener, 1), 0);
    a = name_of(listener);
    calls_add_connect(c, &result, fd, (struct sockaddr *)&a, sizeof a);
    calls_make(c);
    assert_int_equal(result, 0);

    int peer = accept(listener, NULL, NULL);
    calls_add_unread(c, &unread, peer);
    calls_make(c);
    assert_int_equal(unread, 0);
    assert_int_equal(send(fd, "QUIT\r\n", 6, 0), 6);
    assert_int_equal(poll(&(struct pollfd){.fd = peer, .events = POLLIN}, 1, 10000), 1);
    calls_add_unread(c, &unread, peer);
    calls_make(c);
    assert_int_equal(unread, 6);

    calls_add_close(c, &closed, fd);
    calls_make(c);
    assert_int_equal(closed, 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    calls_add_close(c, &closed, fd);
    calls_make(c);
    assert_int_equal(closed, -EBADF);
    close(peer);
    close(listener);
    calls_close(c);
}

static void check_all(bool ring)
{
    check_order(ring);
    check_results(ring);
    check_a_connection(ring);
}

static void test_in_a_ring(void **state)
{
    struct calls *c = calls_open();
    bool ring = calls_have_ring(c);

    calls_close(c);
    if (!ring)
        skip(); /* the kernel has none, or not for all of this */
    check_all(true);
}

static void test_without_a_ring(void **state)
{
    check_all(false);
}

static void test_nothing_to_make(void **state)
{
    for (int ring = 0; ring < 2; ring++) {
        struct calls *c = with_ring_or_not(ring);
        calls_make(c);
        calls_close(c);
    }
    calls_close(NULL);
}

/* As containers and hardened systems do it. */
static void forbid_rings(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void test_where_rings_are_forbidden(void **state)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        forbid_rings();
        struct calls *c = calls_open();
        bool ring = calls_have_ring(c);
        calls_close(c);
        check_all(true);
        _exit(ring ? 3 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* The filter of system calls does not see what a ring does, so the ring itself must refuse it: the kernel
 * says by this that restrictions are in force. */
static void test_a_ring_takes_no_further_calls(void **state)
{
    struct calls *c = calls_open();
    int rings = 0;

    if (!calls_have_ring(c)) {
        calls_close(c);
        skip();
    }
    for (int fd = 3; fd < 64; fd++) {
        char path[64], what[64] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, what, sizeof what - 1) < 0 || !strstr(what, "io_uring"))
            continue;
        rings++;
        assert_int_equal(syscall(SYS_io_uring_register, fd, IORING_UNREGISTER_BUFFERS, NULL, 0),
                         -1);
        assert_int_equal(errno, EACCES);
    }
    assert_int_equal(rings, 1);
    calls_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_a_ring),
        cmocka_unit_test(test_without_a_ring),
        cmocka_unit_test(test_nothing_to_make),
        cmocka_unit_test(test_a_ring_takes_no_further_calls),
        cmocka_unit_test(test_where_rings_are_forbidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
