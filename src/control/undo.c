/* The changes that can be taken back: a ring of the last ones, in the web process's memory.
 *
 * A release is taken back by merging what was forgotten with what is known now (ledger_merge()), so
 * offences that came since then stay; a penalty by writing the entry with less. Amounts have
 * faded meanwhile. */
#include <math.h>
#include <stdlib.h>

#include "control/undo.h"

enum { CHANGES = 64, ENTRIES_MOST = 100000 };

struct kept {
    struct ledger_key key;
    struct ledger_entry entry;
};

struct change {
    enum undo_kind kind;
    struct network about;
    uint64_t at; /* wall ms; 0: empty, or taken back */
    struct kept *kept;
    size_t count;
};

struct undo {
    struct change change[CHANGES];
    unsigned next; /* the place of the next change */
    struct change *now;
};

struct undo *undo_open(void)
{
    return calloc(1, sizeof(struct undo));
}

void undo_close(struct undo *u)
{
    for (unsigned i = 0; u && i < CHANGES; i++)
        free(u->change[i].kept);
    free(u);
}

static void drop(struct change *c)
{
    free(c->kept);
    *c = (struct change){0};
}

void undo_begin(struct undo *u, enum undo_kind kind, const struct network *n)
{
    if (!u)
        return;
    u->now = &u->change[u->next++ % CHANGES];
    drop(u->now);
    u->now->kind = kind;
    u->now->about = *n;
}

void undo_keep(struct undo *u, const struct ledger_key *k, const struct ledger_entry *e,
               uint64_t now)
{
    struct change *c = u ? u->now : NULL;

    if (!c || c->count >= ENTRIES_MOST)
        return;
    if ((c->count & (c->count - 1)) == 0) { /* full at each power of two */
        size_t room = c->count ? c->count * 2 : 1;
        struct kept *kept = realloc(c->kept, room * sizeof *kept);
        if (!kept)
            return;
        c->kept = kept;
    }
    c->kept[c->count++] = (struct kept){*k, *e};
    c->at = now;
}

static bool is_about(const struct change *c, enum undo_kind kind, const struct network *n)
{
    return c->at && c->kind == kind && network_equal(&c->about, n);
}

struct taking {
    struct ledger *ledger;
    const struct ledger_decay *decay;
    uint64_t now;
};

static bool is_offences_only(const struct ledger_entry *e)
{
    return !(e->good > 0 || e->turn_ms || e->debt_ms || e->delivered_ms || e->pass_ms ||
             e->patience_ms || e->flags);
}

/* Writes the entry with so much less, if it exists. In place: good mail and an exemption stay all the
 * while. */
static void take_off(const struct taking *t, const struct ledger_key *k, double offences)
{
    struct ledger_entry here, all;

    if (!ledger_get_alone(t->ledger, k, t->decay, t->now, &here))
        return;
    /* To forget is to forget what other members of the fleet know, too. Amounts are rounded. */
    ledger_get(t->ledger, k, t->decay, t->now, &all);
    if (all.offences < offences + 0.001 && is_offences_only(&all))
        ledger_forget(t->ledger, k);
    else
        ledger_add_offences(t->ledger, k, t->decay, t->now, -offences);
}

static void take_back(const struct taking *t, const struct change *c, const struct kept *kept)
{
    double age = t->now > c->at ? (double)(t->now - c->at) : 0;
    uint64_t half_life = t->decay->half_life;

    if (c->kind == UNDO_RELEASE)
        ledger_merge(t->ledger, &kept->key, t->decay, t->now, &kept->entry, c->at);
    else
        take_off(t, &kept->key,
                 kept->entry.offences * (half_life ? exp2(-age / (double)half_life) : 1));
}

bool undo_has(const struct undo *u, enum undo_kind kind, const struct network *n)
{
    for (unsigned i = 0; u && i < CHANGES; i++)
        if (is_about(&u->change[i], kind, n))
            return true;
    return false;
}

int undo_take(struct undo *u, struct ledger *l, const struct ledger_decay *d, enum undo_kind kind,
              const struct network *n, uint64_t now)
{
    struct taking t = {l, d, now};

    for (unsigned i = 1; u && i <= CHANGES; i++) {
        struct change *c = &u->change[(u->next - i) % CHANGES];
        if (!is_about(c, kind, n))
            continue;
        int count = (int)c->count;
        for (size_t k = 0; k < c->count; k++)
            take_back(&t, c, &c->kept[k]);
        drop(c);
        return count;
    }
    return -1;
}

json_t *undo_json(const struct undo *u)
{
    static const char *const names[UNDO_KINDS] = {
        [UNDO_RELEASE] = "release", [UNDO_PENALISE] = "penalise"};
    json_t *list = json_array();
    char text[ADDR_TEXT];

    for (unsigned i = 1; u && i <= CHANGES; i++) {
        const struct change *c = &u->change[(u->next - i) % CHANGES];
        if (!c->at)
            continue;
        bool one = c->about.bits == addr_bits(&c->about.base);
        const char *name =
            one ? addr_format(&c->about.base, text) : network_format(&c->about, text);
        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "what", names[c->kind],
                                              "address", name, "at_ms", (json_int_t)c->at,
                                              "entries", (json_int_t)c->count));
    }
    return list;
}
