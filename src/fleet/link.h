/* One connection to a Redis server: pipelined commands out, replies in, in order. It runs in the
 * fleet process' loop. Only the look-up of a host's name blocks.
 *
 * Each command names the function that gets its reply. If a connection breaks or a reply is
 * overdue, the functions of all waiting commands get NULL, then the owner is told, and the
 * connection closes itself; link_open() connects again. hiredis parses the replies. */
#ifndef MIRED_FLEET_LINK_H
#define MIRED_FLEET_LINK_H

#include <hiredis/hiredis.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/loop.h"
#include "config/config.h"

struct link_redis;

/* `r` is good during the call; NULL: the connection broke. */
typedef void link_told(struct link_redis *l, uint64_t arg, const redisReply *r);

struct link_waiting {
    link_told *told;
    uint64_t arg;
};

struct link_params {
    struct loop *loop;
    SSL_CTX *tls;                /* NULL: none */
    const char *user, *password; /* NULL: none; borrowed */
    uint32_t db;
    uint64_t silence_ms; /* a reply is overdue after that */
    void (*broken)(struct link_redis *l, const char *why);
    void *owner;
};

struct link_redis {
    struct watch watch; /* first; fd -1: closed */
    struct alarm alarm;
    struct link_params params;
    char host[256];
    uint16_t port;
    SSL *ssl;
    redisReader *reader;
    struct buf out;
    struct link_waiting *waiting; /* a circle */
    uint32_t first, count, room;
    uint64_t heard_ms; /* monotonic: the last octet, or when the first of the waiting was sent */
    uint64_t octets_out, octets_in;
    bool connected, shaking, breaking;
};

static inline bool link_is_open(const struct link_redis *l)
{
    return l->watch.fd >= 0;
}

/* Prepares a closed link. */
void link_init(struct link_redis *l, const struct link_params *params);

/* Starts to connect; commands may be queued at once. It first logs in and selects the database. 0,
 * or -errno and it is still closed. */
int link_open(struct link_redis *l, const char *host, uint16_t port);

/* Queues a command; link_flush() sends it. The link must be open. */
void link_command(struct link_redis *l, link_told *told, uint64_t arg, int argc,
                  const struct span *argv);
void link_flush(struct link_redis *l);

/* Breaks the connection for a reason of ours. The effect is the same as when it breaks by
 * itself. */
void link_break(struct link_redis *l, const char *why);

/* Closes it. Waiting commands get NULL; the owner is not told. */
void link_close(struct link_redis *l);

#endif
