/* The commands that change the ledger: release, exempt, penalise. In the web process; each is
 * logged with the user who made it. control/actions.h carries them out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/actions.h"
#include "control/control_part.h"

enum { TEXT = 160 };

/* An IPv6 address stands for a whole /64, which is one client; the answer then says so. */
static const char *named(const json_t *args, const struct whom *who, char out[TEXT])
{
    const char *text = request_text(args, "address");
    char network[ADDR_TEXT];

    if (who->client && who->network.base.family == ADDR_IP6 &&
        strcmp(network_format(&who->network, network), text) != 0)
        snprintf(out, TEXT, "%.60s, which is part of the client %s,", text, network);
    else
        snprintf(out, TEXT, "%.80s", text);
    return out;
}

/* ---- answers ---- */

static void give(struct control *c, const struct action_result *r, json_t *more)
{
    if (r->code) {
        control_fail(c, r->code, "%s", r->text);
    } else {
        json_t *body = json_pack("{s:s}", "text", r->text);
        json_object_update(body, more);
        control_done(c, body);
    }
    json_decref(more);
}

/* A command whose answer comes later. */
struct waiting {
    struct control *control;
    struct action *action;
    char network[ADDR_TEXT]; /* of a release; else empty */
};

static json_t *numbers(const struct waiting *w, const struct action_result *r)
{
    if (!w->network[0])
        return NULL;
    return json_pack("{s:s, s:i, s:f, s:I, s:I, s:i}", "network", w->network, "entries",
                     (int)r->entries, "offences", r->offences, "held", (json_int_t)r->held,
                     "frozen", (json_int_t)r->frozen, "unanswered", 0);
}

static void told(void *arg, const struct action_result *r)
{
    struct waiting *w = arg;
    struct control *c = w->control;

    give(c, r, numbers(w, r));
    free(w);
    control_waited(c);
}

static void drop(void *state)
{
    struct waiting *w = state;

    action_drop(w->action);
    free(w);
}

/* Waits for an action; if `a` is NULL, *r is the answer already. */
static void wait_for(struct control *c, struct waiting *w, struct action *a,
                     const struct action_result *r)
{
    if (a) {
        w->action = a;
        control_wait(c, w, drop);
        return;
    }
    give(c, r, NULL);
    free(w);
}

static struct waiting *waiting_new(struct control *c)
{
    struct waiting *w = calloc(1, sizeof *w);

    if (w)
        w->control = c;
    else
        control_fail(c, CONTROL_REFUSED, "not enough memory; nothing is changed");
    return w;
}

static void take_back(struct control *c, const json_t *args, enum undo_kind kind,
                      const char *command, const struct whom *who)
{
    struct action_result r;
    char text[TEXT];

    control_log(c, command, request_text(args, "address"));
    action_take_back(c->steering, kind, who, named(args, who, text), &r);
    give(c, &r, NULL);
}

/* ---- release ---- */

static void release_everybody(struct control *c)
{
    struct waiting *w = waiting_new(c);
    struct action_result r;

    if (!w)
        return;
    control_log(c, "release --all", NULL);
    struct action *a = action_release_everybody(c->steering, told, w, &r);
    wait_for(c, w, a, &r);
}

void run_release(struct control *c, const json_t *args)
{
    bool all = request_flag(args, "all");
    struct action_result r;
    char text[TEXT];
    struct whom who;

    if (all && !json_object_get(args, "address")) {
        release_everybody(c);
        return;
    }
    if (!all && !request_flag(args, "undo") && is_account(request_text(args, "address"))) {
        release_account(c, request_text(args, "address"));
        return;
    }
    if (!read_whom(c, args, &who))
        return;
    if (request_flag(args, "undo")) {
        take_back(c, args, UNDO_RELEASE, "release --undo", &who);
        return;
    }
    struct waiting *w = waiting_new(c);
    if (!w)
        return;
    network_format(&who.network, w->network);
    if (all || !whom_is_wide(&who))
        control_log(c, all ? "release --all" : "release", request_text(args, "address"));
    struct action *a = action_release(c->steering, &who, named(args, &who, text), all, told, w, &r);
    wait_for(c, w, a, &r);
}

/* ---- exempt ---- */

static void list_exempt(struct control *c)
{
    const struct steering *s = c->steering;
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms(), at = 0;
    json_t *list = json_array();
    struct ledger_key key;
    struct row r;

    while (ledger_next(s->params->ledger, &at, &d, now, &key, &r.who, &r.entry))
        add_exempt(list, SIZE_MAX, &key, &r);
    control_done(c, json_pack("{s:o}", "exempt", list));
}

void run_exempt(struct control *c, const json_t *args)
{
    const char *lasts = request_text(args, "for");
    struct action_result r;
    char text[TEXT];
    struct whom who;

    if (request_flag(args, "list")) {
        list_exempt(c);
        return;
    }
    if (!read_whom(c, args, &who))
        return;
    bool remove = request_flag(args, "remove");
    struct waiting *w = waiting_new(c);
    if (!w)
        return;
    const char *name = named(args, &who, text);
    struct action *a = remove ? action_end_exemption(c->steering, &who, name, told, w, &r)
                              : action_exempt(c->steering, &who, name, lasts, told, w, &r);
    if (remove)
        control_log(c, "exempt --remove", request_text(args, "address"));
    else if (a || !r.code)
        control_log_with(c, "exempt", request_text(args, "address"), "for", lasts);
    wait_for(c, w, a, &r);
}

/* ---- penalise ---- */

void run_penalise(struct control *c, const json_t *args)
{
    const json_t *number = json_object_get(args, "offences");
    double offences = number ? json_number_value(number) : 1;
    char text[TEXT], amount[32];
    struct action_result r;
    struct whom who;

    if (!read_whom(c, args, &who))
        return;
    if (who.client && request_flag(args, "undo")) {
        take_back(c, args, UNDO_PENALISE, "penalise --undo", &who);
        return;
    }
    action_penalise(c->steering, &who, named(args, &who, text), offences, &r);
    if (!r.code) {
        snprintf(amount, sizeof amount, "%g", offences);
        control_log_with(c, "penalise", request_text(args, "address"), "offences", amount);
    }
    give(c, &r, r.code ? NULL : json_pack("{s:f}", "offences", r.offences));
}
