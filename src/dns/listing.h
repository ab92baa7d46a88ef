/* Says what the address in a list's answer means (RFC 5782, 2.3). Pure, thread-safe; used by
 * workers and by the configuration.
 *
 * A pattern is written as Postfix writes its filters: four octets, each a number or, in brackets,
 * numbers and ranges: "127.0.0.4", "127.0.0.[2..11]", "127.0.[1;3..5].[2;4]". */
#ifndef MIRED_DNS_LISTING_H
#define MIRED_DNS_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct listing_pattern {
    uint64_t octet[4][4]; /* a bit for each value */
};

struct listing_patterns {
    struct listing_pattern *at;
    size_t count;
};

/* Reads a pattern. False if it is not written as above; *p is then undefined. */
bool listing_pattern_read(struct span text, struct listing_pattern *p);

enum listing {
    LISTING_NO,
    LISTING_YES,
    LISTING_BLOCKED, /* 127.255.255.0/24: the list does not serve this resolver, or not any more */
};

/* Judges one A record (network order) of an answer. Without patterns (`count` 0) every address of
 * 127.0.0.0/8 counts. An address outside it comes from a domain for sale that answers every query,
 * not from a list. Never fails. */
enum listing listing_judge(const struct listing_patterns *patterns, const uint8_t ip[4]);

#endif
