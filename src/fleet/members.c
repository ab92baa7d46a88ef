/* The members of a fleet (members.h). */
#include "fleet/members.h"
#include "fleet/pace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int members_open(struct members *m, const char *self)
{
    m->at = calloc(MEMBERS_MOST, sizeof *m->at);
    if (!m->at)
        return -ENOMEM;
    snprintf(m->at[0].name, sizeof m->at[0].name, "%s", self);
    m->count = 1;
    return 0;
}

void members_close(struct members *m)
{
    free(m->at);
    *m = (struct members){0};
}

static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i], low = (char)(c | 0x20);
        bool good = (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
                    c == '_';
        if (!good)
            return false;
    }
    return s.len > 0 && s.len <= MEMBERS_NAME;
}

/* The one that is forgotten for another one; NULL: none has been away for long enough. */
static struct member *longest_away(struct members *m, uint64_t now)
{
    enum { DAY_MS = 86400 * 1000 };
    struct member *longest = NULL;
    uint64_t least = now > DAY_MS ? now - DAY_MS : 0;

    for (uint16_t i = 1; i < m->count; i++) {
        struct member *one = &m->at[i];
        uint64_t last = one->heard_ms > one->met_ms ? one->heard_ms : one->met_ms;
        if (last < least) {
            longest = one;
            least = last;
        }
    }
    return longest;
}

struct member *members_of(struct members *m, struct span name, uint64_t now)
{
    for (uint16_t i = 0; i < m->count; i++)
        if (span_equal(name, span_of(m->at[i].name)))
            return &m->at[i];
    if (!is_name(name))
        return NULL;
    struct member *one = m->count < MEMBERS_MOST ? &m->at[m->count++] : longest_away(m, now);
    if (!one)
        return NULL;
    *one = (struct member){.met_ms = now};
    memcpy(one->name, name.at, name.len);
    return one;
}

bool members_is_present(const struct members *m, const struct member *one, uint64_t now)
{
    return one->heard_ms && one->heard_ms + pace_away_ms(m->count) > now;
}

unsigned members_present(const struct members *m, uint64_t now)
{
    unsigned n = 1;

    for (uint16_t i = 1; i < m->count; i++)
        n += members_is_present(m, &m->at[i], now);
    return n;
}

void members_clock_was_set(struct members *m, int64_t by_ms)
{
    for (uint16_t i = 0; i < m->count; i++) {
        struct member *one = &m->at[i];
        one->heard_ms += one->heard_ms ? (uint64_t)by_ms : 0;
        one->met_ms += one->met_ms ? (uint64_t)by_ms : 0;
    }
}

/* ---- hello ---- */

void hello_write(const struct hello *h, char text[HELLO_TEXT])
{
    snprintf(text, HELLO_TEXT,
             "version=%" PRIu64 " mired=%" PRIu64 " instance=%" PRIu64 " half_life=%" PRIu64
             " good_half_life=%" PRIu64 " keys=%" PRIu64 " skew=%" PRId64 " held=%" PRIu64
             " frozen=%" PRIu64 " passed=%" PRIu64 " passed_milli=%" PRIu64 " program=%s",
             h->version, h->mired, h->instance, h->half_life, h->good_half_life, h->keys,
             h->skew_ms, h->held, h->frozen, h->passed, h->passed_milli, h->program);
}

static bool read_signed(struct span s, int64_t *n)
{
    bool minus = s.len && s.at[0] == '-';
    uint64_t value;

    if (!span_number(span_after(s, minus), &value) || value > INT64_MAX)
        return false;
    *n = minus ? -(int64_t)value : (int64_t)value;
    return true;
}

/* Letters, digits and ".-_" are in versions of mired, and need no escapes anywhere. */
static void read_program(struct span s, char program[HELLO_PROGRAM])
{
    if (s.len >= HELLO_PROGRAM || !is_name(s))
        return;
    memcpy(program, s.at, s.len);
    program[s.len] = '\0';
}

static void cut(uint64_t *n)
{
    if (*n > HELLO_MOST)
        *n = HELLO_MOST;
}

struct hello hello_read(struct span text)
{
    struct hello h = {0};
    const struct {
        const char *key;
        uint64_t *to;
    } numbers[] = {{"version", &h.version},
                   {"mired", &h.mired},
                   {"instance", &h.instance},
                   {"half_life", &h.half_life},
                   {"good_half_life", &h.good_half_life},
                   {"keys", &h.keys},
                   {"held", &h.held},
                   {"frozen", &h.frozen},
                   {"passed", &h.passed},
                   {"passed_milli", &h.passed_milli}};

    while (text.len) {
        size_t end = span_find(text, ' ');
        struct span word = span_first(text, end);
        size_t sign = span_find(word, '=');
        struct span key = span_first(word, sign), value = span_after(word, sign + 1);
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
            if (span_equal(key, span_of(numbers[i].key)))
                span_number(value, numbers[i].to);
        if (span_equal(key, SPAN("skew")))
            read_signed(value, &h.skew_ms);
        if (span_equal(key, SPAN("program")))
            read_program(value, h.program);
        text = span_after(text, end + 1);
    }
    cut(&h.keys);
    cut(&h.held);
    cut(&h.frozen);
    cut(&h.passed);
    cut(&h.passed_milli);
    return h;
}
