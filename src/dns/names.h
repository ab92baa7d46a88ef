/* The names of clients, as backends want them in XCLIENT: a table of fixed size in each worker.
 * lookup.h finds them.
 *
 * A client's reverse name is what its PTR record says. It is the client's name when that name has
 * the client's address among its own (forward-confirmed). One thread. */
#ifndef MIRED_DNS_NAMES_H
#define MIRED_DNS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "dns/name.h"

enum name_state {
    NAME_LATER, /* the DNS did not say, or has not been asked */
    NAME_NONE,  /* there is none */
    NAME_IS,
};

struct client_names {
    uint8_t confirmed, reverse; /* enum name_state */
    char text[DNS_NAME_ROOM];   /* with reverse NAME_IS; the confirmed one where one is */
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
