/* The scanners against naive readers: where data ends, what is bad, what chunks become. The first
 * octet is the length of the pieces that come at once. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "naive.h"
#include "vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_data(struct span in, size_t piece)
{
    struct scanned ours, naive;
    int fault = scan_in_pieces(in, piece, &ours);
    naive_scan(in, &naive);
    assert(!fault);
    assert(ours.ended == naive.ended);
    if (ours.ended)
        assert(ours.used == naive.used && ours.body == naive.body && ours.bad == naive.bad);
}

static void check_chunks(struct span in, size_t piece)
{
    char *stuffed = malloc(2 * in.len + 8), *plain = malloc(2 * in.len + 8);
    bool ended, bad, line_start = true;
    struct scanned s;
    assert(stuffed && plain);
    size_t n = stuff_in_pieces(in, piece, stuffed, &ended, &bad);
    assert(bad == naive_is_bad(in));
    if (!bad) {
        memcpy(stuffed + n, ".\r\n", 3);
        naive_scan((struct span){stuffed, n + 3}, &s);
        assert(s.ended && s.body == n);
        size_t back = data_unstuff(&line_start, (struct span){stuffed, n}, plain);
        assert(back == in.len + (ended ? 0 : 2) && (!in.len || !memcmp(plain, in.at, in.len)));
    }
    /* Mended, it is fit to be sent on, too. */
    char *mended = malloc(3 * in.len + 8);
    assert(mended);
    n = stuff_mended(in, piece, mended, &ended, &bad);
    if (!bad) {
        memcpy(mended + n, ".\r\n", 3);
        naive_scan((struct span){mended, n + 3}, &s);
        assert(s.ended && s.body == n && !s.bad);
    }
    free(mended);
    free(stuffed);
    free(plain);
}

static void check_vectors(struct span in, size_t piece)
{
    for (enum data_vectors level = DATA_SSE2; level <= DATA_AVX2; level++) {
        if (!data_use_vectors(level))
            continue;
        assert(data_differs(in, piece, in.len % 2, level) == in.len);
        assert(chunks_differ(in, piece, in.len % 2, level) == in.len);
    }
    data_use_vectors(DATA_AVX2);
}

static void check_received(struct span in, size_t piece)
{
    struct received_count whole = {0}, pieces = {0};
    received_scan(&whole, in);
    for (struct span rest = in; rest.len; rest = span_after(rest, piece ? piece : rest.len))
        received_scan(&pieces, piece ? span_first(rest, piece) : rest);
    assert(whole.count == pieces.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct span in = {(const char *)data + 1, size - 1};
    check_data(in, data[0]);
    check_chunks(in, data[0]);
    check_vectors(in, data[0]);
    check_received(in, data[0]);
    return 0;
}
