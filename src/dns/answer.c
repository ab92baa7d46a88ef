/* Records of an answer; see answer.h. Names are stepped over, and followed only where a PTR record
 * is one. */
#include "dns/answer.h"

#include <stdbool.h>
#include <string.h>

enum {
    HEADER = 12,
    RECORD_HEAD = 10,
    CLASS_IN = 1,
    TYPE_A = 1,
    TYPE_PTR = 12,
    TYPE_AAAA = 28,
    JUMPS_MAX = 32,
    RECORDS_MAX = 256
};

struct walk {
    const uint8_t *message, *at, *end;
    uint32_t left; /* records of the answer */
};

struct record {
    uint32_t type;
    const uint8_t *data;
    size_t len;
};

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
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

static bool begin(struct walk *w, const uint8_t *message, size_t len)
{
    *w = (struct walk){.message = message, .at = message, .end = message + len};
    if (len == 0 || !skip(w, HEADER))
        return false;
    uint32_t questions = number(message + 4);
    w->left = number(message + 6);
    w->left = w->left < RECORDS_MAX ? w->left : RECORDS_MAX;
    while (questions--)
        if (!skip_name(w) || !skip(w, 4))
            return false;
    return true;
}

/* The next record of the Internet's class; false at the end. */
static bool next(struct walk *w, struct record *r)
{
    while (w->left) {
        w->left--;
        if (!skip_name(w) || (size_t)(w->end - w->at) < RECORD_HEAD)
            return false;
        const uint8_t *head = w->at;
        *r = (struct record){number(head), head + RECORD_HEAD, number(head + 8)};
        if (!skip(w, RECORD_HEAD + r->len))
            return false;
        if (number(head + 2) == CLASS_IN)
            return true;
    }
    return false;
}

size_t dns_addresses(const uint8_t *message, size_t len, size_t octets, uint8_t *out, size_t most)
{
    uint32_t type = octets == 4 ? TYPE_A : TYPE_AAAA;
    struct walk w;
    struct record r;
    size_t n = 0;

    if (!begin(&w, message, len))
        return 0;
    while (n < most && next(&w, &r))
        if (r.type == type && r.len == octets)
            memcpy(out + octets * n++, r.data, octets);
    return n;
}

/* One label as text. A dot in it would make two of it, so it makes the name invalid. */
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

/* Follows compression (RFC 1035, 4.1.4), a number of times. */
static bool read_name(const struct walk *w, const uint8_t *at, struct dns_name *name)
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
            at = w->message + (number(at) & 0x3fff);
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
    struct walk w;
    struct record r;
    size_t n = 0;

    if (!begin(&w, message, len))
        return 0;
    while (n < most && next(&w, &r))
        if (r.type == TYPE_PTR && read_name(&w, r.data, &out[n]) &&
            dns_name_is_valid(span_of(out[n].text)))
            n++;
    return n;
}
