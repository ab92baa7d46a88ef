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

/* How much a place is worth: 0 an entry that has ended, 1 one of another member, 2 an own one. */
static int worth(const struct partial_entry *e, uint64_t now)
{
    if (atomic_load(&e->until) <= now)
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
        return atomic_load(&set[i].until) > now && atomic_load(&set[i].key) == key &&
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
