/* mailload: good mail for the benchmarks, with the time that each message took.
 *
 *   mailload [options] HOST:PORT
 *     -s N        sessions at once (20)
 *     -z OCTETS   size of a message (4096)
 *     -m          a mix of sizes, as real mail has it (message.h)
 *     -l RATE     send each message at so many octets a second (as fast as it goes)
 *     -T          TLS 1.3 from the first octet
 *     -t S        begin messages for S seconds (5)
 *     -w S        seconds before that that do not count (1)
 *     -n N        or: N messages and no warming up
 *     -b RATE     at most so many new connections a second (as many as there can be)
 *     -k          keep connections; else a new one a message
 *     -a A        source addresses from A on (127.0.2.1), one a session: ports do not run out
 *     -f, -r      sender and recipient
 *     -x N        in place of that recipient N of them: box0, box1 and so on of the same domain;
 *                 a session keeps its own
 *     -p          MAIL, RCPT and DATA in one packet
 *     -u FILE     each message has a name ("X-Name: N"), and FILE gets a line "N CODE" with what
 *                 became of it; 0: the connection ended first
 *
 * Prints one line of JSON. A message's time runs from connect() (kept: from MAIL) to the 250 after
 * its data; with new connections a session also waits for the answer to its QUIT before it opens
 * the next one, as mail servers do. Loopback only; ends by itself, or sooner on SIGTERM. One
 * thread, for one is enough to load two cores of relays. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/container.h"
#include "base/loop.h"
#include "base/sockaddr.h"
#include "message.h"
#include "options.h"
#include "wire.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { SLOW_TICK_MS = 50 };

enum step { GREETED, SAID_EHLO, SAID_MAIL, SAID_RCPT, SAID_DATA, SENT_MESSAGE, SAID_QUIT };

struct session {
    struct watch watch;
    struct wire wire;
    struct alarm alarm; /* -b: it waits for its turn to begin; -l: for its next octets */
    enum step step;
    int index;
    uint32_t line_len;
    uint64_t begun_us;
    long name;              /* -u: of the message in hand; 0: there is none */
    struct span text;       /* of the message in hand, without the final dot */
    size_t sent, end;       /* octets of it, the final dot included, that have gone; all of them */
    uint64_t seed, data_us; /* -m; -l: when the first octet has gone */
    char line[512];         /* the last, incomplete line of a reply */
};

static struct {
    long sessions, size, seconds, warm, count, rate, octets_rate, boxes;
    bool keep, pipeline, mix, tls;
    struct addr server, source;
    const char *from, *to;
    const char *outcomes_path;
    FILE *outcomes;
} o = {.sessions = 20,
       .size = 4096,
       .seconds = 5,
       .warm = 1,
       .from = "a@sender.test",
       .to = "b@example.test"};

static struct loop loop;
static SSL_CTX *tls;
static struct buf message, envelope;
static uint64_t start_us, count_from_us, count_until_us;
static long begun, taken, counted, errors, broken;
static uint64_t counted_octets;
static uint32_t *took_us;
static size_t took_len, took_cap;
static int open_sessions;
static volatile sig_atomic_t told_to_end;

static void open_session(struct session *s);

static bool may_begin(void)
{
    if (errors + broken > 1000 || told_to_end)
        return false;
    return o.count ? begun < o.count : clock_mono_us() < count_until_us;
}

static void note_time(uint64_t us)
{
    if (took_len == took_cap) {
        took_cap = took_cap ? took_cap * 2 : 65536;
        took_us = realloc(took_us, took_cap * sizeof *took_us);
        if (!took_us)
            abort();
    }
    took_us[took_len++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static void note_outcome(struct session *s, int code)
{
    if (o.outcomes && s->name)
        fprintf(o.outcomes, "%ld %d\n", s->name, code);
    s->name = 0;
}

static void close_session(struct session *s)
{
    note_outcome(s, 0);
    if (s->watch.fd >= 0) {
        loop_forget(&loop, &s->watch);
        loop_alarm_off(&loop, &s->alarm);
        wire_close(&s->wire);
    }
    s->watch.fd = -1;
    if (--open_sessions == 0)
        loop.stop = true;
}

/* When the next connection may be opened: -b messages a second by all senders together, and no
 * burst after a stall longer than a second's worth. */
static uint64_t next_turn_us(void)
{
    static uint64_t turn_us;
    uint64_t now = clock_mono_us();

    if (turn_us + 1000000 < now)
        turn_us = now;
    turn_us += 1000000 / (uint64_t)o.rate;
    return turn_us;
}

static void turn_has_come(struct loop *l, struct alarm *a)
{
    struct session *s = container_of(a, struct session, alarm);

    open_sessions--;
    if (may_begin())
        open_session(s);
    else
        loop.stop = open_sessions == 0;
}

static void next_session(struct session *s)
{
    close_session(s);
    if (!may_begin())
        return;
    loop.stop = false;
    if (!o.rate) {
        open_session(s);
        return;
    }
    open_sessions++;
    s->alarm = (struct alarm){.due = turn_has_come};
    loop_alarm(&loop, &s->alarm, (next_turn_us() + 999) / 1000);
}

static void say(struct session *s, const char *text, size_t n)
{
    if (wire_send(&s->wire, (struct span){text, n}, (struct span){0}) != (ssize_t)n) {
        broken++;
        s->step = SAID_QUIT; /* the answer, or the end, closes it */
    }
}

static void say_line(struct session *s, const char *text)
{
    say(s, text, strlen(text));
}

/* How many octets of the message may have gone by now. */
static size_t allowed(const struct session *s)
{
    uint64_t octets =
        o.octets_rate ? (clock_mono_us() - s->data_us) * (uint64_t)o.octets_rate / 1000000 : s->end;

    return octets < s->end ? (size_t)octets : s->end;
}

static void send_message(struct session *s);

static void send_more(struct loop *l, struct alarm *a)
{
    send_message(container_of(a, struct session, alarm));
}

static void send_message(struct session *s)
{
    static const struct span dot = {".\r\n", 3};
    size_t until = allowed(s);
    struct span head = {s->text.at + s->sent, 0}, tail = {0};

    if (s->sent < s->text.len)
        head.len = (until < s->text.len ? until : s->text.len) - s->sent;
    if (until > s->text.len)
        tail = span_first(dot, until - s->text.len);
    if (s->sent > s->text.len)
        tail = span_after(tail, s->sent - s->text.len);
    if (head.len + tail.len) {
        ssize_t n = wire_send(&s->wire, head, tail);
        if (n > 0)
            s->sent += (size_t)n;
    }
    bool more = s->sent < s->end;
    if (o.octets_rate && more)
        loop_alarm(&loop, &s->alarm, loop.now + SLOW_TICK_MS);
    else
        loop_want(&loop, &s->watch, more ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void begin_data(struct session *s)
{
    s->text = message_cut(&message, o.mix ? message_mix(&s->seed) : (size_t)o.size);
    s->sent = 0;
    s->end = s->text.len + 3;
    s->data_us = clock_mono_us();
    s->alarm.due = send_more;
    send_message(s);
}

static void begin_message(struct session *s)
{
    char line[600];

    if (!may_begin()) {
        s->step = SAID_QUIT;
        say_line(s, "QUIT\r\n");
        return;
    }
    s->name = ++begun;
    if (o.keep)
        s->begun_us = clock_mono_us();
    s->step = SAID_MAIL;
    if (o.pipeline) {
        say(s, envelope.at, envelope.len);
    } else {
        snprintf(line, sizeof line, "MAIL FROM:<%s>\r\n", o.from);
        say_line(s, line);
    }
}

static void message_taken(struct session *s)
{
    uint64_t now = clock_mono_us();

    note_outcome(s, 250);
    taken++;
    if (now >= count_from_us && now < count_until_us) {
        counted++;
        counted_octets += s->end;
        note_time(now - s->begun_us);
    }
    if (o.keep) {
        begin_message(s);
    } else {
        s->step = SAID_QUIT;
        say_line(s, "QUIT\r\n");
    }
}

/* The last line of a reply has come. False when it was the connection's last, and the session is
 * another. */
static bool answered(struct session *s, char class)
{
    char line[600];
    char wanted = s->step == SAID_DATA ? '3' : '2';

    if (class != wanted && s->step != SAID_QUIT) {
        errors++;
        note_outcome(s, atoi(s->line));
        fprintf(stderr, "mailload: %.*s\n", (int)strcspn(s->line, "\r\n"), s->line);
        s->step = SAID_QUIT;
        say_line(s, "QUIT\r\n");
        return true;
    }
    switch (s->step) {
    case GREETED:
        s->step = SAID_EHLO;
        say_line(s, "EHLO load.test\r\n");
        break;
    case SAID_EHLO: begin_message(s); break;
    case SAID_MAIL:
        s->step = SAID_RCPT;
        if (o.boxes)
            snprintf(line, sizeof line, "RCPT TO:<box%ld%s>\r\n", s->index % o.boxes,
                     o.to + strcspn(o.to, "@"));
        else
            snprintf(line, sizeof line, "RCPT TO:<%s>\r\n", o.to);
        if (!o.pipeline)
            say_line(s, line);
        break;
    case SAID_RCPT:
        s->step = SAID_DATA;
        if (!o.pipeline)
            say_line(s, "DATA\r\n");
        break;
    case SAID_DATA:
        s->step = SENT_MESSAGE;
        if (o.outcomes) {
            snprintf(line, sizeof line, "X-Name: %ld\r\n", s->name);
            say_line(s, line);
        }
        begin_data(s);
        break;
    case SENT_MESSAGE: message_taken(s); break;
    case SAID_QUIT: next_session(s); return false;
    }
    return true;
}

/* False when there is nothing more to read for now, or the session is another. */
static bool read_some(struct session *s)
{
    char text[4096];
    ssize_t n = wire_recv(&s->wire, text, sizeof text);

    if (n < 0) {
        broken += s->step != SAID_QUIT;
        next_session(s);
    }
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n; i++) {
        if (s->line_len < sizeof s->line)
            s->line[s->line_len++] = text[i];
        if (text[i] != '\n')
            continue;
        bool last = s->line_len >= 4 && s->line[3] != '-';
        char class = s->line[0];
        s->line_len = 0;
        if (last && !answered(s, class))
            return false;
    }
    return s->wire.ssl; /* a plain socket would be asked in vain */
}

static void read_replies(struct session *s)
{
    while (read_some(s))
        ;
}

static void session_ready(struct loop *l, struct watch *w, uint32_t events)
{
    struct session *s = (struct session *)w;

    if (events & EPOLLOUT && s->step == SENT_MESSAGE && s->sent < s->end) {
        send_message(s);
    } else if (events & EPOLLOUT && s->step == GREETED) { /* connected: the handshake begins */
        loop_want(&loop, &s->watch, EPOLLIN);
        read_replies(s);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT)
        read_replies(s);
}

static void open_session(struct session *s)
{
    struct sockaddr_storage to, from;
    socklen_t to_len = addr_to_sockaddr(&o.server, &to), from_len;
    struct addr source = o.source;
    int on = 1, fd;

    source.octets[3] = (uint8_t)(source.octets[3] + s->index % 200);
    from_len = addr_to_sockaddr(&source, &from);
    open_sessions++;
    *s = (struct session){.index = s->index, .seed = s->seed, .begun_us = clock_mono_us()};
    fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->watch = (struct watch){
        .ready = session_ready, .fd = fd, .events = o.tls ? EPOLLIN | EPOLLOUT : EPOLLIN};
    if (!wire_open(&s->wire, fd, tls) || bind(fd, (struct sockaddr *)&from, from_len) < 0 ||
        (connect(fd, (struct sockaddr *)&to, to_len) < 0 && errno != EINPROGRESS) ||
        loop_watch(&loop, &s->watch) < 0) {
        perror("mailload: connect");
        exit(1);
    }
}

/* The text of all messages, and the commands before one in one piece. */
static void compose(void)
{
    message_compose(&message, o.from, o.to, o.mix ? MESSAGE_MIX_MAX : (size_t)o.size);
    buf_addf(&envelope, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", o.from, o.to);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double percentile(double p)
{
    return took_len ? took_us[(size_t)((double)(took_len - 1) * p)] / 1000.0 : 0;
}

static void report(uint64_t end_us)
{
    uint64_t until_us = o.count || told_to_end ? end_us : count_until_us;
    double seconds = (double)(until_us - count_from_us) / 1e6;

    qsort(took_us, took_len, sizeof *took_us, ascending);
    printf("{\"messages\":%ld,\"seconds\":%.3f,\"rate\":%.1f,\"octets_rate\":%.0f,\"taken\":%ld,"
           "\"errors\":%ld,"
           "\"broken\":%ld,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
           counted, seconds, (double)counted / seconds, (double)counted_octets / seconds, taken,
           errors, broken, percentile(0.5), percentile(0.99), percentile(1));
}

static void enough(int signal)
{
    told_to_end = 1;
}

static const struct option_row rows[] = {{'s', OPTION_COUNT, "N", &o.sessions, 1},
                                         {'z', OPTION_COUNT, "OCTETS", &o.size, 257},
                                         {'m', OPTION_FLAG, NULL, &o.mix},
                                         {'l', OPTION_COUNT, "RATE", &o.octets_rate, 1},
                                         {'T', OPTION_FLAG, NULL, &o.tls},
                                         {'t', OPTION_COUNT, "S", &o.seconds, 1},
                                         {'w', OPTION_COUNT, "S", &o.warm, 0},
                                         {'n', OPTION_COUNT, "N", &o.count, 0},
                                         {'k', OPTION_FLAG, NULL, &o.keep},
                                         {'p', OPTION_FLAG, NULL, &o.pipeline},
                                         {'a', OPTION_ADDRESS, "ADDRESS", &o.source},
                                         {'f', OPTION_TEXT, "FROM", &o.from},
                                         {'r', OPTION_TEXT, "TO", &o.to},
                                         {'x', OPTION_COUNT, "N", &o.boxes, 1},
                                         {'b', OPTION_COUNT, "RATE", &o.rate, 0},
                                         {'u', OPTION_TEXT, "FILE", &o.outcomes_path},
                                         {0}};

/* -u: a line for each message, written as it ends. */
static bool open_outcomes(void)
{
    if (!o.outcomes_path)
        return true;
    o.outcomes = fopen(o.outcomes_path, "w");
    return o.outcomes && setvbuf(o.outcomes, NULL, _IOLBF, 0) == 0;
}

static void too_long(int signal)
{
    static const char text[] = "mailload: the server does not answer\n";

    _exit(write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 1 : 3);
}

int main(int argc, char **argv)
{
    addr_parse(SPAN("127.0.2.1"), &o.source);
    if (!options_read(argc, argv, rows, &o.server) || !open_outcomes())
        return 2;
    struct session *sessions = calloc((size_t)o.sessions, sizeof *sessions);
    if (!sessions || loop_open(&loop) < 0 || (o.tls && !(tls = wire_context())))
        return 1;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    compose();
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = too_long}, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = enough}, NULL);
    alarm(o.count ? 300 : (unsigned)(o.seconds + o.warm) + 60);

    start_us = clock_mono_us();
    count_from_us = start_us + (o.count ? 0 : (uint64_t)o.warm * 1000000);
    count_until_us = o.count ? UINT64_MAX : count_from_us + (uint64_t)o.seconds * 1000000;
    for (int i = 0; i < o.sessions; i++) {
        sessions[i].index = i;
        sessions[i].seed = 0x9e3779b97f4a7c15 * (uint64_t)(i + 1);
        open_session(&sessions[i]);
    }
    loop_run(&loop);
    report(clock_mono_us());
    return o.outcomes && fclose(o.outcomes) ? 1 : 0;
}
