/* Shadows of observed connections (shadow.h): an array of them, found by handle; a heap by when each
 * is due; and chains by client, to count how many a client has. Runs in workers and in the
 * simulator. */
#include "tarpit/shadow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { UNFOLLOWED = (1 << 20) - 1, OWN_GAP_MS = 1000, BUCKETS = 1024 };

static_assert((int)SHADOWS_MOST < (int)UNFOLLOWED, "a handle tells them apart");

struct queued {
    struct queued *next;
    struct shadow_step step; /* its spans are in `text` */
    uint64_t at;             /* when the client really did it */
    uint64_t mailbox[];      /* followed by the text */
};

struct shadow {
    bool used, attached, stranger, held, put_off, gone, brought;
    uint32_t retry_ms; /* of a deferred message: how long until its sender retries */
    uint8_t rule;
    uint16_t steps;
    uint32_t next_of_client; /* index + 1 */
    uint32_t heap_at;
    uint64_t owner, client;
    uint64_t end;     /* when the last step's hold ends */
    uint64_t at, due; /* the last judged step's real time; when the next one is judged */
    uint64_t longest; /* of the current message's holds */
    struct queued *first, **last;
};

struct shadows {
    struct tarpit *tarpit;
    uint32_t count, strangers, steps;
    uint32_t free;               /* index + 1 of the first free one, linked by next_of_client */
    uint32_t of_client[BUCKETS]; /* index + 1 */
    uint32_t heap[SHADOWS_MOST]; /* indices, the earliest `due` first */
    struct shadow at[SHADOWS_MOST];
};

int shadows_open(struct shadows **out, struct tarpit *t)
{
    struct shadows *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    s->tarpit = t;
    for (uint32_t i = 0; i < SHADOWS_MOST; i++)
        s->at[i].next_of_client = i + 1 < SHADOWS_MOST ? i + 2 : 0;
    s->free = 1;
    *out = s;
    return 0;
}

/* ---- the heap ---- */

static void put(struct shadows *s, uint32_t at, uint32_t index)
{
    s->heap[at] = index;
    s->at[index].heap_at = at;
}

/* Restores the heap's order after a change of `due`, or for a new shadow. */
static void sift(struct shadows *s, uint32_t index)
{
    uint32_t at = s->at[index].heap_at;
    uint64_t due = s->at[index].due;

    while (at > 0) {
        uint32_t above = (at - 1) / 2;
        if (s->at[s->heap[above]].due <= due)
            break;
        put(s, at, s->heap[above]);
        at = above;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= s->count)
            break;
        if (child + 1 < s->count && s->at[s->heap[child + 1]].due < s->at[s->heap[child]].due)
            child++;
        if (s->at[s->heap[child]].due >= due)
            break;
        put(s, at, s->heap[child]);
        at = child;
    }
    put(s, at, index);
}

/* ---- coming and going ---- */

static struct shadow *find(struct shadows *s, uint32_t handle, uint64_t owner)
{
    if (handle == 0 || handle > SHADOWS_MOST)
        return NULL;
    struct shadow *x = &s->at[handle - 1];
    return x->used && x->attached && x->owner == owner ? x : NULL;
}

static uint32_t *chain_of(struct shadows *s, uint64_t client)
{
    return &s->of_client[client % BUCKETS];
}

/* How many shadows a client has; `idle`: how many of these have no connection any more and no
 * message. */
static uint32_t count_of(struct shadows *s, uint64_t client, uint32_t *idle)
{
    uint32_t n = 0;

    *idle = 0;
    for (uint32_t i = *chain_of(s, client); i; i = s->at[i - 1].next_of_client) {
        const struct shadow *x = &s->at[i - 1];
        n += x->client == client && !x->retry_ms;
        *idle += x->client == client && !x->attached && !x->brought && !x->retry_ms;
    }
    return n;
}

/* Whether a client that really waited could have opened this connection. */
static bool is_followed(struct shadows *s, const struct shadow_step *step)
{
    uint32_t idle, all = count_of(s, step->who.client, &idle);

    return all < SHADOW_OF_CLIENT && (step->offence == OFFENCE_NONE || idle < SHADOW_IDLE);
}

/* Begins a shadow; NULL if there is no room for it. */
static struct shadow *begin(struct shadows *s, uint64_t client, bool stranger)
{
    if (!s->free || (stranger && s->strangers >= SHADOWS_MOST / 2))
        return NULL;
    uint32_t index = s->free - 1, *chain = chain_of(s, client);
    struct shadow *x = &s->at[index];

    s->free = x->next_of_client;
    *x = (struct shadow){.used = true,
                         .attached = true,
                         .stranger = stranger,
                         .client = client,
                         .next_of_client = *chain,
                         .last = &x->first};
    *chain = index + 1;
    s->strangers += stranger;
    put(s, s->count++, index);
    return x;
}

static struct queued *take(struct shadows *s, struct shadow *x)
{
    struct queued *q = x->first;

    x->first = q->next;
    if (!x->first)
        x->last = &x->first;
    x->steps--;
    s->steps--;
    return q;
}

/* Drops a step that will not be judged. The credit of good mail is booked. */
static void let_go(const struct shadows *s, struct queued *q)
{
    if (q->step.kind == SHADOW_GOOD)
        tarpit_good(s->tarpit, &q->step.who, q->step.mailbox, q->step.mailboxes, q->at);
    free(q);
}

static void end(struct shadows *s, struct shadow *x)
{
    uint32_t index = (uint32_t)(x - s->at), at = x->heap_at, *i = chain_of(s, x->client);

    while (x->first)
        let_go(s, take(s, x));
    while (*i != index + 1)
        i = &s->at[*i - 1].next_of_client;
    *i = x->next_of_client;
    s->strangers -= x->stranger;
    s->count--;
    if (at < s->count) {
        put(s, at, s->heap[s->count]);
        sift(s, s->heap[at]);
    }
    x->used = false;
    x->next_of_client = s->free;
    s->free = index + 1;
}

void shadows_close(struct shadows *s)
{
    if (!s)
        return;
    while (s->count)
        end(s, &s->at[s->heap[0]]);
    free(s);
}

void shadow_leave(struct shadows *s, uint32_t handle, uint64_t owner)
{
    struct shadow *x = find(s, handle, owner);
    uint32_t idle;

    if (!x)
        return;
    (void)count_of(s, x->client, &idle);
    x->attached = false;
    if (!x->brought && idle >= SHADOW_IDLE)
        end(s, x);
}

/* ---- judging ---- */

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
        permit = step->user.len ? tarpit_ask(t, &step->who, step->user, now)
                                : tarpit_ask_recipient(t, &step->who, step->recipient, now);
        return permit.masked
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

/* Computes when the next step is judged, or when the shadow ends if there is none. */
static void reckon(struct shadows *s, struct shadow *x)
{
    x->due = x->end;
    if (x->first) {
        uint64_t gap = x->first->at > x->at ? x->first->at - x->at : 0;
        x->due += gap < OWN_GAP_MS ? gap : OWN_GAP_MS;
        if (x->due < x->first->at)
            x->due = x->first->at;
    }
    sift(s, (uint32_t)(x - s->at));
}

static struct queued *copy_of(const struct shadow_step *step, uint64_t now)
{
    size_t mailboxes = step->mailboxes * sizeof *step->mailbox;
    struct queued *q = malloc(sizeof *q + mailboxes + step->user.len + step->domain.len);

    if (!q)
        return NULL;
    char *text = (char *)(q->mailbox + step->mailboxes);
    *q = (struct queued){.step = *step, .at = now};
    if (step->mailboxes)
        memcpy(q->mailbox, step->mailbox, mailboxes);
    if (step->user.len)
        memcpy(text, step->user.at, step->user.len);
    if (step->domain.len)
        memcpy(text + step->user.len, step->domain.at, step->domain.len);
    q->step.mailbox = q->mailbox;
    q->step.user.at = text;
    q->step.domain.at = text + step->user.len;
    return q;
}

static bool queue(struct shadows *s, struct shadow *x, const struct shadow_step *step, uint64_t now)
{
    struct queued *q;

    if (x->gone || x->steps >= SHADOW_STEPS || s->steps >= SHADOW_STEPS_MOST)
        return false;
    q = copy_of(step, now);
    if (!q)
        return false;
    *x->last = q;
    x->last = &q->next;
    x->steps++;
    s->steps++;
    if (x->first == q)
        reckon(s, x);
    return true;
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
    struct shadow *x = begin(s, step->who.client, stranger);
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
    reckon(s, x);
    *handle = (uint32_t)(x - s->at) + 1;
    return true;
}

bool shadow_step(struct shadows *s, uint32_t *handle, uint64_t owner,
                 const struct shadow_step *step, uint64_t now, struct shadow_note *out)
{
    struct shadow *x = find(s, *handle, owner);

    *out = (struct shadow_note){0};
    if (!x && step->kind == SHADOW_GOOD)
        judge(s->tarpit, step, now);
    if (*handle == UNFOLLOWED || (!x && step->kind == SHADOW_GOOD))
        return false;
    if (!x)
        return step_now(s, handle, owner, step, now, out);
    x->brought |= step->kind == SHADOW_DELIVERED;
    bool queued = queue(s, x, step, now);
    if (!queued && step->kind == SHADOW_GOOD)
        judge(s->tarpit, step, now);
    if (queued || step->kind != SHADOW_DELIVERED)
        return false;
    note_unfollowed(x, step, now, true, out);
    return true;
}

uint64_t shadow_lag(struct shadows *s, uint32_t handle, uint64_t owner, uint64_t now, uint8_t *rule)
{
    const struct shadow *x = s ? find(s, handle, owner) : NULL;

    *rule = RULE_NONE;
    if (!x || x->end <= now)
        return 0;
    *rule = x->rule;
    return x->end - now;
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
    struct shadow *retry = begin(s, x->client, x->stranger);

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
        sift(s, (uint32_t)(retry - s->at));
    }
    reckon(s, x);
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
        x->retry_ms =
            x->retry_ms * 2 < SHADOW_RETRY_MOST_MS ? x->retry_ms * 2 : SHADOW_RETRY_MOST_MS;
        x->due += x->retry_ms;
        sift(s, (uint32_t)(x - s->at));
        return;
    }
    judge(s->tarpit, step, x->due);
    free(take(s, x));
    end(s, x);
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
            end(s, x);
        return true;
    }
    struct queued *q = take(s, x);
    const struct shadow_step *step = &q->step;
    x->gone |= due - q->at > SHADOW_LAG_MS;
    if (x->gone) {
        if (step->kind == SHADOW_DELIVERED)
            note_unfollowed(x, step, q->at, x->attached, out);
        let_go(s, q);
        reckon(s, x);
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
    reckon(s, x);
    return true;
}

bool shadows_end(struct shadows *s, struct shadow_note *out)
{
    *out = (struct shadow_note){0};
    while (s->count) {
        struct shadow *x = &s->at[s->heap[0]];
        while (x->first) {
            struct queued *q = take(s, x);
            bool mail = q->step.kind == SHADOW_DELIVERED;
            if (mail)
                note_unfollowed(x, &q->step, q->at, false, out);
            let_go(s, q);
            if (mail)
                return true;
        }
        end(s, x);
    }
    return false;
}
