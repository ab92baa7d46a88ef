/* How long a DNS answer is valid. Pure. */
#ifndef MIRED_DNS_TTL_H
#define MIRED_DNS_TTL_H

#include <stddef.h>
#include <stdint.h>

/* Reads a whole answer as received (hostile octets) and returns the least TTL of its records in
 * seconds. If it has no record, returns the time that the zone's SOA gives for that (RFC 2308, 5).
 * Returns `otherwise` if it has neither, or cannot be read. */
uint32_t dns_ttl(const uint8_t *message, size_t len, uint32_t otherwise);

#endif
