/* Lists in the DNS in Postfix's form: "zone", "zone=127.0.0.[2..11]", with a weight after "*" in
 * postscreen's lists. See import_part.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import_part.h"

enum { LISTS_MAX = 32, ZONE_MAX = 189 };

/* Whether *at begins with one octet of a pattern: "2", "[2..11]" or "[2;4;7]"; skips it. */
static bool is_octet(struct span *at)
{
    bool set = at->len && at->at[0] == '[';
    long last = -1;

    *at = span_after(*at, set);
    for (;;) {
        size_t digits = 0;
        while (digits < at->len && at->at[digits] >= '0' && at->at[digits] <= '9')
            digits++;
        long n = digits && digits < 4 ? (long)import_number(span_first(*at, digits), 10) : -1;
        if (n <= last || n > 255)
            return false;
        last = n;
        *at = span_after(*at, digits);
        if (set && at->len > 1 && at->at[0] == '.' && at->at[1] == '.')
            *at = span_after(*at, 2);
        else if (set && at->len && at->at[0] == ';')
            *at = span_after(*at, 1);
        else
            break;
    }
    bool closed = !set || (at->len && at->at[0] == ']');
    *at = span_after(*at, set);
    return closed;
}

static bool is_pattern(struct span pattern)
{
    for (int i = 0; i < 4; i++) {
        if (i && (!pattern.len || pattern.at[0] != '.'))
            return false;
        pattern = span_after(pattern, i > 0);
        if (!is_octet(&pattern))
            return false;
    }
    return pattern.len == 0;
}

/* Whether it is a name of at least two labels, the last of which is not a number. */
static bool is_zone(struct span zone)
{
    size_t last = zone.len;

    while (last > 0 && zone.at[last - 1] != '.')
        last--;
    bool number = true;
    for (size_t i = last; i < zone.len; i++)
        number = number && zone.at[i] >= '0' && zone.at[i] <= '9';
    return import_is_domain(zone) && zone.len <= ZONE_MAX && last > 0 && !number;
}

/* True when the kind has no such zone yet. */
static bool is_new(struct import *im, const char *kind, struct span zone)
{
    char word[ZONE_MAX + 32];
    int n = snprintf(word, sizeof word, " %s:%.*s ", kind, (int)zone.len, zone.at);

    for (char *c = word; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    if (im->zones.len && memmem(im->zones.at, im->zones.len, word, (size_t)n))
        return false;
    return buf_add(&im->zones, word, (size_t)n) == 0;
}

void import_list(struct import *im, const char *kind, struct span list, const char *from)
{
    size_t star = span_find(list, '*');
    struct span whole = span_first(list, star);
    size_t sign = span_find(whole, '=');
    struct span zone = span_first(whole, sign), reply = span_after(whole, sign + 1);

    if (!is_zone(zone) || im->lists >= LISTS_MAX || (sign < whole.len && !is_pattern(reply))) {
        import_note(im, "%s: the list %.*s is not converted", from, (int)list.len, list.at);
        return;
    }
    if (!is_new(im, kind, zone))
        return;
    im->lists++;
    char why[256];
    snprintf(why, sizeof why, "%s: mired refuses no client for a list: %s%s", from,
             strcmp(kind, "dnsbl") == 0 ? "its clients start with offences"
                                        : "its clients are never delayed",
             star < list.len ? "; its weight is not converted" : "");
    if (sign < whole.len)
        import_set(im, why, "%s \"%.*s\" { reply = \"%.*s\" }", kind, (int)zone.len, zone.at,
                   (int)reply.len, reply.at);
    else
        import_set(im, why, "%s \"%.*s\" { }", kind, (int)zone.len, zone.at);
}
