/* The channels between the freezer and workers: one for each worker slot, and return channels of
 * workers that keep a connection's TLS state and alone can take it back (handoff.h). In the
 * freezer; not thread-safe. */
#ifndef MIRED_FREEZER_RETURN_CHANNELS_H
#define MIRED_FREEZER_RETURN_CHANNELS_H

#include "base/loop.h"
#include "freezer/calls.h"
#include "freezer/freezer.h"

struct return_channel {
    struct watch watch;
    struct return_channels *of;
    struct handoff out;          /* not sent yet; we own its descriptors */
    struct return_channel *next; /* in the list of workers' own channels */
    uint32_t slot, name;         /* of a worker's own channel */
    uint32_t promised, octets;   /* reserved for holds that are being thawed: items, and sessions */
};

struct return_channels {
    struct loop *loop;
    const struct freezer_params *params;
    struct calls *calls;         /* closes what has been sent */
    struct return_channel *slot; /* params->slots of them */
    struct return_channel *own;
    uint64_t lost; /* connections that were lost with the workers that they were for */
};

/* Returns 0 or -ENOMEM. Does not read from slots yet. `calls` must outlive the channels. */
int return_channels_open(struct return_channels *w, struct loop *loop, struct calls *calls,
                         const struct freezer_params *params);
/* Closes workers' own channels. Items that have not been sent to a slot end with the process. */
void return_channels_close(struct return_channels *w);

/* Adds a worker's own channel, and takes over its descriptor. The slot's earlier channel with that
 * name is closed, or its oldest one if it has more than its share; a name of another slot's is
 * refused. */
void return_channels_add(struct return_channels *w, uint32_t slot, const struct handoff_item *item);

/* The channel to a slot (to another slot if no worker has it now), or the worker's own channel with
 * that name; NULL if there is none. */
struct return_channel *return_channels_find(struct return_channels *w, uint32_t slot,
                                            uint32_t name);

/* Reserves room for a connection with a session of so many octets; false if the worker is
 * overloaded. return_channel_give() or return_channel_excuse() must follow. */
bool return_channel_promise(struct return_channel *way, size_t octets);
void return_channel_excuse(struct return_channel *way, size_t octets);

/* Gives a connection for which room is reserved; the channel takes over its descriptor. */
void return_channel_give(struct return_channel *way, const struct handoff_item *item);

/* Gives back a connection that could not be frozen; false if that worker is overloaded or gone (the
 * caller then keeps the descriptor). */
bool return_channels_return(struct return_channels *w, uint32_t slot,
                            const struct handoff_item *item);

/* Sends all items; those for which a worker has no room now are sent later. */
void return_channel_flush(struct return_channel *way);
void return_channels_flush(struct return_channels *w);

#endif
