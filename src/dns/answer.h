/* Reads the records of a DNS answer. Pure, thread-safe; the octets are hostile.
 *
 * c-ares has such functions too, but they differ between versions: those of 1.18 (Debian 12) are
 * deprecated in 1.34 (Debian 13), and those of 1.34 do not exist in 1.18. */
#ifndef MIRED_DNS_ANSWER_H
#define MIRED_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "dns/name.h"

/* Writes the addresses of the answer's A records (`octets` 4) or AAAA records (16), one after
 * another and at most `most`. Returns how many; 0 if there is none or the answer cannot be read. */
size_t dns_addresses(const uint8_t *message, size_t len, size_t octets, uint8_t *out, size_t most);

struct dns_name {
    char text[DNS_NAME_ROOM]; /* without a dot at its end */
};

/* Writes the names of the answer's PTR records, at most `most`, and returns how many. Names that no
 * host can have (with octets other than letters, digits, '-' and '_') are left out. */
size_t dns_names(const uint8_t *message, size_t len, struct dns_name *out, size_t most);

#endif
