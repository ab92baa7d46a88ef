/* Carries out what administrators do to clients; see actions.h. */
#include "control/actions.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "config/config.h"
#include "control/commands.h"

enum { NAME_TEXT = 160, LASTS_TEXT = 96 };

struct action {
    struct steering *steering;
    action_told *told;
    void *arg;
    char name[NAME_TEXT];
    char lasts[LASTS_TEXT]; /* exempt: "", or ", for 1d"; its end: "", or what can be undone */
    bool exempt, unexempt, everybody;
    uint64_t until;    /* exempt: wall ms; 0: no end */
    unsigned waiting;  /* releases whose results have not come yet */
    struct buf missed; /* processes and members that were not reached, with the reasons */
    bool unreached;    /* there are some, also if there was no memory for their names */
    char members[256]; /* R25: other members that have done the same, "mx2, mx3"; or "" */
    struct action_result result;
};

struct ledger_decay steering_decay(const struct steering *s)
{
    const struct tarpit_rules *r = &s->params->config->tarpit;

    return (struct ledger_decay){r->half_life, r->good_half_life};
}

static __attribute__((format(printf, 3, 4))) void say(struct action_result *r, const char *code,
                                                      const char *format, ...)
{
    va_list args;

    r->code = code;
    va_start(args, format);
    vsnprintf(r->text, sizeof r->text, format, args);
    va_end(args);
}

/* ---- the ledger ---- */

/* Forgets offences and keeps good mail and an exemption. */
static void forgive(struct steering *s, const struct ledger_key *key, uint64_t now,
                    struct action_result *r)
{
    struct ledger_decay d = steering_decay(s);
    struct ledger_entry e;

    if (!ledger_get(s->params->ledger, key, &d, now, &e))
        return;
    struct ledger_entry here; /* without the good mail of other members */
    ledger_get_alone(s->params->ledger, key, &d, now, &here);
    if (e.offences > 0) {
        r->entries++;
        r->offences += key->kind == LEDGER_CLIENT ? e.offences : 0;
        struct ledger_entry kept = e; /* the exemption stays; it can be ended separately */
        kept.flags &= ~(uint32_t)LEDGER_EXEMPT;
        undo_keep(s->undo, key, &kept, now);
    }
    if (here.good > 0 || here.delivered_ms || here.pass_ms || here.flags & LEDGER_EXEMPT)
        ledger_forgive(s->params->ledger, key);
    else
        ledger_forget(s->params->ledger, key);
    if (e.pass_ms > here.pass_ms)
        ledger_pass(s->params->ledger, key, now, e.pass_ms);
}

/* Reads the whole ledger. */
static void forgive_all(struct steering *s, const struct network *n, uint64_t now,
                        struct action_result *r)
{
    struct ledger_decay d = steering_decay(s);
    struct ledger_entry e;
    struct ledger_key key;
    struct addr who;
    uint64_t at = 0;

    while (ledger_next(s->params->ledger, &at, &d, now, &key, &who, &e))
        if ((key.kind == LEDGER_CLIENT || key.kind == LEDGER_NETWORK ||
             key.kind == LEDGER_BOUNCES) &&
            network_contains(n, &who) && e.offences > 0)
            forgive(s, &key, now, r);
}

/* A client has an entry to look up; for the clients of a network the ledger has no index. */
static void forget_offences(struct steering *s, const struct whom *who, struct action_result *r)
{
    const struct network *n = &who->network;
    struct ledger_key around = ledger_key_network(s->params->ledger, &n->base);
    uint64_t now = clock_wall_ms();

    undo_begin(s->undo, UNDO_RELEASE, n);
    if (who->client) {
        struct ledger_key client = ledger_key_client(s->params->ledger, &n->base);
        struct ledger_key bounces = ledger_key_bounces(s->params->ledger, &n->base);
        forgive(s, &client, now, r);
        forgive(s, &bounces, now, r);
    } else {
        forgive_all(s, n, now, r);
    }
    forgive(s, &around, now, r); /* otherwise the client would wait at once as a newcomer (R10) */
}

/* ---- release ---- */

static void holds_text(int64_t n, char out[64])
{
    snprintf(out, 64, "%lld held connection%s answered", (long long)n, n == 1 ? " is" : "s are");
}

static __attribute__((format(printf, 2, 3))) void miss(struct action *a, const char *format, ...)
{
    char text[ACTION_TEXT / 4];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    a->unreached = true;
    (void)buf_addf(&a->missed, "%s%s", a->missed.len ? ", " : "", text);
}

static void report_exempt(struct action *a, const char *part, const char *holds)
{
    struct action_result *r = &a->result;

    say(r, part[0] ? CONTROL_REFUSED : NULL, "%s is never delayed from now on%s; %s%s", a->name,
        a->lasts, holds, part);
}

static void report_end_of_exemption(struct action *a, const char *part)
{
    struct action_result *r = &a->result;

    say(r, part[0] ? CONTROL_REFUSED : NULL, "%s is no longer exempt%s%s%s%s", a->name,
        a->members[0] ? "; also at " : "", a->members, a->lasts, part);
}

static void report(struct action *a)
{
    struct action_result *r = &a->result;
    int64_t n = r->held + r->frozen;
    char holds[64 + sizeof a->members + 16], part[ACTION_TEXT / 2] = "";

    holds_text(n, holds);
    if (a->members[0]) {
        size_t len = strlen(holds);
        snprintf(holds + len, sizeof holds - len, "; also at %s", a->members);
    }
    r->unreached = a->unreached;
    if (a->missed.len)
        snprintf(part, sizeof part, "; not reached: %.*s", (int)a->missed.len, a->missed.at);
    else if (a->unreached)
        snprintf(part, sizeof part, "; not all processes were reached, and memory is short");
    const char *code = part[0] ? CONTROL_REFUSED : NULL;
    const char *done = part[0] ? "released in part" : "released";
    if (a->unexempt)
        report_end_of_exemption(a, part);
    else if (a->exempt)
        report_exempt(a, part, holds);
    else if (a->everybody)
        say(r, code, "everybody is %s: offences of %u clients and networks are forgotten, and %s%s",
            done, r->entries, holds, part);
    else if (r->entries == 0 && n == 0)
        say(r, CONTROL_MISSING,
            "no offences of %s are known, and none of its connections is held%s", a->name, part);
    else
        say(r, code,
            "%s is %s: %.1f offences are forgotten (entries: %u, networks included), and %s%s",
            a->name, done, r->offences, r->entries, holds, part);
}

static void action_free(struct action *a)
{
    buf_free(&a->missed);
    free(a);
}

static void one_told(struct action *a)
{
    if (--a->waiting)
        return;
    report(a);
    if (a->told)
        a->told(a->arg, &a->result);
    action_free(a);
}

static void released(void *arg, const struct held *h)
{
    struct action *a = arg;

    a->result.held += h->held;
    a->result.frozen += h->frozen;
    if (h->missing)
        miss(a, "%s", h->names);
    one_told(a);
}

static void members_did(void *arg, const char *answer)
{
    struct action *a = arg;
    struct members_did did = {0};

    members_did_read(answer, &did);
    snprintf(a->members, sizeof a->members, "%s", did.done);
    if (did.missed[0])
        miss(a, "%s (no answer)", did.missed);
    one_told(a);
}

/* Has the other members do the same. */
static void pass_on(struct action *a, const char *verb, const struct whom *who, uint64_t until)
{
    struct steering *s = a->steering;
    char text[128], network[ADDR_TEXT];

    if (s->ordered || s->params->config->fleet.redis.count == 0)
        return;
    snprintf(text, sizeof text, "order %s %s %llu", verb, network_format(&who->network, network),
             (unsigned long long)until);
    int error = member_ask(&s->members, text, members_did, a);
    if (error)
        miss(a, "the other members (%s)", strerrordesc_np(-error));
    else
        a->waiting++;
}

static struct action *begin(struct steering *s, const char *name, action_told *told, void *arg,
                            struct action_result *r)
{
    struct action *a = calloc(1, sizeof *a);

    if (!a) {
        say(r, CONTROL_REFUSED, "not enough memory; nothing is changed");
        return NULL;
    }
    a->steering = s;
    a->told = told;
    a->arg = arg;
    snprintf(a->name, sizeof a->name, "%s", name);
    return a;
}

/* The action, if its result comes later; NULL: it is there now, in *r. */
static struct action *later(struct action *a, struct action_result *r)
{
    if (a->waiting)
        return a;
    report(a);
    *r = a->result;
    action_free(a);
    return NULL;
}

/* If the master cannot be reached, no process is asked, and the result says so at once. */
static struct action *release(struct action *a, const struct whom who[], unsigned count,
                              struct action_result *r)
{
    int error = 0;

    for (unsigned i = 0; i < count; i++) {
        forget_offences(a->steering, &who[i], &a->result);
        int one = holders_release(&a->steering->holders, &who[i].network, released, a);
        if (one == 0)
            a->waiting++;
        else
            error = one;
        pass_on(a, a->exempt ? "exempt" : "release", &who[i], a->until);
    }
    if (error)
        miss(a, "the master (%s)", strerrordesc_np(-error));
    return later(a, r);
}

struct action *action_release(struct steering *s, const struct whom *who, const char *name,
                              bool all, action_told *told, void *arg, struct action_result *r)
{
    char network[ADDR_TEXT];

    *r = (struct action_result){0};
    if (whom_is_wide(who) && !all) {
        say(r, CONTROL_REFUSED,
            "%s is wider than a /8 (IPv6: /32): all of it is released only by `mirectl release "
            "NETWORK --all`",
            network_format(&who->network, network));
        return NULL;
    }
    struct action *a = begin(s, name, told, arg, r);
    return a ? release(a, who, 1, r) : NULL;
}

struct action *action_release_everybody(struct steering *s, action_told *told, void *arg,
                                        struct action_result *r)
{
    struct whom all[2] = {0};

    *r = (struct action_result){0};
    struct action *a = begin(s, "everybody", told, arg, r);
    if (!a)
        return NULL;
    a->everybody = true;
    network_parse(SPAN("0.0.0.0/0"), &all[0].network);
    network_parse(SPAN("::/0"), &all[1].network);
    return release(a, all, 2, r);
}

void action_drop(struct action *a)
{
    holders_forget(&a->steering->holders, a);
    member_ask_forget(&a->steering->members, a);
    action_free(a);
}

/* ---- exempt ---- */

struct action *action_exempt(struct steering *s, const struct whom *who, const char *name,
                             const char *lasts, action_told *told, void *arg,
                             struct action_result *r)
{
    struct ledger_key key = whom_key(s->params->ledger, who);
    uint64_t now = clock_wall_ms(), ms = 0;

    *r = (struct action_result){0};
    if (!who->client && !who->own) {
        say(r, CONTROL_REFUSED,
            "only a client or its /24 (IPv6: /48) can be exempted here; other networks belong in "
            "`exempt` of mired.conf");
        return NULL;
    }
    if (lasts && (!config_duration(span_of(lasts), &ms) || ms == 0)) {
        say(r, CONTROL_USAGE, "\"%.40s\" is not a duration; expected 1d", lasts);
        return NULL;
    }
    struct action *a = begin(s, name, told, arg, r);
    if (!a)
        return NULL;
    a->exempt = true;
    if (lasts)
        snprintf(a->lasts, sizeof a->lasts, ", for %.40s", lasts);
    a->until = ms ? now + ms : 0;
    ledger_exempt(s->params->ledger, &key, now, a->until);
    return release(a, who, 1, r);
}

struct action *action_end_exemption(struct steering *s, const struct whom *who, const char *name,
                                    action_told *told, void *arg, struct action_result *r)
{
    struct ledger_key key = whom_key(s->params->ledger, who);
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms();
    struct ledger_entry e;

    *r = (struct action_result){0};
    if ((!who->client && !who->own) || !ledger_get(s->params->ledger, &key, &d, now, &e) ||
        !(e.flags & LEDGER_EXEMPT)) {
        say(r, CONTROL_MISSING,
            "%s was not exempted here; entries of `exempt` in mired.conf stay exempt", name);
        return NULL;
    }
    struct action *a = begin(s, name, told, arg, r);
    if (!a)
        return NULL;
    a->unexempt = true;
    if (undo_has(s->undo, UNDO_RELEASE, &who->network))
        snprintf(a->lasts, sizeof a->lasts, "%s",
                 "; the exemption also forgot its offences: release --undo restores them");
    ledger_set_flags(s->params->ledger, &key, now, 0, LEDGER_EXEMPT);
    pass_on(a, "unexempt", who, 0);
    return later(a, r);
}

/* ---- penalise ---- */

void action_penalise(struct steering *s, const struct whom *who, const char *name, double offences,
                     struct action_result *r)
{
    struct ledger_key client = whom_key(s->params->ledger, who);
    struct ledger_entry added = {.offences = offences};
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms();

    *r = (struct action_result){0};
    if (!who->client || !(offences > 0 && offences <= 1000)) {
        say(r, CONTROL_USAGE, "expected one address and 0 to 1000 offences");
        return;
    }
    undo_begin(s->undo, UNDO_PENALISE, &who->network);
    undo_keep(s->undo, &client, &added, now);
    r->offences = ledger_add_offences(s->params->ledger, &client, &d, now, offences);
    say(r, NULL, "%s has %g offence%s more: %.1f are live", name, offences,
        offences == 1 ? "" : "s", r->offences);
}

void action_take_back(struct steering *s, enum undo_kind kind, const struct whom *who,
                      const char *name, struct action_result *r)
{
    const char *what = kind == UNDO_RELEASE ? "release" : "penalty";
    struct ledger_decay d = steering_decay(s);
    int entries = undo_take(s->undo, s->params->ledger, &d, kind, &who->network, clock_wall_ms());

    *r = (struct action_result){0};
    if (entries < 0)
        say(r, CONTROL_MISSING, "no %s of %s since the last reload can be taken back", what, name);
    else
        say(r, NULL, "the %s of %s is undone: %d entr%s changed", what, name, entries,
            entries == 1 ? "y is" : "ies are");
}
