/* Rations of log lines; see ration.h. A table of fixed size, with four places for each hash of a
 * client. A place has a bucket of tokens and the counts that are not reported yet. A client without
 * a place is counted with all others.
 *
 * The table has the numbers of places. The places themselves are taken one after another, so a
 * hundred clients touch two pages of them, not one page each. */
#include "worker/ration.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/siphash.h"

enum { SETS = 1024, WAYS = 4 };

struct place {
    struct addr client; /* ADDR_NONE: free */
    uint64_t full_ms;   /* when its bucket is full again */
    uint32_t sessions, refused, offences;
    uint64_t held_ms;
};

struct rations {
    struct sipkey key;
    uint16_t number[SETS * WAYS]; /* of a place, from 1 on; 0: none yet. They stay */
    uint32_t numbers;             /* places that have a number */
    struct place place[SETS * WAYS];
    struct ration_sum others; /* clients without a place */
    /* when the bucket of all strangers is full again, in units of 1/RATION_ALL_SECOND ms */
    uint64_t all_full_ms_x;
    uint32_t workers;
    bool owes;
};

struct rations *rations_open(uint32_t workers)
{
    struct rations *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    if (getrandom(&r->key, sizeof r->key, 0) != sizeof r->key) {
        free(r);
        return NULL;
    }
    r->workers = workers ? workers : 1;
    return r;
}

void rations_close(struct rations *r)
{
    free(r);
}

static bool is_idle(const struct place *p, uint64_t now)
{
    return p->client.family == ADDR_NONE ||
           (p->full_ms <= now && !p->sessions && !p->refused && !p->offences);
}

/* Who knows the key can fill the set of a client that is no stranger with a few addresses. Then that
 * client has no limit of its own. */
static uint16_t *set_of(struct rations *r, const struct addr *client)
{
    return r->number + siphash(&r->key, client->octets, sizeof client->octets) % SETS * WAYS;
}

/* The place with this number; a new one if it is 0. */
static struct place *place_of(struct rations *r, uint16_t *number)
{
    static_assert((int)SETS * WAYS <= UINT16_MAX, "a number holds it");

    if (!*number)
        *number = (uint16_t)++r->numbers;
    return &r->place[*number - 1];
}

/* The client's place; with `now` a free one becomes its place. NULL: there is none. */
static struct place *find(struct rations *r, const struct addr *peer, const uint64_t *now)
{
    struct addr client = addr_client(peer);
    uint16_t *set = set_of(r, &client), *idle = NULL;

    for (int i = 0; i < WAYS; i++) {
        struct place *p = set[i] ? place_of(r, &set[i]) : NULL;
        if (p && p->client.family != ADDR_NONE && addr_equal(&p->client, &client))
            return p;
        if (now && !idle && (!p || is_idle(p, *now)))
            idle = &set[i];
    }
    if (!idle)
        return NULL;
    struct place *p = place_of(r, idle);
    *p = (struct place){.client = client};
    return p;
}

/* Takes a token from a bucket of `burst`, which gets one back in `each` units of time. False if it
 * is empty. */
static bool take(uint64_t *full, uint64_t burst, uint64_t each, uint64_t now)
{
    uint64_t from = *full > now ? *full : now;

    if (from + each > now + burst * each)
        return false;
    *full = from + each;
    return true;
}

bool ration_take(struct rations *r, const struct addr *client, bool stranger, uint64_t now_ms)
{
    struct place *p = find(r, client, &now_ms);
    uint64_t of_client = p ? p->full_ms : 0;
    uint64_t burst = RATION_ALL_BURST / r->workers;

    if (p && !take(&p->full_ms, RATION_BURST, RATION_REFILL_MS, now_ms))
        return false;
    if (!stranger)
        return true;
    /* units of 1/RATION_ALL_SECOND ms make a token a whole number of units */
    if (take(&r->all_full_ms_x, burst ? burst : 1, (uint64_t)1000 * r->workers,
             now_ms * RATION_ALL_SECOND))
        return true;
    if (p)
        p->full_ms = of_client;
    return false;
}

static void add(uint32_t *to, uint32_t n)
{
    *to = n > UINT32_MAX - *to ? UINT32_MAX : *to + n;
}

void ration_count(struct rations *r, const struct addr *client, enum ration_kind kind,
                  uint32_t offences, uint64_t held_ms)
{
    struct place *p = find(r, client, NULL);

    r->owes = true;
    if (!p) {
        add(&r->others.clients, kind == RATION_SESSION);
        add(kind == RATION_SESSION ? &r->others.sessions : &r->others.refused, 1);
        add(&r->others.offences, offences);
        r->others.held_ms += held_ms;
        return;
    }
    add(kind == RATION_SESSION ? &p->sessions : &p->refused, 1);
    add(&p->offences, offences);
    p->held_ms += held_ms;
}

bool ration_owes(const struct rations *r)
{
    return r->owes;
}

static uint64_t lines_of(const struct place *p)
{
    return (uint64_t)p->sessions + p->refused;
}

/* The number of lines that a client needs to be among the RATION_TOLD_MAX first; *ties: how many
 * clients with exactly that number are among them. */
static uint64_t least_told(const struct rations *r, int *ties)
{
    uint64_t top[RATION_TOLD_MAX] = {0}; /* sorted, the least first */

    for (const struct place *p = r->place; p < r->place + r->numbers; p++) {
        uint64_t n = lines_of(p);
        int i = 0;
        if (n <= top[0])
            continue;
        for (; i + 1 < RATION_TOLD_MAX && top[i + 1] < n; i++)
            top[i] = top[i + 1];
        top[i] = n;
    }
    *ties = 0;
    while (*ties < RATION_TOLD_MAX && top[*ties] == top[0])
        ++*ties;
    return top[0] ? top[0] : 1;
}

void ration_tell(struct rations *r, void (*tell)(void *arg, const struct ration_sum *sum),
                 void *arg)
{
    int ties;
    uint64_t least = least_told(r, &ties);
    struct ration_sum others = r->others;

    for (struct place *p = r->place; p < r->place + r->numbers; p++) {
        uint64_t n = lines_of(p);
        if (!n)
            continue;
        struct ration_sum sum = {p->client, 1, p->sessions, p->refused, p->offences, p->held_ms};
        p->sessions = p->refused = p->offences = 0;
        p->held_ms = 0;
        if (n > least || (n == least && ties-- > 0)) {
            tell(arg, &sum);
            continue;
        }
        add(&others.clients, 1);
        add(&others.sessions, sum.sessions);
        add(&others.refused, sum.refused);
        add(&others.offences, sum.offences);
        others.held_ms += sum.held_ms;
    }
    others.client = (struct addr){0};
    if (others.sessions || others.refused)
        tell(arg, &others);
    r->others = (struct ration_sum){0};
    r->owes = false;
}
