/* Titles of sections, between the name and the brace: an address, a kind, a backend, a zone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/reader.h"

static const char *const recipients_kinds[] = {"file", "ldap", "socketmap", "backend", NULL};
const char *config_recipients_name(enum recipients_kind kind)
{
    return recipients_kinds[kind];
}

static const char *const auth_kinds[] = {"file", "dovecot", "backend", NULL};
const char *config_auth_name(enum auth_kind kind)
{
    return auth_kinds[kind];
}

static bool begin_kind(struct reader *r, struct place at, const char *what, const char *title,
                       const char *const *kinds, int *kind)
{
    char all[256] = "";
    size_t n = 0;

    for (int k = 0; kinds[k]; k++) {
        if (strcmp(title, kinds[k]) == 0) {
            *kind = k;
            return true;
        }
        int m = snprintf(all + n, sizeof all - n, "%s\"%s\"",
                         k == 0         ? ""
                         : kinds[k + 1] ? ", "
                                        : " or ",
                         kinds[k]);
        n += m > 0 && (size_t)m < sizeof all - n ? (size_t)m : 0;
    }
    reader_wrong(r, at, "%s \"%.80s\" is not valid; expected %s", what, title, all);
    return false;
}

static bool begin_listen(struct reader *r, struct place at, const char *title,
                         struct config_listen *l)
{
    if (addr_parse_port(span_of(title), &l->addr) && l->addr.port)
        return true;
    reader_wrong(r, at, "listen \"%.80s\" is not valid; expected \"0.0.0.0:25\" or \"[::]:25\"",
                 title);
    return false;
}

/* "HOST:PORT" with a name. */
static bool parse_host(const char *text, struct config_backend *b)
{
    char host[256], folded[256], *end;
    const char *colon = strrchr(text, ':');

    if (!colon || (size_t)(colon - text) >= sizeof host || strspn(colon + 1, "0123456789") == 0)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long port = strtoul(colon + 1, &end, 10);
    bool numbers = strspn(host, "0123456789.") == strlen(host) || strchr(host, ':');
    if (*end || port == 0 || port > UINT16_MAX || numbers /* a wrong address */ ||
        !value_domain(host, folded))
        return false;
    b->addr = (struct addr){.family = ADDR_NONE, .port = (uint16_t)port};
    b->host = strdup(folded);
    return b->host;
}

static bool begin_backend(struct reader *r, struct place at, const char *title,
                          struct config_backend *b)
{
    struct span t = span_of(title);

    b->name = strdup(title);
    if (strcmp(title, "maildir") == 0) {
        b->kind = BACKEND_STORE;
        b->addr.family = ADDR_UNIX;
        return true;
    }
    b->kind = span_starts_fold(t, SPAN("lmtp:")) ? BACKEND_LMTP : BACKEND_SMTP;
    if (b->kind == BACKEND_LMTP && title[5] == '/' && title[6] != '/') {
        b->addr.family = ADDR_UNIX;
        b->path = strdup(title + 5);
        return true;
    }
    if ((span_starts_fold(t, SPAN("smtp://")) || span_starts_fold(t, SPAN("lmtp://"))) &&
        (addr_parse_port(span_after(t, 7), &b->addr) || parse_host(title + 7, b)) && b->addr.port)
        return true;
    reader_wrong(
        r, at,
        "backend \"%.80s\" is not valid; expected \"smtp://127.0.0.1:10025\", "
        "\"smtp://mx.example.org:25\", \"lmtp:/run/dovecot/lmtp\", \"lmtp://127.0.0.1:24\" or "
        "\"maildir\"",
        title);
    return false;
}

bool reader_begin_section(struct reader *r, enum section_kind s, size_t i, const char *title)
{
    struct config *c = r->config;
    struct place at = r->section[s][i];
    int kind = 0;
    bool ok = true;

    switch (s) {
    case SECTION_LISTEN: return begin_listen(r, at, title, &c->listen[i]);
    case SECTION_BACKEND: return begin_backend(r, at, title, &c->backend[i]);
    case SECTION_RECIPIENTS:
        ok = begin_kind(r, at, "recipients", title, recipients_kinds, &kind);
        c->recipients[i].kind = (enum recipients_kind)kind;
        return ok;
    case SECTION_AUTH:
        ok = begin_kind(r, at, "auth", title, auth_kinds, &kind);
        c->auth[i].kind = (enum auth_kind)kind;
        return ok;
    case SECTION_DNSBL: return (c->dnsbl[i].zone = strdup(title)) != NULL;
    case SECTION_DNSWL: return (c->dnswl[i].zone = strdup(title)) != NULL;
    default: return true;
    }
}
