/* sink: the backend of the benchmarks. Takes every message, keeps none, and counts them.
 *
 *   sink HOST:PORT
 *
 * Cheap enough not to be what is measured: one process, one loop, one read buffer for all, one
 * write for the replies to whatever a read brought. It does as much SMTP as relays need: EHLO with
 * PIPELINING, SIZE and 8BITMIME, and DATA. One word of its own, XCOUNT, answers with the messages
 * taken so far. Ends on SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/loop.h"
#include "base/sockaddr.h"

enum { LINE_MAX_OCTETS = 1024, REPLIES_MAX = 64 * 1024 };

struct client {
    struct watch watch;
    bool in_data, quits;
    uint8_t matched;   /* octets of "\r\n.\r\n" seen last */
    uint16_t line_len; /* of a command that came in parts */
    char line[LINE_MAX_OCTETS];
};

static struct loop loop;
static char input[256 * 1024];
static char replies[REPLIES_MAX];
static size_t replies_len;
static unsigned long messages;

static void reply(const char *text)
{
    size_t n = strlen(text);

    if (replies_len + n <= sizeof replies) {
        memcpy(replies + replies_len, text, n);
        replies_len += n;
    }
}

static void drop(struct client *c)
{
    loop_forget(&loop, &c->watch);
    close(c->watch.fd);
    free(c);
}

static void command(struct client *c, struct span line)
{
    char count[64];

    if (span_starts_fold(line, SPAN("EHLO"))) {
        reply("250-sink\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250 8BITMIME\r\n");
    } else if (span_starts_fold(line, SPAN("DATA"))) {
        reply("354 go on\r\n");
        c->in_data = true;
        c->matched = 2; /* a dot may follow at once: the message is empty */
    } else if (span_starts_fold(line, SPAN("QUIT"))) {
        reply("221 bye\r\n");
        c->quits = true;
    } else if (span_starts_fold(line, SPAN("XCOUNT"))) {
        snprintf(count, sizeof count, "250 %lu\r\n", messages);
        reply(count);
    } else {
        reply("250 ok\r\n");
    }
}

/* Returns how much of `at` belongs to the message. */
static size_t swallow(struct client *c, const char *at, size_t n)
{
    static const char end[] = "\r\n.\r\n";
    size_t i = 0;

    while (i < n) {
        if (c->matched == 0) {
            const char *cr = memchr(at + i, '\r', n - i);
            if (!cr)
                return n;
            i = (size_t)(cr - at);
        }
        if (at[i] == end[c->matched])
            c->matched++;
        else
            c->matched = at[i] == '\r';
        i++;
        if (c->matched == sizeof end - 1) {
            c->in_data = false;
            messages++;
            reply("250 taken\r\n");
            break;
        }
    }
    return i;
}

/* Returns how much of `at` was used: one command line, or all of an incomplete one, which is kept.
 */
static size_t obey(struct client *c, const char *at, size_t n)
{
    const char *newline = memchr(at, '\n', n);
    size_t used = newline ? (size_t)(newline - at) + 1 : n;

    if (!newline || c->line_len) {
        size_t room = sizeof c->line - c->line_len, part = used < room ? used : room;
        memcpy(c->line + c->line_len, at, part);
        c->line_len += (uint16_t)part;
        if (newline) {
            command(c, (struct span){c->line, c->line_len});
            c->line_len = 0;
        }
    } else {
        command(c, (struct span){at, used});
    }
    return used;
}

static void client_ready(struct loop *l, struct watch *w, uint32_t events)
{
    struct client *c = (struct client *)w;
    ssize_t n = recv(w->fd, input, sizeof input, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    replies_len = 0;
    for (size_t at = 0; at < (size_t)n;)
        at += c->in_data ? swallow(c, input + at, (size_t)n - at)
                         : obey(c, input + at, (size_t)n - at);
    /* Short replies into an empty socket: what does not fit at once comes from a client that does
     * not read. */
    if (replies_len &&
        send(w->fd, replies, replies_len, MSG_NOSIGNAL | MSG_DONTWAIT) < (ssize_t)replies_len)
        drop(c);
    else if (c->quits)
        drop(c);
}

static void listener_ready(struct loop *l, struct watch *w, uint32_t events)
{
    static const char greeting[] = "220 sink\r\n";
    int on = 1, fd;

    while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (c) {
            c->watch = (struct watch){.ready = client_ready, .fd = fd, .events = EPOLLIN};
            if (loop_watch(l, &c->watch) == 0 &&
                send(fd, greeting, sizeof greeting - 1, MSG_NOSIGNAL) > 0)
                continue;
        }
        close(fd);
        free(c);
    }
}

static void stop(int signal)
{
    loop.stop = true;
}

int main(int argc, char **argv)
{
    struct addr a;
    struct sockaddr_storage sa;
    int on = 1, fd = -1;

    if (argc != 2 || !addr_parse_port(span_of(argv[1]), &a)) {
        fprintf(stderr, "usage: sink HOST:PORT\n");
        return 2;
    }
    socklen_t len = addr_to_sockaddr(&a, &sa);
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4096) < 0 || loop_open(&loop) < 0) {
        perror(argv[1]);
        return 1;
    }
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = stop}, NULL);
    struct watch listener = {.ready = listener_ready, .fd = fd, .events = EPOLLIN};
    loop_watch(&loop, &listener);
    loop_run(&loop);
    return 0;
}
