/* Moves holds to the freezer and back (docs/frozen.md).
 *
 * The batch of a turn has, for each hold: the session's record, the time at which its reply is due,
 * and the descriptor, which is closed here when the batch has been sent. A connection comes back
 * when its reply is due, or when it could not be frozen; then it stays an ordinary hold and is
 * tried again later. A record has all that is needed: the session's texts are in it, and the
 * client's debt is in the ledger.
 *
 * Any worker of the slot takes a connection back. With TLS only this worker can, because it keeps
 * the TLS state: it gives the freezer a return channel of its own, and gives it again to the next
 * freezer. */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/probe.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "freezer/handoff.h"
#include "freezer/released.h"
#include "query/store_words.h"
#include "worker/conn.h"
#include "worker/freeze.h"
#include "worker/guard.h"
#include "worker/hold.h"
#include "worker/journal.h"
#include "worker/thaw.h"
#include "worker/tls.h"
#include "worker/tls_stash.h"
#include "worker/worker_part.h"

/* Comes before the session's own record; the handle of a TLS state follows, if there is one, and the
 * words of the worker, if there are recipients. */
struct freeze_record {
    uint8_t version;
    uint8_t flags; /* enum record_flag */
    uint16_t offences, messages, last_code;
    uint32_t held_ms;
    /* conn.opened_s; in records of earlier programs: how long it had been open when the hold began */
    uint32_t open_s;
    uint64_t since_ms; /* wall: when the hold began */
};

enum record_flag {
    RECORD_GREETING = 1,
    RECORD_TLS = 2,     /* a struct tls_stash_handle follows */
    RECORD_PROXIED = 4, /* the client is behind a balancer */
    RECORD_WORDS = 8,   /* words_of() the worker follow: length 2, text */
};

static_assert(sizeof(struct freeze_record) == 24, "a frozen hold is 256 octets in all");

enum {
    FREEZE_VERSION = 4,
    OPEN_IS_WHEN = 1000000000, /* open_s from here on is a time, not a duration */
    WORTH_FREEZING_MS = 500,
    TAKE_BATCHES = 8,
    LATE_MS = 75000, /* how long a TLS state waits for an overdue connection */
    AGAIN_MS = 200,  /* to offer our return channel again */
};

struct freezing {
    struct watch watch; /* the slot's */
    struct watch own;   /* for connections with TLS; its descriptor is -1 until it is open */
    struct alarm again;
    uint32_t name;            /* of our own return channel */
    struct sipkey seal;       /* of records under TLS (thaw.h) */
    struct released released; /* clients whose connections may come back now (adopt()) */
    struct handoff out, in;
    struct buf record;
};

static void take_back(struct loop *loop, struct watch *watch, uint32_t events);
static bool send_batch(struct freezing *f);

bool freeze_may(const struct worker *w, const struct conn *c)
{
    return w->freezing && !w->stopping && w->tarpit.rules.freeze != FREEZE_OFF &&
           c->hold_ms > w->tarpit.rules.freeze_after + WORTH_FREEZING_MS;
}

/* ---- our own return channel ---- */

/* Opens our return channel, if it is not open, and puts it into the batch. */
static bool offer_return_channel(struct worker *w)
{
    struct freezing *f = w->freezing;
    int pair[2];

    if (f->own.fd >= 0)
        return true;
    if (f->out.count == HANDOFF_BATCH && !send_batch(f))
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return false;
    struct handoff_item item = {.kind = HANDOFF_CHANNEL, .fd = pair[1], .way = f->name};
    f->own = (struct watch){.fd = pair[0], .events = EPOLLIN, .ready = take_back};
    if (loop_watch(&w->loop, &f->own) == 0 && handoff_add(&f->out, &item) == 0)
        return true;
    close(pair[0]);
    close(pair[1]);
    f->own.fd = -1;
    return false;
}

/* The freezer has not taken our return channel, or is gone. The next freezer gets it again, because
 * of the connections that are frozen already. */
static void return_channel_is_lost(struct worker *w)
{
    struct freezing *f = w->freezing;

    if (f->own.fd < 0)
        return;
    loop_forget(&w->loop, &f->own);
    close(f->own.fd);
    f->own.fd = -1;
    if (w->stash.count)
        loop_alarm(&w->loop, &f->again, w->loop.now + AGAIN_MS);
}

static void offer_again(struct loop *loop, struct alarm *a)
{
    struct worker *w = worker_of(loop);

    if (!offer_return_channel(w))
        loop_alarm(loop, a, loop->now + AGAIN_MS);
}

/* ---- there ---- */

/* How this worker's configuration reads addresses: what is a tag, and whose a bare <postmaster> is. A
 * recipient that was accepted under another one may be another mailbox here, perhaps one that nobody
 * reads. */
static struct span words_of(const struct worker *w, char text[STORE_WORDS_TEXT])
{
    const char *delimiters = w->config->recipient_delimiter;

    return (struct span){
        text, store_words_write(config_own_domain(w->config), delimiters ? delimiters : "", text)};
}

static int add_words(const struct worker *w, struct buf *out)
{
    char text[STORE_WORDS_TEXT];
    struct span words = words_of(w, text);
    uint16_t len = (uint16_t)words.len;
    int e = buf_add(out, &len, sizeof len);

    return e < 0 ? e : buf_add_span(out, words);
}

static int make_record(const struct worker *w, const struct conn *c, struct tls_stash_handle *tls,
                       struct buf *out)
{
    bool has_recipients = envelope_recipients(&c->smtp.envelope) > 0;
    struct freeze_record r = {
        .version = FREEZE_VERSION,
        .flags = (uint8_t)((c->flags & CONN_GREETING ? RECORD_GREETING : 0) |
                           (tls ? RECORD_TLS : 0) | (c->flags & CONN_PROXIED ? RECORD_PROXIED : 0) |
                           (has_recipients ? RECORD_WORDS : 0)),
        .offences = c->offences,
        .messages = c->messages,
        .last_code = c->last_code,
        .held_ms = c->held_ms,
        .open_s = c->opened_s,
        .since_ms = w->loop.wall - conn_waited(w, c),
    };
    int e = buf_add(out, &r, sizeof r);
    if (e == 0 && tls)
        e = buf_add(out, tls, sizeof *tls);
    if (e == 0 && has_recipients)
        e = add_words(w, out);
    return e < 0 ? e : session_freeze(&c->smtp, out);
}

/* Puts a connection into the batch; `tls` is its TLS state's handle, or NULL. It takes nothing back
 * if the freezer is overloaded: that could close this very connection to make room. */
static bool put(struct worker *w, struct conn *c, uint64_t left, struct tls_stash_handle *tls)
{
    struct freezing *f = w->freezing;

    f->record.len = 0;
    if (make_record(w, c, tls, &f->record) < 0)
        return false;
    if (f->out.count == HANDOFF_BATCH && !send_batch(f))
        return false;
    if (tls)
        tls_stash_seal(w, *tls, thaw_seal(&f->seal, &c->peer, buf_span(&f->record)));
    struct handoff_item item = {.fd = c->watch.fd,
                                .way = tls ? f->name : 0,
                                .due_ms = w->loop.wall + left,
                                .session = buf_span(&f->record),
                                .remote = c->peer,
                                .direct = !(c->flags & CONN_PROXIED)};
    return handoff_add(&f->out, &item) == 0;
}

static bool put_with_tls(struct worker *w, struct conn *c, uint64_t left)
{
    struct tls_stash_handle handle;
    SSL *ssl = offer_return_channel(w) ? tls_at_rest(w, c) : NULL;

    if (!ssl || !tls_stash_put(w, ssl, w->loop.now + left + LATE_MS, &handle))
        return false;
    if (!put(w, c, left, &handle)) {
        tls_stash_drop(w, handle);
        return false;
    }
    tls_let_go(w, c);
    return true;
}

/* Why this hold cannot be frozen now; NULL if it can. Unread input and unsent output need the
 * socket. */
static const char *obstacle(const struct worker *w, const struct conn *c)
{
    if (!w->freezing || !w->params->freezer_shared->working)
        return "the freezer does not work";
    if (c->work && c->work->out.len)
        return "the client does not take what was sent";
    if (c->work || c->flags & CONN_READ_OFF)
        return "the client has sent more";
    if (c->smtp.flags & SMTP_AUTHENTICATED && !(c->flags & CONN_TLS))
        return "it has logged in without TLS"; /* nothing would show whose record it is */
    if (c->flags & CONN_TLS && w->guard.held + w->stash.count >= w->held_max)
        return "as many are held under TLS as there may be"; /* its TLS state would stay here */
    return NULL;
}

bool freeze_try(struct worker *w, struct conn *c)
{
    uint64_t waited = conn_waited(w, c);
    uint64_t left = c->hold_ms > waited ? c->hold_ms - waited : 0;
    const char *why = obstacle(w, c);

    if (!why && !(c->flags & CONN_TLS ? put_with_tls(w, c, left) : put(w, c, left, NULL)))
        why = c->flags & CONN_TLS ? "TLS has octets in flight, or no room" : "no room";
    if (why) {
        journal_step(c, "is not frozen", "%s", why);
        return false;
    }
    PROBE2(freeze, c->watch.fd, left);
    journal_step(c, "freezes", "for %.1f s", (double)left / 1000);
    conn_detach(w, c);
    return true;
}

/* False: the freezer is overloaded, and the batch is as it was. */
static bool send_batch(struct freezing *f)
{
    uint32_t n = f->out.count;
    int fd[HANDOFF_BATCH];

    for (uint32_t i = 0; i < n; i++)
        fd[i] = f->out.item[i].fd;
    if (n == 0 || handoff_send(f->watch.fd, &f->out) < 0)
        return n == 0;
    for (uint32_t i = 0; i < n; i++)
        close(fd[i]);
    return true;
}

static void adopt(struct worker *w, const struct handoff_item *item, bool ours);

bool freeze_is_sending(const struct worker *w)
{
    return w->freezing && w->freezing->out.count > 0;
}

void freeze_flush(struct worker *w)
{
    struct freezing *f = w->freezing;

    if (!freeze_is_sending(w))
        return;
    if (!send_batch(f)) { /* these become ordinary holds again */
        uint32_t n = f->out.count;
        f->out.count = 0;
        f->out.used = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (f->out.item[i].kind == HANDOFF_HOLD) {
                adopt(w, &f->out.item[i], true);
            } else {
                close(f->out.item[i].fd);
                return_channel_is_lost(w);
            }
        }
    }
    worker_may_end(w);
}

/* ---- back ---- */

typedef int name_call(int fd, struct sockaddr *sa, socklen_t *len);

static struct addr ask_kernel(name_call *name, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (name(fd, (struct sockaddr *)&sa, &len) < 0)
        return (struct addr){0};
    return addr_from_sockaddr((struct sockaddr *)&sa, len);
}

/* How well a listener's address fits a connection's own: the kernel prefers the exact one to the
 * wildcard of its family, and that to [::], which may accept IPv4 too. 0: its port is another. */
static unsigned fits(const struct addr *listener, const struct addr *local)
{
    if (listener->port != local->port)
        return 0;
    if (addr_equal(listener, local))
        return 4;
    if (!addr_is_any(listener))
        return 1; /* it was accepted before a reload, at an address that is no more listened at */
    return listener->family == local->family ? 3 : 2;
}

/* The listener that has accepted it, or the one that is most like it now. */
static uint16_t listener_of(const struct worker *w, const struct addr *local)
{
    unsigned best_fit = 0;
    uint16_t best = 0;

    for (size_t i = 0; i < w->config->listen_count; i++) {
        unsigned fit = fits(&w->config->listen[i].addr, local);
        if (fit > best_fit) {
            best_fit = fit;
            best = (uint16_t)i;
        }
    }
    return best;
}

static bool read_part(struct span *rest, void *to, size_t len)
{
    if (rest->len < len)
        return false;
    memcpy(to, rest->at, len);
    *rest = span_after(*rest, len);
    return true;
}

static bool read_words(struct span *rest, struct span *words)
{
    uint16_t len;

    if (!read_part(rest, &len, sizeof len) || rest->len < len)
        return false;
    *words = span_first(*rest, len);
    *rest = span_after(*rest, len);
    return true;
}

/* Reads the record's fixed part and what is between it and the session's own record, which *rest is
 * then. *words stays as it is if there are none. */
static bool read_record(struct span *rest, struct freeze_record *r, struct tls_stash_handle *tls,
                        struct span *words)
{
    return read_part(rest, r, sizeof *r) && r->version == FREEZE_VERSION &&
           (!(r->flags & RECORD_TLS) || read_part(rest, tls, sizeof *tls)) &&
           (!(r->flags & RECORD_WORDS) || read_words(rest, words));
}

/* `ours`: it has not been away. *cut: the reply with which it ends, after the one that it waits for,
 * because a new connection of this client would not be let in now, or because it has recipients that
 * were accepted by a worker that reads addresses in another way; REPLY_OK: it goes on. */
static struct conn *revive(struct worker *w, const struct handoff_item *item, bool ours,
                           enum reply_id *cut)
{
    struct addr local = item->local, peer = item->remote;
    struct span rest = item->session;
    struct tls_stash_handle tls = {0};
    struct freeze_record r = {0};
    char text[STORE_WORDS_TEXT];
    struct span our_words = words_of(w, text), words = our_words;
    SSL *ssl = NULL;

    if (local.family == ADDR_NONE)
        local = ask_kernel(getsockname, item->fd);
    if (peer.family == ADDR_NONE)
        peer = ask_kernel(getpeername, item->fd);
    peer = addr_of_peer(&peer);
    if (!read_record(&rest, &r, &tls, &words) || peer.family == ADDR_NONE)
        return NULL;
    uint16_t listener = listener_of(w, &local);
    if (!ours && !item->direct && !thaw_is_client(w, item->fd, listener, &peer))
        return NULL;
    if (r.flags & RECORD_TLS &&
        !(ssl = tls_stash_take(w, tls, thaw_seal(&w->freezing->seal, &peer, item->session))))
        return NULL;
    bool exempt = conn_is_exempt(w, &peer);
    *cut = !guard_admit(w, &peer, exempt)  ? REPLY_EVICTED
           : !span_equal(words, our_words) ? REPLY_SHUTDOWN
                                           : REPLY_OK;
    struct conn *c = conn_new(w, item->fd, listener, &peer, exempt);
    if (!c) {
        SSL_free(ssl);
        return NULL;
    }
    if ((ssl && !tls_attach(w, c, ssl)) || session_thaw(&c->smtp, rest) < 0 ||
        (!ssl && !ours && !thaw_is_strangers(w, c))) {
        conn_detach(w, c);
        return NULL;
    }
    uint64_t held = w->loop.wall > r.since_ms ? w->loop.wall - r.since_ms : 0;
    c->flags |= r.flags & RECORD_GREETING ? CONN_GREETING : 0;
    c->flags |= r.flags & RECORD_PROXIED ? CONN_PROXIED : 0;
    c->offences = r.offences;
    c->messages = r.messages;
    c->last_code = r.last_code;
    c->held_ms = r.held_ms;
    c->opened_s = r.open_s >= OPEN_IS_WHEN ? r.open_s : (uint32_t)(r.since_ms / 1000) - r.open_s;
    c->since_ms = (uint32_t)(w->loop.now - held);
    return c;
}

void freeze_released(struct worker *w, const struct network *n)
{
    if (w->freezing)
        released_note(&w->freezing->released, n, w->loop.now);
}

/* What is left of its hold. Nothing, if its client was released while the connection was on its way
 * to the freezer and back: held_release() did not find it here, and the freezer had it no more. */
static uint64_t left_of(const struct worker *w, const struct conn *c, uint64_t due_ms)
{
    uint64_t since = w->loop.now - conn_waited(w, c);

    if (due_ms <= w->loop.wall ||
        released_lately(&w->freezing->released, &c->peer, since, w->loop.now))
        return 0;
    return due_ms - w->loop.wall;
}

/* Takes back a connection, whose reply is due at item->due_ms. While it was frozen, it counted in no
 * limit, so its client may have had many more than fit. */
static void adopt(struct worker *w, const struct handoff_item *item, bool ours)
{
    enum reply_id cut = REPLY_OK;
    struct conn *c = revive(w, item, ours, &cut);

    if (!c) {
        close(item->fd);
        worker_may_end(w);
        return;
    }
    uint64_t left = left_of(w, c, item->due_ms);
    PROBE2(thaw, c->watch.fd, left);
    journal_step(c, "thaws", "%.1f s are left of its hold", (double)left / 1000);
    if (w->stopping)
        hold_cut(w, c, left, REPLY_SHUTDOWN);
    else if (cut != REPLY_OK)
        hold_cut(w, c, left, cut);
    else
        hold_resume(w, c, left);
}

/* Prefetches the ledger's entries of all clients of a batch before the first connection is taken
 * back: guard_hold() reads their debts. */
static void prefetch_clients(struct worker *w)
{
    const struct handoff *in = &w->freezing->in;

    for (uint32_t i = 0; i < in->count && in->count > 1; i++) {
        struct addr peer = addr_of_peer(&in->item[i].remote);
        if (peer.family != ADDR_NONE)
            who_prefetch(w, &peer);
    }
}

/* From the slot's channel or our own. */
static void take_back(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct worker *w = worker_of(loop);
    struct freezing *f = w->freezing;

    for (int i = 0; i < TAKE_BATCHES; i++) {
        int r = handoff_read(watch->fd, &f->in);
        if (r != -EAGAIN)
            loop_moved(loop);
        if (r == -EBADMSG)
            continue;
        if (r != 1) {
            if (r != -EAGAIN && watch == &f->own)
                return_channel_is_lost(w);
            else if (r != -EAGAIN) /* only the master has the other end now: nothing will come */
                loop_forget(loop, watch);
            return;
        }
        prefetch_clients(w);
        for (uint32_t k = 0; k < f->in.count; k++)
            adopt(w, &f->in.item[k], false);
    }
}

int freeze_open(struct worker *w)
{
    if (w->params->freezer < 0)
        return 0;
    struct freezing *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->own.fd = -1;
    f->again.due = offer_again;
    if (getrandom(&f->name, sizeof f->name, 0) != (ssize_t)sizeof f->name ||
        getrandom(&f->seal, sizeof f->seal, 0) != (ssize_t)sizeof f->seal) {
        free(f);
        return -EIO;
    }
    f->name |= 1; /* 0 is none */
    f->watch = (struct watch){.fd = w->params->freezer, .events = EPOLLIN, .ready = take_back};
    w->freezing = f;
    return 0;
}

int freeze_start_taking(struct worker *w)
{
    return w->freezing ? loop_watch(&w->loop, &w->freezing->watch) : 0;
}

void freeze_stop_taking(struct worker *w)
{
    if (w->freezing)
        loop_forget(&w->loop, &w->freezing->watch);
}

void freeze_close(struct worker *w)
{
    if (!w->freezing)
        return;
    freeze_flush(w);
    freeze_stop_taking(w);
    if (w->freezing->own.fd >= 0)
        close(w->freezing->own.fd);
    buf_free(&w->freezing->record);
    free(w->freezing);
    w->freezing = NULL;
}
