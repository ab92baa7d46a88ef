/* Compares the scanner with vectors (data_skip.c) to the one without, call by call: the same octets
 * used, the same dots, the same state. For unit tests and fuzzers. */
#ifndef MIRED_TEST_VECTORS_H
#define MIRED_TEST_VECTORS_H

#include <stdbool.h>

#include "smtp/data_part.h"

static inline bool same_scan(const struct data_scan *a, const struct data_scan *b)
{
    return a->line == b->line && a->state == b->state && a->bad == b->bad && a->nul == b->nul;
}

/* Scans `in` as DATA in both ways, `piece` octets more at a time (0: all at once), on after each
 * final dot as if another message came. The first octet at which they differ; in.len: none. */
static inline size_t data_differs(struct span in, size_t piece, bool allow_nul,
                                  enum data_vectors level)
{
    struct data_scan plain, vector;
    size_t at = 0, have = 0;

    data_start(&plain);
    plain.allow_nul = allow_nul;
    vector = plain;
    while (have < in.len) {
        struct data_found f = {0}, g = {0};
        have = piece && piece < in.len - have ? have + piece : in.len;
        for (bool more = true; more;) {
            struct span some = span_after(span_first(in, have), at);
            data_use_vectors(DATA_SCALAR);
            enum data_result r = data_scan(&plain, some, &f);
            data_use_vectors(level);
            if (data_scan(&vector, some, &g) != r || f.used != g.used || f.body != g.body ||
                f.dots != g.dots || !same_scan(&plain, &vector))
                return at;
            at += f.used;
            more = r == DATA_END;
            if (more) {
                data_start(&plain);
                plain.allow_nul = allow_nul;
                vector = plain;
            }
        }
    }
    return in.len;
}

/* The same as chunks of BDAT. */
static inline size_t chunks_differ(struct span in, size_t piece, bool mend, enum data_vectors level)
{
    struct data_scan plain, vector;

    data_start(&plain);
    plain.mend = mend;
    vector = plain;
    for (size_t at = 0; at < in.len;) {
        struct span some = span_after(in, at);
        if (piece)
            some = span_first(some, piece);
        data_use_vectors(DATA_SCALAR);
        size_t n = data_scan_chunk(&plain, some);
        data_use_vectors(level);
        if (data_scan_chunk(&vector, some) != n || !same_scan(&plain, &vector))
            return at;
        if (!span_equal(data_chunk_owes(&plain), data_chunk_owes(&vector)))
            return at;
        at += n;
    }
    return in.len;
}

#endif
