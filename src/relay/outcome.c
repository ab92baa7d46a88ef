/* The outcome of mixed answers; see outcome.h and docs/mixed-answers.md.
 *
 * SMTP has one reply for all recipients. It may be 250 only if every recipient has the message, and
 * 5xx only if no recipient has it or will get it. In all other cases it is 451; the fate of each
 * recipient is remembered, and the retry is split (outcome_apart()). */
#include "relay/outcome.h"

struct tally {
    uint32_t has, taken, later, refused, done;
    const struct kept_reply *first_later, *first_refused;
};

static struct tally count(const struct job *j)
{
    struct tally t = {0};

    for (uint32_t i = 0; i < j->recipients; i++) {
        const struct job_recipient *r = &j->recipient[i];
        switch ((enum fate)r->fate) {
        case FATE_HAS_IT: t.has++; break;
        case FATE_TAKEN: t.taken++; break;
        case FATE_DONE: t.done++; break;
        case FATE_LATER:
            t.later++;
            t.first_later = t.first_later ? t.first_later : &r->reply;
            break;
        case FATE_REFUSED:
            t.refused++;
            t.first_refused = t.first_refused ? t.first_refused : &r->reply;
            break;
        case FATE_OPEN: break;
        }
    }
    return t;
}

uint32_t outcome_begin(struct job *j, struct partial_delivery *s, uint64_t now)
{
    struct envelope_recipient to = {0};
    uint32_t left = 0;

    for (uint32_t i = 0; envelope_next(j->envelope, &to); i++) {
        if (partial_was_delivered(s, envelope_sender(j->envelope), to.address, j->hash, now))
            j->recipient[i].fate = FATE_HAS_IT;
        else
            left++;
    }
    return left;
}

static void remember_delivered(const struct job *j, struct partial_delivery *s, uint64_t now)
{
    struct envelope_recipient to = {0};

    for (uint32_t i = 0; envelope_next(j->envelope, &to); i++)
        if (j->recipient[i].fate == FATE_DONE || j->recipient[i].fate == FATE_HAS_IT)
            partial_delivered(s, envelope_sender(j->envelope), to.address, j->hash, now);
}

static enum partial_group group_of(enum fate fate)
{
    return fate == FATE_LATER     ? PARTIAL_LATER
           : fate == FATE_REFUSED ? PARTIAL_REFUSED
                                  : PARTIAL_TAKEN;
}

static void split(const struct job *j, struct partial_delivery *s, int64_t size, uint64_t now)
{
    struct envelope_recipient to = {0};

    for (uint32_t i = 0; envelope_next(j->envelope, &to); i++)
        partial_put_in_group(s, envelope_sender(j->envelope), to.address, size,
                             group_of((enum fate)j->recipient[i].fate), now);
}

/* If the same message gets a mixed answer again, its sender declares another SIZE each time, so
 * SIZE does not count from then on. */
static void remember(const struct job *j, struct partial_delivery *s, uint64_t now)
{
    remember_delivered(j, s, now);
    split(j, s, j->declared, now);
    if (partial_was_mixed(s, envelope_sender(j->envelope), j->hash, now))
        split(j, s, PARTIAL_ANY_SIZE, now);
}

void outcome_unheard(const struct job *j, struct partial_delivery *s, uint64_t now)
{
    if (j->named)
        remember_delivered(j, s, now);
}

bool outcome_apart(const struct envelope *e, struct span recipient, uint32_t declared,
                   const struct partial_delivery *s, uint64_t now)
{
    struct span sender = envelope_sender(e);
    struct envelope_recipient first = {0};

    return envelope_next(e, &first) && partial_group_of(s, sender, first.address, declared, now) !=
                                           partial_group_of(s, sender, recipient, declared, now);
}

struct reply outcome_end(const struct job *j, struct partial_delivery *s, uint64_t now,
                         uint32_t *accepted)
{
    struct tally t = count(j);
    uint32_t have = t.has + t.done;

    *accepted = have;
    if (j->recipients && have == j->recipients)
        return t.done ? kept_get(&j->whole) : reply_make(REPLY_OK, (struct span){0});
    if (!j->sent && j->whole.code >= 400) /* a reply to MAIL or DATA is for all recipients */
        return have ? reply_make(REPLY_BACKEND_DOWN, (struct span){0}) : kept_get(&j->whole);
    if (have == 0 && t.refused == j->recipients)
        return kept_get(t.first_refused);
    if (have == 0 && t.later == j->recipients)
        return kept_get(t.first_later);
    remember(j, s, now);
    return reply_make(REPLY_PARTIAL_LATER, (struct span){0});
}
