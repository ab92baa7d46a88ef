/* The reserved places of a set; see ledger_reserve.h.
 *
 * By which worker an entry came, and whether it waits, are 7 bits: of an account's allowance in its
 * flags, of each other entry where an exempt one has the end of its exemption (WORD_SEEN). Such an
 * end is never so small; a value that is larger is what an exemption has left, and says nothing. */
#include "tarpit/ledger_reserve.h"

#include "tarpit/ledger_amount.h"

enum { HOUR_S = 3600, DAY_S = 24 * HOUR_S, WEEK_S = 7 * DAY_S };

/* ---- marks ---- */

enum { WAITS = 1 << 6, SEEN_SHIFT = 32, FLAGS_SHIFT = 48, SETTLED_BITS = 1 };
_Static_assert(LEDGER_MAKERS + 1 == (int)WAITS && WAITS * 2 == (int)LEDGER_MARKS,
               "maker and WAITS are 7 bits");

static bool is_allowance(uint64_t key_word)
{
    return ledger_kind(key_word) == LEDGER_ALLOWANCE;
}

static uint64_t flags_of(const struct ledger_slot *slot)
{
    return atomic_load(&slot->word[WORD_FLAGS]) >> FLAGS_SHIFT & 0xff;
}

static bool is_exempt(const struct ledger_slot *slot, uint64_t key_word)
{
    return ledger_is_common(key_word) && flags_of(slot) & LEDGER_EXEMPT;
}

static unsigned marks_of(const struct ledger_slot *slot, uint64_t key_word)
{
    if (is_allowance(key_word))
        return (unsigned)flags_of(slot) >> SETTLED_BITS;
    uint64_t seen = (atomic_load(&slot->word[WORD_SEEN]) & LEDGER_PAYLOAD) >> SEEN_SHIFT;
    return is_exempt(slot, key_word) || seen >= LEDGER_MARKS ? 0 : (unsigned)seen;
}

static bool waits(const struct ledger_slot *slot, uint64_t key_word)
{
    return marks_of(slot, key_word) & WAITS;
}

/* arg: the marks, and how far to the left they are. */
struct marking {
    uint64_t marks;
    unsigned shift;
};

static bool change_marks(uint64_t old, uint64_t *new, void *arg)
{
    const struct marking *m = arg;
    const uint64_t bits = (uint64_t)(LEDGER_MARKS - 1) << m->shift;

    *new = (old & ~bits) | m->marks << m->shift;
    /* In WORD_SEEN the bits above are of an exemption that somebody makes at this moment. */
    return *new != old && (m->shift != SEEN_SHIFT || old >> m->shift < LEDGER_MARKS);
}

static void mark(struct ledger_slot *slot, uint64_t key_word, unsigned marks)
{
    struct marking m = {marks, SEEN_SHIFT};

    if (is_exempt(slot, key_word))
        return;
    if (is_allowance(key_word))
        m.shift = FLAGS_SHIFT + SETTLED_BITS;
    ledger_change(slot, is_allowance(key_word) ? WORD_FLAGS : WORD_SEEN, key_word, change_marks,
                  &m);
}

/* ---- worth ---- */

static uint64_t age_s(const struct ledger_slot *slot, uint64_t now)
{
    uint64_t seen_s = atomic_load(&slot->word[WORD_SEEN]) & UINT32_MAX;
    return now / 1000 > seen_s ? now / 1000 - seen_s : 0;
}

static double good_of(const struct ledger_slot *slot)
{
    return ledger_amount_raw(atomic_load(&slot->word[WORD_GOOD]));
}

/* Allowances are worth more than a login's network: with a stolen password from many networks nobody
 * pushes out what the account has sent. */
#define ALLOWANCE_STRENGTH (UINT64_C(1) << 30)
#define NETWORK_STRENGTH   (UINT64_C(1) << 20)
#define OLD_STRENGTH       (UINT64_C(1) << 22)
#define EXEMPT_STRENGTH    (UINT64_C(1) << 50)
#define MAILBOXES_STRENGTH (UINT64_C(1) << 10)
/* What an account's entry that waits is worth at most: less than a turn or debt in the future. */
#define WAITING_STRENGTH (UINT64_C(1) << 10)

/* How long an account that is not used has a place, and a client that has delivered one message. */
enum { ACCOUNT_WEEKS = 26, DELIVERED_WEEKS = 4 };

/* Of a login's network. */
static uint64_t login_strength(const struct ledger_slot *slot, uint64_t weeks, uint64_t now)
{
    uint64_t turn = atomic_load(&slot->word[WORD_TURN]) & LEDGER_END;
    uint64_t strength = 0;

    if (flags_of(slot) & LEDGER_KNOWN)
        strength = NETWORK_STRENGTH >> weeks;
    if (strength && turn + DAY_S * UINT64_C(1000) <= now) /* R23: no longer new */
        strength += OLD_STRENGTH >> weeks;
    return strength;
}

/* Good mail fades within weeks, whatever the rules are, and shifts are exact enough. A day's mailboxes
 * count for their day. */
uint64_t ledger_kept_strength(const struct ledger_slot *slot, uint64_t now)
{
    uint64_t key_word = atomic_load(&slot->word[WORD_KEY]);
    uint64_t age = age_s(slot, now), weeks = ledger_halvings(age, WEEK_S);

    if (is_allowance(key_word))
        return ALLOWANCE_STRENGTH >> weeks;
    if ((key_word & LEDGER_KIND_BITS) == LEDGER_MAILBOXES)
        return age < DAY_S ? MAILBOXES_STRENGTH : 0;
    if (ledger_is_sketch(key_word))
        return (uint64_t)(16 * (1 + good_of(slot))) >> weeks;
    uint64_t strength = (uint64_t)(16 * good_of(slot)) >> weeks;
    strength += login_strength(slot, weeks, now);
    return is_exempt(slot, key_word) ? strength + EXEMPT_STRENGTH : strength;
}

/* In this comparison offences fade within hours. A turn or debt in the future counts as much as 256
 * offences, so that an attacker's newest addresses do not push out its own debts. Entries that an
 * administrator or a login made outweigh both, unless they wait for a place. */
uint64_t ledger_strength(const struct ledger_slot *slot, uint64_t now)
{
    uint64_t key_word = atomic_load(&slot->word[WORD_KEY]), age = age_s(slot, now);
    uint64_t strength = ledger_kept_strength(slot, now);

    if (waits(slot, key_word) && strength > WAITING_STRENGTH)
        strength = WAITING_STRENGTH;
    if (!ledger_is_common(key_word))
        return strength;
    double offences = ledger_amount_raw(atomic_load(&slot->word[WORD_OFFENCES]));
    uint64_t turn = ledger_believable(atomic_load(&slot->word[WORD_TURN]) & LEDGER_END, now);
    uint64_t debt = ledger_believable(atomic_load(&slot->word[WORD_DEBT]) & LEDGER_END, now);

    strength += (uint64_t)(64 * (1 + offences)) >> ledger_halvings(age, HOUR_S);
    return turn > now || debt > now ? strength + (UINT64_C(1) << 14) : strength;
}

/* Entries that only good mail, a login or an administrator can cause. */
static bool deserves_place(const struct ledger_slot *slot, uint64_t key_word, uint64_t now)
{
    uint64_t age = age_s(slot, now), weeks = ledger_halvings(age, WEEK_S);
    bool good = good_of(slot) >= (double)(UINT64_C(1) << weeks);

    if (is_allowance(key_word))
        return weeks < ACCOUNT_WEEKS;
    if ((key_word & LEDGER_KIND_BITS) == LEDGER_MAILBOXES)
        return age < DAY_S;
    if (ledger_is_sketch(key_word))
        return good;
    uint64_t flags = flags_of(slot);
    bool delivered = (atomic_load(&slot->word[WORD_DEBT]) & LEDGER_PAYLOAD) >> LEDGER_END_BITS;
    return good || flags & LEDGER_EXEMPT || (flags & LEDGER_KNOWN && weeks < ACCOUNT_WEEKS) ||
           (delivered && weeks < DELIVERED_WEEKS);
}

bool ledger_is_kept(const struct ledger_slot *slot, uint64_t now)
{
    uint64_t key_word = atomic_load(&slot->word[WORD_KEY]);

    return deserves_place(slot, key_word, now) && !waits(slot, key_word);
}

/* ---- places ---- */

enum reserve_state ledger_reserve_state(const struct ledger *l, const struct ledger_key *k,
                                        uint64_t now)
{
    const struct ledger_slot *slot = ledger_find_kept(l, k->hash);

    if (slot == NULL || !deserves_place(slot, k->hash, now))
        return RESERVE_NONE;
    return waits(slot, k->hash) ? RESERVE_WANTS : RESERVE_HAS;
}

/* Those of a set that have a place, but for one of them. */
struct places {
    struct ledger_slot *set;
    bool has[LEDGER_WAYS];
    unsigned maker[LEDGER_WAYS];
    unsigned count;
};

static unsigned of_maker(const struct places *p, unsigned maker)
{
    unsigned n = 0;

    for (unsigned i = 0; i < LEDGER_WAYS; i++)
        n += p->has[i] && p->maker[i] == maker;
    return n;
}

static struct places places_of(const struct ledger *l, uint64_t hash, uint64_t now)
{
    struct places p = {.set = l->slot + ledger_set_index(hash, l->sets) * LEDGER_WAYS};

    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        uint64_t key_word = atomic_load(&p.set[i].word[WORD_KEY]);
        p.has[i] = ledger_in_use(key_word) && key_word != hash && ledger_is_kept(&p.set[i], now);
        p.maker[i] = marks_of(&p.set[i], key_word) & ~(unsigned)WAITS;
        p.count += p.has[i];
    }
    return p;
}

static bool has_little(const struct ledger_slot *slot)
{
    uint64_t key_word = atomic_load(&slot->word[WORD_KEY]);

    return !is_allowance(key_word) && (key_word & LEDGER_KIND_BITS) != LEDGER_MAILBOXES &&
           (ledger_is_sketch(key_word) || !(flags_of(slot) & LEDGER_KNOWN)) &&
           good_of(slot) < LEDGER_LITTLE_GOOD;
}

/* The weakest place of that maker, if it is weaker than `below`; NULL: none. `little`: only of those
 * with little good mail. */
static struct ledger_slot *weakest(const struct places *p, unsigned maker, bool little,
                                   uint64_t below, uint64_t now)
{
    struct ledger_slot *found = NULL;

    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        struct ledger_slot *slot = &p->set[i];
        if (!p->has[i] || p->maker[i] != maker || (little && !has_little(slot)))
            continue;
        uint64_t strength = ledger_kept_strength(slot, now);
        if (strength >= below || is_exempt(slot, atomic_load(&slot->word[WORD_KEY])))
            continue;
        found = slot;
        below = strength;
    }
    return found;
}

enum reserve_place ledger_reserve_look(const struct ledger *l, const struct ledger_key *k,
                                       unsigned maker, uint64_t now, struct ledger_slot **from)
{
    const struct ledger_slot *mine = ledger_find_kept(l, k->hash);
    struct places p = places_of(l, k->hash, now);
    unsigned most = of_maker(&p, maker) + 1, greatest = maker;

    *from = NULL;
    if (p.count < LEDGER_KEPT)
        return RESERVE_FREE;
    for (unsigned i = 0; i < LEDGER_WAYS; i++) {
        unsigned n = p.has[i] ? of_maker(&p, p.maker[i]) : 0;
        if (n > most) {
            most = n;
            greatest = p.maker[i];
        }
    }
    /* One with little good mail takes a strong one's place only of a worker that has all of them: an
     * old client (maker 0 is of before this was counted) does not make room for each new one. */
    bool is_strong = mine != NULL && !has_little(mine);
    bool has_all = greatest != 0 && most == LEDGER_KEPT;
    if (greatest != maker)
        *from = weakest(&p, greatest, !is_strong && !has_all, UINT64_MAX, now);
    else if (mine != NULL)
        *from = weakest(&p, maker, true, ledger_kept_strength(mine, now), now);
    return *from ? RESERVE_TAKES : RESERVE_NOWHERE;
}

void ledger_reserve_put(struct ledger *l, const struct ledger_key *k, unsigned maker, bool waiting)
{
    struct ledger_slot *slot = ledger_find_kept(l, k->hash);

    if (slot != NULL)
        mark(slot, k->hash, (maker & LEDGER_MAKERS) | (waiting ? WAITS : 0));
}

void ledger_reserve_leave(struct ledger_slot *from)
{
    uint64_t key_word = atomic_load(&from->word[WORD_KEY]);

    if (ledger_in_use(key_word))
        mark(from, key_word, marks_of(from, key_word) | WAITS);
}
