/* Recent findings from lists and names about clients: a table of fixed size in each worker.
 *
 * An entry is about one address, not about a /64, because lists and names are about addresses. In a
 * full set a new entry replaces the one that expires first, so a flood of new addresses costs no
 * memory, only repeated look-ups of evicted addresses. Not thread-safe. */
#ifndef MIRED_DNS_KNOWN_H
#define MIRED_DNS_KNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"

struct known;

/* What is known of one client. */
struct dns_finding {
    uint32_t listed; /* a bit for each `dnsbl` that lists it, in their order */
    uint8_t trust;   /* enum dns_trust */
    uint8_t by;      /* which `dnswl` or which name */
};

enum dns_trust { DNS_TRUST_NONE, DNS_TRUST_LIST, DNS_TRUST_NAME };

enum {
    KNOWN_TTL_LEAST_S = 60,
    KNOWN_TTL_MOST_S = 86400,
    KNOWN_STALE_S = 86400, /* how long an expired entry can still be found */
};

/* Room for `places` clients (rounded up to a power of two) of 32 octets; NULL without memory. */
struct known *known_open(uint32_t places);
void known_close(struct known *k);

/* Stores a finding for ttl_s seconds, limited to the bounds above. now_s: monotonic seconds. */
void known_put(struct known *k, const struct addr *a, uint64_t now_s, uint32_t ttl_s,
               const struct dns_finding *f);

/* False when nothing is known, or only an entry that expired KNOWN_STALE_S ago or earlier. *fresh
 * says whether the entry has not expired yet. */
bool known_find(const struct known *k, const struct addr *a, uint64_t now_s, struct dns_finding *f,
                bool *fresh);

#endif
