/* What an answer's records say. Pure; the octets are hostile.
 *
 * c-ares has readers of its own, but others in each version: those of 1.18 (Debian 12) are
 * deprecated in 1.34 (Debian 13), whose own 1.18 has not. */
#ifndef MIRED_DNS_ANSWER_H
#define MIRED_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "dns/name.h"

/* The addresses of the answer's A (4 octets) or AAAA (16) records, at most so many, one behind the
 * other. How many; 0 when there is none, or the answer cannot be read. */
size_t dns_addresses(const uint8_t *message, size_t len, size_t octets, uint8_t *out, size_t most);

struct dns_name {
    char text[DNS_NAME_ROOM]; /* without a dot at its end */
};

/* The names of its PTR records. Those that no host could have (other octets than letters, digits,
 * '-' and '_') are left out. */
size_t dns_names(const uint8_t *message, size_t len, struct dns_name *out, size_t most);

#endif
