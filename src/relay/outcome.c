/* The outcome of mixed answers; see outcome.h and docs/mixed-answers.md.
 *
 * SMTP has one reply for all recipients. It may be 250 only if every recipient has the message, and
 * 5xx only if no recipient has it or will get it. In all other cases it is 451; the fate of each
 * recipient is remembered, and the retry is split (outcome_apart()). It makes no difference whether
 * one backend answers recipients differently or several backends do. */
#include "relay/outcome.h"

static const struct job_identity *identity_of(const struct job *j)
{
    if (!j->identity->known)
        j->identity->find(j->identity);
    return j->identity;
}

static uint64_t hash_of(const struct job *j)
{
    return identity_of(j)->hash;
}

bool outcome_is_named(const struct job *j)
{
    return identity_of(j)->named;
}

/* What has become of a recipient when its job has ended. */
static enum fate fate_of(const struct outcome_part *part, uint32_t i)
{
    const struct job *j = part->job;
    enum fate fate = (enum fate)j->recipient[i].fate;

    if (fate == FATE_HAS_IT || fate == FATE_DONE)
        return fate;
    if (!j->sent && j->whole.code >= 400) /* a refusal of MAIL is for all recipients */
        return j->whole.code < 500 ? FATE_LATER : FATE_REFUSED;
    bool answered = fate == FATE_LATER || fate == FATE_REFUSED;
    return part->unsettled && !answered ? FATE_LATER : fate;
}

/* What the client would hear of a recipient that does not have the message. */
static struct reply reply_of(const struct outcome_part *part, uint32_t i)
{
    const struct job *j = part->job;

    if (!j->sent && j->whole.code >= 400)
        return kept_get(&j->whole);
    if (j->recipient[i].reply.code)
        return kept_get(&j->recipient[i].reply);
    return reply_make(part->unsettled ? (enum reply_id)part->unsettled : REPLY_BACKEND_DOWN,
                      (struct span){0});
}

struct tally {
    uint32_t all, has, done, later, refused;
    struct reply first_later, first_refused, first_done;
};

static void count(struct tally *t, const struct outcome_part *part)
{
    const struct job *j = part->job;

    for (uint32_t i = 0; i < j->recipients; i++) {
        t->all++;
        switch (fate_of(part, i)) {
        case FATE_HAS_IT: t->has++; break;
        case FATE_DONE:
            if (t->done++ == 0)
                t->first_done = kept_get(&j->whole);
            break;
        case FATE_LATER:
            if (t->later++ == 0)
                t->first_later = reply_of(part, i);
            break;
        case FATE_REFUSED:
            if (t->refused++ == 0)
                t->first_refused = reply_of(part, i);
            break;
        case FATE_TAKEN:
        case FATE_OPEN: break;
        }
    }
}

/* The clients that believe a record. The octets alone prove nothing: anybody who knows a message can send it
 * before its sender does, without its signatures and from an address that the backend distrusts, and
 * hang up. The backend throws this copy away, and its record would answer the message itself. */
enum believer {
    BY_SENDER, /* the same account or network, with the same octets */
    BY_SIGNED, /* everybody, with the same signatures, too: another network of a pool */
    BY_ALL,    /* everybody, with the same octets: its sender is vouched for */
    BELIEVERS
};

/* The name of the job's message in such records; 0: it has none. Without a Message-ID there is one
 * record, which any client that delivers the message withdraws, and which says itself whose it is. */
static uint64_t name_of(const struct job *j, struct partial_delivery *s, enum believer by)
{
    const struct job_identity *is = identity_of(j);
    uint64_t with[3] = {(uint64_t)by, is->hash, by == BY_SENDER ? is->source : is->signatures};

    if (by == BY_ALL) /* as in files of earlier versions */
        return is->hash;
    if (!is->named || (by == BY_SIGNED && !is->signatures))
        return 0;
    return siphash(partial_key(s), with, sizeof with);
}

static struct partial_message message_of(const struct job *j, uint64_t name)
{
    const struct job_identity *is = identity_of(j);

    return is->named ? partial_named(name) : partial_nameless(name, is->vouched ? 0 : is->source);
}

static bool was_delivered(const struct job *j, struct partial_delivery *s, struct span recipient,
                          uint64_t now)
{
    for (int by = 0; by < BELIEVERS; by++) {
        uint64_t name = name_of(j, s, (enum believer)by);
        if (name && partial_was_delivered(s, envelope_sender(j->envelope), recipient,
                                          message_of(j, name), now))
            return true;
    }
    return false;
}

uint32_t outcome_begin(struct job *j, struct partial_delivery *s, uint64_t now)
{
    struct envelope_recipient to = {0};
    uint32_t left = 0;

    for (uint32_t i = 0; envelope_next(j->envelope, &to); i++) {
        if (partial_is_marked(s, envelope_sender(j->envelope), to.address, now) &&
            was_delivered(j, s, to.address, now))
            j->recipient[i].fate = FATE_HAS_IT;
        else
            left++;
    }
    return left;
}

static bool has_it(const struct job *j, uint32_t i)
{
    return j->recipient[i].fate == FATE_DONE || j->recipient[i].fate == FATE_HAS_IT;
}

/* Whether this client's records of the message have that name. */
static bool notes_as(const struct job *j, enum believer by)
{
    return (by == BY_ALL) == (identity_of(j)->vouched || !identity_of(j)->named);
}

static void note(const struct job *j, struct partial_delivery *s, uint64_t now)
{
    for (int by = 0; by < BELIEVERS; by++) {
        uint64_t name = notes_as(j, (enum believer)by) ? name_of(j, s, (enum believer)by) : 0;
        struct envelope_recipient to = {0};
        for (uint32_t i = 0; name && envelope_next(j->envelope, &to); i++)
            if (has_it(j, i))
                partial_delivered(s, envelope_sender(j->envelope), to.address, message_of(j, name),
                                  now);
    }
}

void outcome_note(const struct job *j, struct partial_delivery *s, uint64_t now)
{
    if (identity_of(j)->named)
        note(j, s, now);
}

/* All recipients have the message, and the client hears so. What earlier tries left of a message
 * without a Message-ID goes too: the next message with the same octets is probably another one.
 * With a Message-ID it would be the same one, from a client that has not heard the 250. */
static void forget(const struct job *j, struct partial_delivery *s)
{
    bool named = identity_of(j)->named;

    for (int by = 0; by < BELIEVERS; by++) {
        uint64_t name = notes_as(j, (enum believer)by) ? name_of(j, s, (enum believer)by) : 0;
        struct envelope_recipient to = {0};
        for (uint32_t i = 0; name && envelope_next(j->envelope, &to); i++)
            if (j->recipient[i].fate == FATE_DONE || !named)
                partial_forget(s, envelope_sender(j->envelope), to.address, name);
    }
}

/* Whether another client, in whose record this one did not believe, may have left one of a message
 * without a Message-ID. */
static bool leaves_an_alarm(const struct job *j, const struct partial_delivery *s, uint64_t now)
{
    struct envelope_recipient to = {0};

    while (envelope_next(j->envelope, &to))
        if (partial_is_marked(s, envelope_sender(j->envelope), to.address, now))
            return !identity_of(j)->named;
    return false;
}

static enum partial_group group_of(enum fate fate)
{
    return fate == FATE_LATER     ? PARTIAL_LATER
           : fate == FATE_REFUSED ? PARTIAL_REFUSED
                                  : PARTIAL_TAKEN;
}

static void split(const struct outcome_part *part, struct partial_delivery *s, int64_t size,
                  uint64_t now)
{
    const struct job *j = part->job;
    struct envelope_recipient to = {0};

    for (uint32_t i = 0; envelope_next(j->envelope, &to); i++)
        partial_put_in_group(s, envelope_sender(j->envelope), to.address, size,
                             group_of(fate_of(part, i)), now);
}

/* If the same message gets a mixed answer again, its sender declares another SIZE each time, so
 * SIZE does not count from then on. A message without a Message-ID is known by its octets alone. If
 * its client does not hear 451, it may never retry, and a record would lose its next one. */
static void remember(const struct outcome_part *part, size_t parts, struct partial_delivery *s,
                     uint64_t now, struct outcome_client client)
{
    const struct job *first = part[0].job;
    bool again = partial_was_mixed(s, envelope_sender(first->envelope), hash_of(first), now);
    bool notes = outcome_is_named(first) || !client.hears || client.hears(client.arg);

    for (size_t i = 0; i < parts; i++) {
        if (notes)
            note(part[i].job, s, now);
        split(&part[i], s, first->declared, now);
        if (again)
            split(&part[i], s, PARTIAL_ANY_SIZE, now);
    }
}

/* A transaction of a split message was deferred as a whole. Its recipients may have been in another
 * group, and would begin each try. */
static void put_off(const struct outcome_part *part, size_t parts, struct partial_delivery *s,
                    uint64_t now)
{
    const struct job *first = part[0].job;
    struct span sender = envelope_sender(first->envelope);

    if (!partial_is_marked(s, sender, (struct span){0}, now) ||
        !partial_is_mixed(s, sender, hash_of(first), now))
        return;
    for (size_t i = 0; i < parts; i++)
        split(&part[i], s, first->declared, now);
}

void outcome_unheard(const struct outcome_part *part, size_t parts, struct partial_delivery *s,
                     uint64_t now)
{
    for (size_t i = 0; i < parts; i++)
        outcome_note(part[i].job, s, now);
}

/* The client may send the recipients in the same order each time. If recipients that are deferred
 * each time come first, they let the others go first every second time. */
bool outcome_apart(const struct envelope *e, struct span recipient, uint32_t declared,
                   struct partial_delivery *s, uint64_t now)
{
    struct span sender = envelope_sender(e);
    struct envelope_recipient first = {0}, to = {0};

    if (!envelope_next(e, &first))
        return partial_has_rested(s, sender, recipient, declared, now);
    if (partial_group_of(s, sender, first.address, declared, now) ==
        partial_group_of(s, sender, recipient, declared, now)) {
        if (partial_rests(s, sender, first.address, declared, now))
            partial_rest(s, sender, recipient, declared, now);
        return false;
    }
    while (envelope_next(e, &to))
        partial_rest(s, sender, to.address, declared, now);
    return true;
}

struct reply outcome_end(const struct outcome_part *part, size_t parts, struct partial_delivery *s,
                         uint64_t now, struct outcome_client client, uint32_t *accepted,
                         uint32_t *before)
{
    struct tally t = {0};

    for (size_t i = 0; i < parts; i++)
        count(&t, &part[i]);
    uint32_t have = t.has + t.done;
    *accepted = have;
    *before = t.has;
    if (t.all && have == t.all) {
        for (size_t i = 0; i < parts; i++)
            if (parts > 1 || t.has || leaves_an_alarm(part[i].job, s, now))
                forget(part[i].job, s);
        return t.done ? t.first_done : reply_make(REPLY_OK, (struct span){0});
    }
    if (have == 0 && t.refused == t.all)
        return t.first_refused;
    if (have == 0 && t.later == t.all) {
        put_off(part, parts, s, now);
        return t.first_later;
    }
    remember(part, parts, s, now, client);
    return reply_make(REPLY_PARTIAL_LATER, (struct span){0});
}
