/* What serves a domain or a login name, for all rooms; routes.h has the table. */
#include "config/config.h"
#include "smtp/address.h"

bool config_is_local(const struct config *c, struct span domain)
{
    if (c->routes)
        return routes_is_local(c->routes, domain, NULL);
    for (size_t i = 0; i < c->domains.count; i++)
        if (span_equal(domain, span_of(c->domains.at[i])))
            return true;
    return false;
}

struct route config_route(const struct config *c, enum route_kind kind, struct span domain)
{
    return c->routes ? routes_find(c->routes, kind, domain) : (struct route){.rule = ""};
}

struct span config_own_domain(const struct config *c)
{
    for (size_t i = 0; i < c->domains.count; i++)
        if (c->domains.at[i][0] != '.')
            return span_of(c->domains.at[i]);
    return span_of(c->hostname);
}

bool config_names_addresses(const struct config *c, struct span domain)
{
    struct route route = config_route(c, ROUTE_RECIPIENTS, domain);

    for (size_t i = 0; i < route.count; i++)
        if (c->recipients[route.section[i]].kind != RECIPIENTS_BACKEND)
            return true;
    return false;
}

struct span config_login_domain(struct span user, char room[CONFIG_LOGIN_DOMAIN_ROOM])
{
    size_t sign = address_sign(user);
    struct mailbox box = {SPAN("x"), span_after(user, sign + 1)};

    if (box.domain.len && box.domain.at[box.domain.len - 1] == '.')
        box.domain.len--;
    if (sign == user.len || box.domain.len == 0)
        return (struct span){0};
    size_t len = mailbox_fold(&box, room, CONFIG_LOGIN_DOMAIN_ROOM);
    return len ? (struct span){room + 2, len - 2} : (struct span){0};
}

struct route config_login_route(const struct config *c, struct span user)
{
    char room[CONFIG_LOGIN_DOMAIN_ROOM];

    return config_route(c, ROUTE_AUTH, config_login_domain(user, room));
}

struct span config_login_home(const struct config *c, struct span user)
{
    struct route route = config_login_route(c, user);

    if (!route.rule[0])
        return (struct span){0};
    struct span first = span_of(c->auth[route.section[0]].domains.at[0]);
    return span_after(first, first.at[0] == '.');
}

struct route config_login_backends(const struct config *c, struct span user)
{
    char room[CONFIG_LOGIN_DOMAIN_ROOM];

    return config_route(c, ROUTE_BACKEND, config_login_domain(user, room));
}

/* The domain of an address, folded in `room`; empty: it has no valid one. A bare <postmaster> belongs
 * to the first domain. */
static struct span address_domain(const struct config *c, struct span address,
                                  char room[ADDRESS_MAX * 4])
{
    size_t sign = address_sign(address);
    struct mailbox box = {SPAN("x"), span_after(address, sign + 1)};

    if (sign == address.len)
        return config_own_domain(c);
    size_t len = mailbox_fold(&box, room, ADDRESS_MAX * 4);
    return len > 2 ? (struct span){room + 2, len - 2} : (struct span){0};
}

struct route config_address_route(const struct config *c, enum route_kind kind, struct span address)
{
    char room[ADDRESS_MAX * 4];

    return config_route(c, kind, address_domain(c, address, room));
}

bool config_is_local_address(const struct config *c, struct span address)
{
    char room[ADDRESS_MAX * 4];

    return address_sign(address) == address.len ||
           config_is_local(c, address_domain(c, address, room));
}
