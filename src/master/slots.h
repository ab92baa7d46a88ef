/* Which worker serves which listening socket. Pure.
 *
 * Each listen address has one SO_REUSEPORT socket a slot, and the kernel deals new connections out
 * over all of them. So each socket must have a worker, also when there are fewer workers than
 * sockets (`workers` shrank with a reload): its accept queue would otherwise never be emptied. */
#ifndef MIRED_MASTER_SLOTS_H
#define MIRED_MASTER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether worker `worker` of `workers` serves listener slot `slot`. Each slot is served by exactly
 * one. */
static inline bool slot_is_served_by(uint32_t slot, uint32_t worker, uint32_t workers)
{
    return slot % workers == worker;
}

/* How many of `slots` listener slots that worker serves; 0 only when there are fewer slots than
 * workers. */
static inline uint32_t slots_served_by(uint32_t slots, uint32_t worker, uint32_t workers)
{
    return worker < slots ? (slots - worker + workers - 1) / workers : 0;
}

#endif
