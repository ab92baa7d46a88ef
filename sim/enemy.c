/* The game between an enemy and one innocent (enemy.h). The innocent's conversations are divided
 * into steps, and the enemy moves between them. */
#include "enemy.h"

#include <stdlib.h>
#include <string.h>

#include "tarpit/ledger_table.h"
#include "tarpit/policy.h"
#include "tarpit/retries.h"
#include "tarpit/tarpit.h"

enum {
    SLOTS = 2048, /* a flood fills it */
    RETRIES_ROOM = 4096,
    RTT_MS = 50,
    LATE_MS = 1000,
    TALKS = 256, /* conversations of the innocent's at once */
    HOUR_MS = 3600000,
    STEPS = 4, /* greeting, EHLO, MAIL, RCPT */
};

#define BEGIN  UINT64_C(1800000000000)
#define GOOD   SPAN("innocent.example")
#define OTHERS SPAN("somebody.example")

struct talk {
    uint64_t at, began, waited;
    struct tarpit_who who;
    uint8_t step, kind;
    uint32_t mailbox;
};

struct enemy {
    struct tarpit tarpit;
    size_t size;
    uint8_t *empty;
    struct talk talk[TALKS];
    uint32_t talks, mailboxes, strangers;
    uint64_t now, last_wait_ends;
    bool ip6;
    struct enemy_result *result;
};

struct enemy *enemy_open(const struct tarpit_rules *rules)
{
    struct enemy *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->tarpit.rules = *rules;
    if (ledger_open(&e->tarpit.ledger, NULL, SLOTS * 64) < 0) {
        free(e);
        return NULL;
    }
    e->tarpit.ledger->file.key = (struct sipkey){3, 4}; /* the same each time */
    e->size = e->tarpit.ledger->file.body_size;
    e->empty = malloc(e->size);
    if (e->empty == NULL || retries_open(&e->tarpit.retries, NULL, RETRIES_ROOM) < 0) {
        enemy_close(e);
        return NULL;
    }
    memcpy(e->empty, e->tarpit.ledger->file.body, e->size);
    return e;
}

void enemy_close(struct enemy *e)
{
    ledger_close(e->tarpit.ledger);
    retries_close(e->tarpit.retries);
    free(e->empty);
    free(e);
}

/* ---- who ---- */

/* Number 0 is the innocent; those from ENEMY_FAR on have a network each, next to its own. */
static struct tarpit_who who_is(const struct enemy *e, uint8_t number)
{
    uint8_t far = number < ENEMY_FAR ? 0 : (uint8_t)(number - ENEMY_FAR + 1);
    struct addr a = {.family = ADDR_IP4, .octets = {198, 51, (uint8_t)(100 + far), number}};

    if (e->ip6)
        a = (struct addr){.family = ADDR_IP6,
                          .octets = {0x20, 0x01, 0x0d, 0xb8, 1, far, 0, number, [15] = 1}};
    return tarpit_who(&e->tarpit, &a, false);
}

static void says_sender(const struct enemy *e, struct tarpit_who *who, uint8_t sender)
{
    struct span domain = sender == SENDER_INNOCENT ? GOOD
                         : sender == SENDER_OTHER  ? OTHERS
                                                   : (struct span){0};
    tarpit_sender(&e->tarpit, who, domain);
}

static uint64_t mailbox(const struct enemy *e, uint32_t number)
{
    char name[32];
    int n = snprintf(name, sizeof name, "m%u@example.org", number);
    return tarpit_mailbox(&e->tarpit, (struct span){name, (size_t)n});
}

/* ---- the innocent ---- */

static void over(struct enemy *e, struct talk *t)
{
    struct enemy_result *r = e->result;

    if (t->kind == ENEMY_MAIL && t->waited > LATE_MS) {
        r->late++;
        r->waits += t->began >= e->last_wait_ends;
        if (t->at > e->last_wait_ends)
            e->last_wait_ends = t->at;
    }
    if (t->kind == ENEMY_MAIL && t->waited > r->worst_ms)
        r->worst_ms = t->waited;
    *t = e->talk[--e->talks];
}

static struct tarpit_hold recipient(struct enemy *e, struct talk *t)
{
    static const enum offence offence[ENEMY_KINDS] = {
        [ENEMY_BOUNCE] = OFFENCE_RECIPIENT, [ENEMY_BOUNCE_TRAP] = OFFENCE_TRAP};
    struct tarpit_permit permit =
        tarpit_ask_recipient(&e->tarpit, &t->who, mailbox(e, t->mailbox), t->at);

    if (permit.masked)
        return permit.hold;
    return tarpit_verdict(&e->tarpit, &t->who, (struct span){0}, &permit, offence[t->kind], t->at);
}

/* One command of a conversation; what was delivered with its last step is booked in the next. */
static void step(struct enemy *e, struct talk *t)
{
    struct tarpit_hold hold;

    if (t->step == STEPS) {
        uint64_t to = mailbox(e, t->mailbox);
        if (t->kind == ENEMY_MAIL || t->kind == ENEMY_BOUNCE_GOOD)
            tarpit_good(&e->tarpit, &t->who, &to, 1, t->at);
        over(e, t);
        return;
    }
    if (t->step == 2)
        says_sender(e, &t->who, t->kind == ENEMY_MAIL ? SENDER_INNOCENT : SENDER_NONE);
    double debt = tarpit_debt(&e->tarpit, &t->who, t->at);
    if (t->kind == ENEMY_MAIL && debt > e->result->debt)
        e->result->debt = debt;
    hold = t->step < STEPS - 1 ? tarpit_wait(&e->tarpit, &t->who, t->at) : recipient(e, t);
    t->waited += hold.ms;
    t->at += hold.ms + RTT_MS;
    t->step++;
    if (hold.masked) {
        e->result->masked += t->kind == ENEMY_MAIL;
        over(e, t);
    }
}

static void begin_talk(struct enemy *e, uint8_t kind)
{
    if (e->talks == TALKS)
        return;
    e->result->messages += kind == ENEMY_MAIL;
    e->talk[e->talks++] = (struct talk){.at = e->now,
                                        .began = e->now,
                                        .who = who_is(e, 0),
                                        .kind = kind,
                                        .mailbox = e->mailboxes++ % 100};
}

/* The innocent's steps until then. */
static void talk_until(struct enemy *e, uint64_t until)
{
    for (;;) {
        struct talk *first = NULL;
        for (uint32_t i = 0; i < e->talks; i++)
            if (first == NULL || e->talk[i].at < first->at)
                first = &e->talk[i];
        if (first == NULL || first->at > until)
            return;
        step(e, first);
    }
}

/* ---- the enemy ---- */

/* The enemy's names come again, as retries do (R26). */
enum { NAMES = 2000 };

static void ask(struct enemy *e, const struct enemy_move *m, const struct tarpit_who *who)
{
    struct span user = m->kind == ENEMY_GUESS ? SPAN("bob") : (struct span){0};
    enum offence bad = m->kind == ENEMY_GUESS   ? OFFENCE_AUTH
                       : m->kind == ENEMY_KNOWN ? OFFENCE_NONE
                       : m->kind == ENEMY_TRAP  ? OFFENCE_TRAP
                                                : OFFENCE_RECIPIENT;
    for (uint32_t i = 0; i < m->many; i++) {
        struct tarpit_permit permit =
            user.len ? tarpit_ask(&e->tarpit, who, user, e->now)
                     : tarpit_ask_recipient(&e->tarpit, who, mailbox(e, NAMES + i % 64), e->now);
        if (!permit.masked)
            tarpit_verdict(&e->tarpit, who, user, &permit, bad, e->now);
    }
}

/* New strangers, to evict the innocent's entries from the ledger. */
static void flood(struct enemy *e, uint32_t many)
{
    for (uint32_t i = 0; i < many * 100; i++) {
        uint32_t n = e->strangers++;
        struct addr a = {.family = ADDR_IP4,
                         .octets = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n}};
        if (e->ip6)
            a = (struct addr){.family = ADDR_IP6,
                              .octets = {0x20, 0x01, 0x0d, 0xb9, 0, (uint8_t)(n >> 16),
                                         (uint8_t)(n >> 8), (uint8_t)n}};
        struct tarpit_who who = tarpit_who(&e->tarpit, &a, false);
        tarpit_offence(&e->tarpit, &who, OFFENCE_SYNTAX, e->now);
    }
}

static void move(struct enemy *e, const struct enemy_move *m)
{
    struct tarpit_who who = who_is(e, m->address);
    uint64_t to;

    if (m->kind <= ENEMY_BOUNCE_GOOD) {
        begin_talk(e, m->kind);
        return;
    }
    says_sender(e, &who, m->sender);
    switch ((enum enemy_kind)m->kind) {
    case ENEMY_ASK:
    case ENEMY_GUESS:
    case ENEMY_KNOWN:
    case ENEMY_TRAP: ask(e, m, &who); break;
    case ENEMY_DELIVER:
        for (uint32_t i = 0; i < m->many; i++) {
            to = mailbox(e, i);
            tarpit_good(&e->tarpit, &who, &to, 1, e->now);
        }
        break;
    case ENEMY_OFFEND:
        for (uint32_t i = 0; i < m->many; i++)
            tarpit_offence(&e->tarpit, &who, (enum offence)m->offence, e->now);
        break;
    case ENEMY_GIVE_UP: tarpit_gave_up(&e->tarpit, &who, m->many * 100u, e->now); break;
    case ENEMY_LISTED: tarpit_listed(&e->tarpit, &who, m->many, e->now); break;
    case ENEMY_FLOOD: flood(e, m->many); break;
    case ENEMY_MAIL:
    case ENEMY_BOUNCE:
    case ENEMY_BOUNCE_TRAP:
    case ENEMY_BOUNCE_GOOD:
    case ENEMY_KINDS: break;
    }
}

void enemy_play(struct enemy *e, const struct enemy_plan *plan, struct enemy_result *out)
{
    *out = (struct enemy_result){0};
    memcpy(e->tarpit.ledger->file.body, e->empty, e->size);
    retries_restart(e->tarpit.retries, 1);
    e->result = out;
    e->ip6 = plan->ip6;
    e->talks = e->mailboxes = e->strangers = 0;
    e->last_wait_ends = 0;
    e->now = BEGIN;
    struct tarpit_who innocent = who_is(e, 0);
    says_sender(e, &innocent, SENDER_INNOCENT);
    for (uint32_t i = 0; plan->credit && i < 30; i++) {
        uint64_t to = mailbox(e, 1000 + i);
        tarpit_good(&e->tarpit, &innocent, &to, 1, BEGIN - 24 * HOUR_MS + i * 1000);
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        e->now += plan->move[i].gap;
        talk_until(e, e->now);
        move(e, &plan->move[i]);
    }
    talk_until(e, UINT64_MAX);
}

const char *enemy_harm(const struct enemy *e, const struct enemy_plan *plan,
                       const struct enemy_result *r)
{
    if (r->masked > 0)
        return "a good message was put off";
    if (plan->credit && r->late > 0)
        return "a message of a client with credit was late";
    if (r->worst_ms > policy_time(&e->tarpit.rules, 1))
        return "a message was later than T(1)";
    if (r->waits > 1)
        return "the innocent had to wait a second time";
    return NULL;
}
