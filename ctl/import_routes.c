/* Routes: servers with domains of their own, gathered from several lines, and Postfix's transport
 * table. See import_part.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "import_part.h"

enum { ROUTES_MAX = 64, DOMAINS_MAX = 32768 };

struct import_route {
    char title[IMPORT_TITLE];
    struct buf domains; /* as they stand between braces */
};

/* If the last label of a name is a number, it can only be a malformed address. */
static bool ends_in_number(struct span name)
{
    size_t n = name.len;

    while (n > 0 && name.at[n - 1] >= '0' && name.at[n - 1] <= '9')
        n--;
    return n < name.len && (n == 0 || name.at[n - 1] == '.');
}

bool import_host(struct span value, char out[IMPORT_HOST])
{
    char text[ADDR_TEXT];
    struct addr a;

    if (value.len > 2 && value.at[0] == '[' && value.at[value.len - 1] == ']')
        value = span_first(span_after(value, 1), value.len - 2);
    if (addr_parse(value, &a))
        snprintf(out, IMPORT_HOST, a.family == ADDR_IP6 ? "[%s]" : "%s", addr_format(&a, text));
    else if (import_is_domain(value) && !ends_in_number(value))
        snprintf(out, IMPORT_HOST, "%.*s", (int)value.len, value.at);
    else
        return false;
    return true;
}

static struct import_route *route_to(struct import *im, const char *title)
{
    for (size_t i = 0; i < im->routes; i++)
        if (strcmp(im->route[i].title, title) == 0)
            return &im->route[i];
    if (!im->route)
        im->route = calloc(ROUTES_MAX, sizeof *im->route);
    if (!im->route || im->routes == ROUTES_MAX)
        return NULL;
    snprintf(im->route[im->routes].title, IMPORT_TITLE, "%s", title);
    return &im->route[im->routes++];
}

bool import_route(struct import *im, const char *title, struct span domain)
{
    struct span name = domain.len && domain.at[0] == '.' ? span_after(domain, 1) : domain;
    bool suffix = name.len < domain.len;
    struct import_route *r;
    char word[300];

    /* mired takes no mail for a whole top-level domain */
    if (!import_is_domain(name) || (suffix && !memchr(name.at, '.', name.len)))
        return false;
    r = route_to(im, title);
    if (!r || r->domains.len > DOMAINS_MAX)
        return false;
    snprintf(word, sizeof word, "\"%.*s\"", (int)domain.len, domain.at);
    if (!r->domains.len || !memmem(r->domains.at, r->domains.len, word, strlen(word)))
        buf_addf(&r->domains, "%s%s", r->domains.len ? ", " : "", word);
    return true;
}

void import_end_routes(struct import *im)
{
    for (size_t i = 0; i < im->routes; i++) {
        struct import_route *r = &im->route[i];
        bool usual = im->usual_backend && strcmp(r->title, im->usual_backend) == 0;
        if (!usual && r->domains.len)
            import_set(im, "mail for these domains goes to a server of its own",
                       "backend \"%s\" { domains = { %.*s } }", r->title, (int)r->domains.len,
                       r->domains.at);
        buf_free(&r->domains);
    }
    free(im->route);
    im->route = NULL;
    im->routes = 0;
}

/* ---- Postfix's transport table ---- */

/* "smtp:[10.0.0.1]:25": a server by its name or address. Without brackets Postfix looks up the MX
 * records of the name, so it is not a server of your own. */
static bool read_transport(struct span value, char title[IMPORT_TITLE])
{
    static const char *const kinds[] = {"smtp:", "relay:", "lmtp:"};
    char host[IMPORT_HOST];
    bool lmtp = span_starts_fold(value, SPAN("lmtp:")), known = false;
    unsigned long port = 25;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        known |= span_starts_fold(value, span_of(kinds[i]));
    value = span_after(value, span_find(value, ':') + 1);
    if (lmtp && span_starts_fold(value, SPAN("inet:")))
        value = span_after(value, 5);
    size_t end = span_find(value, ']');
    bool bracketed = value.len && value.at[0] == '[' && end < value.len;
    struct span name = span_first(value, bracketed ? end + 1 : span_find(value, ':'));
    struct span rest = span_after(value, name.len);
    if (rest.len > 1 && rest.at[0] == ':')
        port = import_number(span_after(rest, 1), 10);
    if (!known || (!bracketed && !lmtp) || port == 0 || port > 65535 || !import_host(name, host))
        return false;
    snprintf(title, IMPORT_TITLE, "%s://%s:%lu", lmtp ? "lmtp" : "smtp", host, port);
    return true;
}

void import_transports(struct import *im, struct span text)
{
    char title[IMPORT_TITLE];

    while (text.len) {
        bool more = text.at[0] == ' ' || text.at[0] == '\t';
        struct span line = import_line(&text), rest = line;
        struct span domain = import_word(&rest, " \t"), to = span_trim(rest);
        if (more || line.len == 0 || line.at[0] == '#' || span_find(line, '=') < line.len ||
            span_find(to, ':') == to.len)
            continue;
        if (!read_transport(to, title) || !import_route(im, title, domain))
            import_note(im,
                        "the transport of %.*s, %.*s, is not converted: Postfix goes on using "
                        "it",
                        (int)domain.len, domain.at, (int)to.len, to.at);
    }
}
