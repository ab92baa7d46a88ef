/* The worker: the process that joins sockets, sessions and holds. Only workers parse hostile
 * input. */
#ifndef MIRED_WORKER_WORKER_H
#define MIRED_WORKER_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "query/query.h"

struct config;
struct freezer_shared;
struct ledger;
struct observed;
struct retries;
struct tries;
struct sharing;
struct tried;
struct addresses;
struct counts;
struct partial_delivery;
struct proposals;
struct tls_server;
struct turns;

/* A listening socket of this worker's slot. */
struct worker_listener {
    int fd;
    uint32_t slot;  /* of the socket; a worker may serve several */
    uint16_t index; /* into config->listen */
};

struct worker_params {
    const struct config *config;
    bool confirmed; /* by the administrator: files are right even if they are much shorter */
    uint32_t slot, slots;
    const struct worker_listener *listener;
    uint32_t listeners;
    int control;           /* channel to the master */
    int ask[QUERY_QUEUES]; /* queries to the clerks */
    int answer;            /* their answers */
    const int *own;        /* queries to one clerk, by its index */
    uint32_t clerks;
    const _Atomic uint32_t *auth; /* what the clerks can check (enum smtp_auth); may change */
    int freezer;                  /* hand-off pair to the freezer; -1: there is none */
    struct freezer_shared *freezer_shared;
    struct ledger *ledger;
    struct observed *observed;    /* R20; written to with `observe` only */
    struct retries *retries;      /* R26 */
    struct tries *tries;          /* R14: of all workers */
    struct tried *tried;          /* R15 */
    const struct tls_server *tls; /* NULL: no certificate */
    struct partial_delivery *partial;
    struct proposals *proposals; /* to the keeper; NULL: this process changes the ledger itself */
    struct turns *turns;         /* of all workers */
    uint32_t generation;         /* whose keeper reads the proposals */
    int bell;                    /* wakes the keeper */
    const struct addresses *addresses; /* of backends with a name; NULL: none has a name */
    struct counts *counts;             /* messages of each backend; shared */
    struct sharing *sharing;           /* connections to backends, with the other workers */
    _Atomic uint64_t *spool_used;      /* octets in all workers' spools; shared */
};

/* The body of the process. Ends (0) with its last connection after NOTE_DRAIN, within 2 s of
 * NOTE_STOP or of the master's death. */
int worker_run(const struct worker_params *params);

/* Called within the process when a connection has ended, or will not come back from the freezer. A
 * draining worker ends with its last one. */
struct worker;
void worker_may_end(struct worker *w);

/* Tells the web process of a backend or a list: enum note_kind, and the note's text. If there is no
 * room or memory now, all of them are told a moment later. */
void worker_tell(struct worker *w, uint32_t kind, const char *text);

#endif
