/* Threads that look up the names of backends; see lookers.h. Runs in the first clerk. */
#include "backend/lookers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "backend/addresses.h"
#include "base/clock.h"
#include "base/cond.h"
#include "config/config.h"

enum { STACK = 1024 * 1024 }; /* libraries of the name service run on it */

struct name {
    size_t backend;  /* the first one with this name */
    uint64_t due_ms; /* monotonic: its next look-up */
    bool busy, slow, tried;
};

struct lookers {
    struct addresses *addresses;
    const struct config *config;
    pthread_mutex_t lock; /* what follows is shared */
    pthread_cond_t wake, tried;
    size_t untried;
    unsigned threads, slow; /* threads; those that look up a slow name */
    size_t names;
    struct name name[];
};

/* The name that has waited longest of those that may be looked up now. Else NULL, and *until_ms is
 * when one may be due. */
static struct name *next_name(struct lookers *l, uint64_t now, uint64_t *until_ms)
{
    bool no_slow = l->names > l->threads && l->slow > 0 && l->slow >= l->threads / 2;
    struct name *first = NULL;

    for (struct name *n = l->name; n < l->name + l->names; n++)
        if (!n->busy && !(n->slow && no_slow) && (!first || n->due_ms < first->due_ms))
            first = n;
    *until_ms = first ? first->due_ms : now + LOOKERS_EACH_S * 1000;
    return first && first->due_ms <= now ? first : NULL;
}

/* Without the lock while the resolver blocks. */
static void look_up(struct lookers *l, struct name *n)
{
    bool was_slow = n->slow;
    uint64_t begun = clock_mono_ms();

    n->busy = true;
    l->slow += was_slow;
    pthread_mutex_unlock(&l->lock);
    bool known = addresses_look_up(l->addresses, l->config, n->backend);
    pthread_mutex_lock(&l->lock);
    uint64_t now = clock_mono_ms();
    n->busy = false;
    n->slow = now > begun + LOOKERS_SLOW_MS;
    n->due_ms = now + (known ? LOOKERS_EACH_S : LOOKERS_AGAIN_S) * UINT64_C(1000);
    l->slow -= was_slow;
    if (!n->tried) {
        n->tried = true;
        l->untried--;
        pthread_cond_signal(&l->tried);
    }
    pthread_cond_signal(&l->wake); /* another thread may wait for a later time than this one's */
}

static void *run(void *arg)
{
    struct lookers *l = arg;
    uint64_t until_ms;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        struct name *n = next_name(l, clock_mono_ms(), &until_ms);
        if (n)
            look_up(l, n);
        else
            (void)cond_wait_until(&l->wake, &l->lock, until_ms);
    }
    return NULL;
}

static struct lookers *lookers_new(struct addresses *p, const struct config *config)
{
    struct lookers *l = calloc(1, sizeof *l + config->backend_count * sizeof l->name[0]);

    if (!l)
        return NULL;
    l->addresses = p;
    l->config = config;
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].host && addresses_first_of_name(config, i) == i)
            l->name[l->names++].backend = i;
    l->untried = l->names;
    pthread_mutex_init(&l->lock, NULL);
    cond_open(&l->wake);
    cond_open(&l->tried);
    return l;
}

/* Returns 0 if there is one thread at least. */
static int start_threads(struct lookers *l)
{
    size_t most = l->names < LOOKERS_MOST ? l->names : LOOKERS_MOST;
    pthread_attr_t attributes;
    pthread_t thread;
    int error = 0;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (!error && l->threads < most) {
        error = pthread_create(&thread, &attributes, run, l);
        l->threads += !error;
    }
    pthread_attr_destroy(&attributes);
    return l->threads ? 0 : error;
}

int lookers_start(struct addresses *p, const struct config *config, unsigned wait_s)
{
    struct lookers *l = lookers_new(p, config);

    if (!l)
        return -ENOMEM;
    uint64_t until = clock_mono_ms() + (uint64_t)wait_s * 1000;
    bool in_time = true;
    pthread_mutex_lock(&l->lock);
    int error = start_threads(l);
    while (!error && l->untried && in_time)
        in_time = cond_wait_until(&l->tried, &l->lock, until);
    pthread_mutex_unlock(&l->lock);
    if (error) /* no thread has it */
        free(l);
    return -error;
}
