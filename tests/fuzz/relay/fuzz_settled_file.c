/* A memory of mixed answers of any content: it is set aside or used, and takes new entries, which
 * it forgets when told to. */
#include "relay/partial_delivery.h"

#include "../state_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEEP_MS = 86400000 };
#define T0 UINT64_C(1800000000000)

static const struct span sender = {"a@a.test", 8}, known = {"b@b.test", 8}, other = {"c@c.test", 8};

static void write_good(void)
{
    struct partial_delivery *s;

    if (partial_open(&s, state_path, KEEP_MS) < 0)
        abort();
    partial_delivered(s, sender, known, partial_named(1), T0);
    partial_put_in_group(s, sender, other, 1000, PARTIAL_LATER, T0);
    partial_note_backend(s, known, 7, T0);
    partial_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct partial_delivery *s;
    uint64_t word;

    if (size < 1)
        return 0;
    state_damage(data, size, write_good);
    if (partial_open(&s, state_path, KEEP_MS) < 0)
        abort();
    (void)partial_was_delivered(s, sender, known, partial_named(1), T0 + 1);
    (void)partial_backend(s, known, T0 + 1, &word);
    enum partial_group g = partial_group_of(s, sender, other, 1000, T0 + 1);
    assert(g == PARTIAL_TAKEN || g == PARTIAL_LATER || g == PARTIAL_REFUSED);
    for (uint64_t i = 100; i < 200; i++) {
        partial_delivered(s, sender, other, partial_named(i), T0 + 2);
        assert(partial_was_delivered(s, sender, other, partial_named(i), T0 + 3));
        partial_forget(s, sender, other, i);
        assert(!partial_was_delivered(s, sender, other, partial_named(i), T0 + 3));
    }
    partial_close(s);
    return 0;
}
