/* Reads and writes the octets of a connection, and sets its epoll events.
 *
 * Input is read into the worker's one buffer and stepped from there; only the part that the session
 * cannot use yet is copied into the connection. While the connection waits for something else,
 * EPOLLIN stays armed until input arrives (most clients send nothing while they wait, so most waits
 * need no epoll_ctl()). */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "config/config.h"
#include "relay/relay.h"
#include "worker/conn.h"
#include "worker/conn_step.h"
#include "worker/hold.h"
#include "worker/io.h"
#include "worker/message.h"
#include "worker/proxied.h"
#include "worker/queries.h"
#include "worker/tls.h"
#include "worker/worker_part.h"

enum {
    PLACES = 8,              /* blocks that one read fills */
    COMMANDS_AT_ONCE = 1024, /* octets: about 30 recipients */
};

static bool has_output(const struct conn *c)
{
    return c->work && c->work->out.len;
}

static ssize_t take(struct worker *w, struct conn *c, char *at, size_t room)
{
    ssize_t n =
        c->flags & CONN_TLS ? tls_recv(w, c, at, room) : recv(c->watch.fd, at, room, MSG_DONTWAIT);
    if (n >= 0)
        loop_moved(&w->loop);
    return n;
}

/* more: MSG_MORE if io_end() follows at once, else 0. The kernel then sends the octets and the end of
 * the connection in one packet. */
static ssize_t give(struct worker *w, struct conn *c, const char *at, size_t len, int more)
{
    ssize_t n = c->flags & CONN_TLS
                    ? tls_send(w, c, at, len)
                    : send(c->watch.fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT | more);
    if (n >= 0)
        loop_moved(&w->loop);
    return n;
}

void io_end(struct worker *w, struct conn *c)
{
    enum { DRAINS = 16, DRAIN_OCTETS = 1 << 20 };

    tls_end(w, c);
    shutdown(c->watch.fd, SHUT_WR);
    /* Unread input would turn the close into a reset, which can overtake the last reply. The kernel
     * discards it; w->input may be in use by the connection that made this one close. */
    for (int i = 0; i < DRAINS; i++)
        if (recv(c->watch.fd, NULL, DRAIN_OCTETS, MSG_DONTWAIT | MSG_TRUNC) <= 0)
            break;
}

/* The client's close_notify was read after octets that were used first. The socket may have nothing
 * more to report, so it is asked for room to write. */
static bool has_ended(const struct worker *w, const struct conn *c)
{
    return c->phase == CONN_READING && c->flags & CONN_TLS && tls_has_ended(w, c);
}

void io_want(struct worker *w, struct conn *c)
{
    uint32_t events = 0;

    /* While TLS waits for room to write, input and the client's end are ignored, so they must not
     * be reported again and again. */
    if (c->flags & CONN_TLS_WRITE || (c->phase == CONN_SHAKING && has_output(c))) {
        loop_want(&w->loop, &c->watch, EPOLLOUT);
        return;
    }
    if (c->phase == CONN_SHAKING) {
        loop_want(&w->loop, &c->watch, EPOLLRDHUP | (c->flags & CONN_TLS_LATER ? 0 : EPOLLIN));
        return;
    }
    if (c->phase == CONN_READING && !has_output(c))
        c->flags &= ~(uint32_t)CONN_READ_OFF;
    if (!(c->flags & CONN_READ_OFF))
        events |= EPOLLIN;
    if (!(c->flags & CONN_SEEN_END))
        events |= EPOLLRDHUP;
    if (has_output(c) || has_ended(w, c))
        events |= EPOLLOUT;
    loop_want(&w->loop, &c->watch, events);
}

static bool flush(struct worker *w, struct conn *c, int more)
{
    if (!has_output(c))
        return true;
    struct buf *out = &c->work->out;
    ssize_t n = give(w, c, out->at, out->len, more);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return true;
        conn_close(w, c, CLOSE_HUNG_UP);
        return false;
    }
    buf_drop(out, (size_t)n);
    return true;
}

bool io_flush(struct worker *w, struct conn *c)
{
    return flush(w, c, 0);
}

bool io_flush_last(struct worker *w, struct conn *c)
{
    return flush(w, c, MSG_MORE);
}

void io_last_words(struct worker *w, struct conn *c, enum reply_id id)
{
    struct reply r = reply_make(id, span_of(w->config->hostname));
    if (!conn_work(c) || reply_write(&r, &c->work->out) < 0)
        return;
    struct buf *out = &c->work->out;
    (void)!give(w, c, out->at, out->len, MSG_MORE);
    io_end(w, c);
}

bool io_keeps_pace(struct worker *w, struct conn *c)
{
    uint64_t timeout_ms = w->config->timeout_ms;

    if (!smtp_in_data(&c->smtp) || !c->work || !w->config->data_rate ||
        c->work->window * 1000 < w->config->data_rate * timeout_ms)
        return false;
    c->work->window = 0;
    loop_alarm(&w->loop, &c->alarm, w->loop.now + timeout_ms);
    return true;
}

/* What a read without octets means: EAGAIN, or the end of the connection, which frees it. */
static void read_nothing(struct worker *w, struct conn *c, ssize_t n)
{
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (tls_waits_to_write(w, c)) { /* TLS itself must first send an answer */
            c->flags |= CONN_TLS_WRITE;
            io_want(w, c);
        }
        return;
    }
    tls_left(w, c);
    if (n == 0)
        io_end(w, c); /* a close_notify is answered by one (RFC 5246 7.2.1, RFC 8446 6.1) */
    conn_close(w, c, CLOSE_HUNG_UP);
}

/* How much to read at once. Of commands only a few octets, because what is behind a held one must be
 * kept, the kernel keeps the rest, and each is work: a message may come in chunks of one octet, with a
 * reply to each. A whole record of TLS, because epoll does not report what OpenSSL has left. */
static size_t room_for_input(const struct conn *c, size_t most)
{
    size_t due = smtp_octets_due(&c->smtp);

    if (c->flags & CONN_TLS || most < COMMANDS_AT_ONCE || due > most - COMMANDS_AT_ONCE)
        return most;
    return due + COMMANDS_AT_ONCE;
}

/* Receives octets of a message where they stay. False: there is no place for them, and nothing was
 * read. */
static bool read_in_place(struct worker *w, struct conn *c)
{
    struct iovec place[PLACES];
    int places = 0;

    if (smtp_in_data(&c->smtp) && c->work && c->work->in.len == 0)
        places = message_place(c, place, PLACES, room_for_input(c, sizeof w->input));
    size_t room = 0;
    for (int i = 0; i < places; i++)
        room += place[i].iov_len;
    if (room < (c->flags & CONN_TLS ? TLS_RECORD_MAX : 1)) {
        message_fit(c);
        return false;
    }
    ssize_t n =
        c->flags & CONN_TLS
            ? tls_recv_places(w, c, place, places)
            : recvmsg(c->watch.fd, &(struct msghdr){.msg_iov = place, .msg_iovlen = (size_t)places},
                      MSG_DONTWAIT);
    if (n <= 0) {
        int error = errno;
        message_fit(c);
        errno = error;
        read_nothing(w, c, n);
        return true;
    }
    loop_moved(&w->loop);
    message_heard(w, c, (size_t)n);
    int filled = 0;
    for (size_t left = (size_t)n; left; filled++) {
        if (place[filled].iov_len > left)
            place[filled].iov_len = left;
        left -= place[filled].iov_len;
    }
    conn_run_places(w, c, place, filled);
    return true;
}

static void read_some(struct worker *w, struct conn *c)
{
    size_t kept = c->work ? c->work->in.len : 0;
    assert(kept < sizeof w->input); /* the session limits what it leaves unused */

    if (read_in_place(w, c))
        return;
    ssize_t n = take(w, c, w->input + kept, room_for_input(c, sizeof w->input - kept));
    if (n <= 0) {
        read_nothing(w, c, n);
        return;
    }
    if (kept) {
        memcpy(w->input, c->work->in.at, kept);
        buf_free(&c->work->in);
    }
    if (smtp_in_data(&c->smtp) && conn_work(c))
        message_heard(w, c, (size_t)n);
    conn_run_input(w, c, kept + (size_t)n);
}

static void write_rest(struct worker *w, struct conn *c)
{
    if (!io_flush(w, c) || has_output(c))
        return;
    if (c->phase == CONN_CLOSING) {
        io_end(w, c);
        conn_close(w, c, smtp_is_junk(&c->smtp) ? CLOSE_JUNK : CLOSE_QUIT);
    } else if (c->phase == CONN_READING) {
        conn_run(w, c); /* it had stopped because the output was full */
    } else {
        io_want(w, c);
    }
}

/* Whether the last thing that the client has sent is QUIT. Exim says everything at once, the
 * message and QUIT too, ends its side, and waits for the replies: it has not given up. Under TLS,
 * octets that have not been read cannot be seen. */
static bool has_said_quit(struct worker *w, const struct conn *c)
{
    struct span seen = {0};

    if (!(c->flags & CONN_TLS)) {
        char *at = w->input + w->input_in_use;
        ssize_t n =
            recv(c->watch.fd, at, sizeof w->input - w->input_in_use, MSG_PEEK | MSG_DONTWAIT);
        if (n > 0)
            seen = (struct span){at, (size_t)n};
    }
    if (seen.len == 0 && c->work)
        seen = (struct span){c->work->in.at, c->work->in.len};
    return seen.len >= strlen("QUIT\r\n") &&
           strncasecmp(seen.at + seen.len - strlen("QUIT\r\n"), "QUIT\r\n", 6) == 0;
}

/* A password that is looked up although its verdict is masked (R14) must leave no trace: its
 * client is treated like one that is held. */
static enum conn_phase seeming_phase(const struct conn *c)
{
    bool hides = c->phase == CONN_ASKING && c->work->query->permit.masked;

    return hides ? CONN_HELD : (enum conn_phase)c->phase;
}

/* The client has ended its side, or reset the connection (`broken`). */
static void ended(struct worker *w, struct conn *c, bool broken)
{
    switch (seeming_phase(c)) {
    case CONN_HELD:
        if (!broken && has_said_quit(w, c)) {
            c->flags |= CONN_SEEN_END | CONN_READ_OFF;
            io_want(w, c);
            break;
        }
        if (!broken)
            io_end(w, c);
        hold_gave_up(w, c);
        break;
    case CONN_HANDING: /* the backend may have the message: wait for its reply */
        if (broken && message_would_double(c)) {
            tls_left(w, c);
            conn_close(w, c, CLOSE_HUNG_UP);
            break;
        }
        c->flags |= CONN_SEEN_END | CONN_READ_OFF;
        if (c->work->handover)
            relay_unheard(c->work->handover);
        if (broken)
            loop_forget(&w->loop, &c->watch);
        else
            io_want(w, c);
        break;
    case CONN_READING:
    case CONN_ASKING:
    case CONN_CLOSING:
    case CONN_SHAKING:
    case CONN_PROXY:
        if (broken) {
            tls_left(w, c);
            conn_close(w, c, CLOSE_HUNG_UP);
        } else { /* input before the end must still be read and answered */
            c->flags |= CONN_SEEN_END | CONN_READ_OFF;
            io_want(w, c);
        }
        break;
    }
}

void io_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct worker *w = worker_of(loop);
    struct conn *c = container_of(watch, struct conn, watch);

    if (events & (EPOLLERR | EPOLLHUP)) {
        ended(w, c, true);
        return;
    }
    if (c->phase == CONN_SHAKING) {
        tls_step(w, c, events & EPOLLRDHUP);
        return;
    }
    if (c->phase == CONN_PROXY) {
        proxied_ready(w, c, events & EPOLLRDHUP);
        return;
    }
    if (events & EPOLLOUT && c->flags & CONN_TLS_WRITE) {
        c->flags &= ~(uint32_t)CONN_TLS_WRITE;
        io_want(w, c); /* existing input is reported at once, and read */
        return;
    }
    if (events & EPOLLOUT && !has_output(c) && has_ended(w, c)) {
        read_some(w, c);
        return;
    }
    if (events & EPOLLOUT) {
        write_rest(w, c);
        return; /* the connection may be freed; input is reported again */
    }
    if (events & EPOLLIN && c->phase == CONN_READING && !has_output(c)) {
        read_some(w, c); /* the end is read after all input before it */
        return;
    }
    if (events & EPOLLIN && !(c->flags & CONN_READ_OFF) &&
        (!(events & EPOLLRDHUP) || hold_may_be_early(w, c))) {
        c->flags |= CONN_READ_OFF;
        if (seeming_phase(c) == CONN_HELD)
            hold_spoken(w, c);
        else
            io_want(w, c);
        return;
    }
    if (events & EPOLLRDHUP)
        ended(w, c, false);
}
