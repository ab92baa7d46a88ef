/* The keeper: the process that owns the ledger and the memory of mixed answers. Workers can only
 * read them, and propose changes (tarpit/ledger_proposals.h); the keeper checks each one and makes
 * it. It reads nothing that a stranger sent. */
#ifndef MIRED_KEEPER_KEEPER_H
#define MIRED_KEEPER_KEEPER_H

#include <stdatomic.h>
#include <stdint.h>

struct config;
struct ledger;
struct partial_delivery;
struct proposals;
struct turns;

struct keeper_params {
    const struct config *config;
    int control;     /* channel to the master */
    const int *bell; /* for each worker: an eventfd that it writes to when the keeper sleeps */
    int empty;       /* a folder, to be its root directory; closed by keeper_run(); -1: none */
    struct ledger *ledger;
    struct partial_delivery *partial;
    struct proposals **proposals; /* one for each worker */
    struct turns *turns;          /* of all workers; the keeper counts its rounds there */
    _Atomic uint32_t *logins;     /* one for each worker: bookings that right passwords allow */
    uint32_t workers, generation;
    uint64_t started_ms; /* when the master was started, wall ms: a number of its own */
};

/* The body of the process; returns its exit status. After NOTE_STOP, or when the master is gone, it
 * ends with the last worker, within 5 s. */
int keeper_run(const struct keeper_params *params);

#endif
