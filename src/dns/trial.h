/* Tests whether DNS lists work, by their test entries (RFC 5782 section 5), at start and each hour.
 *
 * A working list has 127.0.0.2 and does not have 127.0.0.1; the same is true of ::ffff:127.0.0.2
 * and ::ffff:127.0.0.1. If a list's zone has expired and become a wildcard, or if the resolver
 * turns "no such name" into an address, then 127.0.0.1 and every other address seems to be listed.
 * An abandoned list has neither. The answers of a list that fails are ignored until it passes
 * again. Not thread-safe. */
#ifndef MIRED_DNS_TRIAL_H
#define MIRED_DNS_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct resolver;
struct lookup_list;

enum list_state {
    LIST_UNTRIED, /* not tested yet: its answers count */
    LIST_SOUND,
    LIST_WORLD,   /* has 127.0.0.1 */
    LIST_DEAD,    /* does not have 127.0.0.2 */
    LIST_REFUSES, /* does not serve this resolver */
    LIST_STATES
};

/* "sound", "lists everybody", ...: for status. */
const char *list_state_name(enum list_state s);

static inline bool list_counts(enum list_state s)
{
    return s == LIST_UNTRIED || s == LIST_SOUND;
}

enum { TRIAL_ENTRIES = 4, TRIAL_EACH_S = 3600, TRIAL_AGAIN_S = 300 /* for a list that fails */ };

/* The answer for one test entry. */
enum trial_answer { TRIAL_NOTHING /* no answer */, TRIAL_NO, TRIAL_YES, TRIAL_REFUSED };

/* The verdict from four answers: 127.0.0.2, 127.0.0.1, ::ffff:127.0.0.2, ::ffff:127.0.0.1. */
enum list_state trial_judge(const enum trial_answer a[TRIAL_ENTRIES], enum list_state before);

struct trial_params {
    struct loop *loop;
    struct resolver *resolver;
    const struct lookup_list *list; /* borrowed */
    size_t count;
    /* Called when a list's state has changed. */
    void (*changed)(void *arg, size_t list, enum list_state now);
    /* Called when the first round is over: all lists have been tested once. */
    void (*tried)(void *arg);
    void *arg;
};

struct trial;

/* Starts the first round at once; calls `tried` later. NULL without memory. */
struct trial *trial_open(const struct trial_params *params);
/* Call it before the resolver is closed, and trial_free() after that; late answers are ignored. */
void trial_close(struct trial *t);
void trial_free(struct trial *t);

/* Starts the next round now. */
void trial_begin_again(struct trial *t);

/* True until `tried` has been called. */
bool trial_is_open(const struct trial *t);
enum list_state trial_state(const struct trial *t, size_t list);

#endif
