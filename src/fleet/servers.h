/* Where the fleet's Redis is: one server, the master that Sentinels name, or the nodes of a
 * cluster. Finds it, connects, and finds it again after the connection broke.
 *
 * Writes go to masters only. A connection is used once ROLE has answered "master", and is closed
 * when the server refuses writes as a replica (a stale Sentinel, an old master that has come back).
 * hiredis does not support clusters, so the map of slots is here; MOVED corrects it. */
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
    uint64_t rest_ms; /* that it waits after a look-up that failed */
    bool up, map_known, map_wanted;
    uint64_t octets_out, octets_in; /* of links that are closed */
    void (*is_up)(struct servers *s);
    void (*is_down)(struct servers *s, const char *why); /* of each failed try as well */
    void (*node_lost)(struct servers *s);                /* what was sent to it may not have come */
};

/* Prepares it; 0 or -errno. `home` is a key: its node must be reachable for the fleet to be up. */
int servers_open(struct servers *s, struct loop *loop, const struct config_fleet *config,
                 struct span home);
void servers_close(struct servers *s);

/* Begins to look for it. */
void servers_start(struct servers *s);

/* A connection to the master that has the key, or NULL if there is none now. */
struct link_redis *servers_link(struct servers *s, struct span key);
struct link_redis *servers_home(struct servers *s);

/* A connection to the node with that number, for ASK. */
struct link_redis *servers_node(struct servers *s, uint16_t number);

/* Handles a reply that is an error, as far as it concerns connections. Returns the node's number
 * for ASK. */
uint16_t servers_error(struct servers *s, struct link_redis *l, const redisReply *r);

/* The parameters of further links to the same servers. */
struct link_params servers_link_params(const struct servers *s);

void servers_flush(struct servers *s);
uint32_t servers_waiting(const struct servers *s);
uint32_t servers_unsent(const struct servers *s);

#endif
