/* A file of the page's last hour of any content: it is set aside or used. Used, its samples are of
 * the last hour and in order. */
#include "web/history.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define T0 (UINT64_C(1800000000000) / HISTORY_EVERY_MS * HISTORY_EVERY_MS)

static void write_good(void)
{
    struct history h;

    if (history_open(&h, state_path) < 0)
        abort();
    for (uint64_t i = 0; i < 4; i++)
        history_put(&h, T0 + i * HISTORY_EVERY_MS, (struct history_sample){.held = i});
    history_close(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct history h;
    struct history_sample s;
    uint64_t at = 0, before = 0, now = T0 + 4 * HISTORY_EVERY_MS;
    int found = 0;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (history_open(&h, state_path) < 0)
        abort();
    while (history_next(&h, now, &at, &s)) {
        assert(s.at_ms > before && s.at_ms <= now && s.at_ms + 3600000 > now);
        before = s.at_ms;
        assert(++found <= HISTORY_SAMPLES);
    }
    if (history_is_due(&h, now))
        history_put(&h, now, (struct history_sample){.held = 7});
    assert(!history_is_due(&h, now));
    history_close(&h);
    return 0;
}
