/* The clerk: a process that asks directories and checks passwords, blocking and simple. */
#ifndef MIRED_CLERK_CLERK_H
#define MIRED_CLERK_CLERK_H

#include <stdint.h>

struct cache;
struct config;

struct clerk_kit {
    const struct config *config;
    struct cache *cache; /* what directories said; shared by all clerks */
    int index;           /* which clerk */
    int control;         /* channel to the master */
    int ask;             /* questions */
    const int *answer;   /* one for each worker slot */
    uint32_t slots;
};

/* The body of the process; returns its exit status when the master says stop or is gone. */
int clerk_run(const struct clerk_kit *kit);

#endif
