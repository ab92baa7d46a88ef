/* Clients behind a balancer that speaks the PROXY protocol.
 *
 * Only networks that the listener names are believed. The header is looked at where it lies in the
 * socket and then taken out, not an octet more: what stands behind it is the client's. Until it is
 * whole nothing has been said; then the connection is that client's as if it had come by itself. */
#include <errno.h>
#include <sys/socket.h>

#include "base/proxy.h"
#include "config/config.h"
#include "worker/conn.h"

bool proxied_is_balancer(const struct worker *w, uint16_t listener, const struct addr *peer)
{
    const struct config_networks *n = &w->config->listen[listener].proxy_protocol;

    return networks_contain(n->at, n->count, peer);
}

/* With that many octets unread, epoll is to wait for one more. */
static void wait_for_more_than(struct conn *c, size_t there)
{
    int least = (int)there + 1;

    setsockopt(c->watch.fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
}

static void begin(struct worker *w, struct conn *c, const struct addr *client)
{
    if (client) {
        c->peer = *client;
        c->flags &= ~(uint32_t)CONN_EXEMPT;
        if (conn_is_exempt(w, client))
            c->flags |= CONN_EXEMPT;
        if (!guard_admit(w, client, c->flags & CONN_EXEMPT)) {
            conn_phase(w, c, CONN_READING, 0);
            conn_shut(w, c, REPLY_BUSY);
            return;
        }
    }
    conn_greet(w, c);
}

void proxied_ready(struct worker *w, struct conn *c)
{
    struct addr client = {0};
    size_t used = 0;

    ssize_t n = recv(c->watch.fd, w->input, PROXY_HEADER_MAX, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    enum proxy_result r =
        n > 0 ? proxy_read((struct span){w->input, (size_t)n}, &client, &used) : PROXY_BAD;
    if (r == PROXY_BAD) {
        conn_close(w, c, n > 0 ? "no PROXY header" : "hung up");
    } else if (r == PROXY_MORE) {
        wait_for_more_than(c, (size_t)n);
    } else {
        wait_for_more_than(c, 0);
        (void)!recv(c->watch.fd, w->input, used, MSG_DONTWAIT);
        begin(w, c, r == PROXY_KNOWN ? &client : NULL);
    }
}
