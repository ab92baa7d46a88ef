/* Collisions that are aimed at one entry of a table that strangers fill.
 *
 * The attacker has the source and knows all but the key. It chooses addresses or names in several
 * ways, and fills the table with as many as it has places. It must not push out a victim's entry
 * more often than names that are chosen at random do, over KEYS keys. All keys are fixed, so the
 * test gives the same result each time.
 *
 * That the comparison can fail is part of the test: each table is also tried with a key that the
 * attacker knows, and with a hash for which a key changes nothing that matters, and then the
 * attacker must succeed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

#include "base/siphash.h"
#include "directory/cache.h"
#include "dns/known.h"
#include "dns/names.h"
#include "tarpit/ledger.h"
#include "tarpit/ledger_table.h"
#include "tarpit/observed.h"
#include "tarpit/retries.h"
#include "worker/accounts.h"
#include "worker/budget.h"
#include "worker/ration.h"

enum { KEYS = 128, MOST = 8192, HOUR = 3600 * 1000 };
#define T0 UINT64_C(1800000000000)

/* A /64 in the middle of a /32; as a name, its digits. */
#define VICTIM UINT64_C(0x20010db85a17c3e9)

/* ---- keys and hashes ---- */

static uint64_t key_number; /* of the next table */

static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* In place of the C library's: each key has a number. */
ssize_t getrandom(void *out, size_t len, unsigned flags)
{
    uint8_t *at = out;

    (void)flags;
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)mixed(key_number * 1000 + i + 1);
    return (ssize_t)len;
}

static bool weak;           /* hashes are the weak ones */
static bool hashed;         /* since it was set to false */
static uint64_t first_hash; /* since then */

/* What many tables have: a polynomial, with the key as its beginning, and a multiplication. */
static uint64_t poly(uint64_t h, const void *octets, size_t n)
{
    for (const uint8_t *at = octets; n; n--)
        h = h * 31 + *at++;
    return h;
}

static uint64_t poly_end(uint64_t h)
{
    return h * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t __real_siphash(const struct sipkey *key, const void *octets, size_t n);
uint64_t __wrap_siphash(const struct sipkey *key, const void *octets, size_t n);
void __real_siphash_add(struct siphash *h, const void *octets, size_t n);
void __wrap_siphash_add(struct siphash *h, const void *octets, size_t n);
void __real_siphash_start(struct siphash *h, const struct sipkey *key);
void __wrap_siphash_start(struct siphash *h, const struct sipkey *key);
uint64_t __real_siphash_end(struct siphash *h);
uint64_t __wrap_siphash_end(struct siphash *h);

static uint64_t noted(uint64_t hash)
{
    if (!hashed)
        first_hash = hash;
    hashed = true;
    return hash;
}

uint64_t __wrap_siphash(const struct sipkey *key, const void *octets, size_t n)
{
    return noted(weak ? poly_end(poly(key->k0, octets, n)) : __real_siphash(key, octets, n));
}

void __wrap_siphash_start(struct siphash *h, const struct sipkey *key)
{
    __real_siphash_start(h, key);
    if (weak)
        h->v0 = key->k0;
}

void __wrap_siphash_add(struct siphash *h, const void *octets, size_t n)
{
    if (weak)
        h->v0 = poly(h->v0, octets, n);
    else
        __real_siphash_add(h, octets, n);
}

uint64_t __wrap_siphash_end(struct siphash *h)
{
    return noted(weak ? poly_end(h->v0) : __real_siphash_end(h));
}

/* ---- names ---- */

static struct addr address(uint64_t x)
{
    struct addr a = {.family = ADDR_IP6};

    for (int i = 0; i < 8; i++)
        a.octets[i] = (uint8_t)(x >> (56 - 8 * i));
    a.octets[15] = 1;
    return a;
}

static struct span text(uint64_t x, const char *domain)
{
    static char out[64];

    snprintf(out, sizeof out, "%016llx%s", (unsigned long long)x, domain);
    return span_of(out);
}

/* ---- tables ---- */

/* A table with room for `places` entries. `put` enters x; the victim is the first, so it is the
 * oldest, and makes room before others of its set do. `set` says in which of the sets a hash is. */
struct table {
    const char *name;
    uint32_t places, sets;
    void (*open)(void);
    void (*put)(uint64_t x, uint64_t n);
    bool (*has)(uint64_t x, uint64_t n);
    void (*close)(void);
    uint64_t (*set)(uint64_t hash, uint32_t sets);
};

static uint64_t by_rest(uint64_t hash, uint32_t sets)
{
    return hash % sets;
}

static uint64_t by_rest_above(uint64_t hash, uint32_t sets)
{
    return (hash >> 20) % sets;
}

static uint64_t by_top(uint64_t hash, uint32_t sets)
{
    return (hash >> 32) * sets >> 32;
}

static uint64_t by_ledger(uint64_t hash, uint32_t sets)
{
    return ledger_set_index(hash, sets);
}

/* The ledger: offences of clients and of accounts. */
static struct ledger *ledger;
static const struct ledger_decay decay = {HOUR, 30 * 24 * (uint64_t)HOUR};

static void ledger_begin(void)
{
    assert_int_equal(ledger_open(&ledger, NULL, 1024 * 64), 0);
}

static void ledger_end(void)
{
    ledger_close(ledger);
}

static void ledger_offend(const struct ledger_key *k, uint64_t n)
{
    ledger_add_offences(ledger, k, &decay, T0 + n * 1000, n ? 1 : 0.5);
}

static bool ledger_has(const struct ledger_key *k, uint64_t n)
{
    struct ledger_entry e;
    return ledger_get(ledger, k, &decay, T0 + n * 1000, &e);
}

static void client_put(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    struct ledger_key k = ledger_key_client(ledger, &a);
    ledger_offend(&k, n);
}

static bool client_has(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    struct ledger_key k = ledger_key_client(ledger, &a);
    return ledger_has(&k, n);
}

static void account_put(uint64_t x, uint64_t n)
{
    struct ledger_key k = ledger_key_account(ledger, text(x, "@example.test"));
    ledger_offend(&k, n);
}

static bool account_has(uint64_t x, uint64_t n)
{
    struct ledger_key k = ledger_key_account(ledger, text(x, "@example.test"));
    return ledger_has(&k, n);
}

/* Messages that were deferred, by the recipient's hash. */
static struct retries *retries;
enum { RETRIES_SETS = 64, RETRIES_WAYS = 16 };

static void retries_begin(void)
{
    assert_int_equal(retries_open(&retries, NULL, (size_t)RETRIES_SETS * RETRIES_WAYS * 4), 0);
}

static void retries_end(void)
{
    retries_close(retries);
}

static uint64_t retries_now(uint64_t n)
{
    return T0 + n * RETRIES_STEP_MS;
}

static void retries_put(uint64_t x, uint64_t n)
{
    retries_deferred(retries, retries_message(retries, x, 5), 0, retries_now(n));
}

static bool retries_has(uint64_t x, uint64_t n)
{
    return retries_is_due(retries, retries_message(retries, x, 5), 0, retries_now(n));
}

/* What would have waited. */
static struct observed *observed;

static void observed_begin(void)
{
    assert_int_equal(observed_open(&observed, NULL), 0);
}

static void observed_end(void)
{
    observed_close(observed);
}

static void observed_put(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    for (int i = 0; i < (n ? 2 : 1); i++)
        observed_typo(observed, &a, SPAN("example.test"), 1, T0 + n);
}

static bool observed_has(uint64_t x, uint64_t n)
{
    struct addr client = address(x);
    struct observed_line line;
    uint32_t at = 0;

    client = addr_client(&client);
    while (observed_next(observed, &at, 0, T0 + n, &line))
        if (addr_equal(&line.client, &client))
            return true;
    return false;
}

/* Answers of directories. */
static struct cache *cache;
static const struct cache_source source = {.id = 7, .good_ms = HOUR, .bad_ms = HOUR};

static void cache_begin(void)
{
    assert_int_equal(cache_open(&cache, NULL, 1024), 0);
}

static void cache_end(void)
{
    cache_close(cache);
}

static void cache_enter(uint64_t x, uint64_t n)
{
    cache_put(cache, &source, text(x, "@example.test"), T0 + n, ANSWER_NO);
}

static bool cache_has(uint64_t x, uint64_t n)
{
    enum answer_result r;
    return cache_find(cache, &source, text(x, "@example.test"), T0 + n, &r) != CACHE_NONE;
}

/* Names and lists of clients in the DNS. */
static struct names *names;
static struct known *known;

static void names_begin(void)
{
    names = names_open(1024);
}

static void names_end(void)
{
    names_close(names);
}

static void names_enter(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    names_put(names, &a, n, 80000, &(struct client_names){0});
}

static bool names_has(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    struct client_names found;
    return names_find(names, &a, n, &found);
}

static void known_begin(void)
{
    known = known_open(1024);
}

static void known_end(void)
{
    known_close(known);
}

static void known_enter(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    known_put(known, &a, n, 80000, &(struct dns_finding){0});
}

static bool known_has(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    struct dns_finding found;
    bool fresh;
    return known_find(known, &a, n, &found, &fresh);
}

/* Spellings of accounts. */
static struct accounts *accounts;

static void accounts_begin(void)
{
    accounts = accounts_open();
}

static void accounts_end(void)
{
    accounts_close(accounts);
}

static void accounts_enter(uint64_t x, uint64_t n)
{
    accounts_learn(accounts, text(x, ""), SPAN("somebody"));
}

static bool accounts_has(uint64_t x, uint64_t n)
{
    return span_equal(accounts_name(accounts, text(x, "")), SPAN("somebody"));
}

/* Rations of log lines. Here the victim comes last, and has a limit of its own if it has a place. */
static struct rations *rations;

static void rations_begin(void)
{
    rations = rations_open(1);
}

static void rations_end(void)
{
    rations_close(rations);
}

static void rations_enter(uint64_t x, uint64_t n)
{
    struct addr a = address(x);

    if (n == 0)
        return;
    ration_take(rations, &a, false, 5);
    ration_count(rations, &a, RATION_SESSION, 1, 1);
}

static bool rations_has(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    int written = 0;

    for (int i = 0; i < 2 * RATION_BURST; i++)
        written += ration_take(rations, &a, false, 5);
    return written <= RATION_BURST;
}

/* Counters of what clients use: the victim has its own one. */
static struct budget *budget;

static void budget_begin(void)
{
    struct sipkey key;

    assert_int_equal(getrandom(&key, sizeof key, 0), sizeof key);
    budget = budget_open(&key);
}

static void budget_end(void)
{
    budget_close(budget);
}

static void budget_enter(uint64_t x, uint64_t n)
{
    struct addr a = address(x);

    (void)budget_place(budget, &a); /* with a hash for the client after one for its network */
    if (n)
        budget_count(budget, BUDGET_CONNECTIONS, &a, 1);
}

static bool budget_has(uint64_t x, uint64_t n)
{
    struct addr a = address(x);
    return budget_of(budget, BUDGET_CONNECTIONS, &a) == 0;
}

static const struct table tables[] = {
    {"ledger, clients", 1024, 128, ledger_begin, client_put, client_has, ledger_end, by_ledger},
    {"ledger, accounts", 1024, 128, ledger_begin, account_put, account_has, ledger_end, by_ledger},
    {"retries", 1024, RETRIES_SETS, retries_begin, retries_put, retries_has, retries_end, by_top},
    {"observed", OBSERVED_LINES, OBSERVED_LINES / 8, observed_begin, observed_put, observed_has,
     observed_end, by_rest_above},
    {"directory cache", 1024, 128, cache_begin, cache_enter, cache_has, cache_end, by_rest_above},
    {"dns names", 1024, 256, names_begin, names_enter, names_has, names_end, by_rest},
    {"dns lists", 1024, 256, known_begin, known_enter, known_has, known_end, by_rest},
    {"accounts", 4096, 1024, accounts_begin, accounts_enter, accounts_has, accounts_end, by_rest},
    {"log rations", 4096, 1024, rations_begin, rations_enter, rations_has, rations_end, by_rest},
    {"budgets", BUDGET_PLACES, BUDGET_PLACES, budget_begin, budget_enter, budget_has, budget_end,
     by_rest},
};
enum { TABLES = sizeof tables / sizeof tables[0] };

/* ---- what the attacker chooses ---- */

enum way { RANDOM, SEQUENTIAL, ALIGNED, FEW_BITS, OTHER_KEY, WAYS_TO_CHOOSE };
static const char *const way_name[] = {"random", "sequential", "aligned", "few bits differ",
                                       "collide under a known key"};

/* The key that the attacker knows; those of the tables that it attacks are others. */
enum { KNOWN_KEY = 1000000, COLLIDING = 64 };

static uint64_t chosen[WAYS_TO_CHOOSE][MOST];

static uint64_t some(uint64_t n)
{
    return (VICTIM & ~UINT64_C(0xffffffff)) | (mixed(n + 77) & UINT32_MAX);
}

/* All that differ from the victim in one bit, then in two, then in three. */
static void choose_few_bits(uint64_t out[MOST])
{
    unsigned n = 0;

    for (int a = 0; a < 64 && n < MOST; a++)
        out[n++] = VICTIM ^ UINT64_C(1) << a;
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < a && n < MOST; b++)
            out[n++] = VICTIM ^ UINT64_C(1) << a ^ UINT64_C(1) << b;
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < a; b++)
            for (int c = 0; c < b && n < MOST; c++)
                out[n++] = VICTIM ^ UINT64_C(1) << a ^ UINT64_C(1) << b ^ UINT64_C(1) << c;
}

static uint64_t set_under_known_key(const struct table *t, uint64_t x, uint64_t n)
{
    hashed = false;
    t->put(x, n);
    assert_true(hashed);
    return t->set(first_hash, t->sets);
}

/* Collisions that the attacker has computed with a key of its own, and then any. */
static void choose_colliding(const struct table *t, uint64_t out[MOST])
{
    unsigned n = 0;

    key_number = KNOWN_KEY;
    t->open();
    uint64_t set = set_under_known_key(t, VICTIM, 1);
    for (uint64_t i = 0; n < COLLIDING; i++)
        if (set_under_known_key(t, some(i), 1) == set && some(i) != VICTIM)
            out[n++] = some(i);
    t->close();
    for (uint64_t i = 0; n < MOST; i++)
        out[n++] = some((UINT64_C(1) << 40) + i);
}

static void choose(const struct table *t)
{
    for (uint64_t i = 0; i < MOST; i++) {
        chosen[RANDOM][i] = some((UINT64_C(1) << 50) + i);
        chosen[SEQUENTIAL][i] = VICTIM + 1 + i;
        chosen[ALIGNED][i] = (VICTIM & ~UINT64_C(0xffffffff)) | (i + 1) << 19;
    }
    choose_few_bits(chosen[FEW_BITS]);
    choose_colliding(t, chosen[OTHER_KEY]);
}

static bool is_gone(const struct table *t, enum way way, uint64_t key)
{
    key_number = key;
    t->open();
    t->put(VICTIM, 0);
    for (uint32_t i = 0; i < t->places; i++)
        t->put(chosen[way][i], i + 1);
    bool gone = !t->has(VICTIM, t->places);
    t->close();
    return gone;
}

/* Under how many of the keys the victim is gone. */
static unsigned successes(const struct table *t, enum way way, bool key_is_known)
{
    unsigned n = 0;

    for (uint64_t key = 1; key <= KEYS; key++)
        n += is_gone(t, way, key_is_known ? KNOWN_KEY : key);
    return n;
}

/* What chance allows beside `by_chance`: four standard deviations of the difference of two numbers
 * of successes, which is at most sqrt(KEYS / 2). */
static unsigned most(unsigned by_chance)
{
    return by_chance + 4 * 8;
}
_Static_assert(KEYS == 2 * 8 * 8, "8 is the square root of KEYS / 2");

/* ---- tests ---- */

static void test_no_choice_of_names_does_better_than_chance(void **state)
{
    weak = false;
    for (const struct table *t = tables; t < tables + TABLES; t++) {
        choose(t);
        unsigned by_chance = successes(t, RANDOM, false);
        printf("%-18s of %d victims gone: %u", t->name, KEYS, by_chance);
        /* else more or fewer could not be seen */
        assert_in_range(by_chance, KEYS / 5, KEYS * 2 / 3);
        for (enum way way = SEQUENTIAL; way < WAYS_TO_CHOOSE; way++) {
            unsigned n = successes(t, way, false);
            printf(", %u %s", n, way_name[way]);
            if (n > most(by_chance))
                fail_msg("%s: %s", t->name, way_name[way]);
        }
        printf("\n");
    }
}

static void test_with_a_known_key_each_victim_is_gone(void **state)
{
    weak = false;
    for (const struct table *t = tables; t < tables + TABLES; t++) {
        choose(t);
        assert_true(successes(t, RANDOM, false) < KEYS);
        assert_int_equal(successes(t, OTHER_KEY, true), KEYS);
    }
}

static void test_with_a_weak_hash_the_comparison_fails(void **state)
{
    for (const struct table *t = tables; t < tables + TABLES; t++) {
        weak = false;
        choose(t);
        unsigned by_chance = successes(t, RANDOM, false);
        weak = true;
        choose(t);
        unsigned aimed = successes(t, OTHER_KEY, false);
        printf("%-18s with a weak hash: %u\n", t->name, aimed);
        assert_true(aimed > most(by_chance));
    }
    weak = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_choice_of_names_does_better_than_chance),
        cmocka_unit_test(test_with_a_known_key_each_victim_is_gone),
        cmocka_unit_test(test_with_a_weak_hash_the_comparison_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
