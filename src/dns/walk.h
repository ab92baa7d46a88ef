/* Walks over the records of an answer as received (RFC 1035, 4.1). Pure; the octets are hostile.
 * Names are skipped, never followed. Private to src/dns. */
#ifndef MIRED_DNS_WALK_H
#define MIRED_DNS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_walk {
    const uint8_t *message, *at, *end;
    uint32_t answers, authorities; /* records of these sections that are left */
};

struct dns_record {
    uint32_t type, class;
    uint32_t ttl; /* seconds; 0 for one with its highest bit set (RFC 2181, 8) */
    const uint8_t *data;
    size_t len; /* of the data */
};

enum dns_step { DNS_RECORD, DNS_END, DNS_BROKEN };

/* Skips header and questions; false if they cannot be read. */
bool dns_walk_begin(struct dns_walk *w, const uint8_t *message, size_t len);

/* Reads the next record of a section. `left` is &w->answers until that is 0, then
 * &w->authorities. */
enum dns_step dns_walk_next(struct dns_walk *w, uint32_t *left, struct dns_record *r);

/* Numbers of two and four octets, big-endian. */
uint32_t dns_number2(const uint8_t *at);
uint32_t dns_ttl_at(const uint8_t *at);

#endif
