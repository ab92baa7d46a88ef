/* Are lists lists? Their test entries (RFC 5782 section 5), asked at start and each hour.
 *
 * A list has 127.0.0.2 in it and never 127.0.0.1, nor their IPv6 forms ::ffff:127.0.0.2 and
 * ::ffff:127.0.0.1. One whose zone has expired into a wildcard, or a resolver that answers "no such
 * name" with an address, has 127.0.0.1 too, and with it all the world; one that has been given up
 * has neither. What such a list says counts for nothing until it passes again. One thread. */
#ifndef MIRED_DNS_TRIAL_H
#define MIRED_DNS_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct resolver;
struct lookup_list;

enum list_state {
    LIST_UNTRIED, /* not asked, or not answered, yet: it counts */
    LIST_SOUND,
    LIST_WORLD,   /* has 127.0.0.1 */
    LIST_DEAD,    /* has not 127.0.0.2 */
    LIST_REFUSES, /* does not serve this resolver */
    LIST_STATES
};

/* "sound", "lists everybody", ...: for status. */
const char *list_state_name(enum list_state s);

static inline bool list_counts(enum list_state s)
{
    return s == LIST_UNTRIED || s == LIST_SOUND;
}

enum { TRIAL_ENTRIES = 4, TRIAL_EACH_S = 3600, TRIAL_AGAIN_S = 300 /* one that is not sound */ };

/* What was answered about an entry. */
enum trial_answer { TRIAL_NOTHING /* no answer */, TRIAL_NO, TRIAL_YES, TRIAL_REFUSED };

/* What the four come to: 127.0.0.2, 127.0.0.1, ::ffff:127.0.0.2, ::ffff:127.0.0.1. */
enum list_state trial_judge(const enum trial_answer a[TRIAL_ENTRIES], enum list_state before);

struct trial_params {
    struct loop *loop;
    struct resolver *resolver;
    const struct lookup_list *list; /* borrowed */
    size_t count;
    /* A list's state has changed. */
    void (*changed)(void *arg, size_t list, enum list_state now);
    /* The first round is over: all lists have been tried once. */
    void (*tried)(void *arg);
    void *arg;
};

struct trial;

/* NULL without memory. Begins at once; `tried` comes later. */
struct trial *trial_open(const struct trial_params *params);
/* Before the resolver is closed, whose last answers go to nobody. trial_free() after that. */
void trial_close(struct trial *t);
void trial_free(struct trial *t);

/* The next round, now. */
void trial_begin_again(struct trial *t);

/* True until `tried` has been called. */
bool trial_is_open(const struct trial *t);
enum list_state trial_state(const struct trial *t, size_t list);

#endif
