/* Records of an answer; see answer.h. Compressed names are followed only in PTR records. */
#include "dns/answer.h"

#include <stdbool.h>
#include <string.h>

#include "dns/walk.h"

enum {
    CLASS_IN = 1,
    TYPE_A = 1,
    TYPE_PTR = 12,
    TYPE_AAAA = 28,
    JUMPS_MAX = 32,
    RECORDS_MAX = 256 /* looked at */
};

static bool begin(struct dns_walk *w, const uint8_t *message, size_t len)
{
    bool right = dns_walk_begin(w, message, len);

    w->answers = w->answers < RECORDS_MAX ? w->answers : RECORDS_MAX;
    return right;
}

/* Goes to the next record of class IN; false at the end. */
static bool next(struct dns_walk *w, struct dns_record *r)
{
    while (dns_walk_next(w, &w->answers, r) == DNS_RECORD)
        if (r->class == CLASS_IN)
            return true;
    return false;
}

size_t dns_addresses(const uint8_t *message, size_t len, size_t octets, uint8_t *out, size_t most)
{
    uint32_t type = octets == 4 ? TYPE_A : TYPE_AAAA;
    struct dns_walk w;
    struct dns_record r;
    size_t n = 0;

    if (!begin(&w, message, len))
        return 0;
    while (n < most && next(&w, &r))
        if (r.type == type && r.len == octets)
            memcpy(out + octets * n++, r.data, octets);
    return n;
}

/* Adds one label as text. A dot in it would make two labels, so it makes the name invalid. */
static bool add_label(struct dns_name *name, size_t *n, const uint8_t *label, size_t len)
{
    if (*n + len + 2 > sizeof name->text)
        return false;
    if (*n)
        name->text[(*n)++] = '.';
    for (size_t i = 0; i < len; i++)
        name->text[(*n)++] = label[i] == '.' || label[i] == 0 ? '?' : (char)label[i];
    name->text[*n] = '\0';
    return true;
}

/* Reads a name, and follows compression (RFC 1035, 4.1.4) a limited number of times. */
static bool read_name(const struct dns_walk *w, const uint8_t *at, struct dns_name *name)
{
    size_t n = 0;

    name->text[0] = '\0';
    for (int jumps = 0; jumps <= JUMPS_MAX && at < w->end;) {
        uint8_t label = *at;
        if (label == 0)
            return n > 0;
        if (label >= 0xc0) {
            if (w->end - at < 2)
                return false;
            at = w->message + (dns_number2(at) & 0x3fff);
            jumps++;
        } else if (label >= 0x40 || (size_t)(w->end - at) < 1 + (size_t)label ||
                   !add_label(name, &n, at + 1, label)) {
            return false;
        } else {
            at += 1 + (size_t)label;
        }
        if (at > w->end)
            return false;
    }
    return false;
}

size_t dns_names(const uint8_t *message, size_t len, struct dns_name *out, size_t most)
{
    struct dns_walk w;
    struct dns_record r;
    size_t n = 0;

    if (!begin(&w, message, len))
        return 0;
    while (n < most && next(&w, &r))
        if (r.type == TYPE_PTR && read_name(&w, r.data, &out[n]) &&
            dns_name_is_valid(span_of(out[n].text)))
            n++;
    return n;
}
