/* A message's hash does not depend on the pieces that it comes in, and a Received: on top of one
 * with a Message-ID changes nothing. The first octet is the length of the pieces. */
#include <assert.h>
#include <stdint.h>

#include "smtp/sameness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sipkey key = {3, 4};

static struct sameness take(struct span top, struct span in, size_t piece)
{
    struct sameness s;

    sameness_start(&s, &key);
    sameness_add(&s, top);
    for (; in.len; in = span_after(in, piece))
        sameness_add(&s, span_first(in, piece));
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    struct span in = {(const char *)data + 1, size - 1};
    struct sameness whole = take((struct span){0}, in, size);
    struct sameness pieces = take((struct span){0}, in, data[0] ? data[0] : 1);
    assert(sameness_end(&whole) == sameness_end(&pieces));
    assert(sameness_is_named(&whole) == sameness_is_named(&pieces));
    /* A line that is folded would belong to the field above it. */
    if (sameness_is_named(&whole) && in.at[0] != ' ' && in.at[0] != '\t') {
        struct sameness below = take(SPAN("Received: by x\r\n"), in, size);
        assert(sameness_end(&whole) == sameness_end(&below));
    }
    return 0;
}
