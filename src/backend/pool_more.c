/* Decides when a backend gets another link, and which deliveries wait for one; see pool_part.h.
 *
 * A backend with a PROXY header gets a link for each delivery, in its client's name. If that is refused
 * when the header has been sent, it may be this client that is refused, or everybody. Clients can have
 * themselves refused as often as they like, so this alone changes nothing for others: the delivery stands
 * aside, and a link in mired's own name shows whether the backend accepts fewer connections (limit.h),
 * is down, or is well. Everything runs in the worker's loop, and nothing blocks. */
#include "backend/limit.h"
#include "backend/pool_part.h"
#include "base/container.h"

bool pool_may_open(const struct backend *b)
{
    return b->open < limit_most(b) && !limit_asks(b);
}

/* Whether a new link in mired's own name is on its way: what it hears counts for all. */
static bool is_asked(const struct backend *b)
{
    const struct link *l = b->links;

    while (l && !(l->connecting && !l->reserved))
        l = l->next;
    return l;
}

void pool_more_links(struct backend *b)
{
    struct delivery *d = pool_line_first(b);

    if (!d || !pool_may_open(b) || b->pool->closing)
        return;
    if (b->doubted_ms) { /* a link for one client could not show that it is over */
        if (!is_asked(b))
            pool_link_open(b, NULL);
    } else if (pool_is_single(b)) {
        int error = pool_link_open(b, d);
        if (error == POOL_NOT_NOW) /* it keeps its turn */
            return;
        (void)pool_line_take(b);
        loop_alarm_off(b->pool->params.loop, &d->alarm);
        if (error)
            b->pool->params.broke(d, false);
    } else if (b->connecting == 0) {
        pool_link_open(b, NULL);
    }
}

void pool_ask_for_all(struct backend *b)
{
    uint64_t now = b->pool->params.loop->now;
    bool lately = b->probed_ms && now < b->probed_ms + POOL_PROBE_MS;

    if (lately || is_asked(b) || !pool_may_open(b) || b->pool->closing)
        return;
    b->probed_ms = now;
    pool_link_open(b, NULL);
}

/* Those that stand aside come back to the line when their time has come; `all`: at once. */
static void let_back(struct backend *b, bool all)
{
    struct loop *loop = b->pool->params.loop;

    for (struct delivery *d; (d = pool_line_back(b, all));) {
        if (!pool_line_add(b, d)) {
            loop_alarm_off(loop, &d->alarm);
            b->pool->params.broke(d, false);
        } else if (!all) {
            pool_more_links(b);
        }
    }
    if (b->aside)
        loop_alarm(loop, &b->back, loop->now + POOL_ASK_MS);
}

static void back_due(struct loop *loop, struct alarm *a)
{
    struct backend *b = container_of(a, struct backend, back);

    let_back(b, false);
    pool_send_away(b);
    limit_go_on(b);
}

void pool_stand_aside(struct backend *b, struct delivery *d)
{
    pool_line_stand_aside(b, d);
    b->back.due = back_due;
    if (!b->back.timer.prev)
        loop_alarm(b->pool->params.loop, &b->back, b->pool->params.loop->now + POOL_ASK_MS);
}

void pool_send_away(struct backend *b)
{
    if (b->known && !b->up)
        let_back(b, true);
    while (pool_line_first(b) && b->open == 0 && !limit_waits(b)) {
        struct delivery *waiting = pool_line_first(b);
        pool_drop(waiting);
        b->pool->params.broke(waiting, false);
    }
}

void pool_retry(struct loop *loop, struct alarm *a)
{
    struct backend *b = container_of(a, struct backend, retry);
    bool probe = !b->up || (b->probe && b->open == 0), any = pool_line_any(b);

    pool_more_links(b);
    if ((probe || (b->doubted_ms && any)) && !is_asked(b) && pool_may_open(b))
        pool_link_open(b, NULL);
    if (!probe && !any)
        b->doubted_ms = 0; /* nobody needs a link any more */
    pool_send_away(b);
    limit_go_on(b);
}
