/* The verifiers of a login name's domain in order: the first that accepts the password wins; if one
 * cannot decide and none accepts it, the result is "later". Verifiers of other domains never see
 * the password. A verifier behind a connection answers later, and then the next one is asked: so one
 * that hangs delays only those logins that need it. SCRAM is in auth_scram.c. */
#include "auth/auth.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "auth/auth_part.h"
#include "auth/file.h"
#include "base/clock.h"
#include "config/config.h"
#include "smtp/session.h"

enum {
    STEP_MS = 10000,  /* for a Dovecot that is not the last verifier of its domain */
    SETTLE_MS = 2000, /* auth_settle() */
    TURN_US = 1000,   /* for the hashes of one auth_look_after() */
};

static void backend_said(void *arg, struct auth_query *q, enum answer_result r);

static bool verifier_open(struct auth *a, size_t i)
{
    const struct auth_params *params = &a->params;
    const struct config_auth *c = &params->config->auth[i];
    struct verifier *v = &a->verifier[i];
    _Atomic uint32_t *accepted = params->accepted ? &params->accepted[i] : NULL;

    v->kind = c->kind;
    switch (c->kind) {
    case AUTH_FILE: v->at.file = file_auth_open(c->path, &params->decoys, accepted); break;
    case AUTH_DOVECOT: v->at.dovecot = dovecot_auth_open(c, params->slots); break;
    case AUTH_BACKEND:
        v->at.backend = backend_auth_open(params->config, params->addresses, params->slots,
                                          params->sharing, backend_said, a);
        break;
    }
    return v->at.any;
}

static void verifier_close(struct verifier *v)
{
    switch (v->kind) {
    case AUTH_FILE: file_auth_close(v->at.file); break;
    case AUTH_DOVECOT: dovecot_auth_close(v->at.dovecot); break;
    case AUTH_BACKEND: backend_auth_close(v->at.backend); break;
    }
}

static bool open_all(struct auth *a)
{
    const struct config *config = a->params.config;

    if (!scram_logins_open(&a->logins, a->params.slots ? a->params.slots : 1,
                           (uint32_t)clock_mono_us()))
        return false;
    for (size_t i = 0; i < config->auth_count; i++) {
        a->count++; /* also if it does not open */
        if (!verifier_open(a, i))
            return false;
    }
    return true;
}

struct auth *auth_open(const struct auth_params *params)
{
    struct auth *a = calloc(1, sizeof *a + params->config->auth_count * sizeof a->verifier[0]);

    if (!a)
        return NULL;
    a->params = *params;
    a->answers = -1;
    a->due_end = &a->due;
    if (open_all(a))
        return a;
    int error = errno;
    auth_close(a);
    errno = error;
    return NULL;
}

static void check_due(struct auth *a);

void auth_close(struct auth *a)
{
    if (!a)
        return;
    a->closing = true;
    while (a->due) /* nobody is asked any more */
        check_due(a);
    scram_logins_close(&a->logins);
    if (a->answers >= 0)
        close(a->answers);
    for (size_t i = 0; i < a->count; i++)
        verifier_close(&a->verifier[i]);
    free(a);
}

static uint32_t offers(struct verifier *v)
{
    uint32_t plain = SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN;
    uint32_t scram = SMTP_AUTH_SCRAM | SMTP_AUTH_SCRAM_PLUS;

    switch (v->kind) {
    case AUTH_FILE: return plain | (file_auth_has_scram(v->at.file, clock_mono_ms()) ? scram : 0);
    case AUTH_DOVECOT: return dovecot_auth_offers(v->at.dovecot);
    case AUTH_BACKEND: return plain;
    }
    return 0;
}

uint32_t auth_offers(struct auth *a)
{
    uint32_t any = 0, all = SMTP_AUTH_ALL;

    for (size_t i = 0; i < a->count; i++) {
        uint32_t o = offers(&a->verifier[i]);
        any |= o;
        all &= o;
    }
    return any & (all | SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN);
}

bool auth_route_has(const struct auth *a, const struct route *route, unsigned kinds)
{
    for (size_t i = 0; i < route->count; i++)
        if (kinds & 1U << a->verifier[route->section[i]].kind)
            return true;
    return false;
}

enum answer_result auth_of_file(const struct auth *a, const struct route *route,
                                const struct file_auth *f, enum answer_result r)
{
    bool others = auth_route_has(a, route, ~(1U << AUTH_FILE));

    return r == ANSWER_LATER && others && file_auth_is_empty(f) ? ANSWER_NO : r;
}

static enum answer_result check_file(const struct auth *a, const struct route *route,
                                     struct file_auth *f, const struct auth_query *q,
                                     struct answer *answer)
{
    struct span name = {0};
    enum answer_result r = file_auth_check(f, q->user, q->password, clock_mono_ms(), &name);

    if (name.len)
        answer_set_name(answer, name);
    return auth_of_file(a, route, f, r);
}

/* ---- answers that come later ---- */

void auth_tell(struct auth *a, auth_answered *answered, void *arg)
{
    a->answered = answered;
    a->arg = arg;
}

void auth_answer(struct auth *a, const struct auth_asker *asker, const struct answer *answer)
{
    if (a->answered)
        a->answered(a->arg, asker, answer);
}

/* After a reconnect a verifier may have its old descriptor, and is no longer watched: closing ended
 * that. */
static void watch_answers(struct auth *a, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events};

    if (a->answers < 0)
        a->answers = epoll_create1(EPOLL_CLOEXEC);
    if (a->answers >= 0 && epoll_ctl(a->answers, EPOLL_CTL_MOD, fd, &e) < 0 && errno == ENOENT)
        epoll_ctl(a->answers, EPOLL_CTL_ADD, fd, &e);
}

int auth_fd(struct auth *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct verifier *v = &a->verifier[i];
        if (v->kind == AUTH_DOVECOT && dovecot_auth_fd(v->at.dovecot) >= 0)
            watch_answers(a, dovecot_auth_fd(v->at.dovecot), dovecot_auth_events(v->at.dovecot));
        else if (v->kind == AUTH_BACKEND)
            watch_answers(a, backend_auth_fd(v->at.backend), EPOLLIN);
    }
    return a->answers;
}

void auth_read(struct auth *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->verifier[i].kind == AUTH_DOVECOT)
            dovecot_auth_read(a->verifier[i].at.dovecot, clock_mono_ms());
        else if (a->verifier[i].kind == AUTH_BACKEND)
            backend_auth_read(a->verifier[i].at.backend);
}

int auth_look_after(struct auth *a)
{
    int next = -1;

    for (size_t i = 0; i < a->count; i++)
        if (a->verifier[i].kind == AUTH_DOVECOT) {
            int ms = (int)dovecot_auth_look(a->verifier[i].at.dovecot, clock_mono_ms());
            next = next < 0 || ms < next ? ms : next;
        }
    for (uint64_t end = clock_mono_us() + TURN_US; a->due && clock_mono_us() < end;)
        check_due(a);
    return a->due ? 0 : next;
}

static bool are_connecting(const struct auth *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->verifier[i].kind == AUTH_DOVECOT &&
            dovecot_auth_is_connecting(a->verifier[i].at.dovecot))
            return true;
    return false;
}

void auth_settle(struct auth *a)
{
    uint64_t until = clock_mono_ms() + SETTLE_MS;

    (void)auth_look_after(a);
    while (are_connecting(a) && clock_mono_ms() < until) {
        struct pollfd p = {.fd = auth_fd(a), .events = POLLIN};
        int wait = auth_look_after(a);
        if (poll(&p, 1, wait < SETTLE_MS ? wait : SETTLE_MS) > 0)
            auth_read(a);
    }
}

/* ---- passwords ---- */

/* A name of a domain that no verifier has. The check takes as long as that of a wrong password in a
 * file; the file's verdict is ignored. */
static void check_nowhere(struct auth *a, struct span user, struct span password)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->verifier[i].kind == AUTH_FILE) {
            (void)file_auth_check(a->verifier[i].at.file, user, password, clock_mono_ms(), NULL);
            return;
        }
}

/* A password that Dovecot checks. */
struct dovecot_check {
    struct auth *auth;
    struct auth_query query;
    char text[]; /* of the query */
};

static void said(struct auth *a, struct auth_query *q, enum answer_result r, struct span name);

static void dovecot_said(void *arg, enum answer_result r, struct span text, struct span name)
{
    struct dovecot_check *c = arg;

    said(c->auth, &c->query, r, name);
    explicit_bzero(c->text, auth_query_octets(&c->query));
    free(c);
}

/* False: Dovecot cannot be asked. */
static bool ask_dovecot(struct auth *a, struct dovecot_auth *d, const struct auth_query *q,
                        bool is_last)
{
    struct dovecot_check *c = malloc(sizeof *c + auth_query_octets(q));

    if (!c)
        return false;
    c->auth = a;
    c->query = auth_query_copy(q, c->text);
    struct dovecot_request r = {.answered = dovecot_said,
                                .arg = c,
                                .slot = q->asker.slot,
                                .patience_ms = is_last ? QUERY_TIMEOUT_MS : STEP_MS};
    if (dovecot_auth_ask(d, &r, c->query.user, c->query.password, &q->client, clock_mono_ms()))
        return true;
    explicit_bzero(c->text, auth_query_octets(q));
    free(c);
    return false;
}

/* Asks the verifiers of the name's domain from q->at on; answer->result has the result of those
 * before. False: the answer comes later. */
static bool check_from(struct auth *a, struct auth_query *q, struct answer *answer)
{
    struct route route = config_login_route(a->params.config, q->user);

    if (route.count == 0)
        check_nowhere(a, q->user, q->password);
    if (a->closing && q->at < route.count && answer->result != ANSWER_YES) {
        answer->result = ANSWER_LATER; /* nobody is asked any more: a NO would be a guess */
        return true;
    }
    for (; q->at < route.count && answer->result != ANSWER_YES; q->at++) {
        struct verifier *v = &a->verifier[route.section[q->at]];
        enum answer_result r = ANSWER_LATER;
        q->so_far = (enum answer_result)answer->result;
        switch (v->kind) {
        case AUTH_FILE: r = check_file(a, &route, v->at.file, q, answer); break;
        case AUTH_DOVECOT:
            if (ask_dovecot(a, v->at.dovecot, q, q->at + 1 == route.count))
                return false;
            break;
        case AUTH_BACKEND:
            if (backend_auth_ask(v->at.backend, q))
                return false;
            break;
        }
        if (r != ANSWER_NO)
            answer->result = (uint16_t)r;
    }
    return true;
}

/* A password that a file checks after another verifier has answered. Many answers may come at once, and
 * each hash takes milliseconds: so these checks share the clerk's time with all other work. */
struct due {
    struct due *next;
    struct auth_query query;
    struct answer answer; /* so far */
    char text[];          /* of the query */
};

/* Leaves the check to auth_look_after() if a file is next. */
static bool put_off(struct auth *a, const struct auth_query *q, const struct answer *answer)
{
    struct route route = config_login_route(a->params.config, q->user);

    if (a->closing || answer->result == ANSWER_YES || q->at >= route.count ||
        a->verifier[route.section[q->at]].kind != AUTH_FILE)
        return false;
    struct due *d = malloc(sizeof *d + auth_query_octets(q));
    if (!d)
        return false;
    d->next = NULL;
    d->query = auth_query_copy(q, d->text);
    d->answer = *answer;
    *a->due_end = d;
    a->due_end = &d->next;
    return true;
}

/* Answers the oldest check that was put off, or hands it to the verifier after the file. */
static void check_due(struct auth *a)
{
    struct due *d = a->due;
    bool late = clock_mono_ms() >= d->query.until_ms;

    a->due = d->next;
    if (!a->due)
        a->due_end = &a->due;
    if (late)
        d->answer.result = ANSWER_LATER;
    if (late || check_from(a, &d->query, &d->answer))
        auth_answer(a, &d->query.asker, &d->answer);
    explicit_bzero(d->text, auth_query_octets(&d->query));
    free(d);
}

bool auth_has_checks(const struct auth *a)
{
    return a->due;
}

/* A verifier has answered: those after it are next. */
static void said(struct auth *a, struct auth_query *q, enum answer_result r, struct span name)
{
    struct answer answer = {.id = q->asker.id,
                            .result = (uint16_t)(r == ANSWER_NO ? q->so_far : r)};

    answer_set_name(&answer, name);
    q->at++;
    if (!put_off(a, q, &answer) && check_from(a, q, &answer))
        auth_answer(a, &q->asker, &answer);
}

static void backend_said(void *arg, struct auth_query *q, enum answer_result r)
{
    said(arg, q, r, (struct span){0});
}

bool auth_check(struct auth *a, const struct auth_asker *asker, struct span user,
                struct span password, const struct addr *client, struct answer *answer)
{
    struct auth_query q = {.asker = *asker,
                           .client = *client,
                           .user = user,
                           .password = password,
                           .until_ms = clock_mono_ms() + QUERY_TIMEOUT_MS};

    answer->result = ANSWER_NO;
    return check_from(a, &q, answer);
}
