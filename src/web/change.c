/* What may be changed from the page: release, exempt, unexempt, penalise; and /unlock, which only
 * tells whether the token is right. In the web process.
 *
 * The token comes in the X-Mired-Token header: a header, so that no other site's form can send it.
 * Every change is logged with where it came from; its answer is a sentence for the page to show. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/config.h"
#include "web/http_part.h"
#include "web/web_part.h"

enum { SENTENCE = 256, WRONG_EVERY_MS = 1000 };

/* ---- the token ---- */

void change_read_token(struct http *h, const char *path)
{
    FILE *f = path ? fopen(path, "re") : NULL;

    if (!f) {
        if (path)
            log_warn("%s: %s; the page is read-only", path, strerror(errno));
        return;
    }
    if (!fgets(h->token, sizeof h->token, f))
        h->token[0] = '\0';
    h->token[strcspn(h->token, "\r\n")] = '\0';
    fclose(f);
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

struct asked {
    struct web *web;
    struct whom who;
    char name[ADDR_TEXT];
    const char *lasts; /* for=, as it came; NULL: was not given */
    uint64_t now;
};

static double offences_of(const struct asked *a)
{
    struct ledger_key key = whom_key(a->web, &a->who);
    struct ledger_decay d = decay_of(a->web);
    struct ledger_entry e;

    return ledger_get(a->web->params->ledger, &key, &d, a->now, &e) ? e.offences : 0;
}

/* Each writes what it did, or returns what would be right. */

static const char *release(const struct asked *a, char said[SENTENCE])
{
    if (release_is_wide(&a->who.network))
        return "that is wider than a /8 (IPv6: /32): use `mirectl release NETWORK --all`";
    if (a->who.client || a->who.own)
        snprintf(said, SENTENCE,
                 "%s is released: %.1f offences are forgotten, and its network's; its holds are "
                 "answered now",
                 a->name, offences_of(a));
    else
        snprintf(said, SENTENCE, "%s is released: offences are forgotten, holds answered now",
                 a->name);
    web_release(a->web, &a->who.network);
    return NULL;
}

static const char *exempt(const struct asked *a, char said[SENTENCE])
{
    struct ledger_key key = whom_key(a->web, &a->who);
    uint64_t ms = 0;

    if (!a->who.client && !a->who.own)
        return "only a client or its /24 (IPv6: /48) can be exempted here; other networks belong "
               "in `exempt` of mired.conf";
    if (a->lasts && (!config_duration(span_of(a->lasts), &ms) || ms == 0))
        return "expected a duration such as 1h or 7d";
    ledger_exempt(a->web->params->ledger, &key, a->now, ms ? a->now + ms : 0);
    web_release(a->web, &a->who.network);
    snprintf(said, SENTENCE, "%s is never delayed from now on%s%s; its holds are answered now",
             a->name, ms ? ", for " : "", ms ? a->lasts : "");
    return NULL;
}

static const char *unexempt(const struct asked *a, char said[SENTENCE])
{
    struct ledger_key key = whom_key(a->web, &a->who);

    if (!a->who.client && !a->who.own)
        return "the ledger has only clients and their /24 or /48";
    ledger_set_flags(a->web->params->ledger, &key, a->now, 0, LEDGER_EXEMPT);
    snprintf(said, SENTENCE, "%s is no longer exempt", a->name);
    return NULL;
}

static const char *penalise(const struct asked *a, char said[SENTENCE])
{
    struct ledger *l = a->web->params->ledger;
    struct ledger_key client = whom_key(a->web, &a->who);
    struct ledger_decay d = decay_of(a->web);

    if (!a->who.client)
        return "cannot penalise a network, only one address";
    struct ledger_entry added = {.offences = 1};
    undo_begin(a->web->undo, UNDO_PENALISE, &a->who.network);
    undo_keep(a->web->undo, &client, &added, a->now);
    double live = ledger_add_offences(l, &client, &d, a->now, 1);
    snprintf(said, SENTENCE, "%s has one more offence: %.1f", a->name, live);
    return NULL;
}

static const char *take_back(const struct asked *a, enum undo_kind kind, const char *what,
                             char said[SENTENCE])
{
    int entries = undo_take(a->web, kind, &a->who.network, a->now);

    if (entries < 0)
        return "nothing to undo: changes are remembered until the next reload";
    snprintf(said, SENTENCE, "%s of %s is undone", what, a->name);
    return NULL;
}

static const char *unrelease(const struct asked *a, char said[SENTENCE])
{
    return take_back(a, UNDO_RELEASE, "the release", said);
}

static const char *unpenalise(const struct asked *a, char said[SENTENCE])
{
    return take_back(a, UNDO_PENALISE, "the penalty", said);
}

static const struct {
    const char *name;
    const char *(*make)(const struct asked *a, char said[SENTENCE]);
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

/* Somebody guesses at the token: a line a second, with how many there were since the last. */
static void log_wrong_token(struct http *h, struct MHD_Connection *c, const char *what)
{
    uint64_t now = h->web->loop.now;
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

static enum MHD_Result carry_out(struct http *h, struct MHD_Connection *c, int i)
{
    const char *address = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "address");
    struct asked a = {.web = h->web, .now = clock_wall_ms()};
    char said[SENTENCE] = "";
    struct network n;

    if (!address || !network_parse(span_of(address), &n))
        return http_say(c, MHD_HTTP_BAD_REQUEST,
                        "expected an address or a network: 192.0.2.7, 192.0.2.0/24, 2001:db8::1");
    a.who = whom_of(&n);
    a.lasts = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "for");
    snprintf(a.name, sizeof a.name, "%.63s", address);
    const char *wrong = changes[i].make(&a, said);
    if (wrong)
        return http_say(c, MHD_HTTP_BAD_REQUEST, wrong);
    log_change(c, changes[i].name, a.name);
    live_look_again(h);
    http_tell_now(h);
    return http_say(c, MHD_HTTP_OK, said);
}

enum MHD_Result change(struct http *h, struct MHD_Connection *c, const char *what)
{
    int i = 0;

    if (!has_token(h, c)) {
        log_wrong_token(h, c, what);
        return http_say(c, MHD_HTTP_FORBIDDEN,
                        h->token[0] ? "wrong token" : "no token_file is configured");
    }
    if (strcmp(what, "refused") == 0)
        return refused_send(h, c);
    if (strcmp(what, "unlock") == 0)
        return http_say(c, MHD_HTTP_OK, "token accepted");
    while (changes[i].name && strcmp(changes[i].name, what) != 0)
        i++;
    if (!changes[i].name)
        return http_say(c, MHD_HTTP_NOT_FOUND, "unknown change");
    return carry_out(h, c, i);
}
