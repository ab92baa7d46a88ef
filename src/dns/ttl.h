/* How long a DNS answer is valid. Pure. */
#ifndef MIRED_DNS_TTL_H
#define MIRED_DNS_TTL_H

#include <stddef.h>
#include <stdint.h>

/* Reads a whole answer as it came (hostile octets) and returns, in seconds, the least TTL of what
 * it says; when it says nothing, what the zone's SOA allows for that (RFC 2308, 5). `otherwise`
 * when neither is there, or when it cannot be read. */
uint32_t dns_ttl(const uint8_t *message, size_t len, uint32_t otherwise);

#endif
