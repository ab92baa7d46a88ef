/* Addresses of backends by name; see addresses.h. */
#include "backend/addresses.h"

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "base/shared.h"
#include "base/sockaddr.h"
#include "config/config.h"

struct address_set {
    uint32_t count;
    struct addr at[ADDRESSES_EACH];
};

struct place {
    _Atomic uint32_t writes; /* 0: never; the current one is version[writes % 2] */
    int told;                /* the error that has been logged */
    struct address_set version[2];
};

struct addresses {
    size_t count;
    int fd; /* the same in all processes that keep it */
    struct place place[];
};

static size_t size_of(size_t count)
{
    return sizeof(struct addresses) + count * sizeof(struct place);
}

int addresses_open(struct addresses **out, const struct config *config)
{
    bool named = false;

    *out = NULL;
    for (size_t i = 0; i < config->backend_count; i++)
        named = named || config->backend[i].host;
    if (!named)
        return 0;
    int fd;
    struct addresses *p = shared_map("mired addresses", size_of(config->backend_count), &fd);
    if (!p)
        return -errno;
    p->count = config->backend_count;
    p->fd = fd;
    *out = p;
    return 0;
}

void addresses_close(struct addresses *p)
{
    if (!p)
        return;
    close(p->fd);
    munmap(p, size_of(p->count));
}

int addresses_read_only(struct addresses *p)
{
    int fd = p ? shared_read_only(p, size_of(p->count), p->fd, 0) : -1;

    if (fd >= 0)
        close(fd);
    return p && fd < 0 ? fd : 0;
}

/* Returns getaddrinfo()'s code; 0 means at least one address. */
static int look_up(const char *host, struct address_set *found)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list;
    int error = getaddrinfo(host, NULL, &hints, &list);

    if (error)
        return error;
    *found = (struct address_set){0};
    for (const struct addrinfo *i = list; i && found->count < ADDRESSES_EACH; i = i->ai_next) {
        struct addr *a = &found->at[found->count];
        *a = addr_from_sockaddr(i->ai_addr, i->ai_addrlen);
        if (a->family == ADDR_NONE)
            continue;
        a->port = 0; /* each backend has its own */
        found->count++;
    }
    freeaddrinfo(list);
    return found->count ? 0 : EAI_NONAME;
}

static bool same(const struct address_set *a, const struct address_set *b)
{
    bool equal = a->count == b->count;

    for (uint32_t i = 0; equal && i < a->count; i++)
        equal = addr_equal(&a->at[i], &b->at[i]);
    return equal;
}

static void publish(struct place *place, const struct address_set *found)
{
    uint32_t writes = atomic_load(&place->writes);

    if (writes && same(&place->version[writes % 2], found))
        return;
    place->version[(writes + 1) % 2] = *found;
    atomic_store(&place->writes, writes + 1 ? writes + 1 : 2);
}

static bool same_name(const struct config_backend *a, const struct config_backend *b)
{
    return a->host && b->host && strcasecmp(a->host, b->host) == 0;
}

size_t addresses_first_of_name(const struct config *config, size_t index)
{
    size_t i = 0;

    while (!same_name(&config->backend[i], &config->backend[index]))
        i++;
    return i;
}

bool addresses_look_up(struct addresses *p, const struct config *config, size_t index)
{
    struct address_set found;
    int error = look_up(config->backend[index].host, &found);
    bool known = true;

    for (size_t i = 0; i < p->count; i++) {
        const struct config_backend *backend = &config->backend[i];
        struct place *place = &p->place[i];

        if (!same_name(backend, &config->backend[index]))
            continue;
        if (error && error != place->told)
            log_warn("backend %s: cannot look up its name: %s", backend->name, gai_strerror(error));
        place->told = error;
        if (!error)
            publish(place, &found);
        known = known && atomic_load(&place->writes);
    }
    return known;
}

/* Clerks write it, and one that was taken over may do so at any time: each value is read once, and
 * only addresses are believed. False: none is known. */
static bool read_set(const struct place *place, struct address_set *set)
{
    uint32_t writes = atomic_load(&place->writes);

    *set = *(const volatile struct address_set *)&place->version[writes % 2];
    if (!writes || set->count == 0 || set->count > ADDRESSES_EACH)
        return false;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->at[i].family != ADDR_IP4 && set->at[i].family != ADDR_IP6)
            return false;
    return true;
}

void addresses_inherit(struct addresses *p, const struct config *config,
                       const struct addresses *earlier, const struct config *before)
{
    struct address_set set;

    if (!p || !earlier)
        return;
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < earlier->count && !atomic_load(&p->place[i].writes); k++)
            if (same_name(&config->backend[i], &before->backend[k]) &&
                read_set(&earlier->place[k], &set))
                publish(&p->place[i], &set);
}

bool addresses_find(const struct addresses *p, const struct config_backend *backend, size_t index,
                    unsigned turn, struct addr *addr)
{
    struct address_set known;

    if (!backend->host) {
        *addr = backend->addr;
        return true;
    }
    if (!p || index >= p->count || !read_set(&p->place[index], &known))
        return false;
    *addr = known.at[turn % known.count];
    addr->port = backend->addr.port;
    return true;
}
