/* Readers of data as simple as can be, to check the scanners against: unit tests and fuzzers. */
#ifndef MIRED_TEST_NAIVE_H
#define MIRED_TEST_NAIVE_H

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "smtp/data.h"

struct scanned {
    size_t used, body;
    bool ended, bad;
};

/* data_scan() over `in`, `piece` octets more at a time (0: all at once). When it does not end, what
 * was left unused as a possible final dot is counted as body. Nonzero: it contradicts itself. */
static inline int scan_in_pieces(struct span in, size_t piece, struct scanned *out)
{
    struct data_scan d;
    size_t have = 0;
    data_start(&d);
    *out = (struct scanned){0};
    while (have < in.len && !out->ended) {
        struct data_found f;
        have = piece && have + piece < in.len ? have + piece : in.len;
        struct span some = span_after(span_first(in, have), out->used);
        out->ended = data_scan(&d, some, &f) == DATA_END;
        if (f.used > some.len || f.body != (out->ended ? f.used - 3 : f.used))
            return 1;
        if (!out->ended && some.len - f.used > 2)
            return 1;
        out->used += f.used;
        out->body += f.body;
    }
    out->bad = d.bad;
    if (!out->ended)
        out->body = in.len;
    return 0;
}

/* True when there is a CR without LF, or an LF without CR. */
static inline bool naive_line_ends_are_bad(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '\r' && (i + 1 == s.len || s.at[i + 1] != '\n'))
            return true;
        if (s.at[i] == '\n' && (i == 0 || s.at[i - 1] != '\r'))
            return true;
    }
    return false;
}

static inline bool naive_line_is_long(struct span s)
{
    size_t line = 0;
    for (size_t i = 0; i < s.len; i++) {
        line = s.at[i] == '\n' ? 0 : line + (s.at[i] != '\r');
        if (line > DATA_LINE_MAX)
            return true;
    }
    return false;
}

static inline bool naive_is_bad(struct span s)
{
    return naive_line_ends_are_bad(s) || naive_line_is_long(s) || span_find(s, '\0') < s.len;
}

/* Looks for CRLF "." CRLF, as if a CRLF stood in front. */
static inline void naive_scan(struct span in, struct scanned *out)
{
    *out = (struct scanned){0};
    for (size_t i = 0; i + 3 <= in.len && !out->ended; i++) {
        bool start = i == 0 || (i >= 2 && !memcmp(in.at + i - 2, "\r\n", 2));
        if (start && !memcmp(in.at + i, ".\r\n", 3))
            *out = (struct scanned){.used = i + 3, .body = i, .ended = true};
    }
    if (out->ended) {
        struct span body = span_first(in, out->body);
        out->bad = naive_is_bad(body);
    }
}

/* data_scan_chunk() over `in` as chunks of `piece` octets; `out` has room for twice as much and 2.
 * *ended tells whether the last line was, before a CRLF was put behind it. Returns the length. */
static inline size_t stuff(struct span in, size_t piece, bool mend, char *out, bool *ended,
                           bool *bad)
{
    struct data_scan d;
    size_t length = 0;
    data_start(&d);
    d.mend = mend;
    while (in.len) {
        struct span some = piece ? span_first(in, piece) : in;
        size_t n = data_scan_chunk(&d, some);
        assert(n <= some.len);
        if (n)
            memcpy(out + length, some.at, n);
        length += n;
        in = span_after(in, n);
        struct span owed = data_chunk_owes(&d);
        assert(n > 0 || owed.len == 1);
        if (owed.len)
            out[length++] = owed.at[0];
    }
    *ended = !data_chunks_end(&d);
    *bad = d.bad;
    if (!*ended) {
        memcpy(out + length, "\r\n", 2);
        length += 2;
    }
    return length;
}

static inline size_t stuff_in_pieces(struct span in, size_t piece, char *out, bool *ended,
                                     bool *bad)
{
    return stuff(in, piece, false, out, ended, bad);
}

/* The same with bare LFs mended, each of which makes one octet more. */
static inline size_t stuff_mended(struct span in, size_t piece, char *out, bool *ended, bool *bad)
{
    return stuff(in, piece, true, out, ended, bad);
}

#endif
