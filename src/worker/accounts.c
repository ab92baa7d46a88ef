/* Names of accounts: what a client types, and what the verifier makes of it.
 *
 * A verifier may take many spellings for one account: Dovecot with auth_username_format = %Ln drops
 * the domain, an SQL query resolves aliases or "+detail". R14 books on the verifier's own name,
 * which is in its answer. But a permit is needed before the answer. So each worker remembers the
 * names that verifiers gave:
 *
 *   - spelling -> name, where they differ;
 *   - shorter spelling -> name, where the verifier has dropped the domain or the detail: the next
 *     spelling with another domain is then known before anyone asks about it.
 *
 * A name that a verifier keeps as typed is stored only if the verifier changes other names (it then
 * corrects what a shorter spelling would predict). So a site with full addresses stores nothing,
 * and "info@a.example" never counts as "info@b.example".
 *
 * The table has a fixed size. If an entry was evicted, or lost with a reload, one query asks for
 * the permit of another name; its verdict is still judged and booked by the verifier's name
 * (login.c). */
#include "worker/accounts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { SETS = 1024, WAYS = 4, NAME_MAX_LEN = 119, SHORTER_MAX = 3 };

struct account {
    uint64_t hash; /* of the spelling; 0: none */
    uint8_t len;
    char name[NAME_MAX_LEN];
};

struct accounts {
    struct sipkey key;
    bool changed;                  /* a verifier changes some names */
    bool kept;                     /* a verifier has kept a domain */
    struct account at[SETS][WAYS]; /* the last learnt first */
};

struct accounts *accounts_open(void)
{
    struct accounts *a = calloc(1, sizeof *a);

    if (a && getrandom(&a->key, sizeof a->key, 0) != sizeof a->key) {
        free(a);
        a = NULL;
    }
    return a;
}

void accounts_close(struct accounts *a)
{
    free(a);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The hash of both texts one after the other, without case; never 0. */
static uint64_t hash_of(const struct accounts *a, struct span first, struct span second)
{
    struct siphash h;

    siphash_start(&h, &a->key);
    for (size_t i = 0; i < first.len + second.len; i++) {
        char c = lower(i < first.len ? first.at[i] : second.at[i - first.len]);
        siphash_add(&h, &c, 1);
    }
    uint64_t hash = siphash_end(&h);
    return hash ? hash : 1;
}

/* A spelling in two parts, without the dropped part. */
struct spelling {
    struct span local, domain; /* the domain with its '@' */
};

/* The shorter spellings of a name: without its domain, without its detail, without both. */
static int shorter(struct span typed, struct spelling out[SHORTER_MAX])
{
    size_t at = 0, plain = 0;
    int n = 0;

    while (at < typed.len && typed.at[at] != '@' && typed.at[at] != '%')
        at++;
    struct span local = span_first(typed, at), domain = span_after(typed, at);
    while (plain < local.len && local.at[plain] != '+')
        plain++;
    if (local.len && domain.len)
        out[n++] = (struct spelling){local, {0}};
    if (plain && plain < local.len) {
        if (domain.len)
            out[n++] = (struct spelling){span_first(local, plain), domain};
        out[n++] = (struct spelling){span_first(local, plain), {0}};
    }
    return n;
}

static bool is(const struct spelling *s, struct span name)
{
    return name.len == s->local.len + s->domain.len &&
           span_equal_fold(span_first(name, s->local.len), s->local) &&
           (!s->domain.len || span_equal_fold(span_after(name, s->local.len), s->domain));
}

static const struct account *find(const struct accounts *a, uint64_t hash)
{
    const struct account *set = a->at[hash % SETS];

    for (int i = 0; i < WAYS; i++)
        if (set[i].hash == hash)
            return &set[i];
    return NULL;
}

static void keep(struct accounts *a, uint64_t hash, struct span name)
{
    struct account *set = a->at[hash % SETS];
    int i = 0;

    while (i < WAYS - 1 && set[i].hash != hash)
        i++;
    memmove(&set[1], &set[0], (size_t)i * sizeof set[0]);
    set[0] = (struct account){.hash = hash, .len = (uint8_t)name.len};
    memcpy(set[0].name, name.at, name.len);
}

void accounts_learn(struct accounts *a, struct span typed, struct span name)
{
    struct spelling s[SHORTER_MAX];
    bool same = span_equal_fold(typed, name);

    if (!name.len || name.len > NAME_MAX_LEN)
        return;
    if (same && memchr(typed.at, '@', typed.len))
        a->kept = true;
    if (!same)
        a->changed = true;
    if (a->changed && !span_equal_fold(accounts_name(a, typed), name))
        keep(a, hash_of(a, typed, (struct span){0}), name);
    for (int i = 0, n = same ? 0 : shorter(typed, s); i < n; i++)
        if (is(&s[i], name))
            keep(a, hash_of(a, s[i].local, s[i].domain), name);
}

struct span accounts_name(const struct accounts *a, struct span typed)
{
    struct spelling s[SHORTER_MAX];
    const struct account *found = find(a, hash_of(a, typed, (struct span){0}));

    for (int i = 0, n = a->changed ? shorter(typed, s) : 0; !found && i < n; i++)
        found = find(a, hash_of(a, s[i].local, s[i].domain));
    return found ? (struct span){found->name, found->len} : typed;
}

/* Nothing is known of the spelling: it shares a line with all that have the same shortest spelling,
 * unless the site's names are known to be full addresses. */
uint64_t accounts_line(const struct accounts *a, struct span typed)
{
    struct spelling s[SHORTER_MAX];
    struct span name = accounts_name(a, typed);
    int n = shorter(typed, s);

    if (name.at != typed.at || n == 0 || (a->kept && !a->changed))
        return hash_of(a, name, (struct span){0});
    return hash_of(a, s[n - 1].local, s[n - 1].domain);
}
