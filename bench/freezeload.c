/* freezeload: clients that wait without a socket of their own. Each asks a server for a recipient
 * that it refuses, is then taken out of the kernel as the server's side is (src/freezer/tcp.h), is put
 * back shortly before its answer is due, and must hear it. So millions fit on one machine.
 *
 *   freezeload [options] 127.x.y.z:PORT
 *     -n N   connections in all (1000)        -j N   processes (1)
 *     -o N   opened at once, each process (128)
 *     -h S   the server's hold in seconds (10)
 *     -s S   open none after so many seconds (0: all N, however long it takes)
 *     -k     keep the sockets: nothing is frozen on this side
 *     -c     one client: all from 127.1.0.1, and to as many addresses of the server, from 127.x.y.z
 *            on, as that takes
 *     -f     ask for recipients of a foreign domain, which no directory is asked about
 *
 *   freezeload -b
 *     what the kernel asks for freezing and thawing at all, in CPU us a connection, call by call
 *     and in a ring (src/freezer/calls.h); and how much of it is the way into the kernel and back
 *
 * Prints a line of JSON each second, and a last one with "final":true. A client's address and port
 * are its own for the whole run: one of the kernel's choice could be a frozen client's. Wants a
 * network namespace where resets towards PORT are dropped, for a frozen client has no socket that
 * could answer. Ends by itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/loop.h"
#include "base/sockaddr.h"
#include "freezer/tcp.h"
#include "options.h"

enum {
    PORTS = 50000, /* of one address, from FIRST_PORT on */
    FIRST_PORT = 10000,
    QUIET_MS = 120,     /* after which both kernels have acknowledged what was said */
    LEAD_MS = 1000,     /* put back so long before the answer is due */
    GIVE_UP_MS = 30000, /* after that it will not come */
    BIN_MS = 10,
    BINS = GIVE_UP_MS / BIN_MS,
    DESCRIPTORS_SPARE = 64,
    BARE_TURNS = 1000,
    /* Of each connection: 11 of tcp_freeze(), 2 of tcp_leave(), 13 of tcp_thaw(). The freezer makes
     * one more, because it closes its copy of a descriptor that it has passed to a worker. */
    BARE_CALLS = 26,
};

enum step { GREETED, SAID_EHLO, SAID_RCPT, ASKED, TOLD };

/* Shared by all processes; each adds. */
struct counters {
    _Atomic long opened, asked, frozen, live, right, wrong, lost, failed, early;
    _Atomic long late[BINS + 1];
};

struct client { /* one of millions */
    struct tcp_frozen tcp;
    uint32_t asked_ms; /* since the start */
};

struct live { /* one that has a socket */
    struct watch watch;
    struct alarm alarm;
    struct live *next_free;
    uint32_t id;
    uint8_t step;
    uint16_t len;
    char text[500];
};

static struct {
    long connections, processes, at_once, hold_s, opening_s;
    bool keep, one_client, foreign;
    struct addr server;
} o = {.connections = 1000, .processes = 1, .at_once = 128, .hold_s = 10};

static struct counters *count;
static struct loop loop;
static struct calls *calls;
static struct client *clients;
static uint32_t *order; /* ids in the order in which they were frozen, and so are due */
static struct live *lives, *free_lives;
static struct live *quiet[TCP_JOBS]; /* to be frozen, together */
static size_t quiets;
static long spare; /* of those */
static long first, mine, next, opening, frozen, thawed, ended;
static uint64_t start_ms;

static uint32_t now_ms(void)
{
    return (uint32_t)(loop.now - start_ms);
}

/* ---- One client ---- */

static void say(struct live *l, const char *text)
{
    (void)!send(l->watch.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void rest(struct live *l)
{
    for (size_t i = 0; i < quiets; i++)
        if (quiet[i] == l)
            quiet[i] = quiet[--quiets];
    loop_alarm_off(&loop, &l->alarm);
    if (l->watch.fd >= 0) {
        loop_forget(&loop, &l->watch);
        close(l->watch.fd);
    }
    l->next_free = free_lives;
    free_lives = l;
    spare++;
    count->live--;
}

static void finish(struct live *l, _Atomic long *what)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0}; /* orderly endings would need more time */

    setsockopt(l->watch.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    opening -= l->step < ASKED;
    (*what)++;
    ended++;
    rest(l);
}

static void freeze_quiet(void)
{
    struct tcp_job job[TCP_JOBS];
    struct live *live[TCP_JOBS];
    size_t n = quiets;

    memcpy(live, quiet, sizeof live);
    quiets = 0;
    for (size_t i = 0; i < n; i++)
        job[i] = (struct tcp_job){.fd = live[i]->watch.fd, .tcp = &clients[live[i]->id].tcp};
    tcp_freeze(calls, job, n);
    tcp_leave(calls, job, n);
    for (size_t i = 0; i < n; i++) {
        struct live *l = live[i];
        if (job[i].result < 0) {
            loop_alarm(&loop, &l->alarm, loop.now + QUIET_MS);
            continue;
        }
        order[frozen++] = l->id;
        count->frozen++;
        l->watch.fd = -1; /* closed, and so no longer watched */
        rest(l);
    }
}

static void try_freeze(struct live *l)
{
    if (quiets == TCP_JOBS)
        freeze_quiet();
    quiet[quiets++] = l;
}

static void alarm_due(struct loop *lp, struct alarm *a)
{
    struct live *l = container_of(a, struct live, alarm);

    if (l->step == ASKED && !o.keep &&
        now_ms() + LEAD_MS < clients[l->id].asked_ms + (uint32_t)o.hold_s * 1000)
        try_freeze(l);
    else if (l->step == ASKED && now_ms() < clients[l->id].asked_ms + o.hold_s * 1000)
        loop_alarm(&loop, &l->alarm, loop.now + (uint64_t)o.hold_s * 1000 + GIVE_UP_MS);
    else
        finish(l, &count->lost);
}

static void told(struct live *l)
{
    long late = (long)now_ms() - clients[l->id].asked_ms - o.hold_s * 1000;

    if (late < -BIN_MS)
        count->early++;
    count->late[late < 0 ? 0 : late / BIN_MS < BINS ? late / BIN_MS : BINS]++;
    const char *refusal = o.foreign ? "550 5.7.1" : "550 5.1.1";
    finish(l, memcmp(l->text, refusal, strlen(refusal)) == 0 ? &count->right : &count->wrong);
}

/* A whole reply's last line. False when the client is gone. */
static bool answered(struct live *l)
{
    char line[128];

    if (l->step == ASKED) {
        told(l);
        return false;
    }
    if (l->text[0] != '2') {
        finish(l, &count->failed);
        return false;
    }
    l->step++;
    if (l->step == SAID_EHLO) {
        say(l, "EHLO load.test\r\n");
    } else if (l->step == SAID_RCPT) {
        snprintf(line, sizeof line, "MAIL FROM:<a@load.test>\r\nRCPT TO:<u%ld@%s.test>\r\n",
                 first + l->id, o.foreign ? "foreign" : "example");
        say(l, line);
    } else {
        opening--;
        count->asked++;
        clients[l->id].asked_ms = now_ms();
        loop_alarm(&loop, &l->alarm, loop.now + QUIET_MS);
    }
    return true;
}

static void live_ready(struct loop *lp, struct watch *w, uint32_t events)
{
    struct live *l = (struct live *)w;
    ssize_t n = recv(w->fd, l->text + l->len, sizeof l->text - l->len, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        finish(l, l->step < ASKED ? &count->failed : &count->lost);
        return;
    }
    l->len += (uint16_t)n;
    char *at = l->text, *end;
    while ((end = memchr(at, '\n', (size_t)(l->text + l->len - at)))) {
        bool last = end - at > 3 && at[3] == ' ';
        l->len -= (uint16_t)(end + 1 - at);
        memmove(l->text, last ? at : l->text, last ? (size_t)(end + 1 - at) : 0);
        if (last && !answered(l))
            return;
        memmove(l->text, end + 1, l->len);
        at = l->text;
    }
}

/* Takes a descriptor in; false when there is no room for it, and it is closed. */
static struct live *watch(int fd, uint32_t id, enum step step)
{
    struct live *l = free_lives;

    *l = (struct live){.watch = {.ready = live_ready, .fd = fd, .events = EPOLLIN},
                       .alarm = {.due = alarm_due},
                       .next_free = l->next_free,
                       .id = id,
                       .step = (uint8_t)step};
    if (loop_watch(&loop, &l->watch) < 0) {
        close(fd);
        return NULL;
    }
    free_lives = l->next_free;
    spare--;
    count->live++;
    return l;
}

static bool open_client(uint32_t id)
{
    long number = first + id;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(FIRST_PORT + number % PORTS)),
                               .sin_addr.s_addr = htonl(0x7f010001u)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(o.server.port)};
    uint32_t further = (uint32_t)(number / PORTS), server;

    memcpy(&server, o.server.octets, sizeof server);
    to.sin_addr.s_addr = htonl(ntohl(server) + (o.one_client ? further : 0));
    if (!o.one_client)
        from.sin_addr.s_addr = htonl(0x7f010001u + further);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)) {
        close(fd);
        return false;
    }
    if (!watch(fd, id, GREETED))
        return false;
    opening++;
    count->opened++;
    return true;
}

static bool thaw_is_due(void)
{
    return thawed < frozen &&
           now_ms() + LEAD_MS >= clients[order[thawed]].asked_ms + (uint32_t)o.hold_s * 1000;
}

/* The next ones that are due; returns how many they were. */
static size_t thaw_some(void)
{
    struct tcp_job job[TCP_JOBS];
    uint32_t id[TCP_JOBS];
    size_t n = 0;

    for (; n < TCP_JOBS && thaw_is_due(); n++) {
        id[n] = order[thawed++];
        job[n].tcp = &clients[id[n]].tcp;
        job[n].slept_ms = loop.now - start_ms - clients[id[n]].asked_ms - QUIET_MS;
    }
    tcp_thaw(calls, job, n);
    for (size_t i = 0; i < n; i++) {
        struct live *l = job[i].result < 0 ? NULL : watch(job[i].fd, id[i], ASKED);
        count->frozen--;
        if (l) {
            loop_alarm(&loop, &l->alarm, loop.now + LEAD_MS + GIVE_UP_MS);
        } else {
            count->lost++;
            ended++;
        }
    }
    return n;
}

/* ---- One process ---- */

static void work(void)
{
    if (o.opening_s && now_ms() > (uint32_t)o.opening_s * 1000)
        mine = next;
    while (next < mine && opening < o.at_once && free_lives) {
        if (!open_client((uint32_t)next++)) {
            count->failed++;
            ended++;
        }
    }
    freeze_quiet();
    while (spare > TCP_JOBS && thaw_some() > 0)
        ;
}

static int run_process(long index, long descriptors)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    first = o.connections * index / o.processes;
    mine = o.connections * (index + 1) / o.processes - first;
    clients = calloc((size_t)mine + 1, sizeof *clients);
    order = calloc((size_t)mine + 1, sizeof *order);
    lives = calloc((size_t)descriptors, sizeof *lives);
    calls = calls_open();
    if (!clients || !order || !lives || !calls || loop_open(&loop) < 0)
        return 1;
    spare = descriptors;
    for (long i = descriptors; i-- > 0; free_lives = &lives[i])
        lives[i].next_free = free_lives;
    while (ended < mine) {
        work();
        loop_turn(&loop, 10);
    }
    return 0;
}

/* ---- The bare kernel ---- */

static double cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int open_pairs(int fd[TCP_JOBS])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (bind(listener, (struct sockaddr *)&a, len) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&a, &len) < 0)
        return -1;
    for (size_t i = 0; i < TCP_JOBS; i++) {
        int peer = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(peer, (struct sockaddr *)&a, len) < 0 ||
            (fd[i] = accept(listener, NULL, NULL)) < 0)
            return -1;
    }
    return 0;
}

/* CPU us to freeze and thaw one; negative: it does not go. */
static double turns(const int fd[TCP_JOBS])
{
    struct tcp_frozen frozen_as[TCP_JOBS];
    struct tcp_job job[TCP_JOBS];

    for (size_t k = 0; k < TCP_JOBS; k++)
        job[k] = (struct tcp_job){.fd = fd[k], .tcp = &frozen_as[k]};
    double begin = cpu_us();
    for (int i = 0; i < BARE_TURNS; i++) {
        tcp_freeze(calls, job, TCP_JOBS);
        tcp_leave(calls, job, TCP_JOBS);
        for (size_t k = 0; k < TCP_JOBS; k++)
            if (job[k].result < 0)
                return -1;
        tcp_thaw(calls, job, TCP_JOBS);
    }
    return (cpu_us() - begin) / BARE_TURNS / TCP_JOBS;
}

static int bare(void)
{
    int ring_fd[TCP_JOBS], plain_fd[TCP_JOBS];

    calls = calls_open();
    if (!calls || open_pairs(ring_fd) < 0 || open_pairs(plain_fd) < 0)
        return 1;
    double begin = cpu_us();
    for (int i = 0; i < BARE_TURNS * 20; i++)
        syscall(SYS_getppid);
    double empty = (cpu_us() - begin) / BARE_TURNS / 20;
    double ring = calls_have_ring(calls) ? turns(ring_fd) : 0;
    calls_drop_ring(calls);
    double plain = turns(plain_fd);
    if (ring < 0 || plain < 0)
        return 1;
    printf("{\"bare_us\":%.2f,\"ring_us\":%.2f,\"calls\":%d,\"empty_call_us\":%.3f}\n", plain, ring,
           BARE_CALLS, empty);
    return 0;
}

/* ---- The parent ---- */

static long percentile(double p)
{
    long total = 0, seen = 0;

    for (int i = 0; i <= BINS; i++)
        total += count->late[i];
    for (int i = 0; i <= BINS; i++) {
        seen += count->late[i];
        if (seen && (double)seen >= p * (double)total)
            return (long)i * BIN_MS;
    }
    return 0;
}

static void report(bool final)
{
    printf("{\"seconds\":%.1f,\"opened\":%ld,\"asked\":%ld,\"frozen\":%ld,\"live\":%ld,"
           "\"right\":%ld,\"wrong\":%ld,\"lost\":%ld,\"failed\":%ld,\"early\":%ld,"
           "\"late_p50_ms\":%ld,\"late_p99_ms\":%ld,\"late_max_ms\":%ld,\"final\":%s}\n",
           (double)(clock_mono_ms() - start_ms) / 1000, count->opened, count->asked, count->frozen,
           count->live, count->right, count->wrong, count->lost, count->failed, count->early,
           percentile(0.5), percentile(0.99), percentile(1), final ? "true" : "false");
    fflush(stdout);
}

static const struct option_row rows[] = {{'n', OPTION_COUNT, "N", &o.connections, 1},
                                         {'j', OPTION_COUNT, "N", &o.processes, 1},
                                         {'o', OPTION_COUNT, "N", &o.at_once, 1},
                                         {'h', OPTION_COUNT, "S", &o.hold_s, 2},
                                         {'s', OPTION_COUNT, "S", &o.opening_s, 0},
                                         {'k', OPTION_FLAG, NULL, &o.keep},
                                         {'c', OPTION_FLAG, NULL, &o.one_client},
                                         {'f', OPTION_FLAG, NULL, &o.foreign},
                                         {0}};

int main(int argc, char **argv)
{
    struct rlimit limit;

    if (argc == 2 && strcmp(argv[1], "-b") == 0)
        return bare(); /* what the calls cost by themselves; nothing is sent */
    if (!options_read(argc, argv, rows, &o.server))
        return 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == MAP_FAILED)
        return 1;
    start_ms = clock_mono_ms();
    for (long i = 0; i < o.processes; i++)
        if (fork() == 0)
            _exit(run_process(i, (long)limit.rlim_cur - DESCRIPTORS_SPARE));
    /* Its children end when they have heard of every connection, or given it up. */
    for (long running = o.processes; running > 0; report(running == 0)) {
        sleep(1);
        while (running > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            running--;
    }
    return 0;
}
