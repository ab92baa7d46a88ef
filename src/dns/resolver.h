/* Asynchronous DNS queries: c-ares within the caller's loop.
 *
 * c-ares builds and parses the packets, retries, and switches servers; this module runs its sockets
 * and timers in the loop. One thread. */
#ifndef MIRED_DNS_RESOLVER_H
#define MIRED_DNS_RESOLVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/loop.h"

struct resolver;

enum dns_type { DNS_A = 1, DNS_NS = 2, DNS_PTR = 12, DNS_AAAA = 28 };

enum {
    RESOLVER_TRY_MS = 1500, /* the second and last try gets twice that */
    RESOLVER_TRIES = 2,
    RESOLVER_SERVERS_MAX = 8,
};

/* Receives the end of a query. `status` is c-ares's: ARES_SUCCESS with the answer as received;
 * ARES_ENOTFOUND or ARES_ENODATA, with the answer too, if there is no such record;
 * ARES_EDESTRUCTION if the resolver is being closed; ARES_ESERVFAIL if a server could not find out;
 * ARES_ETIMEOUT if no server has answered. `answer` is valid during the call. */
typedef void resolver_answer(void *arg, int status, const unsigned char *answer, size_t len);

/* `server` and `count`: the servers to ask (port 0 means 53); with none, those of /etc/resolv.conf,
 * which is read now. Returns 0 or -errno. */
int resolver_open(struct resolver **out, struct loop *loop, const struct addr *server,
                  size_t count);

/* Ends all open queries with ARES_EDESTRUCTION. */
void resolver_close(struct resolver *r);

/* Sends a query; `answer` is called exactly once, possibly before this returns. */
void resolver_ask(struct resolver *r, const char *name, enum dns_type type, resolver_answer *answer,
                  void *arg);

/* The status as text. */
const char *resolver_status(int status);

#endif
