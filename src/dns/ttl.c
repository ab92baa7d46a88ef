/* The TTL of an answer. c-ares does not tell how long a negative answer is valid, nor the TTL of a
 * PTR record, so the records are read here. */
#include "dns/ttl.h"

#include "dns/walk.h"

enum { TYPE_SOA = 6, SOA_TAIL = 20 /* five numbers of four octets; MINIMUM is the last */ };

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The time for a negative answer that a SOA record of the authority section gives (RFC 2308, 5). */
static uint32_t ttl_of_absence(const struct dns_record *r)
{
    return r->type == TYPE_SOA && r->len >= SOA_TAIL
               ? least(r->ttl, dns_ttl_at(r->data + r->len - 4))
               : UINT32_MAX;
}

uint32_t dns_ttl(const uint8_t *message, size_t len, uint32_t otherwise)
{
    uint32_t ttl = UINT32_MAX;
    struct dns_walk w;
    struct dns_record r;
    enum dns_step step;

    if (!dns_walk_begin(&w, message, len))
        return otherwise;
    while ((step = dns_walk_next(&w, &w.answers, &r)) == DNS_RECORD)
        ttl = least(ttl, r.ttl);
    if (step == DNS_BROKEN)
        return otherwise;
    while ((step = dns_walk_next(&w, &w.authorities, &r)) == DNS_RECORD)
        ttl = least(ttl, ttl_of_absence(&r));
    return step == DNS_BROKEN || ttl == UINT32_MAX ? otherwise : ttl;
}
