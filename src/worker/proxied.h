/* Clients behind a balancer that speaks the PROXY protocol (versions 1 and 2). */
#ifndef MIRED_WORKER_PROXIED_H
#define MIRED_WORKER_PROXIED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct conn;
struct worker;

/* Whether this peer is a balancer of this listener (`proxy_protocol`). */
bool proxied_is_balancer(const struct worker *w, uint16_t listener, const struct addr *peer);

/* Called in CONN_PROXY when the balancer has sent something: reads its header and greets the client
 * that it names, waits for more, or closes. `ended`: the balancer has ended its side. May free the
 * connection. */
void proxied_ready(struct worker *w, struct conn *c, bool ended);

#endif
