/* The TTL of an answer. c-ares reads what an answer says; it does not tell how long the absence of
 * one holds, nor a PTR record's TTL, so its records are walked here: names are stepped over, never
 * followed. */
#include "dns/ttl.h"

#include <stdbool.h>

enum { HEADER = 12, TYPE_SOA = 6, RECORD_HEAD = 10, SOA_TAIL = 20 };

struct walk {
    const uint8_t *at, *end;
};

static uint32_t number(const uint8_t *at, int octets)
{
    uint32_t n = 0;

    while (octets--)
        n = n << 8 | *at++;
    return n;
}

static bool skip(struct walk *w, size_t n)
{
    if ((size_t)(w->end - w->at) < n)
        return false;
    w->at += n;
    return true;
}

static bool skip_name(struct walk *w)
{
    while (w->at < w->end) {
        uint8_t label = *w->at;
        if (label == 0)
            return skip(w, 1);
        if (label >= 0xc0)
            return skip(w, 2);
        if (!skip(w, 1 + (size_t)label))
            return false;
    }
    return false;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* RFC 2181, 8: with the highest bit set it is 0. */
static uint32_t ttl_at(const uint8_t *at)
{
    uint32_t ttl = number(at, 4);

    return ttl > INT32_MAX ? 0 : ttl;
}

/* Goes over `count` records and brings *ttl down to what they say: all of an answer, of the
 * authorities the SOA only. False when they cannot be read. */
static bool records(struct walk *w, uint32_t count, bool soa, uint32_t *ttl)
{
    while (count--) {
        if (!skip_name(w) || (size_t)(w->end - w->at) < RECORD_HEAD)
            return false;
        const uint8_t *head = w->at;
        size_t len = number(head + 8, 2);
        if (!skip(w, RECORD_HEAD + len))
            return false;
        if (!soa)
            *ttl = least(*ttl, ttl_at(head + 4));
        else if (number(head, 2) == TYPE_SOA && len >= SOA_TAIL)
            *ttl = least(*ttl, least(ttl_at(head + 4), ttl_at(w->at - 4)));
    }
    return true;
}

uint32_t dns_ttl(const uint8_t *message, size_t len, uint32_t otherwise)
{
    struct walk w = {message, message + len};
    uint32_t ttl = UINT32_MAX;

    if (!skip(&w, HEADER))
        return otherwise;
    uint32_t questions = number(message + 4, 2), answers = number(message + 6, 2);
    while (questions--)
        if (!skip_name(&w) || !skip(&w, 4))
            return otherwise;
    if (!records(&w, answers, false, &ttl) || !records(&w, number(message + 8, 2), true, &ttl))
        return otherwise;
    return ttl == UINT32_MAX ? otherwise : ttl;
}
