/* Octets: borrowed runs of them (spans) and owned, growing ones (bufs).
 *
 * Nothing here is NUL-terminated by contract, because clients may send NULs. A span never owns its
 * octets; it is valid as long as they are. A buf owns one heap block, and none while it is empty,
 * so that an idle connection with two empty bufs costs 32 bytes and no allocation.
 *
 * Not safe to share between threads without a lock. No function here aborts on lack of memory. */
#ifndef MIRED_BASE_BYTES_H
#define MIRED_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *at;
    size_t len;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

/* A span over a NUL-terminated string; NULL gives the empty span. */
struct span span_of(const char *string);

bool span_equal(struct span a, struct span b);

/* As span_equal(), with ASCII letters folded (never the locale's). */
bool span_equal_fold(struct span a, struct span b);

/* True when `s` begins with `prefix`, ASCII letters folded. */
bool span_starts_fold(struct span s, struct span prefix);

/* The part of `s` after its first `n` octets; empty when there are fewer. */
static inline struct span span_after(struct span s, size_t n)
{
    if (n > s.len)
        n = s.len;
    return n ? (struct span){s.at + n, s.len - n} : s;
}

/* The first `n` octets of `s`, or all of it when it has fewer. */
static inline struct span span_first(struct span s, size_t n)
{
    return (struct span){s.at, n < s.len ? n : s.len};
}

/* Without spaces and tabs at both ends. */
struct span span_trim(struct span s);

/* Offset of the first `c` in `s`, or s.len when there is none. */
static inline size_t span_find(struct span s, char c)
{
    const char *found = s.len ? (const char *)memchr(s.at, c, s.len) : NULL;
    return found ? (size_t)(found - s.at) : s.len;
}

/* Reads all of `s` as an unsigned decimal number; false when it is empty, has anything but digits
 * or does not fit, and *value is then untouched. */
bool span_number(struct span s, uint64_t *value);

struct buf {
    char *at;
    uint32_t len;
    uint32_t cap;
};

/* Appends; returns 0 or -ENOMEM (the buf is then as it was). At most 2^31 octets in all. */
int buf_add(struct buf *b, const void *octets, size_t n);
int buf_add_span(struct buf *b, struct span s);
int buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a number in decimal digits, at least `places` of them (at most 20). As above. */
int buf_add_number(struct buf *b, uint64_t number, unsigned places);

/* Writes a number in decimal digits, at least `places` of them (at most 20) and no NUL, and returns
 * where they end. */
char *write_decimal(uint64_t number, unsigned places, char *out);

/* Makes room for `n` more octets and returns where they go (the caller adds to b->len), or NULL. */
char *buf_room(struct buf *b, size_t n);

/* Removes the first `n` octets (all of them when there are fewer); frees the block when none is
 * left. */
void buf_drop(struct buf *b, size_t n);

/* Frees the part of the block beyond b->len. For bufs that will be kept for long. */
void buf_fit(struct buf *b);

/* Frees the block; the buf is empty and usable again. */
void buf_free(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->at, b->len};
}

#endif
