/* Where the freezer's connections come from and go back to: the workers' slots, and the ways of
 * workers that keep a connection's TLS state and alone can take it back (handoff.h). One process
 * (the freezer). */
#ifndef MIRED_FREEZER_RETURN_CHANNELS_H
#define MIRED_FREEZER_RETURN_CHANNELS_H

#include "base/loop.h"
#include "freezer/freezer.h"

struct return_channel {
    struct watch watch;
    struct return_channels *of;
    struct handoff out;          /* not yet sent; its descriptors are ours */
    struct return_channel *next; /* of the workers' own */
    uint32_t name;               /* of a worker's own */
    uint32_t promised, octets;   /* to those that are being thawed: items, and their sessions */
};

struct return_channels {
    struct loop *loop;
    const struct freezer_params *params;
    struct return_channel *slot; /* params->slots of them */
    struct return_channel *own;
    uint64_t lost; /* connections, with the workers that they were for */
};

/* 0 or -ENOMEM. Listens to no slot yet. */
int return_channels_open(struct return_channels *w, struct loop *loop,
                         const struct freezer_params *params);
/* Ends workers' own ways. What has not been sent to a slot ends with the process. */
void return_channels_close(struct return_channels *w);

/* Takes a worker's offer of its own way; another of that name ends. The descriptor is its. */
void return_channels_add(struct return_channels *w, const struct handoff_item *item);

/* The way to a slot (that of another if no worker has it now), or to the one worker that has that
 * name; NULL: it is not there. */
struct return_channel *return_channels_find(struct return_channels *w, uint32_t slot,
                                            uint32_t name);

/* Keeps room for a connection with a session of so many octets; false: the worker has too much to
 * do. Each is followed by return_channel_give() or return_channel_excuse(). */
bool return_channel_promise(struct return_channel *way, size_t octets);
void return_channel_excuse(struct return_channel *way, size_t octets);

/* Hands over a connection for which room is kept; its descriptor is the way's then. */
void return_channel_give(struct return_channel *way, const struct handoff_item *item);

/* Hands back one that could not be frozen; false when that worker has too much to do, or is not
 * there (the descriptor stays the caller's). */
bool return_channels_return(struct return_channels *w, uint32_t slot,
                            const struct handoff_item *item);

/* Sends what is to be sent; what a worker has no room for now is sent when it has. */
void return_channel_flush(struct return_channel *way);
void return_channels_flush(struct return_channels *w);

#endif
