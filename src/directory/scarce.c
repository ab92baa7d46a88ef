/* Sources that accept fewer connections than they could get; see directory_part.h.
 *
 * A source that refuses a connection while it answers on others, of this clerk or another, is not
 * down; it only accepts no more. The errand then waits, and the clerks share what there is
 * (sharing.h). It is down when it answers nobody for DOUBT_MS. Runs in clerks. */
#include "base/clock.h"
#include "directory/directory_part.h"

enum {
    GROW_MS = 5000, /* how long after a refused connection more are tried */
    AGAIN_MS = 250, /* between two tries */
    DOUBT_MS = 2000,
    LEAVE_MS = 600, /* a clerk that has given up a connection leaves it to others for so long */
};

static void shrink(struct source *s, uint32_t room, uint64_t now)
{
    s->regrow = room == 0;
    s->room = room ? room : 1;
    s->grow_ms = now + (s->regrow ? AGAIN_MS : GROW_MS);
}

static void grow(const struct directory *d, struct source *s)
{
    uint64_t now = clock_mono_ms();

    if (s->room == d->most || now < s->grow_ms)
        return;
    s->room += (s->room + 1) / 2;
    if (s->room > d->most)
        s->room = d->most;
    s->grow_ms = now + (s->regrow ? AGAIN_MS : GROW_MS);
}

void scarce_answered(struct directory *d, struct source *s)
{
    if (s->down)
        s->room = d->most;
    s->doubted_ms = 0;
    sharing_answered(d->sharing, s->cached.id, clock_mono_us());
    grow(d, s);
}

bool scarce_may_go(const struct source *s)
{
    return s->running < s->room &&
           (s->running < s->lines || !s->pause_ms || clock_mono_ms() >= s->pause_ms);
}

/* Whether the source, which has answered nobody since it got an errand, may still only be crowded:
 * another clerk may have all its connections, and has had no time to get an answer or to give one
 * up. A new doubt begins when somebody was answered, or nobody asked, in between. */
static bool is_doubtful(struct source *s, uint64_t answered_ms, uint64_t before_ms, uint64_t now)
{
    if (!s->doubted_ms || answered_ms >= s->doubted_ms || now > before_ms + DOUBT_MS)
        s->doubted_ms = now;
    return now < s->doubted_ms + DOUBT_MS;
}

/* Uses the connections that there are; without any, tries again soon. */
static void make_do(struct source *s, uint64_t now)
{
    uint32_t lines = s->lines;

    shrink(s, lines > s->running ? lines : s->running, now); /* this one no longer counts */
    if (s->regrow)
        s->pause_ms = now + AGAIN_MS;
}

/* The source neither answered nor refused. */
static enum scarce hangs(struct source *s, const struct errand *e, bool answers_others)
{
    if (s->running > 0 && e->inquiry) {
        shrink(s, s->running, clock_mono_ms());
        return SCARCE_WAIT;
    }
    return answers_others ? SCARCE_LATER : SCARCE_DOWN;
}

enum scarce scarce_refused(struct directory *d, struct source *s, struct errand *e)
{
    uint64_t now = clock_mono_ms(), before = s->refused_ms;
    uint64_t answered_us = sharing_last_answer(d->sharing, s->cached.id);
    bool answers_others = answered_us >= e->given_us;

    if (e->took_us > ERRAND_REFUSED_US)
        return hangs(s, e, answers_others);
    s->refused_ms = now;
    sharing_want(d->sharing, s->cached.id, d->pid, s->lines, clock_mono_us());
    if (s->down && !answers_others)
        return SCARCE_DOWN;
    if (answers_others || s->running > 0 || is_doubtful(s, answered_us / 1000, before, now)) {
        make_do(s, now);
        return SCARCE_WAIT;
    }
    s->doubted_ms = 0;
    return SCARCE_DOWN;
}

void scarce_share(struct directory *d, struct source *s)
{
    uint64_t now = clock_mono_us();
    uint32_t lines = s->lines;

    if (!sharing_must_give(d->sharing, s->cached.id, d->pid, lines, now))
        return;
    if (!askers_rest(d->askers, s))
        s->give = true;
    shrink(s, lines - 1, now / 1000);
    s->regrow = false;
    s->pause_ms = now / 1000 + LEAVE_MS;
}
