/* Threads that query directories, so that the clerk's own thread never waits for one.
 *
 * Threads may block: libldap cannot connect, negotiate TLS or bind asynchronously, and one method
 * for all kinds is simpler than three. A thread knows nothing of queries, the cache or metrics: it
 * runs one task at a time with connections of its own, and the clerk's thread does all that is
 * shared. The next task goes to an idle thread that has a connection for it, else to the one that was
 * busy last, so only as many connections are open as are needed; a thread without a task for
 * ASKERS_REST_S closes its own. */
#ifndef MIRED_DIRECTORY_ASKERS_H
#define MIRED_DIRECTORY_ASKERS_H

#include <stdbool.h>
#include <stdint.h>

enum { ASKERS_REST_S = 30 };

struct askers;

/* The first member of a task. */
struct task {
    struct task *next; /* private */
    void *to;          /* what it needs a connection to */
};

struct askers_params {
    uint32_t most; /* the most threads; they are started as needed */
    void *arg;
    /* Both run in thread number `asker` (0..most-1). run() returns false if it failed; other
     * threads are then preferred. */
    bool (*run)(void *arg, uint32_t asker, struct task *t);
    void (*rest)(void *arg, uint32_t asker, void *to); /* `to` NULL: all its connections */
    /* Runs in the clerk's thread: whether that idle thread has a connection to `to`. NULL: any
     * thread is as good as another. */
    bool (*has_line)(void *arg, uint32_t asker, const void *to);
};

/* NULL without memory or descriptors. */
struct askers *askers_open(const struct askers_params *params);

/* Ends the idle threads. True: all have ended and *a is freed. False: a thread is busy, and
 * everything that it uses must stay until the process ends. */
bool askers_close(struct askers *a);

/* Gives the task to a thread; false: all are busy, or no thread can be made. */
bool askers_put(struct askers *a, struct task *t);

/* Lets an idle thread that has a connection to `to`, which is not NULL, close it. False: none has. A
 * task that the thread gets first may use the connection instead. */
bool askers_rest(struct askers *a, void *to);

/* Readable when a task is done. */
int askers_fd(const struct askers *a);

/* The tasks that are done, as a list; NULL: none. */
struct task *askers_done(struct askers *a);

#endif
