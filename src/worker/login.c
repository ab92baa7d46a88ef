/* Verdicts on AUTH: checks passwords.
 *
 * As with recipients (recipient.c) the tarpit is asked for a permit before the query, here for the
 * account too (R14), and books the result. PLAIN and LOGIN are one query to a clerk. SCRAM is two,
 * and the permit is kept between them. The answer to the first reveals nothing, because a name that
 * does not exist gets one like any other; if a turn was taken, it is not sent before the turn
 * begins. A login that is dropped after it is booked like a wrong password. The result of the
 * second query is the verdict, and the reply that tells it is held, whether it is 535 or the 334
 * with our own proof.
 *
 * A password whose account knows the client's network may be checked out of turn (R14): it is
 * looked up although its permit says "masked" or its turn is to come. A right one is told at once;
 * for a wrong one the client hears the same, at the same time, as if nothing had been looked up.
 * SCRAM's first message gets an answer before a password is known, so an answer out of turn would
 * tell that the account knows the network: SCRAM waits.
 *
 * R14 counts by the verifier's name for the account. Before the verifier has answered, that name
 * comes from its earlier answers (accounts.c). If the query turns out to be about another account,
 * the tarpit is asked for a permit for that account before anything is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "config/config.h"
#include "query/query.h"
#include "smtp/address.h"
#include "worker/accounts.h"
#include "worker/conn.h"
#include "worker/journal.h"
#include "worker/judge.h"
#include "worker/login.h"
#include "worker/queries.h"
#include "worker/sending.h"
#include "worker/tls.h"
#include "worker/verdict.h"
#include "worker/worker_part.h"

enum { BINDING_MAX = 64 };

/* A SCRAM login between its messages. */
struct login {
    struct tarpit_permit permit;
    uint64_t login_id; /* 0: the first message has not been answered */
    char user[256];
};

void login_forget(struct conn *c)
{
    free(c->work->login);
    c->work->login = NULL;
}

void login_offers(struct worker *w)
{
    uint32_t auth = atomic_load_explicit(w->params->auth, memory_order_relaxed);

    if (auth == w->auth)
        return;
    w->auth = auth;
    for (size_t i = 0; i < w->config->listen_count; i++)
        w->service[i].auth = w->config->listen[i].auth ? auth : 0;
}

/* ---- accounts ---- */

static bool is_known(const struct worker *w, const struct conn *c, struct span name)
{
    struct ledger_key key = ledger_key_account_network(w->tarpit.ledger, name, &c->peer);
    struct ledger_entry e;

    return ledger_get(w->tarpit.ledger, &key, &(struct ledger_decay){0}, w->loop.wall, &e) &&
           e.flags & LEDGER_KNOWN;
}

/* The account for R14. A network that has logged in with the typed name stays known. */
static struct span account_of(const struct worker *w, const struct conn *c, struct span typed)
{
    struct span name = accounts_name(w->accounts, typed);

    return name.at == typed.at || !is_known(w, c, typed) ? name : typed;
}

static struct tarpit_permit ask_permit(struct worker *w, struct conn *c, struct span typed)
{
    return judge_ask(w, c, account_of(w, c, typed));
}

/* Makes a query to a clerk, with the line of strangers for the name that the client typed. */
static struct query *new_query(struct worker *w, enum query_kind kind,
                               const struct tarpit_permit *permit, struct span typed,
                               struct span first, struct span second)
{
    struct query *q = query_new(kind, permit, (struct span){0}, first, second);

    if (q)
        q->strangers = accounts_line(w->accounts, typed);
    return q;
}

static void note_login(struct worker *w, struct conn *c, struct span typed, struct span account)
{
    struct tarpit_who who = conn_who(w, c);

    tarpit_logged_in(&w->tarpit, &who, &c->peer, account, w->loop.wall);
    if (!span_equal_fold(typed, account)) /* known even before the verifier has answered */
        tarpit_logged_in(&w->tarpit, &who, &c->peer, typed, w->loop.wall);
}

/* ---- verdicts ---- */

static bool is_spared(const struct tarpit_permit *permit)
{
    return permit && permit->masked && permit->tried;
}

/* The hold of a masked reply after a look-up out of turn: from when the client asked. */
static struct tarpit_hold since_asked(const struct worker *w, struct tarpit_hold hold,
                                      uint64_t asked_ms)
{
    uint64_t waited = w->loop.now - asked_ms;

    hold.waited_ms = (uint32_t)(waited < hold.ms ? waited : hold.ms);
    return hold;
}

/* What a verdict is about. */
struct verdict_of {
    struct span typed, name; /* the client's name for the account; the verifier's, or empty */
    const struct tarpit_permit *permit;
    uint64_t asked_ms; /* loop ms; 0: no query was made */
};

static struct tarpit_hold book(struct worker *w, struct conn *c, const struct verdict_of *of,
                               struct span account, bool right)
{
    const struct tarpit_permit *permit = of->permit;
    struct tarpit_permit again;

    if (permit->stranger_to &&
        permit->stranger_to != ledger_key_account(w->tarpit.ledger, account).hash) {
        again = judge_ask(w, c, account);
        permit = &again;
    }
    struct tarpit_hold hold =
        judge_verdict(w, c, account, (struct span){0}, permit, right ? OFFENCE_NONE : OFFENCE_AUTH);
    uint64_t waited = w->loop.now - of->asked_ms;
    if (is_spared(permit) && hold.masked)
        return since_asked(w, hold, of->asked_ms);
    if (hold.masked && of->asked_ms && waited < TARPIT_LOOKED_UP_MS)
        hold.ms += TARPIT_LOOKED_UP_MS - waited; /* so its time reveals nothing */
    return hold;
}

/* Books a verdict, and returns the one that may be told. */
static enum password_verdict decide(struct worker *w, struct conn *c, enum password_verdict v,
                                    const struct verdict_of *of)
{
    if (v == PASSWORD_LATER) {
        metric_add(METRIC_AUTH_UNAVAILABLE, 1);
        if (of->permit)
            judge_no_verdict(w, c, of->permit);
        if (is_spared(of->permit))
            verdict_hold(c, since_asked(w, of->permit->hold, of->asked_ms));
        return v;
    }
    accounts_learn(w->accounts, of->typed, of->name);
    struct span account = account_of(w, c, of->typed);
    struct span name = of->name.len ? of->name : account;
    /* R23: a refused client hears, and waits, as for a wrong password. */
    if (v == PASSWORD_RIGHT && !sending_may_log_in(w, c, name))
        v = PASSWORD_WRONG;
    metric_add(v == PASSWORD_RIGHT ? METRIC_AUTH_OK : METRIC_AUTH_FAILED, 1);
    struct tarpit_hold hold = book(w, c, of, account, v == PASSWORD_RIGHT);
    journal_step(c, v == PASSWORD_RIGHT ? "password right" : "password wrong",
                 "%.*s, rule %s, held %.1f s%s", (int)account.len, account.at,
                 hold.rule ? tarpit_rule_name(hold.rule) : "none", (double)hold.ms / 1000,
                 hold.masked ? ", masked" : "");
    if (of->permit && of->permit->tried)
        metric_add(v == PASSWORD_RIGHT ? METRIC_AUTH_OUT_OF_TURN : METRIC_AUTH_OUT_OF_TURN_FAILED,
                   1);
    if (hold.masked)
        v = PASSWORD_LATER;
    verdict_hold(c, hold);
    if (v != PASSWORD_RIGHT)
        return v;
    sending_logged_in(w, c, name); /* first: it notes when that network was new */
    note_login(w, c, of->typed, name);
    return envelope_set_login(&c->smtp.envelope, name) == 0 ? v : PASSWORD_LATER;
}

static void wipe(struct smtp_step *step)
{
    explicit_bzero(step->login.user, sizeof step->login.user);
    explicit_bzero(step->login.response, sizeof step->login.response);
}

/* ---- a password ---- */

static void password_is(struct worker *w, struct conn *c, enum password_verdict v,
                        const struct verdict_of *of)
{
    smtp_password_is(&c->smtp, decide(w, c, v, of));
}

static void note_try(struct conn *c, const struct tarpit_permit *permit)
{
    if (permit->tried)
        journal_step(c, "tries out of turn", "the account knows this network (R14)");
    if (permit->no_try) {
        metric_add(METRIC_AUTH_NO_TRY, 1);
        journal_step(c, "waits like a stranger",
                     "the account knows this network, and too many passwords were wrong (R14)");
    }
}

bool login_begin(struct worker *w, struct conn *c, struct smtp_step *step)
{
    struct span user = span_of(step->login.user), password = span_of(step->login.response);
    struct tarpit_permit permit = judge_ask_password(w, c, account_of(w, c, user));
    bool asked = false;

    note_try(c, &permit);
    if (permit.masked && !permit.tried) {
        verdict_masked(c, &permit);
        smtp_password_is(&c->smtp, PASSWORD_LATER);
    } else {
        asked = query_ask(w, c, new_query(w, QUERY_PASSWORD, &permit, user, user, password));
        if (!asked)
            password_is(
                w, c, PASSWORD_LATER,
                &(struct verdict_of){.typed = user, .permit = &permit, .asked_ms = w->loop.now});
    }
    wipe(step);
    return !asked;
}

/* ---- SCRAM ---- */

static void scram_is(struct worker *w, struct conn *c, enum password_verdict v, struct span text,
                     const struct verdict_of *of)
{
    v = decide(w, c, v, of);
    if (v == PASSWORD_RIGHT) /* a 334 cannot have continuation lines */
        c->work->hold.drip_at_ms = 0;
    smtp_scram_is(&c->smtp, v, text);
    login_forget(c);
}

static bool ask_scram(struct worker *w, struct conn *c, struct span message, struct span binding)
{
    struct login *l = c->work->login;
    struct query *q = new_query(w, QUERY_SCRAM, &l->permit, span_of(l->user), message, binding);

    if (q)
        q->login_id = l->login_id;
    if (query_ask(w, c, q))
        return true;
    scram_is(w, c, PASSWORD_LATER, (struct span){0}, &(struct verdict_of){0});
    return false;
}

/* True if a SCRAM login may begin. */
static bool new_login(struct conn *c, const struct tarpit_permit *permit, const char *user)
{
    struct work *k = conn_work(c);

    if (!k)
        return false;
    free(k->login);
    k->login = calloc(1, sizeof *k->login);
    if (!k->login)
        return false;
    k->login->permit = *permit;
    strcpy(k->login->user, user);
    return true;
}

static bool first_message(struct worker *w, struct conn *c, const struct smtp_step *step)
{
    struct tarpit_permit permit = ask_permit(w, c, span_of(step->login.user));
    char bound[BINDING_MAX];
    size_t len = tls_binding(w, c, step->login.binding, bound, sizeof bound);

    if (permit.masked)
        verdict_masked(c, &permit);
    if (permit.masked || !new_login(c, &permit, step->login.user)) {
        smtp_scram_is(&c->smtp, PASSWORD_LATER, (struct span){0});
        return true;
    }
    return !ask_scram(w, c, span_of(step->login.response), (struct span){bound, len});
}

/* A client that requests the first message for a name and leaves has guessed too, unless the
 * account knows its network. */
bool login_dropped(struct worker *w, struct conn *c, bool booked, struct tarpit_hold *hold)
{
    struct login *l = c->work ? c->work->login : NULL;
    bool guess = l && l->login_id && l->permit.stranger_to && !booked;

    if (guess) {
        metric_add(METRIC_AUTH_FAILED, 1);
        metric_add(METRIC_OFFENCE_AUTH, 1);
        *hold = judge_verdict(w, c, account_of(w, c, span_of(l->user)), (struct span){0},
                              &l->permit, OFFENCE_AUTH);
        c->offences++;
    }
    if (l)
        login_forget(c);
    return guess;
}

bool login_scram(struct worker *w, struct conn *c, struct smtp_step *step)
{
    bool done = true;

    if (step->login.user[0])
        done = first_message(w, c, step);
    else if (c->work && c->work->login)
        done = !ask_scram(w, c, span_of(step->login.response), (struct span){0});
    else
        smtp_scram_is(&c->smtp, PASSWORD_LATER, (struct span){0});
    wipe(step);
    return done;
}

/* ---- out of the line ---- */

bool login_judged(struct worker *w, struct conn *c, struct query *q)
{
    bool scram = q->kind == QUERY_SCRAM;
    struct span user = scram ? span_of(c->work->login->user) : (struct span){q->text, q->first_len};
    struct tarpit_permit permit = ask_permit(w, c, user);

    q->permit = permit;
    if (scram)
        c->work->login->permit = permit;
    if (!permit.masked)
        return true;
    verdict_masked(c, &permit);
    if (scram) {
        smtp_scram_is(&c->smtp, PASSWORD_LATER, (struct span){0});
        login_forget(c);
    } else {
        smtp_password_is(&c->smtp, PASSWORD_LATER);
    }
    return false;
}

/* ---- a clerk's answer ---- */

/* Holds the reply to SCRAM's first message until its turn begins, and for strangers until the time
 * at which the answer for an unknown name could come. */
static void hold_first(struct worker *w, struct conn *c, const struct query *q,
                       const struct answer *a)
{
    const struct tarpit_permit *permit = &c->work->login->permit;
    uint64_t waited = w->loop.now - q->asked_ms;
    uint64_t ms = permit->turn_begin > w->loop.wall ? permit->turn_begin - w->loop.wall : 0;

    if (permit->stranger_to && a->wait_ms > waited && a->wait_ms - waited > ms)
        ms = a->wait_ms - waited;
    if (!w->config->observe)
        verdict_hold(c, (struct tarpit_hold){.ms = ms});
}

/* The verifier's name for the account. Verifiers of different domains may use one name for
 * different people, so a name without a domain gets a domain of the verifier. The same domain is
 * used however the client writes the name. Otherwise a verifier that ignores the domain would have
 * an account of a person for each domain below its suffix. Valid until the next call. */
static struct span answered_name(const struct worker *w, struct span typed, const struct answer *a)
{
    static char whole[256];
    struct span name = a ? answer_name(a) : (struct span){0};
    struct span domain = config_login_home(w->config, typed);

    if (!name.len || address_sign(name) < name.len || !domain.len)
        return name;
    int len = snprintf(whole, sizeof whole, "%.*s@%.*s", (int)name.len, name.at, (int)domain.len,
                       domain.at);
    return len > 0 && (size_t)len < sizeof whole ? (struct span){whole, (size_t)len} : typed;
}

static void scram_answered(struct worker *w, struct conn *c, const struct query *q,
                           const struct answer *a, enum password_verdict v)
{
    bool more = a && a->result == ANSWER_MORE && !q->login_id && a->login_id &&
                scram_id_clerk(a->login_id) < w->params->clerks;
    struct span text = {a ? a->text : "", a ? a->len : 0};

    if (more) {
        c->work->login->login_id = a->login_id;
        hold_first(w, c, q, a);
        smtp_scram_is(&c->smtp, PASSWORD_MORE, text);
    } else {
        scram_is(w, c, v, text,
                 &(struct verdict_of){span_of(c->work->login->user),
                                      answered_name(w, span_of(c->work->login->user), a),
                                      &c->work->login->permit, q->asked_ms});
    }
}

void login_answered(struct worker *w, struct conn *c, const struct query *q, const struct answer *a)
{
    uint16_t result = a ? a->result : ANSWER_LATER;
    enum password_verdict v = result == ANSWER_YES  ? PASSWORD_RIGHT
                              : result == ANSWER_NO ? PASSWORD_WRONG
                                                    : PASSWORD_LATER;

    if (q->kind == QUERY_SCRAM)
        scram_answered(w, c, q, a, v);
    else
        password_is(w, c, v,
                    &(struct verdict_of){(struct span){q->text, q->first_len},
                                         answered_name(w, (struct span){q->text, q->first_len}, a),
                                         &q->permit, q->asked_ms});
}
