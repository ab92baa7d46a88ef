/* Where the fleet's Redis is: one server, the master that Sentinels name, or the nodes of a
 * cluster. Finds it, connects, and finds it again after it broke.
 *
 * Writes go to masters only: a connection is used when ROLE has said "master", and is broken when a
 * server refuses writes as a replica (a stale Sentinel, an old master that has come back). hiredis
 * knows no cluster; the map of its slots is here, corrected by MOVED. */
#ifndef MIRED_FLEET_SERVERS_H
#define MIRED_FLEET_SERVERS_H

#include "fleet/link.h"
#include "fleet/replies.h"

enum { SERVERS_NODES = 256, SERVERS_NONE = 0xffff, SERVERS_SILENCE_MS = 2000 };

struct servers_node {
    struct link_redis link; /* first */
    char host[256];
    uint16_t port;
    bool ready;        /* ROLE has said that it is a master */
    uint64_t again_ms; /* monotonic: not tried before */
};

struct servers {
    struct loop *loop;
    const struct config_fleet *config;
    SSL_CTX *tls;
    char password[512]; /* of password_file; "": none */
    struct servers_node *node;
    uint16_t nodes;
    uint16_t *node_of;       /* each slot's node, or SERVERS_NONE */
    uint32_t home_slot;      /* of the stream */
    struct link_redis asker; /* to a Sentinel, or to a node for the map */
    uint32_t turn;           /* which of the configured ones is asked next */
    struct alarm again;
    bool up, map_known, map_wanted;
    uint64_t octets_out, octets_in; /* of links that are closed */
    void (*is_up)(struct servers *s);
    void (*is_down)(struct servers *s, const char *why); /* of each failed try as well */
    void (*node_lost)(struct servers *s);                /* what was sent to it may not have come */
};

/* Prepares; 0 or -errno. `home` is the key whose node must be there for it to be up. */
int servers_open(struct servers *s, struct loop *loop, const struct config_fleet *config,
                 struct span home);
void servers_close(struct servers *s);

/* Begins to look for it. */
void servers_start(struct servers *s);

/* A connection to the master that has the key, if there is one now; NULL: not now. */
struct link_redis *servers_link(struct servers *s, struct span key);
struct link_redis *servers_home(struct servers *s);

/* The node of that number, connected; for ASK. */
struct link_redis *servers_node(struct servers *s, uint16_t number);

/* A reply was an error. Does what it asks of the connections. Of ASK: the node's number. */
uint16_t servers_error(struct servers *s, struct link_redis *l, const redisReply *r);

/* The parameters of further links to the same servers. */
struct link_params servers_link_params(const struct servers *s);

void servers_flush(struct servers *s);
uint32_t servers_waiting(const struct servers *s);
uint32_t servers_unsent(const struct servers *s);

#endif
