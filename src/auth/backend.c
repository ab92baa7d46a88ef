/* The backends of a login name's domain as the verifier: AUTH PLAIN is passed on to them.
 *
 * A connection is used once, because after a right password it belongs to that user. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "auth/remote.h"
#include "backend/client.h"
#include "config/config.h"
#include "smtp/verdict.h"

struct backend_auth {
    const struct config *config;
    size_t count;
    struct backend_client
        backend[]; /* of each in the configuration; those that speak SMTP are used */
};

struct backend_auth *backend_auth_open(const struct config *config,
                                       const struct addresses *addresses)
{
    struct backend_auth *b = calloc(1, sizeof *b + config->backend_count * sizeof b->backend[0]);

    if (!b)
        return NULL;
    b->config = config;
    b->count = config->backend_count;
    for (size_t i = 0; i < b->count; i++) {
        backend_client_init(&b->backend[i], config, i, addresses);
        backend_client_is_secret(&b->backend[i]);
    }
    return b;
}

void backend_auth_close(struct backend_auth *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        backend_client_free(&b->backend[i]);
    free(b);
}

static enum answer_result ask(struct backend_client *t, struct span line)
{
    enum answer_result result = ANSWER_LATER;
    struct reply r;

    if (backend_client_ready(t) == 0 && backend_client_say(t, line) == 0 &&
        backend_client_reply(t, &r) == 0) {
        bool us = reply_about(STAGE_LOGIN, SPEAKER_RELAY, &r) == REPLY_ABOUT_US;
        if (us)
            backend_client_log(t, STAGE_LOGIN, &r);
        result = us ? ANSWER_LATER : r.code == 235 ? ANSWER_YES : ANSWER_NO;
    }
    backend_client_close(t);
    return result;
}

enum answer_result backend_auth_check(struct backend_auth *b, const struct route *backends,
                                      struct span user, struct span password)
{
    enum answer_result result = ANSWER_LATER;
    char *response = auth_plain_response(user, password);
    struct buf line = {0};

    if (response && buf_addf(&line, "AUTH PLAIN %s\r\n", response) == 0)
        for (size_t i = 0; i < backends->count && result == ANSWER_LATER; i++)
            if (b->config->backend[backends->section[i]].kind == BACKEND_SMTP)
                result = ask(&b->backend[backends->section[i]], buf_span(&line));
    if (response)
        explicit_bzero(response, strlen(response));
    if (line.at)
        explicit_bzero(line.at, line.len);
    free(response);
    buf_free(&line);
    return result;
}
