/* The verifiers of a login name's domain in order: the first that accepts the password wins; if one
 * cannot decide and none accepts it, the result is "later". Verifiers of other domains never see
 * the password. With SCRAM the first that knows the name decides, because the answer to the
 * client's first message comes from that verifier. See scram_logins.h for what happens between the
 * two messages. */
#include "auth/auth.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "auth/file.h"
#include "auth/remote.h"
#include "auth/scram_logins.h"
#include "base/clock.h"
#include "config/config.h"
#include "smtp/scram.h"
#include "smtp/session.h"

enum { USER_MAX = 255 };

/* How long Dovecot delays a "no such user": the bounds of our estimate. */
enum { UNKNOWN_MS = 600, UNKNOWN_JITTER_MS = 100, UNKNOWN_MAX_MS = 5000 };

struct verifier {
    enum auth_kind kind;
    union { /* by kind */
        struct file_auth *file;
        struct dovecot_auth *dovecot;
        struct backend_auth *backend;
        void *any;
    } at;
};

struct auth {
    struct auth_params params;
    auth_answered *answered; /* see auth_tell() */
    void *arg;
    int answers; /* epoll: the verifiers that answer later; -1: there are none */
    struct scram_logins logins;
    size_t count;
    struct verifier verifier[];
};

static void backend_said(void *arg, struct auth_query *q, enum answer_result r);

static bool verifier_open(struct auth *a, struct verifier *v, const struct config_auth *c)
{
    const struct auth_params *params = &a->params;

    v->kind = c->kind;
    switch (c->kind) {
    case AUTH_FILE: v->at.file = file_auth_open(c->path, &params->decoys); break;
    case AUTH_DOVECOT: v->at.dovecot = dovecot_auth_open(c); break;
    case AUTH_BACKEND:
        v->at.backend =
            backend_auth_open(params->config, params->addresses, params->slots, backend_said, a);
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

struct auth *auth_open(const struct auth_params *params)
{
    const struct config *config = params->config;
    struct auth *a = calloc(1, sizeof *a + config->auth_count * sizeof a->verifier[0]);

    if (a) {
        a->params = *params;
        a->answers = -1;
    }
    for (size_t i = 0; a && i < config->auth_count; i++) {
        a->count++;
        if (!verifier_open(a, &a->verifier[i], &config->auth[i])) {
            int error = errno;
            auth_close(a);
            errno = error;
            return NULL;
        }
    }
    return a;
}

void auth_close(struct auth *a)
{
    if (!a)
        return;
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
    case AUTH_DOVECOT: return dovecot_auth_offers(v->at.dovecot, clock_mono_ms());
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

static enum answer_result check_file(struct file_auth *f, struct span user, struct span password,
                                     struct answer *answer)
{
    struct span name = {0};
    enum answer_result r = file_auth_check(f, user, password, clock_mono_ms(), &name);

    if (name.len)
        answer_set_name(answer, name);
    return r;
}

static enum answer_result check_dovecot(struct dovecot_auth *d, struct span user,
                                        struct span password, const struct addr *client,
                                        struct answer *answer)
{
    struct buf name = {0};
    enum answer_result r = dovecot_auth_check(d, user, password, client, &name);

    if (name.len)
        answer_set_name(answer, buf_span(&name));
    buf_free(&name);
    return r;
}

static enum answer_result check(struct verifier *v, struct span user, struct span password,
                                const struct addr *client, struct answer *answer)
{
    switch (v->kind) {
    case AUTH_FILE: return check_file(v->at.file, user, password, answer);
    case AUTH_DOVECOT: return check_dovecot(v->at.dovecot, user, password, client, answer);
    case AUTH_BACKEND: break; /* asked in a thread */
    }
    return ANSWER_LATER;
}

/* The verifier that may answer later besides backends: Dovecot, if it is the last one of a domain. */
static struct dovecot_auth *last_word(const struct auth *a, const struct route *route)
{
    const struct verifier *last =
        route->count ? &a->verifier[route->section[route->count - 1]] : NULL;

    return last && last->kind == AUTH_DOVECOT ? last->at.dovecot : NULL;
}

void auth_tell(struct auth *a, auth_answered *answered, void *arg)
{
    a->answered = answered;
    a->arg = arg;
    for (size_t i = 0; i < a->count; i++)
        if (a->verifier[i].kind == AUTH_DOVECOT)
            dovecot_auth_tell(a->verifier[i].at.dovecot, answered, arg);
}

/* After a reconnect a verifier may have its old descriptor, and is no longer watched: closing ended
 * that. */
static void watch_answers(struct auth *a, int fd)
{
    struct epoll_event e = {.events = EPOLLIN};

    if (a->answers < 0)
        a->answers = epoll_create1(EPOLL_CLOEXEC);
    if (a->answers >= 0)
        epoll_ctl(a->answers, EPOLL_CTL_ADD, fd, &e);
}

int auth_fd(struct auth *a)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct verifier *v = &a->verifier[i];
        int fd = v->kind == AUTH_DOVECOT   ? dovecot_auth_fd(v->at.dovecot)
                 : v->kind == AUTH_BACKEND ? backend_auth_fd(v->at.backend)
                                           : -1;
        if (fd >= 0)
            watch_answers(a, fd);
    }
    return a->answers;
}

void auth_read(struct auth *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->verifier[i].kind == AUTH_DOVECOT)
            dovecot_auth_read(a->verifier[i].at.dovecot);
        else if (a->verifier[i].kind == AUTH_BACKEND)
            backend_auth_read(a->verifier[i].at.backend);
}

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

/* Asks the verifiers of the name's domain from q->at on; answer->result has the result of those
 * before. False: the answer comes later. */
static bool check_from(struct auth *a, struct auth_query *q, struct answer *answer)
{
    struct route route = config_login_route(a->params.config, q->user);
    struct dovecot_auth *last = last_word(a, &route);

    if (route.count == 0)
        check_nowhere(a, q->user, q->password);
    for (; q->at < route.count && answer->result != ANSWER_YES; q->at++) {
        struct verifier *v = &a->verifier[route.section[q->at]];
        enum answer_result r = ANSWER_LATER;
        q->so_far = (enum answer_result)answer->result;
        if (v->kind == AUTH_BACKEND) {
            if (backend_auth_ask(v->at.backend, q))
                return false;
        } else if (v->at.any == last && answer->result == ANSWER_NO) {
            if (dovecot_auth_ask(last, q->user, q->password, &q->client, &q->asker))
                return false;
        } else {
            r = check(v, q->user, q->password, &q->client, answer);
        }
        if (r != ANSWER_NO)
            answer->result = (uint16_t)r;
    }
    return true;
}

/* A backend has answered: the verifiers after it are next. */
static void backend_said(void *arg, struct auth_query *q, enum answer_result r)
{
    struct auth *a = arg;
    struct answer answer = {.id = q->asker.id,
                            .result = (uint16_t)(r == ANSWER_NO ? q->so_far : r)};

    q->at++;
    if (check_from(a, q, &answer) && a->answered)
        a->answered(a->arg, &q->asker, (enum answer_result)answer.result, (struct span){0},
                    answer_name(&answer));
}

bool auth_check(struct auth *a, const struct auth_asker *asker, struct span user,
                struct span password, const struct addr *client, struct answer *answer)
{
    struct auth_query q = {.asker = *asker, .client = *client, .user = user, .password = password};

    answer->result = ANSWER_NO;
    return check_from(a, &q, answer);
}

/* ---- SCRAM ---- */

/* A client's first message, and its result so far. */
struct opening {
    struct span message, binding, user;
    const struct addr *client;
    struct scram_pending *pending;
    struct scram_secret secret; /* if no verifier knows the name: what the decoy looks like */
    bool has_secret;
    size_t lines;     /* lines of all files so far */
    uint32_t wait_ms; /* strangers do not get the answer earlier */
    struct buf answer;
};

/* Handles the login here, with the stored form of the password or with a decoy. */
static enum answer_result begin_here(struct opening *o)
{
    char ours[SCRAM_OURS_MAX];
    struct scram_login *login = &o->pending->login;

    login->secret = o->secret;
    if (scram_nonce(ours, sizeof ours) < 0)
        return ANSWER_LATER;
    int error = scram_login_begin(login, o->message, o->binding, (struct span){ours, sizeof ours},
                                  &o->answer);
    return error == -EBADMSG ? ANSWER_NO : error ? ANSWER_LATER : ANSWER_MORE;
}

/* Whether the decoy for this name looks like a line of this file or like one of the files before:
 * in proportion to their lines, and always the same for a name. */
static bool falls_to(const struct auth *a, const struct opening *o, size_t lines)
{
    struct siphash h;

    siphash_start(&h, &a->params.decoys);
    siphash_add(&h, &o->lines, sizeof o->lines);
    siphash_add(&h, o->user.at, o->user.len);
    return (double)(siphash_end(&h) >> 11) * 0x1p-53 * (double)o->lines < (double)lines;
}

static enum answer_result begin_file(const struct auth *a, struct opening *o, struct file_auth *f)
{
    struct scram_secret secret = {0};
    struct span name = {0};
    enum answer_result r = file_auth_secret(f, o->user, clock_mono_ms(), &secret, &name);

    if (r == ANSWER_LATER)
        return r;
    o->lines += file_auth_lines(f);
    if (r == ANSWER_NO && o->has_secret && !falls_to(a, o, file_auth_lines(f)))
        return r;
    o->secret = secret;
    o->has_secret = true;
    if (r == ANSWER_YES && buf_add_span(&o->pending->name, name) < 0)
        return ANSWER_LATER;
    return r == ANSWER_YES ? begin_here(o) : r;
}

/* Dovecot sends a known user's challenge at once, and delays "no such user" (by half a second, or
 * its auth_failure_delay). A decoy looks like the challenges that it sent for others, and no
 * stranger gets either answer before that time has passed. */
static enum answer_result begin_dovecot(const struct auth *a, struct opening *o,
                                        struct dovecot_auth *d)
{
    struct scram_shapes *shapes = a->params.shapes;
    uint64_t begun = clock_mono_ms();

    if (o->binding.len)
        return ANSWER_LATER; /* it was not offered */
    enum answer_result r =
        dovecot_scram_begin(d, o->message, o->client, &o->pending->dovecot, &o->answer);
    uint64_t took = clock_mono_ms() - begun, most = atomic_load(&shapes->unknown_ms);
    if (r == ANSWER_MORE) {
        o->pending->at = d;
        scram_shapes_note(shapes, &a->params.decoys, o->user, buf_span(&o->answer));
    }
    if (r == ANSWER_NO) { /* the longest of the last ones */
        most = took > most ? took : most - most / 8;
        most = most < UNKNOWN_MAX_MS ? most : UNKNOWN_MAX_MS;
        atomic_store(&shapes->unknown_ms, most);
    }
    o->wait_ms = most < UNKNOWN_MS ? UNKNOWN_MS : (uint32_t)most + UNKNOWN_JITTER_MS;
    if (r == ANSWER_NO && !o->has_secret)
        o->has_secret = scram_shapes_like(shapes, &a->params.decoys, o->user, &o->secret);
    return r;
}

static enum answer_result begin(const struct auth *a, struct verifier *v, struct opening *o)
{
    switch (v->kind) {
    case AUTH_FILE: return begin_file(a, o, v->at.file);
    case AUTH_DOVECOT: return begin_dovecot(a, o, v->at.dovecot);
    case AUTH_BACKEND: break;
    }
    return ANSWER_LATER;
}

/* Unknown name: the client must not notice that before it sends its proof, which is then
 * refused. */
static enum answer_result begin_decoy(struct auth *a, struct opening *o)
{
    struct scram_secret like = o->secret;

    scram_secret_decoy(&a->params.decoys, o->user, o->has_secret ? &like : NULL, &o->secret);
    o->pending->login.decoy = true;
    return begin_here(o);
}

/* For a name that no verifier has: the decoy is like the lines of the first file. */
static void look_like_a_file(struct auth *a, struct opening *o)
{
    struct span name = {0};

    for (size_t i = 0; i < a->count && !o->has_secret; i++)
        o->has_secret = a->verifier[i].kind == AUTH_FILE &&
                        file_auth_secret(a->verifier[i].at.file, o->user, clock_mono_ms(),
                                         &o->secret, &name) != ANSWER_LATER;
}

static enum answer_result begin_any(struct auth *a, struct opening *o)
{
    struct scram_first first;
    char user[USER_MAX + 1];
    enum answer_result result = ANSWER_NO;

    if (!scram_read_first(o->message, &first) || !scram_name(first.user, user, sizeof user))
        return ANSWER_NO;
    o->user = span_of(user);
    struct route route = config_login_route(a->params.config, o->user);
    if (route.count == 0)
        look_like_a_file(a, o);
    for (size_t i = 0; i < route.count && result == ANSWER_NO; i++)
        result = begin(a, &a->verifier[route.section[i]], o);
    return result == ANSWER_NO ? begin_decoy(a, o) : result;
}

/* Adds the text for the client, if it fits. */
static void put_text(struct answer *answer, struct buf *text)
{
    if (text->len > sizeof answer->text) {
        answer->result = ANSWER_LATER;
    } else if (text->len) {
        answer->len = (uint16_t)text->len;
        memcpy(answer->text, text->at, text->len);
    }
    buf_free(text);
}

void auth_scram_begin(struct auth *a, uint16_t slot, struct span message, struct span binding,
                      const struct addr *client, struct answer *answer)
{
    struct opening o = {.message = message, .binding = binding, .client = client};

    answer->result = ANSWER_LATER;
    o.pending = scram_logins_begin(&a->logins, slot);
    if (!o.pending)
        return;
    answer->result = (uint16_t)begin_any(a, &o);
    answer->login_id = scram_id(a->params.clerk, o.pending->number);
    answer->wait_ms = (uint16_t)o.wait_ms;
    put_text(answer, &o.answer);
    explicit_bzero(&o.secret, sizeof o.secret);
    if (answer->result != ANSWER_MORE)
        scram_logins_end(&a->logins, o.pending);
}

bool auth_scram_go_on(struct auth *a, const struct auth_asker *asker, uint64_t login_id,
                      struct span message, struct answer *answer)
{
    struct scram_pending *t = scram_logins_find(&a->logins, asker->slot, (uint32_t)login_id);
    struct buf text = {0};
    bool now = true;

    answer->result = ANSWER_LATER;
    if (!t || scram_id_clerk(login_id) != a->params.clerk)
        return true;
    if (t->at)
        now = !dovecot_scram_end(t->at, &t->dovecot, message, asker);
    else
        answer->result = scram_login_end(&t->login, message, &text) ? ANSWER_YES : ANSWER_NO;
    answer_set_name(answer, buf_span(&t->name));
    put_text(answer, &text);
    t->at = NULL; /* there is nothing to cancel at Dovecot */
    scram_logins_end(&a->logins, t);
    return now;
}
