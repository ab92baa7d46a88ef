/* Finds out what a query reveals to the adversary (adversary_part.h). Each query is played twice on
 * a copy of the small ledger: once as if the name exists, once as if it does not, each time with
 * what other connections see. */
#include <string.h>

#include "adversary_part.h"
#include "tarpit/ledger_table.h"
#include "tarpit/policy.h"

void board_copy(struct adversary *a, uint8_t *copy)
{
    memcpy(copy, a->tarpit.ledger->file.body, a->size);
}

void board_put_back(struct adversary *a, const uint8_t *copy)
{
    memcpy(a->tarpit.ledger->file.body, copy, a->size);
}

struct minute *board_minute(struct adversary *a, uint64_t at)
{
    uint64_t m = (at - BEGIN) / MINUTE_MS;
    m = m < MINUTES ? m : MINUTES - 1;
    if (m > a->last_minute)
        a->last_minute = (uint32_t)m;
    return &a->minute[m];
}

void board_holds(struct adversary *a, uint64_t ms)
{
    if (a->now + ms > a->last_reply)
        a->last_reply = a->now + ms;
}

uint64_t board_first_octet(const struct tarpit_hold *h)
{
    return h->drip_at_ms != 0 ? h->drip_at_ms : h->ms;
}

/* After how many ms an adversary that sees the bad reply can tell it from the good one; UINT64_MAX:
 * never. */
static uint64_t told_apart(uint64_t good, bool good_masked, uint64_t bad, bool bad_masked)
{
    uint64_t by_text = good_masked && bad_masked ? UINT64_MAX : bad;

    if (good + SILENCE_MS <= bad)
        return good + SILENCE_MS;
    if (bad + SILENCE_MS <= good)
        return bad;
    return by_text;
}

static void learn(struct adversary *a, uint64_t at, double paid)
{
    struct minute *m = board_minute(a, at);
    m->learnt++;
    m->paid += paid;
}

/* How many verdicts the credit of client and pair pays for: each mailbox earns for both, and an
 * offence costs both (R8, R21). */
static double purse(const struct adversary *a, const struct tarpit_who *who)
{
    const struct tarpit_rules *r = &a->tarpit.rules;
    const struct ledger_key k[2] = {{who->client, who->client_label, LEDGER_CLIENT},
                                    {who->pair, who->network_label, LEDGER_PAIR}};
    struct ledger_decay d = {r->half_life, r->good_half_life};
    double good[2] = {0, 0};

    for (int i = 0; i < (who->pair ? 2 : 1); i++) {
        struct ledger_entry e;
        if (ledger_get(a->tarpit.ledger, &k[i], &d, a->now, &e))
            good[i] = e.good;
    }
    if (r->good_ratio <= 0)
        return 0;
    return (r->correspondents ? policy_credit(good[0], good[1]) : good[0]) / r->good_ratio;
}

/* What other connections see: how long a greeting, MAIL of the same sender, MAIL FROM:<>, and RCPT
 * of a known mailbox wait. This books offences; the caller restores the ledger. */
enum { SIGHTS = 4 };

struct sights {
    uint64_t ms[SIGHTS];
    bool masked;
};

static struct sights look_elsewhere(struct adversary *a, struct tarpit_who who)
{
    uint64_t at = a->now + STEP_MS;
    struct tarpit_who nobody = who;
    struct sights s;

    before_mail(&nobody);
    s.ms[0] = tarpit_greet(&a->tarpit, &nobody, at).ms;
    s.ms[1] = tarpit_wait(&a->tarpit, &who, at).ms;
    tarpit_sender(&a->tarpit, &nobody, (struct span){0});
    s.ms[2] = tarpit_wait(&a->tarpit, &nobody, at).ms;
    struct tarpit_permit permit = tarpit_ask(&a->tarpit, &who, (struct span){0}, at);
    struct tarpit_hold h = permit.hold;
    if (!permit.masked)
        h = tarpit_verdict(&a->tarpit, &who, (struct span){0}, &permit, OFFENCE_NONE, at);
    s.ms[3] = board_first_octet(&h);
    s.masked = h.masked;
    return s;
}

static uint64_t sights_apart(const struct sights *good, const struct sights *bad)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < SIGHTS; i++)
        first = least(first, told_apart(good->ms[i], true, bad->ms[i], true));
    if (good->masked != bad->masked)
        first = least(first, good->ms[3] < bad->ms[3] ? bad->ms[3] : good->ms[3]);
    return first == UINT64_MAX ? first : STEP_MS + first;
}

bool board_decide(struct adversary *a, const struct tarpit_who *who, struct span user,
                  const struct tarpit_permit *permit, enum offence bad_offence)
{
    struct tarpit_hold good, bad;
    struct sights with_good, with_bad;

    board_copy(a, a->before);
    good = tarpit_verdict(&a->tarpit, who, user, permit, OFFENCE_NONE, a->now);
    with_good = look_elsewhere(a, *who);
    board_put_back(a, a->before);
    double paid = purse(a, who);
    bad = tarpit_verdict(&a->tarpit, who, user, permit, bad_offence, a->now);
    paid -= purse(a, who);
    board_copy(a, a->after);
    with_bad = look_elsewhere(a, *who);
    board_put_back(a, a->after);

    uint64_t good_at = board_first_octet(&good), bad_at = board_first_octet(&bad);
    uint64_t after = told_apart(good_at, good.masked, bad_at, bad.masked);
    uint64_t aside = sights_apart(&with_good, &with_bad);
    bool fast = good.ms == 0 && !good.masked && (bad_at >= SILENCE_MS || bad.masked);
    if (aside < after) {
        a->leaked += !fast;
        after = aside;
    }
    board_holds(a, bad.ms);
    if (after < DAY_MS)
        learn(a, a->now + after, paid);
    return !(good.masked && bad.masked);
}
