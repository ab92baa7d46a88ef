/* Queries test entries and judges the answers; see trial.h. */
#include "dns/trial.h"

#include <ares.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/log.h"
#include "dns/answer.h"
#include "dns/lookup.h"
#include "dns/resolver.h"

enum { RECORDS_MAX = 64, LISTED = 0, NOT_LISTED = 1, NOT_LISTED_6 = 3 };

/* One list's round. */
struct round {
    enum trial_answer answer[TRIAL_ENTRIES];
    unsigned open;
};

struct entry {
    struct trial *of;
    size_t list;
    unsigned nth;
};

struct trial {
    struct trial_params params;
    struct alarm again;
    unsigned open; /* lists, in this round */
    bool tried, closing;
    struct one {
        enum list_state state;
        struct round round;
        struct entry entry[TRIAL_ENTRIES];
    } list[];
};

const char *list_state_name(enum list_state s)
{
    static const char *const name[LIST_STATES] = {
        [LIST_UNTRIED] = "not tried yet",         [LIST_SOUND] = "sound",
        [LIST_WORLD] = "lists everybody",         [LIST_DEAD] = "has no test entry",
        [LIST_REFUSES] = "refuses this resolver",
    };
    return name[s];
}

enum list_state trial_judge(const enum trial_answer a[TRIAL_ENTRIES], enum list_state before)
{
    if (a[NOT_LISTED] == TRIAL_YES || a[NOT_LISTED_6] == TRIAL_YES)
        return LIST_WORLD;
    if (a[LISTED] == TRIAL_REFUSED || a[NOT_LISTED] == TRIAL_REFUSED)
        return LIST_REFUSES;
    if (a[LISTED] == TRIAL_NO)
        return LIST_DEAD;
    if (a[LISTED] == TRIAL_YES && a[NOT_LISTED] == TRIAL_NO)
        return LIST_SOUND;
    return before; /* no answer: the state stays */
}

static void say(const char *zone, enum list_state before, enum list_state now)
{
    static const char counts[] = "ignoring it until it does";

    switch (now) {
    case LIST_WORLD:
        log_warn("DNS: %s lists 127.0.0.1 and so every address; ignoring it until it does not",
                 zone);
        break;
    case LIST_DEAD:
        log_warn("DNS: %s does not list its test entry 127.0.0.2 (RFC 5782); %s. For your own list "
                 "without one set `test = false`",
                 zone, counts);
        break;
    case LIST_REFUSES: log_warn("DNS: %s does not serve this resolver; %s", zone, counts); break;
    case LIST_SOUND:
        if (!list_counts(before))
            log_warn("DNS: %s passes its test again; using it", zone);
        break;
    default: break;
    }
}

static void round_over(struct trial *t, size_t i)
{
    struct one *l = &t->list[i];
    enum list_state before = l->state;

    l->state = trial_judge(l->round.answer, before);
    if (l->state != before) {
        say(t->params.list[i].zone, before, l->state);
        t->params.changed(t->params.arg, i, l->state);
    }
    if (--t->open || t->tried)
        return;
    t->tried = true;
    t->params.tried(t->params.arg);
}

static enum trial_answer judge(int status, const unsigned char *answer, size_t len)
{
    uint8_t a[RECORDS_MAX][4];
    size_t n = 0;

    if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
        return TRIAL_NO;
    if (status != ARES_SUCCESS)
        return TRIAL_NOTHING;
    n = dns_addresses(answer, len, sizeof a[0], a[0], RECORDS_MAX);
    if (n == 0)
        return TRIAL_NO;
    for (size_t i = 0; i < n; i++)
        if (listing_judge(&(struct listing_patterns){0}, a[i]) == LISTING_BLOCKED)
            return TRIAL_REFUSED;
    return TRIAL_YES;
}

static void answered(void *arg, int status, const unsigned char *answer, size_t len)
{
    const struct entry *e = arg;
    struct trial *t = e->of;
    struct round *r = &t->list[e->list].round;

    if (t->closing)
        return;
    r->answer[e->nth] = judge(status, answer, len);
    if (--r->open == 0)
        round_over(t, e->list);
}

static void ask(struct trial *t, size_t i)
{
    static const struct addr entry[TRIAL_ENTRIES] = {
        {.family = ADDR_IP4, .octets = {127, 0, 0, 2}},
        {.family = ADDR_IP4, .octets = {127, 0, 0, 1}},
        {.family = ADDR_IP6, .octets = {[10] = 0xff, 0xff, 127, 0, 0, 2}},
        {.family = ADDR_IP6, .octets = {[10] = 0xff, 0xff, 127, 0, 0, 1}},
    };
    struct one *l = &t->list[i];
    char name[DNS_NAME_ROOM];

    l->round = (struct round){.open = TRIAL_ENTRIES};
    for (unsigned n = 0; n < TRIAL_ENTRIES; n++) {
        l->entry[n] = (struct entry){t, i, n};
        if (dns_name_reverse(&entry[n], t->params.list[i].zone, name))
            resolver_ask(t->params.resolver, name, DNS_A, answered, &l->entry[n]);
        else
            answered(&l->entry[n], ARES_EBADNAME, NULL, 0);
    }
}

/* Tests all lists; those that fail are tested more often. */
static void begin(struct loop *loop, struct alarm *a)
{
    struct trial *t = container_of(a, struct trial, again);
    uint64_t next = TRIAL_EACH_S;

    t->open++; /* an answer that comes at once is not the last */
    for (size_t i = 0; i < t->params.count; i++)
        if (!t->params.list[i].untested && t->list[i].round.open == 0) {
            t->open++;
            ask(t, i);
        }
    if (--t->open == 0 && !t->tried) {
        t->tried = true;
        t->params.tried(t->params.arg);
    }
    for (size_t i = 0; i < t->params.count; i++)
        if (!t->params.list[i].untested && t->list[i].state != LIST_SOUND)
            next = TRIAL_AGAIN_S;
    loop_alarm(loop, a, loop->now + next * 1000);
}

struct trial *trial_open(const struct trial_params *params)
{
    struct trial *t = calloc(1, sizeof *t + params->count * sizeof t->list[0]);

    if (!t)
        return NULL;
    t->params = *params;
    t->again.due = begin;
    t->tried = true;
    for (size_t i = 0; i < params->count; i++)
        t->tried = t->tried && params->list[i].untested;
    loop_alarm(params->loop, &t->again, params->loop->now);
    return t;
}

void trial_close(struct trial *t)
{
    if (!t)
        return;
    t->closing = true;
    loop_alarm_off(t->params.loop, &t->again);
}

void trial_free(struct trial *t)
{
    free(t);
}

void trial_begin_again(struct trial *t)
{
    begin(t->params.loop, &t->again);
}

bool trial_is_open(const struct trial *t)
{
    return !t->tried;
}

enum list_state trial_state(const struct trial *t, size_t list)
{
    return t->list[list].state;
}
