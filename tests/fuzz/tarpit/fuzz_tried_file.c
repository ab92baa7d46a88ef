/* A file of unknown recipients of any content: it is set aside or used. Used, its candidates are
 * texts within their bounds, and it takes new addresses. */
#include "tarpit/tried.h"

#include <string.h>

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DAY_MS UINT64_C(86400000)
#define T0     UINT64_C(1800000000000)

static void try_often(struct tried *t, struct span address, uint64_t now)
{
    for (uint8_t i = 1; i <= 6; i++) {
        struct addr client;
        char text[] = "192.0.0.1";
        text[6] = (char)('0' + i);
        assert(addr_parse(span_of(text), &client));
        tried_by_stranger(t, address, &client, now + i % 3 * DAY_MS);
    }
}

static void write_good(void)
{
    struct tried *t;

    if (tried_open(&t, state_path) < 0)
        abort();
    tried_exists(t, SPAN("alice@example.org"), T0);
    tried_by_good(t, SPAN("alicia@example.org"), T0);
    try_often(t, SPAN("bob.smith@example.org"), T0);
    try_often(t, SPAN("sales9@example.org"), T0);
    tried_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tried *t;
    struct tried_address out;
    uint32_t at = 0, found = 0;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (tried_open(&t, state_path) < 0)
        abort();
    while (tried_next(t, &at, T0 + 4 * DAY_MS, &out)) {
        assert(memchr(out.address, '\0', sizeof out.address));
        assert(++found <= TRIED_CANDIDATES);
    }
    try_often(t, SPAN("carol@example.org"), T0 + 4 * DAY_MS);
    tried_tend(t, T0 + 8 * DAY_MS);
    (void)tried_overflowed(t);
    tried_close(t);
    return 0;
}
