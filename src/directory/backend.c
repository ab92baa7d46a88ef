/* Recipients as the backend knows them: it is asked as any client would ask it, and never given a
 * message. Every backend that can be asked is tried before the answer is "later". */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/config.h"
#include "directory/remote.h"
#include "relay/talk.h"

/* Servers slow down and then hang up on a client that only asks: Postfix waits before each reply
 * behind the 10th refusal of a conversation (smtpd_soft_error_limit), and counts RSET as an error
 * from the 100th on (smtpd_junk_command_limit). A conversation ends before; and where a server
 * turns out to be less patient, the next ones end earlier. */
enum { REFUSED_MOST = 8, ASKED_MOST = 80, SLOW_MS = 400 };

struct conversation {
    int asked, refused;
    bool slow; /* a reply to the last question was */
};

struct backend_directory {
    size_t count;
    struct conversation *conversation; /* of each talk, the one that it is in */
    _Atomic int *patience; /* borrowed: of each talk, refusals in a conversation; 0: not known */
    struct talk talk[];
};

struct backend_directory *backend_directory_open(const struct config *config,
                                                 const struct places *places, _Atomic int *patience)
{
    struct backend_directory *b = calloc(1, sizeof *b + config->backend_count * sizeof b->talk[0]);

    if (!b)
        return NULL;
    b->patience = patience;
    b->conversation = calloc(config->backend_count + 1, sizeof *b->conversation);
    if (!b->conversation) {
        free(b);
        return NULL;
    }
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].kind != BACKEND_STORE)
            talk_init(&b->talk[b->count++], config, i, places);
    return b;
}

static void hang_up(struct talk *t)
{
    if (t->fd >= 0 && talk_say(t, SPAN("QUIT\r\n")) == 0)
        talk_close(t);
}

void backend_directory_rest(struct backend_directory *b)
{
    for (size_t i = 0; i < b->count; i++)
        hang_up(&b->talk[i]);
}

void backend_directory_close(struct backend_directory *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        talk_free(&b->talk[i]);
    free(b->conversation);
    free(b);
}

/* Whether a 5xx to RCPT says that there is nobody. 524 5.2.4 is OpenSMTPD's word for an address
 * that leads to no mailbox. */
static bool means_nobody(const struct reply *r)
{
    if (r->enhanced[0])
        return r->enhanced[0] == 5 && (r->enhanced[1] == 1 || r->code == 524);
    return r->code == 550 || r->code == 551 || r->code == 553;
}

/* What the reply to RCPT says of the recipient. A refusal that is not about its existence (a full
 * mailbox) is passed on as it is. */
static enum answer_result judge(const struct reply *r, struct answer *out)
{
    if (r->code < 300)
        return ANSWER_YES;
    if (r->code < 500)
        return ANSWER_LATER;
    if (means_nobody(r))
        return ANSWER_NO;
    out->code = r->code;
    memcpy(out->enhanced, r->enhanced, sizeof out->enhanced);
    struct span text = span_first(r->arg, sizeof out->text);
    memcpy(out->text, text.at, text.len);
    out->len = (uint16_t)text.len;
    return ANSWER_OTHER;
}

enum { STEP_MAIL, STEP_RCPT, STEP_RSET, STEPS };

/* One try: all three commands at once where the backend has PIPELINING, else one by one. `last`: a
 * refusal ends the conversation, and the reply to RSET is not waited for. */
static int ask(struct talk *t, struct conversation *c, bool last, struct span address,
               struct answer *out, enum answer_result *result)
{
    struct buf rcpt = {0}, all = {0};
    struct reply r = {0};
    int error = talk_ready(t), step = STEP_MAIL;

    if (!error)
        error = buf_addf(&rcpt, "RCPT TO:<%.*s>\r\n", (int)address.len, address.at);
    const struct span say[STEPS] = {SPAN("MAIL FROM:<>\r\n"), buf_span(&rcpt), SPAN("RSET\r\n")};
    bool together = !error && talk_pipelines(t);
    for (int i = 0; i < STEPS && together && !error; i++)
        error = buf_add_span(&all, say[i]);
    if (together && !error)
        error = talk_say(t, buf_span(&all));
    for (; step < STEPS && !error; step++) {
        uint64_t since_ms = clock_mono_ms();
        if (!together)
            error = talk_say(t, say[step]);
        if (!error)
            error = talk_reply(t, &r);
        c->slow = c->slow || clock_mono_ms() - since_ms >= SLOW_MS;
        if (!error && step == STEP_MAIL && r.code >= 300) {
            talk_close(t);
            error = -ECONNREFUSED;
        }
        if (!error && step == STEP_RCPT) {
            *result = judge(&r, out);
            if (last && *result != ANSWER_YES) {
                talk_close(t);
                step = STEP_RSET;
            }
        }
    }
    buf_free(&rcpt);
    buf_free(&all);
    return step > STEP_RSET || (error && step == STEP_RSET) ? 0 : error;
}

static int patience_of(const struct backend_directory *b, size_t i)
{
    int known = b->patience[i];

    return known ? known : REFUSED_MOST;
}

/* The backend has answered: ends a conversation before the backend grows tired of it. */
static void count(struct backend_directory *b, size_t i, enum answer_result result)
{
    struct conversation *c = &b->conversation[i];

    c->asked++;
    c->refused += result != ANSWER_YES;
    if (c->slow && c->refused && c->refused < patience_of(b, i))
        b->patience[i] = c->refused;
    if (c->asked >= ASKED_MOST || c->refused >= patience_of(b, i))
        hang_up(&b->talk[i]);
}

static int ask_one(struct backend_directory *b, size_t i, struct span address, struct answer *out,
                   enum answer_result *result)
{
    struct conversation *c = &b->conversation[i];

    if (b->talk[i].fd < 0)
        *c = (struct conversation){0};
    c->slow = false;
    int error = ask(&b->talk[i], c, c->refused + 1 >= patience_of(b, i), address, out, result);
    if (!error)
        count(b, i, *result);
    return error;
}

enum answer_result backend_directory_ask(struct backend_directory *b, struct span address,
                                         struct answer *out)
{
    enum answer_result result = ANSWER_SILENCE;

    for (size_t i = 0; i < b->count && (result == ANSWER_SILENCE || result == ANSWER_LATER); i++) {
        bool kept = b->talk[i].fd >= 0; /* it may have been closed over there meanwhile */
        if (ask_one(b, i, address, out, &result) < 0 && kept)
            (void)ask_one(b, i, address, out, &result);
    }
    return result;
}
