/* The memory of mixed answers; see partial_delivery.h. An entry is found by a hash of sender,
 * message and recipient, which also selects its set in the table (partial_table.h). */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "relay/partial_share.h"
#include "relay/partial_table.h"

enum { RESTS = PARTIAL_RESTS };

#define BACKEND_MS (UINT64_C(30) * 86400 * 1000)

void partial_close(struct partial_delivery *s)
{
    if (!s)
        return;
    mapfile_close(&s->file);
    free(s);
}

static uint64_t make_key_with(const struct sipkey *key, enum partial_what what, struct span sender,
                              struct span recipient, uint64_t message)
{
    uint64_t lens[3] = {(uint64_t)what, sender.len, message};
    struct siphash h;

    siphash_start(&h, key);
    siphash_add(&h, lens, sizeof lens);
    siphash_add(&h, sender.at, sender.len);
    siphash_add(&h, recipient.at, recipient.len);
    uint64_t hash = siphash_end(&h);
    return hash ? hash : 1;
}

/* An entry of this file alone. */
static uint64_t own_key(const struct partial_delivery *s, enum partial_what what, struct span name,
                        uint64_t number)
{
    return make_key_with(&s->file.key, what, name, (struct span){0}, number);
}

/* R25: the members of a fleet have a key in common, so that they have the same names for entries.
 * It stays when the fleet is switched off, or cannot be reached after a restart. */
static bool get_fleet_key(const struct partial_delivery *s, struct sipkey *key)
{
    uint64_t k0, k1;
    uint32_t flags;

    if (!partial_get(s, s->common_name[0], 0, &k0, &flags) ||
        !partial_get(s, s->common_name[1], 0, &k1, &flags))
        return false;
    *key = (struct sipkey){k0, k1};
    return true;
}

static struct sipkey common_key(const struct partial_delivery *s)
{
    struct sipkey key = s->file.key;

    get_fleet_key(s, &key);
    return key;
}

bool partial_has_fleet_key(const struct partial_delivery *s)
{
    struct sipkey key;
    return get_fleet_key(s, &key);
}

bool partial_use_key(struct partial_delivery *s, const struct sipkey *fleet)
{
    struct sipkey now = common_key(s),
                  key = {siphash(fleet, "settled 0", 9), siphash(fleet, "settled 1", 9)};

    if (now.k0 == key.k0 && now.k1 == key.k1)
        return false;
    partial_put(s, s->common_name[0], key.k0, UINT64_MAX, 0, 0);
    partial_put(s, s->common_name[1], key.k1, UINT64_MAX, 0, 0);
    return true;
}

const struct sipkey *partial_key(struct partial_delivery *s)
{
    s->common = common_key(s);
    return &s->common;
}

static uint64_t make_key(const struct partial_delivery *s, enum partial_what what,
                         struct span sender, struct span recipient, uint64_t message)
{
    struct sipkey key = common_key(s);
    return make_key_with(&key, what, sender, recipient, message);
}

static bool get(const struct partial_delivery *s, uint64_t key, uint64_t now, uint64_t *value)
{
    uint32_t flags;
    return partial_get(s, key, now, value, &flags);
}

/* Earlier versions wrote entries without marks. Those in a file of theirs, and those that workers of
 * theirs write beside us during an upgrade, are looked for until they end. */
static void find_marked_from(struct partial_delivery *s)
{
    uint64_t key = own_key(s, MARKED_FROM, (struct span){0}, 0);
    bool empty = true;

    if (get(s, key, 0, &s->marked_from))
        return;
    /* A new file is empty, and reading it would allocate all of its pages. */
    for (size_t i = 0; !s->file.fresh && i < PARTIAL_SETS * PARTIAL_WAYS && empty; i++)
        empty = atomic_load(&s->entry[i].key) == 0;
    s->marked_from = empty ? 0 : clock_wall_ms() + 2 * s->keep_ms;
    partial_put(s, key, s->marked_from, UINT64_MAX, 0, clock_wall_ms());
}

int partial_open(struct partial_delivery **out, const char *path, uint64_t keep_ms)
{
    struct partial_delivery *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    int r = mapfile_open(&s->file, path, "MRDSETTL", 2,
                         sizeof(struct partial_entry) * PARTIAL_SETS * PARTIAL_WAYS);
    if (r < 0) {
        free(s);
        return r;
    }
    s->entry = s->file.body;
    s->keep_ms = keep_ms;
    for (uint64_t i = 0; i < 2; i++)
        s->common_name[i] = own_key(s, COMMON, (struct span){0}, i);
    find_marked_from(s);
    *out = s;
    return 0;
}

/* ---- of workers ---- */

int partial_read_only(struct partial_delivery *s)
{
    return mapfile_read_only(&s->file);
}

int partial_propose_to(struct partial_delivery *s,
                       void (*change)(void *arg, const struct partial_change *what),
                       void (*settle)(void *arg), void *arg)
{
    s->change = change;
    s->settle = settle;
    s->arg = arg;
    return mapfile_read_only(&s->file);
}

void partial_believe_if(struct partial_delivery *s, bool (*may)(void *arg, uint64_t key))
{
    s->may_believe = may;
}

void partial_settle(struct partial_delivery *s)
{
    if (s->unsettled)
        s->settle(s->arg);
    s->unsettled = false;
}

/* Whether it is an entry that only the master and the fleet process write. */
static bool is_reserved(const struct partial_delivery *s, uint64_t key)
{
    return key == 0 || key == own_key(s, MARKED_FROM, (struct span){0}, 0) ||
           key == s->common_name[0] || key == s->common_name[1];
}

/* Whether it records that a recipient has a message without a Message-ID. */
static bool is_of_nameless(const struct partial_change *what)
{
    return (what->flags & PARTIAL_WHAT) == 0 && !what->of_backend;
}

/* Asks `late` before, so that a late record is never seen, and after it, because the keeper may have
 * stood still in between. */
void partial_carry_out(struct partial_delivery *s, const struct partial_change *what,
                       bool (*late)(const void *ring), const void *ring, uint64_t now)
{
    uint64_t most = now + (what->of_backend ? BACKEND_MS : s->keep_ms);
    uint64_t until = what->until < most ? what->until : most;
    bool must_be_early = late && is_of_nameless(what);

    if (is_reserved(s, what->key) || what->value == PARTIAL_GONE)
        return;
    bool put = until > now;
    if (put && must_be_early && late(ring))
        return; /* a record of an earlier try stays */
    if (put)
        partial_put(s, what->key, what->value, until, what->flags & PARTIAL_WHAT, now);
    if (!put || (must_be_early && late(ring)))
        partial_drop(s, what->key);
}

/* ---- what callers know ---- */

/* Returns the mark's key, so that another member can mark them as well. */
static uint64_t mark(struct partial_delivery *s, struct span sender, struct span recipient,
                     uint64_t now)
{
    uint64_t key = make_key(s, MARK, sender, recipient, 0);

    partial_put(s, key, 0, now + s->keep_ms, MARK, now);
    return key;
}

/* A record without a Message-ID is told to no other member, so nobody needs its mark. */
void partial_delivered(struct partial_delivery *s, struct span sender, struct span recipient,
                       struct partial_message message, uint64_t now)
{
    uint64_t marked = mark(s, sender, recipient, now);

    partial_put(s, make_key(s, DELIVERED, sender, recipient, message.name),
                message.named ? marked : message.source, now + s->keep_ms,
                message.named ? DELIVERED : 0, now);
}

bool partial_is_marked(const struct partial_delivery *s, struct span sender, struct span recipient,
                       uint64_t now)
{
    uint64_t value;

    return now < s->marked_from || get(s, make_key(s, MARK, sender, recipient, 0), now, &value);
}

void partial_forget(struct partial_delivery *s, struct span sender, struct span recipient,
                    uint64_t message)
{
    partial_drop(s, make_key(s, DELIVERED, sender, recipient, message));
}

/* Records of other members count only for messages with a Message-ID: a member that knows the
 * octets of an alarm could say in advance that it was delivered. */
bool partial_was_delivered(const struct partial_delivery *s, struct span sender,
                           struct span recipient, struct partial_message message, uint64_t now)
{
    uint64_t key = make_key(s, DELIVERED, sender, recipient, message.name), value;
    uint32_t flags;

    if ((s->may_believe && !s->may_believe(s->arg, key)) ||
        !partial_get(s, key, now, &value, &flags))
        return false;
    if (flags & PARTIAL_OF_OTHERS)
        return message.named && (flags & PARTIAL_WHAT) == DELIVERED;
    return message.named || value == 0 || value == message.source;
}

bool partial_is_mixed(const struct partial_delivery *s, struct span sender, uint64_t message,
                      uint64_t now)
{
    uint64_t value;
    return get(s, make_key(s, MIXED, sender, (struct span){0}, message), now, &value);
}

bool partial_was_mixed(struct partial_delivery *s, struct span sender, uint64_t message,
                       uint64_t now)
{
    uint64_t key = make_key(s, MIXED, sender, (struct span){0}, message);
    uint64_t value;
    bool before = get(s, key, now, &value);

    uint64_t marked = mark(s, sender, (struct span){0}, now);
    partial_put(s, key, marked, now + s->keep_ms, MIXED, now);
    return before;
}

void partial_put_in_group(struct partial_delivery *s, struct span sender, struct span recipient,
                          int64_t size, enum partial_group group, uint64_t now)
{
    uint64_t key = make_key(s, GROUP, sender, recipient, (uint64_t)size);
    uint64_t value;

    bool known = get(s, key, now, &value);
    if (known && value == RESTS && group == PARTIAL_LATER)
        return;
    if (group != PARTIAL_TAKEN || known) /* the first group is those unknown */
        partial_put(s, key, (uint64_t)group, now + s->keep_ms, GROUP, now);
}

/* Changes the entries of a recipient that say `from`; false if none does. */
static bool change_group(struct partial_delivery *s, struct span sender, struct span recipient,
                         int64_t size, uint64_t from, uint64_t to, uint64_t now)
{
    const int64_t sizes[] = {size, PARTIAL_ANY_SIZE};
    bool changed = false;

    for (int i = 0; i < 2; i++) {
        uint64_t key = make_key(s, GROUP, sender, recipient, (uint64_t)sizes[i]), value;
        if (get(s, key, now, &value) && value == from) {
            partial_put(s, key, to, now + s->keep_ms, GROUP, now);
            changed = true;
        }
    }
    partial_settle(s);
    return changed;
}

void partial_rest(struct partial_delivery *s, struct span sender, struct span recipient,
                  int64_t size, uint64_t now)
{
    change_group(s, sender, recipient, size, PARTIAL_LATER, RESTS, now);
}

bool partial_rests(const struct partial_delivery *s, struct span sender, struct span recipient,
                   int64_t size, uint64_t now)
{
    uint64_t value;

    if (!get(s, make_key(s, GROUP, sender, recipient, (uint64_t)size), now, &value) &&
        !get(s, make_key(s, GROUP, sender, recipient, (uint64_t)PARTIAL_ANY_SIZE), now, &value))
        return false;
    return value == RESTS;
}

bool partial_has_rested(struct partial_delivery *s, struct span sender, struct span recipient,
                        int64_t size, uint64_t now)
{
    return change_group(s, sender, recipient, size, RESTS, PARTIAL_LATER, now);
}

enum partial_group partial_group_of(const struct partial_delivery *s, struct span sender,
                                    struct span recipient, int64_t size, uint64_t now)
{
    uint64_t value;

    if (get(s, make_key(s, GROUP, sender, recipient, (uint64_t)size), now, &value) ||
        get(s, make_key(s, GROUP, sender, recipient, (uint64_t)PARTIAL_ANY_SIZE), now, &value))
        return value == RESTS             ? PARTIAL_LATER
               : value <= PARTIAL_REFUSED ? (enum partial_group)value
                                          : PARTIAL_TAKEN;
    return PARTIAL_TAKEN;
}

void partial_note_backend(struct partial_delivery *s, struct span name, uint64_t word, uint64_t now)
{
    uint64_t key = own_key(s, BACKEND, name, 0);

    if (s->change)
        s->change(s->arg, &(struct partial_change){key, word, now + BACKEND_MS, 0, true});
    else
        partial_put(s, key, word, now + BACKEND_MS, 0, now);
}

bool partial_backend(const struct partial_delivery *s, struct span name, uint64_t now,
                     uint64_t *word)
{
    return get(s, own_key(s, BACKEND, name, 0), now, word);
}
