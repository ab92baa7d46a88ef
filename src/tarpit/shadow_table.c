/* The table of shadows (shadow_part.h): an array of them, found by handle; a heap by when each is
 * due; and chains by client, to count how many a client has. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tarpit/shadow.h"
#include "tarpit/shadow_part.h"

enum { OWN_GAP_MS = 1000 };

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

void shadow_sift(struct shadows *s, uint32_t index)
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

struct shadow *shadow_find(struct shadows *s, uint32_t handle, uint64_t owner)
{
    if (handle == 0 || handle > SHADOWS_MOST)
        return NULL;
    struct shadow *x = &s->at[handle - 1];
    return x->used && x->attached && x->owner == owner ? x : NULL;
}

static uint32_t *chain_of(struct shadows *s, uint64_t client)
{
    return &s->of_client[client % SHADOW_BUCKETS];
}

uint32_t shadow_count(struct shadows *s, uint64_t client, uint32_t *idle)
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

struct shadow *shadow_begin(struct shadows *s, uint64_t client, bool stranger)
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

struct queued *shadow_take(struct shadows *s, struct shadow *x)
{
    struct queued *q = x->first;

    x->first = q->next;
    if (!x->first)
        x->last = &x->first;
    x->steps--;
    s->steps--;
    return q;
}

void shadow_drop(const struct shadows *s, struct queued *q)
{
    if (q->step.kind == SHADOW_GOOD)
        tarpit_good(s->tarpit, &q->step.who, q->step.mailbox, q->step.mailboxes, q->at);
    free(q);
}

void shadow_end(struct shadows *s, struct shadow *x)
{
    uint32_t index = (uint32_t)(x - s->at), at = x->heap_at, *i = chain_of(s, x->client);

    while (x->first)
        shadow_drop(s, shadow_take(s, x));
    while (*i != index + 1)
        i = &s->at[*i - 1].next_of_client;
    *i = x->next_of_client;
    s->strangers -= x->stranger;
    s->count--;
    if (at < s->count) {
        put(s, at, s->heap[s->count]);
        shadow_sift(s, s->heap[at]);
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
        shadow_end(s, &s->at[s->heap[0]]);
    free(s);
}

/* ---- queued steps ---- */

void shadow_reckon(struct shadows *s, struct shadow *x)
{
    x->due = x->end;
    if (x->first) {
        uint64_t gap = x->first->at > x->at ? x->first->at - x->at : 0;
        x->due += gap < OWN_GAP_MS ? gap : OWN_GAP_MS;
        if (x->due < x->first->at)
            x->due = x->first->at;
    }
    shadow_sift(s, (uint32_t)(x - s->at));
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

bool shadow_queue(struct shadows *s, struct shadow *x, const struct shadow_step *step, uint64_t now)
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
        shadow_reckon(s, x);
    return true;
}
