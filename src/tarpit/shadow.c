/* Judges the steps of observed connections, now or when they are due (shadow.h); shadow_table.c
 * keeps them. Runs in workers and in the simulator. */
#include "tarpit/shadow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tarpit/shadow_part.h"

enum { UNFOLLOWED = (1 << 20) - 1 };

static_assert((int)SHADOWS_MOST < (int)UNFOLLOWED, "a handle tells them apart");

/* ---- judging ---- */

/* Whether a client that really waited could have opened this connection. */
static bool is_followed(struct shadows *s, const struct shadow_step *step)
{
    uint32_t idle, all = shadow_count(s, step->who.client, &idle);

    return all < SHADOW_OF_CLIENT && (step->offence == OFFENCE_NONE || idle < SHADOW_IDLE);
}

static struct tarpit_hold judge(struct tarpit *t, const struct shadow_step *step, uint64_t now)
{
    struct tarpit_permit permit;
    struct tarpit_hold hold;

    assert(step);
    switch (step->kind) {
    case SHADOW_GREET:
        hold = tarpit_greet(t, &step->who, now);
        if (hold.rule == RULE_GREET)
            tarpit_greeted(t, &step->who, now);
        return hold;
    case SHADOW_WAIT: return tarpit_wait(t, &step->who, now);
    case SHADOW_OFFENCE: return tarpit_offence(t, &step->who, step->offence, now);
    case SHADOW_VERDICT:
        permit = step->user.len ? tarpit_ask_password(t, &step->who, step->user, now)
                                : tarpit_ask_recipient(t, &step->who, step->recipient, now);
        return permit.masked && !permit.tried
                   ? permit.hold
                   : tarpit_verdict(t, &step->who, step->user, &permit, step->offence, now);
    case SHADOW_GOOD: tarpit_good(t, &step->who, step->mailbox, step->mailboxes, now); break;
    case SHADOW_DELIVERED: break;
    }
    return (struct tarpit_hold){0};
}

static void name_client(struct shadow_note *out, uint64_t owner, bool open,
                        const struct shadow_step *step)
{
    size_t n = step->domain.len < SHADOW_DOMAIN - 1 ? step->domain.len : SHADOW_DOMAIN - 1;

    *out = (struct shadow_note){.owner = owner, .open = open, .client = step->client};
    if (n)
        memcpy(out->domain, step->domain.at, n);
}

static void note_hold(const struct shadows *s, const struct shadow_step *step,
                      const struct tarpit_hold *hold, uint64_t now, struct shadow_note *out)
{
    out->hold = *hold;
    out->typo = hold->ms && !hold->masked && step->offence == OFFENCE_RECIPIENT &&
                tarpit_has_delivered(s->tarpit, &step->who, now);
}

static void note_mail(const struct shadow *x, uint64_t late_ms, struct shadow_note *out)
{
    out->mail = true;
    out->put_off = x && x->put_off;
    out->late_ms = late_ms;
    out->rule = x ? x->rule : RULE_NONE;
}

static void begin_message(struct shadow *x)
{
    x->put_off = false;
    x->longest = 0;
    x->rule = RULE_DEBT; /* until it has a hold of its own, it is late because of earlier ones */
}

static void suffer(struct shadow *x, const struct shadow_step *step, const struct tarpit_hold *hold)
{
    bool keeps_out = hold->masked && step->kind == SHADOW_VERDICT && step->offence == OFFENCE_NONE;

    if (keeps_out || (!x->put_off && hold->ms > x->longest))
        x->rule = hold->rule;
    x->put_off |= keeps_out;
    if (hold->ms > x->longest)
        x->longest = hold->ms;
}

/* Reports a message without its end: its delay is what is known so far. */
static void note_unfollowed(const struct shadow *x, const struct shadow_step *step, uint64_t at,
                            bool open, struct shadow_note *out)
{
    name_client(out, x->owner, open, step);
    note_mail(x, x->due > at ? x->due - at : 0, out);
}

/* Judges the step of a connection that would not wait now. */
static bool step_now(struct shadows *s, uint32_t *handle, uint64_t owner,
                     const struct shadow_step *step, uint64_t now, struct shadow_note *out)
{
    bool stranger = !tarpit_has_delivered(s->tarpit, &step->who, now);

    *handle = 0;
    if (step->kind == SHADOW_DELIVERED)
        return false; /* on time */
    if (!is_followed(s, step)) {
        *handle = UNFOLLOWED;
        return false;
    }
    struct tarpit_hold hold = judge(s->tarpit, step, now);
    if (hold.ms == 0)
        return false;
    name_client(out, owner, true, step);
    note_hold(s, step, &hold, now, out);
    out->first = true;
    struct shadow *x = shadow_begin(s, step->who.client, stranger);
    if (!x) {
        *handle = UNFOLLOWED;
        return true;
    }
    x->owner = owner;
    x->at = now;
    x->end = now + hold.ms;
    x->held = true;
    begin_message(x);
    suffer(x, step, &hold);
    shadow_reckon(s, x);
    *handle = (uint32_t)(x - s->at) + 1;
    return true;
}

bool shadow_step(struct shadows *s, uint32_t *handle, uint64_t owner,
                 const struct shadow_step *step, uint64_t now, struct shadow_note *out)
{
    struct shadow *x = shadow_find(s, *handle, owner);

    *out = (struct shadow_note){0};
    if (!x && step->kind == SHADOW_GOOD)
        judge(s->tarpit, step, now);
    if (*handle == UNFOLLOWED || (!x && step->kind == SHADOW_GOOD))
        return false;
    if (!x)
        return step_now(s, handle, owner, step, now, out);
    x->brought |= step->kind == SHADOW_DELIVERED;
    bool queued = shadow_queue(s, x, step, now);
    if (!queued && step->kind == SHADOW_GOOD)
        judge(s->tarpit, step, now);
    if (queued || step->kind != SHADOW_DELIVERED)
        return false;
    note_unfollowed(x, step, now, true, out);
    return true;
}

uint64_t shadow_lag(struct shadows *s, uint32_t handle, uint64_t owner, uint64_t now, uint8_t *rule)
{
    const struct shadow *x = s ? shadow_find(s, handle, owner) : NULL;

    *rule = RULE_NONE;
    if (!x || x->end <= now)
        return 0;
    *rule = x->rule;
    return x->end - now;
}

void shadow_leave(struct shadows *s, uint32_t handle, uint64_t owner)
{
    struct shadow *x = shadow_find(s, handle, owner);
    uint32_t idle;

    if (!x)
        return;
    (void)shadow_count(s, x->client, &idle);
    x->attached = false;
    if (!x->brought && idle >= SHADOW_IDLE)
        shadow_end(s, x);
}

/* ---- due steps ---- */

uint64_t shadows_next(const struct shadows *s)
{
    return s->count ? s->at[s->heap[0]].due : UINT64_MAX;
}

/* A deferred message earns credit only when its sender's retry succeeds. Makes a shadow only for
 * that, which retries like Postfix. False if there is no room. */
static bool earns_later(struct shadows *s, struct shadow *x, struct queued *q, uint64_t due)
{
    struct shadow *retry = shadow_begin(s, x->client, x->stranger);

    x->at = q->at;
    x->end = due;
    if (retry) {
        q->next = NULL;
        retry->attached = false;
        retry->retry_ms = SHADOW_RETRY_MS;
        retry->first = q;
        retry->last = &q->next;
        retry->steps++;
        s->steps++;
        retry->due = due + SHADOW_RETRY_MS;
        shadow_sift(s, (uint32_t)(retry - s->at));
    }
    shadow_reckon(s, x);
    return retry != NULL;
}

/* A retry of a message, for its first mailbox: it succeeds, or waits twice as long. */
static void try_again(struct shadows *s, struct shadow *x)
{
    assert(x->first); /* a retry waits in it */
    const struct shadow_step *step = &x->first->step;
    uint64_t first = step->mailboxes ? step->mailbox[0] : 0;
    struct tarpit_permit permit = tarpit_ask_recipient(s->tarpit, &step->who, first, x->due);
    struct tarpit_hold hold = permit.hold;

    if (!permit.masked)
        hold =
            tarpit_verdict(s->tarpit, &step->who, (struct span){0}, &permit, OFFENCE_NONE, x->due);
    if (hold.masked && x->due < x->first->at + SHADOW_RETRIES_MS) {
        uint32_t next_ms = x->retry_ms * 2;
        x->retry_ms = next_ms < SHADOW_RETRY_MOST_MS ? next_ms : SHADOW_RETRY_MOST_MS;
        x->due += x->retry_ms;
        shadow_sift(s, (uint32_t)(x - s->at));
        return;
    }
    judge(s->tarpit, step, x->due);
    free(shadow_take(s, x));
    shadow_end(s, x);
}

bool shadows_due(struct shadows *s, uint64_t now, struct shadow_note *out)
{
    if (shadows_next(s) > now)
        return false;
    struct shadow *x = &s->at[s->heap[0]];
    uint64_t due = x->due;

    *out = (struct shadow_note){0};
    if (!x->first || x->retry_ms) {
        if (x->retry_ms)
            try_again(s, x);
        else
            shadow_end(s, x);
        return true;
    }
    struct queued *q = shadow_take(s, x);
    const struct shadow_step *step = &q->step;
    x->gone |= due - q->at > SHADOW_LAG_MS;
    if (x->gone) {
        if (step->kind == SHADOW_DELIVERED)
            note_unfollowed(x, step, q->at, x->attached, out);
        shadow_drop(s, q);
        shadow_reckon(s, x);
        return true;
    }
    if (step->kind == SHADOW_GOOD && x->put_off && earns_later(s, x, q, due))
        return true;
    name_client(out, x->owner, x->attached, step);
    if (step->kind == SHADOW_WAIT && step->who.sender_known)
        begin_message(x);
    struct tarpit_hold hold = judge(s->tarpit, step, due);
    if (hold.ms) {
        note_hold(s, step, &hold, due, out);
        out->first = !x->held;
        x->held = true;
        suffer(x, step, &hold);
    }
    if (step->kind == SHADOW_DELIVERED) {
        note_mail(x, due - q->at, out);
        begin_message(x);
    }
    x->at = q->at;
    x->end = due + hold.ms;
    free(q);
    shadow_reckon(s, x);
    return true;
}

bool shadows_end(struct shadows *s, struct shadow_note *out)
{
    *out = (struct shadow_note){0};
    while (s->count) {
        struct shadow *x = &s->at[s->heap[0]];
        while (x->first) {
            struct queued *q = shadow_take(s, x);
            bool mail = q->step.kind == SHADOW_DELIVERED;
            if (mail)
                note_unfollowed(x, &q->step, q->at, false, out);
            shadow_drop(s, q);
            if (mail)
                return true;
        }
        shadow_end(s, x);
    }
    return false;
}
