/* TLS on a connection: the handshake, and reading and writing octets.
 *
 * A connection's SSL is in a table of the worker, indexed by descriptor, so that held connections
 * without TLS need no memory for it. Handshakes are steps of the loop. On port 465 a client in debt
 * waits before its handshake, because that is expensive; with STARTTLS it has waited for the 220.
 *
 * A client gets no TLS state before its whole ClientHello has arrived. A handshake that fails
 * because of versions, ciphers or the certificate is no offence, and neither is one that only
 * fetches the certificate; the pace (shakes.h) limits a flood of them. Octets that are not TLS, or
 * a handshake that stops in the middle, are an offence. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/metrics.h"
#include "config/config.h"
#include "tls/octets.h"
#include "tls/server.h"
#include "worker/budget.h"
#include "worker/conn.h"
#include "worker/conn_step.h"
#include "worker/io.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/tls.h"
#include "worker/worker_part.h"

enum {
    HANDSHAKE_MS = 60000,
    LATE_HANDSHAKE_MS = 15000, /* of one that stood in line */
    SHAKES_AT_ONCE = 64,       /* unfinished handshakes of one client in this worker */
    WAIT_MOST_MS = POLICY_HOLD_MAX,
};

/* read_some() must read a whole record, because epoll does not report octets that OpenSSL has
 * buffered. */
static_assert(sizeof((struct worker){0}.input) >= SMTP_AUTH_LINE_MAX + TLS_RECORD_MAX,
              "a record fits beside what the session leaves");

static bool make_place(struct worker *w, int fd)
{
    size_t want = (size_t)fd + 1;

    if (want <= w->tls_places)
        return true;
    if (want < w->tls_places * 2)
        want = w->tls_places * 2;
    SSL **more = realloc(w->tls, want * sizeof *more);
    if (!more)
        return false;
    memset(more + w->tls_places, 0, (want - w->tls_places) * sizeof *more);
    w->tls = more;
    w->tls_places = want;
    return true;
}

static SSL *of(const struct worker *w, const struct conn *c)
{
    return c->flags & CONN_TLS ? w->tls[c->watch.fd] : NULL;
}

/* When a hold ends, all connections of its client may continue, each with a handshake at that
 * moment. So the handshakes of a client in debt begin one after another. Returns how long this one
 * waits. */
static uint64_t spaced(struct worker *w, const struct tarpit_who *who, uint64_t wait_ms)
{
    bool in_debt = !w->config->observe && tarpit_debt(&w->tarpit, who, w->loop.wall) > 0;

    if (who->exempt)
        return wait_ms;
    return shakes_wait(&w->shakes, who->client, in_debt, wait_ms, WAIT_MOST_MS, w->loop.now);
}

bool tls_begin(struct worker *w, struct conn *c, bool waits)
{
    struct tarpit_who who = conn_who(w, c);
    uint64_t wait_ms = waits ? judge_wait(w, c).ms : 0;

    wait_ms = spaced(w, &who, wait_ms);
    if (wait_ms >= WAIT_MOST_MS) {
        conn_close(w, c, CLOSE_EVICTED);
        return false;
    }
    if (wait_ms)
        c->flags |= CONN_TLS_LATER;
    conn_phase(w, c, CONN_SHAKING, wait_ms ? wait_ms : HANDSHAKE_MS);
    journal_step(c, "begins a handshake", "in %.1f s", (double)wait_ms / 1000);
    return true;
}

static void book(struct worker *w, struct conn *c)
{
    if (conn_is_spared(w, c))
        return;
    metric_add(METRIC_OFFENCE_TLS, 1);
    c->offences++;
    (void)judge_offence(w, c, OFFENCE_TLS);
}

/* ---- the lines ---- */

/* A client's further handshakes wait in line, with the whole ClientHello in their sockets, until one
 * of those that it has begun ends: a line for each counter of such handshakes, so who is first
 * in it is the next. A connection stands there as long as a handshake may take, and has
 * LATE_HANDSHAKE_MS when it begins. */

bool tls_open(struct worker *w)
{
    w->shake_line = calloc(BUDGET_PLACES, sizeof *w->shake_line);
    return w->shake_line;
}

void tls_close(struct worker *w)
{
    free(w->shake_line);
    free(w->tls);
}

static struct ring *line_of(const struct worker *w, const struct conn *c)
{
    return &w->shake_line[budget_place(w->budget, &c->peer)];
}

static bool stands_in_line(const struct conn *c)
{
    return c->phase == CONN_SHAKING && c->work && c->work->in_line.next;
}

static void enter_line(struct worker *w, struct conn *c)
{
    struct ring *line = line_of(w, c);

    if (!conn_work(c)) {
        conn_close(w, c, CLOSE_NO_MEMORY);
        return;
    }
    if (!line->next) /* a page of lines takes memory when it is used */
        ring_init(line);
    ring_add(line, &c->work->in_line);
    c->work->stood_in_line = true;
    c->work->conn = c;
    c->flags |= CONN_TLS_LATER;
    io_want(w, c);
}

static void leave_line(struct conn *c)
{
    if (c->work && c->work->in_line.next)
        ring_remove(&c->work->in_line);
}

/* A handshake of this client has ended, or one that would have begun. Its socket reports what is in
 * it, and begins the first one's in a later turn. */
static void move_line(struct worker *w, const struct conn *c)
{
    struct ring *line = line_of(w, c);

    if (!line->next || ring_is_empty(line) ||
        budget_of(w->budget, BUDGET_HANDSHAKES, &c->peer) >= SHAKES_AT_ONCE)
        return;
    struct conn *first = container_of(line->next, struct work, in_line)->conn;
    leave_line(first);
    first->flags &= ~(uint32_t)CONN_TLS_LATER;
    io_want(w, first);
}

/* ---- handshakes ---- */

void tls_due(struct worker *w, struct conn *c)
{
    if (stands_in_line(c)) {
        conn_close(w, c, CLOSE_EVICTED);
        return;
    }
    if (!(c->flags & CONN_TLS_LATER)) {
        metric_add(METRIC_TLS_FAILED, 1);
        if (of(w, c))
            book(w, c);
        tls_left(w, c);
        conn_close(w, c, CLOSE_TIMEOUT);
        return;
    }
    c->flags &= ~(uint32_t)CONN_TLS_LATER;
    conn_phase(w, c, CONN_SHAKING, HANDSHAKE_MS);
}

static bool start(struct worker *w, struct conn *c)
{
    SSL *ssl = make_place(w, c->watch.fd) ? tls_server_new(w->params->tls, c->watch.fd) : NULL;
    if (!ssl)
        return false;
    SSL_set_accept_state(ssl);
    w->tls[c->watch.fd] = ssl;
    c->flags |= CONN_TLS;
    SSL_set_app_data(ssl, w); /* until it is no longer counted */
    budget_count(w->budget, BUDGET_HANDSHAKES, &c->peer, 1);
    return true;
}

static void count_no_more(struct worker *w, const struct conn *c, SSL *ssl)
{
    if (!SSL_get_app_data(ssl))
        return;
    SSL_set_app_data(ssl, NULL);
    budget_count(w->budget, BUDGET_HANDSHAKES, &c->peer, -1);
    move_line(w, c);
}

/* Whether an error is not about the client's octets but about what both sides support and accept:
 * version, ciphers, curves, signatures, the certificate. Alerts are how the client says so. */
static bool is_disagreement(const SSL *ssl, unsigned long error)
{
    static const int reasons[] = {SSL_R_UNSUPPORTED_PROTOCOL,
                                  SSL_R_VERSION_TOO_LOW,
                                  SSL_R_VERSION_TOO_HIGH,
                                  SSL_R_WRONG_SSL_VERSION,
                                  SSL_R_UNSUPPORTED_SSL_VERSION,
                                  SSL_R_UNKNOWN_PROTOCOL,
                                  SSL_R_NO_PROTOCOLS_AVAILABLE,
                                  SSL_R_INAPPROPRIATE_FALLBACK,
                                  SSL_R_NO_SHARED_CIPHER,
                                  SSL_R_NO_CIPHERS_AVAILABLE,
                                  SSL_R_NO_SHARED_GROUPS,
                                  SSL_R_NO_SUITABLE_GROUPS,
                                  SSL_R_NO_SUITABLE_KEY_SHARE,
                                  SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
                                  SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
                                  SSL_R_UNSUPPORTED_ELLIPTIC_CURVE,
                                  SSL_R_UNSUPPORTED_COMPRESSION_ALGORITHM,
                                  SSL_R_NO_COMPRESSION_SPECIFIED,
                                  SSL_R_UNEXPECTED_EOF_WHILE_READING};
    int reason = ERR_GET_REASON(error);

    if (error == 0) /* the client has closed or reset the connection */
        return true;
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return false;
    if (reason == SSL_R_WRONG_VERSION_NUMBER) /* of a record after its ClientHello, or no TLS */
        return SSL_get_state(ssl) != TLS_ST_BEFORE;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i] == reason)
            return true;
    return reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256;
}

static void fruitless(struct worker *w, struct conn *c)
{
    struct tarpit_who who = conn_who(w, c);

    shakes_fruitless(&w->shakes, who.client, w->loop.now);
}

static void failed(struct worker *w, struct conn *c, unsigned long error)
{
    metric_add(METRIC_TLS_FAILED, 1);
    fruitless(w, c);
    bool offence = !is_disagreement(of(w, c), error);
    journal_step(c, "fails the handshake", "%s",
                 offence ? "an offence" : "no agreement, no offence");
    if (offence)
        book(w, c);
    conn_close(w, c, CLOSE_HANDSHAKE);
}

/* After a handshake the session starts again: without a name the client has sent no EHLO since. */
void tls_left(struct worker *w, struct conn *c)
{
    bool said = c->phase != CONN_SHAKING && envelope_helo(&c->smtp.envelope).len > 0;

    if (of(w, c) && !said)
        fruitless(w, c);
}

static void shaken(struct worker *w, struct conn *c)
{
    metric_add(METRIC_TLS_OK, 1);
    count_no_more(w, c, of(w, c));
    if (tls_client_is_known(of(w, c)))
        c->flags |= CONN_EXEMPT;
    journal_step(c, "has shaken hands", "%s%s", tls_version(w, c),
                 c->flags & CONN_EXEMPT ? ", exempt" : "");
    smtp_tls_is_on(&c->smtp, SSL_version(of(w, c)) >= TLS1_3_VERSION);
    conn_rest(c);
    conn_phase(w, c, CONN_READING, w->config->timeout_ms);
    conn_run(w, c);
}

static uint64_t octets_so_far(SSL *ssl)
{
    return BIO_number_read(SSL_get_rbio(ssl)) + BIO_number_written(SSL_get_wbio(ssl));
}

static void shake(struct worker *w, struct conn *c)
{
    SSL *ssl = of(w, c);
    uint64_t before = octets_so_far(ssl);

    ERR_clear_error();
    int done = SSL_do_handshake(ssl);
    int why = SSL_get_error(ssl, done);
    if (octets_so_far(ssl) != before)
        loop_moved(&w->loop);
    c->flags &= ~(uint32_t)CONN_TLS_WRITE;
    if (why == SSL_ERROR_WANT_WRITE)
        c->flags |= CONN_TLS_WRITE;
    if (done == 1)
        shaken(w, c);
    else if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        io_want(w, c);
    else
        failed(w, c, ERR_peek_error());
}

/* ---- before the handshake ---- */

enum { RECORD_HEAD = 5, RECORD_HANDSHAKE = 22 };

/* Lets epoll report the socket only when it has so many octets. */
static void wait_for(struct conn *c, int octets)
{
    setsockopt(c->watch.fd, SOL_SOCKET, SO_RCVLOWAT, &octets, sizeof octets);
}

/* The length of the client's first record, as far as `have` octets show it; RECORD_HEAD octets are
 * needed. If it is not a handshake record, OpenSSL judges it at once. */
static size_t first_record(const char *at, size_t have)
{
    if (have && at[0] != RECORD_HANDSHAKE)
        return have;
    if (have < RECORD_HEAD)
        return RECORD_HEAD;
    size_t len = (size_t)(unsigned char)at[3] << 8 | (unsigned char)at[4];
    return len > TLS_RECORD_MAX ? have : RECORD_HEAD + len;
}

/* An incomplete ClientHello stays in the socket; an SSL is made only for a complete one. */
static bool has_hello(struct worker *w, struct conn *c, bool ended, bool *gone)
{
    ssize_t n = recv(c->watch.fd, w->input, RECORD_HEAD + TLS_RECORD_MAX, MSG_PEEK | MSG_DONTWAIT);
    size_t have = n > 0 ? (size_t)n : 0, whole = first_record(w->input, have);

    *gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || (ended && have < whole);
    if (n < 0 || have < whole) {
        wait_for(c, (int)whole);
        return false;
    }
    wait_for(c, 1);
    return true;
}

/* Whether a client has so many unfinished handshakes that further ones must wait. */
static bool has_too_many(const struct worker *w, const struct conn *c)
{
    return !(c->flags & CONN_EXEMPT) &&
           budget_of(w->budget, BUDGET_HANDSHAKES, &c->peer) >= SHAKES_AT_ONCE;
}

static void begin(struct worker *w, struct conn *c, bool ended)
{
    bool gone = false;

    if (!has_hello(w, c, ended, &gone)) {
        if (gone)
            conn_close(w, c, CLOSE_HUNG_UP);
        else
            io_want(w, c);
    } else if (has_too_many(w, c)) {
        enter_line(w, c);
    } else if (!start(w, c)) {
        conn_close(w, c, CLOSE_NO_MEMORY);
    } else {
        if (c->work && c->work->stood_in_line) { /* its own time begins now */
            c->work->stood_in_line = false;
            conn_phase(w, c, CONN_SHAKING, LATE_HANDSHAKE_MS);
        }
        shake(w, c);
    }
}

void tls_step(struct worker *w, struct conn *c, bool ended)
{
    bool waits = c->flags & CONN_TLS_LATER;

    if (ended && waits) {
        conn_close(w, c, CLOSE_HUNG_UP);
        return;
    }
    if (c->flags & CONN_TLS) {
        shake(w, c);
        return;
    }
    if (!io_flush(w, c)) /* the 220 is sent in clear text */
        return;
    if (waits || (c->work && c->work->out.len))
        io_want(w, c);
    else
        begin(w, c, ended);
}

/* Part of a record is progress, too. */
ssize_t tls_recv(struct worker *w, struct conn *c, char *at, size_t room)
{
    SSL *ssl = of(w, c);
    uint64_t before = octets_so_far(ssl);

    ssize_t n = tls_octets_in(ssl, at, room);
    int error = errno;
    if (octets_so_far(ssl) != before)
        loop_moved(&w->loop);
    errno = error;
    return n;
}

ssize_t tls_recv_places(struct worker *w, struct conn *c, const struct iovec *place, int places)
{
    SSL *ssl = of(w, c);
    size_t room = 0, at = 0, record = 0;
    ssize_t all = 0;

    for (int i = 0; i < places; i++)
        room += place[i].iov_len;
    assert(room >= TLS_RECORD_MAX);
    do {
        char *to = (char *)place->iov_base + at;
        size_t most = place->iov_len - at;
        ssize_t n = all ? tls_octets_in(ssl, to, most) : tls_recv(w, c, to, most);
        if (n <= 0)
            return all ? all : n;
        all += n;
        room -= (size_t)n;
        record += (size_t)n;
        if ((size_t)n < most) {
            at += (size_t)n;
        } else {
            place++;
            at = 0;
        }
        if (SSL_pending(ssl))
            continue;
        if (record < TLS_RECORD_MAX) /* the client has no more for now */
            break;
        record = 0;
    } while (record || room >= TLS_RECORD_MAX);
    return all;
}

bool tls_has_ended(const struct worker *w, const struct conn *c)
{
    SSL *ssl = of(w, c);

    return ssl && SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN;
}

ssize_t tls_peek(struct worker *w, struct conn *c, char *at, size_t room)
{
    return tls_octets_peek(of(w, c), at, room);
}

bool tls_waits_to_write(const struct worker *w, const struct conn *c)
{
    SSL *ssl = of(w, c);

    return ssl && SSL_want_write(ssl);
}

ssize_t tls_send(struct worker *w, struct conn *c, const char *at, size_t len)
{
    return tls_octets_out(of(w, c), at, len);
}

void tls_end(struct worker *w, struct conn *c)
{
    SSL *ssl = of(w, c);

    if (!ssl || !SSL_is_init_finished(ssl))
        return;
    ERR_clear_error();
    (void)SSL_shutdown(ssl);
}

void tls_free(struct worker *w, struct conn *c)
{
    SSL *ssl = of(w, c);

    leave_line(c);
    if (!ssl) {
        move_line(w, c); /* it may have been told to begin */
        return;
    }
    w->tls[c->watch.fd] = NULL;
    c->flags &= ~(uint32_t)CONN_TLS;
    count_no_more(w, c, ssl);
    SSL_free(ssl);
}

/* SCRAM-SHA-256-PLUS is offered only with TLS 1.3, where both kinds of binding are sound. What
 * clients bind to with older versions is broken (tls-unique, RFC 9266 section 5). */
size_t tls_binding(const struct worker *w, const struct conn *c, enum scram_binding kind, void *out,
                   size_t room)
{
    SSL *ssl = of(w, c);

    if (!ssl || !(c->smtp.flags & SMTP_TLS_BINDS))
        return 0;
    switch (kind) {
    case SCRAM_TLS_EXPORTER: return tls_exported(ssl, out, room);
    case SCRAM_TLS_END_POINT: return tls_end_point(ssl, out, room);
    case SCRAM_UNBOUND: break;
    }
    return 0;
}

SSL *tls_at_rest(struct worker *w, struct conn *c)
{
    SSL *ssl = of(w, c);

    return ssl && !SSL_has_pending(ssl) && SSL_is_init_finished(ssl) ? ssl : NULL;
}

void tls_let_go(struct worker *w, struct conn *c)
{
    w->tls[c->watch.fd] = NULL;
    c->flags &= ~(uint32_t)CONN_TLS;
}

bool tls_attach(struct worker *w, struct conn *c, SSL *ssl)
{
    /* OpenSSL reads and writes without MSG_DONTWAIT, and a freezer that was taken over may have made
     * the socket wait. Its filter does not let it do so later. */
    (void)fcntl(c->watch.fd, F_SETFL, O_RDWR | O_NONBLOCK);
    if (!make_place(w, c->watch.fd) || SSL_set_fd(ssl, c->watch.fd) != 1) {
        SSL_free(ssl);
        return false;
    }
    w->tls[c->watch.fd] = ssl;
    c->flags |= CONN_TLS;
    return true;
}

const char *tls_version(const struct worker *w, const struct conn *c)
{
    SSL *ssl = of(w, c);

    return ssl ? SSL_get_version(ssl) : "yes";
}
