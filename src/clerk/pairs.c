/* A clerk's sockets to its askers; see pairs.h. */
#include "clerk/pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/channel.h"
#include "base/clock.h"
#include "base/log.h"

struct kept {
    struct kept *next;
    struct answer answer;
};

struct slot {
    struct kept *kept, **last; /* answers that the asker has not taken */
    uint32_t count;            /* of them */
    bool ended[QUERY_QUEUES];  /* the asker has shut this queue, or has ended */
    bool told;                 /* a warning has been logged */
    bool unwatched;            /* the kernel had no memory to watch what it should */
};

struct pairs {
    struct pairs_params params;
    int set;
    uint32_t left; /* slots whose first queue has not ended */
    struct slot slot[];
};

/* ---- watching ---- */

/* All clerks share the queues, and a query wakes one waiting clerk, not all (EPOLLEXCLUSIVE). */
static int watch(const struct pairs *p, int fd, enum pairs_what what, uint32_t place)
{
    struct epoll_event e = {.data.u64 = pairs_event(what, place)};

    e.events = what == PAIRS_ANSWERS ? EPOLLOUT
               : what == PAIRS_OWN   ? EPOLLIN
                                     : EPOLLIN | EPOLLEXCLUSIVE;
    return fd < 0 || epoll_ctl(p->set, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

static void forget(const struct pairs *p, int fd)
{
    if (fd >= 0)
        epoll_ctl(p->set, EPOLL_CTL_DEL, fd, NULL);
}

/* Whether a slot has a queue of its own for second messages. */
static bool has_own(const struct pairs *p)
{
    return p->params.owns == p->params.slots;
}

static int watch_queues(const struct pairs *p, uint32_t slot)
{
    int error = has_own(p) ? watch(p, p->params.own[slot], PAIRS_OWN, slot) : 0;

    for (int q = 0; q < QUERY_QUEUES && !error; q++)
        if (!p->slot[slot].ended[q])
            error = watch(p, p->params.ask[slot][q], (enum pairs_what)q, slot);
    return error;
}

static void forget_queues(const struct pairs *p, uint32_t slot)
{
    for (int q = 0; q < QUERY_QUEUES; q++)
        forget(p, p->params.ask[slot][q]);
    if (has_own(p))
        forget(p, p->params.own[slot]);
}

struct pairs *pairs_open(const struct pairs_params *params, int set)
{
    struct pairs *p = calloc(1, sizeof *p + params->slots * sizeof *p->slot);
    int error = 0;

    if (!p)
        return NULL;
    p->params = *params;
    p->set = set;
    p->left = params->slots;
    for (uint32_t i = 0; i < params->slots && !error; i++) {
        p->slot[i].last = &p->slot[i].kept;
        error = watch_queues(p, i);
    }
    for (uint32_t i = 0; i < params->owns && !error && !has_own(p); i++)
        error = watch(p, params->own[i], PAIRS_OWN, i);
    if (!error)
        return p;
    free(p);
    errno = -error;
    return NULL;
}

void pairs_close(struct pairs *p)
{
    for (uint32_t i = 0; p && i < p->params.slots; i++)
        while (p->slot[i].kept) {
            struct kept *k = p->slot[i].kept;
            p->slot[i].kept = k->next;
            free(k);
        }
    free(p);
}

bool pairs_are_left(const struct pairs *p)
{
    return p->left > 0;
}

/* ---- answers ---- */

/* False: there is no room for it now. */
static bool send_now(struct pairs *p, uint32_t slot, const struct answer *answer)
{
    int r = answer_send(p->params.answer[slot], answer);

    if (r == -EAGAIN)
        return false;
    if (r < 0 && !p->slot[slot].told) {
        p->slot[slot].told = true;
        log_warn("cannot send answers to worker %u: %s", slot, strerrordesc_np(-r));
    }
    return true;
}

/* Until there is room, no query is taken from this asker. */
static void keep(struct pairs *p, uint32_t slot, const struct answer *answer)
{
    struct slot *s = &p->slot[slot];
    struct kept *k = s->count < PAIRS_KEPT_MAX ? malloc(sizeof *k) : NULL;

    if (!k) {
        if (!s->told)
            log_warn("worker %u does not take its answers; some are dropped", slot);
        s->told = true;
        return;
    }
    k->next = NULL;
    k->answer = *answer;
    *s->last = k;
    s->last = &k->next;
    if (s->count++ == 0) {
        forget_queues(p, slot);
        s->unwatched = watch(p, p->params.answer[slot], PAIRS_ANSWERS, slot) < 0;
    }
}

static void send_kept(struct pairs *p, uint32_t slot)
{
    struct slot *s = &p->slot[slot];

    while (s->kept && send_now(p, slot, &s->kept->answer)) {
        struct kept *k = s->kept;
        s->kept = k->next;
        s->count--;
        free(k);
    }
    if (s->kept)
        return;
    s->last = &s->kept;
    forget(p, p->params.answer[slot]);
    s->unwatched = watch_queues(p, slot) < 0;
}

static void watch_again(struct pairs *p, uint32_t slot)
{
    struct slot *s = &p->slot[slot];

    if (s->kept) {
        s->unwatched = watch(p, p->params.answer[slot], PAIRS_ANSWERS, slot) < 0;
        return;
    }
    forget_queues(p, slot); /* some of them may be watched */
    s->unwatched = watch_queues(p, slot) < 0;
}

bool pairs_look_after(struct pairs *p)
{
    bool all = true;

    for (uint32_t i = 0; i < p->params.slots; i++) {
        if (p->slot[i].unwatched)
            watch_again(p, i);
        all = all && !p->slot[i].unwatched;
    }
    return all;
}

void pairs_answer(struct pairs *p, uint16_t slot, const struct answer *answer)
{
    if (slot < p->params.slots && (p->slot[slot].kept || !send_now(p, slot, answer)))
        keep(p, slot, answer);
}

/* ---- queries ---- */

static void end(struct pairs *p, int fd, enum pairs_what what, uint32_t place)
{
    forget(p, fd);
    if (what == PAIRS_OWN || p->slot[place].ended[what])
        return;
    p->slot[place].ended[what] = true;
    p->left -= what == PAIRS_FIRST;
}

static bool is_of_its_asker(const struct pairs *p, enum pairs_what what, uint32_t place,
                            uint16_t slot)
{
    if (what == PAIRS_OWN)
        return slot < p->params.slots && slot % p->params.owns == place;
    return slot == place;
}

static void take_queries(struct pairs *p, const struct epoll_event *event, uint64_t us,
                         pairs_take *take, void *arg)
{
    static struct query_packet q;
    enum pairs_what what = (enum pairs_what)(uint32_t)event->data.u64;
    uint32_t place = (uint32_t)(event->data.u64 >> 32), events = event->events;
    int fd = what == PAIRS_OWN ? p->params.own[place] : p->params.ask[place][what];
    uint64_t until = clock_mono_us() + us;

    do {
        int r = query_read(fd, &q); /* does not block: another clerk may have taken the query */
        if (r == 1 && is_of_its_asker(p, what, place, q.head.slot))
            take(arg, &q);
        if (r <= 0 && r != -EBADMSG) {
            if ((r != -EAGAIN || events & (EPOLLHUP | EPOLLERR)) && channel_has_ended(fd))
                end(p, fd, what, place);
            return;
        }
    } while (clock_mono_us() < until && !(what != PAIRS_OWN && p->slot[place].kept));
}

void pairs_ready(struct pairs *p, const struct epoll_event *event, uint64_t us, pairs_take *take,
                 void *arg)
{
    if ((uint32_t)event->data.u64 == PAIRS_ANSWERS)
        send_kept(p, (uint32_t)(event->data.u64 >> 32));
    else
        take_queries(p, event, us, take, arg);
}
