/* Hostile code in a running mired: linked into a program of the tests only (mired-door). When its
 * sandbox is closed, a process whose name begins with $MIRED_DOOR
 *   - tries to give a command over the control socket $MIRED_DOOR_CONTROL, if that is set
 *   - tries to change the ledger, the memory of mixed answers and what AUTH offers, if it is a worker
 * and logs what came of it. Later, on real-time signals of the test, a worker
 *   - shuts down its sockets to clerks and freezer (SIGRTMIN + 1)
 *   - ends the listening of its first listener, of which it has kept a copy (SIGRTMIN + 2)
 *   - tries to get the connections of all workers (SIGRTMIN + 3)
 *   - closes its channel to the master and runs on (SIGRTMIN + 4)
 *   - sends the master notes without end, of a kind that is not a worker's (SIGRTMIN + 5)
 *   - queries directories as often as it can, in the best rank (SIGRTMIN + 6)
 *   - asks for passwords as often as it can (SIGRTMIN + 7)
 *   - sends connections for the store without end (SIGRTMIN + 8)
 *   - sends notes with descriptors (SIGRTMIN + 9)
 *   - lets its listeners wait for many octets (SIGRTMIN + 10).
 * What any process does by a script of the test is in puppet.c (SIGRTMIN + 11).
 * What the sandbox itself forbids is in tests/unit/master/test_sandbox.c. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "puppet.h"
#include "query/notes.h"
#include "relay/partial_delivery.h"
#include "tarpit/ledger_proposals.h"
#include "tarpit/ledger_table.h"
#include "worker/listening.h"
#include "worker/queries.h"
#include "worker/worker.h"
#include "worker/worker_part.h"

static void give_command(const char *path)
{
    char answer[PUPPET_ANSWER];
    int error = puppet_command(path, answer);

    if (error)
        log_info("door: cannot connect: %s", strerrordesc_np(-error));
    else
        log_info("door: answer: %s", answer);
}

/* ---- what a worker has ---- */

static struct ledger *ledger;
static struct proposals *proposals;
static struct turns *turns;
static const struct mapfile *mixed; /* the first member of struct partial_delivery */

int __real_ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *t);
int __wrap_ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *t);
int __real_partial_propose_to(struct partial_delivery *s,
                              void (*change)(void *arg, const struct partial_change *what),
                              void (*settle)(void *arg), void *arg);
int __wrap_partial_propose_to(struct partial_delivery *s,
                              void (*change)(void *arg, const struct partial_change *what),
                              void (*settle)(void *arg), void *arg);

/* The linker puts these in front of the true ones, so that the door knows where things are. */
int __wrap_ledger_propose_to(struct ledger *l, struct proposals *p, struct turns *t)
{
    ledger = l;
    proposals = p;
    turns = t;
    return __real_ledger_propose_to(l, p, t);
}

int __wrap_partial_propose_to(struct partial_delivery *s,
                              void (*change)(void *arg, const struct partial_change *what),
                              void (*settle)(void *arg), void *arg)
{
    mixed = (const struct mapfile *)s;
    return __real_partial_propose_to(s, change, settle, arg);
}

/* Tries to make the mapping writable, and to write the file through any open descriptor. */
static void write_memory(const char *name, void *at, size_t size)
{
    int fits = 0;

    for (int fd = 0; fd < 4096; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size != size)
            continue;
        bool can = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
        can = can || mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED;
        fits += can;
    }
    int error = mprotect(at, 4096, PROT_READ | PROT_WRITE) < 0 ? errno : 0;
    log_info("door: %s: to write: %s, %d descriptors", name, strerrorname_np(error), fits);
}

static void write_file(const char *name, const struct mapfile *file)
{
    write_memory(name, file->body, file->body_size + (size_t)sysconf(_SC_PAGESIZE));
}

static void say(const struct ledger_key *k, struct proposal p)
{
    p.hash = k->hash;
    p.label = k->label;
    p.kind = k->kind;
    proposals_write(proposals, &p);
}

static struct ledger_key client(const char *text)
{
    struct addr a;
    addr_parse(span_of(text), &a);
    return ledger_key_client(ledger, &a);
}

/* All of it fits into the ring. Exempts a client, takes its offences and its network's away, and puts six thousand innocents in
 * debt; as proposals, which is all that is left. */
static void propose(void)
{
    struct ledger_key self = client("192.0.2.7");

    say(&self, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_EXEMPT});
    say(&self, (struct proposal){.op = PROPOSE_MARK, .a = LEDGER_EXEMPT});
    say(&self, (struct proposal){.op = PROPOSE_OFFENCES, .x = -100, .y = 1000});
    say(&self, (struct proposal){.op = PROPOSE_GOOD, .x = 1000});
    for (int i = 0; i < 6000; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%d.%d", i / 250, i % 250 + 1);
        struct ledger_key k = client(text);
        say(&k, (struct proposal){.op = PROPOSE_OFFENCES, .x = 8, .y = 1e9});
        say(&k, (struct proposal){.op = PROPOSE_FLAGS, .a = LEDGER_TRAPPED});
    }
    for (uint64_t i = 1; i <= 4000; i++)
        say(&(struct ledger_key){.hash = i << 20},
            (struct proposal){.op = PROPOSE_ELSE, .b = UINT64_MAX});
}

/* ---- what a worker does to its sockets, when a signal comes ---- */

static const struct worker_params *params;
static int listener; /* the first one that it got last */

static struct alarm flood_alarm;
static volatile sig_atomic_t floods; /* enum query_kind; 0: no */
static volatile sig_atomic_t connects;

static void wait_for_signals(void);

int __real_queries_open(struct worker *w);
int __wrap_queries_open(struct worker *w);
void __real_listening_replace(struct worker *w, struct note *n);
void __wrap_listening_replace(struct worker *w, struct note *n);

/* Each costs the store a thread. The worker serves its clients meanwhile. */
static void connect_to_store(void)
{
    enum { AT_ONCE = 1000, MANY = 20000 };
    static uint32_t sent;
    struct note n = {.kind = NOTE_STORE, .fds = 1};
    int pair[2];

    for (int i = 0; i < AT_ONCE && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;
         i++) {
        n.fd[0] = pair[1];
        int error = channel_send(params->control, &n);
        close(pair[0]);
        close(pair[1]);
        if (error)
            return;
        if (++sent % MANY == 0)
            log_info("door: %u connections for the store", sent);
    }
}

/* Keeps the queue to the clerks full: each query is for another recipient, and of another network.
 * The worker drops the answers, because no connection has such an id. */
static void flood(struct loop *loop, struct alarm *a)
{
    static uint32_t sent;
    struct query_head head = {.id = UINT64_MAX,
                              .slot = (uint16_t)params->slot,
                              .kind = (uint16_t)floods,
                              .rank = RANK_FIRST};

    loop_alarm(loop, a, loop->now + 1);
    if (connects)
        connect_to_store();
    while (floods) {
        char text[64];
        snprintf(text, sizeof text, "10.%u.%u.1", sent >> 8 & 255, sent & 255);
        addr_parse(span_of(text), &head.client);
        snprintf(text, sizeof text, "flood%u-%u@example.test", params->slot, sent);
        if (query_send(params->ask[QUERY_FIRST], &head, span_of(text),
                       floods == QUERY_PASSWORD ? SPAN("guess") : (struct span){0}) < 0)
            return;
        if (++sent % 1000 == 0)
            log_info("door: %u queries", sent);
    }
}

int __wrap_queries_open(struct worker *w)
{
    params = w->params;
    listener = fcntl(params->listener[0].fd, F_DUPFD_CLOEXEC, 0);
    if (getenv("MIRED_DOOR"))
        wait_for_signals();
    flood_alarm.due = flood;
    loop_alarm(&w->loop, &flood_alarm, w->loop.now);
    return __real_queries_open(w);
}

void __wrap_listening_replace(struct worker *w, struct note *n)
{
    listener = n->fd[0];
    __real_listening_replace(w, n);
    log_info("door: another listener has come");
}

static void flood_directories(int signal_number)
{
    floods = QUERY_RECIPIENT;
}

static void flood_verifiers(int signal_number)
{
    floods = QUERY_PASSWORD;
}

static void shut_sockets(int signal_number)
{
    int done = 0;

    for (int i = 0; i < QUERY_QUEUES; i++)
        done += shutdown(params->ask[i], SHUT_WR) == 0;
    for (uint32_t i = 0; i < params->clerks; i++)
        done += shutdown(params->own[i], SHUT_WR) == 0;
    done += shutdown(params->answer, SHUT_WR) == 0;
    if (params->freezer >= 0)
        done += shutdown(params->freezer, SHUT_WR) == 0;
    log_info("door: %d sockets are shut", done);
}

static void end_listening(int signal_number)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};

    (void)!connect(listener, &none, sizeof none);
}

static void take_connections(int signal_number)
{
    struct sock_filter first[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog program = {1, first};
    int error =
        setsockopt(listener, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);

    log_info("door: a filter for all listeners: %s", strerrorname_np(error ? errno : 0));
    error = setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    log_info("door: a filter for one listener: %s", strerrorname_np(error ? errno : 0));
}

static void close_channel(int signal_number)
{
    close(params->control);
    log_info("door: the channel is closed");
}

static void send_notes(int signal_number)
{
    for (;;)
        (void)channel_tell(params->control, NOTE_RELOAD, 0, 0, "x");
}

static void send_connections(int signal_number)
{
    connects = true;
}

/* Accepted sockets inherit it: nothing is read before so many octets have come. */
static void slow_listeners(int signal_number)
{
    int octets = 1 << 20;

    for (uint32_t i = 0; i < params->listeners; i++)
        setsockopt(params->listener[i].fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof octets);
    log_info("door: the listeners wait for %d octets", octets);
}

/* Each note that web gets from a worker, with descriptors that nobody asked for. */
static void send_descriptors(int signal_number)
{
    static const uint32_t kinds[] = {NOTE_BACKEND, NOTE_CONNECTIONS_TOLD, NOTE_PONG};
    struct note n = {.len = 6, .text = "x down", .fds = NOTE_FDS};

    for (int i = 0; i < NOTE_FDS; i++)
        n.fd[i] = params->control;
    for (int i = 0; i < 3000; i++) {
        n.kind = kinds[i % 3];
        while (channel_send(params->control, &n) == -EAGAIN)
            poll(NULL, 0, 1);
    }
    log_info("door: 12000 descriptors are sent");
}

static void wait_for_signals(void)
{
    static void (*const deeds[])(int signal_number) = {
        shut_sockets,      end_listening,   take_connections, close_channel,    send_notes,
        flood_directories, flood_verifiers, send_connections, send_descriptors, slow_listeners};

    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        sigaction(SIGRTMIN + 1 + (int)i,
                  &(struct sigaction){.sa_handler = deeds[i], .sa_flags = SA_RESTART}, NULL);
}

/* ---- what the keeper reads ---- */

static bool confined; /* this process is */

bool __real_proposals_read(struct proposals *p, struct proposal *out);
bool __wrap_proposals_read(struct proposals *p, struct proposal *out);
bool __real_proposals_read_again(const struct proposals *p, uint32_t *at, struct proposal *out);
bool __wrap_proposals_read_again(const struct proposals *p, uint32_t *at, struct proposal *out);

/* Rings are memory: no system call shows when a keeper reads what workers have proposed. */
static void note_reading(void)
{
    static bool said;

    if (!said)
        log_info("door: proposals are read %s the sandbox", confined ? "inside" : "before");
    said = true;
}

bool __wrap_proposals_read(struct proposals *p, struct proposal *out)
{
    note_reading();
    return __real_proposals_read(p, out);
}

bool __wrap_proposals_read_again(const struct proposals *p, uint32_t *at, struct proposal *out)
{
    note_reading();
    return __real_proposals_read_again(p, at, out);
}

static void attack(void)
{
    write_file("ledger", &ledger->file);
    write_file("mixed answers", mixed);
    write_memory("offers", (void *)params->auth,
                 (1 + params->config->auth_count) * sizeof *params->auth);
    propose();
    log_info("door: proposed");
}

void sandbox_door(void)
{
    const char *who = getenv("MIRED_DOOR"), *control = getenv("MIRED_DOOR_CONTROL");
    char name[16] = "";

    confined = true;
    puppet_wait();
    prctl(PR_GET_NAME, name, 0, 0, 0);
    if (!who || strncmp(name, who, strlen(who)) != 0)
        return;
    if (control)
        give_command(control);
    else if (ledger && mixed)
        attack();
}
