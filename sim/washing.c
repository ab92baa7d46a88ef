/* Plays washers and keepers against the tarpit (washing.h). Bots share nothing except the ledger,
 * and each is in a network of its own, so the days of the bots are played one after another. */
#include "washing.h"

#include <stdio.h>
#include <string.h>

#include "before_mail.h"
#include "tarpit/ledger_table.h"
#include "tarpit/retries.h"
#include "tarpit/tarpit.h"

#define BEGIN       UINT64_C(1800000000000)
#define LEDGER_SIZE ((uint64_t)1 << 20)
enum { HOUR_MS = 3600 * 1000, DAY_MS = 24 * HOUR_MS, RTT_MS = 50 };

struct bot {
    uint64_t random;
    bool listed[WASHING_LIST], dead[WASHING_LIST];
    struct tarpit_who who;
    uint32_t number;
};

struct play {
    const struct washing *of;
    struct tarpit tarpit;
    struct bot bot[WASHING_BOTS];
    struct washing_result *out;
};

static double chance(struct bot *b)
{
    b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(b->random >> 11) * 0x1p-53;
}

static void make_bot(struct play *p, uint32_t number, uint64_t seed)
{
    struct bot *b = &p->bot[number];
    struct addr from = {.family = ADDR_IP4, .octets = {10, 0, (uint8_t)number, 1}};

    *b = (struct bot){.random = seed ^ (number + 1) * UINT64_C(0x9e3779b97f4a7c15),
                      .number = number};
    chance(b);
    b->who = tarpit_who(&p->tarpit, &from, false);
    for (int i = 0; i < WASHING_LIST; i++) {
        b->listed[i] = true;
        b->dead[i] = chance(b) < p->of->dead;
    }
}

/* Waits for a reply; false: gave up. */
static bool waits(struct play *p, struct bot *b, int day, uint64_t *now,
                  const struct tarpit_hold *hold)
{
    uint64_t bears = (uint64_t)(p->of->bears_s * 1000);
    bool heard = hold->ms <= bears;
    uint64_t ms = heard ? hold->ms : bears;

    p->out->held_s[day] += (double)ms / 1000;
    if (!heard)
        tarpit_gave_up(&p->tarpit, &b->who, ms, *now + ms);
    *now += ms + RTT_MS;
    return heard;
}

static uint64_t mailbox_of(const struct play *p, const struct bot *b, int address)
{
    char name[24];
    int n = snprintf(name, sizeof name, "p%u.%d", (unsigned)b->number, address);

    return tarpit_mailbox(&p->tarpit, (struct span){name, (size_t)n});
}

static void deliver(struct play *p, struct bot *b, int address, uint64_t now)
{
    uint64_t mailbox = mailbox_of(p, b, address);

    tarpit_good(&p->tarpit, &b->who, &mailbox, 1, now);
    p->out->spam++;
}

/* A connection for one message. */
static void send(struct play *p, struct bot *b, int day, int address, uint64_t *now)
{
    struct tarpit *t = &p->tarpit;
    char domain[24];
    int n = snprintf(domain, sizeof domain, "s%u.example", (unsigned)b->number);
    struct tarpit_hold hold;

    p->out->connections[day]++;
    before_mail(&b->who);
    hold = tarpit_wait(t, &b->who, *now);
    if (!waits(p, b, day, now, &hold))
        return;
    tarpit_sender(t, &b->who, (struct span){domain, (size_t)n});
    hold = tarpit_wait(t, &b->who, *now);
    if (!waits(p, b, day, now, &hold))
        return;
    struct tarpit_permit permit = tarpit_ask_recipient(t, &b->who, mailbox_of(p, b, address), *now);
    hold = permit.masked
               ? permit.hold
               : tarpit_verdict(t, &b->who, (struct span){0}, &permit,
                                b->dead[address] ? OFFENCE_RECIPIENT : OFFENCE_NONE, *now);
    if (!waits(p, b, day, now, &hold) || hold.masked)
        return;
    if (!b->dead[address]) {
        deliver(p, b, address, *now);
    } else {
        p->out->told++;
        b->listed[address] = !p->of->drops;
    }
}

bool washing_run(const struct washing *of, const struct tarpit_rules *rules, uint64_t seed,
                 struct washing_result *out)
{
    struct play p = {.of = of, .tarpit = {.rules = *rules}, .out = out};

    *out = (struct washing_result){0};
    if (ledger_open(&p.tarpit.ledger, NULL, LEDGER_SIZE) < 0)
        return false;
    if (retries_open(&p.tarpit.retries, NULL, RETRIES_SIZE) < 0) {
        ledger_close(p.tarpit.ledger);
        return false;
    }
    p.tarpit.ledger->file.key = (struct sipkey){seed, 0}; /* the same each time */
    retries_restart(p.tarpit.retries, seed);
    for (uint32_t i = 0; i < WASHING_BOTS; i++)
        make_bot(&p, i, seed);
    for (int day = 0; day < WASHING_DAYS; day++)
        for (uint32_t i = 0; i < WASHING_BOTS; i++) {
            struct bot *b = &p.bot[i];
            uint64_t begin = BEGIN + (uint64_t)day * DAY_MS,
                     now = begin + (uint64_t)(chance(b) * HOUR_MS);
            for (int a = 0; a < WASHING_LIST && now < begin + DAY_MS - HOUR_MS; a++)
                if (b->listed[a])
                    send(&p, b, day, a, &now);
        }
    for (uint32_t i = 0; i < WASHING_BOTS; i++)
        for (int a = 0; a < WASHING_LIST; a++)
            out->left += p.bot[i].listed[a] && p.bot[i].dead[a];
    ledger_close(p.tarpit.ledger);
    retries_close(p.tarpit.retries);
    return true;
}
