/* Queries that get no answer for long, and sources that give none; see directory_part.h.
 *
 * The queries to all sources share `most` places. A query that has run for HUNG_AFTER_MS gives its
 * place up and goes on beside the others, in one of the threads that there are for this. So queries to
 * a source that hangs wait for nobody's account but its own: no source gets more than `most` queries
 * at a time, with or without places.
 *
 * A source is suspect while such a query runs; from one that has ended without an answer until its
 * next answer, to any clerk; and until its first answer. Its queries begin without a place. If many
 * sources hang, all threads beside the places may be busy; then suspects get half of the places, and
 * the others have the rest.
 *
 * Where there is only one source, nobody waits for it but its own queries, and nothing of this is
 * done. Runs in clerks. */
#include "base/clock.h"
#include "base/container.h"
#include "directory/directory_part.h"
#include "directory/remote.h"

enum {
    HUNG_AFTER_MS = 1000,
    HUNG_AFTER_US = HUNG_AFTER_MS * 1000,
    HUNG_MOST = 64 /* a thread needs about 30 KB, and only while it is needed */
};

void hung_open(struct directory *d, size_t sources)
{
    uint64_t others = sources > 1 ? (uint64_t)(sources - 1) * d->most : 0;
    uint64_t most = d->most > HUNG_MOST ? d->most : HUNG_MOST;

    d->threads = d->most + (uint32_t)(others < most ? others : most);
    ring_init(&d->runs);
}

static bool is_suspect(const struct directory *d, const struct source *s)
{
    return s->hung > 0 || sharing_last_answer(d->sharing, s->cached.id) <= s->silent_us;
}

static bool has_room(const struct directory *d)
{
    return d->hung < d->threads - d->most;
}

/* Places that suspects have. Only with all other threads busy are there any for long. */
static uint32_t places_of_suspects(const struct directory *d)
{
    uint32_t n = 0;

    for (struct ring *at = d->runs.next; at != &d->runs; at = at->next)
        n += is_suspect(d, container_of(at, struct errand, wait)->source);
    return n;
}

bool hung_may_go(const struct directory *d, const struct source *s)
{
    return d->threads == d->most || has_room(d) || !is_suspect(d, s) ||
           places_of_suspects(d) < d->most / 2;
}

static void give_place_up(struct directory *d, struct errand *e)
{
    e->hung = true;
    e->source->hung++;
    d->hung++;
    fair_done(d->fair, &e->item);
}

void hung_begins(struct directory *d, struct errand *e)
{
    e->hung = false;
    if (is_suspect(d, e->source) && has_room(d))
        give_place_up(d, e);
    else
        ring_add(&d->runs, &e->wait);
}

void hung_ends(struct directory *d, struct errand *e)
{
    struct source *s = e->source;

    if (e->hung) {
        s->hung--;
        d->hung--;
    } else {
        ring_remove(&e->wait);
        fair_done(d->fair, &e->item);
    }
    if (e->result == ANSWER_SILENCE && e->took_us >= HUNG_AFTER_US)
        s->silent_us = clock_mono_us();
}

int hung_look(struct directory *d)
{
    uint64_t now = clock_mono_us();

    while (has_room(d) && d->runs.next != &d->runs) {
        struct errand *e = container_of(d->runs.next, struct errand, wait);
        if (now < e->given_us + HUNG_AFTER_US)
            return (int)((e->given_us + HUNG_AFTER_US - now) / 1000) + 1;
        ring_remove(&e->wait);
        give_place_up(d, e);
    }
    return -1;
}
