/* Mailboxes that hang; see jams.h. Runs in the store, in its threads. */
#include "store/jams.h"

#include <pthread.h>
#include <string.h>

#include "base/container.h"

/* A place has the hash of one mailbox or domain; another one with the same place takes it over. */
struct place {
    uint64_t hash;
    uint64_t well_ms;  /* when it last took a message in good time */
    uint64_t stuck_ms; /* a mailbox: when it last hung; a domain: as of all below */
};

enum { BOXES = 4096, DOMAINS = 1024 };

static struct {
    pthread_mutex_t lock;
    struct ring calls; /* the oldest first */
    struct place box[BOXES], domain[DOMAINS];
    /* of all: when the last of many domains that hang began to; 0: they are well */
    uint64_t stuck_ms;
} jams = {.lock = PTHREAD_MUTEX_INITIALIZER, .calls = {&jams.calls, &jams.calls}};

static struct place *place_of(struct place *places, size_t count, uint64_t hash)
{
    struct place *p = &places[hash / 2 % count];
    if (p->hash != hash)
        *p = (struct place){.hash = hash};
    return p;
}

static struct place *box_place(uint64_t hash)
{
    return place_of(jams.box, BOXES, hash);
}

static struct place *domain_place(uint64_t hash)
{
    return place_of(jams.domain, DOMAINS, hash);
}

static struct jam *jam_of(struct ring *link)
{
    return container_of(link, struct jam, link);
}

static bool is_stuck(const struct jam *j, uint64_t now)
{
    return now >= j->since_ms + JAM_MS;
}

/* What is under way. */
struct under_way {
    unsigned box;                             /* calls on the mailbox */
    uint64_t box_since_ms;                    /* the oldest of them */
    unsigned domain;                          /* mailboxes of the domain that hang */
    unsigned domains;                         /* domains in which some hang */
    uint64_t domain_last_ms, domains_last_ms; /* when the last of these began to */
    unsigned domain_tries, tries;
};

/* Whether it is the oldest call on its mailbox, or on its domain. */
static bool is_first(const struct jam *j, bool of_domain)
{
    for (struct ring *at = jams.calls.next; at != &j->link; at = at->next)
        if (of_domain ? jam_of(at)->domain == j->domain : jam_of(at)->box == j->box)
            return false;
    return true;
}

/* Calls that do not hang are few and are not compared with each other. */
static struct under_way count_calls(const struct jam *of, uint64_t now)
{
    struct under_way n = {0};
    for (struct ring *at = jams.calls.next; at != &jams.calls; at = at->next) {
        const struct jam *j = jam_of(at);
        bool stuck = is_stuck(j, now);
        if (j->box == of->box && n.box++ == 0)
            n.box_since_ms = j->since_ms;
        if (stuck && j->domain == of->domain && is_first(j, false)) {
            n.domain++;
            n.domain_last_ms = j->since_ms;
        }
        if (stuck && is_first(j, true)) {
            n.domains++;
            n.domains_last_ms = j->since_ms;
        }
        n.domain_tries += !stuck && j->trial && j->domain == of->domain;
        n.tries += !stuck && j->trial;
    }
    return n;
}

static bool box_hangs(const struct under_way *n, uint64_t now)
{
    return n->box && (now >= n->box_since_ms + JAM_MS ||
                      (n->box >= JAM_CROWD && now >= n->box_since_ms + JAM_CROWD_MS));
}

static bool is_proven(const struct place *box, uint64_t stuck_ms)
{
    return stuck_ms == 0 || box->well_ms > stuck_ms;
}

/* Whether the mailbox may get one more call. *trial: it must show first that it is well. */
static bool may_enter(const struct jam *j, uint64_t now, bool *trial)
{
    struct under_way n = count_calls(j, now);
    const struct place *box = box_place(j->box);
    struct place *domain = domain_place(j->domain);
    if (n.domain >= JAM_DOMAIN)
        domain->stuck_ms = n.domain_last_ms;
    if (n.domains >= JAM_ALL)
        jams.stuck_ms = n.domains_last_ms;
    bool of_domain = !is_proven(box, domain->stuck_ms), of_all = !is_proven(box, jams.stuck_ms);
    *trial = of_domain || of_all;
    if (box_hangs(&n, now) || (n.box && !is_proven(box, box->stuck_ms)))
        return false;
    if (of_domain &&
        (n.domain + n.domain_tries >= JAM_DOMAIN_MOST || n.domain_tries >= JAM_DOMAIN_TRIES))
        return false;
    return !of_all || n.tries < JAM_ALL_TRIES;
}

static void identify(struct jam *j, const struct box_path *box)
{
    j->box = box_hash(span_of(box->text));
    j->domain = box_hash((struct span){box->text, strcspn(box->text, "/")});
}

bool jam_enter(struct jam *j, const struct box_path *box, bool must, uint64_t now_ms)
{
    identify(j, box);
    j->since_ms = now_ms;
    pthread_mutex_lock(&jams.lock);
    bool may = may_enter(j, now_ms, &j->trial) || must;
    if (may)
        ring_add(&jams.calls, &j->link);
    pthread_mutex_unlock(&jams.lock);
    return may;
}

/* The domain, or all, are well again with one that is, unless too many still hang. */
static void prove(const struct jam *j, uint64_t now)
{
    struct under_way n = count_calls(j, now);
    box_place(j->box)->well_ms = now;
    if (n.domain < JAM_DOMAIN)
        domain_place(j->domain)->stuck_ms = 0;
    if (n.domains < JAM_ALL)
        jams.stuck_ms = 0;
}

void jam_leave(struct jam *j, bool stored, uint64_t now_ms)
{
    pthread_mutex_lock(&jams.lock);
    ring_remove(&j->link);
    if (is_stuck(j, now_ms))
        box_place(j->box)->stuck_ms = now_ms;
    else if (stored)
        prove(j, now_ms);
    pthread_mutex_unlock(&jams.lock);
}

bool jam_is_doubtful(const struct box_path *box, uint64_t now_ms)
{
    struct jam j;
    identify(&j, box);
    pthread_mutex_lock(&jams.lock);
    struct under_way n = count_calls(&j, now_ms);
    const struct place *place = box_place(j.box);
    bool doubtful =
        (n.box && now_ms >= n.box_since_ms + JAM_CROWD_MS) || !is_proven(place, place->stuck_ms);
    pthread_mutex_unlock(&jams.lock);
    return doubtful;
}
