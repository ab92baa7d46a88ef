/* Patterns of replies, and the meaning of a reply; see listing.h. */
#include "dns/listing.h"

#include <string.h>

/* Takes a number of 0 to 255 from the front of *rest. */
static bool take_octet(struct span *rest, unsigned *value)
{
    size_t digits = 0;
    uint64_t n;

    while (digits < rest->len && digits < 3 && rest->at[digits] >= '0' && rest->at[digits] <= '9')
        digits++;
    if (!span_number(span_first(*rest, digits), &n) || n > 255)
        return false;
    *rest = span_after(*rest, digits);
    *value = (unsigned)n;
    return true;
}

static bool take(struct span *rest, struct span what)
{
    if (rest->len < what.len || memcmp(rest->at, what.at, what.len) != 0)
        return false;
    *rest = span_after(*rest, what.len);
    return true;
}

/* A number, or two with dots between them. */
static bool take_range(struct span *rest, uint64_t set[4])
{
    unsigned from, to;

    if (!take_octet(rest, &from))
        return false;
    to = from;
    if (take(rest, SPAN("..")) && (!take_octet(rest, &to) || to < from))
        return false;
    for (unsigned v = from; v <= to; v++)
        set[v / 64] |= (uint64_t)1 << v % 64;
    return true;
}

static bool take_set(struct span *rest, uint64_t set[4])
{
    unsigned value;

    if (!take(rest, SPAN("["))) {
        if (!take_octet(rest, &value))
            return false;
        set[value / 64] |= (uint64_t)1 << value % 64;
        return true;
    }
    do {
        if (!take_range(rest, set))
            return false;
    } while (take(rest, SPAN(";")));
    return take(rest, SPAN("]"));
}

bool listing_pattern_read(struct span text, struct listing_pattern *p)
{
    *p = (struct listing_pattern){0};
    for (int i = 0; i < 4; i++)
        if ((i && !take(&text, SPAN("."))) || !take_set(&text, p->octet[i]))
            return false;
    return text.len == 0;
}

static bool matches(const struct listing_pattern *p, const uint8_t ip[4])
{
    for (int i = 0; i < 4; i++)
        if (!(p->octet[i][ip[i] / 64] >> ip[i] % 64 & 1))
            return false;
    return true;
}

enum listing listing_judge(const struct listing_patterns *patterns, const uint8_t ip[4])
{
    if (ip[0] == 127 && ip[1] == 255 && ip[2] == 255)
        return LISTING_BLOCKED;
    if (patterns->count == 0)
        return ip[0] == 127 ? LISTING_YES : LISTING_NO;
    for (size_t i = 0; i < patterns->count; i++)
        if (matches(&patterns->at[i], ip))
            return LISTING_YES;
    return LISTING_NO;
}
