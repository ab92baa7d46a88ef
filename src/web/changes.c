/* The commands that change the ledger: release, exempt, penalise. In the web process; each change
 * is logged with who asked for it, and each answer says what was found, not only what was asked. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "query/notes.h"
#include "web/web_part.h"

enum { TEXT = 512 };

/* ---- words ---- */

/* Of IPv6 a whole /64 is one client, which is not what was written: then the answer says so. */
static const char *named(const json_t *args, const struct whom *who, char out[TEXT])
{
    const char *text = request_text(args, "address");
    char network[ADDR_TEXT];

    if (who->client && who->network.base.family == ADDR_IP6 &&
        strcmp(network_format(&who->network, network), text) != 0)
        snprintf(out, TEXT, "%.80s, which is part of the client %s,", text, network);
    else
        snprintf(out, TEXT, "%.80s", text);
    return out;
}

static __attribute__((format(printf, 2, 3))) void done_with(struct control *c, const char *format,
                                                            ...)
{
    char text[TEXT * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    control_done(c, json_pack("{s:s}", "text", text));
}

/* ---- release ---- */

bool release_is_wide(const struct network *n)
{
    return n->bits < (n->base.family == ADDR_IP4 ? 8 : 32);
}

/* Forgets offences and keeps good mail and an exemption. */
static void forgive(struct web *w, const struct ledger_key *key, uint64_t now, struct released *r)
{
    struct ledger_decay d = decay_of(w);
    struct ledger_entry e;

    if (!ledger_get(w->params->ledger, key, &d, now, &e))
        return;
    if (e.offences > 0) {
        r->entries++;
        r->offences += key->kind == LEDGER_CLIENT ? e.offences : 0;
        struct ledger_entry kept = e; /* the exemption stays, and may be taken away by itself */
        kept.flags &= ~(uint32_t)LEDGER_EXEMPT;
        undo_keep(w->undo, key, &kept, now);
    }
    ledger_forget(w->params->ledger, key);
    if (e.good > 0)
        ledger_add_good(w->params->ledger, key, &d, now, e.good);
    if (e.delivered_ms)
        ledger_delivered(w->params->ledger, key, now);
    if (e.flags & LEDGER_EXEMPT)
        ledger_exempt(w->params->ledger, key, now, e.exempt_until_ms);
}

static void forgive_all(struct web *w, const struct network *n, uint64_t now, struct released *r)
{
    struct ledger_decay d = decay_of(w);
    struct ledger_entry e;
    struct ledger_key key;
    struct addr who;
    uint64_t at = 0;

    while (ledger_next(w->params->ledger, &at, &d, now, &key, &who, &e))
        if ((key.kind == LEDGER_CLIENT || key.kind == LEDGER_NETWORK ||
             key.kind == LEDGER_BOUNCES) &&
            network_contains(n, &who) && e.offences > 0)
            forgive(w, &key, now, r);
}

struct released web_release(struct web *w, const struct network *n)
{
    struct released r = {0};
    struct ledger_key client = ledger_key_client(w->params->ledger, &n->base);
    struct ledger_key bounces = ledger_key_bounces(w->params->ledger, &n->base);
    struct ledger_key around = ledger_key_network(w->params->ledger, &n->base);
    uint64_t now = clock_wall_ms();
    char text[ADDR_TEXT];

    undo_begin(w->undo, UNDO_RELEASE, n);
    if (whom_of(n).client) {
        forgive(w, &client, now, &r);
        forgive(w, &bounces, now, &r);
    } else {
        forgive_all(w, n, now, &r);
    }
    forgive(w, &around, now, &r); /* or the client would wait as a newcomer (R10) at once */
    network_format(n, text);
    channel_tell(w->params->control, NOTE_RELEASE, 0, 0, text);
    return r;
}

/* Their number is known now, so the holds can be let go. */
static void release_counted(struct control *c, json_t *answer)
{
    const char *name = json_string_value(json_object_get(answer, "name"));
    const char *network = json_string_value(json_object_get(answer, "network"));
    json_int_t held = json_integer_value(json_object_get(answer, "held")) +
                      json_integer_value(json_object_get(answer, "frozen"));
    json_int_t missing = json_integer_value(json_object_get(answer, "unanswered"));
    char text[TEXT * 2], more[128] = "";
    struct network n;

    if (!network || !network_parse(span_of(network), &n)) {
        json_decref(answer);
        control_fail(c, CONTROL_REFUSED, "not enough memory");
        return;
    }
    struct released r = web_release(c->web, &n);
    if (missing)
        snprintf(more, sizeof more, "; %lld process%s did not say what it holds", missing,
                 missing == 1 ? "" : "es");
    if (r.entries == 0 && held == 0) {
        control_fail(c, CONTROL_MISSING,
                     "no offences of %s are known, and none of its connections is held%s", name,
                     more);
        json_decref(answer);
        return;
    }
    snprintf(
        text, sizeof text,
        "%s is released: %.1f offences are forgotten (entries: %u, networks included), and %lld "
        "held connection%s answered%s",
        name, r.offences, r.entries, held, held == 1 ? " is" : "s are", more);
    json_object_set_new(answer, "text", json_string(text));
    json_object_set_new(answer, "entries", json_integer(r.entries));
    json_object_set_new(answer, "offences", json_real(r.offences));
    json_object_del(answer, "name");
    json_object_del(answer, "listed");
    control_done(c, answer);
}

static void release_everybody(struct control *c)
{
    static const char *const all[] = {"0.0.0.0/0", "::/0"};
    struct released r[2];
    struct network n;

    control_log(c, "release --all", NULL);
    for (int i = 0; i < 2; i++) {
        network_parse(span_of(all[i]), &n);
        r[i] = web_release(c->web, &n);
    }
    done_with(c,
              "everybody is released: offences of %u clients and networks are forgotten, and all "
              "holds are answered",
              r[0].entries + r[1].entries);
}

static void undo(struct control *c, const json_t *args, enum undo_kind kind, const char *what,
                 const struct whom *who)
{
    char text[TEXT];
    int entries = undo_take(c->web, kind, &who->network, clock_wall_ms());

    if (entries < 0) {
        control_fail(c, CONTROL_MISSING, "no %s of %.80s since the last reload can be taken back",
                     what, request_text(args, "address"));
        return;
    }
    done_with(c, "the %s of %s is undone: %d entr%s changed", what, named(args, who, text), entries,
              entries == 1 ? "y is" : "ies are");
}

void run_release(struct control *c, const json_t *args)
{
    bool all = request_flag(args, "all");
    char text[TEXT], network[ADDR_TEXT];
    struct whom who;

    if (all && !json_object_get(args, "address")) {
        release_everybody(c);
        return;
    }
    if (!read_whom(c, args, &who))
        return;
    if (request_flag(args, "undo")) {
        control_log(c, "release --undo", request_text(args, "address"));
        undo(c, args, UNDO_RELEASE, "release", &who);
        return;
    }
    if (release_is_wide(&who.network) && !all) {
        control_fail(c, CONTROL_REFUSED,
                     "%s is wider than a /8 (IPv6: /32): all of it is forgotten only with --all",
                     network_format(&who.network, network));
        return;
    }
    control_log(c, all ? "release --all" : "release", request_text(args, "address"));
    held_answer(c, &who.network,
                json_pack("{s:s, s:s}", "name", named(args, &who, text), "network",
                          network_format(&who.network, network)),
                release_counted);
}

/* ---- exempt ---- */

static void list_exempt(struct control *c)
{
    const struct web *w = c->web;
    struct ledger_decay d = decay_of(w);
    uint64_t now = clock_wall_ms(), at = 0;
    json_t *list = json_array();
    struct ledger_key key;
    struct row r;

    while (ledger_next(w->params->ledger, &at, &d, now, &key, &r.who, &r.entry))
        add_exempt(list, SIZE_MAX, &key, &r);
    control_done(c, json_pack("{s:o}", "exempt", list));
}

static void remove_exemption(struct control *c, const json_t *args, const struct whom *who)
{
    struct ledger_key key = whom_key(c->web, who);
    struct ledger_decay d = decay_of(c->web);
    uint64_t now = clock_wall_ms();
    struct ledger_entry e;
    char text[TEXT];

    control_log(c, "exempt --remove", request_text(args, "address"));
    if (!ledger_get(c->web->params->ledger, &key, &d, now, &e) || !(e.flags & LEDGER_EXEMPT)) {
        control_fail(c, CONTROL_MISSING,
                     "%s was not exempted here; entries of `exempt` in mired.conf stay exempt",
                     named(args, who, text));
        return;
    }
    ledger_set_flags(c->web->params->ledger, &key, now, 0, LEDGER_EXEMPT);
    done_with(c, "%s is no longer exempt", named(args, who, text));
}

void run_exempt(struct control *c, const json_t *args)
{
    const char *lasts = request_text(args, "for");
    char text[TEXT];
    uint64_t now = clock_wall_ms(), ms = 0;
    struct whom who;

    if (request_flag(args, "list")) {
        list_exempt(c);
        return;
    }
    if (!read_whom(c, args, &who))
        return;
    if (!who.client && !who.own) {
        control_fail(c, CONTROL_REFUSED,
                     "only a client or its /24 (IPv6: /48) can be exempted here; other networks "
                     "belong in `exempt` of mired.conf");
        return;
    }
    if (lasts && (!config_duration(span_of(lasts), &ms) || ms == 0)) {
        control_fail(c, CONTROL_USAGE, "\"%.40s\" is not a duration; expected 1d", lasts);
        return;
    }
    if (request_flag(args, "remove")) {
        remove_exemption(c, args, &who);
        return;
    }
    struct ledger_key key = whom_key(c->web, &who);
    control_log_with(c, "exempt", request_text(args, "address"), "for", lasts);
    ledger_exempt(c->web->params->ledger, &key, now, ms ? now + ms : 0);
    web_release(c->web, &who.network);
    done_with(c, "%s is never delayed%s%.40s", named(args, &who, text), lasts ? ", for " : "",
              lasts ? lasts : "");
}

/* ---- penalise ---- */

static double book(struct web *w, const struct ledger_key *key, double offences, uint64_t now)
{
    struct ledger_decay d = decay_of(w);
    struct ledger_entry added = {.offences = offences};

    undo_keep(w->undo, key, &added, now);
    return ledger_add_offences(w->params->ledger, key, &d, now, offences);
}

void run_penalise(struct control *c, const json_t *args)
{
    const json_t *number = json_object_get(args, "offences");
    double offences = number ? json_number_value(number) : 1;
    uint64_t now = clock_wall_ms();
    char text[TEXT], amount[32];
    struct whom who;

    if (!read_whom(c, args, &who))
        return;
    if (!who.client || !(offences > 0 && offences <= 1000)) {
        control_fail(c, CONTROL_USAGE, "expected one address and 0 to 1000 offences");
        return;
    }
    if (request_flag(args, "undo")) {
        control_log(c, "penalise --undo", request_text(args, "address"));
        undo(c, args, UNDO_PENALISE, "penalty", &who);
        return;
    }
    struct ledger_key client = whom_key(c->web, &who);
    snprintf(amount, sizeof amount, "%g", offences);
    control_log_with(c, "penalise", request_text(args, "address"), "offences", amount);
    undo_begin(c->web->undo, UNDO_PENALISE, &who.network);
    double live = book(c->web, &client, offences, now);
    char said[TEXT * 2];
    snprintf(said, sizeof said, "%s has %g offence%s more: %.1f are live", named(args, &who, text),
             offences, offences == 1 ? "" : "s", live);
    control_done(c, json_pack("{s:s, s:f}", "text", said, "offences", live));
}
