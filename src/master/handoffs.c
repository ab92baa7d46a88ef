/* The pairs between worker slots and the freezer; see runtime.h. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/channel.h"
#include "master/runtime.h"

bool runtime_handoff_is_shut(const struct runtime *h)
{
    for (uint32_t i = 0; i < h->handoffs; i++)
        if (channel_is_shut(h->handoff[i]))
            return true;
    return false;
}

/* Replaces those that are shut, if that is possible. */
static void renew(struct runtime *h)
{
    int pair[2];

    for (uint32_t i = 0; i < h->handoffs; i++)
        if (channel_is_shut(h->handoff[i]) && channel_pair(pair) == 0)
            for (int end = 0; end < 2; end++) {
                close(h->handoff[i][end]);
                h->handoff[i][end] = pair[end];
            }
}

int runtime_handoffs(struct runtime *h, uint32_t slots)
{
    int error = 0;

    renew(h);
    if (slots <= h->handoffs)
        return 0;
    int(*pair)[2] = realloc(h->handoff, slots * sizeof *pair);
    if (!pair)
        return -ENOMEM;
    h->handoff = pair;
    while (h->handoffs < slots && !(error = channel_pair(pair[h->handoffs])))
        h->handoffs++;
    return error;
}
