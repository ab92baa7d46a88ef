/* Where the fleet's Redis is (servers.h). */
#include "fleet/servers.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "tls/client.h"

/* This process waits while the resolver looks a name up. After that it does other things for at least
 * RESTS times as long. */
enum { AGAIN_MS = 250, NODE_AGAIN_MS = 500, RESTS = 4 };

static struct servers *servers_of_link(struct link_redis *l)
{
    return l->params.owner;
}

static const struct config_redis *configured(const struct servers *s)
{
    return &s->config->server[s->turn % s->config->redis.count];
}

struct link_params servers_link_params(const struct servers *s)
{
    const struct config_redis *c = &s->config->server[0];

    return (struct link_params){
        .loop = s->loop,
        .tls = s->tls,
        .user = c->user,
        .password = s->password[0] ? s->password : c->password,
        .db = s->config->mode == FLEET_CLUSTER ? 0 : c->db,
        .silence_ms = SERVERS_SILENCE_MS,
    };
}

static uint64_t not_before(const struct servers *s, uint64_t in_ms)
{
    return clock_mono_ms() + (in_ms > s->rest_ms ? in_ms : s->rest_ms);
}

static void try_again(struct servers *s, uint64_t in_ms)
{
    loop_alarm(s->loop, &s->again, not_before(s, in_ms));
}

static int open_link(struct servers *s, struct link_redis *l, const char *host, uint16_t port)
{
    uint64_t begun = clock_mono_ms();
    int error = link_open(l, host, port);

    s->rest_ms = error ? RESTS * (clock_mono_ms() - begun) : 0;
    return error;
}

/* The first line of password_file, read again for each search because it may change. */
static void read_password(struct servers *s)
{
    s->password[0] = '\0';
    if (!s->config->password_file)
        return;
    int error = secret_read(s->config->password_file, s->password, sizeof s->password);
    if (error || !s->password[0])
        log_warn("fleet: %s cannot be read: %s", s->config->password_file,
                 error ? strerrordesc_np(-error) : "it is empty");
}

/* ---- nodes ---- */

static void down(struct servers *s, const char *why)
{
    s->up = false;
    s->is_down(s, why);
    try_again(s, AGAIN_MS);
}

static bool is_home(const struct servers *s, const struct servers_node *n)
{
    uint16_t home = s->node_of[s->home_slot];
    return home != SERVERS_NONE && &s->node[home] == n;
}

static void node_broken(struct link_redis *l, const char *why)
{
    struct servers *s = servers_of_link(l);
    struct servers_node *n = (struct servers_node *)l;

    n->ready = false;
    n->again_ms = s->loop->now + NODE_AGAIN_MS;
    s->octets_out += l->octets_out;
    s->octets_in += l->octets_in;
    l->octets_out = l->octets_in = 0;
    s->map_wanted = s->config->mode == FLEET_CLUSTER;
    s->node_lost(s);
    if (is_home(s, n)) {
        s->map_known = false;
        s->turn++;
        down(s, why);
    } else {
        try_again(s, AGAIN_MS);
    }
}

static void role_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct servers *s = servers_of_link(l);
    struct servers_node *n = (struct servers_node *)l;

    if (!r)
        return;
    if (!reply_is_master(r)) {
        link_break(l, r->type == REDIS_REPLY_ERROR ? r->str : "it is a replica");
        return;
    }
    n->ready = true;
    if (is_home(s, n) && !s->up) {
        s->up = true;
        s->is_up(s);
    }
}

static void open_node(struct servers *s, struct servers_node *n)
{
    if (link_is_open(&n->link) || s->loop->now < n->again_ms)
        return;
    struct link_params params = servers_link_params(s);
    params.broken = node_broken;
    params.owner = s;
    link_init(&n->link, &params);
    int error = open_link(s, &n->link, n->host, n->port);
    if (error) {
        n->again_ms = not_before(s, NODE_AGAIN_MS);
        if (is_home(s, n)) {
            s->map_known = false;
            s->turn++;
            down(s, strerrordesc_np(-error));
        }
        return;
    }
    link_command(&n->link, role_told, 0, 1, (struct span[]){SPAN("ROLE")});
    link_flush(&n->link);
}

static uint16_t node_at(struct servers *s, const char *host, uint16_t port)
{
    for (uint16_t i = 0; i < s->nodes; i++)
        if (s->node[i].port == port && strcmp(s->node[i].host, host) == 0)
            return i;
    if (s->nodes == SERVERS_NODES)
        return SERVERS_NONE;
    struct servers_node *n = &s->node[s->nodes];
    snprintf(n->host, sizeof n->host, "%s", host);
    n->port = port;
    n->link.watch.fd = -1;
    return s->nodes++;
}

static void found(struct servers *s)
{
    s->map_known = true;
    s->map_wanted = false;
    uint16_t home = s->node_of[s->home_slot];
    if (home == SERVERS_NONE) {
        s->map_known = false;
        s->turn++;
        down(s, "the cluster has no node for the stream");
        return;
    }
    struct servers_node *n = &s->node[home];
    if (n->ready && !s->up) {
        s->up = true;
        s->is_up(s);
    } else if (!link_is_open(&n->link)) {
        n->again_ms = 0;
        open_node(s, n);
    }
}

static void all_slots_to(struct servers *s, uint16_t node)
{
    for (uint32_t i = 0; i < REDIS_SLOTS; i++)
        s->node_of[i] = node;
}

/* ---- asking where it is ---- */

static void asker_broken(struct link_redis *l, const char *why)
{
    struct servers *s = servers_of_link(l);

    s->turn++;
    if (s->up)
        try_again(s, AGAIN_MS);
    else
        down(s, why);
}

static void master_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct servers *s = servers_of_link(l);
    struct reply_place at;

    if (!r)
        return;
    if (!reply_master(r, &at)) {
        link_break(l, r->type == REDIS_REPLY_ERROR ? r->str
                                                   : "the Sentinel knows no master of that name");
        return;
    }
    uint16_t node = node_at(s, at.host, at.port);
    link_close(l);
    if (node == SERVERS_NONE) { /* many failovers: forget the earlier masters */
        for (uint16_t i = 0; i < s->nodes; i++)
            link_close(&s->node[i].link);
        s->nodes = 0;
        node = node_at(s, at.host, at.port);
    }
    all_slots_to(s, node);
    found(s);
}

struct range_to {
    struct servers *s;
    const char *host; /* of the node that answers */
};

static void take_range(void *arg, uint32_t first, uint32_t last, const struct reply_place *at)
{
    struct range_to *to = arg;
    uint16_t node = node_at(to->s, at->host[0] ? at->host : to->host, at->port);

    for (uint32_t slot = first; slot <= last; slot++)
        to->s->node_of[slot] = node;
}

static void map_told(struct link_redis *l, uint64_t arg, const redisReply *r)
{
    struct servers *s = servers_of_link(l);
    char host[256];

    if (!r)
        return;
    snprintf(host, sizeof host, "%s", l->host);
    bool known = reply_slots(r, take_range, &(struct range_to){s, host});
    if (!known) {
        link_break(l, r->type == REDIS_REPLY_ERROR ? r->str : "it does not tell its slots");
        return;
    }
    link_close(l);
    s->turn++;
    found(s);
}

static void ask(struct servers *s)
{
    const struct config_redis *c = configured(s);
    struct link_params params = servers_link_params(s);

    params.broken = asker_broken;
    params.owner = s;
    params.db = 0;
    if (s->config->mode == FLEET_SENTINEL) { /* Sentinels have users and passwords of their own */
        params.user = c->user;
        params.password = c->password;
    }
    link_close(&s->asker);
    link_init(&s->asker, &params);
    int error = open_link(s, &s->asker, c->host, c->port);
    if (error) {
        asker_broken(&s->asker, strerrordesc_np(-error));
        return;
    }
    if (s->config->mode == FLEET_SENTINEL)
        link_command(&s->asker, master_told, 0, 3,
                     (struct span[]){SPAN("SENTINEL"), SPAN("GET-MASTER-ADDR-BY-NAME"),
                                     span_of(s->config->name)});
    else
        link_command(&s->asker, map_told, 0, 2, (struct span[]){SPAN("CLUSTER"), SPAN("SLOTS")});
    link_flush(&s->asker);
}

static void look(struct servers *s)
{
    if (!s->up)
        read_password(s);
    if (s->config->mode == FLEET_SINGLE) {
        const struct config_redis *c = configured(s);
        all_slots_to(s, node_at(s, c->host, c->port));
        found(s);
    } else if (!link_is_open(&s->asker)) {
        ask(s);
    }
}

static void again(struct loop *loop, struct alarm *a)
{
    struct servers *s = (struct servers *)((char *)a - offsetof(struct servers, again));

    if (!s->up || s->map_wanted)
        look(s);
}

/* ---- what others call ---- */

int servers_open(struct servers *s, struct loop *loop, const struct config_fleet *config,
                 struct span home)
{
    s->loop = loop;
    s->config = config;
    s->home_slot = redis_slot(home);
    s->again.due = again;
    s->asker.watch.fd = -1;
    s->node = calloc(SERVERS_NODES, sizeof *s->node);
    s->node_of = calloc(REDIS_SLOTS, sizeof *s->node_of);
    if (!s->node || !s->node_of)
        return -ENOMEM;
    all_slots_to(s, SERVERS_NONE);
    if (config->server[0].tls) {
        s->tls = tls_client_open(&(struct tls_client_params){.verified = true, .ca = config->ca});
        if (!s->tls)
            return -EINVAL;
    }
    return 0;
}

void servers_close(struct servers *s)
{
    loop_alarm_off(s->loop, &s->again);
    link_close(&s->asker);
    for (uint16_t i = 0; i < s->nodes; i++)
        link_close(&s->node[i].link);
    SSL_CTX_free(s->tls);
    free(s->node);
    free(s->node_of);
    explicit_bzero(s->password, sizeof s->password);
}

void servers_start(struct servers *s)
{
    look(s);
}

struct link_redis *servers_node(struct servers *s, uint16_t number)
{
    if (number >= s->nodes)
        return NULL;
    struct servers_node *n = &s->node[number];
    if (!link_is_open(&n->link))
        open_node(s, n);
    return n->ready && link_is_open(&n->link) ? &n->link : NULL;
}

struct link_redis *servers_link(struct servers *s, struct span key)
{
    if (s->config->mode != FLEET_CLUSTER)
        return servers_home(s);
    return servers_node(s, s->node_of[redis_slot(key)]);
}

struct link_redis *servers_home(struct servers *s)
{
    return s->up ? servers_node(s, s->node_of[s->home_slot]) : NULL;
}

uint16_t servers_error(struct servers *s, struct link_redis *l, const redisReply *r)
{
    struct reply_place to;

    switch (reply_error(r)) {
    case REPLY_MOVED:
        if (!reply_moved(r, &to))
            break;
        uint16_t node = node_at(s, to.host[0] ? to.host : l->host, to.port);
        if (to.ask && to.slot == s->home_slot)
            link_break(l, "the stream is moving");
        if (to.ask)
            return node;
        s->node_of[to.slot] = node;
        if (!s->map_wanted) {
            s->map_wanted = true;
            try_again(s, AGAIN_MS);
        }
        if (to.slot == s->home_slot)
            link_break(l, "the stream has moved");
        break;
    case REPLY_READ_ONLY: link_break(l, r->str); break;
    case REPLY_FINE:
    case REPLY_FULL:
    case REPLY_BUSY:
    case REPLY_FORBIDDEN:
    case REPLY_TYPE:
    case REPLY_OTHER: break;
    }
    return SERVERS_NONE;
}

void servers_flush(struct servers *s)
{
    for (uint16_t i = 0; i < s->nodes; i++)
        if (link_is_open(&s->node[i].link) && s->node[i].link.out.len)
            link_flush(&s->node[i].link);
}

uint32_t servers_waiting(const struct servers *s)
{
    uint32_t n = 0;

    for (uint16_t i = 0; i < s->nodes; i++)
        if (link_is_open(&s->node[i].link))
            n += s->node[i].link.count;
    return n;
}

uint32_t servers_unsent(const struct servers *s)
{
    uint32_t n = 0;

    for (uint16_t i = 0; i < s->nodes; i++)
        if (link_is_open(&s->node[i].link))
            n += s->node[i].link.out.len;
    return n;
}
