/* Unknown recipients that strangers try (tried.h). Runs in workers, which write, and in the web
 * process, which reads and tends.
 *
 * A table of names has a word for each: 40 bits of the address's hash, 8 bits of a network's, and
 * the day, in sets of eight that are a cache line. A candidate has its text, a bitmap of 64 bits
 * for the networks (linear counting), and days. Hashes use the file's own key, so nobody can aim at
 * a set. A candidate is valid only if the hash of its text is its key, so a slot that a dying
 * process left half written counts as free. */
#include "tarpit/tried.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapfile.h"

static const char MAGIC[8] = {'M', 'I', 'R', 'T', 'R', 'I', 'E', 'D'};
enum { VERSION = 1, WAYS = 8, DAY_MS = 24 * 3600 * 1000, WRITING = 1 };
enum { EXISTING = 256 * 1024, GOOD = 64 * 1024, ONCE = 128 * 1024 };

struct candidate {
    _Atomic uint64_t key; /* 0: free */
    _Atomic uint64_t networks;
    _Atomic uint32_t first_s, last_s; /* wall seconds */
    _Atomic uint32_t day, days;       /* the last one counted; how many */
    char address[TRIED_ADDRESS];
};

struct body {
    _Atomic uint32_t overflowed_day;
    _Atomic uint64_t existing[EXISTING], good[GOOD], once[ONCE];
    struct candidate candidate[TRIED_CANDIDATES];
};

struct tried {
    struct mapfile file;
    struct body *body;
};

int tried_open(struct tried **out, const char *path)
{
    struct tried *t = calloc(1, sizeof *t);
    int error = t ? mapfile_open(&t->file, path, MAGIC, VERSION, sizeof *t->body) : -ENOMEM;

    if (error < 0) {
        free(t);
        return error;
    }
    t->body = t->file.body;
    *out = t;
    return 0;
}

void tried_close(struct tried *t)
{
    if (!t)
        return;
    mapfile_close(&t->file);
    free(t);
}

static uint16_t day_of(uint64_t ms)
{
    return (uint16_t)(ms / DAY_MS);
}

static uint64_t hash_of(const struct tried *t, const void *at, size_t len)
{
    struct siphash h;

    siphash_start(&h, &t->file.key);
    siphash_add(&h, at, len);
    return siphash_end(&h);
}

static uint64_t hash_of_network(const struct tried *t, const struct addr *client)
{
    struct addr network = addr_network(client);

    return hash_of(t, network.octets, sizeof network.octets);
}

/* ---- names ---- */

static uint64_t tag_of(uint64_t hash)
{
    return (hash >> 24) | 1; /* 40 bits, never 0 */
}

static uint16_t name_day(uint64_t name)
{
    return (uint16_t)name;
}

static _Atomic uint64_t *set_of(_Atomic uint64_t *table, size_t size, uint64_t hash)
{
    return table + hash % (size / WAYS) * WAYS;
}

static uint64_t name_of(uint64_t hash, uint8_t network, uint64_t now)
{
    return tag_of(hash) << 24 | (uint64_t)network << 16 | day_of(now);
}

static _Atomic uint64_t *name_find(_Atomic uint64_t *table, size_t size, uint64_t hash)
{
    _Atomic uint64_t *set = set_of(table, size, hash);

    for (int i = 0; i < WAYS; i++)
        if (set[i] >> 24 == tag_of(hash))
            return &set[i];
    return NULL;
}

/* Adds a name, or updates its day. In a full set it replaces the oldest name. Returns the day of
 * the replaced name; 0 if none was. */
static uint16_t name_put(_Atomic uint64_t *table, size_t size, uint64_t hash, uint8_t network,
                         uint64_t now)
{
    _Atomic uint64_t *at = name_find(table, size, hash), *set = set_of(table, size, hash);
    uint64_t name = name_of(hash, network, now), was = 0;

    if (at) {
        if (*at != name)
            *at = name;
        return 0;
    }
    at = &set[hash >> 40 & (WAYS - 1)]; /* any of several that are equally old */
    for (int i = 0; i < WAYS; i++)
        if (name_day(set[i]) < name_day(*at) || set[i] == 0)
            at = &set[i];
    was = atomic_exchange(at, name);
    return was ? name_day(was) : 0;
}

static bool name_within(_Atomic uint64_t *table, size_t size, uint64_t hash, unsigned days,
                        uint64_t now)
{
    const _Atomic uint64_t *at = name_find(table, size, hash);

    return at && name_day(*at) + days >= day_of(now);
}

static bool is_spared(const struct tried *t, uint64_t hash, uint64_t now)
{
    return name_within(t->body->existing, EXISTING, hash, TRIED_SPARED_DAYS, now) ||
           name_within(t->body->good, GOOD, hash, TRIED_SPARED_DAYS, now);
}

static size_t local_len(struct span address)
{
    size_t at = address.len;

    while (at > 0 && address.at[at - 1] != '@')
        at--;
    return at ? at - 1 : address.len;
}

void tried_exists(struct tried *t, struct span address, uint64_t now)
{
    size_t local = local_len(address);
    const char *plus = memchr(address.at, '+', local);
    struct siphash h;

    siphash_start(&h, &t->file.key);
    siphash_add(&h, address.at, plus && plus > address.at ? (size_t)(plus - address.at) : local);
    siphash_add(&h, address.at + local, address.len - local);
    uint16_t gone = name_put(t->body->existing, EXISTING, siphash_end(&h), 0, now);
    if (gone && gone + TRIED_SPARED_DAYS >= day_of(now))
        t->body->overflowed_day = day_of(now);
}

void tried_by_good(struct tried *t, struct span address, uint64_t now)
{
    (void)name_put(t->body->good, GOOD, hash_of(t, address.at, address.len), 0, now);
}

uint64_t tried_overflowed(const struct tried *t)
{
    return (uint64_t)t->body->overflowed_day * DAY_MS;
}

/* ---- candidates ---- */

/* Whether anybody may write to it without having seen it anywhere. */
static bool is_common(struct span local)
{
    static const char *const names[] = {
        "abuse",      "admin",   "administrator", "contact",  "ftp",       "help",
        "hostmaster", "hr",      "info",          "jobs",     "mail",      "mailer-daemon",
        "marketing",  "news",    "noc",           "no-reply", "noreply",   "office",
        "postmaster", "privacy", "root",          "sales",    "security",  "service",
        "support",    "team",    "usenet",        "uucp",     "webmaster", "www"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (span_equal(local, span_of(names[i])))
            return true;
    return false;
}

static bool may_be_candidate(struct span address)
{
    size_t local = local_len(address);

    return local > 0 && local < address.len && address.len < TRIED_ADDRESS &&
           !memchr(address.at, '+', local) && !is_common(span_first(address, local));
}

static bool is_over(const struct candidate *c, uint64_t now)
{
    return (uint64_t)c->last_s * 1000 + (uint64_t)TRIED_FORGET_DAYS * DAY_MS < now;
}

/* The weight of a candidate; 0: the place is free. */
static unsigned weight_of(const struct candidate *c, uint64_t now)
{
    enum { MOST = 62 };
    unsigned days = c->days < MOST ? c->days : MOST;
    unsigned weight = (unsigned)__builtin_popcountll(c->networks) * days;

    if (c->key <= WRITING || is_over(c, now))
        return 0;
    return weight < MOST ? weight : MOST;
}

static struct candidate *candidates_of(const struct tried *t, uint64_t hash)
{
    return t->body->candidate + hash % (TRIED_CANDIDATES / WAYS) * WAYS;
}

static uint64_t key_of(uint64_t hash)
{
    return hash | 2;
}

static struct candidate *candidate_find(const struct tried *t, uint64_t hash)
{
    struct candidate *set = candidates_of(t, hash);

    for (int i = 0; i < WAYS; i++)
        if (set[i].key == key_of(hash))
            return &set[i];
    return NULL;
}

/* A place for a new candidate; NULL: not this time. */
static struct candidate *make_room(struct tried *t, uint64_t hash, uint64_t now)
{
    struct candidate *set = candidates_of(t, hash), *weakest = set;
    uint64_t dice[] = {hash, now}, seen;
    unsigned weight;

    for (struct candidate *c = set; c < set + WAYS; c++)
        if (weight_of(c, now) < weight_of(weakest, now))
            weakest = c;
    weight = weight_of(weakest, now);
    if (weight > 2 && hash_of(t, dice, sizeof dice) & ((UINT64_C(1) << (weight - 2)) - 1))
        return NULL;
    seen = weakest->key;
    return atomic_compare_exchange_strong(&weakest->key, &seen, WRITING) ? weakest : NULL;
}

static void candidate_begin(struct tried *t, struct span address, uint64_t hash, uint64_t once,
                            uint64_t now)
{
    struct candidate *c = make_room(t, hash, now);

    if (!c)
        return;
    memset(c->address, 0, sizeof c->address);
    memcpy(c->address, address.at, address.len);
    c->networks = UINT64_C(1) << (once >> 16 & 63);
    c->first_s = name_day(once) * (uint32_t)(DAY_MS / 1000);
    c->day = name_day(once);
    c->days = 1;
    c->last_s = (uint32_t)(now / 1000);
    atomic_store(&c->key, key_of(hash));
}

static void candidate_tried(struct candidate *c, uint64_t network, uint64_t now)
{
    uint32_t day = c->day, today = day_of(now);

    atomic_fetch_or(&c->networks, UINT64_C(1) << (network & 63));
    c->last_s = (uint32_t)(now / 1000);
    if (day < today && atomic_compare_exchange_strong(&c->day, &day, today))
        c->days++;
}

void tried_by_stranger(struct tried *t, struct span address, const struct addr *client,
                       uint64_t now)
{
    uint64_t hash = hash_of(t, address.at, address.len), network = hash_of_network(t, client);
    _Atomic uint64_t *once;

    if (!may_be_candidate(address) || is_spared(t, hash, now))
        return;
    struct candidate *c = candidate_find(t, hash);
    if (!c) {
        once = name_find(t->body->once, ONCE, hash);
        uint64_t first = once ? *once : 0;
        if (!first || name_day(first) + TRIED_FORGET_DAYS < day_of(now) ||
            (first >> 16 & 255) == (network & 255)) {
            if (!first)
                (void)name_put(t->body->once, ONCE, hash, (uint8_t)network, now);
            return;
        }
        candidate_begin(t, address, hash, first, now);
        c = candidate_find(t, hash);
    }
    if (c)
        candidate_tried(c, network, now);
}

/* ---- what is proposed ---- */

/* The hash of the address with `n` octets of its local part at `at` replaced by `by`. */
static uint64_t hash_changed(const struct tried *t, struct span address, size_t at, size_t n,
                             const char *by, size_t len)
{
    struct siphash h;

    siphash_start(&h, &t->file.key);
    siphash_add(&h, address.at, at);
    siphash_add(&h, by, len);
    siphash_add(&h, address.at + at + n, address.len - at - n);
    return siphash_end(&h);
}

static bool existed(const struct tried *t, uint64_t hash, uint64_t now)
{
    return name_within(t->body->existing, EXISTING, hash, TRIED_SPARED_DAYS, now);
}

/* Whether it differs from an address that existed by a single typing error, which people make. */
static bool is_near(const struct tried *t, struct span address, uint64_t now)
{
    static const char keys[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";
    size_t local = local_len(address);

    for (size_t i = 0; i <= local; i++) {
        bool more = i < local;
        for (const char *k = keys; *k; k++)
            if (existed(t, hash_changed(t, address, i, 0, k, 1), now) ||
                (more && existed(t, hash_changed(t, address, i, 1, k, 1), now)))
                return true;
        if (more && existed(t, hash_changed(t, address, i, 1, "", 0), now))
            return true;
        if (i + 1 < local) {
            char two[2] = {address.at[i + 1], address.at[i]};
            if (existed(t, hash_changed(t, address, i, 2, two, 2), now))
                return true;
        }
    }
    return false;
}

static bool is_name_like(struct span address)
{
    size_t local = local_len(address), marks = 0;

    for (size_t i = 0; i < local; i++) {
        char c = address.at[i];
        if (c == '.' || c == '-' || c == '_')
            marks++;
        else if (c < 'a' || c > 'z')
            return false;
    }
    return marks <= 1;
}

/* Makes a consistent copy of the candidate; false if there is none. */
static bool candidate_read(const struct tried *t, const struct candidate *c, uint64_t now,
                           uint64_t *hash, struct tried_address *out)
{
    uint64_t key = c->key, networks = c->networks;
    int zeros = 64 - __builtin_popcountll(networks);

    if (key <= WRITING || is_over(c, now))
        return false;
    memcpy(out->address, c->address, sizeof out->address);
    out->address[sizeof out->address - 1] = '\0';
    *hash = hash_of(t, out->address, strlen(out->address));
    out->networks = (uint32_t)lround(-64 * log((zeros ? zeros : 1) / 64.0));
    out->days = c->days;
    out->first_ms = (uint64_t)c->first_s * 1000;
    out->last_ms = (uint64_t)c->last_s * 1000;
    out->name_like = is_name_like(span_of(out->address));
    return key_of(*hash) == key && c->key == key;
}

bool tried_next(const struct tried *t, uint32_t *at, uint64_t now, struct tried_address *out)
{
    uint64_t hash;

    while (*at < TRIED_CANDIDATES) {
        const struct candidate *c = &t->body->candidate[(*at)++];
        if (candidate_read(t, c, now, &hash, out) && out->networks >= TRIED_NETWORKS &&
            out->days >= TRIED_DAYS && !is_spared(t, hash, now) &&
            !is_near(t, span_of(out->address), now))
            return true;
    }
    return false;
}

void tried_tend(struct tried *t, uint64_t now)
{
    struct tried_address a;
    uint64_t hash;

    for (struct candidate *c = t->body->candidate; c < t->body->candidate + TRIED_CANDIDATES; c++) {
        uint64_t key = c->key;
        if (key == 0 || (candidate_read(t, c, now, &hash, &a) && !is_spared(t, hash, now)))
            continue;
        if (key == WRITING || !atomic_compare_exchange_strong(&c->key, &key, WRITING))
            continue;
        memset(c->address, 0, sizeof c->address);
        atomic_store(&c->key, 0);
    }
}
