/* Accounts (R23): what an account has sent, where it has logged in from, and forgetting that. In
 * the web process, for `show`, `release` and the page.
 *
 * The ledger has no names of accounts, only keyed hashes of them. So an account can be looked up
 * only by the verifier's name for it, and its networks by trying each login in the ledger. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/control_part.h"
#include "directory/allowances.h"
#include "tarpit/ledger_others.h"
#include "tarpit/tarpit.h"

bool is_account(const char *text)
{
    struct network n;

    /* A text of nothing but characters of an address is a wrong address, not an account. */
    return text && text[0] && strlen(text) <= ALLOWANCE_NAME_MAX &&
           !network_parse(span_of(text), &n) && strspn(text, "0123456789./:%") < strlen(text);
}

static json_t *bucket_json(const struct allowance_state *state, enum ledger_bucket b)
{
    if (state->most[b] == 0)
        return json_null();
    return json_pack("{s:f, s:i}", "used", state->used[b], "allowed", (int)state->most[b]);
}

/* As many as people read, and as an answer has room for. */
enum { NETWORKS_SHOWN = 100 };

/* The networks that an account has logged in from. */
struct logins {
    const struct steering *steering;
    struct span account;
    uint64_t now;
    unsigned known, fresh; /* networks that the account knows, and new ones */
    json_t *list;          /* of list_login() */
};

/* Calls `each` for all of them. */
static void each_login(struct logins *l,
                       void (*each)(struct logins *l, const struct ledger_key *k,
                                    const struct addr *network, uint64_t known_from))
{
    struct ledger *ledger = l->steering->params->ledger;
    struct ledger_decay d = steering_decay(l->steering);
    struct addr who, network;
    struct ledger_entry e;
    struct ledger_key k;
    uint64_t at = 0;

    while (ledger_next(ledger, &at, &d, l->now, &k, &who, &e))
        if (ledger_key_is_login(ledger, &k, l->account, &network)) {
            struct allowance_who w = {l->account, &network, false};
            each(l, &k, &network, allowance_known_from(ledger, &w, l->now));
        }
}

static void list_login(struct logins *l, const struct ledger_key *k, const struct addr *network,
                       uint64_t known_from)
{
    struct network n = {*network, network->family == ADDR_IP4 ? 24 : 48};
    struct ledger_decay d = steering_decay(l->steering);
    bool is_new = known_from == 0 || known_from > l->now;
    struct ledger_entry e;
    char text[ADDR_TEXT];

    if ((is_new ? l->fresh++ : l->known++) >= NETWORKS_SHOWN)
        return;
    ledger_get(l->steering->params->ledger, k, &d, l->now, &e);
    json_array_append_new(
        l->list, json_pack("{s:s, s:b, s:I, s:I, s:i}", "network", network_format(&n, text), "new",
                           is_new, "known_from_ms", is_new ? (json_int_t)known_from : (json_int_t)0,
                           "seen_ms", (json_int_t)e.seen_ms, "tries_left",
                           (int)tarpit_tries_left(&l->steering->params->config->tarpit,
                                                  l->steering->params->tries, k->hash, l->now)));
}

json_t *account_json(const struct steering *s, struct span name, bool *known)
{
    const struct ledger *ledger = s->params->ledger;
    char room[ALLOWANCE_NAME_MAX];
    struct span account = allowances_name(s->allowances, name, room);
    struct allowance_rules rules = allowances_of(s->allowances, account);
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms();
    struct ledger_key guesses = ledger_key_account(ledger, name), sent;
    struct allowance_state state = allowance_state(ledger, &rules, account, now);
    struct logins logins = {s, account, now, 0, 0, json_array()};
    struct ledger_entry g, any;

    sent = ledger_key_allowance(ledger, account);
    ledger_get(ledger, &guesses, &d, now, &g);
    *known = ledger_get(ledger, &sent, &d, now, &any) || g.offences > 0;
    each_login(&logins, list_login);
    *known |= json_array_size(logins.list) > 0;
    return json_pack("{s:s%, s:b, s:o, s:o, s:o, s:o, s:b, s:I, s:f, s:o, s:i, s:i, s:I}", "name",
                     account.at, account.len, "limited", allowance_is_on(&rules), "per_hour",
                     bucket_json(&state, BUCKET_HOUR), "per_day", bucket_json(&state, BUCKET_DAY),
                     "new_per_hour", bucket_json(&state, BUCKET_NEW_HOUR), "new_per_day",
                     bucket_json(&state, BUCKET_NEW_DAY), "stolen", state.stolen, "stolen_until_ms",
                     state.stolen ? (json_int_t)state.signs.stolen_till : (json_int_t)0, "guesses",
                     g.offences, "networks", logins.list, "known_networks", (int)logins.known,
                     "new_networks", (int)logins.fresh, "at_ms", (json_int_t)now);
}

/* Answers that nothing is known of that name: perhaps it is a mistyped address. */
static void not_known(struct control *c, const char *name)
{
    if (strchr(name, '@'))
        control_fail(c, CONTROL_MISSING,
                     "nothing is known of an account \"%.80s\": it has not logged in, and nobody "
                     "has guessed its password",
                     name);
    else
        control_fail(c, CONTROL_USAGE,
                     "\"%.80s\" is neither an address nor a network (192.0.2.7, 192.0.2.0/24, "
                     "2001:db8::1), nor an account that has logged in",
                     name);
}

void show_account_of(struct control *c, const char *name)
{
    bool known = false;
    json_t *account = account_json(c->steering, span_of(name), &known);

    if (!account) {
        control_fail(c, CONTROL_REFUSED, "not enough memory");
    } else if (!known) {
        json_decref(account);
        not_known(c, name);
    } else {
        control_done(c, json_pack("{s:o}", "account", account));
    }
}

static void forget_new(struct logins *l, const struct ledger_key *k, const struct addr *network,
                       uint64_t known_from)
{
    if (known_from && known_from <= l->now) {
        l->known++;
        return;
    }
    ledger_forget(l->steering->params->ledger, k);
    l->fresh++;
}

/* Networks that the account knows stay. Otherwise the network of the next login would be its first,
 * and so known at once; the same would be true where only other members know a network of it. False:
 * nothing is known of the account. */
static bool forget(struct steering *s, const char *name, struct account_released *r)
{
    struct ledger *ledger = s->params->ledger;
    char room[ALLOWANCE_NAME_MAX];
    struct span account = allowances_name(s->allowances, span_of(name), room);
    struct ledger_key allowance = ledger_key_allowance(ledger, account);
    struct ledger_key guesses = ledger_key_account(ledger, span_of(name));
    struct logins logins = {s, account, clock_wall_ms(), 0, 0, NULL};
    bool known = false;

    *r = (struct account_released){.common = allowance.common};
    snprintf(r->name, sizeof r->name, "%.*s", (int)account.len, account.at);
    json_decref(account_json(s, span_of(name), &known));
    bool elsewhere = ledger_is_elsewhere(ledger, &allowance);
    if (!known && !elsewhere)
        return false;
    each_login(&logins, forget_new);
    ledger_forget(ledger, &guesses);
    allowance_forget(ledger, account, logins.now, logins.known > 0 || elsewhere);
    r->forgotten = logins.fresh;
    r->kept = logins.known;
    return true;
}

enum { ACCOUNT_ORDER_MS = 15 * 60 * 1000 };

/* Whether it may be released on an order now. */
static bool is_free(struct steering *s, uint64_t hash)
{
    struct steering_account *oldest = &s->account[0];

    for (int i = 0; i < STEERING_ACCOUNTS; i++) {
        struct steering_account *a = &s->account[i];
        bool past = !a->hash || s->loop.now >= a->at_ms + ACCOUNT_ORDER_MS;
        if (a->hash == hash && !past)
            return false;
        if (past || (oldest->hash && a->at_ms < oldest->at_ms))
            oldest = a;
    }
    if (oldest->hash && s->loop.now < oldest->at_ms + ACCOUNT_ORDER_MS)
        return false;
    *oldest = (struct steering_account){hash, s->loop.now};
    return true;
}

bool account_release_ordered(struct steering *s, const char *name, struct account_released *r)
{
    char room[ALLOWANCE_NAME_MAX];
    struct span account = allowances_name(s->allowances, span_of(name), room);

    *r = (struct account_released){0};
    if (!is_account(name) || !is_free(s, ledger_key_allowance(s->params->ledger, account).hash))
        return false;
    forget(s, name, r);
    return true;
}

/* An account's release that waits for the other members. */
struct account_waiting {
    struct control *control;
    struct account_released released;
};

static void tell_released(struct control *c, const struct account_released *r,
                          const struct members_did *did)
{
    char text[1024], also[300] = "";

    if (did->done[0])
        snprintf(also, sizeof also, "; also at %s", did->done);
    snprintf(text, sizeof text,
             "account %s is released%s: what it has sent, guesses against it and new networks (%u) "
             "are forgotten; networks that it knows (%u) stay%s",
             r->name, did->missed[0] ? " in part" : "", r->forgotten, r->kept, also);
    if (did->missed[0])
        control_fail(c, CONTROL_REFUSED, "%s; not reached: %s (no answer)", text, did->missed);
    else
        control_done(c, json_pack("{s:s, s:i, s:i}", "text", text, "networks_forgotten",
                                  (int)r->forgotten, "networks_known", (int)r->kept));
}

static void others_released(void *arg, const char *answer)
{
    struct account_waiting *w = arg;
    struct control *c = w->control;
    struct members_did did = {0};

    members_did_read(answer, &did);
    tell_released(c, &w->released, &did);
    free(w);
    control_waited(c);
}

static void drop_waiting(void *state)
{
    struct account_waiting *w = state;

    member_ask_forget(&w->control->steering->members, w);
    free(w);
}

void release_account(struct control *c, const char *name)
{
    struct steering *s = c->steering;
    bool fleet = s->params->config->fleet.redis.count > 0;
    struct members_did did = {"", ""};
    struct account_waiting *w = NULL;
    struct account_released r;
    char text[ALLOWANCE_NAME_MAX + 64];

    if (!forget(s, name, &r)) {
        not_known(c, name);
        return;
    }
    control_log(c, "release", name);
    snprintf(text, sizeof text, "order release-account %016" PRIx64 " %s", r.common, name);
    if (fleet && (w = calloc(1, sizeof *w)) != NULL &&
        member_ask(&s->members, text, others_released, w) == 0) {
        *w = (struct account_waiting){.control = c, .released = r};
        control_wait(c, w, drop_waiting);
        return;
    }
    free(w);
    if (fleet)
        members_did_read(NULL, &did);
    tell_released(c, &r, &did);
}

unsigned stolen_accounts(const struct steering *s)
{
    const struct ledger *ledger = s->params->ledger;
    struct ledger_decay d = steering_decay(s);
    uint64_t now = clock_wall_ms(), at = 0;
    struct ledger_entry e;
    struct ledger_key k;
    unsigned stolen = 0;
    struct addr who;

    while (ledger_next(ledger, &at, &d, now, &k, &who, &e))
        if (k.kind == LEDGER_ALLOWANCE && ledger_signs(ledger, &k, now).stolen_till > now)
            stolen++;
    return stolen;
}
