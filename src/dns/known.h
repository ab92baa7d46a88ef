/* Recent findings from lists and names about clients: a table of fixed size in each worker.
 *
 * An entry is of one address (not of a /64: lists and names speak of addresses). A full set gives
 * up the entry that ends first, so a flood of new addresses costs no memory, only repeated look-ups
 * of evicted addresses. One thread. */
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
    KNOWN_STALE_S = 86400, /* for so long past its end an entry can be found */
};

/* Room for `places` clients (rounded up to a power of two) of 32 octets; NULL without memory. */
struct known *known_open(uint32_t places);
void known_close(struct known *k);

/* Stores a finding for ttl_s seconds, limited to the bounds above. now_s: monotonic seconds. */
void known_put(struct known *k, const struct addr *a, uint64_t now_s, uint32_t ttl_s,
               const struct dns_finding *f);

/* False when nothing is known, or only an entry that ended KNOWN_STALE_S ago or earlier. *fresh:
 * the entry has not ended yet. */
bool known_find(const struct known *k, const struct addr *a, uint64_t now_s, struct dns_finding *f,
                bool *fresh);

#endif
