/* The store's process, and what workers send it: connections, or anything if a worker was taken
 * over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "query/notes.h"
#include "store/store.h"

enum { CONNECTIONS = 5, SLOT_MOST = 4 * CONNECTIONS };

struct running {
    char state[64];
    int control, workers; /* the master's and the workers' ends */
    pid_t pid;
};

static int start(void **state)
{
    static char *domains[] = {(char *)"example.test"};
    struct running *r = calloc(1, sizeof *r);
    int control[2], workers[2];
    struct config_backend backend = {.kind = BACKEND_STORE, .connections = CONNECTIONS};
    struct config config = {.hostname = (char *)"mx.example.test",
                            .domains = {domains, 1},
                            .backend = &backend,
                            .backend_count = 1};

    snprintf(r->state, sizeof r->state, "/tmp/mired-store-XXXXXX");
    if (!mkdtemp(r->state) || channel_pair(control) < 0 || channel_pair(workers) < 0)
        return -1;
    config.state = r->state;
    r->control = control[0];
    r->workers = workers[0];
    r->pid = fork();
    if (r->pid == 0) {
        log_to(open("/dev/null", O_WRONLY | O_CLOEXEC));
        close(control[0]);
        close(workers[0]);
        _exit(store_run(&(struct store_params){
            .config = &config, .control = control[1], .listen = -1, .workers = workers[1]}));
    }
    close(control[1]);
    close(workers[1]);
    *state = r;
    return r->pid < 0 ? -1 : 0;
}

static int stop(void **state)
{
    struct running *r = *state;
    char mail[80];
    int status;

    channel_tell(r->control, NOTE_STOP, 0, 0, NULL);
    close(r->workers);
    waitpid(r->pid, &status, 0);
    close(r->control);
    snprintf(mail, sizeof mail, "%s/mail", r->state);
    rmdir(mail);
    rmdir(r->state);
    free(r);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int send_to_store(const struct running *r, uint32_t kind, const int *fd, uint32_t fds)
{
    struct note n = {.kind = kind, .fds = fds};

    memcpy(n.fd, fd, fds * sizeof *fd);
    return channel_send(r->workers, &n);
}

/* A worker's end of a new connection. The master sends the worker's slot. */
static int connect_as(const struct running *r, int slot)
{
    struct timeval patience = {.tv_sec = 120};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct note n = {.kind = NOTE_STORE, .arg = slot, .fds = 1, .fd = {pair[1]}};
    assert_int_equal(channel_send(r->workers, &n), 0);
    close(pair[1]);
    return pair[0];
}

static int connect_to_store(const struct running *r)
{
    return connect_as(r, 0);
}

static void assert_greets(int fd)
{
    char text[512] = "";

    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_memory_equal(text, "220 ", 4);
}

static void test_each_connection_that_a_worker_sends_is_served(void **state)
{
    int fd[20];

    for (size_t i = 0; i < 20; i++)
        fd[i] = connect_to_store(*state);
    for (size_t i = 0; i < 20; i++) {
        assert_greets(fd[i]);
        close(fd[i]);
    }
}

static void test_what_is_no_connection_is_closed(void **state)
{
    const struct running *r = *state;
    struct sockaddr_in any = {.sin_family = AF_INET};
    int pipes[2], pair[2], packets[2];
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int file = open("/dev/zero", O_RDONLY | O_CLOEXEC), folder = open("/", O_RDONLY | O_CLOEXEC);
    char octet;

    assert_int_equal(bind(tcp, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(tcp, 1), 0);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets), 0);
    const int wrong[] = {tcp, file, folder, pipes[0], pipes[1], packets[1]};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(send_to_store(r, NOTE_STORE, &wrong[i], 1), 0);
    assert_int_equal(send_to_store(r, NOTE_STORE, wrong, NOTE_FDS), 0);
    assert_int_equal(send_to_store(r, NOTE_STORE, wrong, 0), 0);
    assert_int_equal(send_to_store(r, NOTE_READY, &pair[1], 1), 0); /* not a note to the store */
    assert_int_equal(send(r->workers, "x", 1, 0), 1);               /* not a note at all */
    int fd = connect_to_store(r);
    assert_greets(fd); /* and so it has read all that came before */
    close(fd);
    close(pipes[1]);
    close(pair[1]);
    close(packets[1]);
    assert_int_equal(read(pipes[0], &octet, 1), 0); /* no other process has the other ends */
    assert_int_equal(recv(pair[0], &octet, 1, 0), 0);
    assert_int_equal(recv(packets[0], &octet, 1, 0), 0);
}

static void test_of_several_connections_in_a_note_one_is_served(void **state)
{
    int first[2], second[2];
    char octet;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, first), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, second), 0);
    assert_int_equal(send_to_store(*state, NOTE_STORE, (const int[]){first[1], second[1]}, 2), 0);
    close(first[1]);
    close(second[1]);
    assert_greets(second[0]);
    assert_int_equal(recv(first[0], &octet, 1, 0), 0);
    close(first[0]);
    close(second[0]);
}

/* A worker that was taken over keeps no other from the store. */
static void test_a_slot_has_no_more_than_its_share(void **state)
{
    int fd[SLOT_MOST], more, others[3];
    char octet;

    for (size_t i = 0; i < SLOT_MOST; i++)
        assert_greets(fd[i] = connect_as(*state, 7));
    for (int i = 0; i < 100; i++) {
        more = connect_as(*state, 7);
        assert_int_equal(recv(more, &octet, 1, 0), 0); /* closed */
        close(more);
    }
    for (int i = 0; i < 3; i++)
        assert_greets(others[i] = connect_as(*state, i * 500));
    /* One that ends makes room for another: the store sees its end a moment later. */
    close(fd[0]);
    while (recv(more = connect_as(*state, 7), &octet, 1, 0) != 1)
        close(more);
    close(more);
    for (size_t i = 1; i < SLOT_MOST; i++)
        close(fd[i]);
    for (int i = 0; i < 3; i++)
        close(others[i]);
}

static void test_a_store_stays_over_a_reload_that_does_not_concern_it(void **state)
{
    static char *domains[] = {(char *)"example.test"}, *others[] = {(char *)"example.org"};
    struct config_backend backend = {.kind = BACKEND_STORE, .connections = CONNECTIONS},
                          more = {.kind = BACKEND_STORE, .connections = CONNECTIONS + 1};
    const struct config is = {.hostname = (char *)"mx.example.test",
                              .state = (char *)"/var/lib/mired",
                              .domains = {domains, 1},
                              .sandbox = true,
                              .backend = &backend,
                              .backend_count = 1};
    struct config other = is;

    other.workers = 7;
    assert_true(store_is_same(&is, &other));
    other.sandbox = false; /* the process confines itself when it starts */
    assert_false(store_is_same(&is, &other));
    other = is;
    other.backend = &more;
    assert_false(store_is_same(&is, &other));
    other = is;
    other.domains.at = others;
    assert_false(store_is_same(&is, &other));
    other = is;
    other.recipient_delimiter = (char *)"-";
    assert_false(store_is_same(&is, &other));
    other = is;
    other.log_level = is.log_level + 1;
    assert_false(store_is_same(&is, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_store_stays_over_a_reload_that_does_not_concern_it),
        cmocka_unit_test_setup_teardown(test_each_connection_that_a_worker_sends_is_served, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_what_is_no_connection_is_closed, start, stop),
        cmocka_unit_test_setup_teardown(test_a_slot_has_no_more_than_its_share, start, stop),
        cmocka_unit_test_setup_teardown(test_of_several_connections_in_a_note_one_is_served, start,
                                        stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
