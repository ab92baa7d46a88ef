/* Carries out the master's requests about held connections (held.h). */
#include "worker/held.h"

#include <errno.h>

#include "base/clock.h"
#include "query/notes.h"
#include "query/tally.h"
#include "worker/freeze.h"
#include "worker/guard.h"
#include "worker/hold.h"
#include "worker/lists.h"
#include "worker/worker_part.h"

enum { RELEASE_TELL_MS = 500, RELEASE_LOOK_EACH = 64 }; /* progress, while a release goes on */

static void tell_released(const struct worker *w, const struct note *asked, uint32_t answered,
                          const char *state)
{
    channel_tell(w->params->control, NOTE_RELEASED, (int32_t)answered, asked->tag, state);
}

/* Answers the holds of an address or a network now, and reports how many. */
void held_release(struct worker *w, const struct note *asked)
{
    uint32_t answered = 0;
    struct network n;
    struct ring theirs;

    if (!network_parse((struct span){asked->text, asked->len}, &n))
        return;
    tell_released(w, asked, 0, "more");
    freeze_released(w, &n);
    uint64_t told_ms = clock_mono_ms();
    ring_init(&theirs);
    guard_gather(w, &n, &theirs);
    while (!ring_is_empty(&theirs)) {
        hold_release(w, conn_of_link(theirs.next));
        if (++answered % RELEASE_LOOK_EACH || clock_mono_ms() < told_ms + RELEASE_TELL_MS)
            continue;
        tell_released(w, asked, answered, "more");
        told_ms = clock_mono_ms();
    }
    tell_released(w, asked, answered, "done");
}

/* Reports how many of them are held, and, for a single address, the lists that have it. */
void held_count(const struct worker *w, const struct note *query)
{
    struct buf names = {0};
    struct network n;

    if (!network_parse((struct span){query->text, query->len}, &n))
        return;
    if (n.bits == addr_bits(&n.base))
        lists_names(w, &n.base, &names);
    bool whole = names.len < NOTE_TEXT && buf_add(&names, "", 1) == 0;
    channel_tell(w->params->control, NOTE_COUNTED, (int32_t)guard_count(w, &n), query->tag,
                 whole ? names.at : NULL);
    buf_free(&names);
}

void held_tally(const struct worker *w, const struct note *query)
{
    char text[NOTE_TEXT] = "";
    struct tally t;
    int32_t error = 0;

    if (tally_parse(&t, (struct span){query->text, query->len})) {
        guard_tally(w, &t);
        tally_format_counts(&t, text, sizeof text);
    } else {
        error = -EINVAL;
    }
    channel_tell(w->params->control, NOTE_TALLIED, error, query->tag, text);
}
