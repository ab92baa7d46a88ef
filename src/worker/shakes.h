/* The pace of a client's TLS handshakes, which are the most expensive thing that any client can
 * make a worker do.
 *
 * Handshakes of a client in debt begin SHAKES_APART_MS apart. The same is true of a client with
 * many failed handshakes. A failed handshake is no offence, because senders that are too old for
 * our TLS, or do not accept our certificate, try it with each message, and monitors only fetch the
 * certificate. A client that does so once a second is not slowed.
 *
 * Clients are distinguished by a hash of the address. Pure: time is an argument. Not
 * thread-safe. */
#ifndef MIRED_WORKER_SHAKES_H
#define MIRED_WORKER_SHAKES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SHAKES_PLACES = 4096,
    SHAKES_APART_MS = 100,
    SHAKES_FREE = 128,           /* live failed handshakes without effect */
    SHAKES_HALF_LIFE_MS = 60000, /* of failed handshakes */
};

struct shakes {
    struct shakes_client {
        uint64_t next;    /* ms: when the next one may begin */
        uint64_t at;      /* ms: when `fruitless` was right */
        double fruitless; /* live failed handshakes */
    } client[SHAKES_PLACES];
};

/* In how many ms from `now` a handshake of the client may begin that would otherwise begin in
 * `wait_ms`. If the result is less than `most_ms`, its turn is taken. */
uint64_t shakes_wait(struct shakes *s, uint64_t client, bool in_debt, uint64_t wait_ms,
                     uint64_t most_ms, uint64_t now);

/* Records that a handshake of the client has failed. */
void shakes_fruitless(struct shakes *s, uint64_t client, uint64_t now);

#endif
