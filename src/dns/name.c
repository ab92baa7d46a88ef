/* Names of the DNS as text; see name.h. */
#include "dns/name.h"

#include <stdio.h>
#include <string.h>

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool dns_name_is_valid(struct span name)
{
    size_t label = 0;

    if (name.len == 0 || name.len > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!is_letter(name.at[i]) || ++label > 63) {
            return false;
        }
    }
    return label > 0;
}

bool dns_name_reverse(const struct addr *a, const char *zone, char out[DNS_NAME_ROOM])
{
    static const char hex[] = "0123456789abcdef";
    char text[4 * 16 + 1];
    size_t n = 0;

    if (a->family == ADDR_IP4) {
        n = (size_t)snprintf(text, sizeof text, "%u.%u.%u.%u.", a->octets[3], a->octets[2],
                             a->octets[1], a->octets[0]);
    } else if (a->family == ADDR_IP6) {
        for (int i = 15; i >= 0; i--) {
            text[n++] = hex[a->octets[i] & 15];
            text[n++] = '.';
            text[n++] = hex[a->octets[i] >> 4];
            text[n++] = '.';
        }
        text[n] = '\0';
    } else {
        return false;
    }
    if (n + strlen(zone) > DNS_NAME_MAX)
        return false;
    snprintf(out, DNS_NAME_ROOM, "%s%s", text, zone);
    return true;
}

bool dns_name_of_pointer(const struct addr *a, char out[DNS_NAME_ROOM])
{
    return dns_name_reverse(a, a->family == ADDR_IP4 ? "in-addr.arpa" : "ip6.arpa", out);
}

bool dns_name_matches(const char *entry, struct span name)
{
    struct span e = span_of(entry);

    if (name.len && name.at[name.len - 1] == '.')
        name.len--;
    if (e.len == 0 || e.at[0] != '.')
        return span_equal_fold(e, name);
    if (span_equal_fold(span_after(e, 1), name))
        return true;
    return name.len > e.len && span_equal_fold(e, span_after(name, name.len - e.len));
}
