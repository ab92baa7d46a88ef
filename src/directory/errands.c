/* Errands: a thread queries a source for an answer that files and the cache do not have; see
 * directory_part.h.
 *
 * Errands wait in the order of fair.h and, at each source, of source_slots.h, for as many threads as
 * their source accepts connections (scarce.c). A slow source leaves threads for the other sources.
 * Runs in clerks. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/metrics.h"
#include "config/config.h"
#include "directory/directory_part.h"
#include "directory/remote.h"
#include "directory/source_slots.h"
#include "directory/traps.h"

enum { LOOK_AFTER_MS = 250 };

/* ---- in a thread: the query ---- */

static enum answer_result ask_line(const struct source *s, union line line, struct span form,
                                   struct answer *out)
{
    switch (s->config->kind) {
    case RECIPIENTS_FILE: break;
    case RECIPIENTS_BACKEND: return backend_directory_ask(line.backend, form, out);
    case RECIPIENTS_SOCKETMAP: return socketmap_directory_ask(line.socketmap, form);
    case RECIPIENTS_LDAP: return ldap_directory_ask(line.ldap, form);
    }
    return ANSWER_SILENCE;
}

/* There was no answer. If there is one to a query that the source has answered before, it is neither
 * crowded nor down, but has broken the connection because of this query, or had no room until now. */
static enum answer_result ask_again(const struct source *s, union line line, struct errand *e)
{
    struct span good = buf_span(&e->good), form = {e->form, e->len};
    struct answer unused;

    if (clock_mono_us() - e->begun_us > ERRAND_REFUSED_US || good.len == 0 ||
        span_equal(good, form) || ask_line(s, line, good, &unused) == ANSWER_SILENCE)
        return ANSWER_SILENCE;
    enum answer_result r = ask_line(s, line, form, &e->answer);
    return r == ANSWER_SILENCE ? ANSWER_LATER : r;
}

bool errand_run(void *arg, uint32_t asker, struct task *t)
{
    struct errand *e = (struct errand *)t;
    struct source *s = e->source;
    union line line = source_line(arg, s, asker);

    e->begun_us = clock_mono_us();
    e->result =
        line.any ? ask_line(s, line, (struct span){e->form, e->len}, &e->answer) : ANSWER_SILENCE;
    if (line.any && e->result == ANSWER_SILENCE)
        e->result = ask_again(s, line, e);
    e->took_us = clock_mono_us() - e->begun_us;
    /* a line that brought no answer is no line */
    if (line.any && (e->result == ANSWER_SILENCE || atomic_exchange(&s->give, false)))
        source_rest(s, asker);
    else if (line.any)
        source_note_line(s, asker);
    return e->result != ANSWER_SILENCE;
}

/* Closes the connection of an idle thread to one source, or all of them. */
void errand_rest(void *arg, uint32_t asker, void *to)
{
    const struct directory *d = arg;

    for (struct source *s = d->source; s < d->source + d->sources; s++)
        if (!source_is_file(s) && (!to || s == to))
            source_rest(s, asker);
}

bool errand_has_line(void *arg, uint32_t asker, const void *to)
{
    const struct source *s = to;

    return atomic_load(&s->open[asker]);
}

/* ---- waiting ---- */

static void errand_free(struct errand *e)
{
    free(e->inquiry);
    buf_free(&e->good);
    free(e);
}

static struct errand *errand_of(struct fair_item *item)
{
    return container_of(item, struct errand, item);
}

/* Ends an errand; its inquiry goes on with the result. */
static void finish(struct directory *d, struct errand *e, enum answer_result result)
{
    struct inquiry *q = e->inquiry;

    if (q && result == ANSWER_OTHER) {
        uint64_t id = q->answer.id;
        q->answer = e->answer;
        q->answer.id = id;
    }
    buf_free(&e->good);
    free(e);
    if (q)
        inquiry_go_on(d, q, result);
}

/* Ends an errand, and its inquiry, because it has lost its place or the worker no longer waits. */
static void give_up(struct directory *d, struct errand *e)
{
    struct inquiry *q = e->inquiry;

    if (q) {
        q->answer.result = q->known == ANSWER_YES ? ANSWER_YES : ANSWER_LATER;
        d->answered(d->arg, &q->asker, &q->answer);
    }
    errand_free(e);
}

/* ---- lists of what waits, and of what runs ---- */

void errands_open(struct directory *d)
{
    ring_init(&d->waits);
    for (struct source *s = d->source; s < d->source + d->sources; s++) {
        ring_init(&s->waits);
        d->idle += !source_is_file(s);
    }
}

static void waits(struct directory *d, struct errand *e)
{
    struct source *s = e->source;

    source_slots_wait(s->slots, e->slot);
    ring_add(&s->waits, &e->wait);
    if (s->waiting++ == 0)
        ring_add(&d->waits, &s->link);
}

static void waits_no_more(struct errand *e)
{
    struct source *s = e->source;

    source_slots_leave(s->slots, e->slot);
    ring_remove(&e->wait);
    if (--s->waiting == 0)
        ring_remove(&s->link);
}

static void begins(struct directory *d, struct errand *e)
{
    struct source *s = e->source;

    d->idle -= s->running++ == 0;
    source_slots_begin(s->slots, e->slot);
    hung_begins(d, e);
}

static void ends(struct directory *d, struct errand *e)
{
    struct source *s = e->source;

    d->idle += --s->running == 0;
    source_slots_end(s->slots, e->slot);
    hung_ends(d, e);
}

/* ---- the next one ---- */

static bool is_late(const struct errand *e)
{
    return e->inquiry && clock_mono_ms() > e->inquiry->until_ms;
}

/* Whether an errand need not run any more, because the answer has become known while it waited;
 * *result is then its result. */
static bool has_outcome(struct directory *d, const struct errand *e, enum answer_result *result)
{
    struct source *s = e->source;
    struct span form = {e->form, e->len};
    enum answer_result known;

    if (!e->inquiry)
        return false;
    const struct cache_source cached = source_cached_for(s, e->inquiry->asker.rank);
    if (cache_find(d->cache, &cached, form, clock_wall_ms(), &known) == CACHE_FRESH) {
        *result = known;
        return true;
    }
    if (!cache_is_down(d->cache, &s->cached))
        return false;
    source_know_down(s, form);
    *result = ANSWER_LATER;
    return true;
}

/* Threads that stay free for sources that use none: one each, up to half of all. So a slow
 * directory of one company delays nobody else's mail. */
static uint32_t reserved_for_idle(const struct directory *d)
{
    return d->idle < d->most / 2 ? d->idle : d->most / 2;
}

/* Whether a source takes one more query. A source without queries always does. */
static bool takes_more(const struct directory *d, const struct source *s)
{
    if (!scarce_may_go(s) || !hung_may_go(d, s))
        return false;
    return s->running == 0 || fair_asked(d->fair) + 1 + reserved_for_idle(d) <= d->most;
}

static bool may_go(const void *arg, const struct fair_item *item)
{
    return takes_more(arg, container_of(item, const struct errand, item)->source);
}

static bool has_turn_and_may_go(const void *arg, const struct fair_item *item)
{
    const struct errand *e = container_of(item, const struct errand, item);

    return source_slots_first(e->source->slots) == e->slot && may_go(arg, item);
}

/* Looks at all errands in their order, until one may go. */
static struct errand *first_in_order(struct directory *d)
{
    struct fair_item *item = fair_take(d->fair, has_turn_and_may_go, d);

    if (!item)
        item = fair_take(d->fair, may_go, d);
    return item ? errand_of(item) : NULL;
}

static void choose(const struct directory *d, struct errand *e, struct errand **best)
{
    if (fair_allows(d->fair, &e->item) &&
        (!*best || fair_is_before(d->fair, &e->item, &(*best)->item)))
        *best = e;
}

/* Looks at the errands of those sources that take more. The result is the same. */
static struct errand *first_of_sources(struct directory *d)
{
    struct errand *best[2] = {NULL, NULL}; /* of slots without their turn; with it */

    for (struct ring *at = d->waits.next; at != &d->waits; at = at->next) {
        struct source *s = container_of(at, struct source, link);
        if (!takes_more(d, s))
            continue;
        uint32_t first = source_slots_first(s->slots);
        for (struct ring *link = s->waits.next; link != &s->waits; link = link->next) {
            struct errand *e = container_of(link, struct errand, wait);
            choose(d, e, &best[e->slot == first]);
        }
    }
    struct errand *e = best[1] ? best[1] : best[0];
    if (e)
        fair_take_this(d->fair, &e->item);
    return e;
}

/* How many errands wait for sources that take more. */
static uint64_t candidates(const struct directory *d)
{
    uint64_t n = 0;

    for (const struct ring *at = d->waits.next; at != &d->waits; at = at->next) {
        const struct source *s = container_of(at, const struct source, link);
        n += takes_more(d, s) ? s->waiting : 0;
    }
    return n;
}

/* The errand that runs next. A slot that has not its turn at a source runs only if the one that has
 * it cannot. Where few of those that wait may go, the others are not looked at: a slow source costs
 * the queries to others nothing but a look at the source. Where many may go, one of them comes soon
 * in the order of all. */
static struct errand *take_next(struct directory *d)
{
    if (fair_asked(d->fair) >= d->most || fair_waiting(d->fair) == 0)
        return NULL;
    uint64_t n = candidates(d);
    struct errand *e = n == 0                           ? NULL
                       : n * n <= fair_waiting(d->fair) ? first_of_sources(d)
                                                        : first_in_order(d);
    if (e)
        waits_no_more(e);
    return e;
}

void errands_go(struct directory *d)
{
    enum answer_result result;
    struct errand *e;

    while ((e = take_next(d))) {
        struct fair_item *item = &e->item;
        bool late = is_late(e), settled = !late && has_outcome(d, e, &result);
        e->given_us = clock_mono_us();
        e->good.len = 0;
        (void)buf_add_span(&e->good, buf_span(&e->source->good));
        if (!late && !settled && askers_put(d->askers, &e->task)) {
            begins(d, e);
            continue;
        }
        fair_done(d->fair, item);
        if (settled)
            finish(d, e, result);
        else
            give_up(d, e);
    }
}

static void enqueue(struct directory *d, struct errand *e)
{
    static const struct addr nobody;
    const struct directory_asker *asker = e->inquiry ? &e->inquiry->asker : NULL;
    struct fair_item *item = fair_put(d->fair, &e->item, e->slot, asker ? &asker->client : &nobody,
                                      asker ? asker->rank : RANK_FIRST);

    waits(d, e);
    if (item) {
        struct errand *lost = errand_of(item);
        waits_no_more(lost);
        metric_add(METRIC_QUERIES_DROPPED, 1);
        give_up(d, lost);
    }
}

bool errand_send(struct directory *d, struct source *s, struct span form, struct inquiry *q,
                 uint32_t slot)
{
    if (!s->slots)
        s->slots = source_slots_open(d->slots + 1);
    struct errand *e = s->slots ? calloc(1, sizeof *e + form.len) : NULL;
    if (!e)
        return false;
    e->source = s;
    e->task.to = s;
    e->slot = slot < d->slots ? slot : d->slots;
    e->inquiry = q;
    e->len = form.len;
    memcpy(e->form, form.at, form.len);
    enqueue(d, e);
    return true;
}

/* No answer came: the errand waits for another connection, or ends. */
static void was_silent(struct directory *d, struct errand *e)
{
    struct source *s = e->source;

    switch (scarce_refused(d, s, e)) {
    case SCARCE_WAIT:
        if (e->inquiry)
            enqueue(d, e);
        else
            errand_free(e); /* nobody waits for it */
        return;
    case SCARCE_LATER: break;
    case SCARCE_DOWN: source_was_asked(d, s, (struct span){e->form, e->len}, true); break;
    }
    finish(d, e, ANSWER_LATER);
}

/* Handles the end of an errand that a thread has run. */
static void was_run(struct directory *d, struct errand *e)
{
    struct source *s = e->source;
    struct span form = {e->form, e->len};

    ends(d, e);
    source_took(s, e->took_us);
    if (e->result == ANSWER_SILENCE) {
        was_silent(d, e);
        return;
    }
    scarce_answered(d, s);
    if (e->result != ANSWER_LATER) {
        s->good.len = 0;
        (void)buf_add_span(&s->good, form);
    }
    cache_put(d->cache, &s->cached, form, clock_wall_ms(), e->result);
    source_was_asked(d, s, form, false);
    finish(d, e, e->result);
}

int directory_fd(const struct directory *d)
{
    return askers_fd(d->askers);
}

void directory_read(struct directory *d)
{
    struct task *t = askers_done(d->askers), *next;

    for (; t; t = next) {
        next = t->next;
        was_run(d, (struct errand *)t);
    }
    errands_go(d);
}

int directory_look_after(struct directory *d)
{
    uint32_t wants = sharing_wants(d->sharing);
    uint64_t now = clock_mono_ms();
    bool again = false;

    (void)hung_look(d); /* others may have the places at once */
    traps_look(d->traps);
    for (struct source *s = d->source; s < d->source + d->sources; s++) {
        if (source_is_file(s)) {
            source_look(s);
            continue;
        }
        if (wants != d->wants && s->lines)
            scarce_share(d, s);
        again = again || s->down || s->lines || now < s->pause_ms;
        if (!s->down)
            continue;
        if (!cache_is_down(d->cache, &s->cached))
            source_know(s, false); /* another clerk has found out */
        else if (cache_may_try(d->cache, &s->cached, clock_wall_ms()))
            (void)errand_send(d, s, (struct span){s->probe, s->probe_len}, NULL, d->slots);
    }
    d->wants = wants;
    errands_go(d);
    int hung = hung_look(d);
    if (hung < 0)
        return again ? LOOK_AFTER_MS : -1;
    return again && LOOK_AFTER_MS < hung ? LOOK_AFTER_MS : hung;
}

void errands_forget(struct directory *d)
{
    struct fair_item *item;

    while ((item = fair_any(d->fair))) {
        waits_no_more(errand_of(item));
        errand_free(errand_of(item));
    }
}
