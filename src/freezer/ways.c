/* Ways to the workers; see ways.h. Runs in the freezer. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "freezer/ways.h"

int ways_open(struct ways *w, struct loop *loop, const struct freezer_kit *kit)
{
    *w = (struct ways){.loop = loop, .kit = kit};
    w->slot = calloc(kit->slots, sizeof *w->slot);
    if (!w->slot)
        return -ENOMEM;
    for (uint32_t i = 0; i < kit->slots; i++) {
        w->slot[i].watch = (struct watch){.fd = kit->slot[i], .events = EPOLLIN};
        w->slot[i].of = w;
    }
    return 0;
}

/* ---- sending ---- */

void way_flush(struct way *way)
{
    struct ways *w = way->of;
    uint32_t n = way->out.count;
    int fd[HANDOFF_BATCH];

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        fd[i] = way->out.item[i].fd;
    int r = handoff_send(way->watch.fd, &way->out);
    if (r == -EPIPE || r == -ECONNRESET) { /* a worker that has died with its way */
        w->lost += n;
        way->out.count = 0;
        way->out.used = 0;
    } else if (r < 0) {
        loop_want(w->loop, &way->watch, EPOLLOUT); /* nothing is read meanwhile: see slot_ready() */
        return;
    }
    loop_want(w->loop, &way->watch, EPOLLIN);
    for (uint32_t i = 0; i < n; i++)
        close(fd[i]);
}

void ways_flush(struct ways *w)
{
    for (uint32_t i = 0; i < w->kit->slots; i++)
        way_flush(&w->slot[i]);
    for (struct way *way = w->own; way; way = way->next)
        way_flush(way);
}

struct way *ways_find(struct ways *w, uint32_t slot, uint32_t name)
{
    uint32_t taking = w->kit->shared->slots;

    if (name) {
        struct way *way = w->own;
        while (way && way->name != name)
            way = way->next;
        return way;
    }
    if (taking == 0 || taking > w->kit->slots)
        taking = w->kit->slots;
    return &w->slot[slot % taking];
}

static bool has_room(const struct way *way, size_t octets)
{
    return way->out.count + way->promised < HANDOFF_BATCH &&
           way->out.used + way->octets + octets <= HANDOFF_OCTETS;
}

bool way_promise(struct way *way, size_t octets)
{
    if (!has_room(way, octets))
        way_flush(way);
    if (!has_room(way, octets))
        return false;
    way->promised++;
    way->octets += (uint32_t)octets;
    return true;
}

void way_excuse(struct way *way, size_t octets)
{
    way->promised--;
    way->octets -= (uint32_t)octets;
}

void way_give(struct way *way, const struct handoff_item *item)
{
    way_excuse(way, item->session.len);
    handoff_add(&way->out, item); /* which has room: it was promised */
}

bool ways_return(struct ways *w, uint32_t slot, const struct handoff_item *item)
{
    struct way *way = ways_find(w, slot, item->way);

    if (!way || !way_promise(way, item->session.len))
        return false;
    way_give(way, item);
    return true;
}

/* ---- workers' own ---- */

static void forget(struct way *way)
{
    struct ways *w = way->of;
    struct way **p = &w->own;

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
    struct way *way = (struct way *)watch;

    if (events & ~(uint32_t)EPOLLOUT) /* nothing ever comes in on it but its end */
        forget(way);
    else
        way_flush(way);
}

void ways_add(struct ways *w, const struct handoff_item *item)
{
    struct way *old = item->way ? ways_find(w, 0, item->way) : NULL;
    struct way *way = item->way ? calloc(1, sizeof *way) : NULL;

    if (old)
        forget(old);
    if (way) {
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

void ways_close(struct ways *w)
{
    while (w->own)
        forget(w->own);
    free(w->slot);
}
