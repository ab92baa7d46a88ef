/* holdload: clients that wait. Opens connections from many loopback addresses, drives each to an
 * unknown recipient and counts how many are kept waiting for the answer.
 *
 *   holdload [options] HOST:PORT
 *     -n N   connections in all (1000)
 *     -j N   processes (as many as the limit of descriptors asks for)
 *     -a A   source addresses from A on (127.1.0.1)
 *     -c N   how many addresses (1)
 *     -g N   so many addresses in a network, the /24; the next one has the next N (all that fit)
 *     -t S   ends after S seconds (30)
 *     -o N   connections opened at once, each process (256)
 *     -r R   the recipient's domain (example.test)
 *     -H     harvest: ask the next name after each answer
 *
 * Prints a line of JSON each second, and a last one with "final":true. One process holds at most
 * what RLIMIT_NOFILE allows; they share their counters. Loopback only; ends by itself, or on
 * SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/loop.h"
#include "base/sockaddr.h"
#include "options.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { TENTHS = 6000, DESCRIPTORS_SPARE = 64 };

enum step { GREETED, SAID_EHLO, SAID_MAIL, SAID_RCPT, TOLD };

/* Shared by all processes; each adds. */
struct counters {
    _Atomic long opened, held, answered[10], closed, refused, failed, lines;
    _Atomic long waited[TENTHS]; /* answers by the tenths of a second that they took */
};

struct client {
    struct watch watch;
    uint8_t step;
    uint8_t line_len; /* octets of the reply line that is coming in, as far as they matter */
    char line[4];
    uint32_t asked_ms; /* since the start */
    uint32_t asks;
};

static struct {
    long connections, processes, addresses, together, at_once, seconds;
    bool harvest;
    struct addr server, source;
    const char *domain;
} o = {
    .connections = 1000, .addresses = 1, .at_once = 256, .seconds = 30, .domain = "example.test"};

static struct counters *count;
static struct loop loop;
static struct client *clients;
static long first, mine, next, opening; /* of this process */
static uint64_t start_ms, end_ms;

static void stop(int signal)
{
    loop.stop = true;
}

/* ---- One client ---- */

static void say(struct client *c, const char *text)
{
    if (send(c->watch.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        count->failed++; /* the end of the connection follows and is counted there */
}

static void ask(struct client *c)
{
    char line[300];

    snprintf(line, sizeof line, "RCPT TO:<u%ld.%u@%s>\r\n", first + (c - clients), c->asks++,
             o.domain);
    c->step = SAID_RCPT;
    c->asked_ms = (uint32_t)(loop.now - start_ms);
    count->held++;
    say(c, line);
}

static void finish(struct client *c)
{
    loop_forget(&loop, &c->watch);
    close(c->watch.fd);
    c->watch.fd = -1;
    if (c->step < SAID_RCPT)
        opening--;
    else if (c->step == SAID_RCPT)
        count->held--;
    count->opened--;
}

static void told(struct client *c, char class)
{
    uint32_t tenths = (uint32_t)(loop.now - start_ms - c->asked_ms + 50) / 100;

    count->waited[tenths < TENTHS ? tenths : TENTHS - 1]++;
    count->answered[class >= '0' && class <= '9' ? class - '0' : 0]++;
    count->held--;
    c->step = TOLD;
    if (o.harvest)
        ask(c);
}

/* False when it is gone. */
static bool answered(struct client *c, char class)
{
    if (c->step < SAID_RCPT && class != '2') {
        count->refused++;
        finish(c);
        return false;
    }
    switch (c->step) {
    case GREETED:
        c->step = SAID_EHLO;
        say(c, "EHLO load.test\r\n");
        break;
    case SAID_EHLO:
        c->step = SAID_MAIL;
        say(c, "MAIL FROM:<a@load.test>\r\n");
        break;
    case SAID_MAIL:
        opening--;
        ask(c);
        break;
    case SAID_RCPT: told(c, class); break;
    default: break;
    }
    return true;
}

static void client_ready(struct loop *l, struct watch *w, uint32_t events)
{
    struct client *c = (struct client *)w;
    char text[4096];
    ssize_t n = recv(w->fd, text, sizeof text, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        count->closed += c->step != GREETED;
        count->refused += c->step == GREETED;
        finish(c);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (c->line_len < sizeof c->line)
            c->line[c->line_len++] = text[i];
        if (text[i] != '\n')
            continue;
        bool last = c->line_len < 4 || c->line[3] != '-';
        count->lines += c->step == SAID_RCPT;
        c->line_len = 0;
        if (last && !answered(c, c->line[0]))
            return;
    }
}

/* The address of a number, counted from the first one. */
static struct addr address_of(long index)
{
    struct addr source = o.source;
    uint32_t number;

    if (o.together)
        index = index / o.together * 256 + index % o.together;
    memcpy(&number, source.octets, sizeof number);
    number = htonl(ntohl(number) + (uint32_t)index);
    memcpy(source.octets, &number, sizeof number);
    return source;
}

static bool open_client(struct client *c)
{
    struct sockaddr_storage to, from;
    socklen_t to_len = addr_to_sockaddr(&o.server, &to), from_len;
    struct addr source = address_of((first + (c - clients)) % o.addresses);
    int on = 1, fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    from_len = addr_to_sockaddr(&source, &from);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    *c = (struct client){.watch = {.ready = client_ready, .fd = fd, .events = EPOLLIN}};
    if (bind(fd, (struct sockaddr *)&from, from_len) < 0 ||
        (connect(fd, (struct sockaddr *)&to, to_len) < 0 && errno != EINPROGRESS) ||
        loop_watch(&loop, &c->watch) < 0) {
        close(fd);
        c->watch.fd = -1;
        return false;
    }
    opening++;
    count->opened++;
    return true;
}

/* ---- One process ---- */

static int run_process(long index)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    first = o.connections * index / o.processes;
    mine = o.connections * (index + 1) / o.processes - first;
    clients = calloc((size_t)mine + 1, sizeof *clients);
    if (!clients || loop_open(&loop) < 0)
        return 1;
    while (!loop.stop && loop.now < end_ms) {
        while (next < mine && opening < o.at_once) {
            if (!open_client(&clients[next]))
                count->failed++;
            next++;
        }
        loop_turn(&loop, 100);
    }
    /* A million orderly endings would take longer than the test: reset them. */
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    for (long i = 0; i < next; i++)
        if (clients[i].watch.fd >= 0)
            setsockopt(clients[i].watch.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    return 0;
}

/* ---- The parent ---- */

static double percentile(double p)
{
    long total = 0, seen = 0;

    for (int i = 0; i < TENTHS; i++)
        total += count->waited[i];
    for (int i = 0; i < TENTHS; i++) {
        seen += count->waited[i];
        if (seen && (double)seen >= p * (double)total)
            return i / 10.0;
    }
    return 0;
}

static void report(bool final)
{
    printf("{\"seconds\":%.1f,\"opened\":%ld,\"held\":%ld,\"r2xx\":%ld,\"r4xx\":%ld,\"r5xx\":%ld,"
           "\"closed\":%ld,"
           "\"refused\":%ld,\"failed\":%ld,\"lines\":%ld,\"wait_p50\":%.1f,\"wait_p99\":%.1f,"
           "\"wait_max\":%.1f,"
           "\"final\":%s}\n",
           (double)(clock_mono_ms() - start_ms) / 1000, count->opened, count->held,
           count->answered[2], count->answered[4], count->answered[5], count->closed,
           count->refused, count->failed, count->lines, percentile(0.5), percentile(0.99),
           percentile(1), final ? "true" : "false");
    fflush(stdout);
}

static const struct option_row rows[] = {
    {'n', OPTION_COUNT, "N", &o.connections, 1}, {'j', OPTION_COUNT, "N", &o.processes, 1},
    {'a', OPTION_ADDRESS, "ADDRESS", &o.source}, {'c', OPTION_COUNT, "N", &o.addresses, 1},
    {'g', OPTION_COUNT, "N", &o.together, 0},    {'t', OPTION_COUNT, "S", &o.seconds, 1},
    {'o', OPTION_COUNT, "N", &o.at_once, 1},     {'r', OPTION_TEXT, "DOMAIN", &o.domain},
    {'H', OPTION_FLAG, NULL, &o.harvest},        {0}};

/* The soft limit goes up to the hard one; the number of processes follows from it. */
static void share_out(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    long each = (long)limit.rlim_cur - DESCRIPTORS_SPARE;
    if (!o.processes)
        o.processes = (o.connections + each - 1) / each;
}

int main(int argc, char **argv)
{
    addr_parse(SPAN("127.1.0.1"), &o.source);
    if (!options_read(argc, argv, rows, &o.server))
        return 2;
    share_out();
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t *child = calloc((size_t)o.processes, sizeof *child);
    if (count == MAP_FAILED || !child)
        return 1;
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = stop}, NULL);
    start_ms = clock_mono_ms();
    end_ms = start_ms + (uint64_t)o.seconds * 1000;
    for (long i = 0; i < o.processes; i++) {
        child[i] = fork();
        if (child[i] == 0)
            _exit(run_process(i));
    }
    while (!loop.stop && clock_mono_ms() < end_ms) {
        sleep(1); /* a signal ends it */
        report(false);
    }
    report(true);
    for (long i = 0; i < o.processes; i++)
        if (child[i] > 0)
            kill(child[i], SIGTERM);
    while (wait(NULL) > 0)
        ;
    return 0;
}
