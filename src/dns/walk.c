/* Records of an answer; see walk.h. */
#include "dns/walk.h"

enum { HEADER = 12, RECORD_HEAD = 10 };

uint32_t dns_number2(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint32_t dns_ttl_at(const uint8_t *at)
{
    uint32_t ttl = dns_number2(at) << 16 | dns_number2(at + 2);

    return ttl > INT32_MAX ? 0 : ttl;
}

static bool skip(struct dns_walk *w, size_t n)
{
    if ((size_t)(w->end - w->at) < n)
        return false;
    w->at += n;
    return true;
}

static bool skip_name(struct dns_walk *w)
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

bool dns_walk_begin(struct dns_walk *w, const uint8_t *message, size_t len)
{
    *w = (struct dns_walk){.message = message, .at = message, .end = message + len};
    if (len == 0 || !skip(w, HEADER))
        return false;
    uint32_t questions = dns_number2(message + 4);
    w->answers = dns_number2(message + 6);
    w->authorities = dns_number2(message + 8);
    while (questions--)
        if (!skip_name(w) || !skip(w, 4))
            return false;
    return true;
}

enum dns_step dns_walk_next(struct dns_walk *w, uint32_t *left, struct dns_record *r)
{
    if (*left == 0)
        return DNS_END;
    --*left;
    if (!skip_name(w) || (size_t)(w->end - w->at) < RECORD_HEAD)
        return DNS_BROKEN;
    const uint8_t *head = w->at;
    *r = (struct dns_record){.type = dns_number2(head),
                             .class = dns_number2(head + 2),
                             .ttl = dns_ttl_at(head + 4),
                             .data = head + RECORD_HEAD,
                             .len = dns_number2(head + 8)};
    return skip(w, RECORD_HEAD + r->len) ? DNS_RECORD : DNS_BROKEN;
}
