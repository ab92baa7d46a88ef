/* Threads that ask directories; see askers.h. Runs in clerks. */
#include "directory/askers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"

enum { STACK = 256 * 1024 };

struct asker {
    struct askers *all;
    struct asker *next_idle;
    struct task *task;
    pthread_cond_t wake;
    pthread_t thread;
    uint32_t number;
    void *rest_of; /* askers_rest() */
};

struct askers {
    struct askers_params params;
    pthread_mutex_t lock; /* of all below */
    struct asker *idle;   /* the one to use next first */
    struct task *done;
    int event;
    uint32_t made;
    bool stop;
    bool told; /* logged that no thread can be made */
    struct asker asker[];
};

/* ---- in a thread ---- */

/* Waits for a task. False: the end. */
static bool wait_for_task(struct asker *me)
{
    struct askers *a = me->all;
    uint64_t until = clock_mono_ms() + ASKERS_REST_S * 1000;
    bool rested = false;

    while (!me->task && !a->stop) {
        bool late = false;
        if (rested)
            pthread_cond_wait(&me->wake, &a->lock);
        else
            late = !cond_wait_until(&me->wake, &a->lock, until);
        void *to = me->rest_of;
        me->rest_of = NULL;
        if ((late || to) && !rested && !me->task) {
            rested = late; /* still idle: a task that comes while the lock is free waits */
            pthread_mutex_unlock(&a->lock);
            a->params.rest(a->params.arg, me->number, late ? NULL : to);
            pthread_mutex_lock(&a->lock);
        }
    }
    return me->task;
}

static void be_idle(struct askers *a, struct asker *me, bool preferred)
{
    struct asker **at = &a->idle;

    while (!preferred && *at)
        at = &(*at)->next_idle;
    me->next_idle = *at;
    *at = me;
}

static void *serve(void *arg)
{
    struct asker *me = arg;
    struct askers *a = me->all;
    const uint64_t one = 1;

    pthread_mutex_lock(&a->lock);
    while (wait_for_task(me)) {
        struct task *t = me->task;
        pthread_mutex_unlock(&a->lock);
        bool well = a->params.run(a->params.arg, me->number, t);
        pthread_mutex_lock(&a->lock);
        me->task = NULL;
        t->next = a->done;
        a->done = t;
        be_idle(a, me, well);
        (void)!write(a->event, &one, sizeof one);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- in the clerk's thread ---- */

struct askers *askers_open(const struct askers_params *params)
{
    struct askers *a = calloc(1, sizeof *a + params->most * sizeof a->asker[0]);

    if (!a)
        return NULL;
    a->params = *params;
    a->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (a->event < 0) {
        free(a); /* keeps errno */
        return NULL;
    }
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

bool askers_close(struct askers *a)
{
    bool busy = false;

    if (!a)
        return true;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    for (uint32_t i = 0; i < a->made; i++) {
        busy = busy || a->asker[i].task;
        pthread_cond_signal(&a->asker[i].wake);
    }
    pthread_mutex_unlock(&a->lock);
    if (busy)
        return false;
    for (uint32_t i = 0; i < a->made; i++) {
        pthread_join(a->asker[i].thread, NULL);
        pthread_cond_destroy(&a->asker[i].wake);
    }
    pthread_mutex_destroy(&a->lock);
    close(a->event);
    free(a);
    return true;
}

/* Signals are for the clerk's own thread. */
static int begin(struct asker *me)
{
    sigset_t all, before;
    pthread_attr_t attributes;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&me->thread, &attributes, serve, me);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* Makes a thread; the lock is held. NULL: there are enough, or the system allows no more. */
static struct asker *make(struct askers *a, struct task *t)
{
    if (a->made == a->params.most)
        return NULL;
    struct asker *me = &a->asker[a->made];
    *me = (struct asker){.all = a, .number = a->made, .task = t};
    cond_open(&me->wake);
    int error = begin(me);
    if (error) {
        if (!a->told)
            log_warn("only %u lookups at once: cannot create another thread: %s", a->made,
                     strerror(error));
        a->told = true;
        pthread_cond_destroy(&me->wake);
        return NULL;
    }
    a->made++;
    return me;
}

/* The place in the list of the first idle thread with such a connection that is to keep it, or NULL;
 * the lock is held. */
static struct asker **find_line(struct askers *a, const void *to)
{
    for (struct asker **at = &a->idle; *at && a->params.has_line; at = &(*at)->next_idle)
        if (!(*at)->rest_of && a->params.has_line(a->params.arg, (*at)->number, to))
            return at;
    return NULL;
}

/* Takes the idle thread that is best for the task; the lock is held. NULL: none is idle. */
static struct asker *take_idle(struct askers *a, const struct task *t)
{
    struct asker **line = find_line(a, t->to), **at = line ? line : &a->idle;
    struct asker *one = *at;

    if (one)
        *at = one->next_idle;
    return one;
}

bool askers_put(struct askers *a, struct task *t)
{
    pthread_mutex_lock(&a->lock);
    struct asker *one = take_idle(a, t);
    if (one) {
        one->task = t;
        pthread_cond_signal(&one->wake);
    } else {
        one = make(a, t);
    }
    pthread_mutex_unlock(&a->lock);
    return one;
}

bool askers_rest(struct askers *a, void *to)
{
    pthread_mutex_lock(&a->lock);
    struct asker **line = find_line(a, to);
    if (line) {
        (*line)->rest_of = to;
        pthread_cond_signal(&(*line)->wake);
    }
    pthread_mutex_unlock(&a->lock);
    return line;
}

int askers_fd(const struct askers *a)
{
    return a->event;
}

struct task *askers_done(struct askers *a)
{
    uint64_t count;

    (void)!read(a->event, &count, sizeof count);
    pthread_mutex_lock(&a->lock);
    struct task *done = a->done;
    a->done = NULL;
    pthread_mutex_unlock(&a->lock);
    return done;
}
