/* Checks what listens where: two listeners cannot have one address, and a backend that is a listener
 * of mired's own would send every message back to it, again and again. Pure except for its messages. */
#include "config/reader.h"

static bool same_port(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port && a->port != 0;
}

/* "0.0.0.0:25" has every IPv4 address of the machine, and "[::]:25" every IPv6 address. */
static void check_overlap(struct reader *r, size_t i, size_t k)
{
    const struct addr *a = &r->config->listen[k].addr, *b = &r->config->listen[i].addr;
    char text[ADDR_TEXT];

    if (!same_port(a, b) || addr_is_any(a) == addr_is_any(b))
        return;
    reader_wrong(r, r->section[SECTION_LISTEN][i],
                 "the listen in line %d has the same port, and %s has all addresses; expected one "
                 "listen for all of them, or one for each address",
                 r->section[SECTION_LISTEN][k].line, addr_format(addr_is_any(a) ? a : b, text));
}

static bool is_own(const struct addr *listener, const struct addr *backend)
{
    bool here = addr_is_any(backend) || addr_is_loopback(backend);

    return same_port(listener, backend) &&
           (addr_equal(listener, backend) || (here && addr_is_any(listener)) ||
            (addr_is_any(backend) && addr_is_loopback(listener)));
}

void config_check_ports(struct reader *r)
{
    const struct config *c = r->config;

    for (size_t i = 0; i < c->listen_count; i++)
        for (size_t k = 0; k < i; k++)
            check_overlap(r, i, k);
    for (size_t i = 0; i < c->backend_count; i++)
        for (size_t k = 0; k < c->listen_count; k++)
            if (!c->backend[i].host && is_own(&c->listen[k].addr, &c->backend[i].addr))
                reader_wrong(r, r->section[SECTION_BACKEND][i],
                             "backend \"%.80s\" is the listen in line %d, so all mail would come "
                             "back to mired; expected the address of the server behind it",
                             c->backend[i].name, r->section[SECTION_LISTEN][k].line);
}
