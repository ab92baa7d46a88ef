/* Return channels to the workers; see return_channels.h. Runs in the freezer. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "freezer/return_channels.h"

/* Channels of workers' own. A slot has one of each worker that has frozen holds, also of those that
 * only wait for them after reloads. A worker that was taken over must not take all descriptors. */
enum { OWN_MOST = 4096, OWN_LEAST = 16 };

int return_channels_open(struct return_channels *w, struct loop *loop, struct calls *calls,
                         const struct freezer_params *params)
{
    *w = (struct return_channels){.loop = loop, .params = params, .calls = calls};
    w->slot = calloc(params->slots, sizeof *w->slot);
    if (!w->slot)
        return -ENOMEM;
    for (uint32_t i = 0; i < params->slots; i++) {
        w->slot[i].watch = (struct watch){.fd = params->slot[i], .events = EPOLLIN};
        w->slot[i].of = w;
    }
    return 0;
}

/* ---- sending ---- */

void return_channel_flush(struct return_channel *way)
{
    struct return_channels *w = way->of;
    uint32_t n = way->out.count;
    int fd[HANDOFF_BATCH];

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        fd[i] = way->out.item[i].fd;
    int r = handoff_send(way->watch.fd, &way->out);
    if (r == -EPIPE || r == -ECONNRESET) { /* the worker of this channel has died */
        w->lost += n;
        way->out.count = 0;
        way->out.used = 0;
    } else if (r < 0) {
        loop_want(w->loop, &way->watch, EPOLLOUT); /* nothing is read meanwhile: see slot_ready() */
        return;
    }
    loop_want(w->loop, &way->watch, EPOLLIN);
    calls_close_all(w->calls, fd, n);
}

void return_channels_flush(struct return_channels *w)
{
    for (uint32_t i = 0; i < w->params->slots; i++)
        return_channel_flush(&w->slot[i]);
    for (struct return_channel *way = w->own; way; way = way->next)
        return_channel_flush(way);
}

struct return_channel *return_channels_find(struct return_channels *w, uint32_t slot, uint32_t name)
{
    uint32_t taking = w->params->shared->slots;

    if (name) {
        struct return_channel *way = w->own;
        while (way && way->name != name)
            way = way->next;
        return way;
    }
    if (taking == 0 || taking > w->params->slots)
        taking = w->params->slots;
    return &w->slot[slot % taking];
}

static bool has_room(const struct return_channel *way, size_t octets)
{
    return way->out.count + way->promised < HANDOFF_BATCH &&
           way->out.used + way->octets + octets <= HANDOFF_OCTETS;
}

bool return_channel_promise(struct return_channel *way, size_t octets)
{
    if (!has_room(way, octets))
        return_channel_flush(way);
    if (!has_room(way, octets))
        return false;
    way->promised++;
    way->octets += (uint32_t)octets;
    return true;
}

void return_channel_excuse(struct return_channel *way, size_t octets)
{
    way->promised--;
    way->octets -= (uint32_t)octets;
}

void return_channel_give(struct return_channel *way, const struct handoff_item *item)
{
    return_channel_excuse(way, item->session.len);
    handoff_add(&way->out, item); /* there is room: it was reserved */
}

bool return_channels_return(struct return_channels *w, uint32_t slot,
                            const struct handoff_item *item)
{
    struct return_channel *way = return_channels_find(w, slot, item->way);

    if (!way || !return_channel_promise(way, item->session.len))
        return false;
    return_channel_give(way, item);
    return true;
}

/* ---- workers' own channels ---- */

static void forget(struct return_channel *way)
{
    struct return_channels *w = way->of;
    struct return_channel **p = &w->own;

    while (*p != way)
        p = &(*p)->next;
    *p = way->next;
    for (uint32_t i = 0; i < way->out.count; i++)
        close(way->out.item[i].fd);
    w->lost += way->out.count;
    loop_forget(w->loop, &way->watch);
    close(way->watch.fd);
    free(way);
}

static void own_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    struct return_channel *way = (struct return_channel *)watch;

    if (events & ~(uint32_t)EPOLLOUT) /* only its end can come in on it */
        forget(way);
    else
        return_channel_flush(way);
}

/* Closes the slot's oldest channel if it has its share. New ones are at the head of the list. */
static void make_room(struct return_channels *w, uint32_t slot)
{
    uint32_t share = OWN_MOST / w->params->slots, has = 0;
    struct return_channel *oldest = NULL;

    for (struct return_channel *way = w->own; way; way = way->next)
        if (way->slot == slot) {
            oldest = way;
            has++;
        }
    if (has >= (share > OWN_LEAST ? share : OWN_LEAST))
        forget(oldest);
}

void return_channels_add(struct return_channels *w, uint32_t slot, const struct handoff_item *item)
{
    struct return_channel *old = item->way ? return_channels_find(w, 0, item->way) : NULL;
    bool is_free = item->way && (!old || old->slot == slot);
    struct return_channel *way = is_free ? calloc(1, sizeof *way) : NULL;

    if (old && old->slot == slot)
        forget(old);
    if (way) {
        make_room(w, slot);
        way->slot = slot;
        way->watch = (struct watch){.fd = item->fd, .events = EPOLLIN, .ready = own_ready};
        way->of = w;
        way->name = item->way;
    }
    if (!way || loop_watch(w->loop, &way->watch) < 0) {
        free(way);
        close(item->fd); /* which tells the worker */
        return;
    }
    way->next = w->own;
    w->own = way;
}

void return_channels_close(struct return_channels *w)
{
    while (w->own)
        forget(w->own);
    free(w->slot);
}
