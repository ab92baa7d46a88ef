/* Where the freezer's connections come from and go back to: the workers' slots, and the ways of
 * workers that keep a connection's TLS state and alone can take it back (handoff.h). One process
 * (the freezer). */
#ifndef MIRED_FREEZER_WAYS_H
#define MIRED_FREEZER_WAYS_H

#include "base/loop.h"
#include "freezer/freezer.h"

struct way {
    struct watch watch;
    struct ways *of;
    struct handoff out;        /* not yet sent; its descriptors are ours */
    struct way *next;          /* of the workers' own */
    uint32_t name;             /* of a worker's own */
    uint32_t promised, octets; /* to those that are being thawed: items, and their sessions */
};

struct ways {
    struct loop *loop;
    const struct freezer_kit *kit;
    struct way *slot; /* kit->slots of them */
    struct way *own;
    uint64_t lost; /* connections, with the workers that they were for */
};

/* 0 or -ENOMEM. Listens to no slot yet. */
int ways_open(struct ways *w, struct loop *loop, const struct freezer_kit *kit);
/* Ends workers' own ways. What has not been sent to a slot ends with the process. */
void ways_close(struct ways *w);

/* Takes a worker's offer of its own way; another of that name ends. The descriptor is its. */
void ways_add(struct ways *w, const struct handoff_item *item);

/* The way to a slot (that of another if no worker has it now), or to the one worker that has that
 * name; NULL: it is not there. */
struct way *ways_find(struct ways *w, uint32_t slot, uint32_t name);

/* Keeps room for a connection with a session of so many octets; false: the worker has too much to
 * do. Each is followed by way_give() or way_excuse(). */
bool way_promise(struct way *way, size_t octets);
void way_excuse(struct way *way, size_t octets);

/* Hands over a connection for which room is kept; its descriptor is the way's then. */
void way_give(struct way *way, const struct handoff_item *item);

/* Hands back one that could not be frozen; false when that worker has too much to do, or is not
 * there (the descriptor stays the caller's). */
bool ways_return(struct ways *w, uint32_t slot, const struct handoff_item *item);

/* Sends what is to be sent; what a worker has no room for now is sent when it has. */
void way_flush(struct way *way);
void ways_flush(struct ways *w);

#endif
