/* The runtime: resources that all generations share, created once before the first child starts and
 * kept while the master lives, over upgrades too: lock, folders, unix sockets, mappings. */
#ifndef MIRED_MASTER_RUNTIME_H
#define MIRED_MASTER_RUNTIME_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/mapfile.h"
#include "base/metrics.h"
#include "freezer/handoff.h"
#include "master/privileges.h"
#include "master/users.h"

struct cache;
struct config;
struct counts;
struct ledger;
struct ledger_others;
struct log_ring;
struct observed;
struct partial_delivery;
struct orderbook;
struct retries;
struct tries;
struct sharing;
struct tried;
struct turns;

/* Each living child has a row, also draining workers of earlier generations, so there are many more
 * rows than a site has processes. Rows that were never used cost no memory. */
enum { RUNTIME_ROWS = 4096, RUNTIME_MASTER_ROW = 0 };

/* A page that all processes of all generations map. */
struct runtime_shared {
    _Atomic uint64_t spool_used;
    struct freezer_shared freezer;
};

struct runtime {
    bool open; /* all of it; no child starts before, as after an upgrade that failed half-way */
    char *state, *run, *user; /* as in the first configuration */
    struct config *fixed; /* the first configuration, for the keys that a reload does not take up */
    struct identity identity; /* of `user`, to which the state folder belongs */
    struct users users;       /* of children */
    int lock;                 /* run/lock, held while the master lives */
    int state_lock;           /* the state folder, locked for as long */
    int store_listen;         /* run/store; workers of earlier programs connect to it */
    int store_pair
        [2];   /* the master sends workers' connections on [0], the store takes them on [1] */
    int empty; /* a folder that is empty for ever; -1: there is none */
    int control_listen; /* run/control */
    char *store_path, *control_path;
    int metrics_fd, shared_fd, log_fd, others_fd,
        counts_fd;     /* of the mappings, passed on by an upgrade */
    int (*handoff)[2]; /* a pair for each worker slot: workers' end [0], freezer's [1] */
    uint32_t handoffs;
    struct metrics metrics;
    struct log_ring *log; /* the last lines of all processes; NULL without memory */
    struct runtime_shared *shared;
    struct counts *counts; /* messages of each backend */
    struct ledger *ledger;
    struct ledger_others *others; /* R25: what other members know; NULL without memory */
    size_t others_size;
    struct observed *observed;
    struct retries *retries;
    struct tried *tried;
    struct partial_delivery *partial;
    struct orderbook *orderbook;
    struct turns *turns;     /* of workers; not kept over an upgrade */
    struct tries *tries;     /* R14: the same */
    struct sharing *sharing; /* workers' connections to backends; the same */
    struct cache *answers;   /* of directories; clerks keep it */
    struct mapfile decoys;   /* state/decoys: its key, and struct scram_shapes; see clerk.h */
    bool row_taken[RUNTIME_ROWS];
    uint64_t started_ms; /* wall */
    uint64_t id;         /* random, of this start: tells this mired from others; upgrades keep it */
};

/* Initialises an empty runtime. An upgrade fills it with what it inherits. */
void runtime_init(struct runtime *h);

/* Creates everything that is missing. 0, or -1 with messages in *errors. */
int runtime_open(struct runtime *h, const struct config *config, struct buf *errors);

/* Removes the socket files and releases everything. */
void runtime_close(struct runtime *h);

/* Take a metrics row for a child (-1 if none is free), and give it back (its gauges become 0). */
int runtime_row_take(struct runtime *h);
void runtime_row_give(struct runtime *h, int row);
struct metrics_row *runtime_row(const struct runtime *h, int row);

/* Creates the missing pairs between worker slots and the freezer, and replaces those that are shut
 * down. They outlive all generations: items in flight survive the death of either side. 0 or
 * -errno. */
int runtime_handoffs(struct runtime *h, uint32_t slots);

/* Whether a process has shut down one of them. */
bool runtime_handoff_is_shut(const struct runtime *h);

/* Replace what a store, or a web process, has shut down: the pair and the socket of the store, the
 * control socket. True if there was something; processes that are started from then on get the new
 * ones. Nothing may wait for room in the pair (store_queue_close()). */
bool runtime_renew_store(struct runtime *h);
bool runtime_renew_control(struct runtime *h);

#endif
