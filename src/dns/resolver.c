/* c-ares in an event loop; see resolver.h.
 *
 * c-ares says which of its sockets to watch, and the loop calls it when they are ready. For its
 * time-outs the loop calls it a few times a second while a query is open. Nothing blocks:
 * /etc/resolv.conf is read when the resolver is opened, and /etc/hosts is never read. */
#include "dns/resolver.h"
#include "base/container.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 200,
    SOCKETS_MAX = 2 * RESOLVER_SERVERS_MAX + 2, /* one UDP and one TCP for each server */
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct alarm tick;
    uint32_t open; /* queries */
    struct socket {
        struct watch watch; /* fd -1: free */
        struct resolver *of;
    } socket[SOCKETS_MAX];
};

struct dns_query {
    struct resolver *of;
    resolver_answer *answer;
    void *arg;
};

static void socket_ready(struct loop *loop, struct watch *watch, uint32_t events)
{
    const struct socket *s = (struct socket *)watch;

    loop_moved(loop); /* c-ares reads until the socket is empty */
    int in = events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? watch->fd : ARES_SOCKET_BAD;
    int out = events & EPOLLOUT ? watch->fd : ARES_SOCKET_BAD;

    ares_process_fd(s->of->channel, in, out);
}

static struct socket *socket_of(struct resolver *r, int fd)
{
    for (int i = 0; i < SOCKETS_MAX; i++)
        if (r->socket[i].watch.fd == fd)
            return &r->socket[i];
    return NULL;
}

/* c-ares says what to watch a socket for; nothing means that it is about to close it. */
static void socket_wants(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct socket *s = socket_of(r, fd);
    uint32_t events = (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0);

    if (s && events) {
        loop_want(r->loop, &s->watch, events);
    } else if (s) {
        loop_forget(r->loop, &s->watch);
        s->watch.fd = -1;
    } else if (events && (s = socket_of(r, -1))) {
        s->watch.fd = fd;
        s->watch.events = events;
        if (loop_watch(r->loop, &s->watch) < 0)
            s->watch.fd = -1; /* its query ends with its time-out */
    }
}

static void tick(struct loop *loop, struct alarm *a)
{
    struct resolver *r = container_of(a, struct resolver, tick);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (r->open)
        loop_alarm(loop, a, loop->now + TICK_MS);
}

static int set_servers(struct resolver *r, const struct addr *server, size_t count)
{
    char list[RESOLVER_SERVERS_MAX * (ADDR_TEXT + 16)] = "", text[ADDR_TEXT];
    size_t n = 0;

    for (size_t i = 0; i < count && i < RESOLVER_SERVERS_MAX; i++) {
        bool six = server[i].family == ADDR_IP6;
        int m = snprintf(list + n, sizeof list - n, "%s%s%s%s:%u", i ? "," : "", six ? "[" : "",
                         addr_format(&server[i], text), six ? "]" : "",
                         server[i].port ? server[i].port : (unsigned)NS_DEFAULTPORT);
        n += m > 0 ? (size_t)m : 0;
    }
    return n ? ares_set_servers_ports_csv(r->channel, list) : ARES_SUCCESS;
}

static int open_channel(struct resolver *r, const struct addr *server, size_t count)
{
    static char from_dns[] = "b"; /* c-ares would look into /etc/hosts otherwise */
    /* NOCHECKRESP: a server's failure counts as an answer. Without the flag c-ares would ask again,
     * and then report that there was no answer. */
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOCHECKRESP,
                                   .timeout = RESOLVER_TRY_MS,
                                   .tries = RESOLVER_TRIES,
                                   .lookups = from_dns,
                                   .sock_state_cb = socket_wants,
                                   .sock_state_cb_data = r};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;

#ifdef ARES_OPT_QUERY_CACHE
    options.qcache_max_ttl = 0; /* known.h has a cache by client */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    int status = ares_init_options(&r->channel, &options, mask);
    if (status != ARES_SUCCESS)
        return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
    if (set_servers(r, server, count) == ARES_SUCCESS)
        return 0;
    ares_destroy(r->channel);
    return -EINVAL;
}

int resolver_open(struct resolver **out, struct loop *loop, const struct addr *server, size_t count)
{
    struct resolver *r = calloc(1, sizeof *r);

    if (!r || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        free(r);
        return -ENOMEM;
    }
    r->loop = loop;
    r->tick.due = tick;
    for (int i = 0; i < SOCKETS_MAX; i++)
        r->socket[i] = (struct socket){.watch = {.fd = -1, .ready = socket_ready}, .of = r};
    int error = open_channel(r, server, count);
    if (error) {
        ares_library_cleanup();
        free(r);
        return error;
    }
    *out = r;
    return 0;
}

void resolver_close(struct resolver *r)
{
    if (!r)
        return;
    ares_destroy(r->channel);
    ares_library_cleanup();
    loop_alarm_off(r->loop, &r->tick);
    free(r);
}

static void pass_on(void *arg, int status, const unsigned char *answer, size_t len)
{
    struct dns_query q = *(struct dns_query *)arg;

    free(arg);
    q.of->open--;
    q.answer(q.arg, status, answer, answer ? len : 0);
}

/* From 1.28 on c-ares returns parsed answers, and the older function is deprecated. */
#if ARES_VERSION >= 0x011c00
static void answered(void *arg, ares_status_t status, size_t timeouts,
                     const ares_dns_record_t *record)
{
    unsigned char *answer = NULL;
    size_t len = 0;

    if (record && ares_dns_write(record, &answer, &len) != ARES_SUCCESS)
        answer = NULL;
    pass_on(arg, (int)status, answer, len);
    ares_free_string(answer);
}

static void send_query(struct resolver *r, const char *name, enum dns_type type,
                       struct dns_query *q)
{
    (void)ares_query_dnsrec(r->channel, name, ARES_CLASS_IN, (ares_dns_rec_type_t)type, answered, q,
                            NULL);
}
#else
static void answered(void *arg, int status, int timeouts, unsigned char *answer, int len)
{
    pass_on(arg, status, answer, len > 0 ? (size_t)len : 0);
}

static void send_query(struct resolver *r, const char *name, enum dns_type type,
                       struct dns_query *q)
{
    ares_query(r->channel, name, C_IN, (int)type, answered, q);
}
#endif

void resolver_ask(struct resolver *r, const char *name, enum dns_type type, resolver_answer *answer,
                  void *arg)
{
    struct dns_query *q = malloc(sizeof *q);

    if (!q) {
        answer(arg, ARES_ENOMEM, NULL, 0);
        return;
    }
    *q = (struct dns_query){r, answer, arg};
    if (r->open++ == 0)
        loop_alarm(r->loop, &r->tick, r->loop->now + TICK_MS);
    send_query(r, name, type, q);
}

const char *resolver_status(int status)
{
    return ares_strerror(status);
}
