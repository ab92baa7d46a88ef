/* To the freezer and back (docs/frozen.md).
 *
 * A hold that is to be frozen goes with the turn's batch: the session's record, when its reply is
 * due, and the descriptor, which is closed here once the batch is sent (the freezer has it then).
 * What comes back is a connection whose reply is due, or one that could not be frozen, which is
 * held on as an ordinary one. What a record does not hold is not needed: the session's words are
 * all in it, and the client's debt is in the ledger. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "freezer/handoff.h"
#include "worker/conn.h"

/* In front of the session's own record. */
struct freeze_record {
    uint8_t version;
    uint8_t flags; /* enum record_flag */
    uint16_t offences, messages, last_code;
    uint32_t held_ms;
    uint32_t open_s;   /* for how long, when the hold began */
    uint64_t since_ms; /* wall: when the hold began */
};

enum record_flag { RECORD_GREETING = 1 };

static_assert(sizeof(struct freeze_record) == 24, "a frozen hold is 256 octets in all");

enum { FREEZE_VERSION = 2, WORTH_FREEZING_MS = 500, TAKE_BATCHES = 8 };

struct freezing {
    struct watch watch;
    struct handoff out, in;
    struct buf record;
};

bool freeze_may(const struct worker *w, const struct conn *c)
{
    return w->freezing && !w->stopping && !(c->smtp.flags & SMTP_TLS_ON) &&
           !(c->flags & CONN_PROXIED) && /* who it is would be lost with the socket */
           c->hold_ms > w->tarpit.rules.freeze_after + WORTH_FREEZING_MS;
}

static int make_record(const struct worker *w, const struct conn *c, struct buf *out)
{
    struct freeze_record r = {
        .version = FREEZE_VERSION,
        .offences = c->offences,
        .messages = c->messages,
        .last_code = c->last_code,
        .held_ms = c->held_ms,
        .open_s = (uint32_t)((w->loop.now - conn_waited(w, c)) / 1000) - c->opened_s,
        .since_ms = w->loop.wall - conn_waited(w, c),
        .flags = c->flags & CONN_GREETING ? RECORD_GREETING : 0,
    };
    int e = buf_add(out, &r, sizeof r);
    return e < 0 ? e : session_freeze(&c->smtp, out);
}

bool freeze_try(struct worker *w, struct conn *c)
{
    struct freezing *f = w->freezing;
    uint64_t waited = conn_waited(w, c);
    uint64_t due = w->loop.wall + (c->hold_ms > waited ? c->hold_ms - waited : 0);

    /* Input that waits here, or output that does not go out, is for a socket. */
    if (!f || !w->kit->freezer_shared->working || c->work || c->flags & CONN_READ_OFF)
        return false;
    f->record.len = 0;
    if (make_record(w, c, &f->record) < 0)
        return false;
    if (f->out.count == HANDOFF_BATCH)
        freeze_flush(w);
    if (handoff_add(&f->out, &(struct handoff_item){.fd = c->watch.fd,
                                                    .due_ms = due,
                                                    .session = buf_span(&f->record)}) < 0)
        return false;
    conn_detach(w, c);
    return true;
}

static void adopt(struct worker *w, const struct handoff_item *item);

void freeze_flush(struct worker *w)
{
    struct freezing *f = w->freezing;
    int fd[HANDOFF_BATCH];

    if (!f || f->out.count == 0)
        return;
    uint32_t n = f->out.count;
    for (uint32_t i = 0; i < n; i++)
        fd[i] = f->out.item[i].fd;
    if (handoff_send(f->watch.fd, &f->out) == 0) {
        for (uint32_t i = 0; i < n; i++)
            close(fd[i]);
        return;
    }
    /* The freezer has too much to do: these are ordinary holds again. */
    f->out.count = 0;
    f->out.used = 0;
    for (uint32_t i = 0; i < n; i++)
        adopt(w, &f->out.item[i]);
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

static uint16_t listener_of(const struct worker *w, const struct addr *local)
{
    uint16_t best = 0;

    for (size_t i = 0; i < w->config->listen_count; i++) {
        const struct addr *a = &w->config->listen[i].addr;
        if (a->port != local->port)
            continue;
        best = (uint16_t)i;
        if (addr_equal(a, local))
            break;
    }
    return best;
}

static struct conn *revive(struct worker *w, const struct handoff_item *item)
{
    struct addr local = item->local, peer = item->remote;
    struct freeze_record r;

    if (item->session.len < sizeof r)
        return NULL;
    memcpy(&r, item->session.at, sizeof r);
    if (local.family == ADDR_NONE)
        local = ask_kernel(getsockname, item->fd);
    if (peer.family == ADDR_NONE)
        peer = ask_kernel(getpeername, item->fd);
    if (r.version != FREEZE_VERSION || peer.family == ADDR_NONE)
        return NULL;
    struct conn *c = conn_new(w, item->fd, listener_of(w, &local), &peer, conn_is_exempt(w, &peer));
    if (!c)
        return NULL;
    if (session_thaw(&c->smtp, span_after(item->session, sizeof r)) < 0) {
        conn_detach(w, c);
        return NULL;
    }
    uint64_t held = w->loop.wall > r.since_ms ? w->loop.wall - r.since_ms : 0;
    c->flags |= r.flags & RECORD_GREETING ? CONN_GREETING : 0;
    c->offences = r.offences;
    c->messages = r.messages;
    c->last_code = r.last_code;
    c->held_ms = r.held_ms;
    c->opened_s = (uint32_t)((w->loop.now - held) / 1000) - r.open_s;
    c->since_ms = (uint32_t)(w->loop.now - held);
    return c;
}

/* A connection is ours again, its reply due at item->due_ms. */
static void adopt(struct worker *w, const struct handoff_item *item)
{
    struct conn *c = revive(w, item);

    if (!c) {
        close(item->fd);
        return;
    }
    uint64_t left = item->due_ms > w->loop.wall ? item->due_ms - w->loop.wall : 0;
    hold_resume(w, c, left);
}

static void take_back(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct worker *w = worker_of(loop);
    struct freezing *f = w->freezing;

    for (int i = 0; i < TAKE_BATCHES; i++) {
        int r = handoff_read(watch->fd, &f->in);
        if (r == -EBADMSG)
            continue;
        if (r != 1)
            return;
        for (uint32_t k = 0; k < f->in.count; k++)
            adopt(w, &f->in.item[k]);
    }
}

int freeze_open(struct worker *w)
{
    if (w->kit->freezer < 0)
        return 0;
    struct freezing *f = calloc(1, sizeof *f);
    if (!f)
        return -ENOMEM;
    f->watch = (struct watch){.fd = w->kit->freezer, .events = EPOLLIN, .ready = take_back};
    int r = loop_watch(&w->loop, &f->watch);
    if (r < 0) {
        free(f);
        return r;
    }
    w->freezing = f;
    return 0;
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
    buf_free(&w->freezing->record);
    free(w->freezing);
    w->freezing = NULL;
}
