/* Mixed answers between the members of a fleet (partial_share.h). */
#include "relay/partial_share.h"
#include "relay/partial_table.h"

enum { SETTLES_MS = 1000 };

_Static_assert((int)GROUP == (int)PARTIAL_WHATS, "what is shared comes first");

static bool is_untold(uint32_t flags)
{
    uint32_t what = flags & PARTIAL_WHAT;
    return what >= DELIVERED && what <= GROUP && !(flags & PARTIAL_TOLD);
}

bool partial_next_untold(struct partial_delivery *s, uint32_t *at, uint64_t now,
                         struct partial_record *r)
{
    while (*at < PARTIAL_SETS * PARTIAL_WAYS) {
        struct partial_entry *e = &s->entry[(*at)++];
        uint64_t key = atomic_load(&e->key), until = atomic_load(&e->until);
        uint32_t flags = atomic_load(&e->flags);

        if (!key || !is_untold(flags) || until <= now)
            continue;
        *r = (struct partial_record){.key = key,
                                     .value = e->value,
                                     .until_ms = until,
                                     .what = (uint8_t)(flags & PARTIAL_WHAT)};
        r->gone = r->value == PARTIAL_GONE;
        if (!r->gone && until > now + s->keep_ms - SETTLES_MS)
            continue;
        if (partial_is_whole(s, e) && atomic_load(&e->key) == key &&
            atomic_compare_exchange_strong(&e->flags, &flags, flags | PARTIAL_TOLD))
            return true;
    }
    return false;
}

void partial_tell_again(struct partial_delivery *s)
{
    for (uint32_t i = 0; i < PARTIAL_SETS * PARTIAL_WAYS; i++)
        if (atomic_load(&s->entry[i].flags) & PARTIAL_TOLD)
            atomic_fetch_and(&s->entry[i].flags, (uint32_t)~PARTIAL_TOLD);
}

static bool is_valid(const struct partial_record *r)
{
    return r->key && r->what >= DELIVERED && r->what <= GROUP && !r->gone &&
           (r->what == GROUP ? r->value <= PARTIAL_RESTS : r->value != PARTIAL_GONE);
}

/* The table's entry of that name, whether it counts or not. */
static bool find(const struct partial_delivery *s, uint64_t key, uint64_t now, uint64_t *value,
                 uint64_t *until, uint32_t *flags)
{
    const struct partial_entry *set = &s->entry[(key >> 20) % PARTIAL_SETS * PARTIAL_WAYS];

    for (int i = 0; i < PARTIAL_WAYS; i++) {
        if (atomic_load(&set[i].key) != key || !partial_is_whole(s, &set[i]))
            continue;
        *until = atomic_load(&set[i].until);
        *value = set[i].value;
        *flags = atomic_load(&set[i].flags);
        return *until > now;
    }
    return false;
}

/* Only over a mark, or over nothing: a record must not change what an entry of another kind says. */
static void put_mark(struct partial_delivery *s, uint64_t key, uint64_t until, uint64_t now)
{
    uint64_t value, there;
    uint32_t flags;
    bool any = find(s, key, now, &value, &there, &flags);

    if (!any || ((flags & PARTIAL_WHAT) == MARK && there < until))
        partial_put(s, key, 0, until, MARK | PARTIAL_OF_OTHERS, now);
}

bool partial_take(struct partial_delivery *s, const struct partial_record *r, uint64_t now)
{
    uint64_t most = now + s->keep_ms, until = r->until_ms < most ? r->until_ms : most;
    uint64_t value = r->gone ? PARTIAL_GONE : r->value, old, there;
    uint32_t flags;

    if (until <= now || !(r->gone ? r->key && r->what <= GROUP && r->what : is_valid(r)))
        return false;
    if (find(s, r->key, now, &old, &there, &flags)) {
        if ((flags & PARTIAL_WHAT) != r->what) /* such as an own one that is not shared */
            return false;
        /* Of two with the same time the larger value, so that the order does not matter. */
        if (there > until || (there == until && old >= value))
            return false;
    }
    if (!partial_put(s, r->key, value, until, r->what | PARTIAL_OF_OTHERS | PARTIAL_TOLD, now))
        return false;
    if (!r->gone && r->what != GROUP)
        put_mark(s, r->value, until, now);
    return true;
}
