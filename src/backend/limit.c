/* A backend that accepts few connections; see limit.h. */
#include "backend/limit.h"

#include <unistd.h>

#include "backend/pool_part.h"
#include "base/container.h"
#include "base/log.h"
#include "base/sharing.h"

/* Another worker says every POOL_SHARE_MS that it has links, so a word of this age still counts. */
enum {
    FRESH_MS = 3 * POOL_SHARE_MS,
    LOOK_MS = 50, /* between two looks while deliveries end */
};

static uint64_t now_of(const struct backend *b)
{
    return b->pool->params.loop->now;
}

static struct sharing *sharing_of(const struct backend *b)
{
    return b->pool->params.slots > 1 ? b->pool->params.sharing : NULL;
}

/* Links that have served, without `but`. */
static uint32_t serving(const struct backend *b, const struct link *but)
{
    uint32_t n = 0;

    for (const struct link *l = b->links; l; l = l->next)
        n += l != but && l->outbound.served;
    return n;
}

static bool spoke_lately(const struct backend *b)
{
    return b->spoke_ms && b->spoke_ms + POOL_SERVES_MS > now_of(b);
}

static bool left_lately(const struct backend *b)
{
    return b->left_ms && b->left_ms + POOL_LEFT_MS > now_of(b);
}

/* Whether the backend serves other workers, or still counts a connection that this one has closed. */
static bool serves_elsewhere(const struct backend *b)
{
    struct sharing *s = sharing_of(b);
    uint64_t word = s ? sharing_last_answer(s, b->share_id) : 0;

    if (left_lately(b))
        return true;
    if (word == b->told_us || word < b->heard_us)
        word = b->heard_us;
    return word && word / 1000 + FRESH_MS > now_of(b);
}

/* When several workers connect at the same moment, nobody can have said yet that the backend serves
 * it: then one more attempt shows. */
static uint64_t grace(const struct backend *b)
{
    return sharing_of(b) ? POOL_ASK_MS : 0;
}

static void want(struct backend *b, uint32_t lines)
{
    struct sharing *s = sharing_of(b);

    if (s)
        sharing_want(s, b->share_id, (uint32_t)getpid(), lines, now_of(b) * 1000);
}

static void try_at(struct backend *b, uint64_t at)
{
    if (!b->pool->closing)
        loop_alarm(b->pool->params.loop, &b->retry, at);
}

/* Whether the limit has not been logged for long; it is now. */
static bool may_tell(struct backend *b)
{
    return log_is_due(&b->limit_told_ms, POOL_LIMIT_TELL_MS, now_of(b));
}

/* The administrator may raise the limit. An SMTP reply is logged by health_complain(). */
static void log_limit(struct backend *b, uint32_t links)
{
    if (!may_tell(b))
        return;
    if (links)
        log_warn("backend %s works, but refuses more than %u connections of this worker",
                 b->config->name, links);
    else
        log_warn("backend %s serves other workers, but refuses all connections of this one",
                 b->config->name);
}

/* No more links than these are tried for so long. */
static void stay_at(struct backend *b, uint32_t links, uint64_t ms)
{
    b->room = links;
    b->limited_ms = now_of(b) + ms;
    try_at(b, b->limited_ms);
}

/* Until the next attempt of a worker that has waited for `ms`. The longer it has waited, the more
 * often it tries, and each tries while the one that gave a link opens none. */
static uint64_t ask_pause(uint64_t ms)
{
    _Static_assert(POOL_ASK_MAX_MS < POOL_GIVE_MS, "else a gift may be missed");

    if (ms == 0)
        return POOL_ASK_MS;
    return POOL_ASK_MAX_MS - (POOL_ASK_MAX_MS - POOL_ASK_MS) * ms / POOL_DOUBT_MS;
}

bool limit_refused(struct backend *b, const struct link *l, bool silent)
{
    uint64_t now = now_of(b);
    uint32_t links = serving(b, l);

    b->apart = l && l->lasting;
    if (!b->apart) { /* it is crowded */
        b->gave = false;
        b->deaf_ms = 0;
    }
    /* A silent backend must have said something since this link was begun. */
    bool mute = silent && l && b->spoke_ms < l->opened_ms;
    if (links && spoke_lately(b) && !mute) {
        /* It may still count one that was just closed, so fewer than it accepts may be left. */
        bool left = left_lately(b);
        if (!left && !b->apart)
            log_limit(b, links);
        if (pool_line_any(b) && !b->apart)
            want(b, links);
        stay_at(b, links, left ? POOL_ASK_MS : POOL_LIMITED_MS);
        return true;
    }
    bool down = b->known && !b->up;
    if (silent || down || links || b->apart)
        return false;
    if (!b->doubted_ms)
        b->doubted_ms = now;
    if (now - b->doubted_ms >= (serves_elsewhere(b) ? POOL_DOUBT_MS : grace(b)))
        return false;
    if (now - b->doubted_ms >= POOL_GIVE_MS * 2)
        log_limit(b, 0);
    want(b, 0);
    b->turn++; /* they may use another address of its name */
    b->ask_ms = now + ask_pause(now - b->doubted_ms);
    try_at(b, b->ask_ms);
    return true;
}

bool limit_short(struct backend *b, const char *why)
{
    uint32_t links = serving(b, NULL);

    b->apart = true;
    if (!links || !spoke_lately(b))
        return false;
    if (may_tell(b))
        log_error("backend %s works, but this worker cannot open more than %u connections: %s",
                  b->config->name, links, why);
    stay_at(b, links, POOL_LIMITED_MS);
    return true;
}

void limit_hurry(struct backend *b)
{
    b->doubted_ms = 0;
    if (b->apart || serving(b, NULL) || !serves_elsewhere(b))
        return;
    want(b, 0);
    try_at(b, now_of(b) + POOL_GIVE_MS - POOL_ASK_MS);
}

uint32_t limit_most(const struct backend *b)
{
    bool limited = b->give || now_of(b) < b->limited_ms;

    return limited && b->room < b->open_max ? b->room : b->open_max;
}

bool limit_asks(const struct backend *b)
{
    return b->doubted_ms && now_of(b) < b->ask_ms;
}

bool limit_waits(const struct backend *b)
{
    return b->doubted_ms || limit_most(b) == 0;
}

/* Tells the others that this worker has links. Its word takes the place of another worker's, which
 * it must not hide from this one. */
static void tell(struct backend *b, struct sharing *s)
{
    uint64_t word = sharing_last_answer(s, b->share_id);

    if (word != b->told_us)
        b->heard_us = word;
    b->told_us = now_of(b) * 1000 + (uint64_t)getpid() % 1000; /* no other worker's word is equal */
    sharing_answered(s, b->share_id, b->told_us);
}

static struct link *idle_link(const struct backend *b)
{
    struct link *l = b->links;

    while (l && (l->outbound.state != OUTBOUND_IDLE || l->delivery))
        l = l->next;
    return l;
}

/* Another worker gets one of `links` links: an idle one now, else the next that ends its delivery.
 * This worker opens none until then and for a moment afterwards, and gives no more than one in that
 * time, no matter which one asks. */
static void give(struct backend *b, uint32_t links)
{
    struct link *l = idle_link(b);

    b->give = true;
    b->room = links - 1;
    if (l) {
        pool_link_quit(l);
        pool_link_close(l);
    }
}

/* The other worker has the whole of the pause to connect, however long the link was busy. */
static void gave(struct backend *b)
{
    b->give = false;
    b->gave = true;
    b->gave_ms = now_of(b);
    b->room = serving(b, NULL);
    b->limited_ms = b->gave_ms + POOL_GIVE_MS;
    limit_go_on(b);
}

void limit_ready(struct backend *b, const struct link *l)
{
    b->doubted_ms = 0;
    if (b->gave && l->opened_ms > b->gave_ms) {
        b->gave = false;
        b->deaf_ms = now_of(b) + POOL_DEAF_MS;
    }
}

static bool is_greeted(const struct link *l)
{
    switch (l->outbound.state) {
    case OUTBOUND_GREETING:
    case OUTBOUND_DEAD: return false;
    case OUTBOUND_SHAKE: /* implicit TLS begins before the greeting */
        return l->backend->config->tls != TLS_IMPLICIT;
    default: return true;
    }
}

/* Whether a new link was welcome, although it is not ready yet. After a refusal that is no sign: the
 * backend may greet each connection and then refuse it, and workers would deceive each other. */
static bool any_welcome(const struct backend *b)
{
    const struct link *l = b->links;
    bool refuses = b->doubted_ms || (b->known && !b->up);

    while (l && !(l->outbound.served || (is_greeted(l) && !refuses)))
        l = l->next;
    return l;
}

void limit_look(struct backend *b)
{
    struct sharing *s = sharing_of(b);
    uint64_t now = now_of(b);

    if (!s || now < b->looked_ms + LOOK_MS || !any_welcome(b))
        return;
    uint32_t links = serving(b, NULL);
    b->looked_ms = now;
    if (links == 0 || spoke_lately(b) || idle_link(b))
        tell(b, s);
    if (links && !b->give && now >= b->gave_ms + POOL_GIVE_MS && now >= b->deaf_ms &&
        sharing_must_give(s, b->share_id, (uint32_t)getpid(), links, now * 1000))
        give(b, links);
    if (b->links)
        loop_alarm(b->pool->params.loop, &b->share, now + POOL_SHARE_MS);
}

/* Whether a new link has long had no answer. A client's own link says nothing. */
static bool is_kept_waiting(const struct backend *b)
{
    const struct link *l = b->links;

    while (l && !(l->connecting && !is_greeted(l) && !link_is_of_client(l) &&
                  now_of(b) >= l->opened_ms + POOL_SILENT_MS))
        l = l->next;
    return l;
}

/* A server whose processes are all taken leaves a connection unanswered until one is free. */
static void look_at_silence(struct backend *b)
{
    if (!sharing_of(b) || !b->connecting || serving(b, NULL))
        return;
    if (is_kept_waiting(b) && serves_elsewhere(b))
        want(b, 0);
    loop_alarm(b->pool->params.loop, &b->share, now_of(b) + POOL_SHARE_MS);
}

static void share_due(struct loop *loop, struct alarm *a)
{
    struct backend *b = container_of(a, struct backend, share);

    limit_look(b);
    look_at_silence(b);
}

void limit_opened(struct backend *b)
{
    look_at_silence(b);
}

void limit_go_on(struct backend *b)
{
    if (limit_asks(b))
        try_at(b, b->ask_ms);
    else if (pool_line_first(b) && now_of(b) < b->limited_ms)
        try_at(b, b->limited_ms);
}

void limit_left(struct backend *b, bool works)
{
    if (b->give)
        gave(b);
    if (works)
        b->left_ms = now_of(b);
}

void limit_open(struct backend *b)
{
    struct sharing *s = sharing_of(b);

    b->share.due = share_due;
    if (s)
        b->share_id = sharing_id(s, span_of(b->config->name));
}

void limit_close(struct backend *b)
{
    loop_alarm_off(b->pool->params.loop, &b->share);
}
