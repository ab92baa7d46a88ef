/* The memory of mixed answers; see partial_delivery.h. A mapped table of 32-octet entries that all
 * workers share.
 *
 * An entry is found by a hash of sender, message and recipient, which also selects its set. A
 * writer writes the key last, and a reader checks the key again after reading, so a reader sees a
 * complete entry or none. If two writers write the same place, one of the two entries remains, or
 * one with a wrong check, which counts as none. A retry is then treated as a first try: before the
 * data that does no harm, after it there may be a duplicate, but never a loss. */
#include "relay/partial_delivery.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mapfile.h"

enum { SETS = 8192, WAYS = 8 };

/* A MARK says that there are entries of a sender and a recipient whose keys contain a message's
 * hash; MARKED_FROM says from when on all of these have one. */
enum what { DELIVERED = 1, MIXED, GROUP, BACKEND, MARK, MARKED_FROM };
enum { RESTS = PARTIAL_REFUSED + 1 }; /* PARTIAL_LATER, after partial_rest() */

#define BACKEND_MS (UINT64_C(30) * 86400 * 1000)

struct entry {
    _Atomic uint64_t key;   /* 0: none */
    _Atomic uint64_t until; /* wall ms */
    uint64_t value;         /* enum partial_group, or a backend's word */
    uint32_t check;         /* over key and value, so that a mixture of two entries is recognised */
    uint32_t unused;
};

_Static_assert(sizeof(struct entry) == 32, "two in a cache line");

struct partial_delivery {
    struct mapfile file;
    struct entry *entry;
    uint64_t keep_ms;
    uint64_t marked_from; /* wall ms */
};

void partial_close(struct partial_delivery *s)
{
    if (!s)
        return;
    mapfile_close(&s->file);
    free(s);
}

const struct sipkey *partial_key(const struct partial_delivery *s)
{
    return &s->file.key;
}

static uint64_t make_key(const struct partial_delivery *s, enum what what, struct span sender,
                         struct span recipient, uint64_t message)
{
    uint64_t lens[3] = {(uint64_t)what, sender.len, message};
    struct siphash h;

    siphash_start(&h, &s->file.key);
    siphash_add(&h, lens, sizeof lens);
    siphash_add(&h, sender.at, sender.len);
    siphash_add(&h, recipient.at, recipient.len);
    uint64_t key = siphash_end(&h);
    return key ? key : 1;
}

static uint32_t check_of(const struct partial_delivery *s, uint64_t key, uint64_t value)
{
    uint64_t fields[2] = {key, value};

    return (uint32_t)siphash(&s->file.key, fields, sizeof fields);
}

static struct entry *set_of(const struct partial_delivery *s, uint64_t key)
{
    return &s->entry[(key >> 20) % SETS * WAYS];
}

static void put(struct partial_delivery *s, uint64_t key, uint64_t value, uint64_t until)
{
    struct entry *set = set_of(s, key), *best = &set[0];

    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            best = &set[i];
            break;
        }
        if (set[i].until < best->until)
            best = &set[i];
    }
    atomic_store(&best->key, 0);
    best->value = value;
    best->check = check_of(s, key, value);
    atomic_store(&best->until, until);
    atomic_store(&best->key, key);
}

static bool get(const struct partial_delivery *s, uint64_t key, uint64_t now, uint64_t *value)
{
    struct entry *set = set_of(s, key);

    for (int i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].key) != key)
            continue;
        uint64_t found = set[i].value;
        uint32_t check = set[i].check;
        *value = found;
        return atomic_load(&set[i].until) > now && atomic_load(&set[i].key) == key &&
               check == check_of(s, key, found);
    }
    return false;
}

static void drop(struct partial_delivery *s, uint64_t key)
{
    struct entry *set = set_of(s, key);

    for (int i = 0; i < WAYS; i++)
        if (atomic_load(&set[i].key) == key) {
            atomic_store(&set[i].key, 0);
            atomic_store(&set[i].until, 0); /* the next entry takes its place */
        }
}

/* Earlier versions wrote entries without marks. Those in a file of theirs, and those that workers of
 * theirs write beside us during an upgrade, are looked for until they end. */
static void find_marked_from(struct partial_delivery *s)
{
    uint64_t key = make_key(s, MARKED_FROM, (struct span){0}, (struct span){0}, 0);
    bool empty = true;

    if (get(s, key, 0, &s->marked_from))
        return;
    for (size_t i = 0; i < SETS * WAYS && empty; i++)
        empty = atomic_load(&s->entry[i].key) == 0;
    s->marked_from = empty ? 0 : clock_wall_ms() + 2 * s->keep_ms;
    put(s, key, s->marked_from, UINT64_MAX);
}

int partial_open(struct partial_delivery **out, const char *path, uint64_t keep_ms)
{
    struct partial_delivery *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    int r = mapfile_open(&s->file, path, "MRDSETTL", 2, sizeof(struct entry) * SETS * WAYS);
    if (r < 0) {
        free(s);
        return r;
    }
    s->entry = s->file.body;
    s->keep_ms = keep_ms;
    find_marked_from(s);
    *out = s;
    return 0;
}

static void mark(struct partial_delivery *s, struct span sender, struct span recipient,
                 uint64_t now)
{
    put(s, make_key(s, MARK, sender, recipient, 0), 0, now + s->keep_ms);
}

void partial_delivered(struct partial_delivery *s, struct span sender, struct span recipient,
                       uint64_t message, uint64_t now)
{
    mark(s, sender, recipient, now);
    put(s, make_key(s, DELIVERED, sender, recipient, message), 0, now + s->keep_ms);
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
    drop(s, make_key(s, DELIVERED, sender, recipient, message));
}

bool partial_was_delivered(const struct partial_delivery *s, struct span sender,
                           struct span recipient, uint64_t message, uint64_t now)
{
    uint64_t value;
    return get(s, make_key(s, DELIVERED, sender, recipient, message), now, &value);
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

    mark(s, sender, (struct span){0}, now);
    put(s, key, 0, now + s->keep_ms);
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
        put(s, key, (uint64_t)group, now + s->keep_ms);
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
            put(s, key, to, now + s->keep_ms);
            changed = true;
        }
    }
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
    put(s, make_key(s, BACKEND, name, (struct span){0}, 0), word, now + BACKEND_MS);
}

bool partial_backend(const struct partial_delivery *s, struct span name, uint64_t now,
                     uint64_t *word)
{
    return get(s, make_key(s, BACKEND, name, (struct span){0}, 0), now, word);
}
