/* What a connection that comes back from the freezer may claim; see thaw.h. */
#include "worker/thaw.h"

#include <sys/socket.h>

#include "base/sockaddr.h"
#include "config/config.h"
#include "worker/conn.h"
#include "worker/proxied.h"
#include "worker/worker_part.h"

uint64_t thaw_seal(const struct sipkey *key, const struct addr *client, struct span record)
{
    struct siphash h;

    siphash_start(&h, key);
    siphash_add(&h, &client->family, sizeof client->family);
    siphash_add(&h, client->octets, sizeof client->octets);
    siphash_add(&h, record.at, record.len);
    return siphash_end(&h);
}

bool thaw_is_client(const struct worker *w, int fd, uint16_t listener, const struct addr *client)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
        return false;
    struct addr end = addr_from_sockaddr((struct sockaddr *)&sa, len);
    if (end.family == ADDR_NONE)
        return false;
    struct addr peer = addr_of_peer(&end);
    return addr_equal(&peer, client) || proxied_is_balancer(w, listener, &end) ||
           proxied_is_balancer(w, listener, &peer);
}

bool thaw_is_strangers(const struct worker *w, const struct conn *c)
{
    struct envelope_recipient r = {0};

    if (c->smtp.flags & (SMTP_AUTHENTICATED | SMTP_TLS_ON) ||
        (c->smtp.flags & SMTP_LOCAL && !addr_is_loopback(&c->peer)))
        return false;
    if (conn_may_relay(w, c))
        return true;
    while (envelope_next(&c->smtp.envelope, &r))
        if (!config_is_local_address(w->config, r.address))
            return false;
    return true;
}
