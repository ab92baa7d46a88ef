/* A clerk's session with a backend; see client.h. */
#include "backend/client.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/addresses.h"
#include "backend/tls.h"
#include "base/clock.h"
#include "base/dial.h"
#include "base/log.h"
#include "base/proxy.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "tls/octets.h"

static const struct config_backend *backend_of(const struct backend_client *t)
{
    return &t->config->backend[t->index];
}

void backend_client_init(struct backend_client *t, const struct config *config, size_t index,
                         const struct addresses *addresses)
{
    *t =
        (struct backend_client){.config = config, .addresses = addresses, .index = index, .fd = -1};
}

void backend_client_is_secret(struct backend_client *t)
{
    t->secret = true;
}

void backend_client_close(struct backend_client *t)
{
    SSL_free(t->ssl);
    t->ssl = NULL;
    if (t->fd >= 0)
        close(t->fd);
    t->fd = -1;
    outbound_free(&t->outbound);
    t->outbound = (struct outbound){0};
    t->left = (struct span){0};
}

void backend_client_free(struct backend_client *t)
{
    backend_client_close(t);
    SSL_CTX_free(t->context);
    t->context = NULL;
}

static int failed(struct backend_client *t, int error)
{
    backend_client_close(t);
    return error;
}

/* ---- octets, clear or not ---- */

static void begin_step(struct backend_client *t)
{
    t->until_ms = clock_mono_ms() + BACKEND_CLIENT_MS;
}

/* Waits until the connection can go on, up to the end of the step. `events`: what the last call on it
 * wanted, unless OpenSSL knows. */
static int wait_for(const struct backend_client *t, short events)
{
    uint64_t now = clock_mono_ms();
    struct pollfd p = {.fd = t->fd, .events = events};

    if (t->ssl)
        p.events = SSL_want_write(t->ssl) ? POLLOUT : POLLIN;
    if (now >= t->until_ms)
        return -ETIMEDOUT;
    int n = poll(&p, 1, (int)(t->until_ms - now));
    return n > 0 || (n < 0 && errno == EINTR) ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static ssize_t give_some(struct backend_client *t, struct span out)
{
    return t->ssl ? tls_octets_out(t->ssl, out.at, out.len)
                  : send(t->fd, out.at, out.len, MSG_NOSIGNAL);
}

static int give(struct backend_client *t, struct span out)
{
    begin_step(t);
    while (out.len) {
        ssize_t n = give_some(t, out);
        int error = n > 0             ? 0
                    : n == 0          ? -ECONNRESET
                    : errno == EAGAIN ? wait_for(t, POLLOUT)
                                      : -errno;
        if (error)
            return error;
        out = span_after(out, n > 0 ? (size_t)n : 0);
    }
    begin_step(t); /* of the reply */
    return 0;
}

/* Reads what is there: how many octets, or -errno; -EAGAIN: none are there yet. */
static ssize_t take_some(struct backend_client *t)
{
    if (!t->ssl) {
        ssize_t n = dial_recv(t->fd, t->input, sizeof t->input);
        return n == -ETIMEDOUT ? -EAGAIN : n;
    }
    ssize_t n = tls_octets_in(t->ssl, t->input, sizeof t->input);
    return n > 0 ? n : n == 0 ? -ECONNRESET : -errno;
}

/* Reads into t->left. */
static int take(struct backend_client *t)
{
    ssize_t n;

    while ((n = take_some(t)) == -EAGAIN) {
        int error = wait_for(t, POLLIN);
        if (error)
            return error;
    }
    if (n < 0)
        return (int)n;
    if (clock_mono_ms() >= t->until_ms) /* an octet now and then */
        return -ETIMEDOUT;
    t->left = (struct span){t->input, (size_t)n};
    return 0;
}

/* ---- replies about mired ---- */

enum { TELL_MS = 60000, TOLD_MOST = 64 };

void backend_client_log(const struct backend_client *t, enum reply_stage stage,
                        const struct reply *r)
{
    static _Atomic uint64_t told[TOLD_MOST]; /* by backend; if there are more, they share places */
    _Atomic uint64_t *last = &told[t->index % TOLD_MOST];
    uint64_t now = clock_mono_ms() + TELL_MS, before = atomic_load(last);

    if (now < before + TELL_MS || !atomic_compare_exchange_strong(last, &before, now))
        return;
    log_warn("backend %s refuses mired's queries at %s: %u %u.%u.%u %.*s", backend_of(t)->name,
             reply_stage_text(stage), r->code, r->enhanced[0], r->enhanced[1], r->enhanced[2],
             (int)r->arg.len, r->arg.at ? r->arg.at : "");
}

static void tell_complaint(struct backend_client *t)
{
    struct outbound *o = &t->outbound;
    struct reply r = kept_get(&o->complaint);

    if (r.code)
        backend_client_log(t, (enum reply_stage)o->complained_of, &r);
    kept_free(&o->complaint);
    o->complaint.code = 0;
}

/* ---- connecting ---- */

/* A mail's connections do the same (health_no_tls()). */
static void note_no_tls(struct backend_client *t)
{
    const char *name = backend_of(t)->name, *why = tls_client_error(t->ssl);

    if (t->outbound.tls != OUTBOUND_TLS_OFFERED) {
        log_warn("backend %s: TLS: %s", name, why);
        return;
    }
    log_warn("backend %s: TLS: %s; asking in clear text, trying TLS again in %d minutes", name, why,
             BACKEND_PLAIN_MS / 60000);
    t->plain_until_ms = clock_mono_ms() + BACKEND_PLAIN_MS;
}

static bool is_plain(const struct backend_client *t)
{
    return clock_mono_ms() < t->plain_until_ms;
}

static int shake_hands(struct backend_client *t)
{
    const struct config_backend *backend = backend_of(t);
    struct tls_client_params params = backend_tls(backend);

    if (!t->context)
        t->context = tls_client_open(&params);
    t->ssl = t->context ? tls_client_new(t->context, &params, t->fd) : NULL;
    if (!t->ssl)
        return -ENOMEM;
    int done, error = 0;
    begin_step(t);
    while ((done = tls_client_shake(t->ssl)) == 0 && !error)
        error = wait_for(t, POLLIN);
    if (done == 0) /* its silence says nothing about its TLS */
        return error;
    if (done != 1) {
        bool restarts = t->tls_works && tls_client_ended();
        t->tls_works = false;
        if (restarts)
            return -ECONNRESET;
        note_no_tls(t);
        return -EPROTO;
    }
    t->tls_works = true;
    if (backend->tls == TLS_IMPLICIT) {
        begin_step(t); /* of the greeting */
        t->outbound.secure = true;
        t->outbound.state = OUTBOUND_GREETING;
    } else {
        outbound_secured(&t->outbound);
    }
    return 0;
}

/* Continues until the backend is ready for queries. */
static int greet(struct backend_client *t)
{
    struct outbound *o = &t->outbound;
    uint64_t until = clock_mono_ms() + BACKEND_CLIENT_READY_MS;
    int error = 0;

    begin_step(t);
    while (!error) {
        if (clock_mono_ms() >= until) {
            error = -ETIMEDOUT;
        } else if (o->out.len) {
            error = give(t, buf_span(&o->out));
            buf_drop(&o->out, o->out.len);
        } else if (o->state == OUTBOUND_IDLE) {
            tell_complaint(t);
            return 0;
        } else if (o->state == OUTBOUND_DEAD) {
            if (t->secret && o->tls == OUTBOUND_TLS_NEEDED && !o->secure)
                log_warn("backend %s: STARTTLS not offered; not sending credentials",
                         backend_of(t)->name);
            tell_complaint(t);
            error = -ECONNREFUSED;
        } else if (o->state == OUTBOUND_SHAKE) {
            error = shake_hands(t);
        } else {
            error = take(t);
            if (!error)
                outbound_input(o, t->left);
            t->left = (struct span){0};
        }
    }
    return failed(t, error);
}

static enum outbound_tls wanted_tls(const struct backend_client *t, const struct addr *to)
{
    enum tls_mode mode = backend_of(t)->tls;

    if (mode == TLS_OFF)
        return OUTBOUND_TLS_NONE;
    if (mode == TLS_VERIFIED || (t->secret && !addr_is_loopback(to)))
        return OUTBOUND_TLS_NEEDED;
    return t->clear ? OUTBOUND_TLS_NONE : OUTBOUND_TLS_OFFERED;
}

static int begin(struct backend_client *t)
{
    const struct config_backend *backend = backend_of(t);
    struct outbound *o = &t->outbound;
    struct addr addr;

    if (!addresses_find(t->addresses, backend, t->index, t->turn, &addr))
        return -EHOSTUNREACH;
    t->fd = dial(&addr, backend->path, BACKEND_CLIENT_MS);
    if (t->fd < 0) {
        int error = t->fd;
        t->fd = -1;
        t->turn++; /* another address of its name may work */
        return error;
    }
    (void)fcntl(t->fd, F_SETFL, O_NONBLOCK); /* wait_for() waits */
    outbound_start(o, backend->kind != BACKEND_SMTP, t->config->hostname, 0);
    if (backend->tls == TLS_IMPLICIT)
        o->state = OUTBOUND_SHAKE;
    else
        o->tls = wanted_tls(t, &addr);
    struct addr own = addr_of_socket(t->fd);
    if (backend->proxy_protocol && proxy_write(&o->out, backend->proxy_protocol, &own, &addr) < 0)
        return failed(t, -ENOMEM);
    return greet(t);
}

/* Whether the backend has said more than it was asked for, or has ended the session. Its next words
 * would count as the answer to another query. */
static bool speaks_unasked(const struct backend_client *t)
{
    struct pollfd p = {.fd = t->fd, .events = POLLIN};

    return t->left.len > 0 || (t->ssl && SSL_pending(t->ssl) > 0) || poll(&p, 1, 0) != 0;
}

void backend_client_look(struct backend_client *t)
{
    if (t->fd >= 0 && ((t->clear && !is_plain(t)) || speaks_unasked(t)))
        backend_client_close(t);
}

int backend_client_ready(struct backend_client *t)
{
    backend_client_look(t);
    if (t->fd >= 0)
        return 0;
    t->clear = is_plain(t);
    bool worked = t->tls_works;
    int error = begin(t);
    if (error == -ECONNRESET && worked && !t->tls_works)
        error = begin(t); /* it may have restarted */
    if (!error || t->clear || !is_plain(t))
        return error;
    t->clear = true; /* only its TLS did not work */
    return begin(t);
}

/* ---- queries and replies ---- */

bool backend_client_pipelines(const struct backend_client *t)
{
    return backend_client_can(t, CAP_PIPELINING);
}

bool backend_client_can(const struct backend_client *t, uint32_t cap)
{
    return (t->outbound.ability.caps & cap) == cap;
}

int backend_client_say(struct backend_client *t, struct span out)
{
    int error = give(t, out);

    return error ? failed(t, error) : 0;
}

int backend_client_reply(struct backend_client *t, struct reply *r)
{
    begin_step(t);
    for (;;) {
        switch (reader_take(&t->outbound.reader, &t->left, r)) {
        case READER_REPLY: return 0;
        case READER_BROKEN: return failed(t, -EBADMSG);
        case READER_MORE: break;
        }
        int error = take(t);
        if (error)
            return failed(t, error);
    }
}
