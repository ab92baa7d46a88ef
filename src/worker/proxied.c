/* Clients behind a balancer that speaks the PROXY protocol.
 *
 * Only headers from the networks that the listener names count. A header is peeked at in the socket
 * until it is complete and then read, not an octet more, because the client's octets follow it.
 * Until then mired sends nothing; from then on the connection is the client's. A header that cannot
 * be used stops all mail through that balancer, so the reason is logged as a warning. */
#include <errno.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/proxy.h"
#include "config/config.h"
#include "worker/conn.h"
#include "worker/guard.h"
#include "worker/proxied.h"
#include "worker/room.h"
#include "worker/worker_part.h"

bool proxied_is_balancer(const struct worker *w, uint16_t listener, const struct addr *peer)
{
    const struct config_networks *n = &w->config->listen[listener].proxy_protocol;

    return networks_contain(n->at, n->count, peer);
}

/* Lets epoll report the socket only when it has more than `there` octets. */
static void wait_for_more_than(struct conn *c, size_t there)
{
    int least = (int)there + 1;

    setsockopt(c->watch.fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
}

static void begin(struct worker *w, struct conn *c, const struct addr *client)
{
    if (client) {
        room_count(w, c, -1);
        c->peer = addr_of_peer(client);
        room_count(w, c, 1);
        c->flags &= ~(uint32_t)CONN_EXEMPT;
        if (conn_is_exempt(w, &c->peer))
            c->flags |= CONN_EXEMPT;
        if (!guard_admit_behind(w, &c->peer, c->flags & CONN_EXEMPT)) {
            conn_phase(w, c, CONN_READING, 0);
            conn_shut(w, c, REPLY_BUSY);
            return;
        }
    }
    conn_greet(w, c);
}

enum { WARN_AGAIN_MS = 10000 };

static void refuse(struct worker *w, struct conn *c, const char *why)
{
    struct log_line l;

    if (w->loop.now >= w->warn_of_proxy) {
        w->warn_of_proxy = w->loop.now + WARN_AGAIN_MS;
        log_begin(&l, LOG_WARN, "proxy_header");
        log_addr(&l, "balancer", &c->peer);
        log_text(&l, "result", "refused");
        log_text(&l, "text", why);
        log_end(&l);
    }
    conn_close_with(w, c, CLOSE_NO_PROXY, why);
}

void proxied_ready(struct worker *w, struct conn *c, bool ended)
{
    struct proxy_header header = {.why = NULL};

    ssize_t n = recv(c->watch.fd, w->input, PROXY_HEADER_MAX, MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    enum proxy_result r =
        n > 0 ? proxy_read((struct span){w->input, (size_t)n}, &header) : PROXY_MORE;
    if (r == PROXY_BAD) {
        refuse(w, c, header.why);
    } else if (r == PROXY_MORE && (n <= 0 || ended)) {
        conn_close(w, c, CLOSE_HUNG_UP); /* the rest will not come */
    } else if (r == PROXY_MORE) {
        wait_for_more_than(c, (size_t)n);
    } else {
        wait_for_more_than(c, 0);
        (void)!recv(c->watch.fd, w->input, header.used, MSG_DONTWAIT);
        loop_moved(&w->loop);
        begin(w, c, r == PROXY_KNOWN ? &header.client : NULL);
    }
}
