/* Inside the relay: hand-overs and their parts. Private to src/relay.
 *
 *   relay.c       the relay: backends, what clients are offered, what a recipient's route takes
 *   handover.c    a hand-over: its parts and their ends
 *   part_place.c  which backend a part gets
 *
 * A part is the recipients of one route: of one list of backends. */
#ifndef MIRED_RELAY_RELAY_PART_H
#define MIRED_RELAY_RELAY_PART_H

#include "backend/pool.h"
#include "config/routes.h"
#include "relay/relay.h"

enum {
    PARTS_AT_ONCE = 16, /* of a message: so many backends are busy with it */
    NAMES_ROOM = 480,   /* octets of the names of a message's backends, for the log */
    WHY_ROOM = 96,      /* ... and of why no backend has decided about it */
};

enum part_state { PART_WAITS, PART_RUNS, PART_OVER };

struct part {
    struct delivery delivery; /* first */
    struct handover *handover;
    struct envelope envelope;
    struct route route;
    uint64_t tried;     /* a bit for each backend of the route that broke with it */
    uint64_t held;      /* octets that are counted for the backend where it is; 0: nowhere */
    uint16_t unsettled; /* enum reply_id; see outcome.h */
    uint8_t breaks;     /* of connections under it, so far */
    uint8_t state;      /* enum part_state */
    bool lacking;       /* a backend could not take it for lack of an extension */
    bool duplicate;     /* broke after the final dot */
    bool waited;        /* for a connection, in vain */
};

struct handover {
    struct relay *relay;
    struct spool *spool;
    struct job_identity identity; /* of the spool's message, for all parts */
    struct buf header;
    struct client_names names;
    struct buf user; /* authenticated as, or empty */
    uint64_t begun_ms;
    int socket;     /* the client's */
    bool abandoned; /* nobody is told the outcome */
    bool unheard;   /* the client may not hear the outcome */
    void (*done)(void *arg, const struct relay_result *result);
    void *arg;
    uint32_t parts, next, over; /* all; those that have begun; those that have ended */
    uint32_t first; /* the part that begins first: another one each time, so that backends that hang
                       keep the others from no more than some of the tries */
    struct part part[];
};

struct relay {
    struct relay_params params;
    struct pool pool;
    struct backend *backend;
    size_t backends;
    uint64_t *held;  /* of each backend, octets of the messages that it has in hand */
    uint32_t *turn;  /* round robin; of each list of backends */
    uint32_t *count; /* of each backend, its place in params.counts */
    uint32_t lists;  /* their numbers are below this */
    uint32_t in_use; /* lists that domains have */
    uint64_t handed; /* hand-overs so far */
    bool simple;     /* one list, which serves every domain */
};

/* What is said about a recipient's route: by the address as the client wrote it. */
struct route relay_route(const struct relay *r, struct span address);

/* ---- which backend (part_place.c) ---- */

/* Gives the part to the first backend of its route that is up (with round_robin, to the next one),
 * or else to one that may have come up again. Skips those in `tried`, and adds to it. False if none
 * is left; with `lacking`, because a backend has not all extensions that the message needs. */
bool part_place(struct part *p);

/* Gives the part to this backend, and counts its octets for it. False: its pool does not take it. */
bool part_put(struct part *p, struct backend *b);

/* Counts the part's octets no longer for the backend that has it. */
void part_leave(struct part *p);

/* The backend's bit in `tried`; 0 if it is not of the part's route. */
uint64_t part_backend_bit(const struct part *p, const struct backend *b);

/* ---- for the pool (handover.c) ---- */

void handover_over(struct delivery *d);
void handover_again(struct delivery *d);
void handover_broke(struct delivery *d, bool started);

#endif
