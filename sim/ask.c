/* Asks the tarpit about an agent in the same way as a worker does. With `observed` the agent's
 * actions go to its shadow (tarpit/shadow.h), and nothing waits, also as in a worker. Part of the
 * engine (world_part.h). */
#include "world_part.h"

static uint64_t owner_of(const struct world *w, const struct agent *a)
{
    return (uint64_t)(a - w->agent) + 1;
}

static void note(struct world *w, const struct shadow_note *n)
{
    if (n->mail && w->fate)
        w->fate[n->owner - 1] = (struct sim_fate){n->put_off, n->late_ms};
}

static void shadow(struct world *w, struct agent *a, const struct shadow_step *step, uint64_t now)
{
    struct shadow_note n;

    if (shadow_step(w->shadows, &a->shadow, owner_of(w, a), step, now, &n))
        note(w, &n);
}

void ask_pass(struct world *w, uint64_t now)
{
    struct shadow_note n;

    while (w->shadows && shadows_due(w->shadows, now, &n))
        note(w, &n);
}

struct tarpit_hold ask_wait(struct world *w, struct agent *a, uint64_t now)
{
    if (!w->shadows)
        return tarpit_wait(&w->tarpit[a->server], &a->who, now);
    shadow(w, a, &(struct shadow_step){.kind = SHADOW_WAIT, .who = a->who}, now);
    return (struct tarpit_hold){0};
}

struct tarpit_hold ask_greet(struct world *w, struct agent *a, uint64_t now)
{
    if (!w->shadows)
        return tarpit_greet(&w->tarpit[a->server], &a->who, now);
    shadow(w, a, &(struct shadow_step){.kind = SHADOW_GREET, .who = a->who}, now);
    return (struct tarpit_hold){0};
}

struct tarpit_hold ask_verdict(struct world *w, struct agent *a, struct span user, uint64_t mailbox,
                               enum offence offence, uint64_t now)
{
    struct tarpit *t = &w->tarpit[a->server];
    struct shadow_step step = {.kind = SHADOW_VERDICT,
                               .offence = offence,
                               .who = a->who,
                               .user = user,
                               .recipient = mailbox};

    if (w->shadows) {
        shadow(w, a, &step, now);
        return (struct tarpit_hold){0};
    }
    struct tarpit_permit l = user.len ? tarpit_ask(t, &a->who, user, now)
                                      : tarpit_ask_recipient(t, &a->who, mailbox, now);
    return l.masked ? l.hold : tarpit_verdict(t, &a->who, user, &l, offence, now);
}

void ask_offence(struct world *w, struct agent *a, enum offence offence, uint64_t now)
{
    struct shadow_step step = {.kind = SHADOW_OFFENCE, .offence = offence, .who = a->who};

    if (w->shadows)
        shadow(w, a, &step, now);
    else
        (void)tarpit_offence(&w->tarpit[a->server], &a->who, offence, now);
}

void ask_earn(struct world *w, struct agent *a, const uint64_t *mailbox, uint32_t count,
              uint64_t now)
{
    struct shadow_step step = {
        .kind = SHADOW_GOOD, .who = a->who, .mailbox = mailbox, .mailboxes = count};

    if (w->shadows)
        shadow(w, a, &step, now);
    else
        tarpit_good(&w->tarpit[a->server], &a->who, mailbox, count, now);
}

void ask_delivered(struct world *w, struct agent *a, uint64_t now)
{
    if (w->shadows)
        shadow(w, a, &(struct shadow_step){.kind = SHADOW_DELIVERED, .who = a->who}, now);
}

void ask_left(struct world *w, struct agent *a)
{
    if (w->shadows)
        shadow_leave(w->shadows, a->shadow, owner_of(w, a));
    a->shadow = 0;
}
