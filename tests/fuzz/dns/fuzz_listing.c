/* Whatever stands in `reply` is refused or means something; names are checked before they are built
 * into others. The first line is a pattern, the rest a name. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "dns/listing.h"
#include "dns/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pattern(struct span text)
{
    struct listing_pattern p;
    struct listing_patterns patterns = {&p, 1};
    uint8_t ip[4] = {0};

    if (!listing_pattern_read(text, &p))
        return;
    for (int i = 0; i < 4; i++) { /* the least address that it speaks of */
        while (!(p.octet[i][ip[i] / 64] >> ip[i] % 64 & 1)) {
            assert(ip[i] < 255); /* an octet that nothing fits is refused */
            ip[i]++;
        }
    }
    assert(listing_judge(&patterns, ip) !=
           (ip[0] == 127 && ip[1] == 255 && ip[2] == 255 ? LISTING_YES : LISTING_NO));
}

static void check_name(struct span name)
{
    struct addr four = {.family = ADDR_IP4}, six = {.family = ADDR_IP6};
    char zone[DNS_NAME_ROOM], out[DNS_NAME_ROOM];

    if (!dns_name_is_valid(name))
        return;
    memcpy(zone, name.at, name.len);
    zone[name.len] = '\0';
    assert(dns_name_matches(zone, name));
    if (dns_name_reverse(&four, zone, out))
        assert(dns_name_is_valid(span_of(out)));
    if (name.len <= DNS_ZONE_MAX)
        assert(dns_name_reverse(&six, zone, out) && dns_name_is_valid(span_of(out)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = {(const char *)data, size};
    size_t line = span_find(all, '\n');

    check_pattern(span_first(all, line));
    check_name(span_after(all, line + 1));
    return 0;
}
