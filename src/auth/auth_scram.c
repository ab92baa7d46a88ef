/* Logins with SCRAM. The first verifier that knows the name decides, because the answer to the client's
 * first message comes from that verifier. See scram_logins.h for what happens between the two
 * messages. Runs in clerks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_part.h"
#include "auth/file.h"
#include "base/clock.h"
#include "smtp/scram.h"

enum { USER_MAX = 255 };

/* Dovecot answers a message of SCRAM within this, or the login is "later". */
enum { DOVECOT_MS = 10000 };

/* How long Dovecot delays a "no such user": the bounds of our estimate. */
enum { UNKNOWN_MS = 600, UNKNOWN_JITTER_MS = 100, UNKNOWN_MAX_MS = 5000 };

/* A client's first message, and its result so far. */
struct opening {
    struct auth *auth;
    struct auth_asker asker;
    struct addr client;
    struct span message, binding, user; /* in `text` and `name` */
    struct route route;
    size_t at; /* the verifier of the route that is asked */
    struct scram_pending *pending;
    struct scram_secret secret; /* if no verifier knows the name: what the decoy looks like */
    bool has_secret;
    size_t lines;      /* lines of all files so far */
    uint32_t wait_ms;  /* strangers do not get the answer earlier */
    uint64_t begun_ms; /* monotonic: when Dovecot was asked */
    struct dovecot_login login;
    struct buf answer;
    char name[USER_MAX + 1];
    char text[];
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

/* A decoy's salt is computed. For a name that exists it is, too, and not used: the time of the answer
 * must not tell which it is. */
static void work_as_for_a_decoy(const struct opening *o)
{
    struct scram_secret unused;

    scram_secret_decoy(&o->auth->params.decoys, o->user, &o->secret, &unused);
}

static enum answer_result begin_file(struct opening *o, struct file_auth *f)
{
    const struct auth *a = o->auth;
    struct scram_secret secret = {0};
    struct span name = {0};
    enum answer_result r = file_auth_secret(f, o->user, clock_mono_ms(), &secret, &name);

    if (r == ANSWER_LATER)
        return auth_of_file(a, &o->route, f, r);
    o->pending->settling = o->pending->settling || file_auth_is_settling(f);
    o->lines += file_auth_lines(f);
    if (r == ANSWER_NO && o->has_secret && !falls_to(a, o, file_auth_lines(f)))
        return r;
    o->secret = secret;
    o->has_secret = true;
    if (r == ANSWER_YES && buf_add_span(&o->pending->name, name) < 0)
        return ANSWER_LATER;
    if (r != ANSWER_YES)
        return r;
    work_as_for_a_decoy(o);
    return begin_here(o);
}

/* Unknown name: the client must not notice that before it sends its proof, which is then
 * refused. */
static enum answer_result begin_decoy(struct opening *o)
{
    struct scram_secret like = o->secret;

    scram_secret_decoy(&o->auth->params.decoys, o->user, o->has_secret ? &like : NULL, &o->secret);
    o->pending->login.decoy = true;
    return begin_here(o);
}

/* For a name that no verifier has: the decoy is like the lines of the first file. */
static void look_like_a_file(struct opening *o)
{
    const struct auth *a = o->auth;
    struct span name = {0};

    for (size_t i = 0; i < a->count && !o->has_secret; i++)
        o->has_secret = a->verifier[i].kind == AUTH_FILE &&
                        file_auth_secret(a->verifier[i].at.file, o->user, clock_mono_ms(),
                                         &o->secret, &name) != ANSWER_LATER;
}

/* ---- verifiers in order ---- */

static bool begin_dovecot(struct opening *o, struct dovecot_auth *d);

/* Asks the verifiers from o->at on; *r has the result of those before. False: the answer comes
 * later. */
static bool begin_from(struct opening *o, enum answer_result *r)
{
    if (o->auth->closing && o->at < o->route.count && *r == ANSWER_NO) {
        *r = ANSWER_LATER; /* nobody is asked any more: a decoy would refuse a right password */
        return true;
    }
    for (; o->at < o->route.count && *r == ANSWER_NO; o->at++) {
        struct verifier *v = &o->auth->verifier[o->route.section[o->at]];
        switch (v->kind) {
        case AUTH_FILE: *r = begin_file(o, v->at.file); break;
        case AUTH_DOVECOT:
            if (begin_dovecot(o, v->at.dovecot))
                return false;
            *r = ANSWER_LATER;
            break;
        case AUTH_BACKEND: *r = ANSWER_LATER; break;
        }
    }
    if (*r == ANSWER_NO)
        *r = begin_decoy(o);
    return true;
}

/* Adds the text for the client, if it fits. */
static void put_text(struct answer *answer, struct span text)
{
    if (text.len > sizeof answer->text)
        answer->result = ANSWER_LATER;
    else if (text.len)
        memcpy(answer->text, text.at, answer->len = (uint16_t)text.len);
}

static void opening_free(struct opening *o)
{
    if (o->pending)
        scram_pending_end(o->pending);
    buf_free(&o->answer);
    explicit_bzero(&o->secret, sizeof o->secret);
    free(o);
}

/* The answer to the first message; frees the opening. */
static void finish(struct opening *o, enum answer_result r, struct answer *answer)
{
    answer->result = (uint16_t)r;
    answer->wait_ms = (uint16_t)o->wait_ms;
    put_text(answer, buf_span(&o->answer));
    if (answer->result == ANSWER_MORE) {
        struct scram_pending *pending = o->pending;
        o->pending = NULL;
        if (scram_logins_add(&o->auth->logins, pending, o->asker.slot))
            answer->login_id = scram_id(o->auth->params.clerk, pending->place.number);
        else
            answer->result = ANSWER_LATER;
    }
    opening_free(o);
}

/* Dovecot sends a known user's challenge at once, and delays "no such user" (by half a second, or
 * its auth_failure_delay). No stranger gets either answer before that time has passed, also not that
 * for a name of a file before Dovecot. */
static uint32_t unknown_wait(const struct scram_shapes *shapes)
{
    uint64_t most = atomic_load(&shapes->unknown_ms);

    return most < UNKNOWN_MS ? UNKNOWN_MS : (uint32_t)most + UNKNOWN_JITTER_MS;
}

/* A decoy looks like the challenges that Dovecot sent for others. */
static void note_answer(struct opening *o, enum answer_result r, struct span text)
{
    const struct auth *a = o->auth;
    struct scram_shapes *shapes = a->params.shapes;
    uint64_t took = clock_mono_ms() - o->begun_ms, most = atomic_load(&shapes->unknown_ms);

    if (r == ANSWER_MORE)
        scram_shapes_note(shapes, &a->params.decoys, o->user, text);
    if (r == ANSWER_NO) { /* the longest of the last ones */
        most = took > most ? took : most - most / 8;
        most = most < UNKNOWN_MAX_MS ? most : UNKNOWN_MAX_MS;
        atomic_store(&shapes->unknown_ms, most);
    }
    o->wait_ms = unknown_wait(shapes);
    if (r == ANSWER_NO && !o->has_secret)
        o->has_secret = scram_shapes_like(shapes, &a->params.decoys, o->user, &o->secret);
}

static void dovecot_began(void *arg, enum answer_result r, struct span text, struct span name)
{
    struct opening *o = arg;
    struct auth *a = o->auth;
    struct auth_asker asker = o->asker;
    struct answer answer = {.id = asker.id};

    note_answer(o, r, text);
    if (r == ANSWER_MORE) {
        o->pending->at = a->verifier[o->route.section[o->at]].at.dovecot;
        o->pending->dovecot = o->login;
        if (buf_add_span(&o->answer, text) < 0)
            r = ANSWER_LATER;
    } else if (r == ANSWER_NO) {
        o->at++;
        if (!begin_from(o, &r))
            return;
    }
    finish(o, r, &answer);
    auth_answer(a, &asker, &answer);
}

/* False: Dovecot cannot be asked. */
static bool begin_dovecot(struct opening *o, struct dovecot_auth *d)
{
    struct dovecot_request r = {
        .answered = dovecot_began, .arg = o, .slot = o->asker.slot, .patience_ms = DOVECOT_MS};

    if (o->binding.len)
        return false; /* it was not offered */
    o->begun_ms = clock_mono_ms();
    return dovecot_scram_begin(d, &r, o->message, &o->client, &o->login, o->begun_ms);
}

static struct opening *opening_new(struct auth *a, const struct auth_asker *asker,
                                   struct span message, struct span binding,
                                   const struct addr *client)
{
    struct opening *o = calloc(1, sizeof *o + message.len + binding.len);

    if (!o)
        return NULL;
    o->auth = a;
    o->asker = *asker;
    o->client = *client;
    memcpy(o->text, message.at, message.len);
    o->message = (struct span){o->text, message.len};
    if (binding.len)
        memcpy(o->text + message.len, binding.at, binding.len);
    o->binding = (struct span){o->text + message.len, binding.len};
    o->pending = calloc(1, sizeof *o->pending);
    if (o->pending)
        return o;
    free(o);
    return NULL;
}

static bool begin_any(struct opening *o, enum answer_result *r)
{
    struct scram_first first;

    *r = ANSWER_NO;
    if (!scram_read_first(o->message, &first) || !scram_name(first.user, o->name, sizeof o->name))
        return true;
    o->user = span_of(o->name);
    o->route = config_login_route(o->auth->params.config, o->user);
    if (auth_route_has(o->auth, &o->route, 1U << AUTH_DOVECOT))
        o->wait_ms = unknown_wait(o->auth->params.shapes);
    if (o->route.count == 0)
        look_like_a_file(o);
    return begin_from(o, r);
}

bool auth_scram_begin(struct auth *a, const struct auth_asker *asker, struct span message,
                      struct span binding, const struct addr *client, struct answer *answer)
{
    struct opening *o = opening_new(a, asker, message, binding, client);
    enum answer_result r;

    answer->result = ANSWER_LATER;
    if (!o)
        return true;
    if (!begin_any(o, &r))
        return false;
    finish(o, r, answer);
    return true;
}

/* ---- the second message ---- */

/* A second message that Dovecot checks. */
struct ending {
    struct auth *auth;
    struct auth_asker asker;
    bool settling; /* of the login */
};

/* A file that is being rewritten may be about to have the client's name or password. */
static enum answer_result refusal(bool settling)
{
    return settling ? ANSWER_LATER : ANSWER_NO;
}

static void dovecot_ended(void *arg, enum answer_result r, struct span text, struct span name)
{
    struct ending *e = arg;
    struct answer answer = {.id = e->asker.id,
                            .result = (uint16_t)(r == ANSWER_NO ? refusal(e->settling) : r)};

    answer_set_name(&answer, name);
    put_text(&answer, text);
    auth_answer(e->auth, &e->asker, &answer);
    free(e);
}

/* False: Dovecot cannot be asked. */
static bool end_at_dovecot(struct auth *a, const struct auth_asker *asker,
                           const struct scram_pending *t, struct span message)
{
    struct ending *e = malloc(sizeof *e);
    struct dovecot_request r = {
        .answered = dovecot_ended, .arg = e, .slot = asker->slot, .patience_ms = QUERY_TIMEOUT_MS};

    if (!e)
        return false;
    *e = (struct ending){a, *asker, t->settling};
    if (dovecot_scram_end(t->at, &r, &t->dovecot, message, clock_mono_ms()))
        return true;
    free(e);
    return false;
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
        now = !end_at_dovecot(a, asker, t, message);
    else
        answer->result =
            scram_login_end(&t->login, message, &text) ? ANSWER_YES : refusal(t->settling);
    answer_set_name(answer, buf_span(&t->name));
    put_text(answer, buf_span(&text));
    buf_free(&text);
    if (!now)
        t->at = NULL; /* there is nothing to cancel at Dovecot */
    scram_logins_end(&a->logins, t);
    return now;
}
