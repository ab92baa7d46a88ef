/* The simulator's messages: their domains, their mailboxes, and the messages of the days before the
 * simulation. Part of the engine (world_part.h). */
#include <assert.h>
#include <stdio.h>

#include "world_part.h"

/* A domain that sent to so many mailboxes before is a correspondent. */
enum { CORRESPONDENT = 20 };

enum { NAME_ROOM = 40 };

static struct span domain_name(char text[NAME_ROOM], uint32_t number)
{
    int n = snprintf(text, NAME_ROOM, "d%u.example", number);
    return (struct span){text, (size_t)n};
}

/* Any number, by lot: the finaliser of SplitMix64. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t mailbox_of(const struct tarpit *t, const struct sim_group *g, uint64_t letter,
                           uint32_t recipient)
{
    char text[NAME_ROOM];
    uint64_t number = letter * SIM_RECIPIENTS_MAX + recipient;
    if (g->mailboxes > 0)
        number = mix(number) % g->mailboxes;
    int n = snprintf(text, sizeof text, "m%llu@example.org", (unsigned long long)number);
    return tarpit_mailbox(t, (struct span){text, (size_t)n});
}

uint64_t agent_mailbox(const struct world *w, const struct agent *a, uint32_t recipient)
{
    return mailbox_of(&w->tarpit[a->server], a->group, a->letter, recipient);
}

uint64_t name_mailbox(const struct world *w, const struct agent *a, uint32_t name)
{
    char text[NAME_ROOM];
    int n = snprintf(text, sizeof text, "n%u@example.org", name);
    return tarpit_mailbox(&w->tarpit[a->server], (struct span){text, (size_t)n});
}

static uint32_t draw_domain(struct world *w, struct agent *a)
{
    const struct sim_group *g = a->group;
    const struct domains *d = &w->domains[g - w->population->group];
    uint32_t low = 0, high = g->domains;

    if (g->domains == 0)
        return UINT32_MAX - (uint32_t)w->letters; /* made up for this message */
    double chance = agent_chance(a);
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (chance < d->up_to[middle - 1])
            high = middle;
        else
            low = middle;
    }
    return low;
}

static bool has_no_sender(const struct agent *a)
{
    return a->group->role == SIM_CALL_OUT || a->group->role == SIM_BOUNCE;
}

void agent_begin_message(struct world *w, struct agent *a, uint64_t now)
{
    uint32_t n = a->group->recipients;

    assert(n > 0 && n <= SIM_RECIPIENTS_MAX);
    a->letter = w->letters++;
    a->began = now;
    a->own_ms = 0;
    a->tries = 0;
    a->todo = UINT64_MAX >> (SIM_RECIPIENTS_MAX - n);
    a->exists = 0;
    for (uint32_t i = 0; i < n; i++)
        if (agent_chance(a) >= a->group->missing)
            a->exists |= UINT64_C(1) << i;
    if (!has_no_sender(a))
        a->domain = draw_domain(w, a);
}

void agent_says_sender(const struct world *w, struct agent *a)
{
    char text[NAME_ROOM];
    struct span domain = {0};

    if (!has_no_sender(a))
        domain = domain_name(text, a->group->domain_base + a->domain);
    tarpit_sender(&w->tarpit[a->server], &a->who, domain);
}

void agent_delivers(struct world *w, struct agent *a, uint64_t which, uint64_t now)
{
    struct tarpit *t = &w->tarpit[a->server];
    uint64_t mailbox[SIM_RECIPIENTS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < SIM_RECIPIENTS_MAX; i++)
        if (which >> i & 1)
            mailbox[count++] = mailbox_of(t, a->group, a->letter, i);
    ask_earn(w, a, mailbox, count, now);
}

bool agent_is_correspondent(const struct world *w, const struct agent *a)
{
    size_t group = (size_t)(a->group - w->population->group);
    return a->domain < a->group->domains && w->domains[group].sent[a->domain] >= CORRESPONDENT;
}

/* One message to each mailbox. */
void agent_has_history(struct world *w, struct agent *a)
{
    enum { DAY = 24 * SIM_HOUR };
    uint32_t all = a->group->history;
    uint32_t a_day = a->group->a_day > 0 ? a->group->a_day : SIM_HISTORY_A_DAY;
    uint32_t days = (all + a_day - 1) / a_day;

    for (uint32_t i = 0; i < all; i++) {
        uint64_t at =
            SIM_BEGIN - (days - i / a_day) * (uint64_t)DAY + i % a_day * (uint64_t)(DAY / a_day);
        agent_begin_message(w, a, at);
        agent_says_sender(w, a);
        agent_delivers(w, a, 1, at);
        if (a->group->domains > 0)
            w->domains[a->group - w->population->group].sent[a->domain]++;
    }
    before_mail(&a->who);
}
