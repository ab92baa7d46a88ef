/* Recipients as the backend knows them: it is asked as any client would ask it, and never given a
 * message. Every backend that can be asked is tried before the answer is "later". */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "directory/remote.h"
#include "relay/talk.h"

struct backend_directory {
    size_t count;
    struct talk talk[];
};

struct backend_directory *backend_directory_open(const struct config *config,
                                                 const struct places *places)
{
    struct backend_directory *b = calloc(1, sizeof *b + config->backend_count * sizeof b->talk[0]);

    if (!b)
        return NULL;
    for (size_t i = 0; i < config->backend_count; i++)
        if (config->backend[i].kind != BACKEND_STORE)
            talk_init(&b->talk[b->count++], config, i, places);
    return b;
}

void backend_directory_close(struct backend_directory *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        talk_free(&b->talk[i]);
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

/* One try: all three commands at once where the backend has PIPELINING, else one by one. */
static int ask(struct talk *t, struct span address, struct answer *out, enum answer_result *result)
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
        if (!together)
            error = talk_say(t, say[step]);
        if (!error)
            error = talk_reply(t, &r);
        if (!error && step == STEP_MAIL && r.code >= 300) {
            talk_close(t);
            error = -ECONNREFUSED;
        }
        if (!error && step == STEP_RCPT)
            *result = judge(&r, out);
    }
    buf_free(&rcpt);
    buf_free(&all);
    return step > STEP_RSET || (error && step == STEP_RSET) ? 0 : error;
}

enum answer_result backend_directory_ask(struct backend_directory *b, struct span address,
                                         struct answer *out)
{
    enum answer_result result = ANSWER_SILENCE;

    for (size_t i = 0; i < b->count && (result == ANSWER_SILENCE || result == ANSWER_LATER); i++) {
        bool kept = b->talk[i].fd >= 0; /* it may have been closed over there meanwhile */
        if (ask(&b->talk[i], address, out, &result) < 0 && kept)
            (void)ask(&b->talk[i], address, out, &result);
    }
    return result;
}
