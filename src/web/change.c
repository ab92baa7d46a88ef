/* Changes from the page: release, exempt, unexempt, penalise; and /unlock, which only says whether
 * the token is right. In the web process.
 *
 * The token comes in the header X-Mired-Token, because a form on another site cannot send a header.
 * Every change is logged with the client's address; the answer is a sentence that the page
 * shows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "control/actions.h"
#include "web/http_part.h"
#include "web/web_part.h"

enum { WRONG_EVERY_MS = 1000 };

/* ---- the token ---- */

void change_read_token(struct http *h, const char *path)
{
    int error = path ? secret_read(path, h->token, sizeof h->token) : 0;

    if (path && (error || !h->token[0]))
        log_warn("%s: %s; the page is read-only", path, error ? strerror(-error) : "is empty");
}

/* Takes the same time wherever the first wrong octet is. */
static bool has_token(const struct http *h, struct MHD_Connection *c)
{
    const char *given = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Mired-Token");
    size_t len = strlen(h->token);
    unsigned char differ = 0;

    if (!given || len == 0 || strlen(given) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(given[i] ^ h->token[i]);
    return differ == 0;
}

/* ---- the changes ---- */

/* A requested change; it sleeps while holds are being answered. */
struct asked {
    struct sleeper sleeper; /* first */
    struct http *http;
    struct MHD_Connection *connection;
    struct whom who;
    char name[ADDR_TEXT];
    const char *lasts; /* for=, as received; NULL if missing */
    struct action_result result;
};

static void told(void *arg, const struct action_result *r)
{
    struct asked *a = arg;
    struct http *h = a->http;

    a->result = *r;
    MHD_resume_connection(a->connection);
    http_run_all(h); /* where wake() frees `a` */
}

/* Each begins a change, and returns NULL if the result is there at once. */

static struct action *release(struct steering *s, struct asked *a)
{
    return action_release(s, &a->who, a->name, false, told, a, &a->result);
}

static struct action *exempt(struct steering *s, struct asked *a)
{
    return action_exempt(s, &a->who, a->name, a->lasts, told, a, &a->result);
}

static struct action *unexempt(struct steering *s, struct asked *a)
{
    return action_end_exemption(s, &a->who, a->name, told, a, &a->result);
}

static struct action *penalise(struct steering *s, struct asked *a)
{
    action_penalise(s, &a->who, a->name, 1, &a->result);
    return NULL;
}

static struct action *unrelease(struct steering *s, struct asked *a)
{
    action_take_back(s, UNDO_RELEASE, &a->who, a->name, &a->result);
    return NULL;
}

static struct action *unpenalise(struct steering *s, struct asked *a)
{
    action_take_back(s, UNDO_PENALISE, &a->who, a->name, &a->result);
    return NULL;
}

static const struct {
    const char *name;
    struct action *(*begin)(struct steering *s, struct asked *a);
} changes[] = {{"release", release},
               {"exempt", exempt},
               {"unexempt", unexempt},
               {"penalise", penalise},
               {"unrelease", unrelease},
               {"unpenalise", unpenalise},
               {0}};

/* ---- requests ---- */

static void put_page(struct log_line *l, struct MHD_Connection *c)
{
    struct addr from = http_client(c);

    if (from.family != ADDR_NONE)
        log_addr(l, "by_page", &from);
}

static void log_change(struct MHD_Connection *c, const char *what, const char *name)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, "control");
    log_text(&l, "command", what);
    log_text(&l, "about", name);
    put_page(&l, c);
    log_end(&l);
}

/* Logs wrong tokens: one line a second, with their number since the last line. */
static void log_wrong_token(struct http *h, struct MHD_Connection *c, const char *what)
{
    uint64_t now = h->web->steering.loop.now;
    struct log_line l;

    if (now < h->next_wrong_ms) {
        h->wrong++;
        return;
    }
    log_begin(&l, LOG_WARN, "control");
    log_text(&l, "command", what);
    log_text(&l, "result", "wrong token");
    put_page(&l, c);
    if (h->wrong)
        log_int(&l, "more", h->wrong);
    log_end(&l);
    h->next_wrong_ms = now + WRONG_EVERY_MS;
    h->wrong = 0;
}

static enum MHD_Result give(struct http *h, struct MHD_Connection *c, const struct action_result *r)
{
    live_look_again(h);
    http_tell_now(h);
    unsigned status = r->unreached ? MHD_HTTP_SERVICE_UNAVAILABLE
                      : r->code    ? MHD_HTTP_BAD_REQUEST
                                   : MHD_HTTP_OK;
    return http_say(c, status, r->text);
}

static enum MHD_Result wake(struct http *h, struct MHD_Connection *c, void *state)
{
    struct asked *a = state;
    enum MHD_Result done = give(h, c, &a->result);

    free(a);
    return done;
}

static enum MHD_Result carry_out(struct http *h, struct MHD_Connection *c, int i, void **state)
{
    const char *address = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "address");
    struct network n;

    if (!address || !network_parse(span_of(address), &n))
        return http_say(c, MHD_HTTP_BAD_REQUEST,
                        "expected an address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::1");
    struct asked *a = calloc(1, sizeof *a);
    if (!a)
        return MHD_NO;
    *a = (struct asked){.sleeper = {wake},
                        .http = h,
                        .connection = c,
                        .who = whom_of(&n),
                        .lasts = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "for")};
    snprintf(a->name, sizeof a->name, "%.63s", address);
    bool later = changes[i].begin(&h->web->steering, a);
    if (later || !a->result.code)
        log_change(c, changes[i].name, a->name);
    if (!later)
        return wake(h, c, a);
    *state = a;
    MHD_suspend_connection(c);
    return MHD_YES;
}

enum MHD_Result change(struct http *h, struct MHD_Connection *c, const char *what, void **state)
{
    int i = 0;

    if (!has_token(h, c)) {
        log_wrong_token(h, c, what);
        return http_say(c, MHD_HTTP_FORBIDDEN,
                        h->token[0] ? "wrong token" : "no token_file is configured");
    }
    if (strcmp(what, "refused") == 0)
        return refused_send(h, c);
    if (strcmp(what, "accounts") == 0)
        return accounts_send(h, c);
    if (strcmp(what, "unlock") == 0)
        return http_say(c, MHD_HTTP_OK, "token accepted");
    while (changes[i].name && strcmp(changes[i].name, what) != 0)
        i++;
    if (!changes[i].name)
        return http_say(c, MHD_HTTP_NOT_FOUND, "unknown change");
    return carry_out(h, c, i, state);
}
