/* The pace of a client's TLS handshakes, the dearest thing that anyone can ask of a worker.
 *
 * Handshakes of a client in debt begin SHAKES_APART_MS apart. So do those of a client that has let
 * many come to nothing: that is no offence, for senders that are too old for our TLS, or do not
 * like our certificate, try it with each message, and monitors look at the certificate and permit.
 * Who does that once a second is slowed down by nothing.
 *
 * Clients are told apart by a hash of the address. Pure: time is an argument. One thread. */
#ifndef MIRED_WORKER_SHAKES_H
#define MIRED_WORKER_SHAKES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SHAKES_PLACES = 4096,
    SHAKES_APART_MS = 100,
    SHAKES_FREE = 128,           /* that came to nothing lately */
    SHAKES_HALF_LIFE_MS = 60000, /* of those */
};

struct shakes {
    struct shakes_client {
        uint64_t next;    /* ms: when the next one may begin */
        uint64_t at;      /* ms: when `fruitless` was so many */
        double fruitless; /* live */
    } client[SHAKES_PLACES];
};

/* When, in ms from `now`, a handshake of the client may begin that should in `wait_ms`. Those that
 * are to begin in less than `most_ms` have their turn with that. */
uint64_t shakes_wait(struct shakes *s, uint64_t client, bool in_debt, uint64_t wait_ms,
                     uint64_t most_ms, uint64_t now);

/* A handshake of the client has come to nothing. */
void shakes_fruitless(struct shakes *s, uint64_t client, uint64_t now);

#endif
