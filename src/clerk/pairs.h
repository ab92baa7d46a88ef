/* A clerk's sockets to its askers (workers, and the web process): for each answer slot two queues of
 * queries and one of answers, and this clerk's own queues, for second messages of SCRAM logins
 * (query/query.h).
 *
 * Each asker has pairs of its own, because an attacker may have taken one over. It can shut them
 * down, flood them or leave its answers unread, and the others are still served: no call here waits,
 * every queue that has queries gets the same turn, and a query counts only if it names the slot to
 * which its pair belongs.
 *
 * If an asker does not take its answers, they are kept here (up to PAIRS_KEPT_MAX; later ones are
 * dropped, and the asker's own timer answers), and this clerk takes no query from it until it has
 * taken them.
 *
 * The descriptors are watched in the clerk's epoll set: data.u64 is pairs_event(). Not
 * thread-safe. */
#ifndef MIRED_CLERK_PAIRS_H
#define MIRED_CLERK_PAIRS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "query/query.h"

struct pairs;

enum { PAIRS_KEPT_MAX = 1024 };

enum pairs_what { PAIRS_FIRST, PAIRS_STRANGERS, PAIRS_OWN, PAIRS_ANSWERS, PAIRS_WHATS };

struct pairs_params {
    int (*ask)[QUERY_QUEUES]; /* for each slot; -1: this clerk does not take them */
    const int *answer;        /* for each slot */
    uint32_t slots;
    const int *own; /* own[i] has the queries of the slots for which slot % owns is i */
    uint32_t owns;
};

/* Watches the queues in the epoll set. `params` is copied, its arrays must outlive the result. NULL,
 * and errno, if that fails. */
struct pairs *pairs_open(const struct pairs_params *params, int set);
void pairs_close(struct pairs *p);

/* data.u64 of an event. */
static inline uint64_t pairs_event(enum pairs_what what, uint32_t place)
{
    return (uint64_t)place << 32 | what;
}

/* Answers one query; q->head.slot is right. */
typedef void pairs_take(void *arg, struct query_packet *q);

/* Handles an event: sends kept answers, or takes queries for up to `us` microseconds, and at least
 * one. */
void pairs_ready(struct pairs *p, const struct epoll_event *event, uint64_t us, pairs_take *take,
                 void *arg);

/* Sends an answer, or keeps it. */
void pairs_answer(struct pairs *p, uint16_t slot, const struct answer *answer);

/* Watches what the kernel had no memory for. False: it still has none; call this again soon. To be
 * called before each wait. */
bool pairs_look_after(struct pairs *p);

/* Whether an asker is left. The master keeps both ends of the pairs, so the last one goes only
 * after an upgrade, when the workers of that generation have ended. */
bool pairs_are_left(const struct pairs *p);

#endif
