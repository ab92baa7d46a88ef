/* Asks the backends of a domain which recipients exist, with the commands that any client would send,
 * and never sends a message. Every backend that can be reached is tried before the answer is
 * "later". */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "backend/client.h"
#include "base/clock.h"
#include "config/config.h"
#include "directory/remote.h"

/* Servers slow down and then disconnect a client that only asks: Postfix waits before each reply
 * after the 10th refusal of a session (smtpd_soft_error_limit), and counts RSET as an error from
 * the 100th on (smtpd_junk_command_limit). mired ends a session before that; if a server turns out
 * to be less patient, the next sessions end earlier. */
enum { REFUSED_MOST = 8, ASKED_MOST = 80, SLOW_MS = 400 };

/* In a session Postfix uses the tables that it read at the beginning. So "no such user" counts only
 * in a session that is younger than this. */
enum { YOUNG_MS = 2000 };

struct conversation {
    uint64_t begun_ms; /* monotonic */
    int asked, refused;
    bool slow; /* a reply to the last query was slow */
};

struct backend_directory {
    size_t count;
    struct conversation *conversation; /* the session with each backend */
    _Atomic int
        *patience; /* borrowed: for each backend, the refusals that it tolerates; 0: not known */
    struct backend_client backend[];
};

struct backend_directory *backend_directory_open(const struct config *config,
                                                 const struct route *backends,
                                                 const struct addresses *addresses,
                                                 _Atomic int *patience)
{
    struct backend_directory *b = calloc(1, sizeof *b + backends->count * sizeof b->backend[0]);

    if (!b)
        return NULL;
    b->patience = patience;
    b->conversation = calloc(backends->count + 1, sizeof *b->conversation);
    if (!b->conversation) {
        free(b);
        return NULL;
    }
    for (size_t i = 0; i < backends->count; i++)
        if (config->backend[backends->section[i]].kind != BACKEND_STORE)
            backend_client_init(&b->backend[b->count++], config, backends->section[i], addresses);
    return b;
}

static void hang_up(struct backend_client *t)
{
    if (t->fd >= 0 && backend_client_say(t, SPAN("QUIT\r\n")) == 0)
        backend_client_close(t);
}

void backend_directory_rest(struct backend_directory *b)
{
    for (size_t i = 0; i < b->count; i++)
        hang_up(&b->backend[i]);
}

bool backend_directory_is_open(const struct backend_directory *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->backend[i].fd >= 0)
            return true;
    return false;
}

void backend_directory_close(struct backend_directory *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        backend_client_free(&b->backend[i]);
    free(b->conversation);
    free(b);
}

/* One try of a query. */
struct attempt {
    struct backend_client *backend;
    struct conversation *conversation;
    struct span address;
    bool utf8;  /* the address is not ASCII: RFC 6531 */
    bool last;  /* after a refusal the session ends, without waiting for the reply to RSET */
    bool fresh; /* the session begins with this query, so nothing before it can be at fault */
    struct answer *out;
    enum answer_result result; /* ANSWER_SILENCE until it is known */
};

/* A refusal of MAIL FROM:<> is about us. A temporary refusal means "later". */
static int on_mail(struct attempt *a, const struct reply *r)
{
    if (r->code < 300)
        return 0;
    if (a->fresh) {
        backend_client_log(a->backend, STAGE_MAIL, r);
        if (r->code >= 400 && r->code < 500)
            a->result = ANSWER_LATER;
    }
    backend_client_close(a->backend);
    return -ECONNREFUSED;
}

static enum answer_result pass_on(const struct reply *r, struct answer *out)
{
    struct span text = span_first(r->arg, sizeof out->text);

    out->code = r->code;
    memcpy(out->enhanced, r->enhanced, sizeof out->enhanced);
    if (text.len)
        memcpy(out->text, text.at, text.len);
    out->len = (uint16_t)text.len;
    return ANSWER_OTHER;
}

/* Interprets the reply to RCPT. A refusal that is not about the recipient's existence (a full
 * mailbox) is passed on unchanged; a reply about us is never a refusal (R24). */
static int on_rcpt(struct attempt *a, const struct reply *r)
{
    bool us = reply_about(STAGE_RCPT, SPEAKER_PROBE, r) == REPLY_ABOUT_US;

    if (us && a->fresh)
        backend_client_log(a->backend, STAGE_RCPT, r);
    if (r->code < 300)
        a->result = ANSWER_YES;
    else if (!us && r->code >= 500)
        a->result = reply_means_nobody(r) ? ANSWER_NO : pass_on(r, a->out);
    else if (!us || a->fresh)
        a->result = ANSWER_LATER;
    bool out_of_step = r->code == 421 || (r->code >= 300 && r->code < 400);
    bool tired = a->last && a->result != ANSWER_YES;
    if (out_of_step || tired || a->result == ANSWER_SILENCE)
        backend_client_close(a->backend);
    return a->backend->fd < 0 ? -ECONNRESET : 0;
}

enum { STEP_MAIL, STEP_RCPT, STEP_RSET, STEPS };

static int step_through(struct attempt *a, const struct span say[STEPS], bool together)
{
    struct conversation *c = a->conversation;
    struct reply r = {0};
    int error = 0;

    for (int step = STEP_MAIL; step < STEPS && !error; step++) {
        uint64_t since_ms = clock_mono_ms();
        if (!together)
            error = backend_client_say(a->backend, say[step]);
        if (!error)
            error = backend_client_reply(a->backend, &r);
        c->slow = c->slow || clock_mono_ms() - since_ms >= SLOW_MS;
        if (!error && step == STEP_MAIL)
            error = on_mail(a, &r);
        else if (!error && step == STEP_RCPT)
            error = on_rcpt(a, &r);
        else if (!error && r.code >= 300)
            backend_client_close(a->backend);
    }
    return error;
}

/* Sends all three commands at once if the backend has PIPELINING, else one by one. */
static void ask(struct attempt *a)
{
    struct buf rcpt = {0}, all = {0};
    int error = backend_client_ready(a->backend);

    if (!error && a->utf8 && !backend_client_can(a->backend, CAP_SMTPUTF8))
        return;
    if (!error)
        error = buf_addf(&rcpt, "RCPT TO:<%.*s>\r\n", (int)a->address.len, a->address.at);
    const struct span say[STEPS] = {a->utf8 ? SPAN("MAIL FROM:<> SMTPUTF8\r\n")
                                            : SPAN("MAIL FROM:<>\r\n"),
                                    buf_span(&rcpt), SPAN("RSET\r\n")};
    bool together = !error && backend_client_pipelines(a->backend);
    for (int i = 0; i < STEPS && together && !error; i++)
        error = buf_add_span(&all, say[i]);
    if (together && !error)
        error = backend_client_say(a->backend, buf_span(&all));
    if (!error)
        (void)step_through(a, say, together);
    buf_free(&rcpt);
    buf_free(&all);
}

static int patience_of(const struct backend_directory *b, size_t i)
{
    int known = b->patience[i];

    return known ? known : REFUSED_MOST;
}

/* The backend has answered: ends the session before the backend slows down. */
static void count(struct backend_directory *b, size_t i, enum answer_result result)
{
    struct conversation *c = &b->conversation[i];

    c->asked++;
    c->refused += result != ANSWER_YES;
    if (c->slow && c->refused && c->refused < patience_of(b, i))
        b->patience[i] = c->refused;
    if (c->asked >= ASKED_MOST || c->refused >= patience_of(b, i))
        hang_up(&b->backend[i]);
}

static bool beyond_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] >= 0x80)
            return true;
    return false;
}

/* Queries one backend. If the kept session was closed by the backend, or is used up, a fresh one
 * decides. *lacks: the backend lacks SMTPUTF8, which the query needs. */
static enum answer_result ask_one(struct backend_directory *b, size_t i, struct span address,
                                  struct answer *out, bool *lacks)
{
    struct conversation *c = &b->conversation[i];
    struct attempt a = {.backend = &b->backend[i],
                        .conversation = c,
                        .address = address,
                        .utf8 = beyond_ascii(address),
                        .out = out};

    for (int tries = 0; tries < 2 && a.result == ANSWER_SILENCE && !a.fresh; tries++) {
        backend_client_look(a.backend);
        a.fresh = a.backend->fd < 0;
        if (a.fresh)
            *c = (struct conversation){.begun_ms = clock_mono_ms()};
        c->slow = false;
        a.last = c->refused + 1 >= patience_of(b, i);
        ask(&a);
        *lacks = a.utf8 && a.backend->fd >= 0 && !backend_client_can(a.backend, CAP_SMTPUTF8);
        if (*lacks)
            break;
        if (a.result == ANSWER_NO && !a.fresh && clock_mono_ms() > c->begun_ms + YOUNG_MS) {
            a.result = ANSWER_SILENCE; /* the account may be new: a fresh session decides */
            hang_up(a.backend);
        }
    }
    if (a.result != ANSWER_SILENCE)
        count(b, i, a.result);
    return a.result;
}

/* No backend accepts such addresses: that is not the client's fault. */
static enum answer_result needs_utf8(struct answer *out)
{
    struct reply r = {.code = 553,
                      .enhanced = {5, 6, 7},
                      .arg = SPAN("This server does not accept internationalised addresses")};

    return pass_on(&r, out);
}

enum answer_result backend_directory_ask(struct backend_directory *b, struct span address,
                                         struct answer *out)
{
    enum answer_result result = ANSWER_SILENCE;
    size_t lacking = 0;

    for (size_t i = 0; i < b->count && (result == ANSWER_SILENCE || result == ANSWER_LATER); i++) {
        bool lacks = false;
        enum answer_result one = ask_one(b, i, address, out, &lacks);
        lacking += lacks;
        if (one != ANSWER_SILENCE)
            result = one;
    }
    if (lacking && lacking == b->count)
        return needs_utf8(out);
    return lacking && result == ANSWER_SILENCE ? ANSWER_LATER : result; /* that backend is up */
}
