/* Errands: a thread queries a source for an answer that files and the cache do not have; see
 * directory_part.h.
 *
 * Errands wait in the order of fair.h and, at each source, of source_slots.h, for as many threads as
 * their source accepts connections. A source that refuses a connection while it answers on others,
 * of this clerk or another, is not down; it only accepts no more (sharing.h). A slow source leaves
 * threads for the other sources. Runs in clerks. */
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

enum {
    GROW_MS = 5000, /* how long after a refused connection more are tried */
    /* A source that refuses a connection may be crowded: for so long it is not taken for down, and
     * tried again so often. */
    DOUBT_MS = 2000,
    AGAIN_MS = 250,
    FORGET_MS = 10000, /* a refusal so long ago is no part of this doubt */
    /* A clerk that has given up a connection leaves it to the others for so long. */
    LEAVE_MS = 600,
    REFUSED_MS = 1000, /* a refusal that takes longer is none, but silence */
};

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

bool errand_run(void *arg, uint32_t asker, struct task *t)
{
    struct errand *e = (struct errand *)t;
    struct source *s = e->source;
    union line line = source_line(arg, s, asker);

    e->begun_us = clock_mono_us();
    e->result =
        line.any ? ask_line(s, line, (struct span){e->form, e->len}, &e->answer) : ANSWER_SILENCE;
    e->took_us = clock_mono_us() - e->begun_us;
    if (line.any && e->result != ANSWER_SILENCE && atomic_exchange(&s->give, false))
        source_rest(s, asker);
    else if (line.any)
        source_note_line(s, asker);
    return e->result != ANSWER_SILENCE;
}

/* Closes the connections of an idle thread. */
void errand_rest(void *arg, uint32_t asker)
{
    const struct directory *d = arg;

    for (struct source *s = d->source; s < d->source + d->sources; s++)
        if (!source_is_file(s))
            source_rest(s, asker);
}

bool errand_has_line(void *arg, uint32_t asker, const struct task *t)
{
    const struct source *s = ((const struct errand *)t)->source;

    return atomic_load(&s->open[asker]);
}

/* ---- waiting ---- */

static void errand_free(struct errand *e)
{
    free(e->inquiry);
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
    free(e);
    if (q)
        inquiry_go_on(d, q, result);
}

/* Ends an errand, and its inquiry, because it has lost its place or the worker no longer waits. */
static void give_up(struct directory *d, struct errand *e)
{
    struct inquiry *q = e->inquiry;

    if (q) {
        q->answer.result = ANSWER_LATER;
        d->answered(d->arg, &q->asker, &q->answer);
    }
    errand_free(e);
}

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
static uint32_t reserved_for_others(const struct directory *d, const struct source *s)
{
    uint32_t idle = 0;

    for (const struct source *other = d->source; other < d->source + d->sources; other++)
        idle += other != s && other->running == 0 && !source_is_file(other);
    return idle < d->most / 2 ? idle : d->most / 2;
}

/* Whether its source takes one more query. A source without queries always does. */
static bool may_go(const void *arg, const struct fair_item *item)
{
    const struct directory *d = arg;
    const struct source *s = container_of(item, const struct errand, item)->source;

    if (s->running >= s->room || (s->running >= s->lines && clock_mono_ms() < s->alone_ms))
        return false;
    return s->running == 0 || fair_asked(d->fair) + 1 + reserved_for_others(d, s) <= d->most;
}

static bool has_turn_and_may_go(const void *arg, const struct fair_item *item)
{
    const struct errand *e = container_of(item, const struct errand, item);

    return source_slots_first(e->source->slots) == e->slot && may_go(arg, item);
}

/* The errand that runs next. A slot that has not its turn at a source runs only if the one that has
 * it cannot. */
static struct errand *take_next(struct directory *d)
{
    struct fair_item *item = NULL;

    if (fair_asked(d->fair) < d->most)
        item = fair_take(d->fair, has_turn_and_may_go, d);
    if (!item && fair_asked(d->fair) < d->most)
        item = fair_take(d->fair, may_go, d);
    if (!item)
        return NULL;
    struct errand *e = errand_of(item);
    source_slots_leave(e->source->slots, e->slot);
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
        if (!late && !settled && askers_put(d->askers, &e->task)) {
            e->source->running++;
            source_slots_begin(e->source->slots, e->slot);
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

    source_slots_wait(e->source->slots, e->slot);
    if (item) {
        struct errand *lost = errand_of(item);
        source_slots_leave(lost->source->slots, lost->slot);
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
    e->slot = slot < d->slots ? slot : d->slots;
    e->inquiry = q;
    e->len = form.len;
    memcpy(e->form, form.at, form.len);
    enqueue(d, e);
    return true;
}

/* ---- a source that accepts few connections ---- */

/* Whether the source may only be crowded, although it has answered nobody since it got the errand:
 * another clerk may have all its connections, and has had no time to get an answer or to give one
 * up. Not for long: then it is down. */
static bool is_doubtful(struct source *s, const struct errand *e)
{
    uint64_t now = clock_mono_ms();

    if (e->took_us > REFUSED_MS * 1000)
        return false;
    if (!s->doubted_ms || now > s->doubted_ms + FORGET_MS)
        s->doubted_ms = now;
    return now < s->doubted_ms + DOUBT_MS;
}

/* A connection was refused or broke. True: the source accepts no more for now, but is not down. */
static bool is_crowded(const struct directory *d, struct source *s, const struct errand *e)
{
    if (e->result != ANSWER_SILENCE)
        return false;
    bool answers_others = sharing_last_answer(d->sharing, s->cached.id) >= e->given_us;
    if (answers_others)
        s->doubted_ms = 0;
    return answers_others || (!s->down && (s->running > 0 || is_doubtful(s, e)));
}

/* Uses the connections that there are. Without any, this clerk asks the others for one, and tries
 * again soon. */
static void make_do(struct directory *d, struct source *s)
{
    uint64_t now = clock_mono_us();
    uint32_t most = s->lines > s->running ? s->lines : s->running; /* this one no longer counts */

    s->room = most ? most : 1;
    s->grow_ms = now / 1000 + GROW_MS;
    if (!most)
        s->alone_ms = now / 1000 + AGAIN_MS;
    sharing_want(d->sharing, s->cached.id, d->pid, s->lines, now);
}

/* Gives a connection up if another clerk wants one and has fewer. */
static void share(struct directory *d, struct source *s)
{
    uint64_t now = clock_mono_us();
    uint32_t lines = s->lines;

    if (!sharing_must_give(d->sharing, s->cached.id, d->pid, lines, now))
        return;
    if (lines > s->running)
        askers_rest(d->askers);
    else
        s->give = true;
    s->room = lines > 1 ? lines - 1 : 1;
    s->grow_ms = now / 1000 + GROW_MS;
    s->alone_ms = now / 1000 + LEAVE_MS;
}

/* The source answers: allow some more queries at once. */
static void grow(const struct directory *d, struct source *s)
{
    uint64_t now = clock_mono_ms();

    if (s->room == d->most || now < s->grow_ms)
        return;
    s->room += (s->room + 1) / 2;
    if (s->room > d->most)
        s->room = d->most;
    s->grow_ms = now + GROW_MS;
}

/* The source has answered. */
static void has_answered(struct directory *d, struct source *s)
{
    if (s->down)
        s->room = d->most;
    s->doubted_ms = 0;
    sharing_answered(d->sharing, s->cached.id, clock_mono_us());
    grow(d, s);
}

/* The source would accept no connection for this errand, which waits for another one, unless nobody
 * waits for it. */
static void was_refused(struct directory *d, struct errand *e)
{
    struct source *s = e->source;

    make_do(d, s);
    if (s->down)
        source_was_asked(d, s, (struct span){e->form, e->len}, false);
    if (e->inquiry)
        enqueue(d, e);
    else
        errand_free(e);
}

/* Handles the end of an errand that a thread has run. */
static void was_run(struct directory *d, struct errand *e)
{
    struct source *s = e->source;
    struct span form = {e->form, e->len};
    bool silent = e->result == ANSWER_SILENCE;

    s->running--;
    source_slots_end(s->slots, e->slot);
    fair_done(d->fair, &e->item);
    source_took(s, e->took_us);
    if (is_crowded(d, s, e)) {
        was_refused(d, e);
        return;
    }
    if (silent)
        s->doubted_ms = 0;
    else
        has_answered(d, s);
    cache_put(d->cache, &s->cached, form, clock_wall_ms(), e->result);
    source_was_asked(d, s, form, silent);
    finish(d, e, silent ? ANSWER_LATER : e->result);
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

    traps_look(d->traps);
    for (struct source *s = d->source; s < d->source + d->sources; s++) {
        if (source_is_file(s)) {
            source_look(s);
            continue;
        }
        if (wants != d->wants && s->lines)
            share(d, s);
        again = again || s->down || s->lines || now < s->alone_ms;
        if (!s->down)
            continue;
        if (!cache_is_down(d->cache, &s->cached))
            source_know(s, false); /* another clerk has found out */
        else if (cache_may_try(d->cache, &s->cached, clock_wall_ms()))
            (void)errand_send(d, s, (struct span){s->probe, s->probe_len}, NULL, d->slots);
    }
    d->wants = wants;
    errands_go(d);
    return again ? AGAIN_MS : -1;
}

void errands_forget(struct directory *d)
{
    struct fair_item *item;

    while ((item = fair_any(d->fair)))
        errand_free(errand_of(item));
}
