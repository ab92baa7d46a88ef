/* The names of clients, as backends want them in XCLIENT: a table of fixed size in each worker.
 * lookup.h finds them.
 *
 * A client's reverse name is the one in its PTR record. It is the client's confirmed name if one of
 * that name's addresses is the client's. Not thread-safe. */
#ifndef MIRED_DNS_NAMES_H
#define MIRED_DNS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "dns/name.h"

enum name_state {
    NAME_LATER, /* not known: the DNS did not answer, or was not asked */
    NAME_NONE,  /* there is none */
    NAME_IS,
};

struct client_names {
    uint8_t confirmed, reverse; /* enum name_state */
    char text[DNS_NAME_ROOM];   /* if reverse is NAME_IS; the confirmed name if there is one */
};

struct names;

/* Room for `places` clients (rounded up to a power of two); NULL without memory. */
struct names *names_open(uint32_t places);
void names_close(struct names *n);

/* Stores the names for ttl_s seconds, at least a minute and at most a day. now_s: monotonic
 * seconds. */
void names_put(struct names *n, const struct addr *a, uint64_t now_s, uint32_t ttl_s,
               const struct client_names *c);

/* False: not known, or expired. */
bool names_find(const struct names *n, const struct addr *a, uint64_t now_s,
                struct client_names *out);

/* Whether a name is a valid host name: labels of letters, digits, '-' and '_', none with '-' at an
 * end, and not all digits. */
bool names_may_tell(struct span name);

#endif
