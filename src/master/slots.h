/* Assigns listening sockets to workers. Pure.
 *
 * Each listen address has one SO_REUSEPORT socket for each slot, and the kernel spreads new
 * connections over all of them. So each socket must have a worker, even if there are fewer workers
 * than sockets (a reload made `workers` smaller): otherwise its accept queue would never be
 * emptied. */
#ifndef MIRED_MASTER_SLOTS_H
#define MIRED_MASTER_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* Whether worker `worker` of `workers` serves listener slot `slot`. Exactly one worker serves each
 * slot. */
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
