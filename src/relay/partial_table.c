/* The places of the memory of mixed answers (partial_table.h). */
#include "relay/partial_table.h"

/* Entries of this member, and of earlier versions, have none of the flags in their check. */
static uint32_t check_of(const struct partial_delivery *s, uint64_t key, uint64_t value,
                         uint32_t flags)
{
    uint64_t fields[2] = {key, value};
    uint32_t of_others = flags & PARTIAL_OF_OTHERS ? ~(flags & PARTIAL_WHAT) : 0;

    return (uint32_t)siphash(&s->file.key, fields, sizeof fields) ^ of_others;
}

static struct partial_entry *set_of(const struct partial_delivery *s, uint64_t key)
{
    return &s->entry[(key >> 20) % PARTIAL_SETS * PARTIAL_WAYS];
}

bool partial_is_whole(const struct partial_delivery *s, const struct partial_entry *e)
{
    uint64_t key = atomic_load(&e->key), value = e->value;
    uint32_t flags = atomic_load(&e->flags), check = e->check;

    return key && check == check_of(s, key, value, flags) && atomic_load(&e->key) == key;
}

/* A time that no entry has unless the clock was set back. UINT64_MAX is for ever. */
static bool is_from_future(uint64_t until, uint64_t now)
{
    return until > now + PARTIAL_LONGEST_MS && until != UINT64_MAX;
}

/* How much a place is worth: 0 an entry that has ended, 1 one of another member, 2 an own one. */
static int worth(const struct partial_entry *e, uint64_t now)
{
    if (atomic_load(&e->until) <= now || is_from_future(atomic_load(&e->until), now))
        return 0;
    return atomic_load(&e->flags) & PARTIAL_OF_OTHERS ? 1 : 2;
}

bool partial_put(struct partial_delivery *s, uint64_t key, uint64_t value, uint64_t until,
                 uint32_t flags, uint64_t now)
{
    struct partial_entry *set = set_of(s, key), *best = &set[0];

    if (s->change) {
        s->change(s->arg, &(struct partial_change){key, value, until, flags, false});
        s->unsettled = true;
        return true;
    }
    for (int i = 0; i < PARTIAL_WAYS; i++) {
        if (set[i].key == key) {
            best = &set[i];
            break;
        }
        int is = worth(&set[i], now), least = worth(best, now);
        if (is < least || (is == least && set[i].until < best->until))
            best = &set[i];
    }
    if (flags & PARTIAL_OF_OTHERS && best->key != key && worth(best, now) == 2)
        return false;
    bool same = best->key == key && atomic_load(&best->until) > now;
    if (same && atomic_load(&best->flags) & (PARTIAL_TOLD | PARTIAL_OF_OTHERS | PARTIAL_ELSEWHERE))
        flags |= PARTIAL_ELSEWHERE;
    atomic_store(&best->key, 0);
    best->value = value;
    best->check = check_of(s, key, value, flags);
    atomic_store(&best->flags, flags);
    atomic_store(&best->until, until);
    atomic_store(&best->key, key);
    return true;
}

bool partial_get(const struct partial_delivery *s, uint64_t key, uint64_t now, uint64_t *value,
                 uint32_t *flags)
{
    struct partial_entry *set = set_of(s, key);

    for (int i = 0; i < PARTIAL_WAYS; i++) {
        if (atomic_load(&set[i].key) != key)
            continue;
        uint64_t found = set[i].value;
        uint32_t check = set[i].check;
        *flags = atomic_load(&set[i].flags);
        *value = found;
        uint64_t until = atomic_load(&set[i].until);
        return until > now && !is_from_future(until, now) && atomic_load(&set[i].key) == key &&
               check == check_of(s, key, found, *flags) && found != PARTIAL_GONE;
    }
    return false;
}

void partial_drop(struct partial_delivery *s, uint64_t key)
{
    struct partial_entry *set = set_of(s, key);

    if (s->change) {
        s->change(s->arg, &(struct partial_change){.key = key});
        s->unsettled = true;
        return;
    }
    for (int i = 0; i < PARTIAL_WAYS; i++) {
        if (atomic_load(&set[i].key) != key)
            continue;
        uint32_t flags = atomic_load(&set[i].flags);
        uint64_t until = atomic_load(&set[i].until);
        atomic_store(&set[i].key, 0);
        if (!(flags & (PARTIAL_TOLD | PARTIAL_OF_OTHERS | PARTIAL_ELSEWHERE))) {
            atomic_store(&set[i].until, 0); /* the next entry takes its place */
            continue;
        }
        set[i].value = PARTIAL_GONE;
        set[i].check = check_of(s, key, PARTIAL_GONE, 0);
        atomic_store(&set[i].flags, (flags & PARTIAL_WHAT) | PARTIAL_ELSEWHERE);
        atomic_store(&set[i].until, until + 1); /* later than what others have */
        atomic_store(&set[i].key, key);
    }
}

/* An entry that was believed too long could say of a new message that it was delivered; one that is
 * dropped too early costs a second copy. So a time that cannot be right is made the shortest one. */
void partial_clock_was_set(struct partial_delivery *s, int64_t by_ms, uint64_t now)
{
    const uint64_t before = now - (uint64_t)by_ms;

    for (size_t i = 0; i < PARTIAL_SETS * PARTIAL_WAYS; i++) {
        struct partial_entry *e = &s->entry[i];
        uint64_t until = atomic_load(&e->until), to = until;
        if (!atomic_load(&e->key) || until == UINT64_MAX)
            continue;
        if (by_ms < 0 ? until > now : until > before)
            to = until + (uint64_t)by_ms;
        if (to > now + (by_ms ? PARTIAL_LONGEST_MS : s->keep_ms))
            to = now + s->keep_ms;
        if (to != until)
            atomic_compare_exchange_strong(&e->until, &until, to);
    }
}
