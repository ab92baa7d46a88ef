/* Settling's memory; see settle.h. A mapped table of 64-octet entries that all workers share.
 *
 * An entry is found by a hash of who wrote to whom (and what); its place is its hash's set. It is
 * written field by field and its key last, and the key is checked again after it has been read, so
 * a reader sees a whole entry or none. Two writers that meet in one place leave one of the two, or
 * an entry whose check does not fit, which is none: then a retry is treated as a first try, which
 * is safe before the data and a duplicate, never a loss, after it. */
#include "relay/settle.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"

enum { SETS = 4096, WAYS = 8, SETTLE_TEXT = 36 };

enum what { REFUSED = 1, DELIVERED = 2 };

struct entry {
    _Atomic uint64_t key;   /* 0: none */
    _Atomic uint64_t until; /* wall ms */
    uint16_t code;
    uint8_t enhanced[3];
    uint8_t len;
    char text[SETTLE_TEXT];
    uint32_t check; /* of the fields, so that a mixture of two is known */
};

_Static_assert(sizeof(struct entry) == 64, "a cache line");

struct settle {
    struct mapfile file;
    struct entry *entry;
    uint64_t keep_ms;
};

int settle_open(struct settle **out, const char *path, uint64_t keep_ms)
{
    struct settle *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    int r = mapfile_open(&s->file, path, "MRDSETTL", 1, sizeof(struct entry) * SETS * WAYS);
    if (r < 0) {
        free(s);
        return r;
    }
    s->entry = s->file.body;
    s->keep_ms = keep_ms;
    *out = s;
    return 0;
}

void settle_close(struct settle *s)
{
    if (!s)
        return;
    mapfile_close(&s->file);
    free(s);
}

const struct sipkey *settle_key(const struct settle *s)
{
    return &s->file.key;
}

/* Senders retry from other hosts of theirs: the client counts as its network. */
static uint64_t make_key(const struct settle *s, enum what what, const struct addr *client,
                         struct span sender, struct span recipient, uint64_t message)
{
    struct addr network = addr_network(client);
    uint64_t lens[3] = {(uint64_t)what, sender.len, message};
    struct siphash h;

    siphash_start(&h, &s->file.key);
    siphash_add(&h, lens, sizeof lens);
    siphash_add(&h, &network, sizeof network);
    siphash_add(&h, sender.at, sender.len);
    siphash_add(&h, recipient.at, recipient.len);
    uint64_t key = siphash_end(&h);
    return key ? key : 1;
}

static uint32_t check_of(const struct settle *s, uint64_t key, const struct entry *e)
{
    struct siphash h;

    siphash_start(&h, &s->file.key);
    siphash_add(&h, &key, sizeof key);
    siphash_add(&h, &e->code, offsetof(struct entry, check) - offsetof(struct entry, code));
    return (uint32_t)siphash_end(&h);
}

static struct entry *set_of(const struct settle *s, uint64_t key)
{
    return &s->entry[(key >> 20) % SETS * WAYS];
}

static void put(struct settle *s, uint64_t key, const struct reply *reply, uint64_t now)
{
    struct entry *set = set_of(s, key), *best = &set[0], fresh = {0};

    for (int i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            best = &set[i];
            break;
        }
        if (set[i].until < best->until)
            best = &set[i];
    }
    if (reply) {
        fresh.code = reply->code;
        memcpy(fresh.enhanced, reply->enhanced, sizeof fresh.enhanced);
        fresh.len = (uint8_t)(reply->arg.len < SETTLE_TEXT ? reply->arg.len : SETTLE_TEXT);
        memcpy(fresh.text, reply->arg.at, fresh.len);
    }
    fresh.check = check_of(s, key, &fresh);
    atomic_store(&best->key, 0);
    memcpy(&best->code, &fresh.code, sizeof fresh - offsetof(struct entry, code));
    atomic_store(&best->until, now + s->keep_ms);
    atomic_store(&best->key, key);
}

static bool get(const struct settle *s, uint64_t key, uint64_t now, struct entry *out)
{
    struct entry *set = set_of(s, key);

    for (int i = 0; i < WAYS; i++) {
        if (atomic_load(&set[i].key) != key)
            continue;
        memcpy(&out->code, &set[i].code, sizeof *out - offsetof(struct entry, code));
        return atomic_load(&set[i].until) > now && atomic_load(&set[i].key) == key &&
               out->len <= SETTLE_TEXT && out->check == check_of(s, key, out);
    }
    return false;
}

void settle_refused(struct settle *s, const struct addr *client, struct span sender,
                    struct span recipient, const struct reply *reply, uint64_t now)
{
    put(s, make_key(s, REFUSED, client, sender, recipient, 0), reply, now);
}

int settle_was_refused(struct settle *s, const struct addr *client, struct span sender,
                       struct span recipient, uint64_t now, struct reply *reply, char room[64])
{
    struct entry e;

    if (!get(s, make_key(s, REFUSED, client, sender, recipient, 0), now, &e))
        return 0;
    *reply = (struct reply){.id = REPLY_OTHER, .code = e.code, .offence = OFFENCE_BACKEND};
    memcpy(reply->enhanced, e.enhanced, sizeof e.enhanced);
    memcpy(room, e.text, e.len);
    reply->arg = (struct span){room, e.len};
    return 1;
}

void settle_delivered(struct settle *s, const struct addr *client, struct span sender,
                      struct span recipient, uint64_t message_hash, uint64_t now)
{
    put(s, make_key(s, DELIVERED, client, sender, recipient, message_hash), NULL, now);
}

int settle_was_delivered(struct settle *s, const struct addr *client, struct span sender,
                         struct span recipient, uint64_t message_hash, uint64_t now)
{
    struct entry e;
    return get(s, make_key(s, DELIVERED, client, sender, recipient, message_hash), now, &e);
}
