/* A file of deferred messages of any content: it is set aside or used. Used, it takes messages, and
 * knows of one that was just deferred only that it is not due yet. */
#include "tarpit/retries.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 1024, AFTER_MS = 300 * 1000, MESSAGES = 64 };
#define T0 UINT64_C(1800000000000)

static void write_good(void)
{
    struct retries *r;

    if (retries_open(&r, state_path, SIZE) < 0)
        abort();
    for (uint64_t i = 0; i < MESSAGES; i++)
        retries_deferred(r, retries_message(r, i, 7), AFTER_MS, T0 - i * RETRIES_STEP_MS);
    retries_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct retries *r;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (retries_open(&r, state_path, SIZE) < 0)
        abort();
    for (uint64_t i = 0; i < 4 * (uint64_t)MESSAGES; i++) {
        uint64_t now = T0 + i * RETRIES_STEP_MS / 8, message = retries_message(r, i, 7);
        bool due = retries_is_due(r, message, AFTER_MS, now);
        retries_deferred(r, message, AFTER_MS, now);
        /* Even as a retry it is not due again at once; if the set was full, it is not recorded. */
        assert(!due || !retries_is_due(r, message, AFTER_MS, now));
        (void)retries_is_due(r, message, AFTER_MS, now + AFTER_MS);
    }
    retries_close(r);
    return 0;
}
