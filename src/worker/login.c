/* Verdicts on AUTH: is this password right?
 *
 * As with recipients (recipient.c) the tarpit is asked for leave before anyone looks, here for the
 * account too (R14), and books what came of it. PLAIN and LOGIN are one question to a clerk. SCRAM
 * is two, between which the leave is kept: the first tells nothing, for a name that nobody has is
 * answered like any other, so it is not held; what comes of the second is the verdict, and the
 * reply that tells it waits, be it 535 or the 334 with our own proof. */
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "clerk/ask.h"
#include "config/config.h"
#include "worker/conn.h"

enum { BINDING_MAX = 64 };

/* A SCRAM login between its messages. */
struct login {
    struct tarpit_leave leave;
    uint64_t talk; /* 0: the first message has not been answered */
    char user[256];
};

void login_forget(struct conn *c)
{
    free(c->work->login);
    c->work->login = NULL;
}

void login_offers(struct worker *w)
{
    uint32_t auth = atomic_load_explicit(w->kit->auth, memory_order_relaxed);

    if (auth == w->auth)
        return;
    w->auth = auth;
    for (size_t i = 0; i < w->config->listen_count; i++)
        w->service[i].auth = w->config->listen[i].auth ? auth : 0;
}

/* Books a verdict, and says what may be told of it. */
static enum password_verdict decide(struct worker *w, struct conn *c,
                                    const struct tarpit_leave *leave, enum password_verdict v,
                                    struct span user)
{
    static const enum metric metric[] = {[PASSWORD_RIGHT] = METRIC_AUTH_OK,
                                         [PASSWORD_WRONG] = METRIC_AUTH_FAILED,
                                         [PASSWORD_LATER] = METRIC_AUTH_UNAVAILABLE};
    struct tarpit_who who = conn_who(w, c);

    metric_add(metric[v], 1);
    if (v != PASSWORD_LATER) {
        enum offence o = v == PASSWORD_WRONG ? OFFENCE_AUTH : OFFENCE_NONE;
        struct tarpit_hold hold = tarpit_verdict(&w->tarpit, &who, user, leave, o, w->loop.wall);
        if (hold.masked)
            v = PASSWORD_LATER;
        recipient_hold(c, hold);
    }
    if (v == PASSWORD_RIGHT)
        tarpit_logged_in(&w->tarpit, &who, &c->peer, user, w->loop.wall);
    return v;
}

static void wipe(struct smtp_step *step)
{
    explicit_bzero(step->login.user, sizeof step->login.user);
    explicit_bzero(step->login.response, sizeof step->login.response);
}

/* ---- a password ---- */

static void password_is(struct worker *w, struct conn *c, const struct tarpit_leave *leave,
                        enum password_verdict v, struct span user)
{
    smtp_password_is(&c->smtp, decide(w, c, leave, v, user));
}

bool login_begin(struct worker *w, struct conn *c, struct smtp_step *step)
{
    struct span user = span_of(step->login.user), password = span_of(step->login.response);
    struct tarpit_who who = conn_who(w, c);
    struct tarpit_leave leave = tarpit_ask(&w->tarpit, &who, user, w->loop.wall);
    bool asked = false;

    if (leave.masked) {
        recipient_masked(c, &leave);
        smtp_password_is(&c->smtp, PASSWORD_LATER);
    } else {
        asked = question_ask(w, c,
                             question_new(ASK_PASSWORD, &leave, (struct span){0}, user, password));
        if (!asked)
            password_is(w, c, &leave, PASSWORD_LATER, user);
    }
    wipe(step);
    return !asked;
}

/* ---- SCRAM ---- */

static void scram_is(struct worker *w, struct conn *c, enum password_verdict v, struct span text)
{
    struct login *l = c->work->login;

    v = decide(w, c, &l->leave, v, span_of(l->user));
    if (v == PASSWORD_RIGHT) /* a 334 has no lines to continue on */
        c->work->hold.drip_at_ms = 0;
    smtp_scram_is(&c->smtp, v, text);
    login_forget(c);
}

static bool ask_scram(struct worker *w, struct conn *c, struct span message, struct span binding)
{
    struct login *l = c->work->login;
    struct question *q = question_new(ASK_SCRAM, &l->leave, (struct span){0}, message, binding);

    if (q)
        q->talk = l->talk;
    if (question_ask(w, c, q))
        return true;
    scram_is(w, c, PASSWORD_LATER, (struct span){0});
    return false;
}

/* True when there may be a first message. */
static bool new_login(struct conn *c, const struct tarpit_leave *leave, const char *user)
{
    struct work *k = conn_work(c);

    if (!k)
        return false;
    free(k->login);
    k->login = calloc(1, sizeof *k->login);
    if (!k->login)
        return false;
    k->login->leave = *leave;
    strcpy(k->login->user, user);
    return true;
}

static bool first_message(struct worker *w, struct conn *c, const struct smtp_step *step)
{
    struct tarpit_who who = conn_who(w, c);
    struct tarpit_leave leave =
        tarpit_ask(&w->tarpit, &who, span_of(step->login.user), w->loop.wall);
    char bound[BINDING_MAX];
    size_t len = tls_binding(w, c, step->login.binding, bound, sizeof bound);

    if (leave.masked)
        recipient_masked(c, &leave);
    if (leave.masked || !new_login(c, &leave, step->login.user)) {
        smtp_scram_is(&c->smtp, PASSWORD_LATER, (struct span){0});
        return true;
    }
    return !ask_scram(w, c, span_of(step->login.response), (struct span){bound, len});
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

bool login_judged(struct worker *w, struct conn *c, struct question *q)
{
    bool scram = q->kind == ASK_SCRAM;
    struct tarpit_who who = conn_who(w, c);
    struct span user = scram ? span_of(c->work->login->user) : (struct span){q->text, q->first_len};
    struct tarpit_leave leave = tarpit_ask(&w->tarpit, &who, user, w->loop.wall);

    q->leave = leave;
    if (scram)
        c->work->login->leave = leave;
    if (!leave.masked)
        return true;
    recipient_masked(c, &leave);
    if (scram) {
        smtp_scram_is(&c->smtp, PASSWORD_LATER, (struct span){0});
        login_forget(c);
    } else {
        smtp_password_is(&c->smtp, PASSWORD_LATER);
    }
    return false;
}

/* ---- a clerk's answer ---- */

static void scram_answered(struct worker *w, struct conn *c, const struct question *q,
                           const struct answer *a, enum password_verdict v)
{
    bool more = a && a->result == ANSWER_MORE && !q->talk && a->talk &&
                talk_clerk(a->talk) < w->kit->clerks;
    struct span text = {a ? a->text : "", a ? a->len : 0};

    if (more) {
        c->work->login->talk = a->talk;
        smtp_scram_is(&c->smtp, PASSWORD_MORE, text);
    } else {
        scram_is(w, c, v, text);
    }
}

void login_answered(struct worker *w, struct conn *c, const struct question *q,
                    const struct answer *a)
{
    uint16_t result = a ? a->result : ANSWER_LATER;
    enum password_verdict v = result == ANSWER_YES  ? PASSWORD_RIGHT
                              : result == ANSWER_NO ? PASSWORD_WRONG
                                                    : PASSWORD_LATER;

    if (q->kind == ASK_SCRAM)
        scram_answered(w, c, q, a, v);
    else
        password_is(w, c, &q->leave, v, (struct span){q->text, q->first_len});
}
