/* A file of frozen holds of any content: it is set aside or used. Used, it yields each hold at most
 * once and ends, keeps its count, and takes new holds. */
#include "freezer/table.h"

#include <string.h>

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RECORDS = 64, KEEP_MS = 3600000 };
#define T0 UINT64_C(1800000000000)

static struct frozen_hold hold_of(unsigned i, size_t session)
{
    static char octets[FROZEN_SESSION_MAX];
    struct frozen_hold h = {.due_ms = T0 + i * 1000, .frozen_ms = T0, .slot = (uint16_t)(i % 4)};

    h.tcp.family = i % 3 ? 4 : 6;
    memset(&h.tcp, (int)i + 1, sizeof h.tcp);
    h.tcp.family = i % 3 ? 4 : 6;
    h.session = (struct span){octets, session};
    return h;
}

static void write_good(void)
{
    struct frozen_table *t;

    if (table_prepare(state_path, RECORDS) < 0 ||
        table_open(&t, state_path, RECORDS, T0, KEEP_MS) < 0)
        abort();
    for (unsigned i = 0; i < 8; i++) {
        struct frozen_hold h = hold_of(i, i * 150);
        if (table_put(t, &h) < 0)
            abort();
    }
    table_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frozen_table *t;
    struct frozen_hold h;
    char room[FROZEN_ROOM];
    uint32_t id, found = 0;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (table_prepare(state_path, RECORDS) < 0 ||
        table_open(&t, state_path, RECORDS, T0, KEEP_MS) < 0)
        return 0; /* the freezer begins another */
    uint32_t before = table_count(t);
    assert(before <= RECORDS);
    while (table_due(t, T0 + KEEP_MS, &id, &h, room)) {
        assert(h.session.len <= FROZEN_SESSION_MAX);
        assert(++found <= before);
        if (found % 2)
            table_drop(t, id);
    }
    struct frozen_hold fresh = hold_of(40, 100);
    if (!table_is_cut(t))
        (void)table_put(t, &fresh);
    (void)table_next(t);
    table_close(t);
    return 0;
}
