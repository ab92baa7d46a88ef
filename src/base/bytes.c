/* Spans and bufs; see bytes.h. Used in every process.
 *
 * A buf is one malloc'd block that doubles as it grows and is freed when it becomes empty. ASCII is
 * folded by hand, because a protocol's letters do not depend on the locale. */
#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUF_FIRST = 64 };
#define BUF_MAX ((size_t)1 << 31)

struct span span_of(const char *string)
{
    return string ? (struct span){string, strlen(string)} : (struct span){"", 0};
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static unsigned char fold(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool span_equal_fold(struct span a, struct span b)
{
    return a.len == b.len && span_starts_fold(a, b);
}

bool span_starts_fold(struct span s, struct span prefix)
{
    if (s.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (fold(s.at[i]) != fold(prefix.at[i]))
            return false;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct span span_trim(struct span s)
{
    while (s.len && is_blank(s.at[s.len - 1]))
        s.len--;
    while (s.len && is_blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    return s;
}

bool span_number(struct span s, uint64_t *value)
{
    uint64_t n = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.at[i] - '0'), &n))
            return false;
    }
    *value = n;
    return true;
}

char *buf_room(struct buf *b, size_t n)
{
    if (n > BUF_MAX - b->len)
        return NULL;

    size_t need = b->len + n;
    if (need > b->cap || !b->at) {
        size_t cap = b->cap ? b->cap : BUF_FIRST;
        while (cap < need)
            cap *= 2;
        char *at = realloc(b->at, cap);
        if (!at)
            return NULL;
        b->at = at;
        b->cap = (uint32_t)cap;
    }
    return b->at + b->len;
}

int buf_add(struct buf *b, const void *octets, size_t n)
{
    if (n == 0)
        return 0;
    if (n <= b->cap - b->len) { /* as nearly always */
        memcpy(b->at + b->len, octets, n);
        b->len += (uint32_t)n;
        return 0;
    }
    char *room = buf_room(b, n);
    if (!room)
        return -ENOMEM;
    memcpy(room, octets, n);
    b->len += (uint32_t)n;
    return 0;
}

int buf_add_span(struct buf *b, struct span s)
{
    return buf_add(b, s.at, s.len);
}

char *write_decimal(uint64_t number, unsigned places, char *out)
{
    char digits[20];
    unsigned n = 0;

    if (number < 10 && places <= 1) {
        *out = (char)('0' + number);
        return out + 1;
    }
    if (number < 1000 && places <= 3) { /* most are: octets of addresses, codes, times of day */
        unsigned rest = (unsigned)number;
        n = rest >= 100 ? 3 : rest >= 10 ? 2 : 1;
        n = n < places ? places : n;
        for (unsigned i = n; i; i--, rest /= 10)
            out[i - 1] = (char)('0' + rest % 10);
        return out + n;
    }
    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) || (n < places && n < sizeof digits));
    while (n)
        *out++ = digits[--n];
    return out;
}

int buf_add_number(struct buf *b, uint64_t number, unsigned places)
{
    char text[20];

    return buf_add(b, text, (size_t)(write_decimal(number, places, text) - text));
}

/* Most texts fit into the block as it is and are formatted once. */
int buf_addf(struct buf *b, const char *format, ...)
{
    va_list args;

    if (!buf_room(b, 1))
        return -ENOMEM;
    size_t have = b->cap - b->len;
    va_start(args, format);
    int n = vsnprintf(b->at + b->len, have, format, args);
    va_end(args);
    if (n < 0)
        return -ENOMEM;
    if ((size_t)n >= have) {
        char *room = buf_room(b, (size_t)n + 1); /* vsnprintf ends with a NUL */
        if (!room)
            return -ENOMEM;
        va_start(args, format);
        vsnprintf(room, (size_t)n + 1, format, args);
        va_end(args);
    }
    b->len += (uint32_t)n;
    return 0;
}

void buf_drop(struct buf *b, size_t n)
{
    if (n >= b->len) {
        buf_free(b);
    } else if (n) {
        b->len -= (uint32_t)n;
        memmove(b->at, b->at + n, b->len);
    }
}

void buf_fit(struct buf *b)
{
    if (b->len == 0) {
        buf_free(b);
    } else if (b->len < b->cap) {
        /* Not realloc(), which would leave a hole in the heap that no later block fits into. */
        char *at = malloc(b->len);
        if (at) {
            memcpy(at, b->at, b->len);
            free(b->at);
            b->at = at;
            b->cap = b->len;
        }
    }
}

void buf_free(struct buf *b)
{
    free(b->at);
    *b = (struct buf){0};
}
